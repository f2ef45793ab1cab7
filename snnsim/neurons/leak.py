"""Leaky integrate-and-fire whose leak is a share of the membrane, and which the input may share: SpikingJelly's.

The operations stand in its order, so that spikes are equal bit for bit. `tau` divides, in steps (at least 1); `rate`
multiplies, from 0 to 1. A membrane that rests at v_rest is written as its distance from there, with theta - v_rest.
"""

from __future__ import annotations

from collections.abc import Callable

from snnsim.rule import Rule

Function = Callable[..., float]


def shared(v: float, x: float, tau: float, theta: float) -> float:
    return v + (x - v) / tau


def kept(v: float, x: float, tau: float, theta: float) -> float:
    return v - v / tau + x


def margin(v: float, tau: float, theta: float) -> float:
    return v - theta


def soft(v: float, s: float, tau: float, theta: float) -> float:
    return v - s * theta


def hard(v: float, s: float, tau: float, theta: float) -> float:
    return v * (1.0 - s)


def shared_rate(v: float, x: float, rate: float, theta: float) -> float:
    return v + (x - v) * rate


def kept_rate(v: float, x: float, rate: float, theta: float) -> float:
    return v - v * rate + x


def margin_rate(v: float, rate: float, theta: float) -> float:
    return v - theta


def soft_rate(v: float, s: float, rate: float, theta: float) -> float:
    return v - s * theta


def hard_rate(v: float, s: float, rate: float, theta: float) -> float:
    return v * (1.0 - s)


def _rules(by: str, source: str, over: Function, charges: dict[str, tuple[Function, str]], resets: dict[str, Function],
           unit: tuple[str, ...] = ()) -> dict[tuple[str, str], Rule]:
    after = {"soft": "v = h - s theta", "hard": "v = h (1 - s)"}
    return {(inputs, reset): Rule(f"lif_{by}_{inputs}_{reset}", charge, over, function, unit=unit, source=source,
                                  equation=f"{equation};  s = [h >= theta];  {after[reset]}")
            for inputs, (charge, equation) in charges.items() for reset, function in resets.items()}


# By what becomes of the input, "shared" or "kept", and by the reset, "soft" or "hard".
BY_TAU = _rules("tau", "LIFNode of SpikingJelly: Fang et al., Sci. Adv. 9 (2023)", margin,
                {"shared": (shared, "h = v + (x - v) / tau"), "kept": (kept, "h = v - v / tau + x")},
                {"soft": soft, "hard": hard})
BY_RATE = _rules("rate", "ParametricLIFNode of SpikingJelly: Fang et al., ICCV (2021)", margin_rate,
                 {"shared": (shared_rate, "h = v + (x - v) rate"), "kept": (kept_rate, "h = v - v rate + x")},
                 {"soft": soft_rate, "hard": hard_rate}, ("rate",))
