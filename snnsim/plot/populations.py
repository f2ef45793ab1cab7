"""What populations did: the spikes of all of them, stacked, over their rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.plot.style import MANY, count, panels, styled
from snnsim.statistics import population_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from snnsim.engine import Recording

DOTS = 150_000  # spikes that are drawn at most, or nearly: more would be slow and hide each other
LINE = 0.17  # inches that a population's name needs


@styled
def populations(recording: Recording, neurons: int = 2000, seed: int = 0, window_ms: float | None = None) -> Figure:
    """A dot for each spike, a band for each recorded population in its colour, its mean rate beside it; below, the
    populations' rates over time.

    Of large populations about `neurons` neurons are drawn, or fewer where these have very many spikes: chosen at random,
    in proportion to the populations, at least one of each; the seed fixes which, and the title says how many. The rates
    count all neurons. window_ms: of the rates, a whole number of steps; by default about a 200th of the recording, but 5 ms
    of a short one. Errors: ValueError when no spikes were recorded, or fewer than one neuron is asked for.
    """
    if not recording.spikes:
        raise ValueError("the recording holds the spikes of no population: there is nothing to draw")
    if neurons < 1:
        raise ValueError(f"neurons must be at least 1, got {neurons}")
    sizes = np.array([recording.sizes[name] for name in recording.spikes])
    tall = max(3.2, 2 * LINE * len(sizes))
    figure, axes = panels(9.0, tall + 2.2, 2, 1, sharex=True, height_ratios=(tall, 1.4))
    _bands(axes[0, 0], recording, _heights(sizes, LINE / tall), neurons, seed)
    _rates(axes[1, 0], recording, window_ms)
    began = recording.start * recording.dt
    axes[1, 0].set(xlabel="time (ms)", xlim=(began, began + recording.duration))
    figure.align_ylabels()
    return figure


def _heights(sizes: NDArray[Any], least: float) -> NDArray[Any]:
    """Shares of the axis in proportion to the sizes, but for each the room that its name needs."""
    return np.asarray(least + (1.0 - least * len(sizes)) * sizes / sizes.sum())


def _bands(axes: Axes, recording: Recording, heights: NDArray[Any], neurons: int, seed: int) -> None:
    random, total = np.random.default_rng(seed), sum(recording.sizes[name] for name in recording.spikes)
    spikes = sum(len(trains) for trains in recording.spikes.values())
    share = min(1.0, neurons / total, DOTS / max(spikes, 1))
    marker = 3.0 if spikes * share < 1000 else 1.8 if spikes * share < 20_000 else 1.0
    top, drawn, dots, middles = 0.0, 0, 0, []
    for i, ((name, trains), height) in enumerate(zip(recording.spikes.items(), heights, strict=True)):
        size = recording.sizes[name]
        shown = max(1, int(size * share))
        place = np.full(size, -1)
        place[np.sort(random.choice(size, shown, replace=False))] = np.arange(shown)
        row = place[trains.neuron]
        mine = row >= 0
        x, y = recording.times(name)[mine], top + height * (0.05 + 0.9 * (row[mine] + 0.5) / shown)
        axes.plot(x, y, linestyle="none", marker="o", markersize=marker, markeredgewidth=0.0, color=MANY[i % len(MANY)],
                  rasterized=len(x) > 1000)
        middles.append(top + height / 2)
        axes.annotate(f"{recording.rate(name):.3g} Hz", (1.005, middles[-1]), xycoords=axes.get_yaxis_transform(), ha="left",
                      va="center_baseline", fontsize=8)
        top, drawn, dots = top + height, drawn + shown, dots + len(x)
    axes.hlines(np.cumsum(heights)[:-1], 0.0, 1.0, transform=axes.get_yaxis_transform(), color="#dddddd", linewidth=0.6)
    chosen = "" if drawn == total else f" of {count(total)}, chosen at random in proportion to the populations (seed {seed})"
    axes.set_title(f"{count(drawn)} neuron{'' if drawn == 1 else 's'}{chosen}: {count(dots)} spike{'' if dots == 1 else 's'}"
                   + (f" of {count(spikes)}" if chosen else ""))
    axes.set(ylim=(1.0, 0.0), yticks=middles, ylabel="population")
    axes.set_yticklabels(list(recording.spikes))
    axes.tick_params(axis="y", length=0)


def _rates(axes: Axes, recording: Recording, window_ms: float | None) -> None:
    window = _window(recording) if window_ms is None else window_ms
    every, highest = max(1, round(window / recording.dt)), 0.0
    for i, name in enumerate(recording.spikes):
        times, rate = (values[::every] for values in population_rate(recording, name, window))
        axes.plot(times, rate, color=MANY[i % len(MANY)], linewidth=1.0, marker="." if len(times) < 30 else None)
        highest = max(highest, float(rate.max()))
    axes.set_title(f"rates in windows of {window:g} ms")
    axes.set(ylabel="rate (Hz)", ylim=(0.0, 1.05 * highest or 1.0))


def _window(recording: Recording) -> float:
    """About a 200th of the recording, or 5 ms where it is long enough: 1, 2 or 5 times a power of ten steps."""
    most: int = max(1, recording.steps // 200, min(int(5.0 / recording.dt), recording.steps // 20))
    power = int(10 ** (len(str(most)) - 1))
    return max(k * power for k in (1, 2, 5) if k * power <= most) * recording.dt
