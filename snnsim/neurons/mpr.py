"""Leaky integrate-and-fire with the membrane potential rectifier: the spike is decided, and learned, on phi(v).

    phi(u) = 1 - (1 - u)^(1/3)                              u < 0
             tanh(3 (u - 1/2)) / (2 tanh(3/2)) + 1/2        0 <= u <= 1
             u^(1/3)                                        u > 1

Around the threshold 1/2 phi is odd: with r = |u - 1/2| it is 1/2 +- tanh(3 r) / (2 tanh(3/2)) up to r = 1/2, and
1/2 +- ((1/2 + r)^(1/3) - 1/2) from there. That form has no branch, and arguments that are clamped to where they count, so
neither phi nor its derivative is ever NaN; and phi(u) >= 1/2 exactly where u >= 1/2, in float32 and in float64, as
exp(-6 r) is at least two of its own roundings below 1 for the smallest r that a number beside 1/2 has.

Guo et al., ECCV (2022). That phi is not carried, and that the reset takes 1/2 off the raw v, is our reading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons import lif
from snnsim.rule import Neuron, Rule, exp, finite, log, one_of, where


def charge(v: float, x: float, decay: float) -> float:
    return decay * v + x


def margin(v: float, decay: float) -> float:
    d = v - 0.5
    r = where(d < 0.0, -d, d)
    e = exp(-6.0 * where(r <= 0.5, r, 0.5))  # tanh(3 r) = (1 - e) / (1 + e)
    far = where(r > 0.5, r, 0.5) + 0.5
    g = where(r <= 0.5, 0.552395696491256 * (1.0 - e) / (1.0 + e), exp(log(far) / 3.0) - 0.5)
    return where(d < 0.0, -g, g)


def soft(v: float, s: float, decay: float) -> float:
    return v - s * 0.5


def hard(v: float, s: float, decay: float) -> float:
    return v * (1.0 - s)


def leap(v: float, k: float, decay: float) -> float:
    return v * decay ** k


def bound(v: float, decay: float) -> float:
    # phi's slope is below 2; under the threshold phi - 1/2 lies below v - 1/2, and half of that leaves room for rounding
    d = where(v > 0.0, v, 0.0) - 0.5
    return where(d < 0.0, 0.5 * d, 2.0 * d)


def phi(u: Any) -> Any:
    """The rectified potential, for a float, an array or a tensor: increasing, with phi(0) = 0, phi(1/2) = 1/2, phi(1) = 1."""
    return margin(u, 0.0) + 0.5


SOURCE = "Guo et al., ECCV (2022)"
RULES = {
    "soft": Rule("mpr_soft", charge, margin, soft, leap, bound, unit=("decay",), source=SOURCE,
                 equation="h = decay v + x;  s = [phi(h) >= 1/2];  v = h - s / 2"),
    "hard": Rule("mpr_hard", charge, margin, hard, leap, bound, unit=("decay",), source=SOURCE,
                 equation="h = decay v + x;  s = [phi(h) >= 1/2];  v = h (1 - s)"),
}
PLAIN = {rule: lif.RULES[reset] for reset, rule in RULES.items()}  # with theta = 1/2 they spike alike


@dataclass(frozen=True)
class MPRLIF(Neuron):
    """Leaky integrate-and-fire neuron whose potential is rectified for the decision.

        h[t] = decay v[t-1] + x[t];  s[t] = 1 if phi(h[t]) >= 1/2 else 0
        v[t] = h - s / 2  (reset="soft") | h (1 - s)  ("hard", to zero)
        decay = exp(-dt / tau), or 1 - dt / tau with decay="euler"

    The threshold is 1/2, where phi stands still: so it fires as LIF(theta=0.5) does, spike for spike, and `lower` makes it
    that neuron. What differs is what training sees: surrogate(phi(h) - 1/2) phi'(h) in place of surrogate(h - 1/2).

    tau: membrane time constant, ms (above 0; math.inf gives no leak). Errors: ValueError that names the argument.
    """

    tau: float = 20.0
    reset: Literal["soft", "hard"] = "soft"
    decay: Literal["exponential", "euler"] = "exponential"

    def __post_init__(self) -> None:
        if self.tau != math.inf:
            finite("tau", self.tau, above=0.0)
        one_of("reset", self.reset, RULES)
        one_of("decay", self.decay, ("exponential", "euler"))

    @property
    def rule(self) -> Rule:
        return RULES[self.reset]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"decay": lif.decay_of(self.tau, dt, self.decay)}
