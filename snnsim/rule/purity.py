"""Check that a function is a pure scalar formula before it is traced.

Read from the compiled code, so it works without the source text too: a rule may use its arguments, its local
names, numbers, and the functions `exp`, `log`, `floor` and `where`; a name from anywhere else could change between two kernels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from snnsim.rule.replay import Replay
from snnsim.rule.trace import exp, floor, log, where

ALLOWED = {"exp": exp, "log": log, "floor": floor, "where": where}


def arguments(function: Callable[..., Any], role: str) -> tuple[str, ...]:
    """The names of the function's arguments, after checking that it can be a rule's `role` (charge, margin, reset)."""
    if isinstance(function, Replay):
        return function.arguments
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(f"{role} must be a plain Python function, got {type(function).__name__}")
    where_ = f"{role} ({function.__name__}, line {code.co_firstlineno})"
    if code.co_freevars:
        raise ValueError(f"{where_} closes over {', '.join(code.co_freevars)}: make it a parameter of the rule")
    for name in code.co_names:
        if name not in ALLOWED:
            raise ValueError(f"{where_} uses the name {name!r}: a rule may use its arguments, numbers, exp, log, floor "
                             "and where")
        if function.__globals__.get(name) is not ALLOWED[name]:
            raise ValueError(f"{where_}: {name!r} must be snnsim.rule.{name}")
    names = []
    for p in inspect.signature(function).parameters.values():
        if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            raise ValueError(f"{where_}: argument {p.name!r} must be positional")
        if p.default is not p.empty:
            raise ValueError(f"{where_}: argument {p.name!r} may not have a default; values belong to the neuron")
        if p.name.startswith("_"):
            raise ValueError(f"{where_}: argument {p.name!r} may not start with an underscore")
        names.append(p.name)
    return tuple(names)
