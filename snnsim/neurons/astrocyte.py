"""Leaky integrate-and-fire whose input gain, threshold or leak an astrocyte moves: slow calcium, saturating release.

The unit of Shen et al., arXiv:2312.07625 (2023), couples a neuron with an astrocyte; its equations were not at hand, so
that the model is our reading, not theirs. Calcium a follows the spikes of its own neuron, or, at the receptor `drive`,
those of its territory (see `snnsim.nn.Astrocytes`); release is A = 1 / (1 + exp(-steep (a - a0))).

A rule's functions call no helper, so that the release stands in each of them. exp(80) is still a float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.neurons.each import each, positive
from snnsim.neurons.lif import decay_of
from snnsim.rule import Neuron, Rule, exp, finite, one_of, where

Two = tuple[float, float]


# Own spikes: calcium takes them up in reset, for the step after.
def charge(a: float, v: float, x: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> Two:
    return a, decay * v + x


def charge_current(a: float, v: float, x: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                   eta: float) -> Two:
    z = steep * (a - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    return a, decay * v + x * (1.0 + eta * (2.0 * release - 1.0))


def charge_leak(a: float, v: float, x: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                eta: float) -> Two:
    z = steep * (a - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    keep = decay + (1.0 - decay) * (eta * release)
    return a, where(keep < 0.0, 0.0, where(keep > 0.9999999403953552, 0.9999999403953552, keep)) * v + x


def margin(a: float, v: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> float:
    return v - theta


def margin_threshold(a: float, v: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                     eta: float) -> float:
    z = steep * (a - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    return v - theta * (1.0 - eta * release)


def soft(a: float, v: float, s: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> Two:
    return rho * a + (1.0 - rho) * s, v - s * theta


def soft_threshold(a: float, v: float, s: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                   eta: float) -> Two:
    z = steep * (a - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    return rho * a + (1.0 - rho) * s, v - s * (theta * (1.0 - eta * release))


def hard(a: float, v: float, s: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> Two:
    return rho * a + (1.0 - rho) * s, v * (1.0 - s)


# A territory's spikes: they arrive one step later, and calcium takes them up in charge.
def shared(a: float, v: float, x: float, drive: float, decay: float, rho: float, theta: float, steep: float, a0: float,
           eta: float) -> Two:
    return rho * a + (1.0 - rho) * drive, decay * v + x


def shared_current(a: float, v: float, x: float, drive: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                   eta: float) -> Two:
    calcium = rho * a + (1.0 - rho) * drive
    z = steep * (calcium - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    return calcium, decay * v + x * (1.0 + eta * (2.0 * release - 1.0))


def shared_leak(a: float, v: float, x: float, drive: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                eta: float) -> Two:
    calcium = rho * a + (1.0 - rho) * drive
    z = steep * (calcium - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    keep = decay + (1.0 - decay) * (eta * release)
    return calcium, where(keep < 0.0, 0.0, where(keep > 0.9999999403953552, 0.9999999403953552, keep)) * v + x


def shared_soft(a: float, v: float, s: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                eta: float) -> Two:
    return a, v - s * theta


def shared_soft_threshold(a: float, v: float, s: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                          eta: float) -> Two:
    z = steep * (a - a0)
    release = 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))
    return a, v - s * (theta * (1.0 - eta * release))


def shared_hard(a: float, v: float, s: float, decay: float, rho: float, theta: float, steep: float, a0: float,
                eta: float) -> Two:
    return a, v * (1.0 - s)


# Silence: both states decay by themselves, but with mode "leak", where v decays by a factor that goes with a.
def leap(a: float, v: float, k: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> Two:
    return a * rho ** k, v * decay ** k


def bound(a: float, v: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> float:
    return where(v > 0.0, v, 0.0) - theta


def bound_threshold(a: float, v: float, decay: float, rho: float, theta: float, steep: float, a0: float, eta: float) -> float:
    # a goes to 0 and the threshold one way with it: its lowest is that of now or that at rest; and a little for rounding
    z, at_rest = steep * (a - a0), -(steep * a0)
    now = theta * (1.0 - eta / (1.0 + exp(-where(z < -80.0, -80.0, z))))
    rest = theta * (1.0 - eta / (1.0 + exp(-where(at_rest < -80.0, -80.0, at_rest))))
    return where(v > 0.0, v, 0.0) - where(now < rest, now, rest) + 1e-5 * theta * (1.0 + eta * eta)


SOURCE = "our reading of the unit of Shen et al., arXiv:2312.07625 (2023), whose equations were not seen"
MODES = {"current": "h = decay v + x (1 + eta (2 A - 1));  s = [h >= theta]", "threshold": "h = decay v + x;  "
         "s = [h >= theta (1 - eta A)]", "leak": "h = clip(decay + (1 - decay) eta A) v + x;  s = [h >= theta]"}
CHARGES: dict[str, dict[str, Callable[..., Two]]] = {
    "own": {"current": charge_current, "threshold": charge, "leak": charge_leak},
    "territory": {"current": shared_current, "threshold": shared, "leak": shared_leak}}
RESETS: dict[str, dict[tuple[str, bool], Callable[..., Two]]] = {
    "own": {("soft", False): soft, ("soft", True): soft_threshold, ("hard", False): hard, ("hard", True): hard},
    "territory": {("soft", False): shared_soft, ("soft", True): shared_soft_threshold, ("hard", False): shared_hard,
                  ("hard", True): shared_hard}}


def _rule(mode: str, reset: str, calcium: str) -> Rule:
    moved, own = mode == "threshold", calcium == "own"
    return Rule(f"amlif_{mode}_{reset}" + ("" if own else "_territory"), CHARGES[calcium][mode],
                margin_threshold if moved else margin, RESETS[calcium][reset, moved], None if mode == "leak" else leap,
                bound_threshold if moved else bound, inputs=("x",) if own else ("x", "drive"), unit=("decay", "rho"),
                equation=("" if own else "a = rho a + (1 - rho) drive;  ") + "A = 1 / (1 + exp(-steep (a - a0)));  "
                + MODES[mode] + (";  v = h - s theta" + (" (1 - eta A)" if moved else "") if reset == "soft"
                                 else ";  v = h (1 - s)") + (";  a = rho a + (1 - rho) s" if own else ""), source=SOURCE)


RULES = {(mode, reset, calcium): _rule(mode, reset, calcium)
         for mode in MODES for reset in ("soft", "hard") for calcium in CHARGES}


@dataclass(frozen=True)
class AMLIF(Neuron):
    """Astrocyte-modulated leaky integrate-and-fire neuron: our reading of Shen et al. (2023), whose equations were not seen.

        a[t] = rho a[t-1] + (1 - rho) s[t-1];  A[t] = sigma(k (a[t] - a0))
        h[t] = decay v[t-1] + x[t];  s[t] = 1 if h[t] >= theta else 0
        v[t] = h - s theta  (reset="soft") | h (1 - s)  ("hard"), but with

        mode="current":    x[t] (1 + eta (2 A - 1))                        for x[t]
        mode="threshold":  theta (1 - eta A)                               for theta, in the reset, too
        mode="leak":       decay + (1 - decay) eta A, clipped to [0, 1)    for decay
        decay = exp(-dt / tau), rho = exp(-dt / tau_a);  eta = 0 is LIF, bit for bit

    a is a rate in spikes a step, from 0 to 1; after step t the state a is that of step t + 1.

    tau, tau_a: ms, above 0 (tau_a well above tau); theta: above 0; k: slope of the release, above 0; a0: where the release is
    a half; eta: -1 to 1, below 1 in mode "threshold". Each may be an array, one value a neuron. territory: s[t-1] above is
    what arrives at the receptor `drive`, such as the mean over a group one step later (`snnsim.nn.Astrocytes`).
    Step parameters: decay, rho, theta, steep (k), a0, eta. Errors: ValueError that names the argument.
    """

    tau: ArrayLike = 20.0
    tau_a: ArrayLike = 500.0
    theta: ArrayLike = 1.0
    k: ArrayLike = 20.0
    a0: ArrayLike = 0.1
    eta: ArrayLike = 0.5
    mode: Literal["current", "threshold", "leak"] = "leak"
    reset: Literal["soft", "hard"] = "soft"
    territory: bool = False

    def __post_init__(self) -> None:
        for name in ("tau", "tau_a", "theta", "k"):
            positive(name, getattr(self, name))
        finite("a0", self.a0)
        one_of("mode", self.mode, MODES)
        one_of("reset", self.reset, ("soft", "hard"))
        depth = finite("eta", self.eta)
        if np.any(np.abs(depth) > 1.0) or (self.mode == "threshold" and np.any(depth == 1.0)):
            limit = "at least -1 and below 1 in mode 'threshold'" if self.mode == "threshold" else "from -1 to 1"
            raise ValueError(f"eta must be {limit}, got {self.eta!r}")
        if not isinstance(self.territory, bool):
            raise ValueError(f"territory must be True or False, got {self.territory!r}")
        for name in ("tau", "tau_a", "theta", "k", "a0", "eta"):
            object.__setattr__(self, name, each(getattr(self, name)))

    @property
    def rule(self) -> Rule:
        return RULES[self.mode, self.reset, "territory" if self.territory else "own"]

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        values = {"theta": self.theta, "steep": self.k, "a0": self.a0, "eta": self.eta}
        return {"decay": decay_of(self.tau, dt, "exponential"), "rho": decay_of(self.tau_a, dt, "exponential"),
                **{name: np.asarray(value, np.float64) for name, value in values.items()}}
