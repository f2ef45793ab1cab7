"""What the neurons in mV, ms, pA and pF share: their checks, the refractory period in steps, and exact integration.

A membrane c_m dv/dt = -(c_m / tau) (v - e_l) + i(t) is linear, so that a step of any length has an exact solution:
v(t + dt) = exp(-dt / tau) v(t) + what the synaptic currents of time t add on the way.
Source: Rotter and Diesmann, Biol. Cybern. 81 (1999).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from snnsim.rule import finite

Number = float | NDArray[np.float64]
TERMS = 20  # of a power series in |z| <= 1: the next is below 1e-18


def check_membrane(tau: Number, c_m: Number, e_l: Number, v_th: Number, v_reset: Number, refractory: Number,
                   drive: Number) -> None:
    """ValueError that names the argument which no leaky membrane with a threshold can have."""
    finite("tau", tau, above=0.0)
    finite("c_m", c_m, above=0.0)
    finite("e_l", e_l)
    finite("v_th", v_th)
    finite("v_reset", v_reset)
    below("v_reset", v_reset, "v_th", v_th)
    finite("refractory", refractory, at_least=0.0)
    finite("drive", drive)


def below(name: str, value: Number, limit_name: str, limit: Number) -> None:
    """ValueError unless the value lies below the limit, which is another argument."""
    if np.any(np.asarray(value) >= np.asarray(limit)):
        raise ValueError(f"{name} must be below {limit_name} = {limit!r}, got {value!r}")


def synaptic_taus(tau_syn: Number | tuple[Number, Number]) -> tuple[Number, ...]:
    """One time constant, or the two of a pair (tau_ex, tau_in), ms. ValueError when it is neither."""
    taus = tuple(tau_syn) if isinstance(tau_syn, (tuple, list)) else (tau_syn,)
    if isinstance(tau_syn, (tuple, list)) and len(taus) != 2:
        raise ValueError(f"tau_syn must be one number or a pair (tau_ex, tau_in), got {tau_syn!r}")
    for t in taus:
        finite("tau_syn", t, above=0.0)
    return taus


def refractory_steps(refractory: Number, dt: float) -> NDArray[np.float64]:
    """The refractory period as the nearest whole number of steps."""
    return np.rint(np.asarray(refractory, np.float64) / dt)


def rest_of(decay: Number, tau: Number, c_m: Number, e_l: Number, drive: Number) -> NDArray[np.float64]:
    """What the leak towards e_l and a constant current add to v in one step: (1 - decay) (e_l + drive tau / c_m)."""
    # 1 - decay of the rounded decay, not expm1: so the fixed point of v = decay v + rest is the rest itself
    return (1.0 - np.asarray(decay)) * (e_l + np.asarray(drive) * tau / c_m)


def exponential_gain(tau: Number, tau_syn: Number, c_m: Number, dt: float) -> NDArray[np.float64]:
    """mV that a current of 1 pA, decaying with tau_syn, adds to v over one step; also where tau = tau_syn.

        1 / c_m  int_0^dt exp(-(dt - s) / tau) exp(-s / tau_syn) ds
    """
    slow, fast = np.maximum(tau, tau_syn), np.minimum(tau, tau_syn)
    z = -dt * (slow - fast) / (slow * fast)
    nonzero = np.where(z == 0.0, -1.0, z)
    return dt / np.asarray(c_m) * np.exp(-dt / slow) * np.where(z == 0.0, 1.0, np.expm1(nonzero) / nonzero)


def alpha_gain(tau: Number, tau_syn: Number, c_m: Number, dt: float) -> NDArray[np.float64]:
    """mV that a current s exp(-s / tau_syn) pA (s in ms) adds to v over one step; also where tau = tau_syn.

        1 / c_m  int_0^dt exp(-(dt - s) / tau) s exp(-s / tau_syn) ds
    """
    membrane, synapse = np.exp(-dt / np.asarray(tau)), np.exp(-dt / np.asarray(tau_syn))
    z = dt * (np.asarray(tau_syn) - tau) / (np.asarray(tau) * tau_syn)
    near = np.abs(z) < 1.0
    # the closed form cancels at z = 0: there int_0^1 u exp(u z) du as its power series
    small, series = np.where(near, z, 0.0), np.zeros_like(z)
    for k in reversed(range(TERMS)):
        series = series * small + 1.0 / (math.factorial(k) * (k + 2))
    large = np.where(near, 1.0, z)
    closed = ((large - 1.0) * synapse + membrane) / (large * large)
    return dt * dt / np.asarray(c_m) * np.where(near, membrane * series, closed)
