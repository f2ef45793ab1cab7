"""A deck without its subcircuits: one list of elements, whose names stand inside out (B1|X1), and the checks of its
structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from snnsim.hardware.sfq.junctions.parts import Deck, Element, Print, Tran

MOST = 1_000_000  # elements
GROUND = "0"


@dataclass(frozen=True)
class Circuit:
    """Elements R L C K B V I between named nodes; ground is "0". warnings: what is allowed, but rarely meant.

    Errors: ValueError that names the element and its line, for couplings that no inductors can have, loops of voltage sources,
    and nodes that float.
    """

    name: str
    elements: tuple[Element, ...]
    tran: Tran | None = None
    prints: tuple[Print, ...] = ()
    temperature: float | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(GROUND in e.nodes for e in self.elements):
            raise ValueError(f"{self.name}: no element is connected to ground, node 0")
        _check_couplings(self)
        _check_nodes(self)

    @property
    def nodes(self) -> tuple[str, ...]:
        """In the order of their first appearance, without ground."""
        return tuple(dict.fromkeys(n for e in self.elements for n in e.nodes if n != GROUND))

    @property
    def junctions(self) -> tuple[str, ...]:
        return tuple(e.name for e in self.elements if e.kind == "B")

    def of(self, kinds: str) -> list[Element]:
        """The elements of these kinds."""
        return [e for e in self.elements if e.kind in kinds]

    def scaled(self, factors: Mapping[str, float]) -> Circuit:
        """The circuit with the values, areas or source waveforms of the named elements multiplied.

        Errors: ValueError for a name that is not there, and for a factor that is not above 0.
        """
        factors = {k.upper().replace(".", "|"): f for k, f in factors.items()}
        known = {e.name for e in self.elements}
        wrong = next((k for k, f in factors.items() if k not in known or not 0 < f < np.inf), None)
        if wrong is not None:
            raise ValueError(f"{self.name}: there is no element {wrong!r}" if wrong not in known else
                             f"{self.name}: the factor of {wrong} must be above 0, got {factors[wrong]:g}")
        return replace(self, elements=tuple(_times(e, factors[e.name]) if e.name in factors else e for e in self.elements))

    def shifted(self, seconds: Mapping[str, float]) -> Circuit:
        """The circuit with the pulses of the named sources, pwl() or pulse(), so much later, or earlier below 0. A corner of
        pwl() at or before t = 0 stays.

        Errors: ValueError for a name that is no such source, and where a pulse would begin before t = 0.
        """
        seconds = {k.upper().replace(".", "|"): s for k, s in seconds.items()}
        known = {e.name for e in self.elements if e.wave and e.wave.kind in ("pwl", "pulse")}
        if unknown := seconds.keys() - known:
            raise ValueError(f"{self.name}: {min(unknown)!r} is no source of pwl() or pulse(), whose pulses could be moved")
        return replace(self, elements=tuple(_later(e, seconds[e.name]) if e.name in seconds else e for e in self.elements))


def _times(e: Element, factor: float) -> Element:
    if e.wave is None:
        return replace(e, value=e.value * factor)
    v = e.wave.values
    amplitudes = {"dc": {0}, "pwl": set(range(1, len(v), 2))}.get(e.wave.kind, {0, 1})
    return replace(e, wave=replace(e.wave, values=tuple(x * factor if i in amplitudes else x for i, x in enumerate(v))))


def _later(e: Element, seconds: float) -> Element:
    assert e.wave is not None
    v = e.wave.values
    if e.wave.kind == "pwl":
        moved = tuple(x + seconds if k % 2 == 0 and x > 0 else x for k, x in enumerate(v))
        early = any(a >= b for a, b in pairwise(moved[::2])) or min(moved[::2]) < 0
    else:
        moved = (*v[:2], (*v[2:3], 0.0)[0] + seconds, *v[3:])
        early = moved[2] < 0
    if early:
        raise ValueError(f"{e}: its pulses cannot come {-1e12 * seconds:g} ps earlier, as they would begin before t = 0")
    return replace(e, wave=replace(e.wave, values=moved))


def flatten(deck: Deck) -> Circuit:
    """Every instance replaced by its elements. A name inside X1 ends in |X1, and a node that is no port, too.

    Errors: ValueError for a subcircuit that contains itself, one that is too large, and those of `Circuit`.
    """
    elements: list[Element] = []
    for e in _expanded(deck, deck.elements, "", {}, ()):
        elements.append(e)
        if len(elements) > MOST:
            raise ValueError(f"{e}: the circuit has more than {MOST} elements")
    if not elements:
        raise ValueError(f"{deck.name} holds no element")
    ports = {e.name: e for e in elements}
    ends: dict[str, int] = {}
    for e in elements:
        for n in e.nodes:
            ends[n] = ends.get(n, 0) + 1
    loose = [f"{e}: node {n} has no other connection" for e in ports.values() for n in e.nodes if n != GROUND and ends[n] == 1]
    loose += [f"{e}: both its ends are at node {e.nodes[0]}, so that no current flows" for e in elements
              if len(e.nodes) == 2 and e.nodes[0] == e.nodes[1]]
    return Circuit(deck.name, tuple(elements), deck.tran, deck.prints, deck.temperature, tuple(loose))


def _expanded(deck: Deck, elements: tuple[Element, ...], path: str, ports: Mapping[str, str],
              inside: tuple[str, ...]) -> Iterator[Element]:
    for e in elements:
        nodes = tuple(ports.get(n, n if n == GROUND or not path else f"{n}{path}") for n in e.nodes)
        if e.kind != "X":
            yield replace(e, name=e.name + path, nodes=nodes, couples=tuple(c + path for c in e.couples)) if path else e
            continue
        if e.of in inside:
            raise ValueError(f"{e}: subcircuit {e.of} contains itself")
        if len(inside) > 30:
            raise ValueError(f"{e}: instances are nested deeper than 30")
        sub = deck.subcircuits[e.of]
        yield from _expanded(deck, sub.elements, f"|{e.name}{path}", dict(zip(sub.ports, nodes, strict=True)), (*inside, e.of))


class _Sets:
    """Union-find over names."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        path = []
        while (above := self.parent.get(name, name)) != name:
            path.append(name)
            name = above
        for p in path:
            self.parent[p] = name
        return name

    def join(self, a: str, b: str) -> bool:
        """False where they are together already."""
        a, b = self.find(a), self.find(b)
        self.parent[a] = b
        return a != b


