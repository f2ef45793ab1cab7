"""One recording at a glance, and as an animation: a GIF, or a page of HTML that needs nothing else."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.files import replacing
from snnsim.plot.events import _coloured
from snnsim.plot.style import GREY, OFF, ON, STYLE, count, matplotlib, panels, styled
from snnsim.progress import bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.datasets import Recording

MOVING = ("gif", "html")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 14px sans-serif; margin: 2em; }} img {{ display: block; max-width: 100%; }}
input {{ width: 24em; vertical-align: middle; }}</style></head><body>
<img id="frame" alt="events of one span of time"><button id="play">pause</button>
<input id="at" type="range" min="0" max="{last}" value="0">
<script>
const frames = [{frames}];
const at = document.getElementById("at"), play = document.getElementById("play");
const show = () => document.getElementById("frame").src = "data:image/png;base64," + frames[at.value];
let running = true;
at.oninput = show;
play.onclick = () => {{ running = !running; play.textContent = running ? "pause" : "play"; }};
setInterval(() => {{ if (running) {{ at.value = (+at.value + 1) % frames.length; show(); }} }}, {pause});
show();
</script></body></html>
"""


@styled
def overview(recording: Recording) -> Figure:
    """All events of a recording added up, ON and OFF in two colours, and under it how many there were over time.

    A sensor whose pixels stand in a line is drawn over time instead of added up.
    Errors: ValueError for a recording without events.
    """
    from snnsim.datasets.transforms import Frames
    from snnsim.plot.events import _line

    e, sensor = recording.events, recording.sensor
    if not len(e):
        raise ValueError("the recording holds no event: there is nothing to draw")
    if 1 in (sensor.height, sensor.width):
        return _line(recording)
    figure, axes = panels(5.6, 2.1 + 4.6 * min(2.0, sensor.height / sensor.width), 2, 1,
                          height_ratios=[3.2 * min(2.0, sensor.height / sensor.width), 1.0])
    total = Frames(bins=1, dtype="int32")(recording)[0].astype(float)
    _picture(axes[0, 0], total, _most(total), sensor)
    seconds = max(1, int(e["t"][-1] - e["t"][0])) / 1e6
    axes[0, 0].set_title(f"{count(len(e))} events in {1000 * seconds:,.1f} ms, {count(len(e) / seconds)} a second")
    a = axes[1, 0]
    edges = np.linspace(int(e["t"][0]), int(e["t"][-1]) + 1, 101)
    width = (edges[1] - edges[0]) / 1000.0
    kinds = ((1, ON, "ON: brighter"), (0, OFF, "OFF: darker")) if sensor.polarities == 2 else ((0, OFF, "events"),)
    for p, colour, name in kinds:
        rate = np.histogram(e["t"][e["p"] == p], edges)[0] / width
        a.stairs(rate, edges / 1000.0, color=colour, label=name, linewidth=1.2)
    a.set(xlabel="time (ms)", ylabel="events a ms", ylim=(0.0, None), xlim=(edges[0] / 1000.0, edges[-1] / 1000.0))
    figure.legend(loc="outside lower right", ncols=2)
    return figure


def animate(recording: Recording, path: str | os.PathLike[str], frames: int = 60, progress: bool | None = None) -> None:
    """Write the recording in `frames` equal spans of its time, 15 a second, to a .gif or a .html file.

    Errors: ValueError for another name, fewer than one frame, or a recording without events.
    """
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in MOVING:
        raise ValueError(f"cannot write an animation to {path}: its name must end in .gif or .html")
    if not 1 <= frames <= 2000:
        raise ValueError(f"frames must be from 1 to 2000, got {frames}")
    if not len(recording.events):
        raise ValueError("the recording holds no event: there is nothing to draw")
    drawn = []
    with bar(frames, "drawing", progress) as line, matplotlib().rc_context(STYLE):
        for png in _stills(recording, frames):
            drawn.append(png)
            line.advance()
    with replacing(path) as temporary:
        if kind == "html":
            texts = ",".join(f'"{base64.b64encode(png).decode()}"' for png in drawn)
            temporary.write_text(PAGE.format(title="events", last=frames - 1, frames=texts, pause=67), encoding="utf-8")
        else:
            from PIL import Image  # matplotlib requires it

            pictures = [Image.open(io.BytesIO(png)).convert("P", palette=Image.Palette.ADAPTIVE) for png in drawn]
            pictures[0].save(temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=67, loop=0)


def _stills(recording: Recording, frames: int) -> Iterator[bytes]:
    """The frames as PNG, one at a time: in memory is one picture of the sensor."""
    from snnsim.datasets.transforms import Frames
    from snnsim.datasets.transforms.cutting import Cutting

    e, sensor = recording.events, recording.sensor
    edges = Cutting(bins=frames).cut(e).edges()
    places = np.searchsorted(e["t"], edges)
    one = Frames(bins=1, dtype="int32")
    most = max(_most(one(e[places[k]:places[k + 1]], sensor)) for k in range(frames))
    figure, axes = panels(4.6, 0.7 + 4.2 * min(2.0, max(0.25, sensor.height / sensor.width)))
    a = axes[0, 0]
    for k in range(frames):
        a.clear()
        counts = one(e[places[k]:places[k + 1]], sensor)[0]
        _picture(a, counts.astype(float), most, sensor)
        a.set_title(f"{edges[k] / 1000:,.1f} to {edges[k + 1] / 1000:,.1f} ms: {count(places[k + 1] - places[k])} events",
                    color="black" if places[k + 1] > places[k] else GREY)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        yield buffer.getvalue()


def _picture(a: Any, counts: NDArray[Any], most: float, sensor: Any) -> None:
    both = counts if len(counts) == 2 else np.concatenate([counts, np.zeros_like(counts)])
    a.imshow(_coloured(both, most), interpolation="nearest", extent=(0, sensor.width, sensor.height, 0),
             aspect="auto" if 1 in (sensor.height, sensor.width) else "equal")
    a.set(xlabel="x (pixel)", ylabel="y (pixel)")
    a.spines[:].set_visible(True)


def _most(counts: NDArray[Any]) -> float:
    """The count that is drawn at full strength."""
    return float(np.quantile(counts[counts > 0], 0.95)) if np.any(counts > 0) else 1.0
