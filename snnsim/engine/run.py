"""Run a network on events: prepare it once, split the samples among threads, collect what they found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.inputs import Rows, rows_of
from snnsim.engine.loop import Events, Plan, Record, Work, run_samples
from snnsim.engine.plan import SITE, Prepared, aligned
from snnsim.engine.result import Result, Spikes
from snnsim.network import Network
from snnsim.rule import one_of

LEAP_FROM = 64  # silent steps from which one leap costs less than stepping
NEVER = 2**62
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
    of them at every step; the spikes are the same. threads: at most one a sample, by default one a core; the spikes
    do not depend on it. record: populations whose membranes are kept.
    exact: a neuron that slept long steps through its silence instead of leaping over it (`decay**k * v`), so that
    float32 membranes equal the clock-driven ones in every bit; slower where input is rare.

    Errors: ValueError that names the argument; events outside the sensor or out of order are refused.
    """
    prepared = network if isinstance(network, Prepared) else prepare(network)
    one_of("mode", mode, ("event", "clock"))
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads must be a positive whole number or None, got {threads!r}")
    kept = (record,) if isinstance(record, str) else tuple(record)
    for name in kept:
        one_of("record", name, prepared.names[1:])
    rows = rows_of(events, prepared.shapes[0], prepared.time, prepared.dtype)
    plan, ticked = prepared.variant(mode == "clock", kept)
    given = Events(rows.indptr, rows.index, rows.value, int(rows.unit), rows.steps, rows.batch)
    count = min(threads or len(os.sched_getaffinity(0)), rows.batch)
    edges = [rows.batch * i // count for i in range(count + 1)]
    chunks = list(zip(edges[:-1], edges[1:], strict=True))
    leap_from = NEVER if exact else LEAP_FROM

    def work(chunk: tuple[int, int]) -> Record:
        return _run_chunk(prepared, plan, given, *chunk, leap_from)

    if count == 1:
        records = [work(chunks[0])]
    else:
        with ThreadPoolExecutor(count) as pool:
            records = list(pool.map(work, chunks))
    return _collect(prepared, plan, rows, records, kept, ticked)


def _run_chunk(prepared: Prepared, plan: Plan, events: Events, first: int, stop: int, leap_from: int) -> Record:
    """Run the samples first .. stop - 1 with memory of their own; spikes get more room whenever they need it."""
    samples, populations = stop - first, plan.populations
    output = populations[prepared.output]
    recorded = int(populations["size"][populations["recorded"] >= 0].sum())
    largest = int(populations["size"].max())
    room = max(largest, prepared.rate * samples * events.steps // 1024, 1024)
    start = np.arange(len(populations)) * room
    flag, block = np.empty(prepared.site.size, np.uint8), np.empty(prepared.block.size, np.uint8)
