"""An SFQ network as cells, before there are any: how deep its trees are, how long its pads, when pulses arrive.

Step two of the netlister: SFQNetwork -> Plan -> Netlist (`build`) -> text (`structural`). Counting cells needs the plan alone.

A layer: a source's pulse (from the pin, or read from its DRO in its slot) is made a burst by a chain of taps, each a spacing
later than the one before; level m of it is a burst of m pulses, which a tree of splitters brings to all synapses of weight m or
-m. A target merges what counts up in one tree and what counts down in another. All leaves of a tree of splitters are equally
deep; those of the trees of mergers are made so by pads, to a part of a ps, of which the sources of earlier slots have the most.
Pads before the trees let every level arrive when its slot says; what is left is what `check` looks at.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.library import Library
from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.schedule import SPACING, Delays, Schedule, Slots, begins, bursts, slotted, whole, widths

SLACK = 12.0  # ps before the last level's tree, so that its pad can be fitted
GUARD = 12.0  # ps between the last pulse, the clearing of all, and the decision
ROLES = {"splitter": "splitter", "merger": "merger", "dro": "dro", "counter": "counter", "sink": "none", "quiet": "none"}


@dataclass(frozen=True)
class Pad:
    """Cells in a row, by name, and what they take together in ps."""

    cells: tuple[str, ...]
    delay: float


@dataclass(frozen=True)
class Level:
    """Of a source: the burst of `pulses`. pad: before its tree; targets: leaves."""

    pulses: int
    pad: Pad
    targets: int


@dataclass(frozen=True)
class Source:
    """index: of the neuron or pin. taps: pads of the pulses after the first of a burst. levels: by pulses."""

    index: int
    taps: tuple[Pad, ...]
    levels: tuple[Level, ...]

    @property
    def most(self) -> int:
        return self.levels[-1].pulses


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """sources: those with synapses, by slot. line: pads of the slots' clock, one before each DRO, none for the pins. tick: pad
    of the decision after them; its arrival is `Schedule.ticks`. counter: bits that count within a tick. short: pad of a
    merger tree's leaf that passes one merger less; roots: pads after the trees, by how many levels they are less deep than
    the other of a counter."""

    layer: SFQLayer
    sources: tuple[Source, ...]
    line: tuple[Pad, ...]
    tick: Pad
    counter: int
    short: Pad
    roots: tuple[Pad, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """arrival: of the slots at the counters, ps after what the schedule says, by layer. clear: ps from the pin to the
    counters."""

    network: SFQNetwork
    library: Library
    schedule: Schedule
    layers: tuple[LayerPlan, ...]
    arrival: tuple[float, ...]
    clear: float


def plan(network: SFQNetwork, library: Library, *, spacing: int = SPACING) -> Plan:
    """Fit the trees and pads. Errors: ValueError for a cell that the library lacks or that does not do its part."""
    for name, behaviour in ROLES.items():
        if library[name].behaviour != behaviour:
            raise ValueError(f"cell {name!r} must behave as {behaviour!r}, it is {library[name].behaviour!r}")
    width = widths(network, whole("spacing", spacing, 2))
    t = Times(library)
    starts = tree_depth(len(network.layers)) * t.split
    fitted, arrival, latest, lines = [], [], [], []
    for stage, layer in enumerate(network.layers):
        begin = begins(width[stage])
        line, entry = _line(layer, begin, stage, starts, t)
        sources, base = _sources(layer, begin, spacing, entry, t)
        merges = deepest(layer)
        arrival.append(base)
        lines.append(line)
        fitted.append(sources)
        latest.append(base + merges * t.merge)
    carry = library["counter"].setup * max(counter_bits(q, b) for q, b in zip(network.layers, bursts(network), strict=True))
    settle = math.ceil(max(latest) + carry + 2 * GUARD)
    after = library["counter"].setup * max(ripples(q) * counter_bits(q, b)
                                           for q, b in zip(network.layers, bursts(network), strict=True))
    hold = math.ceil(t.counter + after + library["dro"].setup + GUARD)
    final = slotted(network, spacing=spacing, settle=settle, hold=hold, delays=Delays.of(library))
    layers = []
    for stage, layer in enumerate(network.layers):
        now = starts + sum(p.delay + t.split for p in lines[stage])
        tick = t.fit(final.ticks[stage] - tree_depth(layer.size) * t.split - now)
        most = bursts(network)[stage]
        roots = tuple(t.fit(k * t.merge) for k in range(deepest(layer) + 1))
        layers.append(LayerPlan(layer, fitted[stage], lines[stage], tick, counter_bits(layer, most), t.fit(t.merge), roots))
    clear = tree_depth(sum(q.size for q in network.layers)) * t.split
    return Plan(network, library, final, tuple(layers), tuple(arrival), clear)


class Times:
    """Delays of the cells that are used, and pads."""

    def __init__(self, library: Library) -> None:
        self.split, self.merge, self.dro, self.counter = map(library.delay, ("splitter", "merger", "dro", "counter"))
        lines = [(library.delay(n), library.junctions(n), n) for n, c in sorted(library.cells.items()) if c.behaviour == "jtl"]
        if not lines:
            raise ValueError("the library has no cell that behaves as a 'jtl': pads are made of them")
        # the cheapest cell a ps makes the length of a pad, and one other the rest
        self.long = min(lines, key=lambda x: x[1] / x[0])
        self.lines = sorted(lines)
        self.fit = lru_cache(maxsize=None)(self._fit)

    def _fit(self, length: float) -> Pad:
        """The pad that is nearest to `length` ps, of few junctions."""
        best: tuple[float, int, tuple[str, ...], float] = (abs(length), 0, (), 0.0)
        for d, cost, name in self.lines:
            for few in range(9):
                rest = length - few * d
                for many in {max(0, math.floor(rest / self.long[0])), max(0, math.ceil(rest / self.long[0]))}:
                    total = few * d + many * self.long[0]
                    row = (name,) * few + (self.long[2],) * many
                    found = (round(abs(length - total), 3), few * cost + many * self.long[1], row, total)
                    if found[0] < best[0] - 0.05 or (found[0] < best[0] + 0.05 and found[1] < best[1]):
                        best = found
        return Pad(best[2], best[3])


def tree_depth(leaves: int) -> int:
    return max(0, int(leaves) - 1).bit_length()


def tree_cells(leaves: int) -> tuple[int, int]:
    """Splitters of a tree with all leaves at one depth, and outputs that nothing uses."""
    splitters, unused, n = 0, 0, leaves
    for _ in range(tree_depth(leaves)):
        unused += n % 2
        n = (n + 1) // 2
        splitters += n
    return splitters, unused


def shallow(leaves: int) -> int:
    """Leaves of a tree of mergers that pass one less than the others."""
    return 0 if leaves < 2 else (1 << tree_depth(leaves)) - leaves


def fan_in(layer: SFQLayer) -> NDArray[np.int64]:
    """Synapses that count up, and down, [2, neurons]."""
    return np.stack([(layer.weight > 0).sum(1), (layer.weight < 0).sum(1)])


def deepest(layer: SFQLayer) -> int:
    """Mergers from a synapse to a counter, at most."""
    return tree_depth(int(fan_in(layer).max()))


def counter_bits(layer: SFQLayer, burst: int) -> int:
    """Bits of a counter that never overflows within a tick, with the sign."""
    most = int(np.abs(layer.weight).sum(1).max()) * burst
    return max(int(layer.bits), int(2 ** (layer.bits - 1) + most).bit_length() + 1)


def ripples(layer: SFQLayer) -> int:
    """How often carries pass a counter once it decides: theta is subtracted, added again where it does not fire, and the leak
    taken."""
    return 2 + (layer.leak is not None)


def _line(layer: SFQLayer, begin: Slots, stage: int, start: float, t: Times) -> tuple[tuple[Pad, ...], list[float]]:
    """The clock of the slots, and when each source's pulse enters, by source. Pins are driven from outside, at their slots."""
    used = np.flatnonzero(np.any(layer.weight != 0, axis=0))
    if stage == 0:
        return (), [float(begin[i]) for i in used]
    pads, entry, now = [], [], start
    for i in used:
        pad = t.fit(max(0.0, start + float(begin[i]) - now))
        pads.append(pad)
        now += pad.delay + t.split
        entry.append(now + t.dro)
    return tuple(pads), entry


