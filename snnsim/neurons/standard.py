"""The rules of other frameworks as those that every target knows, where one is equal: LIF and CubaLIF.

    h = v + (x - v) / tau     ->  decay = 1 - 1 / tau, and the input times 1 / tau; the same for a rate
    h = v - v / tau + x       ->  decay = 1 - 1 / tau
    s = [phi(h) >= 1/2]       ->  theta = 1/2, as phi, the membrane potential rectifier, is increasing and 1/2 at 1/2
    s = [h > theta]           ->  the next number above theta, in the dtype that the network computes in

The first two are equal up to rounding, the others bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from snnsim.neurons import cuba, late, leak, lif, mpr
from snnsim.rule import Rule

Array = NDArray[Any]
LEAKS = {rule: (by, form) for by, rules in (("tau", leak.BY_TAU), ("rate", leak.BY_RATE)) for form, rule in rules.items()}
ABOVE = {late.LEAKY["hard"]: lif.RULES["hard"], late.LEAKY["none"]: lif.RULES["none"],
         late.SYNAPTIC["hard"]: cuba.RULES["hard"], late.LAPICQUE["none"]: lif.RULES["none"]}


@dataclass(frozen=True, eq=False)
class Standard:
    """A rule with its parameters, and what its input must be multiplied by to be equal to another rule."""

    rule: Rule
    parameters: dict[str, Array]
    gain: Array


def standard(rule: Rule, parameters: Mapping[str, Array], dtype: DTypeLike) -> Standard:
    """The equal rule that targets know, or the rule as it is, with a gain of 1."""
    values, one = dict(parameters), np.ones(())
    if rule in LEAKS:
        by, (inputs, reset) = LEAKS[rule]
        rate = 1.0 / values["tau"] if by == "tau" else values["rate"]
        return Standard(lif.RULES[reset], {"decay": 1.0 - rate, "theta": values["theta"]}, rate if inputs == "shared" else one)
    if rule in ABOVE:
        gain = values.pop("gain", one)
        theta = np.asarray(values["theta"]).astype(dtype)
        return Standard(ABOVE[rule], {**values, "theta": np.nextafter(theta, np.asarray(np.inf, dtype))}, gain)
    if rule in mpr.PLAIN:
        return Standard(mpr.PLAIN[rule], {**values, "theta": np.asarray(0.5)}, one)
    return Standard(rule, values, one)
