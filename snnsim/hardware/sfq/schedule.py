"""When pulses go: time slots of the sources, and the clock.

A layer takes a tick in one period, in which each of its sources has a slot; what they release there reaches the somas one
after another:

    slot of source i   spacing max(1, max_j |w_ji| burst_i) ps, and the guard         burst: most pulses of i in a tick
    pulse k            released at the slot's start + k spacing                        k = 0 .. |w_ji| c_i - 1
    arrives            driver + splitters + mergers of its path later
    tick               settle ps after the last slot's end: the somas decide, their pulses are held for the next layer's slots
    period             hold ps after the tick: the decisions can be read

Layers are pipelined, layer l + 1 works on tick t while layer l works on t + 1: the period is that of the longest phase. At its
end all layers decide, as a decision takes the place of that which the layer after it still reads. The last one is known after
as many periods as there are layers. Times are in ps; whole ones stay whole, as Verilog needs them. The executor of pulses, the
netlister and Verilog go by one schedule. This form of the clocking is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.library import Library, load
from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork
from snnsim.rule import finite

Times = NDArray[np.float64]
Slots = NDArray[Any]  # whole, or not
SPACING = 8


def _times(library: Library) -> dict[str, float]:
    apart = [ps for cell in ("merger", "counter") for ps in library[cell].separation.values()]
    if not apart:
        raise ValueError("cells merger and counter have no separation: the dead time of the pulses is not known")
    return {"driver": library.delay("jtl"), "splitter": library.delay("splitter"), "merger": library.delay("merger"),
            "dead": max(apart)}


@cache
def _ours() -> dict[str, float]:
    return _times(load())


@dataclass(frozen=True)
class Delays:
    """How long pulses take, ps: driver, from a pulse's release to the tree of splitters, with what sends a weight's pulses;
    splitter and merger, each. dead: a merger, or a soma, loses a pulse that comes sooner than this after the one before.

    balanced: trees are padded so that all paths of a layer are as long as the longest one; else a path has as many splitters
    and mergers as its trees have there, which are built pair by pair, level by level, an odd one going on without a cell.
    By default those that our own cells at 10 kA/cm2 have in simulation, see `of`. Errors: ValueError.
    """

    driver: float = field(default_factory=lambda: _ours()["driver"])
    splitter: float = field(default_factory=lambda: _ours()["splitter"])
    merger: float = field(default_factory=lambda: _ours()["merger"])
    dead: float = field(default_factory=lambda: _ours()["dead"])
    balanced: bool = True

    def __post_init__(self) -> None:
        for name in ("driver", "splitter", "merger", "dead"):
            finite(name, getattr(self, name), at_least=0.0)

    @classmethod
    def of(cls, library: Library, *, balanced: bool = True) -> Self:
        """Those of a library's jtl, splitter and merger; dead: the largest separation of merger and counter. ValueError where
        there is none."""
        return cls(**_times(library), balanced=balanced)


@dataclass(frozen=True, eq=False)
class Phase:
    """A layer's period. start: of each source's slot, [sources]; tick: of its decision; both ps from the period's start.

    Errors: ValueError that names the layer."""

    layer: str
    start: ArrayLike
    tick: float

    def __post_init__(self) -> None:
        start = np.array(self.start)
        if start.ndim != 1 or not start.size:
            raise ValueError(f"start of layer {self.layer!r} must be one time for each of its sources, got the shape "
                             f"{start.shape}")
        finite(f"start of layer {self.layer!r}", start, at_least=0.0)
        finite(f"tick of layer {self.layer!r}", self.tick, above=float(start.max()))
        start.setflags(write=False)
        object.__setattr__(self, "start", start)


@dataclass(frozen=True, eq=False)
class Schedule:
    """When a network's pulses go. phases: of its layers. spacing: between the pulses of one source. hold: from the last
    decision of a period until it can be read, when the next one begins."""

    phases: tuple[Phase, ...]
    spacing: float = SPACING
    hold: float = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ValueError("a schedule needs at least one phase")
        finite("spacing", self.spacing, above=0.0)
        finite("hold", self.hold, at_least=0.0)

    @property
    def ticks(self) -> tuple[float, ...]:
        """When the layers decide, ps from the start of their periods."""
        return tuple(p.tick for p in self.phases)

    @property
    def period(self) -> float:
        """ps a tick."""
        return max(self.ticks) + self.hold

    @property
    def latency(self) -> float:
        """ps from the start of a tick's first slot until the last layer's decision."""
        return (len(self.phases) - 1) * self.period + self.ticks[-1]

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
        for before, after in pairwise(self.phases):
            if before.tick < (late := float(np.max(after.start))):
                raise ValueError(f"layer {before.layer!r} decides at {before.tick:g} ps, while layer {after.layer!r} still "
                                 f"reads what it decided before, until {late:g} ps")
        if self.spacing < delays.dead:
            raise ValueError(f"spacing is {self.spacing:g} ps, but a merger loses what comes sooner than {delays.dead:g} ps "
                             f"after another pulse: spacing must be at least {delays.dead:g}")
        for i, (layer, phase) in enumerate(zip(network.layers, self.phases, strict=True)):
            count = np.abs(layer.weight) * bursts(network)[i]
            end = np.asarray(phase.start) + (count - 1) * self.spacing + paths(layer, delays)
            last = float(np.where(count > 0, end, 0.0).max())
            if last >= phase.tick:
                raise ValueError(f"layer {layer.name!r}: its last pulse arrives at {last:g} ps, its tick is at {phase.tick:g} "
                                 f"ps: settle must be more than {last - phase.tick:g} ps longer")

    def __repr__(self) -> str:
        return (f"Schedule({len(self.phases)} layers, spacing {self.spacing:g} ps, period {self.period:g} ps, "
                f"{self.frequency:.3g} GHz, latency {self.latency:g} ps)")


def slotted(network: SFQNetwork, *, spacing: float = SPACING, settle: float | None = None, hold: float = 0,
            delays: Delays | None = None, order: Sequence[ArrayLike | None] | None = None) -> Schedule:
    """The schedule in which every source has its slot, one after another. settle: by default each layer's longest path. hold:
    see Schedule. delays: of the cells. order: for each layer the sources in the order of their slots, or None for that of
    their numbers.

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
    for layer, width, given in zip(network.layers, widths(network, spacing), orders, strict=True):
        path, sources = paths(layer, delays)[layer.weight != 0], layer.weight.shape[1]
        if path.size and not delays.balanced:
            width = width + np.ptp(path)
        chosen = np.arange(sources) if given is None else np.asarray(given)
        if chosen.shape != (sources,) or not np.array_equal(np.sort(chosen), np.arange(sources)):
            raise ValueError(f"order of layer {layer.name!r} must be each of its sources 0 .. {sources - 1} once, got "
                             f"{given!r}")
        start = np.empty_like(width)
        start[chosen] = begins(width[chosen])
        last = float(path.max(initial=0.0)) if settle is None else settle
        phases.append(Phase(layer.name, start, width.sum().item() + last))
    return _together(phases, spacing, hold, network, delays)


