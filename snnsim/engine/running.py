"""Run a network on events: prepare it once, split the samples among threads, collect what they found."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.inputs import Rows, rows_of
from snnsim.engine.layout import cores
from snnsim.engine.loop import Events, Plan, Record, Work, run_samples
from snnsim.engine.plan import SITE, Prepared, aligned
from snnsim.engine.result import Result, Spikes
from snnsim.network import Network
from snnsim.rule import one_of

LEAP_FROM = 16  # silent steps from which one leap costs less than stepping
NEVER = 2**62
ROOM = 1024  # spikes of one population that fit before the first request for more
_prepared: WeakKeyDictionary[Network, Prepared] = WeakKeyDictionary()


def prepare(network: Network) -> Prepared:
    """The network in the engine's form: weights laid out, kernels compiled. `run` does it by itself, once a network."""
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}")
    if network not in _prepared:
        _prepared[network] = Prepared(network)
    return _prepared[network]


def run(network: Network | Prepared, events: Any, *, mode: Literal["event", "clock"] = "event",
        threads: int | None = None, record: Sequence[str] = (), exact: bool = False) -> Result:
    """Run a network on one sample or many.

    events: an event array (t in µs, x, y, p) or a list of them, a binned batch, or counts [T, *input] or
    [T, B, *input]. mode: "event" updates the neurons that spikes touch and those that may fire in silence, "clock" all
    of them at every step, which is quicker where most are touched anyway; the spikes are the same.
    threads: at most one a sample, by default one a core; the spikes do not depend on it. record: populations whose
    membranes are kept.
    exact: a neuron that slept long steps through its silence instead of leaping over it (`decay**k * v`), so that
    float32 membranes equal the clock-driven ones in every bit; slower where input is rare.

    Errors: ValueError that names the argument; events outside the sensor or out of order are refused.
    """
    prepared = network if isinstance(network, Prepared) else prepare(network)
    one_of("mode", mode, ("event", "clock"))
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads must be a positive whole number or None, got {threads!r}")
    kept = recorded(prepared, record)
    rows = rows_of(events, prepared.shapes[0], prepared.time, prepared.dtype)
    plan, ticked = prepared.variant(mode == "clock", kept)
    given = events_of(rows)
    count = min(threads or cores(), rows.batch)
    chunks = [(rows.batch * i // count, rows.batch * (i + 1) // count) for i in range(count)]
    leap_from = NEVER if exact else LEAP_FROM

    def work(chunk: tuple[int, int]) -> Record:
        return _run_chunk(prepared, plan, given, *chunk, leap_from)

    if count == 1:
        records = [work(chunks[0])]
    else:
        with ThreadPoolExecutor(count) as pool:
            records = list(pool.map(work, chunks))
    return collect(prepared, plan, rows, records, kept, ticked)


def recorded(prepared: Prepared, record: Sequence[str]) -> tuple[str, ...]:
    """The populations of `record`; ValueError for a name that there is not."""
    kept = (record,) if isinstance(record, str) else tuple(record)
    for name in kept:
        one_of("record", name, prepared.names[1:])
    return kept


def events_of(rows: Rows) -> Events:
    return Events(rows.indptr, rows.index, rows.value, int(rows.unit), rows.steps, rows.batch)


def _run_chunk(prepared: Prepared, plan: Plan, events: Events, first: int, stop: int, leap_from: int) -> Record:
    """Run the samples first .. stop - 1 in memory of their own; spikes get twice the room whenever it may run out."""
    work = work_of(prepared, plan)
    record, room = record_of(prepared, plan, events, stop - first)
    record.cursor[0] = first
    return to_the_end(prepared, plan, work, record, events, first, stop, room, leap_from)


def to_the_end(prepared: Prepared, plan: Plan, work: Work, record: Record, events: Events, first: int, stop: int, room: int,
               leap_from: int) -> Record:
    """Run from where the record's cursor stands; the record is another one where the spikes took more room."""
    while not run_samples(plan, work, record, events, first, stop, room, leap_from, prepared.output,
                          int(prepared.readout == "count")):
        wider = np.empty((len(plan.populations), 2 * room), np.int32)
        wider[:, :room] = record.spikes.reshape(-1, room)
        room *= 2
        record = record._replace(spikes=wider.ravel(), start=np.arange(len(wider)) * room)
    return record


def work_of(prepared: Prepared, plan: Plan) -> Work:
    """What a thread writes while it runs."""
    dtype, largest = prepared.dtype, max(prepared.largest, 1)
    flag, block = np.zeros_like(plan.awake), np.zeros_like(plan.awake_block)
    return Work(aligned(len(plan.rest), dtype), aligned(prepared.state.size, dtype),
                aligned(prepared.y.size, dtype), np.empty(len(flag), np.int64), flag, flag.view(np.uint64), block,
                block.view(np.uint64), np.empty((largest >> SITE) + 1, np.int32), aligned(largest + 8, np.uint8),
                np.empty(largest, np.int32), np.empty(largest, dtype), aligned(prepared.ring.size, dtype),
                np.zeros(prepared.due.size, np.uint8),
                np.empty((len(plan.populations), 15), np.int64))


def record_of(prepared: Prepared, plan: Plan, events: Events, samples: int, least: int = 0) -> tuple[Record, int]:
    """What a run of so many samples leaves behind, and the room for the spikes of each population, at least so many."""
    populations, dtype = plan.populations, prepared.dtype
    room = max(max(prepared.largest, 1) + 8 + least, ROOM, int(1.2 * prepared.spikes_per_step * samples * events.steps))
    recorded = int(populations["size"][populations["recorded"] >= 0].sum())
    record = Record(np.empty(len(populations) * room, np.int32), np.arange(len(populations)) * room,
                    np.zeros((len(populations), samples, events.steps + 1), np.int64),
                    np.zeros((samples, populations[prepared.output]["size"]), dtype),
                    np.empty((events.steps, samples, recorded), dtype), np.zeros(len(plan.projections), np.int64),
                    np.zeros(len(populations), np.int64), np.zeros(2, np.int64))
    return record, room


def collect(prepared: Prepared, plan: Plan, rows: Rows, records: list[Record], kept: tuple[str, ...], ticked: float,
            first: int = 0) -> Result:
    """What the threads found in the rows' steps, from step `first` on; scores are over all steps up to the last."""
    ends = [r.ends for r in records]
    prepared.spikes_per_step = max(int(e[:, -1, -1].max()) / (e.shape[1] * rows.steps) for e in ends)
    per_step = np.concatenate([np.diff(e) for e in ends], 1)
    spikes = {}
    for i, name in enumerate(prepared.names[1:], 1):
        pieces = [r.spikes[r.start[i]: r.start[i] + r.ends[i, -1, -1]] for r in records]
        spikes[name] = Spikes((rows.steps, rows.batch, *prepared.shapes[i]), pieces, per_step[i],
                              prepared.orders[name].flat, first)
    output = prepared.names[prepared.output]
    scores = np.empty((rows.batch, len(prepared.orders[output].flat)), prepared.dtype)
    scores[:, prepared.orders[output].flat] = np.concatenate([r.score for r in records])
    if prepared.readout == "membrane":
        scores /= first + rows.steps
    prediction = np.argmax(scores, 1)
    operations = np.sum([r.operations for r in records], 0)
    synaptic: dict[str, int] = {}
    for name, n in zip(prepared.projection_names, operations.tolist(), strict=True):
        synaptic[name] = synaptic.get(name, 0) + n
    updates = sum(int(r.updates.sum()) for r in records)
    neurons = int(plan.populations["size"][1:].sum())
    return Result(int(prediction[0]) if rows.alone else prediction, scores, spikes,
                  _membranes(prepared, plan, records, kept), synaptic, ticked,
                  updates / max(1, neurons * rows.steps * rows.batch))


def _membranes(prepared: Prepared, plan: Plan, records: list[Record], kept: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    membranes = {}
    for name in kept:
        p = plan.populations[prepared.names.index(name)]
        inner = np.concatenate([r.membrane[:, :, p["recorded"]: p["recorded"] + p["size"]] for r in records], 1)
        outer = np.empty_like(inner)
        outer[:, :, prepared.orders[name].flat] = inner
        membranes[name] = outer.reshape(*inner.shape[:2], *prepared.shapes[prepared.names.index(name)])
    return membranes
