"""A simulation of a network of synapses: built once, run in stretches of any length, saved and loaded in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.engine.advance import LANE, Kept, advance, catch_up
from snnsim.engine.layout import Connections, Layout, Precision, Segment, build, build_plastic, connections, cores
from snnsim.engine.modulation import Slow, move
from snnsim.engine.pace import Pace
from snnsim.engine.plan_plastic import (
    current,
    plan_plastic,
    remember_again,
    remembered,
    set_weights,
    weights_in_rows,
    with_room,
)
from snnsim.engine.plan_populations import Planner
from snnsim.engine.recording import Recording, SpikeTrains, Traces
from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.network import Network, Synapses
from snnsim.network_file import read_network, write_network
from snnsim.progress import bar
from snnsim.rule import finite, one_of
from snnsim.version import __version__

Array = NDArray[Any]
FORMAT, SCHEMA = "snnsim simulation", 1
SMALLEST_CHUNK, CHUNK, LARGEST_CHUNK = 50, 2_000, 50_000  # steps of one call of the loop; the first has CHUNK
CHUNK_S = 0.05  # seconds that it should take at least, because calling takes time; an interrupt or the bar waits for it
TRACED = 1 << 23  # values that are traced in one call
ROOM = 1 << 16  # spikes that a thread can keep before it asks for more


@dataclass(frozen=True)
class Estimate:
    """What a simulation will need. bytes includes what building needs; available: of this machine, None where unknown."""

    neurons: int
    synapses: float
    bytes: int
    available: int | None

    def __str__(self) -> str:
        free = "" if self.available is None else f" of {self.available / 2**30:.1f} GiB that are free"
        return f"{self.neurons:,} neurons, {self.synapses:,.0f} synapses, {self.bytes / 2**20:,.0f} MiB{free}"


def estimate(network: Network, threads: int | None = None, precision: Precision = "single") -> Estimate:
    """What simulating the network will need, before anything is built."""
    layout = Layout(network, threads or cores(), precision)
    return Estimate(layout.neurons, layout.expected(), layout.bytes_needed(), _available())


def _available() -> int | None:
    """Bytes that this process can still take, where the system says."""
    found = []
    if Path("/proc/meminfo").exists():
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        if "MemAvailable" in lines:
            found.append(1024 * int(lines["MemAvailable"].split()[0]))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        found.append(int(limit.read_text()) - int(used.read_text()))
    return min(found, default=None)


class Simulation:
    """A network under way.

        simulation = Simulation(network)
        recording = simulation.run(1000.0)     # ms; a second call goes on where the first stopped

    threads: at most so many, by default one a core; small networks, for which one is faster, take one (measured as they
    run). The spikes do not depend on it. precision: "single" (states and weights in 32 bits),
    "double", or "packed", where a weight takes 16 bits beside its 16-bit target: whole multiples of the largest weight of
    its receptor / 32767, summed exactly. record: populations whose spikes are kept, by default all; counts of all are
    kept. traces: by population, a state and the neurons whose values are kept after each step.
    Spikes, synapses and initial states are functions of the network (its seed included): the same for any number of
    threads, on one build and processor family.

    Errors: ValueError that names the argument; MemoryError, before anything is built, where memory would not suffice.
    """

    def __init__(self, network: Network, *, threads: int | None = None, precision: Precision = "single",
                 record: Sequence[str] | None = None,
                 traces: Mapping[str, tuple[str, Sequence[int]]] | None = None) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a Network, got {type(network).__name__}")
        if not network.synapses or network.projections:
            raise ValueError("Simulation takes networks of synapses; this one has "
                             + ("projections: run it with snnsim.engine.run" if network.projections else "none"))
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads must be a positive whole number or None, got {threads!r}")
        one_of("precision", precision, ("single", "double", "packed"))
        self.network, self.threads, self.precision = network, threads or cores(), precision
        self.dt, self.step, self._interrupted, self._chunk = network.time.dt, 0, False, CHUNK
        self._layout = Layout(network, self.threads, precision)
        self.names = [p.name for p in self._layout.ruled]
        self.recorded = self.names if record is None else [record] if isinstance(record, str) else list(record)
        for name in self.recorded:
            one_of("record", name, self.names)
        self._traced = {name: self._chosen(name, *wanted) for name, wanted in (traces or {}).items()}
        self._refuse_too_large()
        if precision == "packed" and self._layout.plastic:
            raise ValueError("plastic synapses need precision 'single' or 'double': packed weights cannot change")
        began = time.perf_counter()
        rows, plastic = build(self._layout, self.threads), build_plastic(self._layout, self.threads)
        self.synapses, self.build_s = rows.synapses + plastic.synapses, time.perf_counter() - began
        self._planner = Planner(self._layout, rows)
        places = [self._places(name) for name in self.names]
        watched = {m.source for m in network.modulations}
        self._plan = self._planner.plan({*self.recorded, *watched}, places)
        self._slow = [Slow(m, self._layout, self._planner) for m in network.modulations]
        move(self._slow)
        self._work = self._planner.work(self._plan)
        self._pace = Pace(self.threads, self._layout.may_run_alone)
        self._room = max(ROOM, 2 * self._work.fired.shape[2] * self._layout.together)
        room = max(ROOM, 4 * self._work.fired.shape[2] * len(self._layout.plastic)) if self._layout.plastic else 0
        self._plastic = plan_plastic(self._layout, plastic, room)

    def _chosen(self, name: str, state: str, neurons: Sequence[int]) -> tuple[str, Array]:
        one_of("traces", name, self.names)
        p = self.network.population(name)
        assert p.rule is not None
        one_of(f"state of traces of {name!r}", state, p.rule.states)
        chosen = np.asarray(neurons)
        if chosen.ndim != 1 or chosen.dtype.kind not in "ui" or chosen.size == 0 or chosen.min() < 0 or chosen.max() >= p.size:
            raise ValueError(f"neurons of traces of {name!r} must be a list of numbers in 0 .. {p.size - 1}, got {neurons!r}")
        return state, chosen.astype(np.int64)

    def _refuse_too_large(self) -> None:
        needed, available = self._layout.bytes_needed(), _available()
        if available is not None and needed > available:
            raise MemoryError(f"the network needs about {needed / 2**30:.1f} GiB for {self._layout.expected():,.0f} synapses, "
                              f"but {available / 2**30:.1f} GiB are free: use precision='packed', fewer synapses, or a "
                              "smaller scale")

    def _places(self, name: str) -> Array:
        """Where the states that are traced stand."""
        if name not in self._traced:
            return np.zeros(0, np.int64)
        state, chosen = self._traced[name]
        i = self.names.index(name)
        rule = self._layout.ruled[i].rule
        assert rule is not None
        return self._planner.state_at[i] + rule.states.index(state) * self._layout.ruled[i].size + chosen

    @property
    def time(self) -> float:
        """ms simulated so far."""
        return self.step * self.dt

    def state(self, population: str, name: str) -> Array:
        """A copy of a state of all neurons of a population, in C order."""
        one_of("population", population, self.names)
        rule = self.network.population(population).rule
        assert rule is not None
        one_of("name", name, rule.states)
        return self._planner.states_of(self.names.index(population), name).copy()

    def connections(self, synapses: Synapses) -> Connections:
        """The synapses that one of `network.synapses` became, with their weights of now, in the order of drawing."""
        if synapses in self._layout.plastic:
            return current(self._layout, self._plastic, synapses)
        return connections(self.network, synapses)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network and where the simulation stands to one HDF5 file; `load` goes on bit for bit. An existing file
        is replaced only when the new one is complete."""
        with replacing(path) as temporary, h5py.File(temporary, "w") as f:
            f.attrs.update(format=FORMAT, schema=SCHEMA, version=__version__, step=self.step, precision=self.precision)
            write_network(self.network, f.create_group("network_of"))
            for i, p in enumerate(self._layout.ruled):
                assert p.rule is not None
                for name in p.rule.states:
                    f.create_dataset(f"states/{i}/{name}", data=self._planner.states_of(i, name))
                for k, receptor in enumerate(self._layout.receptors[i]):
                    under_way = np.concatenate([self._ring(g, k) for g in self._layout.segments if g.population == i], 1)
                    f.create_dataset(f"under_way/{i}/{receptor}", data=under_way)
            lists = [self._sent_in(step) for step in self._remembered_steps()]
            f.create_dataset("sent/count", data=np.array([len(senders) for senders in lists], np.int64))
            f.create_dataset("sent/sender", data=np.concatenate([np.zeros(0, np.int32), *lists]))
            for i, slow in enumerate(self._slow):
                f.create_dataset(f"modulations/{i}/state", data=slow.state)
                f.create_dataset(f"modulations/{i}/count", data=slow.count)
            if self._layout.plastic:
                group = f.create_group("plastic")
                for i, s in enumerate(self._layout.plastic):
                    group.create_dataset(f"weight {i}", data=self.connections(s).weight)
                for name in ("last", "trace", "use"):
                    group.create_dataset(name, data=getattr(self._plastic, name)[0])
                group.create_dataset("remembered", data=remembered(self._layout, self._plastic))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int | None = None, record: Sequence[str] | None = None,
             traces: Mapping[str, tuple[str, Sequence[int]]] | None = None) -> Simulation:
        """The simulation that `save` wrote, with the same network and precision; threads and recording are free.

        Errors: ValueError that names the file when it is not one, or is damaged.
        """
        with reading_hdf5(path, "a saved simulation of snnsim") as f:
            if f.attrs.get("format") != FORMAT or f.attrs.get("schema") != SCHEMA:
                raise ValueError(f"{path} is not a saved simulation of snnsim that this version reads: its format is "
                                 f"{f.attrs.get('format')!r}, schema {f.attrs.get('schema')}")
            loaded = cls(read_network(f["network_of"], path), threads=threads, precision=f.attrs["precision"], record=record,
                         traces=traces)
            for i, p in enumerate(loaded._layout.ruled):
                assert p.rule is not None
                for name in p.rule.states:
                    loaded._fill(loaded._planner.states_of(i, name), read_array(f[f"states/{i}"], name, path), path)
                for k, receptor in enumerate(loaded._layout.receptors[i]):
                    under_way = read_array(f[f"under_way/{i}"], receptor, path)
                    for g in loaded._layout.segments:
                        if g.population == i:
                            loaded._fill(loaded._ring(g, k), under_way[:, g.low: g.high], path)
            loaded.step = int(f.attrs["step"])
            loaded._load_sent(f["sent"], path)
            for i, slow in enumerate(loaded._slow):
                loaded._fill(slow.state, read_array(f[f"modulations/{i}"], "state", path), path)
                loaded._fill(slow.count, read_array(f[f"modulations/{i}"], "count", path), path)
            move(loaded._slow)
            if loaded._layout.plastic:
                loaded._load_plastic(f["plastic"], path)
        loaded._work.cursor[:] = [e["list"] + int(np.searchsorted(loaded._plan.given_step[e["list"]: e["stop"]], loaded.step))
                                  for e in loaded._plan.emitters]
        return loaded

    def _load_plastic(self, group: h5py.Group, path: str | os.PathLike[str]) -> None:
        for i, s in enumerate(self._layout.plastic):
            weight = read_array(group, f"weight {i}", path)
            self._fill(np.empty_like(weights_in_rows(self._layout, self._plastic, s)), weight, path)
            set_weights(self._layout, self._plastic, s, weight)
        for name in ("last", "trace", "use"):
            for mine in getattr(self._plastic, name):
                self._fill(mine, read_array(group, name, path), path)
        spikes = read_array(group, "remembered", path)
        posts = self._plastic.head.size
        if spikes.ndim != 2 or spikes.shape[1] != 3 or np.any((spikes[:, 0] < 0) | (spikes[:, 0] >= posts)):
            raise ValueError(f"{path} is damaged: what its plastic synapses remember does not fit")
        while self._plastic.pending.shape[1] < 2 * len(spikes):
            self._plastic = with_room(self._plastic, 2 * self._plastic.pending.shape[1])
        remember_again(self._layout, self._plastic, spikes)
        self._plastic.seen[:] = self.step - 1

    def _remembered_steps(self) -> range:
        """The steps whose spikes are still under way along the longest delay, or were until now."""
        return range(max(0, self.step - self._layout.slots + 1), self.step)

    def _sent_in(self, step: int) -> Array:
        """The senders of the spikes of one of these steps: neurons, then sources, each rising."""
        slot, work = step % self._layout.slots, self._work
        return np.concatenate([lists[slot, q, : count[slot, q * LANE]] for lists, count in
                               ((work.fired, work.found), (work.emitted, work.sent)) for q in range(self.threads)])

    def _load_sent(self, group: h5py.Group, path: str | os.PathLike[str]) -> None:
        count, sender = read_array(group, "count", path), read_array(group, "sender", path)
        steps = self._remembered_steps()
        if count.shape != (len(steps),) or np.any(count < 0) or sender.shape != (count.sum(),) or np.any(
                (sender < 0) | (sender >= self._layout.first_sender[-1])):
            raise ValueError(f"{path} is damaged: its lists of spikes under way do not fit")
        for step, end, n in zip(steps, np.cumsum(count).tolist(), count.tolist(), strict=True):
            slot, senders = step % self._layout.slots, sender[end - n: end]
            for lists, number, ends in ((self._work.fired, self._work.found, self._planner.thread_neuron),
                                        (self._work.emitted, self._work.sent, self._planner.thread_source)):
                for q in range(self.threads):
                    mine = senders[(senders >= ends[q]) & (senders < ends[q + 1])]
                    if len(mine) > lists.shape[2]:
                        raise ValueError(f"{path} is damaged: it holds more spikes of a step than there can be")
                    lists[slot, q, : len(mine)], number[slot, q * LANE] = mine, len(mine)

    def _ring(self, g: Segment, receptor: int) -> Array:
        """What is under way to a receptor of a segment: [ring rows, neurons], a view."""
        at, rows, width = int(self._plan.ring_at[g.part]), self._layout.ring_rows, int(self._plan.width[g.part])
        first = g.at + receptor * (g.high - g.low)
        ring: Array = self._work.ring[at: at + rows * width].reshape(rows, width)
        return ring[:, first: first + g.high - g.low]

    @staticmethod
    def _fill(array: Array, values: Array, path: str | os.PathLike[str]) -> None:
        if values.shape != array.shape or values.dtype != array.dtype:
            raise ValueError(f"{path} is damaged: it holds {values.dtype} {values.shape} where {array.dtype} {array.shape} "
                             "belong")
        array[:] = values

    def run(self, duration: float, progress: bool | None = None) -> Recording:
        """Simulate so many ms more and return what was recorded of them.

        duration: a whole number of steps. progress: a bar on stderr; None shows it on a terminal. Where a run is
        interrupted, the steps done so far stay done and their recording is lost.
        """
        finite("duration", duration, above=0.0)
        steps = round(duration / self.dt)
        if steps < 1 or abs(steps - duration / self.dt) > 1e-6 * max(1, steps):
            raise ValueError(f"duration must be a whole number of steps of {self.dt:g} ms, got {duration!r}")
        began, start = time.perf_counter(), self.step
        kept: list[tuple[int, Kept]] = []
        with bar(steps, "simulating", progress) as line, ThreadPoolExecutor(self.threads) as pool:
            while self.step < start + steps:
                first, called = self.step, time.perf_counter()
                most = min(self._chunk, max(CHUNK, TRACED // max(1, len(self._plan.trace_index))))
                boundary = min([s.steps - first % s.steps for s in self._slow], default=most)
                some = self._advance(pool, self._pace.threads, min(most, boundary, start + steps - first))
                took = time.perf_counter() - called
                self._pace.took(self.step - first, took)
                if self.step == first + self._chunk and took < CHUNK_S:
                    self._chunk = min(2 * self._chunk, LARGEST_CHUNK)
                elif took > 10 * CHUNK_S:
                    self._chunk = max(self._chunk // 2, SMALLEST_CHUNK)
                kept.append((first, some))
                stepped = [slow.watch(some.neuron, some.kept[::LANE], self.step) for slow in self._slow]
                if any(stepped):
                    move(self._slow)
                if self._interrupted:
                    self._interrupted = False
                    raise KeyboardInterrupt
                line.advance(self.step - first)
        return self._recording(start, steps, kept, time.perf_counter() - began)

    def _advance(self, pool: ThreadPoolExecutor, active: int, steps: int) -> Kept:
        """Some steps, at most so many, with all threads or one; gives them more room for spikes when they ask for it."""
        threads, populations = self.threads, len(self.names)
        plan = self._plan if active == threads else self._planner.alone(self._plan)
        kept = Kept(np.empty((threads, self._room), np.int32), np.empty((threads, self._room), np.int32),
                    np.zeros(threads * LANE, np.int64), np.zeros((threads, steps, populations), np.int32),
                    np.empty((steps, len(self._plan.trace_index)), self._layout.dtype), np.zeros(threads * LANE, np.int64))
        self._work.sync[::LANE], self._work.sync[1::LANE], self._work.sync[2::LANE] = 0, -1, -1
        self._together(pool, active, lambda k: advance(plan, self._work, self._plastic, kept, k, active, self.step, steps,
                                                       self._room))
        done = int(self._work.sync[2])
        self.step += done
        if done < steps:
            self._room *= 2
        if self._layout.plastic:
            longest = int(self._layout.delays.max())
            self._together(pool, threads, lambda k: catch_up(self._plan, self._plastic, k, self.step - 1, longest))
            if done < steps:
                self._plastic = with_room(self._plastic, 2 * self._plastic.pending.shape[1])
        n = int(kept.kept[::LANE].max())
        return kept._replace(step=kept.step[:, :n].copy(), neuron=kept.neuron[:, :n].copy(), count=kept.count[:, :done].sum(0),
                             trace=kept.trace[:done])

    def _together(self, pool: ThreadPoolExecutor, threads: int, work: Callable[[int], Any]) -> None:
        """Do the work of each thread, that of thread 0 here: a thread more would have to share a core with another until the
        system finds out. An interrupt waits until all are done, so that the simulation stands between two steps; work that
        is already done does nothing when it is called again."""
        tasks = [pool.submit(work, k) for k in range(1, threads)]
        while True:
            try:
                work(0)
                wait(tasks)
                break
            except KeyboardInterrupt:
                self._interrupted = True
        for task in tasks:
            task.result()

    def _recording(self, start: int, steps: int, chunks: list[tuple[int, Kept]], wall_s: float) -> Recording:
        step = np.concatenate([first + kept.step[k, : kept.kept[k * LANE]].astype(np.int64)
                               for first, kept in chunks for k in range(self.threads)])
        neuron = np.concatenate([kept.neuron[k, : kept.kept[k * LANE]] for _, kept in chunks for k in range(self.threads)])
        order = np.argsort(step, kind="stable")  # threads own rising neurons: sorted by (step, neuron)
        step, neuron = step[order], neuron[order]
        population = np.searchsorted(self._layout.first, neuron, "right") - 1
        spikes = {}
        for name in self.recorded:
            i = self.names.index(name)
            mine = population == i
            spikes[name] = SpikeTrains(step[mine], (neuron[mine] - self._layout.first[i]).astype(np.int32))
        counts = np.concatenate([kept.count for _, kept in chunks]).astype(np.int64)
        values = np.concatenate([kept.trace for _, kept in chunks])
        traces = {}
        for name, (state, chosen) in self._traced.items():
            i = self.names.index(name)
            columns = sorted((k, c) for c, (j, k) in enumerate(self._planner.trace_order) if j == i)
            traces[name] = Traces(state, chosen, values[:, [c for _, c in columns]])
        return Recording(self.dt, start, steps, {p.name: p.size for p in self._layout.ruled}, spikes,
                         {name: counts[:, i] for i, name in enumerate(self.names)}, traces,
                         sum(int(kept.events[::LANE].sum()) for _, kept in chunks), wall_s)
