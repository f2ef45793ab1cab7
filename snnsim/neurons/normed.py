"""Neurons whose decision sees a batch-normed membrane, as rules that are made from a rule of one membrane.

    u[t] = charge(v[t-1], x[t]);  z[t] = scale (u[t] - mean) + shift;  s[t] = [z[t] >= theta]
    raw:         v[t] = reset(u[t], s[t])      the norm serves the comparison alone
    normalised:  v[t] = reset(z[t], s[t])      the normed membrane is carried
    scale = gamma / sqrt(var + eps), shift = beta, with the mean and var that training has left

Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks", ICCV (2023): their code is "raw", and the
MPBNLIFNode of SpikingJelly is "normalised". What "raw" compares folds into the threshold: see `snnsim.neurons.folded`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from snnsim.rule import Rule, Symbol, call, named, replayed

Recursion = Literal["raw", "normalised"]
RECURSIONS: tuple[Recursion, ...] = ("raw", "normalised")
NORM = ("mean", "scale", "shift")
SOURCE = "Guo et al., ICCV (2023)"


def threshold_of(rule: Rule) -> str:
    """The name of the parameter that the rule's one membrane is compared with.

    ValueError that names the rule and says what is missing, where it is not a rule of one membrane v and one input that
    fires at v >= that parameter.
    """
    margin = rule.trace("margin")[0] if rule.fires else None
    fits = (margin is not None and len(rule.states) == 1 and len(rule.inputs) == 1 and margin.op == "sub"
            and margin.args[0].name == rule.states[0] and margin.args[1].name in rule.parameters)
    if not fits or margin is None:
        raise ValueError(f"rule {rule.name!r} cannot take a batch norm of its membrane: that needs one membrane v and one "
                         "input, and a neuron that fires at v >= a parameter, such as LIF and IF; it has the states "
                         f"{rule.states}, the inputs {rule.inputs} and "
                         + ("another margin" if rule.fires else "no threshold, as it never fires"))
    return margin.args[1].name


def norm(v: Any, mean: Any, scale: Any, shift: Any) -> Any:
    """The normed membrane. In this order of operations it is monotone in v in floating point, too: each of them is."""
    return (v - mean) * scale + shift


@cache
def normed(rule: Rule, recursion: Recursion) -> Rule:
    """The rule with a norm of its membrane whose statistics are fixed: the parameters mean, scale and shift come last.

    ValueError for a rule that has no such form (see `threshold_of`).
    """
    threshold_of(rule)
    statistics, parameters = map(named, NORM), map(named, rule.parameters)
    if recursion == "raw":
        z = norm(named(rule.states[0]), *statistics)
        return remade(rule, "normed", NORM, "the threshold sees (h - mean) scale + shift in place of h",
                      margin=call(rule.margin, z, *parameters)[0])  # type: ignore[arg-type]
    return remade(rule, "carried", NORM, "h is replaced by (h - mean) scale + shift before the threshold sees it",
                  charge=norm(rule.trace("charge")[0], *statistics))


def remade(rule: Rule, name: str, added: tuple[str, ...], text: str, **functions: Symbol) -> Rule:
    """The rule with more parameters and with these functions, as traces, in place of its own.

    Its leap and bound are left out unless given: what they say of silence need no longer hold. ValueError where the rule
    has such a parameter itself.
    """
    for n in added:
        if n in (*rule.states, *rule.inputs, *rule.parameters):
            raise ValueError(f"rule {rule.name!r} has a value {n!r} of its own, a name that is needed for its norm: "
                             "choose another")
    parameters = (*rule.parameters, *added)
    taken = {"charge": (*rule.inputs, *parameters), "margin": parameters, "reset": ("s", *parameters),
             "leap": ("k", *parameters), "bound": parameters}
    traces = {role: (functions[role],) if role in functions else rule.trace(role) for role in ("charge", "margin", "reset")}
    traces |= {role: (functions[role],) for role in ("leap", "bound") if role in functions}
    made: dict[str, Any] = {role: replayed((*rule.states, *taken[role]), trace) for role, trace in traces.items()}
    return Rule(f"{rule.name}_{name}", inputs=rule.inputs, unit=rule.unit, source=f"{SOURCE}; {rule.source}",
                equation=f"{rule.equation}, where {text}", **made)
