"""Somas fitted to neurons of whole numbers by the solver.

For each pattern of a neuron's inputs the smallest bias at which the soma fires is found by bisection. What must fire has to do
so below the bias, what must not, above it:

    window = (largest critical bias of patterns that must fire, smallest of those that must not)

A soma whose window is empty is not that neuron. The bias is put into the middle, and the margin is half the window over it.
Synapses of one weight are equal branches of one node, so that a pattern is how many of each weight have a pulse. A spike that
must come has to come SOON, as a slip that is pushed too weakly creeps; one that must not may not come at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.analog.require import MOST_INPUTS, MOST_PATTERNS, patterns_of, require
from snnsim.hardware.sfq.analog.soma import BIAS, Soma, neuron
from snnsim.hardware.sfq.analog.sources import pulse_source
from snnsim.hardware.sfq.junctions import Circuit, Switches, flatten, parse_deck, simulate
from snnsim.hardware.sfq.library import Library, subckt
from snnsim.hardware.sfq.model import SFQNetwork

LOWEST, HIGHEST = 5.0, 130.0  # uA: below it no soma is of use, above it a junction of area 1 fires by itself
BISECTIONS = 8
WIDE = 0.15  # a margin with which no further design is tried
SETTLE, STOP = 100.0, 700.0  # ps: of the pulses, and of the run
SOON = 60.0  # ps in which a soma that must fire has to

# The designs of widest windows of the soma's own bias, for two inputs and without kicks, of 48 that only add and 112 that
# subtract, too, which were drawn at random and fitted; then weaker synapses, for more inputs. That the cells which drive a soma
# may be off was no part of it.
ADDING = (Soma(8.0, leak=0.0, tau=60.0, wait=0, output=4.0, area=1.5),
          Soma(10.0, leak=0.0, tau=120.0, wait=0, output=6.0, area=1.5),
          *(Soma(e, leak=0.0, tau=60.0, wait=0, output=o, area=1.5) for e in (12.0, 18.0, 26.0) for o in (4.0, 6.0)))
SUBTRACTING = (*(Soma(e, 8.0, 16.0, 0.9, leak=0.0, tau=30.0, hold=150.0, output=4.0, area=1.5) for e in (4.0, 8.0, 12.0)),
               Soma(4.0, 5.0, 16.0, 0.9, leak=0.0, tau=60.0, hold=150.0, output=1.0, area=1.5),
               Soma(4.0, 3.0, 16.0, 0.8, leak=0.0, tau=30.0, hold=150.0, output=2.0, area=2.5))


@dataclass(frozen=True, eq=False)
class Fit:
    """A soma, with its bias, for a neuron. weights: those that are not 0, the largest first. patterns: [P, inputs] of 0 and 1,
    one for each that differs; ways: how many patterns it stands for. must: whether it has to fire; fires: whether it does, once
    and SOON, at the bias. critical: uA, of each. window: uA. kicked: pulses that the soma pushed back into its drivers. latest:
    ps from the pulses to the slowest spike. tried: how many designs."""

    weights: tuple[int, ...]
    threshold: int
    soma: Soma
    window: tuple[float, float]
    patterns: NDArray[np.int64]
    ways: NDArray[np.int64]
    must: NDArray[np.bool_]
    fires: NDArray[np.bool_]
    critical: NDArray[np.float64]
    kicked: int
    latest: float
    tried: int

    @property
    def wrong(self) -> int:
        """Patterns of the 2**inputs that the soma decides wrongly."""
        return int(self.ways[self.fires != self.must].sum())

    @property
    def exact(self) -> bool:
        return not self.wrong and not self.kicked and self.margin > 0

    @property
    def margin(self) -> float:
        """Half the window over the bias; below 0 where no bias is right."""
        return (self.window[1] - self.window[0]) / (2 * self.soma.bias)

    @property
    def margins(self) -> NDArray[np.float64]:
        """Of each pattern: by how much of the bias it lies on its side of the decision."""
        return np.where(self.must, self.soma.bias - self.critical, self.critical - self.soma.bias) / self.soma.bias

    def disagreement(self) -> str:
        """What the soma decides wrongly, by name."""
        wrong = np.flatnonzero(self.fires != self.must)
        texts = [f"{pattern_text(self.weights, self.patterns[k])} {'does not fire' if self.must[k] else 'fires'}"
                 for k in wrong[:3]]
        texts += [f"{len(wrong) - 3} more"] if len(wrong) > 3 else []
        texts += [f"{self.kicked} pulses are pushed back"] if self.kicked else []
        return "; ".join(texts) or ("its window is empty" if not self.exact else "")

    def to_dict(self) -> dict[str, Any]:
        return {"weights": list(self.weights), "threshold": self.threshold, "exact": self.exact, "bias_uA": self.soma.bias,
                "window_uA": list(self.window), "margin": self.margin, "patterns": int(self.ways.sum()), "wrong": self.wrong,
                "kicked": self.kicked, "latest_ps": self.latest, "disagreement": self.disagreement(),
                "soma": {k: getattr(self.soma, k) for k in self.soma.__dataclass_fields__}}

    def __repr__(self) -> str:
        return (f"Fit(weights={list(self.weights)}, threshold={self.threshold}: bias {self.soma.bias:.1f} uA, window "
                f"{self.window[0]:.1f} .. {self.window[1]:.1f} uA, margin {self.margin:.0%}, {self.wrong} of "
                f"{self.ways.sum()} patterns wrong)")


def pattern_text(weights: Sequence[int], pattern: NDArray[np.int64]) -> str:
    """+1 +1 -1 of the synapses that have a pulse."""
    return " ".join(f"{w:+d}" for w, bit in zip(weights, pattern, strict=True) if bit) or "no pulse"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network with a fit for each neuron, by layer."""

    network: SFQNetwork
    fits: tuple[tuple[Fit, ...], ...]

    @property
    def exact(self) -> bool:
        """Whether every soma decides every pattern as its neuron does."""
        return all(f.exact for fits in self.fits for f in fits)

    @property
    def somas(self) -> tuple[tuple[Soma, ...], ...]:
        return tuple(tuple(f.soma for f in fits) for fits in self.fits)

    @cached_property
    def named(self) -> tuple[tuple[str, Fit], ...]:
        return tuple((f"{layer.name}[{i}]", f) for layer, fits in zip(self.network.layers, self.fits, strict=True)
                     for i, f in enumerate(fits))

    @property
    def inexact(self) -> tuple[str, ...]:
        """A sentence for each neuron whose soma is not exact."""
        return tuple(f"{name}: {f.wrong} of {f.ways.sum()} patterns are decided wrongly ({f.disagreement()})"
                     for name, f in self.named if not f.exact)

    def to_dict(self) -> dict[str, Any]:
        return {"exact": self.exact, "neurons": {name: f.to_dict() for name, f in self.named}}

    def __str__(self) -> str:
        lines = [f"{'neuron':<14}{'weights':<22}{'theta':>5}{'bias uA':>9}{'window uA':>18}{'margin':>8}{'wrong':>10}"]
        for name, f in self.named:
            window = f"{f.window[0]:.1f} .. {f.window[1]:.1f}"
            weights = " ".join(map(str, f.weights[:8])) + (" .." if len(f.weights) > 8 else "")
            lines.append(f"{name:<14}{weights:<22}{f.threshold:>5}{f.soma.bias:>9.1f}{window:>18}{f.margin:>8.0%}"
                         f"{f'{f.wrong} of {f.ways.sum()}':>10}")
        return "\n".join([*lines, *(f"NOT exact: {text}" for text in self.inexact)])


