"""A stored trace as a function again: it computes on floats, arrays, tensors and symbols alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from snnsim.rule.trace import OPERATIONS, const, exp, floor, log, where

COMPUTE: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "power": lambda a, b: a ** b, "neg": lambda a: -a, "exp": exp, "log": log, "floor": floor, "where": where,
    "ge": lambda a, b: a >= b, "gt": lambda a, b: a > b, "le": lambda a, b: a <= b, "lt": lambda a, b: a < b}


class Replay:
    """`operations` are rows: ["input", name], ["const", value], or [operation, index, ...] of earlier rows."""

    def __init__(self, arguments: Sequence[str], operations: Sequence[Sequence[Any]], results: Sequence[int]) -> None:
        self.arguments, self.operations, self.results = tuple(arguments), operations, results
        for i, (op, *rest) in enumerate(operations):
            if op == "input":
                good = len(rest) == 1 and rest[0] in self.arguments
            elif op == "const":
                good = len(rest) == 1 and isinstance(rest[0], (int, float)) and math.isfinite(rest[0])
            else:
                good = op in OPERATIONS and len(rest) == OPERATIONS[op] and all(_earlier(r, i) for r in rest)
            if not good:
                raise ValueError(f"operation {i} of a stored trace is {[op, *rest]!r}")
        if not results or not all(_earlier(r, len(operations)) for r in results):
            raise ValueError(f"results {results!r} of a stored trace of {len(operations)} operations")

    def __call__(self, *values: Any) -> Any:
        given = dict(zip(self.arguments, values, strict=True))
        symbolic = any(hasattr(v, "op") for v in values)
        done: list[Any] = []
        for op, *rest in self.operations:
            if op == "input":
                done.append(given[rest[0]])
            elif op == "const":
                done.append(const(rest[0]) if symbolic else rest[0])
            else:
                done.append(COMPUTE[op](*[done[r] for r in rest]))
        results = tuple(done[r] for r in self.results)
        return results[0] if len(results) == 1 else results


def _earlier(index: object, limit: int) -> bool:
    return isinstance(index, int) and not isinstance(index, bool) and 0 <= index < limit
