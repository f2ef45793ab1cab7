"""What is printed, from what the kernel records: phases, voltages in radians, currents of junctions and capacitors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.junctions.equations import SIGMA, Equations
from snnsim.hardware.sfq.junctions.parts import Element, Print

Array = NDArray[Any]
PHASE, VOLTAGE, JUNCTION, CAPACITOR = range(4)
Sum = dict[int, float]  # recorded column: its factor


class Probes:
    """The columns that the kernel records for some prints, and the sums of them that are asked for.

    The current of a source of voltage is what the other elements at one of its nodes leave, where no other such source hangs.
    Errors: ValueError that names the .print line, and what it can name.
    """

    def __init__(self, eq: Equations, wanted: Sequence[Print]) -> None:
        self.eq = eq
        self.columns: dict[tuple[int, int, int], int] = {}
        self.elements = {e.name: e for e in eq.circuit.elements}
        groups = (eq.junctions, eq.resistors, eq.capacitors, eq.inductors)
        self.row = {e.name: i for group in groups for i, e in enumerate(group)}
        self.volt = 3 * SIGMA / (2 * eq.step)
        self.sums = [self._wanted(w) for w in wanted]
        table = np.array(list(self.columns), np.int64).reshape(-1, 3)
        self.kind, self.a, self.b = (np.ascontiguousarray(table[:, i]) for i in range(3))
        self.past = np.zeros((2, len(table)))

    def values(self, rows: Array) -> Array:
        """[rows, prints]: rad, V or A."""
        out = np.zeros((len(rows), len(self.sums)))
        for k, total in enumerate(self.sums):
            for column, factor in total.items():
                out[:, k] += factor * rows[:, column]
        return out

    def _wanted(self, p: Print) -> Sum:
        e = self.elements.get(p.names[0]) if len(p.names) == 1 else None
        if p.kind == "i":
            if e is None or e.kind == "K":
                raise ValueError(f"{p.where}: {p} names no element that carries a current")
            return self._current(e, p)
        if e is not None and e.nodes and p.names[0] not in self.eq.node:
            nodes = e.nodes
        else:
            nodes = (*p.names, "0")[:2]
            nodes = tuple("0" if n == "GND" else n for n in nodes)
            missing = next((n for n in nodes if n not in self.eq.node), None)
            if missing is not None:
                raise ValueError(f"{p.where}: {p} names no element and no node of the circuit: {missing} is missing")
        return {self._column(PHASE, nodes): 1.0} if p.kind == "p" else {self._column(VOLTAGE, nodes): self.volt}

    def _column(self, kind: int, nodes: Sequence[str]) -> int:
        return self._place((kind, self.eq.node[nodes[0]], self.eq.node[nodes[1]]))

    def _place(self, key: tuple[int, int, int]) -> int:
        return self.columns.setdefault(key, len(self.columns))

    def _current(self, e: Element, p: Print, seen: tuple[str, ...] = ()) -> Sum:
        """What flows into the first node of the element and out of its second. Johnson currents of resistors are left out."""
        eq = self.eq
        if e.kind == "R":
            return {self._column(VOLTAGE, e.nodes): self.volt / e.value}
        if e.kind == "L":
            inverse = eq.assembly.inverse_inductance
            lo, hi = inverse.indptr[self.row[e.name]: self.row[e.name] + 2]
            return {self._column(PHASE, eq.inductors[i].nodes): float(v)
                    for i, v in zip(inverse.indices[lo:hi], inverse.data[lo:hi], strict=True)}
        if e.kind == "C":
            return {self._place((CAPACITOR, self.row[e.name], 0)): 1.0}
        if e.kind == "B":
            total: Sum = {self._place((JUNCTION, self.row[e.name], 0)): 1.0}
            for name, j in eq.shunts.items():
                if j == self.row[e.name]:
                    total[self._column(VOLTAGE, e.nodes)] = (total.get(self._column(VOLTAGE, e.nodes), 0.0)
                                                             - self.volt / self.elements[name].value)
            return total
        raise ValueError(f"{p.where}: {p}: the current of a source is not recorded; print that of an element in series")
