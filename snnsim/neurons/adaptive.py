"""Leaky integrate-and-fire with a threshold that rises with every spike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.rule import Neuron, Rule, finite, where


def charge(v: float, a: float, x: float, decay: float, rho: float, theta: float, beta: float) -> tuple[float, float]:
    return decay * v + x, rho * a


def margin(v: float, a: float, decay: float, rho: float, theta: float, beta: float) -> float:
    return v - (theta + beta * a)


def reset(v: float, a: float, s: float, decay: float, rho: float, theta: float, beta: float) -> tuple[float, float]:
    return v - s * (theta + beta * a), a + s


def leap(v: float, a: float, k: float, decay: float, rho: float, theta: float, beta: float) -> tuple[float, float]:
    return v * decay ** k, a * rho ** k


def bound(v: float, a: float, decay: float, rho: float, theta: float, beta: float) -> float:
    # the threshold may fall faster than the membrane: count on its floor
    lift = beta * a
    return where(v > 0.0, v, 0.0) - (theta + where(lift < 0.0, lift, 0.0))


RULE = Rule("adaptive_lif", charge, margin, reset, leap, bound, unit=("decay", "rho"),
            equation="h = decay v + x;  a = rho a;  s = [h >= theta + beta a];  v = h - s (theta + beta a);  a = a + s",
            source="Bellec et al., NeurIPS (2018)")


@dataclass(frozen=True)
class AdaptiveLIF(Neuron):
    """Leaky integrate-and-fire neuron with an adaptive threshold and soft reset.

        h[t] = decay v[t-1] + x[t];  a' = rho a[t-1];  th = theta + beta a';  s[t] = 1 if h[t] >= th else 0
        v[t] = h - s th;  a[t] = a' + s;  decay = exp(-dt / tau), rho = exp(-dt / tau_a)

    tau, tau_a: ms, above 0; theta: threshold at rest (above 0); beta: its rise with each spike (at least 0).
    Errors: ValueError that names the argument.
    """

    tau: float = 20.0
    tau_a: float = 200.0
    theta: float = 1.0
    beta: float = 0.2

    def __post_init__(self) -> None:
        finite("tau", self.tau, above=0.0)
        finite("tau_a", self.tau_a, above=0.0)
        finite("theta", self.theta, above=0.0)
        finite("beta", self.beta, at_least=0.0)

    @property
    def rule(self) -> Rule:
        return RULE

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"decay": decay_of(self.tau, dt, "exponential"), "rho": decay_of(self.tau_a, dt, "exponential"),
                "theta": np.asarray(self.theta, np.float64), "beta": np.asarray(self.beta, np.float64)}