def _sources(layer: SFQLayer, begin: Slots, spacing: int, entry: list[float], t: Times) -> tuple[tuple[Source, ...], float]:
    used = np.flatnonzero(np.any(layer.weight != 0, axis=0))
    found, late = [], 0.0
    for i, at in zip(used, entry, strict=True):
        size = np.abs(layer.weight[:, i])
        kinds = [int(m) for m in np.unique(size[size > 0])]
        taps, first = _burst(kinds, spacing, t)
        levels = []
        for m in kinds:
            n = int((size == m).sum())
            leaf = at + first[m] + tree_depth(n) * t.split - float(begin[i])
            late = max(late, leaf)
            levels.append((m, n, leaf))
        found.append((int(i), taps, levels))
    base = late + SLACK if found else 0.0
    return tuple(Source(i, taps, tuple(Level(m, t.fit(base - leaf), n) for m, n, leaf in levels))
                 for i, taps, levels in found), base


def _burst(kinds: list[int], spacing: int, t: Times) -> tuple[tuple[Pad, ...], dict[int, float]]:
    """Pads of the taps, and when the first pulse of each level leaves, from when the source's pulse enters."""
    most = kinds[-1]
    chain, level = (t.split, t.split) if most > 1 else (0.0, 0.0)
    taps, first = [], {}
    for k in range(1, most + 1):
        if k in kinds:
            first[k] = level + (t.split if k < most else 0.0)
            level = first[k]
        if k == most:
            break
        more = t.split if k < most - 1 else 0.0
        pad = t.fit(max(0.0, level + k * spacing - chain - more))
        chain += pad.delay + more
        taps.append(pad)
        level += t.merge
    return tuple(taps), first