def fit_network(network: SFQNetwork, library: Library, designs: Sequence[Soma] | None = None) -> Fitted:
    """A soma for each neuron; equal neurons are fitted once. Errors: ValueError that names the layer, see `require`."""
    require(network)
    known: dict[tuple[tuple[int, ...], int], Fit] = {}
    layers = []
    for layer in network.layers:
        fits = []
        for weights, threshold in zip(layer.weight.tolist(), layer.threshold.tolist(), strict=True):
            key = tuple(sorted((w for w in weights if w), reverse=True)), threshold
            if key not in known:
                known[key] = fit(*key, library, designs)
            fits.append(known[key])
        layers.append(tuple(fits))
    return Fitted(network, tuple(layers))


def fit(weights: Sequence[int], threshold: int, library: Library, designs: Sequence[Soma] | None = None) -> Fit:
    """The best soma of this neuron among the designs: those first that decide all patterns rightly and kick nothing back, then
    by their margin; or the first of them with a margin of 15 %. Errors: ValueError for more inputs than are fitted, or none."""
    used = tuple(sorted((int(w) for w in weights if w), reverse=True))
    if not 1 <= len(used) <= MOST_INPUTS:
        raise ValueError(f"a soma of junctions is fitted for 1 to {MOST_INPUTS} inputs, got {len(used)}")
    patterns, ways = patterns_of(used)
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"the weights {list(used)} have {len(patterns)} patterns that differ, at most {MOST_PATTERNS} "
                         "are fitted")
    if designs is None:
        designs = SUBTRACTING if used[-1] < 0 else ADDING
    best: Fit | None = None
    for tried, design in enumerate(designs, 1):
        found = _fitted(used, threshold, library, design, patterns, ways, tried)
        if best is None or (found.exact, found.margin) > (best.exact, best.margin):
            best = found
        if best.exact and best.margin >= WIDE:
            break
    if best is None:
        raise ValueError("designs must hold at least one soma")
    return replace(best, tried=tried)


