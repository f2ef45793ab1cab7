"""Leaky integrate-and-fire in mV with alpha-shaped synaptic currents: one, or one for each sign."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.neurons.membrane import (
    alpha_gain,
    check_membrane,
    exponential_gain,
    refractory_steps,
    rest_of,
    synaptic_taus,
)
from snnsim.rule import Neuron, Rule, where


def charge(ref: float, y: float, i: float, v: float, x: float, decay: float, keep: float, feed: float, lift: float,
           gain: float, rest: float, v_th: float, v_reset: float, ref_steps: float) -> tuple[float, float, float, float]:
    held = ref > 0.0
    return (where(held, ref - 1.0, 0.0), keep * y + x, keep * i + feed * y,
            where(held, v_reset, decay * v + gain * i + lift * y + rest))


def margin(ref: float, y: float, i: float, v: float, decay: float, keep: float, feed: float, lift: float, gain: float,
           rest: float, v_th: float, v_reset: float, ref_steps: float) -> float:
    return v - v_th


def reset(ref: float, y: float, i: float, v: float, s: float, decay: float, keep: float, feed: float, lift: float,
          gain: float, rest: float, v_th: float, v_reset: float, ref_steps: float) -> tuple[float, float, float, float]:
    return ref + s * ref_steps, y, i, v * (1.0 - s) + s * v_reset


def charge_two(ref: float, y_ex: float, i_ex: float, y_in: float, i_in: float, v: float, ex: float, inh: float,
               decay: float, keep_ex: float, keep_in: float, feed_ex: float, feed_in: float, lift_ex: float,
               lift_in: float, gain_ex: float, gain_in: float, rest: float, v_th: float, v_reset: float,
               ref_steps: float) -> tuple[float, float, float, float, float, float]:
    held = ref > 0.0
    return (where(held, ref - 1.0, 0.0), keep_ex * y_ex + ex, keep_ex * i_ex + feed_ex * y_ex, keep_in * y_in + inh,
            keep_in * i_in + feed_in * y_in,
            where(held, v_reset, decay * v + gain_ex * i_ex + lift_ex * y_ex + gain_in * i_in + lift_in * y_in + rest))


def margin_two(ref: float, y_ex: float, i_ex: float, y_in: float, i_in: float, v: float, decay: float, keep_ex: float,
               keep_in: float, feed_ex: float, feed_in: float, lift_ex: float, lift_in: float, gain_ex: float,
               gain_in: float, rest: float, v_th: float, v_reset: float, ref_steps: float) -> float:
    return v - v_th


def reset_two(ref: float, y_ex: float, i_ex: float, y_in: float, i_in: float, v: float, s: float, decay: float,
              keep_ex: float, keep_in: float, feed_ex: float, feed_in: float, lift_ex: float, lift_in: float,
              gain_ex: float, gain_in: float, rest: float, v_th: float, v_reset: float,
              ref_steps: float) -> tuple[float, float, float, float, float, float]:
    return ref + s * ref_steps, y_ex, i_ex, y_in, i_in, v * (1.0 - s) + s * v_reset


SOURCE = "Rotter and Diesmann, Biol. Cybern. 81 (1999); the alpha function: Rall, J. Neurophysiol. 30 (1967)"
AFTER = "s = [h >= v_th];  v = v_reset and ref = ref_steps on a spike"
RULES = {
    1: Rule("psc_alpha", charge, margin, reset, unit=("decay", "keep"), source=SOURCE,
            equation="h = v_reset while ref > 0 (ref falls by 1), else decay v + gain i + lift y + rest;  "
                     "i = keep i + feed y;  y = keep y + x;  " + AFTER),
    2: Rule("psc_alpha_two", charge_two, margin_two, reset_two, inputs=("ex", "inh"), unit=("decay", "keep_ex", "keep_in"),
            source=SOURCE,
            equation="h = v_reset while ref > 0 (ref falls by 1), else decay v + gain_ex i_ex + lift_ex y_ex + gain_in i_in + "
                     "lift_in y_in + rest;  i_ex = keep_ex i_ex + feed_ex y_ex;  y_ex = keep_ex y_ex + ex;  "
                     "i_in = keep_in i_in + feed_in y_in;  y_in = keep_in y_in + inh;  " + AFTER),
}


@dataclass(frozen=True)
class PscAlpha(Neuron):
    """Leaky integrate-and-fire neuron with alpha-shaped postsynaptic currents, integrated exactly.

    One input of x pA brings the current i(t) = x (e / tau_syn) t exp(-t / tau_syn), whose peak, at t = tau_syn, is x:

        c_m dv/dt = -(c_m / tau) (v - e_l) + i + drive;  di/dt = -i / tau_syn + (e / tau_syn) y;  dy/dt = -y / tau_syn
        h[t] = decay v[t-1] + gain i[t-1] + lift y[t-1] + (1 - decay) (e_l + drive tau / c_m)
        i[t] = keep i[t-1] + feed y[t-1];  y[t] = keep y[t-1] + x[t];  s[t] = 1 if h[t] >= v_th else 0
        decay = exp(-dt / tau), keep = exp(-dt / tau_syn), feed = e dt / tau_syn keep; gain and lift: what i and y add to
        v in a step, exact also where tau = tau_syn (`snnsim.neurons.membrane`)

    An input is added at the end of its step. On a spike v = v_reset, for as many whole steps as are nearest to the
    refractory period; the currents go on.

    tau_syn: one time constant, and all inputs, of either sign, arrive at receptor `x`; or a pair (tau_ex, tau_in), two
    currents that add up, with receptors `ex` and `inh` (what inhibits has a negative weight).
    tau, tau_syn: ms; c_m: pF (all above 0); e_l, v_th, v_reset: mV, v_reset below v_th; refractory: ms, at least 0;
    drive: a constant current, pA. Starts at v = e_l. Errors: ValueError that names the argument.
    """

    tau: float = 10.0
    c_m: float = 250.0
    e_l: float = -65.0
    v_th: float = -50.0
    v_reset: float = -65.0
    refractory: float = 2.0
    tau_syn: float | tuple[float, float] = 0.5
    drive: float = 0.0

    def __post_init__(self) -> None:
        check_membrane(self.tau, self.c_m, self.e_l, self.v_th, self.v_reset, self.refractory, self.drive)
        synaptic_taus(self.tau_syn)

    @property
    def rule(self) -> Rule:
        return RULES[len(synaptic_taus(self.tau_syn))]

    @property
    def initial(self) -> dict[str, float]:
        return {"v": self.e_l}

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        decay, taus = decay_of(self.tau, dt, "exponential"), synaptic_taus(self.tau_syn)
        endings = ("",) if len(taus) == 1 else ("_ex", "_in")
        of = {e: (np.asarray(t, np.float64), decay_of(t, dt, "exponential")) for e, t in zip(endings, taus, strict=True)}
        return {"decay": decay,
                **{f"keep{e}": keep for e, (_, keep) in of.items()},
                **{f"feed{e}": math.e * dt / t * keep for e, (t, keep) in of.items()},
                **{f"lift{e}": math.e / t * alpha_gain(self.tau, t, self.c_m, dt) for e, (t, _) in of.items()},
                **{f"gain{e}": exponential_gain(self.tau, t, self.c_m, dt) for e, (t, _) in of.items()},
                "rest": rest_of(decay, self.tau, self.c_m, self.e_l, self.drive),
                "v_th": np.asarray(self.v_th, np.float64), "v_reset": np.asarray(self.v_reset, np.float64),
                "ref_steps": refractory_steps(self.refractory, dt)}
