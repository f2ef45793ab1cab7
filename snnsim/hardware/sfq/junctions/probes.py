"""What is printed, from what the kernel records: phases, voltages in radians, currents of junctions, capacitors and
resistors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.junctions import sources
from snnsim.hardware.sfq.junctions.circuit import GROUND
from snnsim.hardware.sfq.junctions.equations import SIGMA, Equations
from snnsim.hardware.sfq.junctions.parts import Element, Print

Array = NDArray[Any]
PHASE, VOLTAGE, JUNCTION, CAPACITOR, RESISTOR = range(5)
KEY = 1_000_003  # between the seeds of two noise sources
Sum = dict[int | str, float]  # factors of recorded columns, by number, and of sources of current, by name


class Probes:
    """The columns that the kernel records for some prints, and the sums of them that are asked for.

    A current flows into the first node of its element and out of the second. That of a source of voltage is what the other
    elements at its node that is farther from ground take. The Johnson current of a resistor across a junction is the
    junction's. Errors: ValueError that names the .print line, and what it can name.
    """

    def __init__(self, eq: Equations, wanted: Sequence[Print], seed: int = 0) -> None:
        self.eq, self.seed = eq, seed
        self.columns: dict[tuple[int, int, int], int] = {}
        self.elements = {e.name: e for e in eq.circuit.elements}
        groups = (eq.junctions, eq.resistors, eq.capacitors, eq.inductors)
        self.row = {e.name: i for group in groups for i, e in enumerate(group)}
        self.volt = 3 * SIGMA / (2 * eq.step)
        self.sums = [self._wanted(w) for w in wanted]
        table = np.array(list(self.columns), np.int64).reshape(-1, 3)
        self.kind, self.a, self.b = (np.ascontiguousarray(table[:, i]) for i in range(3))
        self.past = np.zeros((2, len(table)))

    def values(self, rows: Array, time: Array, end: float) -> Array:
        """[rows, prints]: rad, V or A. time: s, of the rows; end: of the run."""
        out = np.zeros((len(rows), len(self.sums)))
        for k, total in enumerate(self.sums):
            for key, factor in total.items():
                out[:, k] += factor * (rows[:, key] if isinstance(key, int) else self._given(key, time, end))
        return out

    def _given(self, name: str, time: Array, end: float) -> Array:
        wave = self.elements[name].wave
        assert wave is not None
        return sources.at(wave, time, self.eq.step, end, self.seed + KEY * self.eq.waves.index(wave))

    def _wanted(self, p: Print) -> Sum:
        e = self.elements.get(p.names[0]) if len(p.names) == 1 else None
        if p.kind == "i":
            if e is None or e.kind == "K":
                raise ValueError(f"{p.where}: {p} names no element of the circuit that carries a current")
            return self._current(e)
        nodes = tuple(GROUND if n == "GND" else n for n in p.names)
        if e is not None and e.nodes and nodes[0] not in self.eq.node:
            nodes = e.nodes
        missing = next((n for n in nodes if n not in self.eq.node), None)
        if missing is not None:
            raise ValueError(f"{p.where}: {p} names neither an element nor nodes of the circuit: there is no {missing}")
        kind, factor = (PHASE, 1.0) if p.kind == "p" else (VOLTAGE, self.volt)
        return {self._between(kind, (*nodes, GROUND)[:2]): factor}

    def _between(self, kind: int, nodes: Sequence[str]) -> int:
        return self._place(kind, self.eq.node[nodes[0]], self.eq.node[nodes[1]])

    def _place(self, kind: int, a: int, b: int = 0) -> int:
        return self.columns.setdefault((kind, a, b), len(self.columns))

    def _current(self, e: Element) -> Sum:
        eq = self.eq
        if e.name in eq.shunts:
            return {self._between(VOLTAGE, e.nodes): self.volt / e.value}
        if e.kind in "RC":
            return {self._place(RESISTOR if e.kind == "R" else CAPACITOR, self.row[e.name]): 1.0}
        if e.kind == "I":
            return {e.name: 1.0}
        if e.kind == "V":
            return self._left_over(e)
        if e.kind == "L":
            inverse = eq.assembly.inverse_inductance
            span = slice(*inverse.indptr[self.row[e.name]: self.row[e.name] + 2])
            return {self._between(PHASE, eq.inductors[i].nodes): float(v)
                    for i, v in zip(inverse.indices[span], inverse.data[span], strict=True)}
        total: Sum = {self._place(JUNCTION, self.row[e.name]): 1.0}
        for name, j in eq.shunts.items():
            if j == self.row[e.name]:
                _add(total, {self._between(VOLTAGE, e.nodes): self.volt / self.elements[name].value}, -1.0)
        return total

    def _left_over(self, e: Element) -> Sum:
        """Behind its far node hang only sources of voltage that lie still farther, so that this ends."""
        path = self.eq.assembly.path
        far = max(e.nodes, key=lambda n: len(path.get(n, ())))
        total: Sum = {}
        sign = -1.0 if far == e.nodes[0] else 1.0
        for other in self.eq.circuit.elements:
            if other is not e and far in other.nodes and other.nodes[0] != other.nodes[1]:
                _add(total, self._current(other), sign if other.nodes[0] == far else -sign)
        return total


def _add(total: Sum, more: Sum, factor: float) -> None:
    for key, value in more.items():
        total[key] = total.get(key, 0.0) + factor * value
