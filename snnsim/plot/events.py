"""What the camera saw: events gathered into a few frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.plot.style import OFF, ON, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.datasets import Recording


@styled
def events(recording: Recording, frames: int = 6) -> Figure:
    """The events of a recording in equal spans of its time, ON and OFF in two colours, stronger where there are more.

    A sensor whose pixels stand in a line is drawn over time instead.
    Errors: ValueError for a recording without events, or less than one frame.
    """
    from matplotlib.patches import Patch

    if not len(recording.events):
        raise ValueError("the recording holds no event: there is nothing to draw")
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    if 1 in (recording.sensor.height, recording.sensor.width):
        return _line(recording)
    sensor, t = recording.sensor, recording.events["t"]
    edges = np.linspace(int(t[0]), int(t[-1]) + 1, frames + 1)
    frame = np.searchsorted(edges, t, side="right") - 1
    counts = np.zeros((frames, 2, sensor.height, sensor.width))
    np.add.at(counts, (frame, recording.events["p"], recording.events["y"], recording.events["x"]), 1.0)
    most = max(1.0, float(np.quantile(counts[counts > 0], 0.95)))
    height = 1.05 + max(8.2 / frames * sensor.height / sensor.width, 0.6)
    figure, axes = panels(9.0, height, 1, frames, sharex=True, sharey=True)
    for i, a in enumerate(axes[0]):
        a.imshow(_coloured(counts[i], most), interpolation="nearest", extent=(0, sensor.width, sensor.height, 0))
        a.set_title(f"{edges[i] / 1000:.0f} to {edges[i + 1] / 1000:.0f} ms", loc="center")
        a.set_xlabel("x (pixel)")
        a.spines[:].set_visible(True)
    axes[0, 0].set_ylabel("y (pixel)")
    kinds = [Patch(color=ON, label="ON: brighter"), Patch(color=OFF, label="OFF: darker")]
    figure.legend(handles=kinds if sensor.polarities == 2 else [Patch(color=OFF, label="event")],
                  loc="outside upper right", ncols=2)
    return figure


def _line(recording: Recording) -> Figure:
    figure, axes = panels(9.0, 2.6)
    e, a = recording.events, axes[0, 0]
    for p, colour, name in ((1, ON, "ON"), (0, OFF, "OFF")):
        mine = e[e["p"] == p]
        if len(mine):
            a.plot(mine["t"] / 1000.0, np.maximum(mine["x"], mine["y"]), linestyle="none", marker="o", markersize=2.2,
                   markeredgewidth=0.0, color=colour, label=name, rasterized=len(mine) > 1000)
    a.set(xlabel="time (ms)", ylabel="pixel")
    if recording.sensor.polarities == 2:
        figure.legend(loc="outside upper right", ncols=2, markerscale=2.0)
    return figure


def _coloured(counts: NDArray[Any], most: float) -> NDArray[Any]:
    """RGBA [height, width, 4] of counts [OFF and ON, height, width]: the mean colour, more opaque for more events."""
    from matplotlib.colors import to_rgb

    total = counts.sum(0)
    share = (counts[1] / np.maximum(total, 1.0))[..., None]
    colour = share * to_rgb(ON) + (1.0 - share) * to_rgb(OFF)
    alpha = np.where(total > 0, np.clip(0.25 + 0.75 * total / most, 0.0, 1.0), 0.0)
    return np.concatenate([colour, alpha[..., None]], 2)
