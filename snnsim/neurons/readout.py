"""A leaky integrator that never fires: the usual readout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.lif import decay_of
from snnsim.rule import Neuron, Rule, finite


def charge(v: float, x: float, decay: float) -> float:
    return decay * v + x


def leap(v: float, k: float, decay: float) -> float:
    return v * decay ** k


RULE = Rule("li", charge, leap=leap, unit=("decay",), equation="v = decay v + x", source="textbook leaky integrator")


@dataclass(frozen=True)
class LI(Neuron):
    """Leaky integrator: v[t] = decay v[t-1] + x[t], decay = exp(-dt / tau). It has no spikes; its output is v.

    tau: ms, above 0. Errors: ValueError that names the argument.
    """

    tau: float = 20.0

    def __post_init__(self) -> None:
        finite("tau", self.tau, above=0.0)

    @property
    def rule(self) -> Rule:
        return RULE

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"decay": decay_of(self.tau, dt, "exponential")}
