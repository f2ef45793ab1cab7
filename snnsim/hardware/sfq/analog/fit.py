"""Somas fitted to a neuron of whole numbers by the solver.

For each pattern of its inputs the smallest bias at which the soma fires is found by bisection. What must fire has to do so below
the bias, what must not, above it:

    window = (largest critical bias of patterns that must fire, smallest of those that must not)

A soma whose window is empty is not that neuron. The bias is put into the middle, and the margin is half the window over it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.analog.deck import MOST_INPUTS, pulse_source
from snnsim.hardware.sfq.analog.soma import Soma, neuron
from snnsim.hardware.sfq.junctions import Circuit, flatten, parse_deck, simulate
from snnsim.hardware.sfq.library import Library, subckt

LOWEST, HIGHEST = 5.0, 130.0  # uA: below it no soma is of use, above it a junction of area 1 fires by itself
BISECTIONS = 8
WIDE = 0.15  # a margin with which no further design is tried
SETTLE, STOP = 100.0, 700.0  # ps: of the pulses, and of the run
SOON = 60.0  # ps in which a soma that must fire has to

# Designs of somas that only add, and of those that subtract, too: those of widest windows, with two inputs and no kick, of 48 and
# 112 that were drawn at random, then weaker synapses, for more inputs.
ADDING = (Soma(8.0, leak=0.0, tau=60.0, wait=0, output=4.0, area=1.5), Soma(10.0, leak=0.0, tau=120.0, wait=0, output=6.0, area=1.5),
          *(Soma(e, leak=0.0, tau=60.0, wait=0, output=o, area=1.5) for e in (12.0, 18.0, 26.0) for o in (4.0, 6.0)))
SUBTRACTING = (*(Soma(e, 8.0, 16.0, 0.9, leak=0.0, tau=30.0, hold=150.0, output=4.0, area=1.5) for e in (4.0, 8.0, 12.0)),
               Soma(4.0, 5.0, 16.0, 0.9, leak=0.0, tau=60.0, hold=150.0, output=1.0, area=1.5),
               Soma(4.0, 3.0, 16.0, 0.8, leak=0.0, tau=30.0, hold=150.0, output=2.0, area=2.5))


@dataclass(frozen=True, eq=False)
class Fit:
    """soma: with its bias. window: uA. critical: uA, of each pattern of the inputs that have a weight, the first bit first;
    must: whether it has to fire. wrong: patterns that the soma decides wrongly at its bias. latest: ps from the pulses to the
    slowest spike. tried: how many designs."""

    weights: tuple[int, ...]
    threshold: int
    soma: Soma
    window: tuple[float, float]
    critical: NDArray[np.float64]
    must: NDArray[np.bool_]
    wrong: tuple[tuple[int, ...], ...]
    latest: float
    tried: int
    kicked: int

    @property
    def exact(self) -> bool:
        return not self.wrong and not self.kicked and self.window[0] < self.window[1]

    @property
    def margin(self) -> float:
        """Half the window over the bias; below 0 where no bias is right."""
        return (self.window[1] - self.window[0]) / (2 * self.soma.bias)

    def __repr__(self) -> str:
        return (f"Fit(weights={list(self.weights)}, threshold={self.threshold}: bias {self.soma.bias:.1f} uA, window "
                f"{self.window[0]:.1f} .. {self.window[1]:.1f} uA, margin {100 * self.margin:.0f} %, "
                f"{len(self.wrong)} of {len(self.must)} patterns wrong)")


def fit(weights: Sequence[int], threshold: int, library: Library, designs: Sequence[Soma] | None = None) -> Fit:
    """The soma of this neuron with the widest window, among the designs, or the first whose margin is 15 %.

    Errors: ValueError for more inputs than are fitted, and none.
    """
    used = tuple(int(w) for w in weights if w)
    if not 1 <= len(used) <= MOST_INPUTS:
        raise ValueError(f"a soma of junctions is fitted for 1 to {MOST_INPUTS} inputs, got {len(used)}")
    if designs is None:
        designs = SUBTRACTING if min(used) < 0 else ADDING
    patterns = np.array(list(itertools.product((0, 1), repeat=len(used))))
    must = patterns @ np.array(used) >= threshold
    best: tuple[float, Soma, tuple[float, float], NDArray[np.float64]] | None = None
    tried = 0
    for design in designs:
        tried += 1
        bench = _Bench(used, design, library)
        critical = np.array([bench.critical(p, SOON if m else STOP) for p, m in zip(patterns, must, strict=True)])
        low, high = max(critical[must], default=LOWEST), min(critical[~must], default=HIGHEST)
        soma = replace(design, bias=round(float(low + high) / 2, 2))
        margin = float(high - low) / (2 * soma.bias)
        if best is None or margin > best[0]:
            best = margin, soma, (float(low), float(high)), critical
        if margin >= WIDE:
            break
    assert best is not None
    _, soma, window, critical = best
    bench = _Bench(used, soma, library)
    times = [bench.spikes(p, soma.bias) for p in patterns]
    wrong = tuple(tuple(int(b) for b in p) for p, t, m in zip(patterns, times, must, strict=True) if bool(len(t)) != bool(m))
    kicked = sum(bench.kicks(p, soma.bias) for p in patterns)
    latest = max((float(t[0]) for t, m in zip(times, must, strict=True) if m and len(t)), default=0.0)
    return Fit(used, threshold, soma, window, critical, must, wrong, latest, tried, kicked)


class _Bench:
    """A neuron alone, driven by sources."""

    def __init__(self, weights: Sequence[int], soma: Soma, library: Library) -> None:
        self.soma, self.library, self.weights = soma, library, weights

    def circuit(self, pattern: Sequence[int], bias: float) -> Circuit:
        sources = [f"in{j}" for j in range(len(pattern))]
        lines = [pulse_source(name, [SETTLE] if bit else []) for name, bit in zip(sources, pattern, strict=True)]
        lines += neuron("n", list(self.weights), sources, "q", replace(self.soma, bias=bias), self.library.process)
        process = self.library.process
        return flatten(parse_deck("\n".join(["* neuron", process.model, subckt(self.library["jtl"], process), *lines,
                                             "Xend q end JTL", "Rend end 0 2", f".tran 0.1p {STOP:g}p", ".end"])))

    def spikes(self, pattern: Sequence[int], bias: float) -> NDArray[np.float64]:
        """ps after the pulses at which the output's cell switched."""
        return np.asarray(simulate(self.circuit(pattern, bias), prints=[]).switches["B2.Xend"] * 1e12 - SETTLE)

    def kicks(self, pattern: Sequence[int], bias: float) -> int:
        """Pulses that the soma pushed back into its drivers."""
        switches = simulate(self.circuit(pattern, bias), prints=[]).switches
        drivers = [name for name in switches.junctions if name.startswith("B1|XN_") and name.endswith("_0")]
        return sum(len(switches[name]) for name in drivers) - int(np.sum(pattern))

    def critical(self, pattern: Sequence[int], within: float) -> float:
        """The smallest bias at which the soma fires so soon, uA."""
        low, high = LOWEST, HIGHEST * self.soma.area
        if self.fires(pattern, low, within):
            return low
        if not self.fires(pattern, high, within):
            return high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.fires(pattern, middle, within) else (middle, high)
        return (low + high) / 2

    def fires(self, pattern: Sequence[int], bias: float, within: float) -> bool:
        return bool(np.any(self.spikes(pattern, bias) < within))
