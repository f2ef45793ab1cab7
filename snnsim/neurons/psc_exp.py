"""Leaky integrate-and-fire in mV with exponential synaptic currents: one, or one for each sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.neurons.membrane import check_membrane, exponential_gain, refractory_steps, rest_of, synaptic_taus
from snnsim.rule import Neuron, Rule, where


def charge(ref: float, i: float, v: float, x: float, decay: float, keep: float, gain: float, rest: float, v_th: float,
           v_reset: float, ref_steps: float) -> tuple[float, float, float]:
    held = ref > 0.0
    return where(held, ref - 1.0, 0.0), keep * i + x, where(held, v_reset, decay * v + gain * i + rest)


def margin(ref: float, i: float, v: float, decay: float, keep: float, gain: float, rest: float, v_th: float,
           v_reset: float, ref_steps: float) -> float:
    return v - v_th


def reset(ref: float, i: float, v: float, s: float, decay: float, keep: float, gain: float, rest: float, v_th: float,
          v_reset: float, ref_steps: float) -> tuple[float, float, float]:
    return ref + s * ref_steps, i, v * (1.0 - s) + s * v_reset


def charge_two(ref: float, i_ex: float, i_in: float, v: float, ex: float, inh: float, decay: float, keep_ex: float,
               keep_in: float, gain_ex: float, gain_in: float, rest: float, v_th: float, v_reset: float,
               ref_steps: float) -> tuple[float, float, float, float]:
    held = ref > 0.0
    return (where(held, ref - 1.0, 0.0), keep_ex * i_ex + ex, keep_in * i_in + inh,
            where(held, v_reset, decay * v + gain_ex * i_ex + gain_in * i_in + rest))


def margin_two(ref: float, i_ex: float, i_in: float, v: float, decay: float, keep_ex: float, keep_in: float,
               gain_ex: float, gain_in: float, rest: float, v_th: float, v_reset: float, ref_steps: float) -> float:
    return v - v_th


def reset_two(ref: float, i_ex: float, i_in: float, v: float, s: float, decay: float, keep_ex: float, keep_in: float,
              gain_ex: float, gain_in: float, rest: float, v_th: float, v_reset: float,
              ref_steps: float) -> tuple[float, float, float, float]:
    return ref + s * ref_steps, i_ex, i_in, v * (1.0 - s) + s * v_reset


SOURCE = "Rotter and Diesmann, Biol. Cybern. 81 (1999); Tsodyks et al., J. Neurosci. 20 (2000)"
AFTER = "s = [h >= v_th];  v = v_reset and ref = ref_steps on a spike"
RULES = {
    1: Rule("psc_exp", charge, margin, reset, unit=("decay", "keep"), source=SOURCE,
            equation="h = v_reset while ref > 0 (ref falls by 1), else decay v + gain i + rest;  i = keep i + x;  " + AFTER),
    2: Rule("psc_exp_two", charge_two, margin_two, reset_two, inputs=("ex", "inh"), unit=("decay", "keep_ex", "keep_in"),
            source=SOURCE, equation="h = v_reset while ref > 0 (ref falls by 1), else decay v + gain_ex i_ex + gain_in i_in + "
                                    "rest;  i_ex = keep_ex i_ex + ex;  i_in = keep_in i_in + inh;  " + AFTER),
}


@dataclass(frozen=True)
class PscExp(Neuron):
    """Leaky integrate-and-fire neuron with exponential postsynaptic currents, integrated exactly.

        c_m dv/dt = -(c_m / tau) (v - e_l) + i + drive;  di/dt = -i / tau_syn;  an input of x pA: i <- i + x
        h[t] = decay v[t-1] + gain i[t-1] + (1 - decay) (e_l + drive tau / c_m);  i[t] = keep i[t-1] + x[t]
        s[t] = 1 if h[t] >= v_th else 0;  decay = exp(-dt / tau), keep = exp(-dt / tau_syn)
        gain = (exp(-dt / tau) - exp(-dt / tau_syn)) / (1 / tau_syn - 1 / tau) / c_m, or its limit where the two are equal

    An input is added at the end of its step, so it moves the membrane from the next step on. On a spike v = v_reset, for
    as many whole steps as are nearest to the refractory period; the currents go on.

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
        return {"decay": decay,
                **{f"keep{e}": decay_of(t, dt, "exponential") for e, t in zip(endings, taus, strict=True)},
                **{f"gain{e}": exponential_gain(self.tau, t, self.c_m, dt) for e, t in zip(endings, taus, strict=True)},
                "rest": rest_of(decay, self.tau, self.c_m, self.e_l, self.drive),
                "v_th": np.asarray(self.v_th, np.float64), "v_reset": np.asarray(self.v_reset, np.float64),
                "ref_steps": refractory_steps(self.refractory, dt)}
