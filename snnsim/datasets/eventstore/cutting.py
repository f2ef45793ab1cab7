"""Part of each recording: a range of time or of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import Events, whole
from snnsim.datasets.eventstore.reading import EventStore
from snnsim.rule import finite


@dataclass(frozen=True, eq=False, repr=False)
class Cut:
    """The events of a store's recordings with start <= t < stop (µs; None is no limit), and of these the numbers
    first <= i < last."""

    of: Store
    start: int
    stop: int | None
    first: int
    last: int | None

    def __len__(self) -> int:
        return len(self.of)

    def _range(self, number: int) -> tuple[int, int]:
        if isinstance(self.of, EventStore):
            a = self.of.index(number, self.start)
            b = self.of.count(number) if self.stop is None else self.of.index(number, self.stop)
        else:
            times = self.of.events(number)["t"]
            a = int(np.searchsorted(times, self.start))
            b = len(times) if self.stop is None else int(np.searchsorted(times, self.stop))
        return min(a + self.first, b), b if self.last is None else min(a + self.last, b)

    def events(self, number: int) -> Events:
        first, last = self._range(number)
        return self.of.events(number, first, last) if isinstance(self.of, EventStore) else self.of.events(number)[first:last]

    def blocks(self, number: int) -> Iterator[Events]:
        if isinstance(self.of, EventStore):
            yield from self.of.blocks(number, *self._range(number))
        else:
            yield self.events(number)

    def source(self, number: int) -> str:
        return self.of.source(number)


def cut(dataset: EventDataset, start: float = 0.0, stop: float | None = None, first: int = 0,
        last: int | None = None) -> EventDataset:
    """Each recording's events with start <= t < stop, in ms on its own clock, and of these those numbered first <= i < last.

    Times stay what they are. From an event store only that range is read. Errors: ValueError that names the argument.
    """
    begin = round(1000.0 * float(finite("start", start, at_least=0.0)))
    end = None if stop is None else round(1000.0 * float(finite("stop", stop, at_least=0.0)))
    whole("first", first, 0)
    if end is not None and end < begin:
        raise ValueError(f"stop must not be before start, {start:g} ms, got {stop:g} ms")
    if last is not None and whole("last", last, 0) < first:
        raise ValueError(f"last must be at least first, {first}, got {last}")
    return replace(dataset, store=Cut(dataset.store, begin, end, first, last))
