"""A rule as plain data: its traces as lists of operations, so that a file can hold any neuron without holding code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from snnsim.rule.replay import Replay
from snnsim.rule.rule import Rule
from snnsim.rule.trace import Symbol, reachable

ROLES = ("charge", "margin", "reset", "leap", "bound")


def rule_to_json(rule: Rule) -> str:
    """The rule's name, inputs, texts and traces as one JSON text. Loading it needs none of the rule's code."""
    functions: dict[str, Any] = {}
    for role in ROLES:
        if getattr(rule, role) is not None:
            operations, results = _rows(rule.trace(role))
            functions[role] = {"operations": operations, "results": results}
    return json.dumps({"name": rule.name, "states": rule.states, "inputs": rule.inputs, "parameters": rule.parameters,
                       "unit": rule.unit, "conductances": rule.conductances, "equation": rule.equation,
                       "source": rule.source, "functions": functions})


def replayed(arguments: Sequence[str], outputs: Sequence[Symbol]) -> Replay:
    """The function of these arguments that computes what was traced, for rules that are made from other rules."""
    return Replay(arguments, *_rows(tuple(outputs)))


def _rows(outputs: tuple[Symbol, ...]) -> tuple[list[list[Any]], list[int]]:
    """A trace as rows of operations, and the rows that hold its results."""
    order = reachable(outputs)
    index = {id(s): i for i, s in enumerate(order)}
    return [_row(s, index) for s in order], [index[id(o)] for o in outputs]


def _row(s: Symbol, index: dict[int, int]) -> list[Any]:
    if s.op == "const":
        return ["const", s.value]
    return ["input", s.name] if s.op == "input" else [s.op, *[index[id(a)] for a in s.args]]


def rule_from_json(text: str) -> Rule:
    """The rule that `rule_to_json` wrote. ValueError when the text is not such a rule; nothing of it is executed."""
    try:
        d = json.loads(text)
        states, inputs, parameters = tuple(d["states"]), tuple(d["inputs"]), tuple(d["parameters"])
        taken = {"charge": (*states, *inputs, *parameters), "margin": (*states, *parameters),
                 "reset": (*states, "s", *parameters), "leap": (*states, "k", *parameters),
                 "bound": (*states, *parameters)}
        functions = {role: Replay(taken[role], f["operations"], f["results"]) for role, f in d["functions"].items()}
        return Rule(d["name"], inputs=inputs, unit=tuple(d["unit"]), conductances=tuple(d.get("conductances", ())),
                    equation=d["equation"], source=d["source"], **functions)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as e:
        raise ValueError(f"not a stored rule: {e}") from None
