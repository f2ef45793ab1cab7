"""Adaptive exponential integrate-and-fire with exponential synaptic conductances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.neurons.membrane import below, refractory_steps
from snnsim.rule import Neuron, Rule, exp, finite, where


def charge(ref: float, ge: float, gi: float, w: float, v: float, ex: float, inh: float, keep_ex: float, keep_in: float,
           rate: float, rate_w: float, g_l: float, base: float, e_l: float, e_ex: float, e_in: float, v_t: float,
           sharp: float, slope: float, a: float, b: float, v_peak: float, v_reset: float,
           ref_steps: float) -> tuple[float, float, float, float, float]:
    held = ref > 0.0
    # e^30 crosses any v_peak within one step: beyond it the exponential could only overflow
    z = (v - v_t) * sharp
    current = (base + ge * e_ex + gi * e_in - (g_l + ge + gi) * v + slope * exp(where(z < 30.0, z, 30.0)) - w)
    return (where(held, ref - 1.0, 0.0), keep_ex * ge + ex, keep_in * gi + inh, w + rate_w * (a * (v - e_l) - w),
            where(held, v_reset, v + rate * current))


def margin(ref: float, ge: float, gi: float, w: float, v: float, keep_ex: float, keep_in: float, rate: float,
           rate_w: float, g_l: float, base: float, e_l: float, e_ex: float, e_in: float, v_t: float, sharp: float,
           slope: float, a: float, b: float, v_peak: float, v_reset: float, ref_steps: float) -> float:
    return v - v_peak


def reset(ref: float, ge: float, gi: float, w: float, v: float, s: float, keep_ex: float, keep_in: float, rate: float,
          rate_w: float, g_l: float, base: float, e_l: float, e_ex: float, e_in: float, v_t: float, sharp: float,
          slope: float, a: float, b: float, v_peak: float, v_reset: float,
          ref_steps: float) -> tuple[float, float, float, float, float]:
    return ref + s * ref_steps, ge, gi, w + s * b, v * (1.0 - s) + s * v_reset


RULE = Rule("adex", charge, margin, reset, inputs=("ex", "inh"), unit=("keep_ex", "keep_in"), conductances=("ex", "inh"),
            equation="h = v_reset while ref > 0 (ref falls by 1), else v + rate (base + ge e_ex + gi e_in - (g_l + ge + gi) v "
                     "+ slope exp((v - v_t) sharp) - w);  w = w + rate_w (a (v - e_l) - w);  ge = keep_ex ge + ex;  "
                     "gi = keep_in gi + inh;  s = [h >= v_peak];  v = v_reset, w = w + b and ref = ref_steps on a spike",
            source="Brette and Gerstner, J. Neurophysiol. 94 (2005)")


@dataclass(frozen=True)
class AdEx(Neuron):
    """Adaptive exponential integrate-and-fire neuron, with two exponential synaptic conductances.

        c_m dv/dt = g_l (e_l - v) + g_l delta_t exp((v - v_t) / delta_t) - w + ge (e_ex - v) + gi (e_in - v) + drive
        tau_w dw/dt = a (v - e_l) - w;  where v >= v_peak: v = v_reset, w = w + b
        dge/dt = -ge / tau_ex, dgi/dt = -gi / tau_in;  an input of x nS at `ex` or `inh`: g <- g + x

    Forward Euler for v and w, each from the values before the step; exact decay of the conductances, to which an input is
    added at the end of its step. The exponential's argument stops at 30, where v passes any peak in one step. On a spike v =
    v_reset, for as many whole steps as are nearest to the refractory period; w and the conductances go on. Both receptors
    take weights of at least 0, also `inh`. Near the peak the upstroke needs a short step: dt of 0.1 ms and below.

    c_m: pF; g_l: nS; delta_t: mV; tau_w, tau_ex, tau_in: ms (all above 0); e_l, v_t, v_peak, v_reset, e_ex, e_in: mV, v_t
    and v_reset below v_peak; a: nS; b, drive: pA; refractory: ms, at least 0. The defaults of the first row are the
    paper's. Starts at v = e_l, w = 0. Errors: ValueError that names the argument.
    """

    c_m: float = 281.0
    g_l: float = 30.0
    e_l: float = -70.6
    v_t: float = -50.4
    delta_t: float = 2.0
    tau_w: float = 144.0
    a: float = 4.0
    b: float = 80.5
    v_peak: float = 20.0
    v_reset: float = -70.6
    refractory: float = 0.0
    tau_ex: float = 5.0
    tau_in: float = 10.0
    e_ex: float = 0.0
    e_in: float = -80.0
    drive: float = 0.0

    def __post_init__(self) -> None:
        for name in ("c_m", "g_l", "delta_t", "tau_w", "tau_ex", "tau_in"):
            finite(name, getattr(self, name), above=0.0)
        for name in ("e_l", "v_t", "a", "b", "v_peak", "v_reset", "e_ex", "e_in", "drive"):
            finite(name, getattr(self, name))
        below("v_t", self.v_t, "v_peak", self.v_peak)
        below("v_reset", self.v_reset, "v_peak", self.v_peak)
        finite("refractory", self.refractory, at_least=0.0)

    @property
    def rule(self) -> Rule:
        return RULE

    @property
    def initial(self) -> dict[str, float]:
        return {"v": self.e_l}

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        keep_ex, keep_in = decay_of(self.tau_ex, dt, "exponential"), decay_of(self.tau_in, dt, "exponential")
        named = {name: np.asarray(getattr(self, name), np.float64)
                 for name in ("c_m", "g_l", "e_l", "v_t", "delta_t", "tau_w", "a", "b", "v_peak", "v_reset", "e_ex", "e_in")}
        values = {**named, "keep_ex": keep_ex, "keep_in": keep_in, "rate": dt / named["c_m"], "rate_w": dt / named["tau_w"],
                  "base": named["g_l"] * named["e_l"] + self.drive, "sharp": 1.0 / named["delta_t"],
                  "slope": named["g_l"] * named["delta_t"], "ref_steps": refractory_steps(self.refractory, dt)}
        return {p: values[p] for p in RULE.parameters}
