"""What a network is: populations as boxes from left to right, projections as arrows that name their maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, SumPool2d
from snnsim.plot.style import BLUE, GREEN, GREY, ORANGE, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from snnsim.network import Network, Population, Projection

WIDTH, GAP, HEIGHT, BELOW = 1.45, 1.2, 1.15, 1.1  # inches: a box, the way between two, and the room under a row
COLUMNS = 5  # boxes in a row, after which the picture goes on below


@styled
def network(network: Network) -> Figure:
    """Boxes hold name, shape, rule and parameters; arrows hold maps, bias and delay; loops and skips bend below."""
    order = [p.name for p in network.populations]
    columns, rows = min(len(order), COLUMNS), math.ceil(len(order) / COLUMNS)
    straight = [_straight(q, order) for q in network.projections]
    last_row = (rows - 1) * COLUMNS
    bent = BELOW if any(not s and min(order.index(q.source), order.index(q.target)) >= last_row
                        for q, s in zip(network.projections, straight, strict=True)) else 0.1
    width, height = columns * WIDTH + (columns - 1) * GAP, rows * HEIGHT + (rows - 1) * BELOW + bent
    figure, axes = panels(width + 0.4, height + 0.5)
    a = axes[0, 0]
    a.set(xlim=(-0.1, width + 0.1), ylim=(-height, 0.15), aspect="equal")
    a.axis("off")
    for i, name in enumerate(order):
        _box(a, *_corner(i), network.population(name), network)
    for q, ahead in zip(network.projections, straight, strict=True):
        (_arrow if ahead else _bend)(a, q, _corner(order.index(q.source)), _corner(order.index(q.target)))
    return figure


def _straight(q: Projection, order: list[str]) -> bool:
    """Whether the arrow leads to the next box of the same row."""
    source, target = order.index(q.source), order.index(q.target)
    return target == source + 1 and target % COLUMNS != 0


def _corner(i: int) -> tuple[float, float]:
    """The lower left corner of box i."""
    return (i % COLUMNS) * (WIDTH + GAP), -(i // COLUMNS) * (HEIGHT + BELOW) - HEIGHT


def _box(a: Axes, x: float, y: float, p: Population, network: Network) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import FancyBboxPatch

    colour = GREY if p.rule is None else GREEN if p.name == network.output else BLUE
    a.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1",
                               facecolor=to_rgba(colour, 0.12), edgecolor=colour, linewidth=1.3))
    a.text(x + WIDTH / 2, y + HEIGHT - 0.2, p.name, ha="center", va="center", weight="bold", fontsize=9)
    a.text(x + WIDTH / 2, y + HEIGHT / 2 - 0.14, "\n".join(_described(p, network)), ha="center", va="center", fontsize=8,
           linespacing=1.3)


def _described(p: Population, network: Network) -> list[str]:
    what = "inputs" if p.rule is None else "neurons"
    lines = [" x ".join(map(str, p.shape)), f"{count(p.size)} {what}"] if len(p.shape) > 1 else [f"{count(p.size)} {what}"]
    if p.rule is None:
        steps = f"{network.time.steps} steps of " if network.time.steps else "steps of "
        return [*lines, f"{steps}{network.time.dt:g} ms"]
    first = [f"{k} = {_value(np.asarray(v))}" for k, v in list(p.parameters.items())[:1]]
    return [*lines, f"rule {p.rule.name}", *first]


def _value(v: Any) -> str:
    low, high = float(v.min()), float(v.max())
    return f"{low:.3g}" if low == high else f"{low:.2g} to {high:.2g}"


def _words(q: Projection) -> list[str]:
    return [*[line for m in q.maps for line in map_words(m)], *(["+ bias"] if q.bias is not None else []),
            *([f"delay {q.delay}"] if q.delay else []), *([f"to {q.receptor}"] if q.receptor != "x" else [])]


def _arrow(a: Axes, q: Projection, source: tuple[float, float], target: tuple[float, float]) -> None:
    middle = source[1] + HEIGHT / 2
    a.annotate("", (target[0] - 0.03, middle), (source[0] + WIDTH + 0.03, middle),
               arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1.2, "shrinkA": 0.0, "shrinkB": 0.0})
    a.text((source[0] + WIDTH + target[0]) / 2, middle + 0.06, "\n".join(_words(q)), ha="center", va="bottom",
           fontsize=7.5, linespacing=1.25)


def _bend(a: Axes, q: Projection, source: tuple[float, float], target: tuple[float, float]) -> None:
    """An arrow that leaves below its box: back, to itself, over other boxes, or to another row."""
    (x0, y0), (x1, y1) = source, target
    colour, depth = (ORANGE if (y0, -x0) <= (y1, -x1) else GREY), 0.5
    start, end = (x0 + 0.65 * WIDTH, y0), (x1 + 0.35 * WIDTH, y1)
    if y0 != y1:
        up = y1 > y0
        depth, start, end = 0.0, (x0 + WIDTH / 2, y0 + HEIGHT * up), (x1 + WIDTH / 2, y1 + HEIGHT * (not up))
    length = max(math.hypot(end[0] - start[0], end[1] - start[1]), 0.1)
    a.annotate("", end, start, arrowprops={
        "arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 0.0, "shrinkB": 1.0,
        "connectionstyle": f"arc3,rad={math.copysign(2 * depth / length, end[0] - start[0])}"})
    at = 0.5 if y0 == y1 else 0.8
    a.text(start[0] + at * (end[0] - start[0]), start[1] + at * (end[1] - start[1]) - depth - 0.05,
           ", ".join(_words(q)), ha="center", va="top", fontsize=7.5)


def map_words(m: Map) -> list[str]:
    """A map in a line or two."""
    match m:
        case Dense():
            outputs, inputs = np.shape(m.weight)
            return ["dense", f"{inputs} to {outputs}"]
        case Conv2d():
            outputs, inputs, kh, kw = np.shape(m.weight)
            return [f"conv {kh} x {kw}", f"{inputs} to {outputs}, {_stride(m.stride)}",
                    *([] if m.padding == (0, 0) else [f"padding {_pair(m.padding)}"])]
        case SumPool2d():
            return [f"sum pool {_pair(m.kernel)}", *([] if m.stride == m.kernel else [_stride(m.stride)])]
        case Sparse():
            return ["sparse", f"{count(np.size(m.targets))} synapses"]
        case Delayed():
            outputs, inputs = np.shape(m.weight)
            return ["delayed", f"{inputs} to {outputs}", f"up to {m.longest} steps"]
        case _:
            return [type(m).__name__]


def _pair(value: Any) -> str:
    return f"{value[0]}" if value[0] == value[1] else f"{value[0]} x {value[1]}"


def _stride(value: Any) -> str:
    return f"stride {_pair(value)}"
