"""From a Layout and its Rows to the records of the loop in `advance.py`: kernels, sources, memory."""

from __future__ import annotations

import ctypes
import math
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.connect import AllToAll
from snnsim.distributions import Distribution, draw
from snnsim.engine.advance import (
    BLOCK,
    CURRENT,
    DRIVE,
    EMITTER,
    LANE,
    POISSON,
    POISSON_EACH,
    RUNS,
    SEGMENT,
    Plan,
    Work,
    count_steps,
)
from snnsim.engine.layout import INITIAL, SPIKES, Layout, Rows, far, stream
from snnsim.engine.neuron_kernel import FIXED, step_address
from snnsim.engine.plan import Pool, aligned
from snnsim.engine.wiring import PACKED
from snnsim.network import Network, Population
from snnsim.sources import Poisson, SpikeTimes, StepCurrent, step_of

Array = NDArray[Any]
RARE = 1 / 256  # of random numbers may lie outside the window of thresholds that all are compared with
MOST_SPIKES = 10_000  # of one Poisson neuron in a step
MOST_EACH = 500  # the same where every neuron has a rate of its own: exp(-rate dt) must not vanish


def poisson_thresholds(mean: float) -> tuple[int, Array]:
    """Of a 32-bit random number u: the least count, and the thresholds of which u exceeds as many as are counted on top.

    The count exceeds k with the probability that u exceeds threshold k: the inverse of the cumulative distribution, to
    2**-32.
    """
    k, p, below = 0, math.exp(-mean), 0.0
    if mean > 700.0:  # exp(-mean) has lost its digits: start where the probability begins to count
        k = max(0, int(mean - 12 * math.sqrt(mean)) - 10)
        p = math.exp(k * math.log(mean) - mean - math.lgamma(k + 1))
    least, thresholds = k, []
    while True:
        below += p
        at = round(below * 2**32) - 1
        if at >= 2**32 - 1 or (k > mean and p < 1e-12):
            break
        if at < 0:
            least += 1
        else:
            thresholds.append(at)
        k += 1
        p *= mean / k
    missing = max(8 - len(thresholds), -len(thresholds) % 8)  # in eights, and some even where nothing is ever sent
    return least, np.array(thresholds + [2**32 - 1] * missing, np.uint32)


def window(thresholds: Array) -> tuple[int, int]:
    """The shortest run of eights of thresholds, outside which few random numbers lie."""
    ends = np.concatenate([[-1], thresholds.astype(np.int64)])
    for length in range(8, len(thresholds), 8):
        starts = np.arange(0, len(thresholds) - length + 1)
        held = ends[starts + length] - np.where(starts > 0, ends[starts + 1], -1)
        best = int(np.argmax(held))
        if held[best] >= 2**32 * (1 - RARE):
            return best, best + length
    return 0, len(thresholds)


def parameters_of(layout: Layout, p: Population) -> tuple[tuple[str, ...], dict[str, Array]]:
    """The parameters that all neurons of the population share, and all of them in the layout's float type."""
    values = {k: np.asarray(v, layout.dtype) for k, v in p.parameters.items()}
    moved = {m.parameter for m in layout.network.modulations if m.target == p.name}
    shared = tuple(k for k, v in values.items() if v.size == 1 and k not in moved)
    return shared, {k: v.reshape(1) if k in shared else np.broadcast_to(v, p.shape).ravel() for k, v in values.items()}


