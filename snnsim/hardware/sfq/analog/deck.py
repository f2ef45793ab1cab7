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

from snnsim.hardware.sfq.analog.require import require
from snnsim.hardware.sfq.analog.soma import BIAS, CELLS, THRESHOLD, Soma, neuron
from snnsim.hardware.sfq.analog.sources import pulse_source
from snnsim.hardware.sfq.library import Library, subckt
from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.rule import finite
from snnsim.version import __version__

HOLD, SETUP = 30.0, 30.0  # ps that an input stays away from the clock of its tick before, and of its own
Kinds = dict[tuple[tuple[int, ...], Soma], str]  # subcircuits of neurons, by their weights and soma


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
        if self.phase > self.period or self.window <= SETUP or self.start < self.window:
            raise ValueError(f"clock: phase {self.phase:g} must not pass the period {self.period:g}, which must be above "
                             f"{HOLD + SETUP:g} ps, nor start {self.start:g} come before {self.window:g} ps")

    @property
    def window(self) -> float:
        return self.period - HOLD

    @property
    def middle(self) -> float:
        """ps before its clock at which an input pulse comes that has no offset."""
        return (self.window + SETUP) / 2

    @property
    def half(self) -> float:
        """The largest offset that is allowed, either way."""
        return (self.window - SETUP) / 2

    def ticks(self, steps: int) -> NDArray[np.float64]:
        """When the input's DROs are read, of each tick."""
        return self.start + self.period * np.arange(steps, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Laid:
    """A deck and what to look at in it, by layer the threshold junctions and their biases, and the last cells' junctions that
    the pulses of the outputs switch. pulses: [T, inputs]; given: ps of each input's pulses."""

    text: str
    network: SFQNetwork
    pulses: NDArray[np.uint8]
    given: tuple[NDArray[np.float64], ...]
    somas: tuple[tuple[str, ...], ...]
    biases: tuple[str, ...]
    outputs: tuple[str, ...]
    clock: Clock

    @property
    def watched(self) -> tuple[str, ...]:
        """All somas, then the outputs."""
        return (*(name for layer in self.somas for name in layer), *self.outputs)


def lay_out(network: SFQNetwork, pulses: ArrayLike, somas: Sequence[Sequence[Soma]], library: Library, *,
            clock: Clock | None = None, offsets: ArrayLike = 0.0, step: float = 0.1) -> Laid:
    """The deck, in JoSIM's syntax.

    pulses: 0 or 1, [T, inputs]. somas: of each neuron, by layer, see `fit_network`. offsets: ps by which input pulses come
    after the middle of their window, [T, inputs] or what broadcasts. step: ps of the simulation.
    Errors: ValueError that names the layer or the argument.
    """
    require(network)
    clock = clock or Clock()
    x, given = _given(network, pulses, offsets, clock)
    ticks, last = clock.ticks(len(x)), len(network.layers)
    kinds: Kinds = {}
    body = _clock(0, network.inputs, ticks)
    for j, times in enumerate(given):
        body += [pulse_source(f"in{j}", times), f"XIN{j} in{j} d0_{j} JTL", *_latch(0, j)]
    for n, layer in enumerate(network.layers):
        body += [*_layer(n, layer.weight, somas[n], kinds), *_clock(n + 1, layer.size, ticks + clock.phase * (n + 1))]
    outputs = range(network.layers[-1].size)
    body += [line for i in outputs for line in (f"XOUT{i} q{last}_{i} out{i} JTL", f"ROUT{i} out{i} 0 2")]
    neurons = [[f"XN{n}_{i}" for i in range(layer.size)] for n, layer in enumerate(network.layers)]
    somas_at = tuple(tuple(f"{THRESHOLD}.{name}" for name in names) for names in neurons)
    ends = tuple(f"B2.XOUT{i}" for i in outputs)
    watched = [f"p({name})" for name in (*(f"B2.XIN{j}" for j in range(network.inputs)), *sum(somas_at, ()), *ends)]
    watched += [f"i({name})" for name in sum(somas_at, ())]
    process, stop = library.process, ticks[-1] + clock.period + clock.phase * last
    text = "\n".join([f"* snnsim {__version__}: {last} layers, {network.inputs} inputs, {len(x)} ticks", process.model,
                      *(subckt(library[name], process) for name in (*CELLS, "splitter", "dro")),
                      *(neuron(name, weights, soma, process) for (weights, soma), name in kinds.items()), *body,
                      f".tran {step:g}p {stop:g}p 0 {max(step, 0.5):g}p", *(f".print {name}" for name in watched), ".end", ""])
    biases = tuple(f"{BIAS}.{name}" for names in neurons for name in names)
    return Laid(text, network, x, given, somas_at, biases, ends, clock)


def _given(network: SFQNetwork, pulses: ArrayLike, offsets: ArrayLike,
           clock: Clock) -> tuple[NDArray[np.uint8], tuple[NDArray[np.float64], ...]]:
    """The pulses, and when those of each input come."""
    x = np.asarray(pulses)
    if x.ndim != 2 or x.shape[1] != network.inputs or not len(x) or not np.isin(x, (0, 1)).all():
        raise ValueError(f"pulses must be 0 or 1, [T, {network.inputs}], got {x.dtype} {x.shape}: one pulse an input and tick")
    shift = np.asarray(finite("offsets", offsets), np.float64)
    try:
        shift = np.broadcast_to(shift, x.shape)
    except ValueError:
        raise ValueError(f"offsets must be one number or {x.shape}, got the shape {shift.shape}") from None
    if np.any(np.abs(shift) > clock.half):
        raise ValueError(f"offsets must lie within {clock.half:g} ps of the middle of the window, got {np.abs(shift).max():g}")
    at = clock.ticks(len(x))[:, None] - clock.middle + shift
    return x.astype(np.uint8), tuple(at[x[:, j] > 0, j] for j in range(x.shape[1]))


def _layer(n: int, weight: NDArray[np.int64], somas: Sequence[Soma], kinds: Kinds) -> list[str]:
    """Trees and neurons; a subcircuit for each kind of neuron, which `kinds` collects."""
    lines: list[str] = []
    leaves: list[list[str]] = []
    for j in range(weight.shape[1]):
        tree, ends = _tree(f"F{n}_{j}", f"q{n}_{j}", int(np.count_nonzero(weight[:, j])))
        lines += tree
        leaves.append(ends)
    for i, (weights, soma) in enumerate(zip(weight.tolist(), somas, strict=True)):
        used = tuple(w for w in weights if w)
        kind = kinds.setdefault((used, soma), f"NEURON{len(kinds)}")
        taken = [leaves[j].pop(0) for j, w in enumerate(weights) if w]
        lines += [f"XN{n}_{i} {' '.join(taken)} d{n + 1}_{i} {kind}", *_latch(n + 1, i)]
    return lines


def _latch(n: int, i: int) -> list[str]:
    return [f"XLATCH{n}_{i} d{n}_{i} c{n}_{i} m{n}_{i} DRO", f"XSEND{n}_{i} m{n}_{i} q{n}_{i} JTL"]


def _clock(n: int, size: int, times: NDArray[np.float64]) -> list[str]:
    tree, ends = _tree(f"K{n}", f"k{n}", size)
    return [pulse_source(f"clock{n}", times), f"XCLOCK{n} clock{n} k{n} JTL", *tree,
            *(f"XTICK{n}_{i} {end} c{n}_{i} JTL" for i, end in enumerate(ends))]


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
