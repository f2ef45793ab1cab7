"""Leaky integrate-and-fire in discrete time, with soft, hard or no reset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.neurons.each import each, positive
from snnsim.rule import Neuron, Rule, finite, one_of, where


def charge(v: float, x: float, decay: float, theta: float) -> float:
    return decay * v + x


def margin(v: float, decay: float, theta: float) -> float:
    return v - theta


def soft(v: float, s: float, decay: float, theta: float) -> float:
    return v - s * theta


def hard(v: float, s: float, decay: float, theta: float) -> float:
    return v * (1.0 - s)


def none(v: float, s: float, decay: float, theta: float) -> float:
    return v


def leap(v: float, k: float, decay: float, theta: float) -> float:
    return v * decay ** k


def bound(v: float, decay: float, theta: float) -> float:
    return where(v > 0.0, v, 0.0) - theta


SOURCE = "Lapicque (1907); soft reset: Rueckauer et al. (2017)"
RULES = {
    "soft": Rule("lif_soft", charge, margin, soft, leap, bound, unit=("decay",), source=SOURCE,
                 equation="h = decay v + x;  s = [h >= theta];  v = h - s theta"),
    "hard": Rule("lif_hard", charge, margin, hard, leap, bound, unit=("decay",), source=SOURCE,
                 equation="h = decay v + x;  s = [h >= theta];  v = h (1 - s)"),
    "none": Rule("lif_none", charge, margin, none, leap, bound, unit=("decay",), source=SOURCE,
                 equation="h = decay v + x;  s = [h >= theta];  v = h"),
}


def decay_of(tau: ArrayLike, dt: float, decay: str) -> NDArray[np.float64]:
    """The factor that a leaky state keeps over one step: exp(-dt/tau), or 1 - dt/tau for the Euler form.

    tau and dt in ms. ValueError when the Euler form would overshoot (tau < dt).
    """
    finite("dt", dt, above=0.0)
    if decay == "euler":
        if np.any(np.asarray(tau) < dt):
            raise ValueError(f"tau must be at least dt = {dt:g} ms for the Euler decay 1 - dt/tau, got {tau!r}")
        return np.asarray(1.0 - dt / np.asarray(tau, np.float64))
    return np.exp(-dt / np.asarray(tau, np.float64))


@dataclass(frozen=True)
class LIF(Neuron):
    """Leaky integrate-and-fire neuron.

        h[t] = decay v[t-1] + x[t];  s[t] = 1 if h[t] >= theta else 0
        v[t] = h - s theta  (reset="soft") | h (1 - s)  ("hard", to zero) | h  ("none")
        decay = exp(-dt / tau), or 1 - dt / tau with decay="euler"

    tau: membrane time constant, ms (above 0; math.inf gives no leak); theta: threshold (above 0), in the unit of the
    membrane. Each is one number, or an array that fits the layer, one value a neuron or a channel (see `time_constants`).
    Errors: ValueError that names the argument.
    """

    tau: ArrayLike = 20.0
    theta: ArrayLike = 1.0
    reset: Literal["soft", "hard", "none"] = "soft"
    decay: Literal["exponential", "euler"] = "exponential"

    def __post_init__(self) -> None:
        positive("tau", self.tau, infinite=True)
        positive("theta", self.theta)
        one_of("reset", self.reset, RULES)
        one_of("decay", self.decay, ("exponential", "euler"))
        object.__setattr__(self, "tau", each(self.tau))
        object.__setattr__(self, "theta", each(self.theta))

    @property
    def rule(self) -> Rule:
        return RULES[self.reset]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"decay": decay_of(self.tau, dt, self.decay), "theta": np.asarray(self.theta, np.float64)}
