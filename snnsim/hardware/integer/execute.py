"""Runs an integer network: whole numbers throughout, event by event, sample by sample. This is what exports must equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.inputs import Rows, rows_of
from snnsim.engine.layout import cores
from snnsim.hardware.integer.kernels import CURRENTS, MEMBRANES, SUMS, Kept, Plan, run_samples
from snnsim.hardware.integer.model import IntegerNetwork
from snnsim.rule import one_of

Array = NDArray[Any]
Synapses = tuple[Array, Array, Array, Array]  # by source: indptr, target, weight, delay
ACCUMULATOR = 24  # bits of the sum that arrives at a neuron in a step, with its sign
RESETS = {"hard": 0, "soft": 1, "none": 2}


@dataclass(frozen=True, eq=False)
class IntegerResult:
    """A run of B samples over T steps, those of the input and the network's latency.

    prediction: int64 [B], or an int for one sample given alone. scores: int64 [B, outputs], the sum of the output's v over the
    steps, or its spikes. spikes: by population, uint8 [T, B, *population]; none are kept with spikes=False. u, v: by population
    named in `record`, after each step, int32 [T, B, *population]. rates: by population, spikes a neuron and step. counts: by
    population, the input with them, spikes of each neuron over all steps, int64 [B, *population]. steps: T. overflows: by
    population, how often the sum of what arrived passed its bits, u wrapped, and v stopped at its end.
    """

    prediction: Any
    scores: NDArray[np.int64]
    spikes: dict[str, NDArray[np.uint8]]
    u: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]
    rates: dict[str, float]
    counts: dict[str, NDArray[np.int64]]
    steps: int
    overflows: dict[str, dict[str, int]]


PLANS: WeakKeyDictionary[IntegerNetwork, Plan] = WeakKeyDictionary()  # networks are frozen, and so are their arrays


def run(network: IntegerNetwork, events: Any, *, record: Sequence[str] = (), overflow: Literal["count", "raise"] = "count",
        threads: int | None = None, spikes: bool = True) -> IntegerResult:
    """Run an integer network on one sample or many; the events are those that `engine.run` takes, with whole counts.

    record: populations whose u and v are kept. spikes: keep them. overflow: "count" the sums, currents and membranes that leave
    their bits, which wrap or stop as the hardware's do, or "raise" OverflowError that names the first. threads: by default one
    a core.

    Errors: ValueError that names the argument, and OverflowError.
    """
    one_of("overflow", overflow, ("count", "raise"))
    for name in record:
        one_of("record", name, [p.name for p in network.populations[1:]])
    one = prepared(network, events, record, spikes)

    def work(start: int, stop: int) -> None:
        run_samples(one.plan, one.rows.indptr, one.rows.index, one.values, one.rows.steps, one.rows.batch, start, stop,
                    one.steps, network.readout == "count", one.kept)

    in_parts(work, one.rows.batch, threads)
    if overflow == "raise" and one.kept.found.any():
        _raise(network, one.kept.found, one.kept.where)
    return collected(network, one, record)


class Prepared(NamedTuple):
    """A run before it runs. values: of the events, whole. steps: with the latency."""

    plan: Plan
    rows: Rows
    values: Array
    steps: int
    kept: Kept


def prepared(network: IntegerNetwork, events: Any, record: Sequence[str] = (), spikes: bool = True) -> Prepared:
    """Rows of events and empty arrays for what is kept."""
    rows = rows_of(events, network.populations[0].shape, network.time, np.dtype(np.float64))
    values = np.rint(rows.value).astype(np.int64)
    if np.any(values != rows.value):
        raise ValueError("events of an integer network must be whole counts, got "
                         f"{rows.value[np.flatnonzero(values != rows.value)[0]]:g}")
    plan, steps = plan_of(network), rows.steps + network.latency
    neurons, populations = int(plan.first[-1]), len(network.populations)
    fired, u, v = (np.zeros((steps, rows.batch, neurons) if keep else (0, 0, 0), dtype)
                   for keep, dtype in ((spikes, np.uint8), (record, np.int32), (record, np.int32)))
    sums, total = (np.zeros((rows.batch, neurons), np.int64) for _ in range(2))
    return Prepared(plan, rows, values, steps, Kept(fired, u, v, sums, total, np.zeros((rows.batch, populations, 3), np.int64),
                                                    np.full((rows.batch, 4), -1, np.int64)))


def in_parts(work: Callable[[int, int], None], batch: int, threads: int | None) -> None:
    """work(start, stop) of parts of the samples, each in a thread."""
    count = max(1, min(threads or cores(), batch))
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda i: work(batch * i // count, batch * (i + 1) // count), range(count)))


def collected(network: IntegerNetwork, one: Prepared, record: Sequence[str] = ()) -> IntegerResult:
    """What is read from a run that is done."""
    plan, rows, all_, steps = one.plan, one.rows, one.kept, one.steps

    def part(array: Array, i: int) -> Array:
        return array[..., plan.first[i]: plan.first[i + 1]].reshape(*array.shape[:-1], *network.populations[i].shape)

    firing = [(i, p) for i, p in enumerate(network.populations) if p.reset in ("hard", "soft")]
    output = [p.name for p in network.populations].index(network.output)
    scores = part(all_.sums, output).reshape(rows.batch, -1)
    prediction = scores.argmax(1)
    overflows = {p.name: dict(zip(("sums", "u", "v"), all_.found[:, i].sum(0).tolist(), strict=True))
                 for i, p in enumerate(network.populations) if i}
    given = np.zeros((rows.batch, network.populations[0].size), np.int64)
    np.add.at(given, (np.repeat(np.arange(len(rows.indptr) - 1) % rows.batch, np.diff(rows.indptr)), rows.index), one.values)
    spent = {network.populations[0].name: given.reshape(rows.batch, *network.populations[0].shape),
             **{p.name: part(all_.total, i) for i, p in firing}}
    seen = [(i, p.name) for i, p in enumerate(network.populations) if p.name in record]
    return IntegerResult(int(prediction[0]) if rows.alone else prediction, scores,
                         {p.name: part(all_.fired, i) for i, p in firing} if all_.fired.size else {},
                         {n: part(all_.u, i) for i, n in seen}, {n: part(all_.v, i) for i, n in seen},
                         {p.name: float(spent[p.name].mean() / steps) for _, p in firing}, spent, steps, overflows)


def _raise(network: IntegerNetwork, found: Array, where: Array) -> None:
    sample = int(np.flatnonzero(found.any((1, 2)))[0])
    population, neuron, step, kind = where[sample].tolist()
    what = {SUMS: f"the sum that arrives passes its {ACCUMULATOR} bits", CURRENTS: "u passes 24 bits and wraps",
            MEMBRANES: "v passes 24 bits and stops there"}[kind]
    raise OverflowError(f"population {network.populations[population].name!r}, neuron {neuron}, step {step}, sample {sample}: "
                        f"{what}; fit the scales with integer.calibrate, or run with overflow='count'")


def planned_like(network: IntegerNetwork, other: IntegerNetwork) -> IntegerNetwork:
    """The network itself, with the plan of another one that differs in numbers of its neurons alone: synapses are not listed
    again."""
    PLANS[network] = plan_of(other)._replace(**_numbers(network))
    return network


def plan_of(network: IntegerNetwork) -> Plan:
    if network not in PLANS:
        PLANS[network] = _plan(network)
    return PLANS[network]


def _plan(network: IntegerNetwork) -> Plan:
    populations = network.populations
    names = [p.name for p in populations]
    first = np.cumsum([0, 0, *(p.size for p in populations[1:])])

    parts = [(q, m) for q in network.projections for m in parts_of(q.exponent, q.synapses(network.population(q.source).shape))]
    made = [m for _, m in parts]
    slots = [int(m[3].max(initial=1)) + 1 for m in made]
    sizes = [network.population(q.target).size for q, _ in parts]
    rings = np.cumsum([0, *(s * n for s, n in zip(slots, sizes, strict=True))])
    begin = np.cumsum([0, *(len(m[1]) for m in made)])
    rows = np.cumsum([0, *(len(m[0]) for m in made)])
    joined = [np.concatenate([m[k] for m in made] or [np.zeros(0, np.int32)]) for k in (1, 2, 3)]
    indptr = np.concatenate([m[0] + b for m, b in zip(made, begin, strict=False)] or [np.zeros(0, np.int64)])
    return Plan(first, np.array([RESETS[p.reset] if p.reset else -1 for p in populations]),
                **_numbers(network), source=np.array([names.index(q.source) for q, _ in parts], np.int64),
                target=np.array([names.index(q.target) for q, _ in parts], np.int64),
                shift=np.array([q.exponent for q, _ in parts], np.int64), slots=np.array(slots, np.int64), ring=rings, row=rows,
                indptr=indptr, **dict(zip(("post", "weight", "delay"), joined, strict=True)))


def _numbers(network: IntegerNetwork) -> dict[str, Array]:
    """Those of each neuron, by their names in the plan."""
    populations = network.populations[1:]

    def flat(values: Any) -> Array:
        return np.concatenate([np.broadcast_to(f, p.shape).ravel() for p, f in zip(populations, values, strict=True)])

    return {"keep_u": flat(4095 - p.du for p in populations), "keep_v": flat(4096 - p.dv for p in populations),
            "theta": flat(p.vth << 6 for p in populations), "bias": flat(p.bias << p.bias_exponent for p in populations),
            "start": flat(p.start for p in populations)}


def parts_of(exponent: int, synapses: Synapses) -> list[Synapses]:
    """The synapses whose sum is shifted as a whole: all, but those of one delay where the shift rounds."""
    indptr, post, weight, delay = synapses
    delays = np.unique(delay)
    if exponent >= 0 or len(delays) < 2:
        return [synapses]
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return [(np.searchsorted(row[at], np.arange(len(indptr))), post[at], weight[at], delay[at])
            for at in (delay == d for d in delays)]
