"""Run a network on a recording that comes in pieces: the same spikes as from the whole, in memory that does not grow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from snnsim.engine.inputs import Rows, rows_of
from snnsim.engine.plan import Prepared
from snnsim.engine.result import Result
from snnsim.engine.running import LEAP_FROM, NEVER, collect, events_of, prepare, record_of, recorded, to_the_end, work_of
from snnsim.network import Network
from snnsim.rule import one_of


def stream(network: Network | Prepared, pieces: Iterable[Any], *, mode: Literal["event", "clock"] = "event",
           record: Sequence[str] = (), exact: bool = False) -> Iterator[Result]:
    """Run a network on one sample that comes piece after piece; a Result for each stretch of steps as soon as it is over.

    pieces: arrays of events, such as `datasets.stream` gives: they are binned by the network's time base (`bin_stream`), and
    may be cut anywhere; or batches [t, 1, *input] that are binned already, or counts [t, *input], each going on where the one
    before it ended. mode, record, exact: as in `run`.

    A Result holds the spikes, membranes and synaptic events of its own steps; `spikes[name].step` counts from the sample's
    beginning. scores and prediction are those of all steps so far, so the last ones are the sample's. What is computed does
    not depend on where the pieces are cut, in any bit: neurons that sleep from one piece to another go on sleeping.

    Errors: ValueError that names the argument; events outside the sensor or out of order are refused when their piece comes.
    """
    prepared = network if isinstance(network, Prepared) else prepare(network)
    one_of("mode", mode, ("event", "clock"))
    going = _Going(prepared, mode == "clock", recorded(prepared, record), NEVER if exact else LEAP_FROM)
    if isinstance(pieces, np.ndarray):
        raise ValueError("pieces must be an iterable of arrays of events, of batches or of counts, got one array: engine.run "
                         "takes a whole sample")
    return (going.on(rows) for rows in _rows(prepared, pieces))


def _rows(prepared: Prepared, pieces: Iterable[Any]) -> Iterator[Rows]:
    shape, time = prepared.shapes[0], prepared.time
    remaining = iter(pieces)
    first = next(remaining, None)
    every = remaining if first is None else itertools.chain([first], remaining)
    if first is None or (isinstance(first, np.ndarray) and first.dtype.names):
        from snnsim.datasets import Sensor, bin_stream  # only event arrays need it

        polarities, height, width = shape if len(shape) == 3 else (1, 1, *shape)
        if polarities > 2:
            raise ValueError(f"events have at most 2 polarities, but the network's input has shape {shape}: give counts")
        every = bin_stream(every, Sensor(height, width, polarities), time.dt, time.steps, time.clip, time.t0)
    for piece in every:
        rows = rows_of(piece, shape, time, prepared.dtype)
        if rows.batch != 1:
            raise ValueError(f"pieces must be of one sample, got one of {rows.batch} samples")
        yield Rows(rows.indptr, rows.index, rows.value, rows.steps, 1, True, rows.unit)


class _Going:
    """A sample between two pieces.

    A piece runs as a sample of its own whose first steps are the last ones before it: as many as the longest delay looks back
    (at least one, as step 0 is where a sample begins). They are not run again: their spikes and their input are put in place,
    and what counts steps (when a site was updated last, the rings of delayed synapses) is moved to the piece's own count.
    """

    def __init__(self, prepared: Prepared, clock: bool, kept: tuple[str, ...], leap_from: int) -> None:
        self.prepared, self.kept, self.leap_from = prepared, kept, leap_from
        self.plan, self.ticked = prepared.variant(clock, kept)
        self.work = work_of(prepared, self.plan)
        self.back = max([1, *(int(p["delay"]) for p in self.plan.projections)])
        self.done = 0
        names = len(prepared.names)
        self.input = Rows(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, prepared.dtype), 0, 1, True, True)
        self.spikes, self.ends = [np.empty(0, np.int32)] * names, np.zeros((names, 1), np.int64)
        self.score: Any = None

    def on(self, rows: Rows) -> Result:
        """Run the next steps."""
        before = self.input.steps
        given = _joined(self.input, rows)
        record, room = record_of(self.prepared, self.plan, events_of(given), 1, max(len(s) for s in self.spikes))
        for i, spikes in enumerate(self.spikes):
            record.spikes[record.start[i]: record.start[i] + len(spikes)] = spikes
        record.ends[:, 0, :before + 1] = self.ends
        record.cursor[1] = before
        record = record._replace(score=record.score if self.score is None else self.score)
        record = to_the_end(self.prepared, self.plan, self.work, record, events_of(given), 0, 1, room, self.leap_from)
        self.score = record.score
        own = record._replace(start=record.start + record.ends[:, 0, before], membrane=record.membrane[before:],
                              ends=record.ends[:, :, before:] - record.ends[:, :, before:before + 1])
        result = collect(self.prepared, self.plan, rows, [own], self.kept, self.ticked, self.done)
        self._keep(given, record)
        self.done += rows.steps
        return result

    def _keep(self, given: Rows, record: Any) -> None:
        """What the next piece needs of the last steps."""
        past = max(0, given.steps - self.back)
        low = given.indptr[past]
        self.input = Rows(given.indptr[past:] - low, given.index[low:].copy(), given.value[low:].copy(), given.steps - past, 1,
                          True, given.unit)
        self.ends = record.ends[:, 0, past:] - record.ends[:, 0, past:past + 1]
        self.spikes = [record.spikes[at + ends[past]: at + ends[-1]].copy()
                       for at, ends in zip(record.start, record.ends[:, 0], strict=True)]
        self.work.last[:] -= past
        for p in self.plan.projections:
            if p["slots"]:
                size = int(self.plan.populations[p["target"]]["size"])
                ring = self.work.ring[p["ring"]: p["ring"] + p["slots"] * size].reshape(p["slots"], size)
                due = self.work.due[p["due"]: p["due"] + p["slots"]]
                ring[:], due[:] = np.roll(ring, -past, 0), np.roll(due, -past)


def _joined(a: Rows, b: Rows) -> Rows:
    return Rows(np.concatenate([a.indptr, b.indptr[1:] + a.indptr[-1]]), np.concatenate([a.index, b.index]),
                np.concatenate([a.value, b.value]), a.steps + b.steps, 1, True, a.unit and b.unit)
