"""From a Network of synapses to arrays: parts, target codes, and rows of synapses.

Neurons of all populations with a rule are counted through. They are cut into parts, each a run of neurons of at most
65,536 inputs, so that a target fits into 16 bits; a thread owns whole parts. The inputs of a part are laid out population
after population, receptor after receptor: that place is the code of a target, and what reaches a part in a step is one row
of such places. Small networks have one row for all parts, and the parts of one delay lie side by side in a sender's row:
where one thread does the work of all, it takes them as one.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.connect import AllToAll, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, OneToOne, Pairs
from snnsim.distributions import Distribution
from snnsim.engine import wiring
from snnsim.engine.wiring import ALL, DISTINCT, DRAW, FULL, LISTED, ONE, PACKED, RANDOM, ROW, Draws
from snnsim.network import Network, Population, Synapses
from snnsim.sources import Poisson, SpikeTimes, StepCurrent, step_of

Array = NDArray[Any]
Precision = Literal["single", "double", "packed"]
CODES = 65_536  # what 16 bits can tell apart
LARGEST = 32_767  # of a packed weight
MOST_NEURONS = 2**31 - 1
LARGEST_SUM = 2**31 - 1
ROWS_A_TASK = 512
MOST_SHARED = 50_000  # neurons of a small network
LINE = 16  # neurons whose states fill a cache line
MOST_TOGETHER = 16  # steps between two waits of threads
INITIAL, SYNAPSES, SPIKES = range(3)  # what random numbers are for


@dataclass(frozen=True)
class Segment:
    """Neurons low .. high - 1 of a population that lie in one part; at: the code of the first on the first receptor."""

    part: int
    population: int
    low: int
    high: int
    at: int


class Layout:
    """Where everything lies, before any synapse is drawn. dense: synapses that add to every neuron at every step
    (Poisson spikes one to one, currents) and need no rows; plastic: those whose weights change; wired: the others."""

    def __init__(self, network: Network, threads: int, precision: Precision) -> None:
        self.network, self.threads, self.precision = network, threads, precision
        self.dtype = np.dtype(np.float64 if precision == "double" else np.float32)
        self.ruled = [p for p in network.populations if p.rule is not None]
        self.first = np.concatenate([[0], np.cumsum([p.size for p in self.ruled])]).astype(np.int64)
        self.neurons = int(self.first[-1])
        if sum(p.size for p in network.populations) > MOST_NEURONS:
            raise ValueError(f"the network has {sum(p.size for p in network.populations):,} neurons; at most {MOST_NEURONS:,} "
                             "can be numbered")
        self.dense = [s for s in network.synapses if self._is_dense(s)]
        self.plastic = [s for s in network.synapses if s.plasticity is not None]
        self.wired = [s for s in network.synapses if s not in self.dense and s not in self.plastic]
        self.senders = [*self.ruled, *(p for p in network.populations if p.rule is None
                                       and any(s.source == p.name for s in (*self.wired, *self.plastic)))]
        self.first_sender = np.concatenate([[0], np.cumsum([p.size for p in self.senders])]).astype(np.int64)
        self.receptors = [self._receptors(p) for p in self.ruled]
        self.inputs = sum(p.size * len(r) for p, r in zip(self.ruled, self.receptors, strict=True))
        self.bound = self._bounds()
        self.shared = self.neurons <= MOST_SHARED and self.inputs + LINE * threads <= CODES
        self.segments, self.width = self._segments()
        self.delays = self._delays()
        parts, columns = len(self.bound) - 1, len(self.delays)
        self.key_part, self.key_column = (1, parts) if self.shared else (columns, 1)
        self.thread_part = np.array([parts * k // threads for k in range(threads + 1)], np.int64)  # the parts of each thread
        self.may_run_alone = self.shared and not self.plastic  # one thread may do the work of all
        # what is sent in so many steps reaches no one in them; where synapses are plastic, all hear of a spike at once
        self.together = 1 if self.plastic else min(int(self.delays.min(initial=MOST_TOGETHER)), MOST_TOGETHER)
        self.slots = self.together + int(self.delays.max(initial=1))
        self.ring_rows = 1 + max([s.steps(network.time.dt)[1] for s in self.plastic], default=0)

    def _is_dense(self, s: Synapses) -> bool:
        source = self.network.population(s.source).source
        one = isinstance(s.connect, OneToOne) and isinstance(s.delay, float) and not isinstance(s.weight, Distribution)
        return isinstance(source, StepCurrent) or (isinstance(source, Poisson) and one and s.plasticity is None)

    def _receptors(self, p: Population) -> tuple[str, ...]:
        """The receptors that anything reaches, in the rule's order."""
        assert p.rule is not None
        reached = {s.receptor for s in self.network.synapses if s.target == p.name}
        return tuple(r for r in p.rule.inputs if r in reached)

    @property
    def spacious(self) -> bool:
        """Whether places may be left out between the parts of threads."""
        return self.neurons >= 16 * LINE * self.threads

    def _bounds(self) -> Array:
        threads, inputs = self.threads, self.inputs
        most = max([len(r) for r in self.receptors], default=1)
        parts = threads
        while inputs and (-(-self.neurons // parts) + LINE) * most > CODES:
            parts += threads
        bound = np.linspace(0, self.neurons, parts + 1).astype(np.int64)
        if self.spacious:  # so that no two threads write to one cache line
            first = self.first[np.searchsorted(self.first, bound, "right") - 1]
            bound = first + (bound - first) // LINE * LINE
        return bound

    def _segments(self) -> tuple[list[Segment], list[int]]:
        """The segments in order of part and population, and the width of each part's row."""
        segments, widths, at = [], [], 0
        for part, (a, b) in enumerate(pairwise(self.bound.tolist())):
            at = 0 if not self.shared else -(-at // LINE) * LINE if self.spacious else at
            for i in range(len(self.ruled)):
                low, high = max(a, int(self.first[i])), min(b, int(self.first[i + 1]))
                if low < high:
                    segments.append(Segment(part, i, low - int(self.first[i]), high - int(self.first[i]), at))
                    at += (high - low) * len(self.receptors[i])
            widths.append(at)
        return segments, [at] * len(widths) if self.shared else widths

    def _delays(self) -> Array:
        """The delays in steps that wired synapses may have, rising: the columns of a row."""
        dt = self.network.time.dt
        found: set[int] = set()
        for s in (*self.wired, *self.plastic):
            if isinstance(s.delay, Distribution):
                low, high = s.steps(dt)
                found.update(range(low, high + 1))
            else:
                found.update((np.unique(s.delay) / dt + 0.5).astype(np.int64).tolist())
        return np.array(sorted(found), np.int64)

    @property
    def kind(self) -> int:
        """How weights are stored: one a row where every row has one weight, else as the precision says."""
        for p in self.senders:
            weights = [s.weight for s in self.wired if s.source == p.name]
            if any(not isinstance(w, float) for w in weights) or len(set(map(str, weights))) > 1:
                return PACKED if self.precision == "packed" else FULL
        return ROW

    def synapse_bytes(self) -> int:
        return {ROW: 2, FULL: 2 + self.dtype.itemsize, PACKED: 4}[self.kind]

    def places(self) -> int:
        """The places of one row of inputs, each part's padded to a cache line."""
        return sum(-(-w // LINE) * LINE for w in (self.width[:1] if self.shared else self.width))

    def expected(self) -> float:
        """The (expected) number of synapses in rows."""
        return sum(s.connect.expected(*self._sizes(s), s.source == s.target) for s in (*self.wired, *self.plastic))

    def _sizes(self, s: Synapses) -> tuple[int, int]:
        return self.network.population(s.source).size, self.network.population(s.target).size

    def bytes_needed(self) -> int:
        """An estimate of all memory that building and running take."""
        keys = len(self.delays) * (len(self.bound) - 1)
        rows = int(self.first_sender[-1]) * (4 * (keys + 1) + 16)
        listed = max([8 * s.connect.expected(*self._sizes(s), s.source == s.target) for s in self.wired
                      if isinstance(s.connect, (FixedIndegree, Pairs))], default=0)
        ring = self.ring_rows * self.places() * self.dtype.itemsize
        lists = self.slots * int(self.first_sender[-1]) * 4 * (self.threads if self.may_run_alone else 1)
        states = sum(p.size * (len(p.rule.states) if p.rule else 0) for p in self.ruled) * self.dtype.itemsize
        return int(self.expected() * self.synapse_bytes() + rows + listed + ring + lists + states)

    def scales(self) -> dict[tuple[str, str], float]:
        """For packed weights: how many units of 16 bits one unit of weight is, for each receptor of each target; fewer where
        the inputs of one neuron, all arriving in one step, would pass 32 bits."""
        largest: dict[tuple[str, str], float] = {}
        inputs: dict[tuple[str, str], float] = {}
        for s in self.wired:
            end = (s.target, s.receptor)
            largest[end] = max(largest.get(end, 0.0), _largest(s.weight))
            inputs[end] = inputs.get(end, 0.0) + self._most_inputs(s)
        # less 1, because units are rounded
        return {end: min(LARGEST, LARGEST_SUM / max(1.0, inputs[end]) - 1.0) / w if w else 1.0 for end, w in largest.items()}

    def _most_inputs(self, s: Synapses) -> float:
        """What a neuron gets of these synapses in one step at most; where they are drawn, but for odds of some 1e-20."""
        sources, targets = self._sizes(s)
        if isinstance(s.connect, Pairs):
            most = float(np.bincount(np.asarray(s.connect.target), minlength=1).max())
        elif isinstance(s.connect, AllToAll | FixedIndegree | OneToOne):
            most = s.connect.expected(sources, targets, False) / targets
        else:
            most = far(s.connect.expected(sources, targets, s.source == s.target) / targets)
        source = self.network.population(s.source).source
        if isinstance(source, Poisson):
            most *= far(float(np.max(source.rate)) * 1e-3 * self.network.time.dt)
        if isinstance(source, SpikeTimes) and len(np.asarray(source.times)):
            step = step_of(source.times, self.network.time.dt)
            most *= np.unique(np.stack([step, np.asarray(source.neuron)]), axis=1, return_counts=True)[1].max()
        return float(most)


def far(mean: Any) -> Any:
    """What a Poisson number of this mean hardly ever exceeds: with odds far below 2**-32."""
    return mean + 10.0 * np.sqrt(mean) + 10.0


def stream(network: Network, purpose: int, *index: int) -> np.random.Generator:
    """Random numbers for one purpose, a function of the network's seed."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([network.seed, purpose, *index])))


def _largest(weight: Any) -> float:
    """A bound of the weight's size; a distribution without bounds is bounded where it is hardly ever."""
    if not isinstance(weight, Distribution):
        return float(np.max(np.abs(weight), initial=0.0))
    _, a, b, low, high = weight.numbers
    kind = type(weight).__name__
    if kind == "Uniform":
        return max(abs(weight.low), abs(weight.high))
    ends = (a - 7 * b, a + 7 * b) if kind == "Normal" else (np.exp(a - 7 * b), np.exp(a + 7 * b))
    return float(max(abs(max(ends[0], low)), abs(min(ends[1], high))))


@dataclass(frozen=True)
class Rows:
    """segment[row, key], with key = part * key_part + column * key_column of the layout: where the synapses begin;
    [row, key + 1]: where they end.
    target: 16-bit codes. weight: one a synapse (FULL), one a row (ROW). packed: 32 bits a synapse (PACKED)."""

    kind: int
    segment: Array
    target: Array
    weight: Array
    packed: Array
    synapses: int
    build_s: float


Group = tuple[int, Population, list[Synapses]]  # the first row, the source population, and what its rows hold


def build(layout: Layout, threads: int) -> Rows:
    """Draw all static synapses; a row for each sender."""
    began = time.perf_counter()
    groups = [(int(layout.first_sender[i]), p, [s for s in layout.wired if s.source == p.name])
              for i, p in enumerate(layout.senders)]
    rows = _rows(layout, groups, int(layout.first_sender[-1]), layout.kind, threads)
    return replace(rows, build_s=time.perf_counter() - began)


def build_plastic(layout: Layout, threads: int) -> Rows:
    """Draw the plastic synapses; a row for each source neuron of each `Synapses`."""
    groups: list[Group] = []
    first = 0
    for s in layout.plastic:
        source = layout.network.population(s.source)
        groups.append((first, source, [s]))
        first += source.size
    return _rows(layout, groups, first, FULL, threads)


def _rows(layout: Layout, groups: list[Group], count: int, kind: int, threads: int) -> Rows:
    groups = [g for g in groups if g[2]]
    scale = layout.scales() if kind == PACKED else {}
    keys = len(layout.delays) * (len(layout.bound) - 1)
    draws = [_draws(layout, group, scale, threads) for _, _, group in groups]
    total = np.zeros(count, np.int64)
    for (first, p, _), d in zip(groups, draws, strict=True):
        for r in d.records:
            total[first: first + p.size] += d.count[r["count"]: r["count"] + p.size]
    synapses = int(total.sum())
    if synapses >= 2**32:
        raise ValueError(f"the network has {synapses:,} synapses; at most {2**32 - 1:,} can be held")
    segment = np.zeros((count, keys + 1), np.uint32)
    segment[:] = (np.cumsum(total) - total).astype(np.uint32)[:, None]
    target = np.empty(synapses if kind != PACKED else 0, np.uint16)
    weight = np.empty(synapses if kind == FULL else 0, layout.dtype)
    packed = np.empty(synapses if kind == PACKED else 0, np.int32)
    with ThreadPoolExecutor(threads) as pool:
        for (first, p, _), d in zip(groups, draws, strict=True):
            longest = int(total[first: first + p.size].max(initial=0))
            widest = int(d.records["targets"].max())
            tasks = [(low, min(low + ROWS_A_TASK, p.size)) for low in range(0, p.size, ROWS_A_TASK)]
            list(pool.map(lambda span, d=d, first=first, longest=longest, widest=widest: wiring.build_rows(
                d, wiring.scratch(longest, widest, keys), first, *span, segment, target, weight, packed, kind), tasks))
    if kind == ROW:
        weight = np.zeros(count, layout.dtype)
        for first, p, group in groups:
            weight[first: first + p.size] = group[0].weight
    return Rows(kind, segment, target, weight, packed, synapses, 0.0)


def _draws(layout: Layout, group: list[Synapses], scale: dict[tuple[str, str], float], threads: int) -> Draws:
    """What the rows of one source population are drawn from."""
    network = layout.network
    records = np.zeros(len(group), DRAW)
    counts, starts, listed, at, table = [], [], [], [], []
    delta = np.zeros((len(group), len(layout.bound) - 1), np.int64)
    listed_at = table_at = count_at = order_at = 0
    for n, s in enumerate(group):
        r, source, target = records[n], network.population(s.source), network.population(s.target)
        same = s.source == s.target
        rng = stream(network, SYNAPSES, network.synapses.index(s))
        r["key"] = rng.integers(0, 2**64, dtype=np.uint64)
        r["sources"], r["targets"] = source.size, target.size
        population = layout.ruled.index(target)
        r["first"] = layout.first[population]
        r["scale"] = scale.get((s.target, s.receptor), 1.0)
        r["skip_self"] = same and not getattr(s.connect, "self_connections", True)
        method, count, order, targets = _connect(s, source.size, target.size, int(r["skip_self"]), r["key"], rng, threads)
        r["method"], r["count"] = method, count_at
        counts.append(count)
        row_start = np.cumsum(count) - count + listed_at
        starts.append(row_start if method == LISTED else np.zeros_like(row_start))
        count_at += len(count)
        if method == LISTED:
            r["at"] = order_at - listed_at
            listed.append(targets)
            at.append(order)
            listed_at += len(targets)
            order_at += len(order)
        for name in ("weight", "delay"):
            value = getattr(s, name)
            if isinstance(value, Distribution):
                r[f"{name}_kind"], r[f"{name}_a"], r[f"{name}_b"], r[f"{name}_low"], r[f"{name}_high"] = value.numbers
            elif isinstance(value, float):
                r[f"{name}_kind"], r[f"{name}_a"] = wiring.CONSTANT, value
            else:
                r[f"{name}_kind"], r[f"{name}_at"] = wiring.TABLE, table_at
                table.append(np.ravel(value))
                table_at += value.size
        receptor = layout.receptors[population].index(s.receptor)
        for g in layout.segments:
            if g.population == population:
                delta[n, g.part] = g.at + receptor * (g.high - g.low) - g.low - layout.first[population]
    column = np.zeros(int(layout.delays.max()) + 1, np.int32)
    column[layout.delays] = np.arange(len(layout.delays))
    return Draws(records, np.concatenate(counts).astype(np.int32), np.concatenate(starts).astype(np.int64),
                 _joined(listed, np.int32), _joined(at, np.int64), _joined(table, np.float64), layout.bound, delta, column,
                 layout.key_part, layout.key_column, float(network.time.dt), *ZIGGURAT)


@dataclass(frozen=True)
class Connections:
    """Synapses as lists, source by source: neuron numbers in C order, weights in the receptor's unit, delays in steps."""

    source: Array
    target: Array
    weight: Array
    delay: Array


def connections(network: Network, which: Synapses) -> Connections:
    """The synapses that a simulation of this network draws (or is given) for one of `network.synapses`."""
    layout = Layout(network, 1, "double")
    layout.bound, layout.segments = np.array([0, layout.neurons], np.int64), []  # one part, whose codes are neurons
    layout.delays, layout.key_column = np.arange(which.steps(network.time.dt)[1] + 1), 1
    draws = _draws(layout, [which], {}, 1)
    record = draws.records[0]
    draws = draws._replace(delta=np.full((1, 1), -record["first"]))
    total, longest = int(draws.count.sum()), int(draws.count.max(initial=0))
    found = Connections(np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total), np.empty(total, np.int64))
    wiring.list_rows(draws, wiring.scratch(longest, int(record["targets"]), 1), 0, int(record["sources"]), found.source,
                     found.target, found.weight, found.delay)
    return found


ZIGGURAT = wiring.ziggurat()


def _joined(parts: list[Array], dtype: Any) -> Array:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(1, dtype)


def _connect(s: Synapses, sources: int, targets: int, skip: int, key: Any, rng: np.random.Generator,
             threads: int) -> tuple[int, Array, Array, Array]:
    """How the rows find their targets: the method, synapses a source, and for listed ones their order and targets."""
    c, none = s.connect, np.zeros(0, np.int64)
    match c:
        case AllToAll():
            return ALL, np.full(sources, targets - skip), none, none
        case OneToOne():
            return ONE, np.ones(sources, np.int64), none, none
        case Bernoulli():
            return DISTINCT, rng.binomial(targets - skip, c.probability, sources), none, none
        case FixedOutdegree():
            return RANDOM if c.multiple else DISTINCT, np.full(sources, c.outdegree), none, none
        case FixedTotal():
            if c.multiple:
                return RANDOM, rng.multinomial(c.total, np.full(sources, 1 / sources)), none, none
            return DISTINCT, _counts_of_total(c.total, sources, targets - skip, rng), none, none
        case Pairs():
            source, target = np.asarray(c.source), np.asarray(c.target)
            order = np.argsort(source, kind="stable")
            return LISTED, np.bincount(source, minlength=sources), order, target[order]
        case FixedIndegree():
            chosen = np.empty((targets, c.indegree), np.int32)
            step = -(-targets // (4 * threads))
            own = rng.integers(0, 2**64, dtype=np.uint64)  # another key than weights and delays are drawn by
            with ThreadPoolExecutor(threads) as executor:
                list(executor.map(lambda low: wiring.draw_indegree(own, sources, c.indegree, skip, int(not c.multiple), low,
                              min(low + step, targets), wiring.scratch(c.indegree, sources, 1), chosen),
                              range(0, targets, step)))
            count = np.bincount(chosen.ravel(), minlength=sources)
            listed = np.empty(chosen.size, np.int32)
            wiring.by_source(chosen, np.cumsum(count) - count, listed)
            return LISTED, count, none, listed
    raise TypeError(f"the engine cannot draw {type(c).__name__}")


def _counts_of_total(total: int, sources: int, pool: int, rng: np.random.Generator) -> Array:
    """How many of `total` different pairs each source has, any set of pairs as likely as any other.

    Each pair is kept with probability total / pairs; then pairs of those that are too many are taken out, or of those that
    are missing put in, any one as likely as any other. NumPy's own draw takes fewer than 10**9 pairs.
    """
    count = rng.binomial(pool, total / (sources * pool), sources) if total else np.zeros(sources, np.int64)
    excess = int(count.sum()) - total
    room = np.cumsum(count if excess > 0 else pool - count)
    moved = np.searchsorted(room, rng.choice(int(room[-1]), abs(excess), replace=False, shuffle=False), "right")
    count += np.sign(-excess) * np.bincount(moved, minlength=sources)
    return count


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
