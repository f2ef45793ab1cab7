"""What a network is: populations as boxes from left to right, projections as arrows that name their maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d
from snnsim.plot.style import BLUE, GREEN, GREY, ORANGE, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.network import Network, Population, Projection

WIDTH, GAP, HEIGHT, ROW = 1.75, 1.55, 1.15, 2.2  # inches: a box, the way between two, and from row to row
COLUMNS = 5  # boxes in a row, after which the picture goes on below


@styled
def network(network: Network) -> Figure:
    """Boxes hold name, shape, rule and its parameters; arrows hold maps, bias and delay; loops bend back below."""
    from matplotlib.patches import FancyBboxPatch

    order = list(network.order)
    columns, rows = min(len(order), COLUMNS), math.ceil(len(order) / COLUMNS)
    width, height = columns * WIDTH + (columns - 1) * GAP + 0.5, (rows - 1) * ROW + HEIGHT + 1.3
    figure, axes = panels(max(width, 3.0), height)
    a = axes[0, 0]
    a.set(xlim=(-0.25, width - 0.25), ylim=(-height + 0.55, 0.75), aspect="equal")
    a.axis("off")
    corner = {name: ((i % COLUMNS) * (WIDTH + GAP), -(i // COLUMNS) * ROW - HEIGHT) for i, name in enumerate(order)}
    for name in order:
        p = network.population(name)
        x, y = corner[name]
        colour = GREY if p.rule is None else GREEN if name == network.output else BLUE
        a.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1", facecolor=(*_rgb(colour), 0.12),
                                   edgecolor=colour, linewidth=1.3))
        a.text(x + WIDTH / 2, y + HEIGHT - 0.2, name, ha="center", va="center", weight="bold", fontsize=9)
        a.text(x + WIDTH / 2, y + HEIGHT / 2 - 0.12, _described(p, network), ha="center", va="center", fontsize=7.5,
               linespacing=1.35)
    seen: dict[tuple[str, str], int] = {}
    for q in network.projections:
        pair = (q.source, q.target)
        seen[pair] = seen.get(pair, -1) + 1
        _arrow(a, q, corner, order, seen[pair])
    return figure


def _rgb(colour: str) -> Any:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _described(p: Population, network: Network) -> str:
    shape = " x ".join(map(str, p.shape)) + (f" = {count(p.size)}" if len(p.shape) > 1 else "")
    if p.rule is None:
        return f"{shape} inputs\ndt = {network.time.dt:g} ms" + (f", {network.time.steps} steps" if network.time.steps else "")
    values = ", ".join(f"{k} = {_value(np.asarray(v))}" for k, v in list(p.parameters.items())[:2])
    return f"{shape}\nrule {p.rule.name}" + (f"\n{values}" if values else "")


def _value(v: Any) -> str:
    low, high = float(v.min()), float(v.max())
    return f"{low:.3g}" if low == high else f"{low:.2g} to {high:.2g}"


def _arrow(a: Any, q: Projection, corner: dict[str, tuple[float, float]], order: list[str], nth: int) -> None:
    (x0, y0), (x1, y1) = corner[q.source], corner[q.target]
    text = "\n".join([*map(map_text, q.maps), *(["+ bias"] if q.bias is not None else []),
                      *([f"delay {q.delay}"] if q.delay else []), *([f"to {q.receptor}"] if q.receptor != "x" else [])])
    back = order.index(q.source) >= order.index(q.target) or nth > 0
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": ORANGE if back else GREY, "linewidth": 1.2, "shrinkA": 0.0,
                             "shrinkB": 0.0}
    if y0 == y1 and x1 - x0 == WIDTH + GAP and not back:
        middle = y0 + HEIGHT / 2
        a.annotate("", (x1 - 0.04, middle), (x0 + WIDTH + 0.04, middle), arrowprops=style)
        a.text((x0 + WIDTH + x1) / 2, middle + 0.08, text, ha="center", va="bottom", fontsize=7, color="#333333",
               linespacing=1.3)
        return
    # A loop or a skip leaves below its box and bends; the next row is reached through the space between the rows.
    bend = "arc3,rad=-0.25" if y0 == y1 else "arc3,rad=0.0"
    if q.source == q.target:
        start, end, bend = (x0 + 0.3 * WIDTH, y0), (x1 + 0.7 * WIDTH, y1), "arc3,rad=0.9"
    elif y0 == y1:
        start, end = (x0 + WIDTH / 2, y0), (x1 + WIDTH / 2, y1)
        bend = f"arc3,rad={0.35 if x1 > x0 else -0.35}"
    else:
        start, end = (x0 + WIDTH / 2, y0 if y1 < y0 else y0 + HEIGHT), (x1 + WIDTH / 2, y1 + HEIGHT if y1 < y0 else y1)
    a.annotate("", end, start, arrowprops={**style, "connectionstyle": bend})
    below = 0.55 if y0 == y1 else 0.0
    a.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - below, text.replace("\n", ", "), ha="center", va="center",
           fontsize=7, color="#333333")


def map_text(m: Map) -> str:
    """A map in a few words."""
    match m:
        case Dense():
            outputs, inputs = np.shape(m.weight)
            return f"dense {inputs} to {outputs}"
        case Conv2d():
            outputs, inputs, kh, kw = np.shape(m.weight)
            return f"conv {kh} x {kw}, {inputs} to {outputs}\n{_stride(m.stride)}{_padding(m.padding)}"
        case SumPool2d():
            kh, kw = m.kernel  # type: ignore[misc]  # __post_init__ made it a pair
            return f"sum pool {kh} x {kw}" + ("" if m.stride == m.kernel else f"\n{_stride(m.stride)}")
        case Sparse():
            return f"sparse, {count(np.size(m.targets))} synapses"
        case _:
            return type(m).__name__


def _stride(value: Any) -> str:
    return f"stride {value[0]}" if value[0] == value[1] else f"stride {value[0]}, {value[1]}"


def _padding(value: Any) -> str:
    return "" if value == (0, 0) else f", padding {value[0]}" if value[0] == value[1] else f", padding {value}"
