"""Simulate a circuit of Josephson junctions through time."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.junctions import sources
from snnsim.hardware.sfq.junctions.circuit import Circuit, flatten
from snnsim.hardware.sfq.junctions.commands import print_of
from snnsim.hardware.sfq.junctions.equations import SIGMA, Equations, build, coarsest, conduct, factor, shake
from snnsim.hardware.sfq.junctions.parts import Deck, Element, Print
from snnsim.hardware.sfq.junctions.probes import KEY, Probes
from snnsim.hardware.sfq.junctions.waveforms import Switches, Waveforms

Array = NDArray[Any]
Progress = Callable[[int, int], None]
CHUNK = 4000  # steps between two looks at what else there is to do
TABLE = 2**22  # numbers of a chunk's sources
HALVINGS = 8
MOST_STEPS = 1_000_000_000
LARGEST = 2**28  # recorded numbers


@dataclass(frozen=True)
class _Times:
    """step h, end, start and step of printing, s; in steps: all, the first that is printed, and how far prints lie apart."""

    h: float
    end: float
    start: float
    every: float

    @property
    def steps(self) -> int:
        return max(1, int(round(self.end / self.h, 6)))

    @property
    def first(self) -> int:
        return math.ceil(round(self.start / self.h, 6))

    @property
    def stride(self) -> int:
        return max(1, round(self.every / self.h))

    @property
    def rows(self) -> int:
        return max(0, -(-(self.steps - self.first) // self.stride))


def simulate(circuit: Deck | Circuit, *, step: float | None = None, stop: float | None = None,
             prints: Sequence[str] | None = None, print_step: float | None = None, temperature: float | None = None,
             seed: int = 0, progress: Progress | None = None) -> Waveforms:
    """The printed quantities over time, and when each junction switched.

    step, stop, print_step: s; by default those of .tran. prints: texts such as "p(B1.X1)"; by default those of .print.
    temperature: K, with the Johnson currents of every resistor and junction, a function of (seed, element, step); None is the
    deck's .temp, and 0 K without one. seed: also of noise() sources. progress(done, steps) is called now and then.

    Settling steps come before t = 0, in which junctions remember no voltage. When 1 % of the run is over and a phase would move
    by more than 0.4 pi in a step, the run starts again with half the step, as in JoSIM.

    Errors: ValueError that names the element and the line: of the circuit, of what cannot be printed, for a step above what the
    plasma frequency of a junction allows, and for a run that diverges; ImportError when scipy is missing.
    """
    began, spent = clock.perf_counter(), clock.process_time()
    circuit = flatten(circuit) if isinstance(circuit, Deck) else circuit
    times = _times(circuit, step, stop, print_step)
    kelvin = (circuit.temperature or 0.0) if temperature is None else temperature
    if not 0 <= kelvin < math.inf:
        raise ValueError(f"temperature must be at least 0 K, got {kelvin}")
    if not 0 <= seed < 2**62:
        raise ValueError(f"seed must be a whole number from 0 to 2^62, got {seed}")
    wanted = circuit.prints if prints is None else tuple(map(print_of, prints))
    for _ in range(HALVINGS + 1):
        run = _Run(circuit, wanted, times, kelvin, seed)
        moved = run.through(progress)
        if moved is None:
            break
        times = _Times(times.h / 2, times.end, times.start, times.every)
    else:
        raise ValueError(f"{moved}: its phase moves by more than 0.4 pi in a step, even in one of {2 * times.h:g} s")
    stamps = (times.first + times.stride * np.arange(times.rows)) * times.h
    return Waveforms(circuit.name, stamps, tuple(map(str, wanted)), tuple(w.kind for w in wanted), run.probes.values(run.rows,
                                                                                                                     stamps,
                                                                                                                     times.end),
                     run.switched(), times.h, times.steps, run.eq.unknowns, run.factorings, kelvin, seed,
                     clock.perf_counter() - began, clock.process_time() - spent, circuit.warnings)


def settling(h: float) -> int:
    """Steps before t = 0: min(1000, int(2 10^(2 (|log10 h| - 12) + 1))), as JoSIM takes; h in s."""
    return min(1000, int(2 * 10 ** min(4.0, 2 * (abs(math.log10(h)) - 12) + 1)))


def _times(circuit: Circuit, step: float | None, stop: float | None, print_step: float | None) -> _Times:
    tran = circuit.tran
    if tran is None and (step is None or stop is None):
        raise ValueError(f"{circuit.name} has no .tran: add one, such as .tran 0.1p 500p, or give step and stop")
    h = step if step is not None else tran.step if tran else 0.0
    end = stop if stop is not None else tran.stop if tran else 0.0
    every = print_step if print_step is not None else max(h, tran.print_step) if tran else h
    if not (0 < h <= end < math.inf) or not h <= every < math.inf:
        raise ValueError(f"{circuit.name}: needs 0 < step <= stop and print_step >= step, got {h:g}, {end:g} and {every:g} s")
    if end / h > MOST_STEPS:
        where = tran.where if tran is not None and step is None and stop is None else circuit.name
        raise ValueError(f"{where}: {end:g} s in steps of {h:g} s are {end / h:.3g} steps, more than {MOST_STEPS:,}; ps are "
                         "written 1p")
    return _Times(h, end, tran.start if tran and tran.start < end else 0.0, every)


def _check_step(eq: Equations) -> None:
    most = coarsest(eq)
    k = int(np.argmin(most)) if len(most) else 0
    if len(most) and eq.step > most[k]:
        e, m = eq.junctions[k], eq.junctions[k].model
        assert m is not None
        plasma = f" of {math.sqrt(m.icrit / (SIGMA * m.cap)) / 2 / math.pi:.3g} Hz" if m.cap > 0 else ", without a capacitance"
        raise ValueError(f"{e}: a step of {eq.step:g} s is too coarse for its plasma frequency{plasma}, it may be at most "
                         f"{most[k]:.3g} s")


class _Run:
    """One attempt at a fixed step."""

    def __init__(self, circuit: Circuit, wanted: Sequence[Print], times: _Times, kelvin: float, seed: int) -> None:
        self.times, self.kelvin, self.seed, self.factorings = times, kelvin, seed, 1
        self.eq = build(circuit, times.h)
        _check_step(self.eq)
        self.probes = Probes(self.eq, wanted, seed)
        columns = len(self.probes.kind)
        if times.rows * max(1, columns) > LARGEST:
            raise ValueError(f"{circuit.name}: {times.rows} rows of {columns} quantities are more than {LARGEST:,} numbers")
        self.rows = np.zeros((times.rows, columns))
        self.events, self.filled = np.zeros((max(4096, 2 * len(self.eq.junctions)), 3)), np.zeros(1, np.int64)
        self.switches: list[Array] = []
        if kelvin > 0:
            shake(self.eq, kelvin)

    def through(self, progress: Progress | None) -> Element | None:
        """Run to the end, or to a junction whose phase moves too far."""
        tables, steps = _Tables(self.eq, self.seed, self.times.end), self.times.steps
        i = -settling(self.times.h)
        while i < steps:
            upto = min(steps if i >= 0 else 0, i + tables.chunk)
            if not self._chunk(tables.at(i, upto), i, upto):
                return self._moved()
            self._check_finite(upto)
            i = upto
            if progress is not None and i > 0:
                progress(i, steps)
        return None

    def _chunk(self, table: Array, begin: int, upto: int) -> bool:
        from snnsim.hardware.sfq.junctions.kernel import COARSE, DONE, GAP, advance

        a, p, t = self.eq.arrays, self.probes, self.times
        i, why = begin, GAP
        while why != DONE:
            why, i = advance(i, upto, t.steps, table[i - begin:], a["junctions"], a["currents"], a["ja"], a["jb"], a["state"],
                             a["resistors"], a["ra"], a["rb"], a["capacitors"], a["ca"], a["cb"], a["lu_start"], a["lu_row"],
                             a["lu_value"], a["lu_inverse"], a["x"], a["inject"], a["inject_to"], a["inject_column"],
                             a["hang_to"], a["hang"], a["hang_at"], a["hang_column"], self.seed if self.kelvin > 0 else -1,
                             self.events, self.filled, p.kind, p.a, p.b, p.past, t.first, t.stride, self.rows)
            self.switches.append(self.events[:self.filled[0]].copy())
            self.filled[0] = 0
            if why == COARSE:
                return False
            if why == GAP:
                self._cross()
        return True

    def _cross(self) -> None:
        """Junctions have crossed their gaps: the matrix changes."""
        _, _, _, _, _, _, lo, hi, _, _, guess = self.eq.arrays["junctions"][:11]
        size = np.abs(guess)
        self.eq.arrays["state"][:] = np.where(size >= hi, 2.0, np.where(size >= lo, np.copysign(1.0, guess), 0.0))
        conduct(self.eq)
        factor(self.eq)
        self.factorings += 1
        if self.kelvin > 0:
            shake(self.eq, self.kelvin)

    def _moved(self) -> Element:
        q, guess, p1 = self.eq.arrays["junctions"][9:12]
        return self.eq.junctions[int(np.argmax(np.abs(q + guess - p1)))]

    def _check_finite(self, step: int) -> None:
        x = self.eq.arrays["x"]
        if not np.isfinite(x).all():
            bad = next(n for n, k in self.eq.node.items() if not np.isfinite(x[k]))
            e = next(e for e in self.eq.circuit.elements if bad in e.nodes)
            raise ValueError(f"{e}: the phase of node {bad} is not finite at {step * self.times.h:.4g} s: the run diverges")

    def switched(self) -> Switches:
        crossed = np.concatenate([*self.switches, np.empty((0, 3))])
        crossed = crossed[np.lexsort((crossed[:, 1], crossed[:, 0]))]
        return Switches(self.eq.circuit.junctions, crossed[:, 0].astype(np.int64), crossed[:, 1] * self.times.h,
                        crossed[:, 2].astype(np.int8))


class _Tables:
    """What the sources give, chunk by chunk: currents in A, then the phases of voltage sources."""

    def __init__(self, eq: Equations, seed: int, end: float) -> None:
        self.eq, self.seed, self.end = eq, seed, end
        columns = len(eq.waves) + len(eq.voltages)
        self.chunk = int(np.clip(TABLE // max(1, columns), 16, CHUNK))
        self.past = np.zeros((2, len(eq.voltages)))

    def at(self, begin: int, upto: int) -> Array:
        from snnsim.hardware.sfq.junctions.kernel import integrate

        eq, h = self.eq, self.eq.step
        time: NDArray[np.float64] = np.arange(begin, upto, dtype=np.float64) * h
        table = np.empty((upto - begin, len(eq.waves) + len(eq.voltages)))
        for k, wave in enumerate((*eq.waves, *(e.wave for e in eq.voltages))):
            assert wave is not None
            table[:, k] = sources.at(wave, time, h, self.end, self.seed + KEY * k)
        table[:, len(eq.waves):] *= 2 * h / (3 * SIGMA)
        integrate(table, len(eq.waves), self.past)
        return table
