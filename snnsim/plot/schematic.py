"""Circuits drawn from their decks: cells as boxes in the order of their pulses, and a subcircuit's elements as symbols."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.plot.style import BLUE, COLOURS, GREY, ORANGE, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware.sfq.junctions import Deck, Element, Subcircuit

MOST_CELLS = 400
SWEEPS = 12
Wires = list[tuple[str, str]]


@styled
def cells(deck: Deck, title: str = "") -> Figure:
    """A box for each instance at the top of a deck, in the column of its longest path from a source of pulses; a line where an
    output (a port whose name begins with q) meets an input, which goes round the boxes between. ValueError for no instance, and
    for more than 400."""
    boxes = {e.name: e for e in deck.elements if e.kind == "X"}
    if not 0 < len(boxes) <= MOST_CELLS:
        raise ValueError(f"{deck.name} has {len(boxes)} cells at its top, 1 to {MOST_CELLS} are drawn")
    wires = _wires(deck, boxes)
    names = [*(e.name for e in deck.elements if e.kind == "V"), *boxes]
    column = _columns(names, wires)
    ways = [[a, *(f"{a}>{b}>{c}" for c in range(column[a] + 1, column[b])), b] for a, b in wires]
    bends = {n: column[way[0]] + k for way in ways for k, n in enumerate(way) if 0 < k < len(way) - 1}
    column.update(bends)
    place = _places([*names, *bends], column, [pair for way in ways for pair in pairwise(way)])
    wide, tall = max(column.values()) + 1, max(row for row in place.values()) + 1
    figure, axes = panels(min(16.0, 1.2 + 0.95 * wide), min(12.0, 0.8 + 0.42 * tall))
    a = axes[0, 0]
    kinds = sorted({e.of.rstrip("0123456789") for e in boxes.values()})
    colour = {kind: COLOURS[k % len(COLOURS)] for k, kind in enumerate(kinds)}
    for way in ways:
        a.plot([column[n] for n in way], [place[n] for n in way], color=GREY, linewidth=0.7, zorder=1)
    for name in names:
        at = column[name], place[name]
        if name in boxes:
            kind = boxes[name].of
            a.text(*at, f"{kind.lower()}\n{name[1:].lower()}", ha="center", va="center", fontsize=5.5, zorder=3,
                   linespacing=1.1, bbox={"boxstyle": "round,pad=0.25", "facecolor": "white",
                         "edgecolor": colour[kind.rstrip("0123456789")], "linewidth": 1.1})
        else:
            a.text(*at, name[1:].lower(), ha="center", va="center", fontsize=6, color=BLUE, zorder=3,
                   bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    a.set(xlim=(-0.6, wide - 0.4), ylim=(tall - 0.4, -0.6), title=title or deck.name)
    a.axis("off")
    return figure


def _wires(deck: Deck, boxes: dict[str, Element]) -> Wires:
    """From what drives a node to what it drives."""
    drives: dict[str, str] = {n: e.name for e in deck.elements if e.kind == "V" for n in e.nodes if n != "0"}
    ports = {name: dict(zip(deck.subcircuits[e.of].ports, e.nodes, strict=True)) for name, e in boxes.items()}
    drives.update({node: name for name, at in ports.items() for port, node in at.items() if port.startswith("Q")})
    return [(drives[node], name) for name, at in ports.items() for port, node in at.items()
            if not port.startswith("Q") and node in drives]


def _columns(names: list[str], wires: Wires) -> dict[str, int]:
    """The longest path to each; a loop is cut where it has gone round once."""
    column = dict.fromkeys(names, 0)
    for _ in names:
        before = dict(column)
        for a, b in wires:
            column[b] = min(max(column[b], column[a] + 1), len(names))
        if column == before:
            break
    into = {b for _, b in wires}
    for a in (n for n in names if n not in into):  # what begins a path stands beside what it feeds
        column[a] = max(0, min((column[b] for s, b in wires if s == a), default=1) - 1)
    return column


def _places(names: list[str], column: dict[str, int], wires: Wires) -> dict[str, float]:
    """Rows: each stands near the mean of its neighbours, in sweeps there and back."""
    layers = [[n for n in names if column[n] == c] for c in range(max(column.values()) + 1)]
    tall = max(map(len, layers))
    row = {n: k + (tall - len(layer)) / 2 for layer in layers for k, n in enumerate(layer)}
    near: dict[str, list[str]] = {n: [] for n in names}
    for a, b in wires:
        near[a].append(b)
        near[b].append(a)
    for _ in range(SWEEPS):
        for layer in layers:
            wish = {n: float(np.mean([row[m] for m in near[n]])) if near[n] else row[n] for n in layer}
            layer.sort(key=lambda n: wish[n])
            at = -np.inf
            for n in layer:
                row[n] = at = max(wish[n], at + 1)
    least = min(row.values())
    return {n: r - least for n, r in row.items()}


@styled
def elements(sub: Subcircuit, title: str = "") -> Figure:
    """A subcircuit's elements as symbols: the node where most of them meet is a rail, and what leads from it to ground, to a
    port or to a cell is a column below; what does not touch it stands on the left. ValueError for one without elements."""
    parts = [e for e in sub.elements if e.kind != "K"]
    if not parts:
        raise ValueError(f"subcircuit {sub.path} has no elements")
    degree: dict[str, int] = {}
    for n in (n for e in parts for n in e.nodes if n != "0"):
        degree[n] = degree.get(n, 0) + 1
    rail = max(degree, key=lambda n: degree[n])
    chains = _chains(parts, rail)
    loose = [c for c in chains if not c[0]]
    coupled = {name for e in sub.elements if e.kind == "K" for name in e.couples}
    hung = sorted((c for c in chains if c[0]), key=lambda c: not any(e.name in coupled for e in c[1]))
    figure, axes = panels(1.2 + 1.05 * len(chains), 1.3 + 0.95 * max(len(c[1]) for c in chains))
    a = axes[0, 0]
    at: dict[str, tuple[float, float]] = {}
    for x, (_, chain, end) in enumerate([*loose, *hung]):
        _column(a, x, chain, end, at)
    if hung:
        a.plot((len(loose) - 0.3, len(chains) - 0.7), (0, 0), color="black", linewidth=1.6)
        a.text(len(chains) - 0.65, 0, f" {rail.lower()}", va="center", fontsize=8)
    for k in (e for e in sub.elements if e.kind == "K"):
        (x0, y0), (x1, y1) = at[k.couples[0]], at[k.couples[1]]
        a.annotate("", (x1 - 0.12, y1), (x0 + 0.12, y0), arrowprops={"arrowstyle": "<->", "linestyle": ":", "color": ORANGE})
        a.text((x0 + x1) / 2, (y0 + y1) / 2 + 0.3, f"k = {k.value:g}", color=ORANGE, ha="center", fontsize=7)
    a.set(xlim=(-0.6, len(chains) - 0.2), ylim=(-max(len(c[1]) for c in chains) - 0.6, 0.5), title=title or sub.path)
    a.axis("off")
    return figure


def _chains(parts: list[Element], rail: str) -> list[tuple[bool, list[Element], str]]:
    """Whether it hangs on the rail, its elements in order, and where it ends."""
    left, found = list(parts), []
    while left:
        begin = next((e for e in left if rail in e.nodes), None)
        first = begin or next((e for e in left if e.kind == "X"), left[0])
        chain, node = [], rail if begin else first.nodes[0]
        element: Element | None = first
        while element is not None:
            chain.append(element)
            left.remove(element)
            node = next((n for n in element.nodes if n != node), "0")
            element = None if node in ("0", rail) else next((e for e in left if node in e.nodes), None)
        found.append((begin is not None, chain, node))
    return found


def _column(a: Any, x: float, chain: list[Element], end: str, at: dict[str, tuple[float, float]]) -> None:
    """Symbols downwards from 0; `at` takes where each stands."""
    if chain[0].kind == "X" and end == "0" and len(chain[0].nodes) > 1:
        a.text(x, 0.18, chain[0].nodes[0].lower(), ha="center", fontsize=8, color=BLUE)
    for k, e in enumerate(chain):
        y = -k - 0.5
        at[e.name] = x, y
        a.plot((x, x), (-k, -k - 0.22), (x, x), (-k - 0.78, -k - 1), color="black", linewidth=1)
        _symbol(a, x, y, e)
    bottom = -len(chain)
    if end == "0":
        for i, w in enumerate((0.16, 0.1, 0.04)):
            a.plot((x - w, x + w), (bottom - 0.07 * i,) * 2, color="black", linewidth=1)
    else:
        a.text(x, bottom - 0.2, end.lower(), ha="center", fontsize=8, color=BLUE)


def _symbol(a: Any, x: float, y: float, e: Element) -> None:
    t = np.linspace(0, 1, 60)
    down = y + 0.28 - 0.56 * t
    text = {"L": f"{1e12 * e.value:.3g} pH", "R": f"{e.value:.3g} ohm", "B": f"area {e.value:g}",
            "I": f"{1e6 * e.wave.values[-1]:.3g} uA" if e.wave else "", "X": ""}.get(e.kind, "")
    if e.kind == "L":
        a.plot(x + 0.1 * np.abs(np.sin(4 * np.pi * t)), down, color="black", linewidth=1)
    elif e.kind == "R":
        a.plot(x + 0.08 * (2 / np.pi) * np.arcsin(np.sin(8 * np.pi * t)), down, color="black", linewidth=1)
    elif e.kind == "B":
        a.plot((x, x), (y - 0.28, y + 0.28), color="black", linewidth=1)
        for s in (1, -1):
            a.plot((x - 0.13, x + 0.13), (y - 0.13 * s, y + 0.13 * s), color=BLUE, linewidth=1.8)
    elif e.kind == "I":
        a.plot(x + 0.17 * np.cos(2 * np.pi * t), y + 0.28 * np.sin(2 * np.pi * t), color="black", linewidth=1)
        a.annotate("", (x, y + 0.2), (x, y - 0.2), arrowprops={"arrowstyle": "->", "color": ORANGE})
    else:
        a.plot((x - 0.18, x + 0.18, x + 0.18, x - 0.18, x - 0.18), (y + 0.28, y + 0.28, y - 0.28, y - 0.28, y + 0.28),
               color=BLUE, linewidth=1.2)
        text = e.of.lower() if e.kind == "X" else text
    a.text(x + 0.2, y, f"{e.name.lower()}\n{text}", va="center", fontsize=6.5, linespacing=1.15)
