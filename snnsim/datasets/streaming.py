"""Events that come piece after piece, as steps: the same rows as of the whole recording, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.binning import MOST_ROWS, EventBatch, _bin, exact, step_length
from snnsim.datasets.events import EVENT, Events, Sensor, read_only, validate, whole
from snnsim.kernel import jit
from snnsim.rule import one_of

STEPS = 4096  # of a batch, at most

Row = tuple[NDArray[np.int32], NDArray[np.float32]]  # features and counts of one step


def bin_stream(pieces: Iterable[Events], sensor: Sensor, dt: float, steps: int | None = None, clip: bool = False,
               t0: Literal["zero", "first"] = "zero", most: int = STEPS) -> Iterator[EventBatch]:
    """`bin_events` of one recording that comes in pieces, such as `datasets.stream` gives: batches [t, 1, C, H, W] of 1 to
    `most` steps, which one after another are the batch of the whole, wherever the pieces are cut.

    In memory are a piece, a batch, and the counts of the step that has not ended. With `steps` it stops reading at the last
    step's end, so that `dropped` of the last batch counts the rest of one piece alone. Errors: as `bin_events`; ValueError
    where a piece begins before the one before it ended, or silence of 2^27 steps comes before the first event.
    """
    length, most = step_length(dt), whole("most", most, 1)
    one_of("t0", t0, ("zero", "first"))
    end = None if steps is None else whole("steps", steps, 1)
    binned = _Binned(sensor, length, clip)
    start, last = 0, -1
    for number, piece in enumerate(pieces):
        name = f"piece {number}"
        validate(piece, sensor, name)
        if not len(piece):
            continue
        if last < 0:
            start = int(piece[0]["t"]) if t0 == "first" else 0
            if (int(piece[0]["t"]) - start) // length > MOST_ROWS:
                raise ValueError(f"the first event comes after more than {MOST_ROWS} steps of {dt:g} ms (t = {piece[0]['t']} "
                                 "µs): use t0=\"first\", or a larger dt")
        if piece[0]["t"] < last:
            raise ValueError(f"{name} begins at t = {piece[0]['t']} after {last}: times must not run backwards")
        last, i = int(piece[-1]["t"]), 0
        events = read_only(piece)
        while i < len(piece):
            stop = binned.done + most if end is None else min(binned.done + most, end)
            j = int(_first_at(events, start, length, stop))
            if j < len(piece):
                yield binned.batch(events[i:j], start, stop, len(piece) - j if stop == end else 0)
                if stop == end:
                    return
            elif (batch := binned.all_but_the_open(events[i:j], start)) is not None:
                yield batch
            i = j
    silent = read_only(np.empty(0, EVENT))
    while binned.done < (end or 0):
        yield binned.batch(silent, start, min(binned.done + most, end or 0))
    if end is None:
        yield binned.batch(silent, start, binned.done + 1)


class _Binned:
    """done: steps that were given away; held: what step `done` counts so far."""

    def __init__(self, sensor: Sensor, length: float, clip: bool) -> None:
        self.sensor, self.length, self.clip = sensor, length, clip
        self.tally, self.seen = np.zeros(sensor.size, np.int64), np.zeros((sensor.size + 63) // 64, np.uint64)
        self.done = 0
        self.held: Row = np.empty(0, np.int32), np.empty(0, np.float32)

    def batch(self, events: Events, start: int, stop: int, dropped: int = 0) -> EventBatch:
        """The steps done .. stop - 1, which these events end."""
        batch = self._batch(*self._rows(events, start, stop - self.done), dropped)
        self.held, self.done = (np.empty(0, np.int32), np.empty(0, np.float32)), stop
        return batch

    def all_but_the_open(self, events: Events, start: int) -> EventBatch | None:
        """The steps before that of the last event, which is held back as more of it may come; None where there is no other."""
        open_step = int((int(events[-1]["t"]) - start) // self.length)
        indptr, indices, values = self._rows(events, start, open_step - self.done + 1)
        at = indptr[-2]
        self.held = indices[at:].copy(), values[at:].copy()
        steps, self.done = open_step - self.done, open_step
        return self._batch(indptr[:-1], indices[:at], values[:at], 0) if steps else None

    def _batch(self, indptr: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[np.float32],
               dropped: int) -> EventBatch:
        return EventBatch(indptr, indices, values, (len(indptr) - 1, 1, *self.sensor.shape), dropped)

    def _rows(self, events: Events, start: int, steps: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """CSR of so many steps from `done` on, the held counts with them."""
        counts = np.zeros(steps, np.int64)
        indices, values = np.empty(len(events), np.int32), np.empty(len(events), np.float32)
        s = self.sensor
        _, _, largest = _bin(events, start, self.length, self.done, s.height, s.width, s.polarities, self.clip, indices, values,
                             counts, self.tally, self.seen)
        exact("the recording", largest)
        first, filled = int(counts[0]), int(counts.sum())
        if len(self.held[0]):
            features, place = np.unique(np.concatenate([self.held[0], indices[:first]]), return_inverse=True)
            amount = np.bincount(place, np.concatenate([self.held[1], values[:first]]))
            exact("the recording", 1 if self.clip else float(amount.max()))
            amount = np.minimum(amount, 1.0) if self.clip else amount
            indices = np.concatenate([features, indices[first:filled]])
            values = np.concatenate([amount.astype(np.float32), values[first:filled]])
            counts[0] = len(features)
        indptr = np.zeros(steps + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        return indptr, indices[:indptr[-1]], values[:indptr[-1]]


@jit(nogil=True)
def _first_at(events: Events, start: int, length: Any, step: int) -> int:
    """The first event in this step or a later one."""
    low, high = 0, len(events)
    while low < high:
        middle = (low + high) // 2
        if np.int64((events[middle]["t"] - start) // length) < step:
            low = middle + 1
        else:
            high = middle
    return low
