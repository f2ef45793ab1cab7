"""From a rule to the steps of its kernels: forward, and the adjoint that the trace gives, as printed lines.

The surrogate replaces the derivative of the spike with respect to the margin; everything else is differentiated as
it stands. With `detach_reset` the spike is a constant inside reset, as several authors train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snnsim.rule.adjoint import Seeds, adjoint
from snnsim.rule.purity import arguments
from snnsim.rule.rule import Rule
from snnsim.rule.source import FORMAT, print_lines
from snnsim.rule.trace import Symbol, call, const, named

Surrogate = Callable[..., Symbol]


@dataclass(frozen=True)
class Step:
    """Printed lines and the expressions that hold their results, in the order of `results`."""

    lines: tuple[str, ...]
    results: dict[str, str]

    def text(self) -> str:
        return "\n".join([*self.lines, *(f"{name} = {value}" for name, value in self.results.items())])


@dataclass(frozen=True)
class Derived:
    """A rule's forward step, and its backward step from the same states and inputs.

    forward: states, inputs, parameters -> states, and `s` when the rule fires.
    backward: the same, and the adjoints g_<state> and g_s of the results -> adjoints of inputs, states, parameters.
    The output of a rule that never fires is its last state; its adjoint is g_out.
    With a cost, forward gives `cost` too, and its adjoint is _gcost.
    """

    forward: Step
    backward: Step


def derive(rule: Rule, surrogate: Surrogate, detach_reset: bool = False,
           forms: Mapping[str, str] = FORMAT, cost: Callable[..., Any] | None = None) -> Derived:
    """Trace the rule once and derive its adjoint. `surrogate(margin, width)` is d spike / d margin; `forms` says how each
    operation is written. `cost` takes states before the decision, the spike s, a constant there, and parameters, by name:
    what a step adds to a sum beside the rule."""
    states = [named(n) for n in rule.states]
    inputs = [named(n) for n in rule.inputs]
    parameters = [named(n) for n in rule.parameters]
    held = tuple(_symbol(h) for h in call(rule.charge, *states, *inputs, *parameters))
    slope: dict[int, Symbol] = {}
    outputs: dict[str, Symbol]
    if rule.margin is not None and rule.reset is not None:
        margin = _symbol(rule.margin(*held, *parameters))
        s = Symbol("spike", (margin,))
        slope[id(s)] = _symbol(surrogate(margin, named("width")))
        seen_by_reset = Symbol("stop", (s,)) if detach_reset else s
        after = tuple(_symbol(v) for v in call(rule.reset, *held, seen_by_reset, *parameters))
        outputs = {**dict(zip(rule.states, after, strict=True)), "s": s}
    else:
        outputs = {**dict(zip(rule.states, held, strict=True)), "out": held[-1]}

    seeds: Seeds = [(value, named(f"g_{name}")) for name, value in outputs.items()]
    if cost is not None:
        seen = {**dict(zip(rule.states, held, strict=True)), "s": Symbol("stop", (outputs["s"],)),
                **dict(zip(rule.parameters, parameters, strict=True))}
        outputs["cost"] = _symbol(cost(*[seen[name] for name in arguments(cost, "penalty")]))
        seeds.append((outputs["cost"], named("_gcost")))
    found = adjoint(seeds, slope)
    gradients = {f"g_{v.name}": found.get(id(v), const(0.0)) for v in (*inputs, *states, *parameters)}
    forward_lines, forward_results = print_lines(tuple(outputs.values()), forms=forms)
    backward_lines, backward_results = print_lines(tuple(gradients.values()), forms=forms)
    return Derived(Step(tuple(forward_lines), dict(zip(outputs, forward_results, strict=True))),
                   Step(tuple(backward_lines), dict(zip(gradients, backward_results, strict=True))))


def _symbol(value: object) -> Symbol:
    return value if isinstance(value, Symbol) else const(float(value))  # type: ignore[arg-type]
