"""A small SFQ network as a deck of junctions, with its clock and its input pulses.

Each layer: splitter trees, synapses and somas, and for each neuron a DRO, which keeps its pulse for the layer's clock. So a
neuron sends at most one pulse a tick, and when within the tick its inputs came makes no difference.

    input pulse -> JTL -> DRO -(clock 0)-> splitters -> synapses -> soma -> JTL -> DRO -(clock 1)-> next layer ... -> out

The clock of layer l comes `phase` after that of the one before; ticks are a `period` apart, after which a soma's currents have
decayed: it is a comparator of one tick, as layers with leak=0 are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.analog.soma import Soma, neuron
from snnsim.hardware.sfq.library import PHI0, Library, subckt
from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.rule import finite
from snnsim.version import __version__

PULSE = 5.0  # ps, of a triangle of area Phi0
HOLD, SETUP = 30.0, 30.0  # ps that an input stays away from the clock of its tick before, and of its own
MOST_INPUTS = 12
CELLS = ("jtl", "splitter", "dro")


@dataclass(frozen=True)
class Clock:
    """ps. period: from tick to tick; phase: from the clock of a layer to that of the next; start: of the first tick's clock 0.
    An input pulse of a tick may come from `window` before its clock until SETUP before it. Errors: ValueError."""

    period: float = 800.0
    phase: float = 120.0
    start: float = 900.0

    def __post_init__(self) -> None:
        for name in ("period", "phase", "start"):
            finite(f"clock: {name}", getattr(self, name), above=0.0)
        if self.phase > self.period or self.start < self.window:
            raise ValueError(f"clock: phase {self.phase:g} must not pass the period {self.period:g}, nor start {self.start:g} come "
                             f"before {self.window:g} ps")

    @property
    def window(self) -> float:
        return self.period - HOLD

    def ticks(self, steps: int) -> NDArray[np.float64]:
        """When the input's DROs are read, of each tick."""
        return self.start + self.period * np.arange(steps)


@dataclass(frozen=True, eq=False)
class Laid:
    """A deck and what to look at in it: the junction that a pulse of each output switches, and of each soma, by layer."""

    text: str
    outputs: tuple[str, ...]
    somas: tuple[tuple[str, ...], ...]
    clock: Clock
    steps: int


def require(network: SFQNetwork) -> None:
    """ValueError, with the layer, for what somas of junctions cannot be."""
    for layer in network.layers:
        if layer.leak != 0:
            raise ValueError(f"layer {layer.name!r} remembers its count (leak {layer.leak}): somas of junctions decay between "
                             "ticks, which is leak=0; write cells instead, level='cells'")
        if (used := int(np.count_nonzero(layer.weight, axis=1).max())) > MOST_INPUTS:
            raise ValueError(f"layer {layer.name!r} has a neuron of {used} inputs: somas of junctions are fitted for up to "
                             f"{MOST_INPUTS}, as each loads the others; write cells instead, level='cells'")
        if not layer.weight.any(1).all():
            bad = int(np.flatnonzero(~layer.weight.any(1))[0])
            raise ValueError(f"layer {layer.name!r}: neuron {bad} has no input: leave it out")


