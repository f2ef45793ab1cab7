"""A batch norm of the membrane folded into the threshold: the same decisions, with no norm left.

    z = scale (u - mean) + shift >= theta   is   u >= th    where scale > 0
                                                 u <= th    where scale < 0
                                                 the same at every step where scale = 0
    th = mean + (theta - shift) / scale

The reset and the leak act on u and stay as they are: a soft reset subtracts the theta of before. In floating point th is
not computed so, but searched for: z is monotone in u there, too, so there is one number from which on it decides otherwise,
and with it each decision is the same, in float32 as in float64.

A neuron can then fire at rest (u = 0), in silence: where th <= 0 with scale > 0, th >= 0 with scale < 0, or always.

Guo et al., ICCV (2023), give th; negative and zero scales, and the search, are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from snnsim.neurons.normed import NORM, normed, remade, threshold_of
from snnsim.rule import Fixed, Rule, Symbol, call, named, where
from snnsim.rule.trace import const

Array = NDArray[Any]
FOLDED = ("threshold", "sign", "constant")


@cache
def folded(rule: Rule) -> Rule:
    """The rule with a decision of its own: s = [sign (v - threshold) + constant >= 0], after its own parameters.

    sign 1 and constant 0: fires at v >= threshold; -1 and 0: at v <= threshold; 0 and 1: always; 0 and -1: never.
    ValueError for a rule that has no such form (see `neurons.normed.threshold_of`).
    """
    threshold_of(rule)
    v, (threshold, sign, constant) = named(rule.states[0]), map(named, FOLDED)
    silence: dict[str, Symbol] = {}
    if _shrinks(rule):
        top, bottom = where(v > 0.0, v, 0.0), where(v < 0.0, v, 0.0)
        silence["bound"] = where(sign < 0.0, threshold - bottom, where(sign > 0.0, top - threshold, constant))
        if rule.leap is not None:
            silence["leap"] = rule.trace("leap")[0]
    return remade(rule, "folded", FOLDED, "s = [sign (h - threshold) + constant >= 0]",
                  margin=sign * (v - threshold) + constant, **silence)


def _shrinks(rule: Rule) -> bool:
    """Whether a step without input leaves a membrane that is decay v, with decay from 0 to 1, or v itself."""
    v = named(rule.states[0])
    after = call(rule.charge, v, const(0.0), *map(named, rule.parameters))[0]
    return after is v or (after.op == "mul" and {v.name, *rule.unit} >= {a.name for a in after.args} and v in after.args)


def fold(rule: Rule, parameters: Mapping[str, ArrayLike], dtype: DTypeLike) -> Fixed:
    """The neuron that decides as `normed(rule, "raw")` with these parameters does in this dtype, for every number v.

    rule: the one without a norm; parameters: its own, and mean, scale and shift, as numbers or arrays that broadcast
    together. Errors: ValueError for a rule that cannot be folded, or for parameters that are not finite.
    """
    made = normed(rule, "raw")
    values = {k: np.asarray(parameters[k]).astype(dtype) for k in made.parameters}
    made(**values)  # complains about what is not finite
    assert made.margin is not None
    margin, taken = made.margin, np.broadcast_arrays(*values.values())
    scale = taken[made.parameters.index("scale")]

    def fires(v: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(margin(v, *taken) >= 0.0)

    zero, largest = np.zeros_like(scale), np.full_like(scale, np.finfo(dtype).max)
    sign = np.sign(scale)
    highest = np.where(sign == 0.0, zero, sign * largest)  # where it fires, if it does anywhere
    always, never = fires(-highest), ~fires(highest)
    sign = np.where(always | never, zero, sign)
    least = _first(lambda w: fires(np.where(scale < 0.0, -w, w)), largest)
    # + 0: a -0 that comes of it is 0, which the threshold of a neuron is written as elsewhere
    threshold = np.where(sign == 0.0, zero, np.where(scale < 0.0, -least, least)) + zero
    constant = np.where(always, 1.0, np.where(never, -1.0, 0.0)).astype(dtype)
    return folded(rule)(**{k: v for k, v in values.items() if k not in NORM}, threshold=threshold, sign=sign, constant=constant)


def _first(holds: Callable[[Array], Array], largest: Array) -> Array:
    """The smallest number for which the condition holds, where it holds from some number on: a bisection over all floats.

    A float's bits, as a whole number, rise with it above 0 and fall below: the whole numbers `key` rise with it everywhere.
    """
    bits: Any = np.int64 if largest.dtype == np.float64 else np.int32
    least = np.iinfo(bits).min

    def value(key: Array) -> Array:
        return np.asarray(np.where(key >= 0, key, least - np.minimum(key, 0)).astype(bits)).view(largest.dtype)

    high: Any = largest.view(bits).copy()
    low = -high
    while np.any(low < high):
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, rounded down, where the sum would not fit
        found = holds(value(middle))
        low, high = np.where(found, low, middle + 1), np.where(found, middle, high)
    return value(high)