def _fitted(weights: tuple[int, ...], threshold: int, library: Library, design: Soma, patterns: NDArray[np.int64],
            ways: NDArray[np.int64], tried: int) -> Fit:
    must = patterns @ np.array(weights) >= threshold
    benches = [_Bench(weights, p, design, library) for p in patterns]
    critical = np.array([b.critical(SOON if m else STOP) for b, m in zip(benches, must, strict=True)])
    low, high = float(max(critical[must], default=LOWEST)), float(min(critical[~must], default=HIGHEST * design.area))
    soma = replace(design, bias=round((low + high) / 2, 2))
    runs = [b.switches(soma.bias) for b in benches]
    times = [b.spikes(r) for b, r in zip(benches, runs, strict=True)]
    fires = np.array([len(t) > 0 for t in times])
    late = np.array([len(t) > 1 or bool(m and len(t) and t[0] > SOON) for t, m in zip(times, must, strict=True)])
    kicked = sum(int(n) * b.kicks(r) for n, b, r in zip(ways, benches, runs, strict=True))
    latest = max((float(t[0]) for t, m in zip(times, must, strict=True) if m and len(t)), default=0.0)
    return Fit(weights, threshold, soma, (low, high), patterns, ways, must, np.where(late, ~must, fires), critical, kicked,
               latest, tried)


class _Bench:
    """A neuron alone, driven by sources that give one pattern. At its own bias of 1 uA, which runs scale."""

    def __init__(self, weights: Sequence[int], pattern: NDArray[np.int64], soma: Soma, library: Library) -> None:
        process, self.soma, self.pulses = library.process, soma, int(pattern.sum())
        sources = [f"in{k}" for k in range(len(weights))]
        lines = [pulse_source(name, [SETTLE] if bit else []) for name, bit in zip(sources, pattern, strict=True)]
        text = "\n".join(["* neuron", process.model, subckt(library["jtl"], process),
                          neuron("NEURON", weights, replace(soma, bias=1.0), process), *lines,
                          f"XN {' '.join(sources)} q NEURON", "XEND q end JTL", "REND end 0 2",
                          f".tran 0.1p {STOP:g}p", ".end"])
        self.circuit: Circuit = flatten(parse_deck(text))

    def switches(self, bias: float) -> Switches:
        return simulate(self.circuit.scaled({f"{BIAS}|XN": bias}), prints=[]).switches

    def spikes(self, switches: Switches) -> NDArray[np.float64]:
        """ps after the pulses at which the output's cell switched."""
        return np.asarray(switches["B2|XEND"] * 1e12 - SETTLE)

    def kicks(self, switches: Switches) -> int:
        """Pulses that the soma pushed back into its drivers."""
        drivers = [name for name in switches.junctions if name.startswith("B1|XD") and name.endswith("_0|XN")]
        return sum(len(switches[name]) for name in drivers) - self.pulses

    def critical(self, within: float) -> float:
        """The smallest bias at which the soma fires so soon, uA."""
        low, high = LOWEST, HIGHEST * self.soma.area
        if self.fires(low, within):
            return low
        if not self.fires(high, within):
            return high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.fires(middle, within) else (middle, high)
        return (low + high) / 2

    def fires(self, bias: float, within: float) -> bool:
        return bool(np.any(self.spikes(self.switches(bias)) < within))