def count(plan: Plan) -> Counter[str]:
    """Cells of the netlist by name, without making it."""
    cells: Counter[str] = Counter()
    layers = plan.layers
    for n in (len(layers), sum(p.layer.size for p in layers)):  # the clock of the layers, the clearing of all
        _tree(cells, n)
    for stage, p in enumerate(layers):
        weight = p.layer.weight
        cells["counter"] += p.layer.size
        _tree(cells, p.layer.size)
        cells.update(p.tick.cells)
        for up, down in fan_in(p.layer).T:
            for n, other in ((int(up), int(down)), (int(down), int(up))):
                cells["merger"] += max(0, n - 1)
                cells["quiet"] += n == 0
                for _ in range(shallow(n)):
                    cells.update(p.short.cells)
                if n:
                    cells.update(p.roots[max(0, tree_depth(other) - tree_depth(n))].cells)
        if stage > 0:
            cells["dro"] += len(p.sources)
            cells["splitter"] += len(p.line)
            for pad in p.line:
                cells.update(pad.cells)
        cells["sink"] += weight.shape[1] - len(p.sources)  # pulses that no synapse takes
        for s in p.sources:
            cells["splitter"] += max(0, s.most - 1) + sum(v.pulses < s.most for v in s.levels)
            cells["merger"] += s.most - 1
            for pad in (*s.taps, *(v.pad for v in s.levels)):
                cells.update(pad.cells)
            for v in s.levels:
                _tree(cells, v.targets)
    return +cells


def _tree(cells: Counter[str], leaves: int) -> None:
    splitters, unused = tree_cells(leaves)
    cells["splitter"] += splitters
    cells["sink"] += unused