def lay_out(network: SFQNetwork, pulses: ArrayLike, somas: Sequence[Sequence[Soma]], library: Library, *,
            clock: Clock | None = None, offsets: ArrayLike = 0.0, step: float = 0.1) -> Laid:
    """The deck, in JoSIM's syntax.

    pulses: 0 or 1, [T, inputs]. somas: of each neuron, by layer, see `fit`. offsets: ps by which input pulses come after the
    middle of their window, [T, inputs] or what broadcasts. step: ps of the simulation.
    Errors: ValueError that names the layer or the argument.
    """
    require(network)
    clock = clock or Clock()
    x = np.asarray(pulses)
    if x.ndim != 2 or x.shape[1] != network.inputs or not len(x) or not np.isin(x, (0, 1)).all():
        raise ValueError(f"pulses must be 0 or 1, [T, {network.inputs}], got {x.dtype} {x.shape}: one pulse an input and tick")
    shift = np.broadcast_to(finite("offsets", offsets), x.shape)
    middle, half = (clock.window + SETUP) / 2, (clock.window - SETUP) / 2
    if np.any(np.abs(shift) > half):
        raise ValueError(f"offsets must lie within {half:g} ps of the middle of the window, got {np.abs(shift).max():g}")
    ticks = clock.ticks(len(x))
    body = _clock(0, network.inputs, ticks)
    for j in range(network.inputs):
        came = np.flatnonzero(x[:, j])
        body += [pulse_source(f"in{j}", ticks[came] - middle + shift[came, j]), f"Xin{j} in{j} d0_{j} JTL",
                 *_latch(0, j)]
    for n, layer in enumerate(network.layers):
        body += _layer(n, layer.weight, somas[n], library)
        body += _clock(n + 1, layer.size, ticks + clock.phase * (n + 1))
    last = len(network.layers)
    outputs = range(network.layers[-1].size)
    body += [line for i in outputs for line in (f"Xout{i} q{last}_{i} out{i} JTL", f"Rout{i} out{i} 0 2")]
    stop = ticks[-1] + clock.phase * (last + 1)
    somas_at = tuple(tuple(f"Bn{n}_{i}" for i in range(layer.size)) for n, layer in enumerate(network.layers))
    ends = tuple(f"B2.Xout{i}" for i in outputs)
    watched = [*(name for layer in somas_at for name in layer), *ends]
    text = "\n".join([f"* snnsim {__version__}: {len(network.layers)} layers, {network.inputs} inputs, {len(x)} ticks",
                      library.process.model, *(subckt(library[name], library.process) for name in CELLS), *body,
                      f".tran {step:g}p {stop:g}p 0 {step:g}p", *(f".print p({name})" for name in watched), ".end", ""])
    return Laid(text, ends, somas_at, clock, len(x))


def _layer(n: int, weight: NDArray[np.int64], somas: Sequence[Soma], library: Library) -> list[str]:
    lines: list[str] = []
    leaves: list[list[str]] = []
    for j in range(weight.shape[1]):
        tree, ends = _tree(f"f{n}_{j}", f"q{n}_{j}", int(np.count_nonzero(weight[:, j])))
        lines += tree
        leaves.append(ends)
    for i, (weights, soma) in enumerate(zip(weight.tolist(), somas, strict=True)):
        taken = [leaves[j].pop(0) if w else "" for j, w in enumerate(weights)]
        lines += neuron(f"n{n}_{i}", weights, taken, f"d{n + 1}_{i}", soma, library.process)
        lines += _latch(n + 1, i)
    return lines


def _latch(n: int, i: int) -> list[str]:
    return [f"Xlatch{n}_{i} d{n}_{i} c{n}_{i} m{n}_{i} DRO", f"Xsend{n}_{i} m{n}_{i} q{n}_{i} JTL"]


def _clock(n: int, size: int, times: NDArray[np.float64]) -> list[str]:
    tree, ends = _tree(f"k{n}", f"k{n}", size)
    return [pulse_source(f"clock{n}", times), f"Xclock{n} clock{n} k{n} JTL", *tree,
            *(f"Xtick{n}_{i} {end} c{n}_{i} JTL" for i, end in enumerate(ends))]


def _tree(name: str, node: str, leaves: int) -> tuple[list[str], list[str]]:
    """Splitters from one node to so many ends."""
    if not leaves:
        return [f"R{name} {node} 0 2"], []
    lines: list[str] = []
    ends = [node]
    for k in range(leaves - 1):
        at = ends.pop(0)
        ends += [f"{name}_{k}a", f"{name}_{k}b"]
        lines.append(f"X{name}_{k} {at} {name}_{k}a {name}_{k}b SPLITTER")
    return lines, ends


def pulse_source(name: str, times: ArrayLike) -> str:
    """Triangles of area Phi0, ps."""
    peak = 2e3 * PHI0 / PULSE  # uV
    corners = " ".join(f"{t:g}p 0 {t + PULSE / 2:g}p {peak:.7g}u {t + PULSE:g}p 0" for t in np.sort(np.ravel(times)))
    return f"V{name} {name} 0 pwl(0 0{' ' if corners else ''}{corners})"
