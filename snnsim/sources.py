"""Sources: populations whose spikes or currents are given, or drawn, instead of computed by a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.rule import finite


class Source(ABC):
    """One of Poisson, SpikeTimes and StepCurrent."""

    @abstractmethod
    def check(self, size: int) -> None:
        """ValueError where the source does not fit a population of this size."""


@dataclass(frozen=True, eq=False)
class Poisson(Source):
    """Independent Poisson spikes: at each step the count of neuron i has the mean rate_i dt.

    rate: Hz, one for all or one a neuron; at least 0. The counts are a function of (seed, population, neuron, step).
    """

    rate: ArrayLike

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", _kept(finite("rate of Poisson", self.rate, at_least=0.0)))

    def check(self, size: int) -> None:
        if np.shape(self.rate) not in ((), (size,)):
            raise ValueError(f"rate of Poisson must be a number or have {size} entries, got shape {np.shape(self.rate)}")


@dataclass(frozen=True, eq=False)
class SpikeTimes(Source):
    """Given spikes: neuron[k] fires at times[k] (ms), in step floor(times[k] / dt); equal entries count separately.

    times: at least 0, in any order. neuron: one a time, or one number for all.
    """

    times: ArrayLike
    neuron: ArrayLike = 0

    def __post_init__(self) -> None:
        times = finite("times of SpikeTimes", self.times, at_least=0.0)
        neuron = np.asarray(self.neuron)
        if times.ndim != 1:
            raise ValueError(f"times of SpikeTimes must be a list of times, got shape {times.shape}")
        if neuron.dtype.kind not in "ui" or neuron.shape not in ((), times.shape):
            raise ValueError(f"neuron of SpikeTimes must be one whole number, or {times.size}, got shape {neuron.shape} "
                             f"of {neuron.dtype}")
        object.__setattr__(self, "times", _kept(times))
        object.__setattr__(self, "neuron", _kept(np.broadcast_to(neuron, times.shape).astype(np.int64)))

    def check(self, size: int) -> None:
        neuron = np.asarray(self.neuron)
        if neuron.size and (neuron.min() < 0 or neuron.max() >= size):
            raise ValueError(f"neuron of SpikeTimes must lie in 0 .. {size - 1}, got {neuron.min()} .. {neuron.max()}")


@dataclass(frozen=True, eq=False)
class StepCurrent(Source):
    """A current that is values[k] from times[k] (ms) to the next time, and 0 before the first.

    times: rising, at least 0; the step of a time is floor(times[k] / dt). values: [times] or [times, neurons], in the
    unit of the receptor. A projection adds weight times the current at every step.
    """

    times: ArrayLike
    values: ArrayLike

    def __post_init__(self) -> None:
        times = finite("times of StepCurrent", self.times, at_least=0.0)
        values = finite("values of StepCurrent", self.values)
        if times.ndim != 1 or not times.size or np.any(np.diff(times) <= 0):
            raise ValueError("times of StepCurrent must be a rising list of at least one time")
        if values.ndim not in (1, 2) or len(values) != len(times):
            raise ValueError(f"values of StepCurrent must have the shape [{len(times)}] or [{len(times)}, neurons], got "
                             f"{values.shape}")
        object.__setattr__(self, "times", _kept(times))
        object.__setattr__(self, "values", _kept(values))

    def check(self, size: int) -> None:
        shape = np.shape(self.values)
        if len(shape) == 2 and shape[1] != size:
            raise ValueError(f"values of StepCurrent have {shape[1]} columns for a population of {size}")


def step_of(times: ArrayLike, dt: float) -> NDArray[np.int64]:
    """The steps in which times (ms) lie: floor(times / dt), where a time that rounding put just before a step's begin
    counts as that begin."""
    return np.floor(np.asarray(times) / dt + 1e-6).astype(np.int64)


def _kept(array: NDArray[np.generic]) -> NDArray[np.generic]:
    array = np.array(array)
    array.setflags(write=False)
    return array
