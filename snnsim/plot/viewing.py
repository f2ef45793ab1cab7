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
from snnsim.plot.events import coloured, excess, legend, line, strong
from snnsim.plot.style import GREY, OFF, ON, STYLE, count, matplotlib, panels, styled
from snnsim.progress import bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.datasets import Recording, Sensor

MOVING = ("gif", "html")
KINDS = ((1, ON, "ON (brighter)"), (0, OFF, "OFF (darker)"))
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
    """A recording at a glance: how many ON and how many OFF events each pixel had, its last event, and the rate over time.

    A pixel of the third picture has the colour of its last event, the paler the longer ago: what moved leaves its trace. A
    sensor whose pixels stand in a line is drawn over time instead. Errors: ValueError for a recording without events.
    """
    from snnsim.datasets.transforms import Frames

    e, sensor = recording.events, recording.sensor
    if not len(e):
        raise ValueError("the recording holds no event: there is nothing to draw")
    if 1 in (sensor.height, sensor.width):
        return line(recording)
    kinds = KINDS if sensor.polarities == 2 else ((0, OFF, "all"),)
    tall = 9.6 / (len(kinds) + 1) * min(2.0, max(0.3, sensor.height / sensor.width))
    figure, axes = panels(9.6, 2.3 + tall, 2, len(kinds) + 1, height_ratios=[tall, 1.4])
    counts = Frames(bins=1, dtype="int32")(e, sensor)[0]
    for a, (p, colour, name) in zip(axes[0], kinds, strict=False):
        share = np.sqrt(np.clip(counts[p] / strong(counts[p]), 0.0, 1.0))  # weak edges stay visible beside strong ones
        _picture(a, _tinted(colour, share), sensor)
        a.set_title(f"{name}: {count((e['p'] == p).sum())} events")
    _picture(axes[0, -1], _latest(recording), sensor)
    axes[0, -1].set_title("last event of each pixel, paler the older")
    for a in axes[1]:
        a.remove()
    a = figure.add_subplot(axes[1, 0].get_gridspec()[1, :])
    seconds = max(1, int(e["t"][-1] - e["t"][0])) / 1e6
    a.set_title(f"{count(len(e))} events in {1000 * seconds:,.1f} ms, {count(len(e) / seconds)} a second")
    edges = np.linspace(int(e["t"][0]), int(e["t"][-1]) + 1, 101)
    width = (edges[1] - edges[0]) / 1000.0
    for p, colour, _ in kinds:
        rate = np.histogram(e["t"][e["p"] == p], edges)[0] / width
        a.stairs(rate, edges / 1000.0, color=colour, linewidth=1.2)
    a.set(xlabel="time (ms)", ylabel="events a ms", ylim=(0.0, None), xlim=(edges[0] / 1000.0, edges[-1] / 1000.0))
    return figure


def _tinted(colour: str, share: NDArray[Any]) -> NDArray[Any]:
    """RGBA [height, width, 4]: the colour, as opaque as the share says."""
    from matplotlib.colors import to_rgb

    return np.concatenate([np.broadcast_to(to_rgb(colour), (*share.shape, 3)), share[..., None]], 2)


def _latest(recording: Recording) -> NDArray[Any]:
    """RGBA of each pixel's last event: its colour, from a tenth (at the beginning) to opaque (at the end)."""
    e, sensor = recording.events, recording.sensor
    start, end = int(e["t"][0]), int(e["t"][-1])
    age, on = np.full((sensor.height, sensor.width), -1.0), np.zeros((sensor.height, sensor.width), bool)
    # Of repeated places the last one stays.
    age[e["y"], e["x"]], on[e["y"], e["x"]] = (e["t"] - start) / max(1, end - start), e["p"] == 1
    share = np.where(age < 0.0, 0.0, 0.1 + 0.9 * age**2)
    return np.where(on[..., None], _tinted(ON, share), _tinted(OFF, share))


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
    with bar(frames, "drawing", progress) as told, matplotlib().rc_context(STYLE):
        for png in _stills(recording, frames):
            drawn.append(png)
            told.advance()
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
    spans = [e[places[k]:places[k + 1]] for k in range(frames)]
    most = max(strong(np.abs(excess(one(span, sensor)[0]))) for span in spans)
    figure, axes = panels(4.6, 0.9 + 4.2 * min(2.0, max(0.25, sensor.height / sensor.width)))
    legend(figure, sensor, "outside lower right")
    a = axes[0, 0]
    for k, span in enumerate(spans):
        a.clear()
        _picture(a, coloured(one(span, sensor)[0], most), sensor)
        a.set_title(f"{edges[k] / 1000:,.1f} to {edges[k + 1] / 1000:,.1f} ms: {count(len(span))} events",
                    color="black" if len(span) else GREY)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        yield buffer.getvalue()


def _picture(a: Any, colours: NDArray[Any], sensor: Sensor) -> None:
    a.imshow(colours, interpolation="nearest", extent=(0, sensor.width, sensor.height, 0),
             aspect="auto" if 1 in (sensor.height, sensor.width) else "equal")
    a.set(xlabel="x (pixel)", ylabel="y (pixel)")
    a.spines[:].set_visible(True)
