"""The equations of one time step of a circuit: BDF2 of the RCSJ model in phases, with nodes alone as unknowns.

Phases p = phi+ - phi- are the integral of voltage over sigma = Phi0 / 2 pi; p1, p2 ... are those of the steps before, h the
step.
    L:  i = (sigma / L) p, and for coupled inductors i = sigma M^-1 p R:  i = (3 sigma / 2 h R) (p - 4/3 p1 + 1/3 p2) C:  i =
    (9 sigma C / 4 h^2) (p - 8/3 p1 + 22/9 p2 - 8/9 p3 + 1/9 p4) V:  p = (2 h / 3 sigma) V(t) + 4/3 p1 - 1/3 p2 B:  i = v / Z
    + Ic sin(p0 - phi) - (2 C / h) v1 + (C / 2 h) v2 + It, 1 / Z = G + 3 C / 2 h, v = (3 sigma / 2 h)(p - 4/3 p1 + 1/3 p2),
        with the sine taken at p0 = 4/3 p1 - 1/3 p2 + (2 h / 3 sigma)(5/2 v1 - 2 v2 + 1/2 v3), so that A is constant
G is 1/R0 below the gap, gL = Ic / (pi/4 delv) within delv of it, where It = +-(vg - delv/2)(1/R0 - gL), and 1/Rn above. These
are JoSIM's published numerics (Delport et al. 2019), as facts. Our own: branch currents are eliminated, a resistor across a
junction adds to its G, and a source of voltage, whose phase is known, makes its two nodes one. What is left is a symmetric
positive definite matrix of node phases, so that L of one sparse LU (SuperLU, minimum degree) serves both substitutions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.junctions.circuit import GROUND, Circuit, coupled_groups
from snnsim.hardware.sfq.junctions.expressions import BOLTZMANN
from snnsim.hardware.sfq.junctions.parts import Element, Waveform

SIGMA = 3.291059757e-16  # Phi0 / 2 pi, V s
Array = NDArray[Any]
CONSTANTS, STATES = 9, 7


@dataclass
class Equations:
    """Arrays of the kernel for one circuit and one step; `factor` fills lu_*. Nodes are numbered as the kernel says.

    node: the kernel's number of each name. junctions, resistors, capacitors, inductors: the elements behind the rows; shunts:
    the resistors that were added to a junction, with its row. sources: the elements behind the table's columns of currents;
    voltages: those behind the columns of phases, which come after.
    """

    circuit: Circuit
    step: float
    junctions: list[Element]
    resistors: list[Element]
    capacitors: list[Element]
    inductors: list[Element]
    voltages: list[Element]
    waves: list[Waveform]
    shunts: dict[str, int] = field(default_factory=dict)
    node: dict[str, int] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    assembly: Any = None

    @property
    def unknowns(self) -> int:
        return int(self.arrays["lu_inverse"].size)


def build(circuit: Circuit, step: float) -> Equations:
    """The equations at rest: no junction above its gap, all phases 0. step: s. Errors: ImportError; ValueError as of
    `factor`."""
    junctions, resistors = circuit.of("B"), []
    across: dict[frozenset[str], int] = {}
    for j, e in enumerate(junctions):
        across.setdefault(frozenset(e.nodes), j)
    shunts = {e.name: across[frozenset(e.nodes)] for e in circuit.of("R") if frozenset(e.nodes) in across}
    resistors = [e for e in circuit.of("R") if e.name not in shunts]
    waves = list(dict.fromkeys(e.wave for e in circuit.of("I") if e.wave is not None))
    eq = Equations(circuit, step, junctions, resistors, circuit.of("C"), circuit.of("L"), circuit.of("V"), waves, shunts)
    _rows(eq)
    _Assembly(eq).order()
    return eq


def _rows(eq: Equations) -> None:
    """The constants and the histories of junctions, resistors and capacitors."""
    h = eq.step
    j = np.zeros((CONSTANTS + STATES, len(eq.junctions)))
    u = 2 * h / (3 * SIGMA)  # radians of one volt
    for k, e in enumerate(eq.junctions):
        m = e.model
        assert m is not None
        charge = m.cap * e.value
        j[1:5, k] = m.icrit * e.value, m.phi, 2 * charge / h / u, charge / (2 * h) / u
        j[6:8, k] = ((m.vg - m.delv / 2) * u, (m.vg + m.delv / 2) * u) if m.rtype else (np.inf, np.inf)
    j[14], j[15] = np.pi, -np.pi
    parallel = np.zeros(len(eq.junctions))
    for e in eq.circuit.of("R"):
        if e.name in eq.shunts:
            parallel[eq.shunts[e.name]] += 1 / e.value
    r = np.zeros((5, len(eq.resistors)))
    r[0] = [1 / (u * e.value) for e in eq.resistors]
    c = np.zeros((6, len(eq.capacitors)))
    c[0] = [9 * SIGMA * e.value / (4 * h * h) for e in eq.capacitors]
    eq.arrays.update(junctions=j, resistors=r, capacitors=c, parallel=parallel, state=np.zeros(len(eq.junctions)))
    conduct(eq)


def conduct(eq: Equations) -> None:
    """The conductance of each junction, and its It, from where it lies to its gap (arrays["state"])."""
    j, state, u = eq.arrays["junctions"], eq.arrays["state"], 2 * eq.step / (3 * SIGMA)
    for k, e in enumerate(eq.junctions):
        m = e.model
        assert m is not None
        transition = e.value * m.icrit / (np.pi / 4 * m.delv)
        g = e.value / m.r0 if state[k] == 0 else e.value / m.rn if state[k] == 2 else transition
        j[0, k] = (g + eq.arrays["parallel"][k] + 1.5 * m.cap * e.value / eq.step) / u
        j[5, k] = state[k] * (m.vg - m.delv / 2) * (e.value / m.r0 - transition) if abs(state[k]) == 1 else 0.0


def coarsest(eq: Equations) -> NDArray[np.float64]:
    """The largest stable step of each junction with the resistors across it, s.

    The sine is taken at an extrapolated phase. Linearised, the step has a root at -1 where h^2 Ic / sigma = 16/15 C + 4/15 h
    G, and all within the unit circle below: 1.03 over the plasma's angular frequency without damping, more with it. (Our own
    sum.)
    """
    m = [(e.value, e.model) for e in eq.junctions if e.model is not None]
    slope = np.array([area * model.icrit / SIGMA for area, model in m])
    charge = np.array([area * model.cap * 16 / 15 for area, model in m])
    damping = (np.array([area / model.r0 for area, model in m]) + eq.arrays["parallel"]) * 4 / 15
    return np.asarray((damping + np.sqrt(damping**2 + 4 * slope * charge)) / (2 * slope))


def shake(eq: Equations, temperature: float) -> None:
    """The deviation of the Johnson current of each resistor and junction in one step, A: sqrt(2 k T G / h).

    A current of two-sided density 2 k T G, white up to the highest frequency 1 / 2 h that steps of h can hold, has this
    deviation. BDF2 damps the highest: of the kT of a store with the time constant tau it keeps about 1 - 3/4 h / tau.
    """
    u = 2 * eq.step / (3 * SIGMA)
    j, r = eq.arrays["junctions"], eq.arrays["resistors"]
    charge = np.array([1.5 * e.model.cap * e.value / eq.step for e in eq.junctions if e.model is not None])
    j[8] = np.sqrt(2 * BOLTZMANN * temperature * np.maximum(j[0] * u - charge, 0.0) / eq.step)
    r[4] = np.sqrt(2 * BOLTZMANN * temperature * r[0] * u / eq.step)


def _tree(eq: Equations) -> tuple[dict[str, str], dict[str, dict[int, float]]]:
    """Nodes that voltage sources tie to another: that other node, and the sources between with their signs."""
    beside: dict[str, list[tuple[str, int, float]]] = {}
    for k, e in enumerate(eq.voltages):
        a, b = e.nodes
        beside.setdefault(a, []).append((b, k, -1.0))
        beside.setdefault(b, []).append((a, k, 1.0))
    root: dict[str, str] = {}
    path: dict[str, dict[int, float]] = {}
    for start in ([GROUND] if GROUND in beside else []) + [n for n in beside if n != GROUND]:
        if start in path:
            continue
        path[start], todo = {}, [start]
        while todo:
            here = todo.pop()
            for there, k, sign in beside[here]:
                if there not in path:
                    path[there], root[there] = {**path[here], k: sign}, start
                    todo.append(there)
    return root, {n: path[n] for n in root}


class _Assembly:
    """The matrix of a circuit before its nodes are numbered."""

    def __init__(self, eq: Equations) -> None:
        try:
            import scipy.sparse as sparse
        except ImportError:
            raise ImportError('scipy is missing: pip install "snnsim[sfq]"') from None
        self.eq, self.sparse = eq, sparse
        self.root, self.path = _tree(eq)
        self.hanging = list(self.root)
        self.free = [n for n in eq.circuit.nodes if n not in self.root]
        free = {n: i for i, n in enumerate(self.free)}
        self.full = {n: i for i, n in enumerate((*self.free, *self.hanging))}
        ties = [(self.full[n], free[self.root.get(n, n)]) for n in self.full if self.root.get(n, n) != GROUND]
        rows, columns = np.array(ties, np.int64).reshape(-1, 2).T
        self.fold = sparse.csr_array((np.ones(len(ties)), (rows, columns)), shape=(len(self.full), len(free)))
        known = [(self.full[n], k, s) for n in self.hanging for k, s in self.path[n].items()]
        self.known = self._sparse(known, (len(self.full), len(eq.voltages)))
        self.incidence = {kind: self._incidence(e) for kind, e in
                          (("B", eq.junctions), ("R", eq.resistors), ("C", eq.capacitors), ("L", eq.inductors),
                           ("I", eq.circuit.of("I")))}
        self.inverse_inductance = self._inverse_inductance()

    def _sparse(self, entries: list[tuple[int, int, float]], shape: tuple[int, int]) -> Any:
        rows, columns, values = np.array(entries, float).reshape(-1, 3).T
        return self.sparse.csr_array((values, (rows.astype(np.int64), columns.astype(np.int64))), shape=shape)

    def _incidence(self, elements: list[Element]) -> Any:
        entries = [(k, self.full[n], s) for k, e in enumerate(elements) for n, s in zip(e.nodes, (1.0, -1.0), strict=True)
                   if n != GROUND]
        return self._sparse(entries, (len(elements), len(self.full)))

    def _inverse_inductance(self) -> Any:
        """sigma M^-1 over all inductors."""
        eq, groups = self.eq, coupled_groups(self.eq.circuit)
        place = {e.name: i for i, e in enumerate(eq.inductors)}
        coupled = {e.name for group, _ in groups for e in group}
        entries = [(i, i, SIGMA / e.value) for i, e in enumerate(eq.inductors) if e.name not in coupled]
        for group, matrix in groups:
            inverse = SIGMA * np.linalg.inv(matrix)
            entries += [(place[a.name], place[b.name], inverse[i, j]) for i, a in enumerate(group) for j, b in enumerate(group)]
        return self._sparse(entries, (len(eq.inductors), len(eq.inductors)))

    def matrices(self) -> tuple[Any, Any]:
        """A, and K of A x = -(...) - K q, where q are the phases of the voltage sources."""
        eq, whole = self.eq, None
        for kind, g in (("B", eq.arrays["junctions"][0]), ("R", eq.arrays["resistors"][0]), ("C", eq.arrays["capacitors"][0])):
            part = self.incidence[kind].T @ self.sparse.diags_array(g) @ self.incidence[kind] if g.size else None
            whole = part if whole is None else whole if part is None else whole + part
        inductive = self.incidence["L"].T @ self.inverse_inductance @ self.incidence["L"]
        whole = inductive if whole is None else whole + inductive
        return (self.fold.T @ whole @ self.fold).tocsc(), (self.fold.T @ whole @ self.known).tocoo()

    def order(self) -> None:
        """Number the nodes in the order of elimination, and fill the arrays that depend on it."""
        eq, a = self.eq, self.eq.arrays
        matrix, _ = self.matrices()
        self.position = _factored(eq, matrix, self.free).perm_c if self.free else np.zeros(0, np.int64)
        n = len(self.free)
        eq.node = {GROUND: n, **{name: int(p) for name, p in zip(self.free, self.position, strict=True)},
                   **{name: n + 1 + k for k, name in enumerate(self.hanging)}}
        for kind, elements in (("j", eq.junctions), ("r", eq.resistors), ("c", eq.capacitors)):
            ends = np.array([[eq.node[m] for m in e.nodes] for e in elements], np.int32).reshape(-1, 2)
            a[f"{kind}a"], a[f"{kind}b"] = np.ascontiguousarray(ends.T)
        column = {wave: k for k, wave in enumerate(eq.waves)}
        entries = [(eq.node[m], column[e.wave], s) for e in eq.circuit.of("I") if e.wave is not None
                   for m, s in zip(e.nodes, (-1.0, 1.0), strict=True) if eq.node[m] != n]
        self.currents = [(eq.node[self.root.get(self._name(m), self._name(m))], k, s) if m > n else (m, k, s)
                         for m, k, s in entries]
        self.currents = [x for x in self.currents if x[0] != n]
        a["hang_to"] = np.array([eq.node[self.root[m]] for m in self.hanging], np.int32)
        hang = [(k, len(eq.waves) + s, sign) for k, m in enumerate(self.hanging) for s, sign in self.path[m].items()]
        a["hang_at"], a["hang_column"] = (np.array([x[i] for x in hang], np.int32) for i in (0, 1))
        a["hang"] = np.array([x[2] for x in hang], float)
        a["x"] = np.zeros(n + 1 + len(self.hanging))
        a["currents"] = np.zeros((2, len(eq.junctions)))
        eq.assembly = self
        factor(eq)

    def _name(self, number: int) -> str:
        return self.hanging[number - len(self.free) - 1]


def factor(eq: Equations) -> None:
    """L and D of the matrix as its junctions conduct now. Errors: ValueError that names an element at a node without a
    pivot."""
    assembly = eq.assembly
    matrix, known = assembly.matrices()
    a, n = eq.arrays, len(assembly.free)
    if n:
        lu = _factored(eq, matrix, assembly.free)
        lower = lu.L.tocsc()
        lower.sort_indices()
        column = np.repeat(np.arange(n), np.diff(lower.indptr))
        below = lower.indices > column
        a["lu_start"] = np.concatenate([[0], np.cumsum(np.bincount(column[below], minlength=n))]).astype(np.int32)
        a["lu_row"], a["lu_value"] = lower.indices[below].astype(np.int32), lower.data[below].astype(float)
        a["lu_inverse"] = 1.0 / lu.U.diagonal()
    else:
        a.update(lu_start=np.zeros(1, np.int32), lu_row=np.zeros(0, np.int32), lu_value=np.zeros(0), lu_inverse=np.zeros(0))
    position, waves = assembly.position, len(eq.waves)
    entries = assembly.currents + [(int(position[i]), waves + int(k), -float(v)) for i, k, v in
                                   zip(known.row, known.col, known.data, strict=True) if v != 0]
    a["inject_to"], a["inject_column"] = (np.array([x[i] for x in entries], np.int32) for i in (0, 1))
    a["inject"] = np.array([x[2] for x in entries], float)


def _factored(eq: Equations, matrix: Any, free: list[str]) -> Any:
    from scipy.sparse.linalg import splu

    if not np.isfinite(matrix.data).all():
        raise ValueError(f"{eq.circuit.name}: the values of its elements are too large or too small for numbers of 64 bits")
    try:
        lu = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True, "Equil": False})
        pivots = lu.U.diagonal()
        bad = np.flatnonzero(~(pivots > 1e-14 * np.abs(matrix.diagonal())[np.argsort(lu.perm_c)]))
    except RuntimeError:  # SuperLU's word for a pivot of exactly 0
        lu, bad = None, np.flatnonzero(~(matrix.diagonal() > 0))
    if lu is None or len(bad) or not np.array_equal(lu.perm_r, lu.perm_c):
        at = 0 if not len(bad) else int(bad[0] if lu is None else np.argsort(lu.perm_c)[bad[0]])
        e = next(e for e in eq.circuit.elements if free[at] in e.nodes)
        raise ValueError(f"{e}: the equations are singular at node {free[at]}: the values of the elements around it lie too "
                         "far apart")
    return lu
