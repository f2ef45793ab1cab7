"""Who fired when: the spikes of each layer over time, of one sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.plot.style import COLOURS, OFF, ON, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from snnsim.datasets import Recording
    from snnsim.engine import Result
    from snnsim.network import Network


CROWDED = 3000  # spikes in a panel from which dots hide each other


@styled
def raster(result: Result, network: Network, sample: int = 0, recording: Recording | None = None) -> Figure:
    """A panel for each population that can fire, a dot for each spike; time in ms.

    Where dots would cover each other, a panel shows the share of neighbouring neurons that fire, darker for more.
    sample: which of the result's samples. recording: the same sample's events, drawn in a panel on top.
    Errors: ValueError when the network has no population that fires, or there is no such sample.
    """
    firing = [p for p in network.populations if p.rule is not None and p.rule.fires]
    if not firing:
        raise ValueError("no population of this network fires: there is no raster to draw")
    steps, samples, *_ = result.spikes[firing[0].name].shape
    if not 0 <= sample < samples:
        raise ValueError(f"sample must lie from 0 to {samples - 1}, got {sample}")
    rows, dt = len(firing) + (recording is not None), network.time.dt
    figure, axes = panels(9.0, 0.7 + 1.55 * rows, rows, 1, sharex=True)
    column = list(axes[:, 0])
    if recording is not None:
        _inputs(column.pop(0), recording, network)
    for i, (p, a) in enumerate(zip(firing, column, strict=True)):
        spikes = result.spikes[p.name]
        mine = spikes.sample == sample
        step, neuron = spikes.step[mine], spikes.neuron[mine]
        fired = len(np.unique(neuron))
        colour = COLOURS[i % len(COLOURS)]
        if len(step) > CROWDED:
            _shades(a, step, neuron, steps, p.size, dt, colour)
        else:
            _dots(a, (step + 0.5) * dt, neuron, colour)
        a.set_title(f"{p.name}: {count(len(step))} spikes of {count(fired)} of {count(p.size)} neurons")
        a.set(ylabel="neuron", ylim=(-0.02 * p.size - 0.5, 1.02 * p.size - 0.5))
        a.yaxis.set_major_formatter("{x:,.0f}")
    axes[-1, 0].set(xlabel="time (ms)", xlim=(0.0, steps * dt))
    figure.align_ylabels()
    return figure


def _inputs(axes: Axes, recording: Recording, network: Network) -> None:
    e, s = recording.events, recording.sensor
    start = float(e["t"][0]) if network.time.t0 == "first" and len(e) else 0.0
    at = (e["t"] - start) / 1000.0
    pixel = e["y"].astype(np.int64) * s.width + e["x"]
    for p, colour in ((1, ON), (0, OFF)):
        _dots(axes, at[e["p"] == p], pixel[e["p"] == p], colour)
    colours = " (ON blue, OFF orange)" if s.polarities == 2 else ""
    axes.set_title(f"{network.input.name}: {count(len(e))} events on {s.width} x {s.height} pixels{colours}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(ylabel="pixel", ylim=(-0.02 * s.height * s.width, 1.02 * s.height * s.width))


def _shades(axes: Axes, step: Any, neuron: Any, steps: int, size: int, dt: float, colour: str) -> None:
    """Spikes as an image: a column each step (or several), a row each few neurons, opaque where all of them fire."""
    from matplotlib.colors import to_rgb

    columns, rows = min(steps, 400), min(size, 150)
    share, _, _ = np.histogram2d(neuron, step, (rows, columns), ((0, size), (0, steps)))
    share /= np.maximum(share.max(), 1.0)
    picture = np.concatenate([np.broadcast_to(to_rgb(colour), (rows, columns, 3)), np.sqrt(share)[..., None]], 2)
    axes.imshow(picture, aspect="auto", interpolation="nearest", origin="lower",
                extent=(0.0, steps * dt, -0.5, size - 0.5))


def _dots(axes: Axes, x: Any, y: Any, colour: str) -> None:
    # Thousands of dots as outlines would make a report of many megabytes.
    size = 3.2 if len(x) < 400 else 2.2 if len(x) < 4000 else 1.4
    axes.plot(x, y, linestyle="none", marker="o", markersize=size, markeredgewidth=0.0, color=colour, alpha=0.75,
              rasterized=len(x) > 1000)
