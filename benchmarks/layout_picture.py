"""A picture of how the engine lays out synapses, drawn from the rows that it builds for ten neurons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer

from snnsim import Bernoulli, Network, Population, Synapses, TimeBase, Uniform
from snnsim.engine import layout as engine_layout
from snnsim.engine.layout import Layout, build
from snnsim.neurons import LIF

SENDER = 2
FIRED = ((0, 3), (SENDER, 2), (4, 1))  # of population E, and how many steps before the row that is drawn
COLOURS = ("#3b76b8", "#d9822b")  # of the two parts
PALE = ("#dbe7f4", "#fae6d1")
Plot = Annotated[Path, typer.Option(help="Write the picture here, for example docs/layout.png.")]


def network() -> Network:
    """Six and four neurons; a spike reaches a target after one, two or three steps."""
    populations = (Population.of("E", 6, LIF(), 1.0), Population.of("I", 4, LIF(), 1.0))
    synapses = [Synapses("E", target, Bernoulli(0.95), Uniform(0.1, 0.9), Uniform(1.0, 3.4)) for target in "EI"]
    return Network(populations, synapses=synapses, time=TimeBase(1.0), seed=77)


def layout(plot: Plot) -> None:
    """The picture of docs/populations.md: neurons, one sender's row, and the input of a step."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9.5, 6.6), height_ratios=(4.0, 4.5, 6.9), layout="constrained")
    for ax in (top, middle, bottom):
        ax.set_axis_off()
    with patch.object(engine_layout, "MOST_SHARED", 0):  # as a large network, of which each part has a row of its own
        made = Layout(network(), 2, "single")
    _neurons(top, made)
    _row(middle, made)
    _sum(bottom, made)
    figure.savefig(plot, dpi=130)


def _cell(ax: Any, x: float, y: float, text: str = "", face: str = "white", edge: str = "#555555", **words: Any) -> None:
    ax.add_patch(_rectangle((x, y), 1, 1, facecolor=face, edgecolor=edge, linewidth=0.8))
    ax.text(x + 0.5, y + 0.47, text, ha="center", va="center", **{"fontsize": 8.5, **words})


def _rectangle(*arguments: Any, **options: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(*arguments, **options)


def _title(ax: Any, text: str, about: str, y: float) -> None:
    ax.text(0, y, text, fontsize=10.5, fontweight="bold", va="bottom")
    ax.text(0, y - 0.1, about, fontsize=8.5, color="#444444", va="top")


def _neurons(ax: Any, made: Layout) -> None:
    ax.set_xlim(-1.6, 15)
    ax.set_ylim(-1.4, 2.6)
    _title(ax, "Neurons, cut into parts", "a thread owns whole parts; a neuron's place in its part is its 16-bit code", 1.95)
    for g in made.segments:
        for j in range(g.low, g.high):
            x = int(made.first[g.population]) + j + 2 * g.part
            _cell(ax, x, 0, f"{made.ruled[g.population].name}{j}", PALE[g.part], COLOURS[g.part])
            ax.text(x + 0.5, -0.15, str(g.at + j - g.low), ha="center", va="top", fontsize=7.5, color="#444444")
    ax.text(-0.1, -0.15, "code", ha="right", va="top", fontsize=7.5, color="#444444")
    for part, (a, b) in enumerate(zip(made.bound, made.bound[1:], strict=False)):
        ax.text((a + b) / 2 + 2 * part, -0.75, f"part {part}, thread {part}", ha="center", va="top", fontsize=8.5,
                color=COLOURS[part])


def _row(ax: Any, made: Layout) -> None:
    """One sender's row."""
    rows = build(made, 2)
    ax.set_xlim(-1.6, 15)
    ax.set_ylim(-0.5, 4.0)
    _title(ax, f"The row of one sender (E{SENDER})",
           "all its synapses, whatever their targets, sorted by (part, delay); a segment is one run of memory", 3.6)
    columns, x = len(made.delays), 0.0
    for key in range(2 * columns):
        part, delay = key // columns, int(made.delays[key % columns])
        a, b = int(rows.segment[SENDER, key]), int(rows.segment[SENDER, key + 1])
        for e in range(a, b):
            _cell(ax, x + e - a, 1, str(rows.target[e]), PALE[part], COLOURS[part])
            _cell(ax, x + e - a, 0, f"{rows.weight[e]:.1f}", "white", COLOURS[part], fontsize=7.5)
        ax.plot([x + 0.05, x + b - a - 0.05], [2.2, 2.2], color=COLOURS[part], linewidth=2)
        ax.text(x + (b - a) / 2, 2.35, f"delay {delay}", ha="center", va="bottom", fontsize=8.5, color=COLOURS[part])
        x += b - a + (0.35 if key % columns < columns - 1 else 1.0)
    ax.text(-0.1, 1.5, "code", ha="right", va="center", fontsize=7.5, color="#444444")
    ax.text(-0.1, 0.5, "weight", ha="right", va="center", fontsize=7.5, color="#444444")


def _sum(ax: Any, made: Layout) -> None:
    """The row of the next step: of each list of the last steps, the synapses with that delay."""
    rows = build(made, 2)
    ax.set_xlim(-1.6, 15)
    ax.set_ylim(-1.6, 5.9)
    _title(ax, "The input of step t + 1",
           "of those that fired d steps before, the segment of delay d; their sum is one row, which stays in the cache", 5.55)
    columns, total = len(made.delays), {(part, code): 0.0 for part, width in enumerate(made.width) for code in range(width)}
    for y, (sender, delay) in zip((3.35, 2.35, 1.35), FIRED, strict=True):
        ax.text(-0.1, y + 0.47, f"delay {delay}", ha="right", va="center", fontsize=8.5)
        for part in range(len(made.width)):
            key = part * columns + delay - 1
            a, b = int(rows.segment[sender, key]), int(rows.segment[sender, key + 1])
            hit = dict(zip(rows.target[a:b].tolist(), rows.weight[a:b].tolist(), strict=True))
            _cells(ax, made, part, y, hit)
            for code, weight in hit.items():
                total[part, code] += weight
        ax.text(sum(made.width) + 2.3, y + 0.47, f"E{sender}, fired in t{f' - {delay - 1}' if delay > 1 else ''}", fontsize=8,
                va="center", color="#444444")
    for part in range(len(made.width)):
        _cells(ax, made, part, 0.0, {code: w for (p, code), w in total.items() if p == part and w})
    ax.text(-0.1, 0.47, "t + 1", ha="right", va="center", fontsize=8.5)
    ax.text(sum(made.width) + 2.3, 0.47, "read by the update,\nthen 0", fontsize=8, color="#444444", va="center")
    ax.text(0, -0.35, "A step of a thread: update its neurons and list those that fire; then, for each of its parts, list the "
            "segments that are due,\nfrom the longest delay to the shortest, and add them up. Threads wait for each other once "
            "in as many steps as the shortest delay has.", fontsize=8.5, va="top")


def _cells(ax: Any, made: Layout, part: int, y: float, hit: dict[int, float]) -> None:
    for code in range(made.width[part]):
        text, face = (f"{hit[code]:.1f}", COLOURS[part]) if code in hit else ("", PALE[part])
        _cell(ax, code + part * (made.width[0] + 2), y, text, face, COLOURS[part], color="white", fontweight="bold")