class Planner:
    """Builds a Plan and the Work that goes with it; holds on to the arrays whose addresses stand in it."""

    def __init__(self, layout: Layout, rows: Rows | None) -> None:
        self.layout, self.rows, self.threads = layout, rows, layout.threads
        self.network, self.dt, self.dtype = layout.network, layout.network.time.dt, layout.dtype
        self.item = self.dtype.itemsize
        self.thread_neuron = layout.bound[layout.thread_part]  # who sends for which thread: neurons, and senders of sources
        begin, end = layout.neurons, int(layout.first_sender[-1])
        self.thread_source = [begin + (end - begin) * k // self.threads for k in range(self.threads + 1)]
        self.state_at, total = [], 0
        for p in layout.ruled:
            assert p.rule is not None
            self.state_at.append(total)
            total += -(-p.size * len(p.rule.states) // 16) * 16
        self.state = aligned(max(total, 1), self.dtype)
        self._fill_states()
        self.number, self.mean = Pool(self.dtype), Pool(np.float64)
        self.time, self.threshold = Pool(np.int64), Pool(np.uint32, 8)
        self.parameters = [self._parameters(p) for p in layout.ruled]

    def _fill_states(self) -> None:
        for i, p in enumerate(self.layout.ruled):
            assert p.rule is not None
            for k, name in enumerate(p.rule.states):
                if name in p.initial:
                    value = p.initial[name]
                    if isinstance(value, Distribution):
                        values = draw(value, stream(self.network, INITIAL, i, k), p.size)
                    else:
                        values = np.broadcast_to(np.asarray(value, np.float64), p.shape).ravel()
                    self.states_of(i, name)[:] = values

    def states_of(self, population: int, name: str) -> Array:
        p = self.layout.ruled[population]
        assert p.rule is not None
        at = self.state_at[population] + p.rule.states.index(name) * p.size
        return self.state[at: at + p.size]

    def _parameters(self, p: Population) -> tuple[tuple[str, ...], dict[str, Array]]:
        shared, values = parameters_of(self.layout, p)
        kept = {}
        for k, v in values.items():
            kept[k] = aligned(v.size, self.dtype)
            kept[k][:] = v
        return shared, kept

    def plan(self, recorded: set[str], traced: list[Array]) -> Plan:
        """traced: for each population, the places in `state` to record after each step."""
        layout, rows = self.layout, self.rows
        assert rows is not None
        segments = np.zeros(len(layout.segments), SEGMENT)
        call: list[int] = []
        stride: list[int] = []
        drives: list[tuple[Any, ...]] = []
        for r, g in zip(segments, layout.segments, strict=True):
            p, receptors = layout.ruled[g.population], layout.receptors[g.population]
            assert p.rule is not None
            shared, values = self.parameters[g.population]
            words = [0] * len(FIXED) + [0] * len(receptors)
            grows = [0] * len(words)
            words[4], grows[4] = int(layout.first[g.population]) + g.low, 1
            for name in p.rule.states:
                words.append(self.states_of(g.population, name).ctypes.data + g.low * self.item)
                grows.append(self.item)
            for name in p.rule.parameters:
                each = name not in shared
                words.append(values[name].ctypes.data + (g.low * self.item if each else 0))
                grows.append(self.item if each else 0)
            r["population"], r["low"], r["n"], r["at"] = g.population, g.low, g.high - g.low, g.at
            r["first"] = layout.first[g.population] + g.low
            r["receptors"], r["recorded"] = len(receptors), p.name in recorded
            r["step"] = step_address(p.rule, receptors, shared, self.dtype.name)
            r["call"], r["words"] = len(call), len(words)
            call += words
            stride += grows
            r["drive"] = len(drives)
            drives += self._drives(p.name, receptors, g.low)
            r["drives"] = len(drives) - r["drive"]
        part_segment = np.searchsorted([g.part for g in layout.segments], np.arange(len(layout.bound)))
        widths = np.array(layout.width, np.int64)
        padded = -(-widths // 16) * 16
        self.ring_at = np.zeros_like(padded) if layout.shared else (np.cumsum(padded) - padded) * layout.ring_rows
        emitters, thread_emitter, given_step, given_sender = self._emitters()
        thread_trace, trace_index = self._traces(traced)
        unpack = np.ones((max(len(segments), 1), 8), self.dtype)
        if rows.kind == PACKED:
            scales = layout.scales()
            for n, g in enumerate(layout.segments):
                for k, receptor in enumerate(layout.receptors[g.population]):
                    unpack[n, k] = 1.0 / scales.get((layout.ruled[g.population].name, receptor), 1.0)
        return Plan(segments, part_segment.astype(np.int64), layout.thread_part, self.ring_at, widths, int(layout.shared),
                    layout.key_part, layout.key_column, layout.together, layout.ring_rows, np.array(call, np.int64),
                    np.array(stride, np.int64), np.array(drives, DRIVE), self.threshold.array(), self.mean.array(),
                    self.number.array(), self.time.array(), emitters, thread_emitter, given_step, given_sender, layout.delays,
                    rows.kind, rows.segment, rows.target, rows.weight, rows.packed, unpack, _yield_address(), trace_index,
                    thread_trace)

    def _drives(self, target: str, receptors: tuple[str, ...], low: int) -> list[tuple[Any, ...]]:
        """What adds to every neuron of a segment that begins at neuron `low` of the target."""
        found = []
        for s in self.layout.dense:
            if s.target != target:
                continue
            source = self.network.population(s.source)
            d = dict.fromkeys(DRIVE.names or (), 0)
            assert isinstance(s.delay, float)
            d["receptor"], d["delay"], d["low"] = receptors.index(s.receptor), int(s.delay / self.dt + 0.5), low
            weight = np.asarray(s.weight)
            d["weight"], d["each"] = self.number.add(weight.ravel()[low:] if weight.ndim else weight.reshape(1)), weight.ndim
            if isinstance(source.source, Poisson):
                d.update(self.poisson(source))
                if d["kind"] == POISSON_EACH:
                    d["table"] += low
            elif isinstance(source.source, StepCurrent):
                values = np.asarray(source.source.values)
                if isinstance(s.connect, AllToAll):  # every target gets the sum of all currents
                    values = values.sum(1) if values.ndim == 2 else values * source.size
                d["kind"] = CURRENT
                d["columns"] = 1 if values.ndim == 1 or values.shape[1] == 1 else values.shape[1]
                d["table"] = self.number.add(values)
                d["time"], d["times"] = self.time.add(step_of(source.source.times, self.dt)), len(values)
            found.append(tuple(d.values()))
        return found

    def poisson(self, p: Population) -> dict[str, Any]:
        """kind, thresholds or table, and key of a Poisson source."""
        assert isinstance(p.source, Poisson)
        mean = np.asarray(p.source.rate) * 1e-3 * self.dt
        each = mean.ndim > 0 and bool(np.any(mean != mean[0]))
        most = MOST_EACH if each else MOST_SPIKES
        if mean.max(initial=0.0) > most:
            raise ValueError(f"rate of population {p.name!r} gives {mean.max():g} spikes of a neuron in a step of {self.dt:g} "
                             f"ms; at most {most}: take a shorter step, or several sources")
        key = stream(self.network, SPIKES, self.network.populations.index(p)).integers(0, 2**64, dtype=np.uint64)
        if each:
            return {"kind": POISSON_EACH, "table": self.mean.add(mean), "key": key}
        least, thresholds = poisson_thresholds(float(mean.ravel()[0]))
        first, end = window(thresholds)
        return {"kind": POISSON, "threshold": self.threshold.add(thresholds), "thresholds": len(thresholds), "least": least,
                "window": first, "window_end": end, "key": key}

    def _emitters(self) -> tuple[Array, Array, Array, Array]:
        """Sources with rows, and given spikes by step. Threads take turns in the order of senders, so that all lists of
        spikes together are in that order."""
        layout, found, steps, senders = self.layout, [], [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        poisson = {p.name: self.poisson(p) for p in layout.senders if isinstance(p.source, Poisson)}
        thread_emitter, given = [0], 0
        for k in range(self.threads):
            from_, to = self.thread_source[k], self.thread_source[k + 1]
            for n, p in enumerate(layout.senders[len(layout.ruled):], len(layout.ruled)):
                first = int(layout.first_sender[n])
                low, high = max(from_ - first, 0), min(to - first, p.size)
                if low >= high:
                    continue
                e = {**dict.fromkeys(EMITTER.names or (), 0), "kind": -1}
                e |= poisson.get(p.name, {})
                e |= {"first": first + low, "low": low, "n": high - low, "table": e["table"] + low}
                if isinstance(p.source, SpikeTimes):
                    neuron = np.asarray(p.source.neuron)
                    mine = (neuron >= low) & (neuron < high)
                    step, sender = step_of(np.asarray(p.source.times)[mine], self.dt), neuron[mine] + first
                    order = np.lexsort((sender, step))
                    e["list"], e["stop"] = given, given + len(order)
                    given += len(order)
                    steps.append(step[order])
                    senders.append(sender[order].astype(np.int32))
                found.append(tuple(e.values()))
            thread_emitter.append(len(found))
        return np.array(found, EMITTER), np.array(thread_emitter, np.int64), np.concatenate(steps), np.concatenate(senders)

    def _traces(self, traced: list[Array]) -> tuple[Array, Array]:
        """The places to trace, each with the thread that owns its neuron."""
        index, owner = [], []
        self.trace_order: list[tuple[int, int]] = []
        for i, places in enumerate(traced):
            p = self.layout.ruled[i]
            for k, at in enumerate(places.tolist()):
                neuron = int(self.layout.first[i]) + (at - self.state_at[i]) % p.size
                part = int(np.searchsorted(self.layout.bound, neuron, "right")) - 1
                owner.append(int(np.searchsorted(self.layout.thread_part, part, "right")) - 1)
                index.append(at)
                self.trace_order.append((i, k))
        order = np.argsort(owner, kind="stable")
        self.trace_order = [self.trace_order[o] for o in order]
        ends = np.searchsorted(np.sort(owner), np.arange(self.threads + 1)) if owner else np.zeros(self.threads + 1)
        return ends.astype(np.int64), np.array(index, np.int64)[order] if index else np.zeros(0, np.int64)

    @staticmethod
    def alone(plan: Plan) -> Plan:
        """The same for one thread that does the work of all."""
        return plan._replace(thread_part=plan.thread_part[[0, -1]], thread_emitter=plan.thread_emitter[[0, -1]],
                             thread_trace=plan.thread_trace[[0, -1]])

    def work(self, plan: Plan) -> Work:
        threads, layout = self.threads, self.layout
        most = layout.neurons if layout.may_run_alone else max(np.diff(self.thread_neuron).tolist())
        emitted = [0] * threads
        for k in range(threads):
            for e in plan.emitters[plan.thread_emitter[k]: plan.thread_emitter[k + 1]]:
                if e["kind"] == POISSON:
                    emitted[k] += int(e["n"]) * int(e["least"] + e["thresholds"])
                elif e["kind"] == POISSON_EACH:
                    emitted[k] += int(np.sum(far(plan.mean[e["table"]: e["table"] + e["n"]])))
                else:
                    steps = plan.given_step[e["list"]: e["stop"]]
                    emitted[k] += int(np.bincount(np.unique(steps, return_inverse=True)[1]).max(initial=0))
        if layout.may_run_alone:
            emitted = [sum(emitted)] * threads
        ring, slots = layout.places() * layout.ring_rows, layout.slots
        receptors = max([len(r) for r in layout.receptors], default=1)
        return Work(aligned(max(ring, 1), np.int32 if plan.kind == PACKED else self.dtype), self.state,
                    np.empty((slots, threads, most + 8), np.int32), np.zeros((slots, threads * LANE), np.int64),
                    np.empty((slots, threads, max(emitted) + 8), np.int32), np.zeros((slots, threads * LANE), np.int64),
                    np.empty((threads, threads * (most + max(emitted)) + 16 if layout.plastic else 0), np.int32),
                    np.empty((threads, RUNS), np.uint32), np.empty((threads, RUNS), np.uint32),
                    np.empty((threads, RUNS), np.int32),
                    np.array(plan.emitters["list"], np.int64), np.empty((threads, max(receptors, 1), BLOCK), self.dtype),
                    np.empty((threads, BLOCK), np.float32), np.empty((threads, BLOCK), np.uint32),
                    np.zeros((threads, BLOCK + 8 * LANE), np.uint8), np.empty((threads, BLOCK + 2 * LANE), np.int32),
                    np.zeros((threads, max([int(w) for w in plan.segments["words"]], default=1) + LANE), np.int64),
                    np.zeros(threads * LANE, np.int64))


class Noise(NamedTuple):
    """Of a Plan, what Poisson counts need."""

    threshold: Array
    mean: Array


def source_output(network: Network, name: str, steps: int, start: int = 0) -> Array:
    """What a source sends in the steps start .. start + steps - 1 of every simulation of this network: spike counts, or
    currents, float64 [steps, neurons]."""
    p = network.population(name)
    planner = Planner(Layout(network, 1, "double"), None)
    sent = np.zeros((steps, p.size))
    match p.source:
        case Poisson():
            e = {**dict.fromkeys(EMITTER.names or (), 0), **planner.poisson(p), "n": p.size}
            count = np.empty((steps, p.size), np.float32)
            count_steps(Noise(planner.threshold.array(), planner.mean.array()), np.array([tuple(e.values())], EMITTER)[0],
                        start, steps, np.empty(BLOCK, np.uint32), count)
            sent[:] = count
        case SpikeTimes():
            step = step_of(p.source.times, planner.dt) - start
            inside = (step >= 0) & (step < steps)
            np.add.at(sent, (step[inside], np.asarray(p.source.neuron)[inside]), 1.0)
        case StepCurrent():
            values = np.asarray(p.source.values).reshape(len(np.asarray(p.source.times)), -1)
            last = np.searchsorted(step_of(p.source.times, planner.dt), np.arange(start, start + steps), "right") - 1
            sent[last >= 0] = values[last[last >= 0]]
        case _:
            raise ValueError(f"population {name!r} is not a source")
    return sent


def _yield_address() -> int:
    """The address of the function that lets another thread have the processor."""
    if sys.platform == "win32":
        library, name = ctypes.WinDLL("kernel32"), "SwitchToThread"
    else:
        library, name = ctypes.CDLL(None), "sched_yield"
    return int(ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0)
