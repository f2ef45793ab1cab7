"""Neurons that fire above the threshold, not at it, and whose reset may come one step late: snnTorch's.

A late reset is found in the membrane that the step before left: v > theta. It takes theta off ("late_soft"), or empties
the membrane together with the input of that step ("late_hard"). The operations stand in snnTorch's order, so that spikes
are equal bit for bit. `gain` is what an input is multiplied by, `keep` and `decay` are the shares that stay.

Source: Eshraghian et al., Proc. IEEE 111 (2023); the order of operations is that of snnTorch 1.0.
"""

from __future__ import annotations

from snnsim.neurons import cuba
from snnsim.neurons.lif import bound, charge, hard, leap
from snnsim.neurons.lif import none as stay
from snnsim.rule import Rule, where


# Leaky, and RLeaky, which alone has "late_hard". At the threshold itself the margin is a number below 0 that no slope sees.
def margin(v: float, decay: float, theta: float) -> float:
    u = v - theta
    return where(u > 0.0, u, u - 1e-30)


def charge_late(v: float, x: float, decay: float, theta: float) -> float:
    return decay * v + x - where(v > theta, theta, 0.0)


def charge_emptied(v: float, x: float, decay: float, theta: float) -> float:
    return where(v > theta, 0.0 * v, decay * v + x)


# Leaky with reset_delay=False: a membrane that stays above the threshold after its reset is reset once more, with the
# next charge (r = 1), and that reset is given back where the neuron fires again.
def charge_twice(v: float, r: float, x: float, decay: float, theta: float) -> tuple[float, float]:
    again = where(v > theta, 1.0, 0.0 * v)
    return decay * v + x - again * theta, again


def margin_twice(v: float, r: float, decay: float, theta: float) -> float:
    u = v - theta
    return where(u > 0.0, u, u - 1e-30)


def soft_twice(v: float, r: float, s: float, decay: float, theta: float) -> tuple[float, float]:
    return v - (s - r) * theta, r


def leap_twice(v: float, r: float, k: float, decay: float, theta: float) -> tuple[float, float]:
    return v * decay ** k, 0.0 * r


def bound_twice(v: float, r: float, decay: float, theta: float) -> float:
    return where(v > 0.0, v, 0.0) - theta


# Synaptic.
def cuba_late(i: float, v: float, x: float, keep: float, decay: float, theta: float) -> tuple[float, float]:
    current = keep * i + x
    return current, decay * v + current - where(v > theta, theta, 0.0)


def cuba_emptied(i: float, v: float, x: float, keep: float, decay: float, theta: float) -> tuple[float, float]:
    current = keep * i + x
    return current, where(v > theta, 0.0 * v, decay * v + current)


def cuba_margin(i: float, v: float, keep: float, decay: float, theta: float) -> float:
    u = v - theta
    return where(u > 0.0, u, u - 1e-30)


def cuba_stay(i: float, v: float, s: float, keep: float, decay: float, theta: float) -> tuple[float, float]:
    return i, v


def cuba_twice(i: float, v: float, r: float, x: float, keep: float, decay: float,
               theta: float) -> tuple[float, float, float]:
    current, again = keep * i + x, where(v > theta, 1.0, 0.0 * v)
    return current, decay * v + current - again * theta, again


def cuba_margin_twice(i: float, v: float, r: float, keep: float, decay: float, theta: float) -> float:
    u = v - theta
    return where(u > 0.0, u, u - 1e-30)


def cuba_soft_twice(i: float, v: float, r: float, s: float, keep: float, decay: float,
                    theta: float) -> tuple[float, float, float]:
    return i, v - (s - r) * theta, r


# Lapicque.
def driven(v: float, x: float, gain: float, decay: float, theta: float) -> float:
    return x * gain + decay * v


def driven_late(v: float, x: float, gain: float, decay: float, theta: float) -> float:
    return x * gain + decay * v - where(v > theta, theta, 0.0)


