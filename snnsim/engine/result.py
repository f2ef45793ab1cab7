"""What a run gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Spikes:
    """The spikes of one population, sorted by (sample, step, neuron); the arrays are formed when first asked for.

    shape: (steps, samples, *population). step, sample, neuron: int64, one entry a spike; neuron is the C index. first: the step
    that the first of these steps is, 0 but in a piece of a longer run.
    """

    shape: tuple[int, ...]
    pieces: Sequence[Array]  # each thread's spikes, in the engine's order
    per_step: Array  # [samples, steps]
    order: Array  # C index of the engine's index
    first: int = 0

    @cached_property
    def neuron(self) -> Array:
        size = len(self.order)
        inner = np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.int32)
        row = np.repeat(np.arange(self.per_step.size), self.per_step.ravel())
        return np.asarray(np.sort(row * size + self.order[inner]) % size)

    @cached_property
    def step(self) -> Array:
        samples, steps = self.per_step.shape
        return np.repeat(np.tile(self.first + np.arange(steps), samples), self.per_step.ravel())

    @cached_property
    def sample(self) -> Array:
        return np.repeat(np.arange(len(self.per_step)), self.per_step.sum(1))

    def __len__(self) -> int:
        return int(self.per_step.sum())

    def dense(self) -> NDArray[np.uint8]:
        """1 where a neuron fired: [steps, samples, *population]."""
        steps, samples, *population = self.shape
        fired = np.zeros((steps, samples, len(self.order)), np.uint8)
        fired[self.step - self.first, self.sample, self.neuron] = 1
        return fired.reshape(steps, samples, *population)


@dataclass(frozen=True, eq=False)
class Result:
    """A run of B samples over T steps.

    prediction: the output with the highest score, ties to the lowest index: an int for one sample given alone, else
    int64 [B]. scores: [B, outputs], the mean of the output's last state over the steps, or its spike counts.
    spikes: by population. counts: by population, spikes of each sample, int64 [B].
    membranes: by population named in `record`, its last state after each step, [T, B, *population].
    synaptic_events: by projection, additions to a target, one per spike and reached target of each map of the chain;
    several events of a pixel in a step count once. A projection of the same name as another adds to its entry.
    ticked: share of the neurons that are updated every step: with a bias, without a bound, awake at rest, recorded, or
    read by their membrane. updates: neuron updates done, as a share of neurons x steps x samples.
    """

    prediction: int | NDArray[np.int64]
    scores: Array
    spikes: dict[str, Spikes]
    membranes: dict[str, Array]
    synaptic_events: dict[str, int]
    ticked: float
    updates: float

    @property
    def counts(self) -> dict[str, NDArray[np.int64]]:
        return {name: s.per_step.sum(1) for name, s in self.spikes.items()}
