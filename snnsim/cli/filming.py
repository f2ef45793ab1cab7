"""snnsim data camera: the events that a simulated event camera sees in a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnsim.cli.output import say

if TYPE_CHECKING:
    from numpy.typing import NDArray


def camera(
    video: Annotated[Path, typer.Argument(help="A .npy of shape [T, height, width], a .gif, or a folder of pictures.")],
    out: Annotated[Path, typer.Argument(help="The event file to write, which must not exist yet.")],
    fps: Annotated[float | None, typer.Option("--fps", help="Frames a second; only a GIF says them itself.")] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Change of log intensity that makes an event.")] = 0.2,
    mismatch: Annotated[float, typer.Option("--mismatch", help="How much thresholds differ: a standard deviation, as a share.")
                        ] = 0.1,
    refractory: Annotated[float, typer.Option("--refractory", metavar="MS", help="How long a pixel is blind after an event.")
                          ] = 0.5,
    leak: Annotated[float, typer.Option("--leak", help="ON events a second of a pixel in still light.")] = 0.1,
    noise: Annotated[float, typer.Option("--noise", help="Noise events a second of a dark pixel.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Of thresholds and noise.")] = 0,
    to: Annotated[str | None, typer.Option("--to", help="The file's format: evt2, evt3, es, dat or bin; by default its name "
                                                        "tells (.es, .dat, .bin).")] = None,
) -> None:
    """Turn a video into events, as a simulated event camera sees it.

    Example: `snnsim data camera driving.gif driving.es`, then `snnsim data view driving.es --out driving.png`
    """
    from snnsim import datasets
    from snnsim.progress import bar

    if out.exists():
        raise ValueError(f"{out} exists already: give a file that does not, or remove it")
    seen = datasets.read_video(video, fps)
    simulated = datasets.VideoCamera(threshold, None, mismatch, refractory, leak, noise, seed=seed)
    shape: tuple[int, ...] = ()
    with bar(len(seen), "simulating the event camera") as line:

        def frames() -> Iterator[NDArray[Any]]:
            nonlocal shape
            for frame in seen:
                shape = frame.shape
                line.advance()
                yield frame

        events = simulated.record(frames(), seen.times)
    height, width = shape
    datasets.write(out, events, datasets.Sensor(height, width), format=to)
    say(f"{out}: {len(events):,} events of {len(seen):,} frames, {width} x {height} pixels, {seen.times[-1]:,.0f} ms")
