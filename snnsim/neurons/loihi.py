"""Loihi's leaky integrate-and-fire neuron in whole numbers, as its fixed-point model computes it, bit for bit.

States and weights are whole numbers held as floats. float32 is enough: a state of 23 bits is decayed in two parts of 11 and 12
bits, so that no product passes 2**24. What is rounded towards zero has the derivative of what it rounds (`rule.floor`), so a
layer of these neurons is trained as it will run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.neurons.each import each
from snnsim.rule import Neuron, Rule, finite, floor, one_of, where

ONE = 4096  # decays are shares of it
RANGE = 2**23  # u and v have 24 bits, with their sign
ALIGN = 64  # weights and thresholds are shifted by 6 bits


def charge(u: float, v: float, x: float, keep_u: float, keep_v: float, bias: float, theta: float, scale: float) -> tuple[
        float, float]:
    size = where(u < 0.0, -u, u)
    high = floor(size * (1.0 / 4096.0))
    kept = high * keep_u + floor((size - 4096.0 * high) * keep_u * (1.0 / 4096.0))
    current = where(u < 0.0, -kept, kept) + x
    current = where(current > 8388608.0, current - 16777216.0, current)
    current = where(current <= -8388608.0, current + 16777216.0, current)
    size = where(v < 0.0, -v, v)
    high = floor(size * (1.0 / 4096.0))
    kept = high * keep_v + floor((size - 4096.0 * high) * keep_v * (1.0 / 4096.0))
    h = where(v < 0.0, -kept, kept) + current + bias
    h = where(h > 8388607.0, 8388607.0, h)
    return current, where(h < -8388607.0, -8388607.0, h)


def margin(u: float, v: float, keep_u: float, keep_v: float, bias: float, theta: float, scale: float) -> float:
    return (v - theta - 1.0) * scale


def soft(u: float, v: float, s: float, keep_u: float, keep_v: float, bias: float, theta: float, scale: float) -> tuple[
        float, float]:
    return u, v - s * theta


def hard(u: float, v: float, s: float, keep_u: float, keep_v: float, bias: float, theta: float, scale: float) -> tuple[
        float, float]:
    return u, v * (1.0 - s)


SOURCE = "the fixed-point model of Loihi 2 in Lava 0.10 (LIF, tag fixed_pt); Davies et al. (2018)"
CHARGE = "u = wrap24([u keep_u / 4096] + x);  h = clip24([v keep_v / 4096] + u + bias), [] towards 0"
RULES = {
    "soft": Rule("loihi_soft", charge, margin, soft, source=SOURCE,
                 equation=CHARGE + ";  s = [h > theta];  v = h - s theta"),
    "hard": Rule("loihi_hard", charge, margin, hard, source=SOURCE,
                 equation=CHARGE + ";  s = [h > theta];  v = h (1 - s)"),
    "none": Rule("loihi_li", charge, source=SOURCE, equation=CHARGE + ";  v = h"),
}


def whole_each(name: str, value: ArrayLike, low: int, high: int) -> NDArray[np.int64]:
    """The value as whole numbers; ValueError that names it where one is not, or is not in low .. high."""
    array = np.asarray(value)
    finite(name, array)
    if array.dtype.kind == "b" or np.any(array != np.rint(array)) or np.any(array < low) or np.any(array > high):
        raise ValueError(f"{name} must be whole numbers in {low} .. {high}, got {value!r}")
    return array.astype(np.int64)


@dataclass(frozen=True)
class LoihiLIF(Neuron):
    """Current-based leaky integrate-and-fire neuron in Loihi's integers.

        u = sgn(u) (|u| (4096 - du - 1) >> 12) + x        wraps at 24 bits
        h = sgn(v) (|v| (4096 - dv) >> 12) + u + bias     stops at +-(2**23 - 1)
        s = [h > 64 vth];  v = h (1 - s) (reset="hard") | h - 64 vth s ("soft") | h ("none": it never fires)

    x is 64 times the sum of what synapses bring. du: 0 .. 4095, 4095 is no memory of the current; dv: 0 .. 4096, 0 is no leak;
    vth: 0 .. 131071; bias: whole, already shifted. Each is one number or an array that fits the layer. scale: what one is in
    the unit in which surrogate gradients have their width, above 0, such as 1 / (64 vth); spikes do not depend on it.
    Errors: ValueError that names the argument.
    """

    du: ArrayLike = ONE - 1
    dv: ArrayLike = 0
    vth: ArrayLike = 1
    bias: ArrayLike = 0
    reset: Literal["hard", "soft", "none"] = "hard"
    scale: float = 1.0

    def __post_init__(self) -> None:
        one_of("reset", self.reset, RULES)
        for name, high, low in (("du", ONE - 1, 0), ("dv", ONE, 0), ("vth", 2**17 - 1, 0), ("bias", RANGE - 1, 1 - RANGE)):
            object.__setattr__(self, name, each(whole_each(name, getattr(self, name), low, high)))
        finite("scale", self.scale, above=0.0)

    @property
    def rule(self) -> Rule:
        return RULES[self.reset]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"keep_u": ONE - 1 - np.asarray(self.du, np.float64), "keep_v": ONE - np.asarray(self.dv, np.float64),
                "bias": np.asarray(self.bias, np.float64), "theta": ALIGN * np.asarray(self.vth, np.float64),
                "scale": np.asarray(self.scale, np.float64)}
