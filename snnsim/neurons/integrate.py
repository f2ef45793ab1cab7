"""Integrate-and-fire without leak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.rule import Neuron, Rule, finite, one_of


def charge(v: float, x: float, theta: float) -> float:
    return v + x


def margin(v: float, theta: float) -> float:
    return v - theta


def soft(v: float, s: float, theta: float) -> float:
    return v - s * theta


def hard(v: float, s: float, theta: float) -> float:
    return v * (1.0 - s)


def leap(v: float, k: float, theta: float) -> float:
    return v


SOURCE = "Abbott, Brain Res. Bull. 50 (1999), on Lapicque (1907)"
RULES = {
    "soft": Rule("if_soft", charge, margin, soft, leap, bound=margin, source=SOURCE,
                 equation="h = v + x;  s = [h >= theta];  v = h - s theta"),
    "hard": Rule("if_hard", charge, margin, hard, leap, bound=margin, source=SOURCE,
                 equation="h = v + x;  s = [h >= theta];  v = h (1 - s)"),
}


@dataclass(frozen=True)
class IF(Neuron):
    """Integrate-and-fire neuron: a membrane that forgets nothing.

        h[t] = v[t-1] + x[t];  s[t] = 1 if h[t] >= theta else 0
        v[t] = h - s theta  (reset="soft") | h (1 - s)  ("hard", to zero)

    theta: threshold (above 0), in the unit of the membrane. Errors: ValueError that names the argument.
    """

    theta: float = 1.0
    reset: Literal["soft", "hard"] = "soft"

    def __post_init__(self) -> None:
        finite("theta", self.theta, above=0.0)
        one_of("reset", self.reset, RULES)

    @property
    def rule(self) -> Rule:
        return RULES[self.reset]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"theta": np.asarray(self.theta, np.float64)}
