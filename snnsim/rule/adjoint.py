"""Reverse-mode derivatives of a trace: the partials of a dozen operations, and one walk backwards."""

from __future__ import annotations

from snnsim.rule.trace import Symbol, add, const, is_const, mul, reachable, where

Seeds = list[tuple[Symbol, Symbol]]


def partials(s: Symbol, g: Symbol, slope: dict[int, Symbol]) -> Seeds:
    """What an adjoint g of s adds to the adjoints of its arguments; `slope` holds d spike / d margin by id."""
    a = s.args
    match s.op:
        case "add":
            return [(a[0], g), (a[1], g)]
        case "sub":
            return [(a[0], g), (a[1], -g)]
        case "mul":
            return [(a[0], mul(g, a[1])), (a[1], mul(g, a[0]))]
        case "div":
            return [(a[0], g / a[1]), (a[1], -(mul(g, s) / a[1]))]
        case "neg":
            return [(a[0], -g)]
        case "exp":
            return [(a[0], mul(g, s))]
        case "log":
            return [(a[0], g / a[0])]
        case "floor":  # straight through
            return [(a[0], g)]
        case "where":
            return [(a[1], where(a[0], g, const(0.0))), (a[2], where(a[0], const(0.0), g))]
        case "spike":
            return [(a[0], mul(g, slope[id(s)]))]
        case "power":
            raise TypeError("** has no derivative here: it stands in leap, which is never differentiated")
        case _:  # inputs and constants end the walk; comparisons and stopped values pass nothing on
            return []


def adjoint(seeds: Seeds, slope: dict[int, Symbol]) -> dict[int, Symbol]:
    """The adjoint of every symbol that the seeds (output, adjoint of that output) reach, by id."""
    adjoints: dict[int, Symbol] = {}

    def accumulate(s: Symbol, g: Symbol) -> None:
        if s.op == "const" or is_const(g, 0.0):
            return
        adjoints[id(s)] = add(adjoints[id(s)], g) if id(s) in adjoints else g

    for output, g in seeds:
        accumulate(output, g)
    for s in reversed(reachable(tuple(output for output, _ in seeds))):
        if id(s) in adjoints:
            for argument, g in partials(s, adjoints[id(s)], slope):
                accumulate(argument, g)
    return adjoints


