"""Izhikevich's simple model: two variables, and most firing patterns of cortical neurons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.neurons.membrane import below
from snnsim.rule import Neuron, Rule, finite


def charge(u: float, v: float, x: float, half: float, pace: float, b: float, c: float, d: float,
           drive: float) -> tuple[float, float]:
    # in the paper's order of operations, for the same bits: the upstroke at dt = 1 ms magnifies any rounding
    current = x + drive
    first = v + half * (0.04 * (v * v) + 5.0 * v + 140.0 - u + current)
    second = first + half * (0.04 * (first * first) + 5.0 * first + 140.0 - u + current)
    return u + pace * (b * second - u), second


def margin(u: float, v: float, half: float, pace: float, b: float, c: float, d: float, drive: float) -> float:
    return v - 30.0


def reset(u: float, v: float, s: float, half: float, pace: float, b: float, c: float, d: float,
          drive: float) -> tuple[float, float]:
    return u + s * d, v * (1.0 - s) + s * c


PEAK = 30.0
RULE = Rule("izhikevich", charge, margin, reset,
            equation="twice: v = v + half (0.04 v^2 + 5 v + 140 - u + x + drive);  u = u + pace (b v - u);  s = [v >= 30];  "
                     "v = c and u = u + d on a spike",
            source="Izhikevich, IEEE Trans. Neural Netw. 14 (2003)")


@dataclass(frozen=True)
class Izhikevich(Neuron):
    """Izhikevich's neuron: a quadratic membrane v and its recovery u.

        dv/dt = 0.04 v^2 + 5 v + 140 - u + x + drive;  du/dt = a (b v - u);  where v >= 30: v = c, u = u + d

    A step is that of the paper's program: forward Euler, v in two half steps with the same u, then u in a whole step with
    the new v. An input x is a current that acts throughout its own step and no longer (a rate of v, in mV/ms, so it is not
    scaled by dt); it is no jump of v. The paper takes dt = 1 ms; dt of 0.1 ms and below approaches the equations. At dt =
    1 ms inputs that swing by several hundreds make the quadratic term overflow, as they do in the paper's program.

    a: 1/ms; b: 1/ms; c: mV, below 30; d: the rise of u, mV/ms; drive: a constant current, mV/ms. Regular spiking is
    (0.02, 0.2, -65, 8), fast spiking (0.1, 0.2, -65, 2), chattering (0.02, 0.2, -50, 2). Starts at v = c, u = b c.
    Errors: ValueError that names the argument.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    drive: float = 0.0

    def __post_init__(self) -> None:
        for name in ("a", "b", "c", "d", "drive"):
            finite(name, getattr(self, name))
        below("c", self.c, "the peak", PEAK)

    @property
    def rule(self) -> Rule:
        return RULE

    @property
    def initial(self) -> dict[str, float]:
        return {"u": self.b * self.c, "v": self.c}

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        finite("dt", dt, above=0.0)
        return {"half": np.asarray(0.5 * dt), "pace": dt * np.asarray(self.a, np.float64), "b": np.asarray(self.b, np.float64),
                "c": np.asarray(self.c, np.float64), "d": np.asarray(self.d, np.float64),
                "drive": np.asarray(self.drive, np.float64)}
