"""Leaky integrate-and-fire with an exponential synaptic current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.rule import Neuron, Rule, finite, one_of, where


def charge(i: float, v: float, x: float, keep: float, decay: float, theta: float) -> tuple[float, float]:
    current = keep * i + x
    return current, decay * v + current


def margin(i: float, v: float, keep: float, decay: float, theta: float) -> float:
    return v - theta


def soft(i: float, v: float, s: float, keep: float, decay: float, theta: float) -> tuple[float, float]:
    return i, v - s * theta


def hard(i: float, v: float, s: float, keep: float, decay: float, theta: float) -> tuple[float, float]:
    return i, v * (1.0 - s)


def bound(i: float, v: float, keep: float, decay: float, theta: float) -> float:
    # all the charge that the current can still bring, and a little for rounding
    return 1.0001 * (where(v > 0.0, v, 0.0) + where(i > 0.0, i * keep / (1.0 - keep), 0.0)) - theta


SOURCE = "Vogels and Abbott, J. Neurosci. 25 (2005); discrete form as in Loihi, Davies et al. (2018)"
RULES = {
    "soft": Rule("cuba_soft", charge, margin, soft, bound=bound, unit=("keep", "decay"), source=SOURCE,
                 equation="i = keep i + x;  h = decay v + i;  s = [h >= theta];  v = h - s theta"),
    "hard": Rule("cuba_hard", charge, margin, hard, bound=bound, unit=("keep", "decay"), source=SOURCE,
                 equation="i = keep i + x;  h = decay v + i;  s = [h >= theta];  v = h (1 - s)"),
}


@dataclass(frozen=True)
class CubaLIF(Neuron):
    """Current-based leaky integrate-and-fire neuron: input charges a current, the current charges the membrane.

        i[t] = keep i[t-1] + x[t];  h[t] = decay v[t-1] + i[t];  s[t] = 1 if h[t] >= theta else 0
        v[t] = h - s theta  (reset="soft") | h (1 - s)  ("hard", to zero)
        keep = exp(-dt / tau_syn), decay = exp(-dt / tau), or 1 - dt / tau with decay="euler"

    tau, tau_syn: ms, above 0; theta: threshold (above 0). Errors: ValueError that names the argument.
    """

    tau: float = 20.0
    tau_syn: float = 5.0
    theta: float = 1.0
    reset: Literal["soft", "hard"] = "soft"
    decay: Literal["exponential", "euler"] = "exponential"

    def __post_init__(self) -> None:
        finite("tau", self.tau, above=0.0)
        finite("tau_syn", self.tau_syn, above=0.0)
        finite("theta", self.theta, above=0.0)
        one_of("reset", self.reset, RULES)
        one_of("decay", self.decay, ("exponential", "euler"))

    @property
    def rule(self) -> Rule:
        return RULES[self.reset]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"keep": decay_of(self.tau_syn, dt, self.decay), "decay": decay_of(self.tau, dt, self.decay),
                "theta": np.asarray(self.theta, np.float64)}