def driven_emptied(v: float, x: float, gain: float, decay: float, theta: float) -> float:
    return where(v > theta, 0.0 * v, x * gain + decay * v)


def driven_margin(v: float, gain: float, decay: float, theta: float) -> float:
    u = v - theta
    return where(u > 0.0, u, u - 1e-30)


def driven_stay(v: float, s: float, gain: float, decay: float, theta: float) -> float:
    return v


def driven_leap(v: float, k: float, gain: float, decay: float, theta: float) -> float:
    return v * decay ** k


def driven_bound(v: float, gain: float, decay: float, theta: float) -> float:
    return where(v > 0.0, v, 0.0) - theta


FIRES = "s = [h > theta]"
ONE, TWO = ("decay",), ("keep", "decay")
LEAKY = {
    "late_soft": Rule("leaky_late_soft", charge_late, margin, stay, leap, bound, unit=ONE,
                      equation=f"h = decay v + x - [v > theta] theta;  {FIRES};  v = h"),
    "late_hard": Rule("leaky_late_hard", charge_emptied, margin, stay, leap, bound, unit=ONE,
                      equation=f"h = [v <= theta] (decay v + x);  {FIRES};  v = h"),
    "soft": Rule("leaky_soft", charge_twice, margin_twice, soft_twice, leap_twice, bound_twice, unit=ONE,
                 equation=f"r = [v > theta];  h = decay v + x - r theta;  {FIRES};  v = h - (s - r) theta"),
    "hard": Rule("leaky_hard", charge, margin, hard, leap, bound, unit=ONE,
                 equation=f"h = decay v + x;  {FIRES};  v = h (1 - s)"),
    "none": Rule("leaky_none", charge, margin, stay, leap, bound, unit=ONE, equation=f"h = decay v + x;  {FIRES};  v = h")}
SYNAPTIC = {
    "late_soft": Rule("synaptic_late_soft", cuba_late, cuba_margin, cuba_stay, bound=cuba.bound, unit=TWO,
                      equation=f"i = keep i + x;  h = decay v + i - [v > theta] theta;  {FIRES};  v = h"),
    "late_hard": Rule("synaptic_late_hard", cuba_emptied, cuba_margin, cuba_stay, bound=cuba.bound, unit=TWO,
                      equation=f"i = keep i + x;  h = [v <= theta] (decay v + i);  {FIRES};  v = h"),
    "soft": Rule("synaptic_soft", cuba_twice, cuba_margin_twice, cuba_soft_twice, unit=TWO,
                 equation=f"r = [v > theta];  i = keep i + x;  h = decay v + i - r theta;  {FIRES};  v = h - (s - r) theta"),
    "hard": Rule("synaptic_hard", cuba.charge, cuba_margin, cuba.hard, bound=cuba.bound, unit=TWO,
                 equation=f"i = keep i + x;  h = decay v + i;  {FIRES};  v = h (1 - s)"),
    "none": Rule("synaptic_none", cuba.charge, cuba_margin, cuba_stay, bound=cuba.bound, unit=TWO,
                 equation=f"i = keep i + x;  h = decay v + i;  {FIRES};  v = h")}
LAPICQUE = {
    "late_soft": Rule("lapicque_late_soft", driven_late, driven_margin, driven_stay, driven_leap, driven_bound, unit=ONE,
                      equation=f"h = gain x + decay v - [v > theta] theta;  {FIRES};  v = h"),
    "late_hard": Rule("lapicque_late_hard", driven_emptied, driven_margin, driven_stay, driven_leap, driven_bound, unit=ONE,
                      equation=f"h = [v <= theta] (gain x + decay v);  {FIRES};  v = h"),
    "none": Rule("lapicque_none", driven, driven_margin, driven_stay, driven_leap, driven_bound, unit=ONE,
                 equation=f"h = gain x + decay v;  {FIRES};  v = h")}
