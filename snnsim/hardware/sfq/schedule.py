"""When pulses go: time slots of the sources, and the clock.

A layer takes a tick in one period, in which each of its sources has a slot; what they release there reaches the somas one
after another:

    slot of source i   spacing max(1, max_j |w_ji| burst_i) ps, and the guard         burst: most pulses of i in a tick
    pulse k            released at the slot's start + k spacing                        k = 0 .. |w_ji| c_i - 1
    arrives            driver + splitters + mergers of its path later
    tick               settle ps after the last slot's end: the somas decide, their pulses are held for the next layer's slots

Layers are pipelined, layer l + 1 works on tick t while layer l works on t + 1: the period is that of the longest phase, and a
decision is known after as many periods as there are layers. Times are in ps. This form of the clocking is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork
from snnsim.rule import finite

Times = NDArray[np.float64]
SPACING = 8.0


@dataclass(frozen=True)
class Delays:
    """How long pulses take, ps: driver, from a pulse's release to the tree of splitters, with what sends a weight's pulses;
    splitter and merger, each. dead: a merger, or a soma, loses a pulse that comes sooner than this after the one before.

    balanced: trees are padded so that all paths of a layer are as long as the longest one; else a path has as many splitters
    and mergers as its trees have there, which are built pair by pair, level by level, an odd one going on without a cell.
    The delays are those of our own cells at 10 kA/cm2 as simulated; the dead time is our assumption. Errors: ValueError.
    """

    driver: float = 4.0
    splitter: float = 5.3
    merger: float = 3.8
    dead: float = 5.0
    balanced: bool = True

    def __post_init__(self) -> None:
        for name in ("driver", "splitter", "merger", "dead"):
            finite(name, getattr(self, name), at_least=0.0)


@dataclass(frozen=True, eq=False)
class Phase:
    """A layer's period. start: of each source's slot, [sources]; tick: of its decision; both ps from the period's start.

    Errors: ValueError that names the layer."""

    layer: str
    start: ArrayLike
    tick: float

    def __post_init__(self) -> None:
        start = np.array(self.start, np.float64)
        if start.ndim != 1 or not start.size:
            raise ValueError(f"start of layer {self.layer!r} must be one time for each of its sources, got the shape "
                             f"{start.shape}")
        finite(f"start of layer {self.layer!r}", start, at_least=0.0)
        finite(f"tick of layer {self.layer!r}", self.tick, above=float(start.max()))
        start.setflags(write=False)
        object.__setattr__(self, "start", start)


@dataclass(frozen=True, eq=False)
class Schedule:
    """When a network's pulses go. phases: of its layers. spacing: between the pulses of one source."""

    phases: tuple[Phase, ...]
    spacing: float = SPACING

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ValueError("a schedule needs at least one phase")
        finite("spacing", self.spacing, above=0.0)

    @property
    def period(self) -> float:
        """ps a tick."""
        return max(p.tick for p in self.phases)

    @property
    def latency(self) -> float:
        """ps from the start of a tick's first slot until its decision is out."""
        return len(self.phases) * self.period

    @property
    def frequency(self) -> float:
        """Ticks a second, in GHz."""
        return 1e3 / self.period

    def check(self, network: SFQNetwork, delays: Delays) -> None:
        """ValueError unless the schedule is of this network, and every pulse can arrive before its tick, alone."""
        sizes = [(layer.name, layer.weight.shape[1]) for layer in network.layers]
        found = [(p.layer, np.size(p.start)) for p in self.phases]
        if found != sizes:
            raise ValueError(f"the schedule is of layers {found}, the network has {sizes} (name, sources)")
        if self.spacing < delays.dead:
            raise ValueError(f"spacing is {self.spacing:g} ps, but a merger loses what comes sooner than {delays.dead:g} ps "
                             f"after another pulse: spacing must be at least {delays.dead:g}")
        for i, (layer, phase) in enumerate(zip(network.layers, self.phases, strict=True)):
            count = np.abs(layer.weight) * (network.burst if i == 0 else 1)
            end = np.asarray(phase.start) + (count - 1) * self.spacing + paths(layer, delays)
            last = float(np.where(count > 0, end, 0.0).max())
            if last >= phase.tick:
                raise ValueError(f"layer {layer.name!r}: its last pulse arrives at {last:g} ps, its tick is at {phase.tick:g} "
                                 f"ps: settle must be more than {last - phase.tick:g} ps longer")

    def __repr__(self) -> str:
        return (f"Schedule({len(self.phases)} layers, spacing {self.spacing:g} ps, period {self.period:g} ps, "
                f"{self.frequency:.3g} GHz, latency {self.latency:g} ps)")