def _check_nodes(circuit: Circuit) -> None:
    loops, tied = _Sets(), _Sets()
    for e in circuit.of("V"):
        if not loops.join(*e.nodes):
            raise ValueError(f"{e}: with other voltage sources it closes a loop, which no current can be found for")
    for e in circuit.of("RLCBV"):
        tied.join(*e.nodes)
    ground = tied.find(GROUND)
    for e in circuit.elements:
        for n in e.nodes:
            if tied.find(n) != ground:
                raise ValueError(f"{e}: node {n} floats: no R, L, C, B or V leads from it to ground")


def coupled_groups(circuit: Circuit) -> list[tuple[list[Element], np.ndarray]]:
    """Inductors that are coupled to each other, with their matrix of inductances, H."""
    sets, inductors = _Sets(), {e.name: e for e in circuit.of("L")}
    for k in circuit.of("K"):
        sets.join(*k.couples)
    members: dict[str, list[Element]] = {}
    for name in dict.fromkeys(name for k in circuit.of("K") for name in k.couples):
        members.setdefault(sets.find(name), []).append(inductors[name])
    place = {e.name: (root, i) for root, group in members.items() for i, e in enumerate(group)}
    matrices = {root: np.diag([e.value for e in group]) for root, group in members.items()}
    for k in circuit.of("K"):
        (root, i), (_, j) = place[k.couples[0]], place[k.couples[1]]
        matrices[root][i, j] = matrices[root][j, i] = k.value * np.sqrt(matrices[root][i, i] * matrices[root][j, j])
    return [(group, matrices[root]) for root, group in members.items()]


def _check_couplings(circuit: Circuit) -> None:
    seen: dict[frozenset[str], Element] = {}
    for k in circuit.of("K"):
        pair = frozenset(k.couples)
        if pair in seen:
            raise ValueError(f"{k}: {' and '.join(k.couples)} are coupled already, by {seen[pair]}")
        seen[pair] = k
    for group, matrix in coupled_groups(circuit):
        if np.linalg.eigvalsh(matrix / np.sqrt(np.outer(matrix.diagonal(), matrix.diagonal()))).min() <= 1e-9:
            names = {e.name for e in group}
            k = next(k for k in circuit.of("K") if k.couples[0] in names)
            raise ValueError(f"{k}: the couplings of {', '.join(sorted(names))} together are stronger than inductors can have")
