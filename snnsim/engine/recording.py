"""What a simulation leaves behind: spikes, counts and traces of a stretch of steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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


def join_recordings(recordings: Sequence[Recording]) -> Recording:
    """One recording of what was recorded in stretches, each beginning where the one before ends.

    Errors: ValueError where they are not stretches of one simulation.
    """
    if not recordings:
        raise ValueError("there is no recording to join")
    first, stop = recordings[0], recordings[0].start
    kept = [(r.dt, r.sizes, list(r.spikes), list(r.counts), {n: (t.state, t.neuron.tolist()) for n, t in r.traces.items()})
            for r in recordings]
    for r, what in zip(recordings, kept, strict=True):
        if what != kept[0]:
            raise ValueError(f"the recording that starts at step {r.start} has another dt, or other populations or "
                             "traces, than the first")
        if r.start != stop:
            raise ValueError(f"a recording starts at step {r.start}, but the one before ends at step {stop}")
        stop += r.steps
    spikes = {name: SpikeTrains(np.concatenate([r.spikes[name].step for r in recordings]),
                                np.concatenate([r.spikes[name].neuron for r in recordings])) for name in first.spikes}
    traces = {name: replace(t, values=np.concatenate([r.traces[name].values for r in recordings]))
              for name, t in first.traces.items()}
    return replace(first, steps=stop - first.start, spikes=spikes, traces=traces,
                   counts={name: np.concatenate([r.counts[name] for r in recordings]) for name in first.counts},
                   synaptic_events=sum(r.synaptic_events for r in recordings), wall_s=sum(r.wall_s for r in recordings))
