"""A control for what timing is worth: the same recordings with their steps in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import Events
from snnsim.rule import finite


@dataclass(frozen=True, eq=False, repr=False)
class Shuffled:
    """The recordings of a store, each with its steps of dt microseconds in an order of its own."""

    of: Store
    dt: int
    seed: int

    def __len__(self) -> int:
        return len(self.of)

    def events(self, number: int) -> Events:
        events = self.of.events(number).copy()
        if len(events):
            step = events["t"] // self.dt
            order = np.random.default_rng((self.seed, number)).permutation(int(step[-1]) + 1)
            events["t"] += (order[step] - step) * self.dt
            events = events[np.argsort(events["t"], kind="stable")]
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return self.of.source(number)


def shuffle_steps(dataset: EventDataset, dt: float, seed: int = 0) -> EventDataset:
    """The recordings with their steps of dt ms in random order, from the first step to that of the last event.

    What is in one step stays together, so that every count of events, in a step or in all, is what it was, and only the
    order in time is lost: what a net then still tells apart owes nothing to timing beyond a step. A recording's order
    depends on the seed and its number in the store alone. Errors: ValueError unless dt is whole microseconds above 0.
    """
    microseconds = 1000.0 * float(finite("dt", dt, above=0.0))
    if abs(microseconds - round(microseconds)) > 1e-6 or round(microseconds) < 1:
        raise ValueError(f"dt must be whole microseconds, got {dt:g} ms")
    return replace(dataset, store=Shuffled(dataset.store, round(microseconds), seed))
