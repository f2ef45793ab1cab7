"""What sources give at given times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.junctions.parts import Waveform

Array = NDArray[np.float64]


def at(wave: Waveform, time: Array, step: float, stop: float, seed: int = 0) -> Array:
    """Volts or amperes of the source at these times, s; before its first time it gives its first value.

    step, stop: s; what SPICE takes for times that are left out: rises of a step, a width and a period of the whole run, a
    frequency of one period a run. seed: of noise, which is value + sqrt(1 / (2 step)) amplitude N(0, 1), held for its own step.
    """
    v = wave.values
    if wave.kind == "dc":
        return np.full(time.shape, v[0])
    if wave.kind == "pwl":
        return np.interp(time, v[::2], v[1::2])
    if wave.kind == "pulse":
        return _pulse(v, time, step, stop)
    if wave.kind == "sin":
        delay, damping = (*v[3:], 0.0, 0.0)[:2]
        since = np.maximum(time - delay, 0.0)
        return v[0] + v[1] * np.sin(2 * np.pi * v[2] * since) * np.exp(-damping * since)
    if wave.kind == "exp":
        rise, fall = np.maximum(time - v[2], 0.0), np.maximum(time - v[4], 0.0)
        return v[0] + (v[1] - v[0]) * -np.expm1(-rise / v[3]) + (v[0] - v[1]) * -np.expm1(-fall / v[5])
    held = np.floor((time - v[2]) / v[3]).astype(np.int64)
    drawn = normal(seed, held) * v[1] / np.sqrt(2 * v[3])
    return v[0] + np.where(time < v[2], 0.0, drawn)


def _pulse(v: tuple[float, ...], time: Array, step: float, stop: float) -> Array:
    given = (*v[2:], *(0.0, step, step, stop, stop)[len(v) - 2:])
    delay, rise, fall, width, period = given
    rise, fall = rise or step, fall or step
    since = time - delay
    since = np.where(since < 0, since, np.mod(since, period if period > 0 else stop))
    return np.interp(since, (0.0, rise, rise + width, rise + width + fall), (v[0], v[1], v[1], v[0]))


def normal(seed: int, counter: NDArray[np.int64]) -> Array:
    """N(0, 1) for each counter, by splitmix64 (Steele, Lea and Flood, OOPSLA 2014) and Box and Muller."""
    with np.errstate(over="ignore"):
        first = _mixed(counter.astype(np.uint64) * np.uint64(2) + _mixed(np.uint64(seed)))
        second = _mixed(counter.astype(np.uint64) * np.uint64(2) + np.uint64(1) + _mixed(np.uint64(seed)))
    radius = np.sqrt(-2.0 * np.log(((first >> np.uint64(11)).astype(float) + 1.0) * 2.0**-53))
    return np.asarray(radius * np.cos(2 * np.pi * (second >> np.uint64(11)).astype(float) * 2.0**-53))


def _mixed(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    z = np.asarray(z) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
