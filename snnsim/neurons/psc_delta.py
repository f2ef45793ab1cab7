"""Leaky integrate-and-fire in mV whose membrane jumps with every input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.neurons.membrane import check_membrane, refractory_steps, rest_of
from snnsim.rule import Neuron, Rule, where


def charge(ref: float, v: float, x: float, decay: float, rest: float, v_th: float, v_reset: float,
           ref_steps: float) -> tuple[float, float]:
    held = ref > 0.0
    return where(held, ref - 1.0, 0.0), where(held, v_reset, decay * v + rest + x)


def margin(ref: float, v: float, decay: float, rest: float, v_th: float, v_reset: float, ref_steps: float) -> float:
    return v - v_th


def reset(ref: float, v: float, s: float, decay: float, rest: float, v_th: float, v_reset: float,
          ref_steps: float) -> tuple[float, float]:
    return ref + s * ref_steps, v * (1.0 - s) + s * v_reset


RULE = Rule("psc_delta", charge, margin, reset, unit=("decay",),
            equation="h = v_reset while ref > 0 (ref falls by 1), else decay v + rest + x;  s = [h >= v_th];  "
                     "v = v_reset and ref = ref_steps on a spike",
            source="Rotter and Diesmann, Biol. Cybern. 81 (1999)")


@dataclass(frozen=True)
class PscDelta(Neuron):
    """Leaky integrate-and-fire neuron whose membrane jumps by each input, integrated exactly.

        dv/dt = -(v - e_l) / tau + drive / c_m;  an input of x mV in step t: v <- v + x, before the threshold is tested
        h[t] = decay v[t-1] + (1 - decay) (e_l + drive tau / c_m) + x[t];  s[t] = 1 if h[t] >= v_th else 0
        decay = exp(-dt / tau)

    On a spike v = v_reset, for as many whole steps as are nearest to the refractory period; inputs in those are lost.

    tau: ms; c_m: pF (both above 0); e_l, v_th, v_reset: mV, v_reset below v_th; refractory: ms, at least 0; drive: a
    constant current, pA. Starts at v = e_l. Errors: ValueError that names the argument.
    """

    tau: float = 20.0
    c_m: float = 250.0
    e_l: float = -65.0
    v_th: float = -50.0
    v_reset: float = -65.0
    refractory: float = 2.0
    drive: float = 0.0

    def __post_init__(self) -> None:
        check_membrane(self.tau, self.c_m, self.e_l, self.v_th, self.v_reset, self.refractory, self.drive)

    @property
    def rule(self) -> Rule:
        return RULE

    @property
    def initial(self) -> dict[str, float]:
        return {"v": self.e_l}

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        decay = decay_of(self.tau, dt, "exponential")
        return {"decay": decay, "rest": rest_of(decay, self.tau, self.c_m, self.e_l, self.drive),
                "v_th": np.asarray(self.v_th, np.float64), "v_reset": np.asarray(self.v_reset, np.float64),
                "ref_steps": refractory_steps(self.refractory, dt)}
