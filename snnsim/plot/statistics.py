"""How populations fire: distributions of rates, intervals, their variation, and correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.plot.style import GREY, MANY, count, panels, styled
from snnsim.statistics import correlation, cv, isi, rates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from snnsim.engine import Recording

Array = NDArray[Any]
BARS = 41  # an odd number, so that where all values are equal their bar stands in the middle
TAIL = 0.005  # of a distribution, at either end, is drawn in the outermost bars, so that stray values take no room


@styled
def statistics(recording: Recording) -> Figure:
    """A row for each recorded population, a column for each statistic of `snnsim.statistics`: rates of neurons, Hz;
    inter-spike intervals, ms, logarithmic where they spread over a decade; their CV; Pearson's correlation of at most 100
    neurons in bins of 2 ms, or of the whole number of steps nearest to it.

    Each distribution is a density, drawn up to its own peak; a dotted line and the title give its mean, n what it is
    made of: neurons, intervals, or pairs. The outermost bars hold what lies beyond. Errors: ValueError when no spikes were
    recorded.
    """
    if not recording.spikes:
        raise ValueError("the recording holds the spikes of no population: there is nothing to draw")
    names = list(recording.spikes)
    width = max(1, round(2.0 / recording.dt)) * recording.dt
    columns: list[tuple[str, str, Mapping[str, Array], float, bool]] = [
        ("rate of a neuron (Hz)", "no neuron", {n: rates(recording, n) for n in names}, 1e3 / recording.duration, False),
        ("inter-spike interval (ms)", "no interval", {n: isi(recording, n)[0] for n in names}, recording.dt, True),
        ("CV of intervals", "no neuron with 5 spikes", {n: cv(recording, n) for n in names}, 0.0, False),
        (f"correlation (bins of {width:g} ms)", "no pair of neurons",
         {n: correlation(recording, n, width) if width <= recording.duration else np.zeros(0) for n in names}, 0.0, False)]
    figure, axes = panels(9.0, max(2.2, 0.7 + 0.72 * len(names)), len(names), len(columns), sharex="col")
    for column, (label, nothing, values, unit, spread) in enumerate(columns):
        edges, logarithmic = _edges([v for v in values.values() if len(v)], unit, spread)
        for row, name in enumerate(names):
            _bars(axes[row, column], values[name], edges, logarithmic, MANY[row % len(MANY)], nothing)
        _label(axes[-1, column], label, edges, logarithmic)
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.supylabel("density (each up to its peak)", fontsize=9)
    return figure


def _edges(values: Sequence[Array], unit: float, spread: bool) -> tuple[Array, bool]:
    """Of the bars that all rows share, and whether they are logarithmic, as a spread of a decade or more asks for.

    Whole multiples of a unit lie amid the edges: a bar with two of them beside a bar with one would look like a wave.
    """
    if not values:
        return np.zeros(0), False
    low = min(float(np.quantile(v, TAIL)) for v in values)
    high = max(float(np.quantile(v, 1.0 - TAIL)) for v in values)
    logarithmic = spread and high > 10.0 * low
    if high <= low:
        low, high = low - (unit or 0.1), high + (unit or 0.1)
    edges = np.geomspace(low, high, BARS + 1) if logarithmic else np.linspace(low, high, BARS + 1)
    if unit:
        first = np.unique(np.rint(np.maximum(edges[:-1], 0.0) / unit))
        edges = unit * (np.append(first, max(first[-1], np.rint(high / unit)) + 1) - 0.5)
    return edges, logarithmic


def _bars(axes: Axes, values: Array, edges: Array, logarithmic: bool, colour: str, nothing: str) -> None:
    axes.set(yticks=[])
    if not len(values):
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", va="center", fontsize=7, color=GREY)
        return
    bars, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    density = bars / np.diff(np.log(edges) if logarithmic else edges)
    axes.stairs(density, edges, fill=True, color=colour)
    axes.axvline(float(values.mean()), color="black", linestyle=":", linewidth=1.0)
    axes.set_ylim(0.0, 1.25 * density.max())
    axes.set_title(f"mean {values.mean():.3g} (n = {count(len(values))})", loc="right", fontsize=7, pad=2.0)


def _label(axes: Axes, label: str, edges: Array, logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xlabel(label)
    if not len(edges):
        axes.set_xticks([])
        return
    axes.set_xlim(edges[0], edges[-1])
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        if edges[-1] < 100.0 * edges[0]:
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
