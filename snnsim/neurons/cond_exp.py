"""Leaky integrate-and-fire in mV with exponential synaptic conductances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.neurons.membrane import check_membrane, refractory_steps
from snnsim.rule import Neuron, Rule, exp, finite, one_of, where


def charge(ref: float, ge: float, gi: float, v: float, ex: float, inh: float, keep_ex: float, keep_in: float,
           rate: float, g_l: float, base: float, e_ex: float, e_in: float, v_th: float, v_reset: float,
           ref_steps: float) -> tuple[float, float, float, float]:
    held = ref > 0.0
    total = g_l + ge + gi
    target = (base + ge * e_ex + gi * e_in) / total
    return (where(held, ref - 1.0, 0.0), keep_ex * ge + ex, keep_in * gi + inh,
            where(held, v_reset, target + (v - target) * exp(-rate * total)))


def euler(ref: float, ge: float, gi: float, v: float, ex: float, inh: float, keep_ex: float, keep_in: float,
          rate: float, g_l: float, base: float, e_ex: float, e_in: float, v_th: float, v_reset: float,
          ref_steps: float) -> tuple[float, float, float, float]:
    held = ref > 0.0
    current = base + ge * e_ex + gi * e_in - (g_l + ge + gi) * v
    return (where(held, ref - 1.0, 0.0), keep_ex * ge + ex, keep_in * gi + inh, where(held, v_reset, v + rate * current))


def margin(ref: float, ge: float, gi: float, v: float, keep_ex: float, keep_in: float, rate: float, g_l: float,
           base: float, e_ex: float, e_in: float, v_th: float, v_reset: float, ref_steps: float) -> float:
    return v - v_th


def reset(ref: float, ge: float, gi: float, v: float, s: float, keep_ex: float, keep_in: float, rate: float, g_l: float,
          base: float, e_ex: float, e_in: float, v_th: float, v_reset: float,
          ref_steps: float) -> tuple[float, float, float, float]:
    return ref + s * ref_steps, ge, gi, v * (1.0 - s) + s * v_reset


SOURCE = "Vogels and Abbott, J. Neurosci. 25 (2005); as a benchmark: Brette et al., J. Comput. Neurosci. 23 (2007)"
AFTER = (";  ge = keep_ex ge + ex;  gi = keep_in gi + inh;  s = [h >= v_th];  v = v_reset and ref = ref_steps on a spike")
RULES = {
    "exponential_euler": Rule(
        "cond_exp", charge, margin, reset, inputs=("ex", "inh"), unit=("keep_ex", "keep_in"), conductances=("ex", "inh"),
        source=SOURCE, equation="g = g_l + ge + gi;  w = (base + ge e_ex + gi e_in) / g;  h = v_reset while ref > 0 (ref falls "
                                "by 1), else w + (v - w) exp(-rate g)" + AFTER),
    "euler": Rule(
        "cond_exp_euler", euler, margin, reset, inputs=("ex", "inh"), unit=("keep_ex", "keep_in"),
        conductances=("ex", "inh"), source=SOURCE,
        equation="h = v_reset while ref > 0 (ref falls by 1), else v + rate (base + ge e_ex + gi e_in - (g_l + ge + gi) v)"
                 + AFTER),
}


@dataclass(frozen=True)
class CondExp(Neuron):
    """Leaky integrate-and-fire neuron whose inputs open conductances that close exponentially ("COBA").

        c_m dv/dt = g_l (e_l - v) + ge (e_ex - v) + gi (e_in - v) + drive,  g_l = c_m / tau
        dge/dt = -ge / tau_ex, dgi/dt = -gi / tau_in;  an input of x nS at `ex` or `inh`: g <- g + x
        h[t] = w + (v[t-1] - w) exp(-g dt / c_m)                       integrator="exponential_euler": exact for fixed g
             | v[t-1] + g dt / c_m (w - v[t-1])                        integrator="euler"
            with g = g_l + ge[t-1] + gi[t-1], w = (g_l e_l + ge[t-1] e_ex + gi[t-1] e_in + drive) / g
        ge[t] = exp(-dt / tau_ex) ge[t-1] + ex[t], the same for gi;  s[t] = 1 if h[t] >= v_th else 0

    An input is added at the end of its step. On a spike v = v_reset, for as many whole steps as are nearest to the
    refractory period; the conductances go on. Both receptors take weights of at least 0, also `inh`. Euler overshoots
    where g dt > c_m; the exponential form is stable at any dt.

    Brian2 with method="exponential_euler" and the equations above is the same step for step, but counts the step of the
    spike as refractory: it needs a refractory period one dt longer than given here.

    tau, tau_ex, tau_in: ms; c_m: pF (all above 0); e_l, v_th, v_reset, e_ex, e_in: mV, v_reset below v_th; refractory: ms,
    at least 0; drive: a constant current, pA. Starts at v = e_l. Errors: ValueError that names the argument.
    """

    tau: float = 20.0
    c_m: float = 200.0
    e_l: float = -60.0
    v_th: float = -50.0
    v_reset: float = -60.0
    refractory: float = 5.0
    tau_ex: float = 5.0
    tau_in: float = 10.0
    e_ex: float = 0.0
    e_in: float = -80.0
    drive: float = 0.0
    integrator: Literal["exponential_euler", "euler"] = "exponential_euler"

    def __post_init__(self) -> None:
        check_membrane(self.tau, self.c_m, self.e_l, self.v_th, self.v_reset, self.refractory, self.drive)
        finite("tau_ex", self.tau_ex, above=0.0)
        finite("tau_in", self.tau_in, above=0.0)
        finite("e_ex", self.e_ex)
        finite("e_in", self.e_in)
        one_of("integrator", self.integrator, RULES)

    @property
    def rule(self) -> Rule:
        return RULES[self.integrator]

    @property
    def initial(self) -> dict[str, float]:
        return {"v": self.e_l}

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        if self.integrator == "euler":
            decay_of(self.tau, dt, "euler")  # refuses a leak that overshoots
        c_m = np.asarray(self.c_m, np.float64)
        g_l = c_m / self.tau
        return {"keep_ex": decay_of(self.tau_ex, dt, "exponential"), "keep_in": decay_of(self.tau_in, dt, "exponential"),
                "rate": dt / c_m, "g_l": g_l, "base": g_l * self.e_l + self.drive,
                "e_ex": np.asarray(self.e_ex, np.float64), "e_in": np.asarray(self.e_in, np.float64),
                "v_th": np.asarray(self.v_th, np.float64), "v_reset": np.asarray(self.v_reset, np.float64),
                "ref_steps": refractory_steps(self.refractory, dt)}