def slotted(network: SFQNetwork, *, spacing: float = SPACING, settle: float | None = None, delays: Delays | None = None,
            order: Sequence[ArrayLike | None] | None = None) -> Schedule:
    """The schedule in which every source has its slot, one after another. settle: by default each layer's longest path. delays:
    of the cells. order: for each layer the sources in the order of their slots, or None for that of their numbers.

    The guard is the spread of the layer's path delays, none where they are balanced. Errors: ValueError that says what is
    impossible: a spacing below the dead time, a tick before its pulses are there, an order that is none.
    """
    delays = delays or Delays()
    if settle is not None:
        finite("settle", settle, at_least=0.0)
    orders = [None] * len(network.layers) if order is None else list(order)
    if len(orders) != len(network.layers):
        raise ValueError(f"order must be one order, or None, for each of the {len(network.layers)} layers, got {len(orders)}")
    phases = []
    for i, (layer, given) in enumerate(zip(network.layers, orders, strict=True)):
        path, sources = paths(layer, delays)[layer.weight != 0], layer.weight.shape[1]
        longest, guard = (float(path.max()), float(np.ptp(path))) if path.size else (0.0, 0.0)
        width = spacing * np.maximum(1, np.abs(layer.weight).max(0) * (network.burst if i == 0 else 1)) + guard
        chosen = np.arange(sources) if given is None else np.asarray(given)
        if chosen.shape != (sources,) or not np.array_equal(np.sort(chosen), np.arange(sources)):
            raise ValueError(f"order of layer {layer.name!r} must be each of its sources 0 .. {sources - 1} once, got "
                             f"{given!r}")
        start = np.empty(sources)
        start[chosen] = np.cumsum(width[chosen]) - width[chosen]
        phases.append(Phase(layer.name, start, float(width.sum()) + (longest if settle is None else settle)))
    made = Schedule(tuple(phases), spacing)
    made.check(network, delays)
    return made


def asynchronous(network: SFQNetwork, *, spacing: float = SPACING, settle: float | None = None,
                 delays: Delays | None = None) -> Schedule:
    """The schedule without slots: all sources release at once, and pulses meet in the mergers. Shorter, and lossy."""
    delays = delays or Delays()
    if settle is not None:
        finite("settle", settle, at_least=0.0)
    phases = []
    for i, layer in enumerate(network.layers):
        longest = float(paths(layer, delays).max()) if settle is None else settle
        most = max(1, int(np.abs(layer.weight).max())) * (network.burst if i == 0 else 1)
        phases.append(Phase(layer.name, np.zeros(layer.weight.shape[1]), spacing * most + longest))
    made = Schedule(tuple(phases), spacing)
    made.check(network, delays)
    return made


def paths(layer: SFQLayer, delays: Delays) -> Times:
    """How long a pulse takes from its release to the soma, [neurons, sources], ps; 0 where there is no synapse. Positive and
    negative weights of a neuron have a tree of mergers each."""
    splits, merges = np.zeros(layer.weight.shape), np.zeros(layer.weight.shape)
    for column in range(layer.weight.shape[1]):
        to = np.flatnonzero(layer.weight[:, column])
        splits[to, column] = depths(len(to))
    for row, weight in enumerate(layer.weight):
        for from_ in (np.flatnonzero(weight > 0), np.flatnonzero(weight < 0)):
            merges[row, from_] = depths(len(from_))
    if delays.balanced:
        splits[:], merges[:] = splits.max(), merges.max()
    return np.where(layer.weight != 0, delays.driver + delays.splitter * splits + delays.merger * merges, 0.0)


def depths(leaves: int) -> NDArray[np.int64]:
    """Cells between each leaf and the root of a tree that pairs neighbours, level by level; an odd one goes on alone."""
    found, place, size = np.zeros(leaves, np.int64), np.arange(leaves), leaves
    while size > 1:
        found += (place ^ 1) < size
        place, size = place >> 1, (size + 1) // 2
    return found
