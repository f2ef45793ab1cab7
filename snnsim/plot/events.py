"""What the camera saw: events gathered into a few frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.plot.style import GREY, OFF, ON, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.datasets import Recording, Sensor


@styled
def events(recording: Recording, frames: int = 6) -> Figure:
    """The events of a recording in equal spans of its time, each pixel in the colour of the polarity
    of which it has more, grey where it has as many of both.

    A sensor whose pixels stand in a line is drawn over time instead.
    Errors: ValueError for a recording without events, or less than one frame.
    """
    if not len(recording.events):
        raise ValueError("the recording holds no event: there is nothing to draw")
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    if 1 in (recording.sensor.height, recording.sensor.width):
        return line(recording)
    sensor, t = recording.sensor, recording.events["t"]
    edges = np.linspace(int(t[0]), int(t[-1]) + 1, frames + 1)
    frame = np.searchsorted(edges, t, side="right") - 1
    counts = np.zeros((frames, 2, sensor.height, sensor.width))
    np.add.at(counts, (frame, recording.events["p"], recording.events["y"], recording.events["x"]), 1.0)
    most = max(strong(np.abs(excess(c))) for c in counts)
    height = 1.05 + max(8.2 / frames * sensor.height / sensor.width, 0.6)
    figure, axes = panels(9.0, height, 1, frames, sharex=True, sharey=True)
    for i, a in enumerate(axes[0]):
        a.imshow(coloured(counts[i], most), interpolation="nearest", extent=(0, sensor.width, sensor.height, 0))
        a.set_title(f"{edges[i] / 1000:.0f} to {edges[i + 1] / 1000:.0f} ms", loc="center")
        a.set_xlabel("x (pixel)")
        a.spines[:].set_visible(True)
    axes[0, 0].set_ylabel("y (pixel)")
    legend(figure, sensor, "outside upper right")
    return figure


def legend(figure: Figure, sensor: Sensor, place: Literal["outside upper right", "outside lower right"]) -> None:
    """What the colours mean."""
    from matplotlib.patches import Patch

    kinds = [Patch(color=ON, label="ON: brighter"), Patch(color=OFF, label="OFF: darker")]
    figure.legend(handles=kinds if sensor.polarities == 2 else [Patch(color=OFF, label="event")], loc=place, ncols=2)


def line(recording: Recording) -> Figure:
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


def coloured(counts: NDArray[Any], most: float) -> NDArray[Any]:
    """RGBA [height, width, 4] of counts [OFF and ON, height, width], or of one polarity alone: the colour of the polarity with
    more events, never a mixture, the stronger the more there are more of it (`most`: full); grey where both are as many."""
    from matplotlib.colors import to_rgba

    more = excess(counts)[..., None]
    picture = np.where(more > 0, to_rgba(ON), np.asarray(to_rgba(OFF)))
    picture[..., 3:] = np.clip(0.35 + 0.65 * np.abs(more) / most, 0.0, 1.0)
    none = more[..., 0] == 0
    picture[none] = to_rgba(GREY, 0.35)
    picture[none & (counts.sum(0) == 0), 3] = 0.0
    return picture


def excess(counts: NDArray[Any]) -> NDArray[Any]:
    """How many events more are ON than OFF, [height, width]; of one polarity, minus their number, as they are drawn as OFF."""
    return np.asarray(counts[1] - counts[0] if len(counts) == 2 else -counts[0])


def strong(amounts: NDArray[Any]) -> float:
    """The amount that is drawn at full strength: few pixels have more."""
    return max(1.0, float(np.quantile(amounts[amounts > 0], 0.95))) if np.any(amounts > 0) else 1.0
