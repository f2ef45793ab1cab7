"""Somas fitted to neurons of whole numbers by the solver.

For each pattern of a neuron's inputs the biases at which the soma decides rightly are found by bisection, with all bias as far
off as it may be. What must fire has to do so with all bias low. With all bias high what must not fire may not, and what fires
may neither slip twice nor push a pulse back into its drivers, from where it would run to other somas:

    window = (largest critical bias of patterns that must fire, smallest at which one fires that must not, or does too much)

A soma whose window is empty is not that neuron. The bias is put into the middle, and the margin is half the window over it:
what is left of the bias when all bias is `off`. Synapses of one weight are equal branches of one node, so that a pattern is how
many of each weight have a pulse. A spike that must come has to come SOON, as a slip that is pushed too weakly creeps; one that
must not may not come at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.analog.require import MOST_INPUTS, MOST_PATTERNS, WAIT, patterns_of, require
from snnsim.hardware.sfq.analog.soma import BIAS, CELLS, DRIVER, THRESHOLD, Soma, neuron
from snnsim.hardware.sfq.analog.sources import pulse_source
from snnsim.hardware.sfq.junctions import Circuit, Switches, flatten, parse_deck, simulate
from snnsim.hardware.sfq.library import Library, subckt
from snnsim.hardware.sfq.model import SFQNetwork

LOWEST, HIGHEST = 5.0, 130.0  # uA: below it no soma is of use, above it a junction of area 1 fires by itself
BISECTIONS = 8
OFF = (0.2, 0.1, 0.0)  # by how much of it all bias may be off, the first that a design is found for
WIDE = 0.08  # a margin with which no further design is tried
SETTLE, STOP = 100.0, 700.0  # ps: of the pulses, and of the run
SOON = 60.0  # ps in which a soma that must fire has to

# Found by a search such as `python -m benchmarks sfq_somas --tries 100`, rounded; then weaker synapses, for more inputs.
ADDING = (*(Soma(6.4, leak=0.0, tau=100.0, wait=0, output=4.0, area=a) for a in (1.3, 1.5, 2.0)),
          *(Soma(e, leak=0.0, tau=60.0, wait=0, output=4.0, area=1.5) for e in (12.0, 18.0, 26.0)))
SUBTRACTING = (Soma(3.0, 5.5, 17.0, 0.8, leak=0.0, tau=60.0, hold=150.0, wait=WAIT, output=4.6, area=1.5),
               *(Soma(e, 8.0, 16.0, 0.9, leak=0.0, tau=30.0, hold=150.0, wait=WAIT, output=4.0, area=1.5)
                 for e in (4.0, 8.0, 12.0)),
               Soma(4.0, 3.0, 16.0, 0.8, leak=0.0, tau=30.0, hold=150.0, wait=WAIT, output=2.0, area=2.5))


@dataclass(frozen=True, eq=False)
class Fit:
    """A soma, with its bias, for a neuron. weights: those that are not 0, the largest first. patterns: [P, inputs] of 0 and 1,
    one for each that differs; ways: how many patterns it stands for. must: whether it has to fire; fires: whether it does, once
    and SOON, at the bias. critical: uA, of each. window: uA. kicked: pulses that the soma pushed back into its drivers. latest:
    ps from the pulses to the slowest spike. tried: how many designs."""

    weights: tuple[int, ...]
    threshold: int
    soma: Soma
    off: float
    window: tuple[float, float]
    patterns: NDArray[np.int64]
    ways: NDArray[np.int64]
    must: NDArray[np.bool_]
    fires: NDArray[np.bool_]
    critical: NDArray[np.float64]
    most: NDArray[np.float64]
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
        """Half the window over the bias, all bias being `off` either way; below 0 where no bias is right."""
        return (self.window[1] - self.window[0]) / (2 * self.soma.bias)

    @property
    def margins(self) -> NDArray[np.float64]:
        """Of each pattern: by how much of the bias it lies on its side of the decision."""
        bias = self.soma.bias
        return np.where(self.must, np.minimum(bias - self.critical, self.most - bias), self.critical - bias) / bias

    def disagreement(self) -> str:
        """What the soma decides wrongly, by name."""
        wrong = np.flatnonzero(self.fires != self.must)
        texts = [f"{pattern_text(self.weights, self.patterns[k])} {'does not fire' if self.must[k] else 'fires'}"
                 for k in wrong[:3]]
        texts += [f"{len(wrong) - 3} more"] if len(wrong) > 3 else []
        texts += [f"{self.kicked} pulses are pushed back"] if self.kicked else []
        return "; ".join(texts) or ("its window is empty" if not self.exact else "")

    def to_dict(self) -> dict[str, Any]:
        return {"weights": list(self.weights), "threshold": self.threshold, "exact": self.exact, "off": self.off,
                "bias_uA": self.soma.bias, "window_uA": list(self.window), "margin": self.margin,
                "patterns": int(self.ways.sum()), "wrong": self.wrong, "kicked": self.kicked, "latest_ps": self.latest,
                "disagreement": self.disagreement(),
                "soma": {k: getattr(self.soma, k) for k in self.soma.__dataclass_fields__}}

    def __repr__(self) -> str:
        return (f"Fit(weights={list(self.weights)}, threshold={self.threshold}: bias {self.soma.bias:.1f} uA, window "
                f"{self.window[0]:.1f} .. {self.window[1]:.1f} uA with all bias {self.off:.0%} off, margin {self.margin:.0%}, "
                f"{self.wrong} of {self.ways.sum()} patterns wrong)")


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
        lines = [f"{'neuron':<12}{'weights':<20}{'theta':>5}{'bias uA':>9}{'all':>7}{'window uA':>16}{'margin':>8}"
                 f"{'wrong':>10}"]
        for name, f in self.named:
            window = f"{f.window[0]:.1f} .. {f.window[1]:.1f}"
            weights = " ".join(map(str, f.weights[:8])) + (" .." if len(f.weights) > 8 else "")
            lines.append(f"{name:<12}{weights:<20}{f.threshold:>5}{f.soma.bias:>9.1f}{f'+-{f.off:.0%}':>7}{window:>16}{f.margin:>8.0%}"
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


def fit(weights: Sequence[int], threshold: int, library: Library, designs: Sequence[Soma] | None = None,
        offs: Sequence[float] = OFF) -> Fit:
    """The best soma of this neuron among the designs, or the first that is WIDE: of the first of `offs` with a design that
    decides all patterns rightly and kicks nothing back, then by the margin that is left.

    Errors: ValueError for more inputs than are fitted, or none."""
    used = tuple(sorted((int(w) for w in weights if w), reverse=True))
    if not 1 <= len(used) <= MOST_INPUTS:
        raise ValueError(f"a soma of junctions is fitted for 1 to {MOST_INPUTS} inputs, got {len(used)}")
    patterns, ways = patterns_of(used)
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"the weights {list(used)} have {len(patterns)} patterns that differ, at most {MOST_PATTERNS} "
                         "are fitted")
    if designs is None:
        designs = SUBTRACTING if used[-1] < 0 else ADDING
    if not designs or not offs or not all(0 <= off < 1 for off in offs):
        raise ValueError(f"designs must hold at least one soma, and offs numbers from 0 to below 1, got {offs!r}")
    tried, best = 0, None
    for off in offs:
        best = None
        for design in designs:
            found = _fitted(used, threshold, library, design, patterns, ways, off)
            tried += 1
            if best is None or (found.exact, found.margin) > (best.exact, best.margin):
                best = found
            if best.exact and best.margin >= WIDE:
                break
        if best is not None and best.exact:
            break
    assert best is not None
    return replace(best, tried=tried)


def _fitted(weights: tuple[int, ...], threshold: int, library: Library, design: Soma, patterns: NDArray[np.int64],
            ways: NDArray[np.int64], off: float) -> Fit:
    must = patterns @ np.array(weights) >= threshold
    benches = [Bench(weights, p, design, library) for p in patterns]
    critical = np.array([b.smallest(b.fires_soon, 1 - off) if m else b.smallest(b.slips, 1 + off)
                         for b, m in zip(benches, must, strict=True)])
    most = np.array([b.smallest(b.does_too_much, 1 + off) if m else c
                     for b, m, c in zip(benches, must, critical, strict=True)])
    low, high = float(max(critical[must], default=LOWEST)), float(min(most))
    soma = replace(design, bias=round((low + high) / 2, 2))
    runs = [b.switches(soma.bias) for b in benches]
    times = [b.spikes(r) for b, r in zip(benches, runs, strict=True)]
    fires = np.array([len(t) > 0 for t in times])
    late = np.array([len(t) > 1 or bool(m and len(t) and t[0] > SOON) for t, m in zip(times, must, strict=True)])
    kicked = sum(int(n) * b.kicks(r) for n, b, r in zip(ways, benches, runs, strict=True))
    latest = max((float(t[0]) for t, m in zip(times, must, strict=True) if m and len(t)), default=0.0)
    return Fit(weights, threshold, soma, off, (low, high), patterns, ways, must, np.where(late, ~must, fires), critical, most,
               kicked, latest, 1)


class Bench:
    """A neuron between the cells that the deck puts beside it, with one pattern. At its own bias of 1 uA, which runs scale."""

    def __init__(self, weights: Sequence[int], pattern: NDArray[np.int64], soma: Soma, library: Library) -> None:
        process, self.soma, self.pulses = library.process, soma, int(pattern.sum())
        inputs = [f"a{k}" for k in range(len(weights))]
        lines = [line for a, bit in zip(inputs, pattern, strict=True)
                 for line in (pulse_source(f"in_{a}", [SETTLE] if bit else []), f"X{a} in_{a} {a} JTL")]
        text = "\n".join(["* neuron", process.model, *(subckt(library[name], process) for name in (*CELLS, "dro")),
                          neuron("NEURON", weights, replace(soma, bias=1.0), process), *lines,
                          f"XN {' '.join(inputs)} q NEURON", "XLATCH q clock end DRO", "XCLOCK silent clock JTL",
                          "RCLOCK silent 0 2", "XEND end last JTL", "REND last 0 2", f".tran 0.1p {STOP:g}p", ".end"])
        self.circuit: Circuit = flatten(parse_deck(text))
        self.others = [e.name for e in self.circuit.of("I") if e.name != f"{BIAS}|XN"]
        self.drivers = [name for name in self.circuit.junctions if name.startswith(f"B2|X{DRIVER}")]

    def switches(self, bias: float, all_bias: float = 1.0, stop: float = STOP) -> Switches:
        """At this bias of the soma, uA; all bias, this too, times a factor. Until `stop`, ps."""
        factors = {**dict.fromkeys(self.others, all_bias), f"{BIAS}|XN": bias * all_bias}
        return simulate(self.circuit.scaled(factors), prints=[], stop=stop * 1e-12).switches

    def spikes(self, switches: Switches) -> NDArray[np.float64]:
        """ps after the pulses at which the cell after the soma switched."""
        return np.asarray(switches["B2|XO|XN"] * 1e12 - SETTLE)

    def kicks(self, switches: Switches) -> int:
        """Pulses that the soma pushed back into its drivers."""
        return sum(len(switches[name]) for name in self.drivers) - self.pulses

    def fires_soon(self, bias: float, all_bias: float) -> bool:
        return bool(np.any(self.spikes(self.switches(bias, all_bias, SETTLE + SOON)) < SOON))

    def slips(self, bias: float, all_bias: float) -> bool:
        return len(self.switches(bias, all_bias)[f"{THRESHOLD}|XN"]) > 0

    def does_too_much(self, bias: float, all_bias: float) -> bool:
        found = self.switches(bias, all_bias)
        return len(found[f"{THRESHOLD}|XN"]) > 1 or self.kicks(found) > 0

    def smallest(self, does: Callable[[float, float], bool], all_bias: float) -> float:
        """The smallest bias at which it does, uA; HIGHEST times the area where it never does."""
        low, high = LOWEST, HIGHEST * self.soma.area
        if does(low, all_bias):
            return low
        if not does(high, all_bias):
            return high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if does(middle, all_bias) else (middle, high)
        return (low + high) / 2
