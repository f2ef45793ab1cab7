"""The clocked counter that is a soma of pulse logic: whole numbers, a leak by shift, one decision a tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.neurons.each import each
from snnsim.neurons.loihi import whole_each
from snnsim.rule import Neuron, Rule, finite, floor, one_of, where


def charge(v: float, x: float, rate: float, top: float, theta: float, scale: float) -> float:
    h = v - floor(v * rate) + x
    h = where(h > top, top, h)
    return where(h < -top - 1.0, -top - 1.0, h)


def margin(v: float, rate: float, top: float, theta: float, scale: float) -> float:
    return (v - theta) * scale


def soft(v: float, s: float, rate: float, top: float, theta: float, scale: float) -> float:
    return v - s * theta


def hard(v: float, s: float, rate: float, top: float, theta: float, scale: float) -> float:
    return v * (1.0 - s)


SOURCE = "our own: a clocked counter of single flux quanta; the abstraction after Krylov et al., arXiv 2311.10721 (2023)"
CHARGE = "h = clip(v - [v rate] + x, -top - 1, top), [] towards minus infinity;  s = [h >= theta];  "
RULES = {
    "soft": Rule("counter_soft", charge, margin, soft, source=SOURCE, equation=CHARGE + "v = h - s theta"),
    "hard": Rule("counter_hard", charge, margin, hard, source=SOURCE, equation=CHARGE + "v = h (1 - s)"),
}


@dataclass(frozen=True)
class Counter(Neuron):
    """A counter of pulses that decides at each tick of its clock.

        h = clip(v - (v >> leak) + x, -2**(bits - 1), 2**(bits - 1) - 1)       x: pulses of this tick times their weights
        s = [h >= theta];  v = h - s theta (reset="soft") | h (1 - s) ("hard")

    theta: whole, 1 .. 2**(bits - 1) - 1, one number or an array that fits the layer. leak: None, nothing is lost, or 0 .. 15;
    0 forgets all at each tick (a comparator of one window), and of k the last 2**k - 1 of a positive count never leak. bits: of
    the count, with its sign, 2 .. 16; within a tick the sum is wider. scale: what one is in the unit in which surrogate
    gradients have their width, above 0, such as 1 / theta; spikes do not depend on it. Our own abstraction of a soma of
    superconducting pulse logic; whole numbers of so few bits are exact in float32. Errors: ValueError that names the argument.
    """

    theta: ArrayLike = 1
    leak: int | None = None
    reset: Literal["soft", "hard"] = "soft"
    bits: int = 8
    scale: float = 1.0

    def __post_init__(self) -> None:
        one_of("reset", self.reset, RULES)
        object.__setattr__(self, "bits", int(whole_each("bits", self.bits, 2, 16)))
        object.__setattr__(self, "theta", each(whole_each("theta", self.theta, 1, self.top)))
        if self.leak is not None:
            object.__setattr__(self, "leak", int(whole_each("leak", self.leak, 0, 15)))
        finite("scale", self.scale, above=0.0)

    @property
    def top(self) -> int:
        """The largest count."""
        return 2 ** (self.bits - 1) - 1

    @property
    def rule(self) -> Rule:
        return RULES[self.reset]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        rate = 0.0 if self.leak is None else 0.5**self.leak
        return {"rate": np.asarray(rate), "top": np.asarray(float(self.top)), "theta": np.asarray(self.theta, np.float64),
                "scale": np.asarray(self.scale, np.float64)}
