"""A picture of how the engine lays out synapses, drawn from the rows that it builds for ten neurons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim import Bernoulli, Network, Population, Synapses, TimeBase, Uniform
from snnsim.engine.layout import Layout, build
from snnsim.neurons import LIF

SENDER = 2
COLOURS = ("#3b76b8", "#d9822b")  # of the two parts
PALE = ("#dbe7f4", "#fae6d1")
Plot = Annotated[Path, typer.Option(help="Write the picture here, for example docs/layout.png.")]


def network() -> Network:
    """Six and four neurons; a spike reaches a target after one, two or three steps."""
    populations = (Population.of("E", 6, LIF(), 1.0), Population.of("I", 4, LIF(), 1.0))
    synapses = [Synapses("E", target, Bernoulli(0.95), Uniform(0.1, 0.9), Uniform(1.0, 3.4)) for target in "EI"]
    return Network(populations, synapses=synapses, time=TimeBase(1.0), seed=77)


def layout(plot: Plot) -> None:
    """The picture of docs/populations.md: neurons, one sender's row, and the ring."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9.5, 6.6), height_ratios=(4.0, 4.5, 6.9), layout="constrained")
    for ax in (top, middle, bottom):
        ax.set_axis_off()
    made = Layout(network(), 2, "single")
    _neurons(top, made)
    places = _row(middle, made)
    _ring(bottom, made, places)
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


def _row(ax: Any, made: Layout) -> list[tuple[int, int, dict[int, str]]]:
    """One sender's row; returns part, delay and what is added to which code, for each of its segments."""
    rows = build(made, 2)
    ax.set_xlim(-1.6, 15)
    ax.set_ylim(-0.5, 4.0)
    _title(ax, f"The row of one sender (E{SENDER})",
           "all its synapses, whatever their targets, sorted by (part, delay); a segment is one run of memory", 3.6)
    columns, x, places = len(made.delays), 0.0, []
    for key in range(2 * columns):
        part, delay = key // columns, int(made.delays[key % columns])
        a, b = int(rows.segment[SENDER, key]), int(rows.segment[SENDER, key + 1])
        places.append((part, delay, {int(rows.target[e]): f"+{rows.weight[e]:.1f}" for e in range(a, b)}))
        for e in range(a, b):
            _cell(ax, x + e - a, 1, str(rows.target[e]), PALE[part], COLOURS[part])
            _cell(ax, x + e - a, 0, f"{rows.weight[e]:.1f}", "white", COLOURS[part], fontsize=7.5)
        ax.plot([x + 0.05, x + b - a - 0.05], [2.2, 2.2], color=COLOURS[part], linewidth=2)
        ax.text(x + (b - a) / 2, 2.35, f"delay {delay}", ha="center", va="bottom", fontsize=8.5, color=COLOURS[part])
        x += b - a + (0.35 if key % columns < columns - 1 else 1.0)
    ax.text(-0.1, 1.5, "code", ha="right", va="center", fontsize=7.5, color="#444444")
    ax.text(-0.1, 0.5, "weight", ha="right", va="center", fontsize=7.5, color="#444444")
    return places


def _ring(ax: Any, made: Layout, places: list[tuple[int, int, dict[int, str]]]) -> None:
    ax.set_xlim(-1.6, 15)
    ax.set_ylim(-1.3, 5.9)
    rows = made.ring_rows
    _title(ax, f"The ring, at a step t in which E{SENDER} fires",
           "one row for each step to come; each segment goes into the row of its delay, which stays in the cache", 5.55)
    for step in range(rows):
        y = rows - 1.0 - step + 0.35 * (step == 0)
        ax.text(-0.1, y + 0.47, "t" if step == 0 else f"t + {step}", ha="right", va="center", fontsize=8.5)
        for part, width in enumerate(made.width):
            hit = next((added for p, delay, added in places if p == part and delay == step), {})
            for code in range(width):
                face = "#e4e4e4" if step == 0 else COLOURS[part] if code in hit else PALE[part]
                _cell(ax, code + part * (made.width[0] + 2), y, hit.get(code, ""), face, COLOURS[part], color="white",
                      fontweight="bold")
    end = sum(made.width) + 2.3
    ax.text(end, rows - 0.2, "read by the update,\nthen 0: row t + 4", fontsize=8, color="#444444", va="center")
    ax.text(end, (rows - 1) / 2, "filled by\nthe delivery", fontsize=8, color="#444444", va="center")
    ax.text(0, -0.35, "A step of a thread: update its neurons and list those that fire; wait for the other threads; then,\n"
            "for each of its parts, each delay and each spike of all threads: add the segment to the row of the ring.",
            fontsize=8.5, va="top")
