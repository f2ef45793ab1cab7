"""What a simulation leaves behind: spikes, counts and traces of a stretch of steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """The spikes of one population, sorted by (step, neuron). step: int64; neuron: int32, one entry a spike."""

    step: Array
    neuron: Array

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True, eq=False)
class Traces:
    """A state of chosen neurons after each step: values[step, k] belongs to neuron[k]."""

    state: str
    neuron: Array
    values: Array


@dataclass(frozen=True, eq=False)
class Recording:
    """The steps start .. start + steps - 1 of a simulation; a spike of step k has the time (k + 1) dt, its step's end.

    dt: ms. sizes: neurons of each population with a rule. spikes: by population, of those that were asked for. counts:
    by population, spikes in each step, int64 [steps]. traces: by population. synaptic_events: weights added to a target.
    wall_s: seconds that the run took.
    """

    dt: float
    start: int
    steps: int
    sizes: Mapping[str, int]
    spikes: Mapping[str, SpikeTrains]
    counts: Mapping[str, Array]
    traces: Mapping[str, Traces]
    synaptic_events: int
    wall_s: float

    @property
    def duration(self) -> float:
        """ms."""
        return self.steps * self.dt

    def times(self, population: str) -> Array:
        """The spike times of a population, ms."""
        return (self.spikes[population].step + 1) * self.dt

    def rate(self, population: str) -> float:
        """Mean spikes a second of a neuron of the population."""
        return float(self.counts[population].sum()) / self.sizes[population] / (1e-3 * self.duration)

    def digest(self) -> str:
        """The sha256 of all recorded (step, neuron), population after population: equal runs have equal digests."""
        whole = hashlib.sha256()
        for name, trains in self.spikes.items():
            whole.update(f"{name} {len(trains)} ".encode())
            whole.update(np.ascontiguousarray(trains.step, "<i8").tobytes())
            whole.update(np.ascontiguousarray(trains.neuron, "<i4").tobytes())
        return whole.hexdigest()