def asynchronous(network: SFQNetwork, *, spacing: float = SPACING, settle: float | None = None,
                 delays: Delays | None = None) -> Schedule:
    """The schedule without slots: all sources release at once, and pulses meet in the mergers. Shorter, and lossy."""
    delays = delays or Delays()
    if settle is not None:
        finite("settle", settle, at_least=0.0)
    phases = []
    for layer, width in zip(network.layers, widths(network, spacing), strict=True):
        longest = float(paths(layer, delays).max()) if settle is None else settle
        phases.append(Phase(layer.name, np.zeros(len(width)), width.max().item() + longest))
    return _together(phases, spacing, 0, network, delays)


def _together(phases: Sequence[Phase], spacing: float, hold: float, network: SFQNetwork, delays: Delays) -> Schedule:
    """All decide with the slowest, or a short layer's pulse would be stored before the next layer has read the one before."""
    last = max(p.tick for p in phases)
    made = Schedule(tuple(replace(p, tick=last) for p in phases), spacing, hold)
    made.check(network, delays)
    return made


def bursts(network: SFQNetwork) -> tuple[int, ...]:
    """Most pulses that a source of each layer sends in a tick."""
    return (network.burst, *(1 for _ in network.layers[1:]))


def widths(network: SFQNetwork, spacing: float) -> list[Slots]:
    """How long the slots of each layer's sources are, [sources], ps, without a guard."""
    return [spacing * np.maximum(1, np.abs(layer.weight).max(0) * most)
            for layer, most in zip(network.layers, bursts(network), strict=True)]


def begins(width: Slots) -> Slots:
    """Starts of slots that follow each other."""
    found: Slots = np.cumsum(width) - width
    return found


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of ps, such as Verilog's time is here. ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be whole ps, at least {least}, got {value!r}")
    return int(value)


def whole_widths(network: SFQNetwork, schedule: Schedule) -> list[Slots]:
    """Widths of the slots of a schedule that Verilog can be written for. ValueError where it has parts of a ps, or slots that
    do not follow each other in the order of the sources."""
    whole("spacing", schedule.spacing, 2)
    whole("hold", schedule.hold, 0)
    found = widths(network, schedule.spacing)
    for phase, width in zip(schedule.phases, found, strict=True):
        whole(f"tick of layer {phase.layer!r}", phase.tick, 1)
        if not np.array_equal(phase.start, begins(width)):
            raise ValueError(f"slots of layer {phase.layer!r} must follow each other in the order of its sources, without a "
                             "guard: Verilog has them so")
    return found


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
