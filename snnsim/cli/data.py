"""snnsim data: look at event files, check them, write the embedded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import complain, dump, say, table
from snnsim.cli.samples import load, of_files, spread

app = typer.Typer(help="Look at event files and data sets: info, check, view, digits.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[Path, typer.Argument(help="An event file (N-MNIST .bin), or N-MNIST's folder of Train and Test.")]
LOOKED_AT = 200  # recordings of a folder that the rates are measured on


@app.command()
def info(path: Where, as_json: AsJson = False) -> None:
    """Say what a file or a data set holds: events, duration, rates, sensor, classes.

    Examples: `snnsim data info 00003.bin`, `snnsim data info ~/N-MNIST`
    """
    found = _folder(path) if path.is_dir() else _file(path)
    if as_json:
        dump(found)
    else:
        table(("", ""), [(name.replace("_", " "), _shown(value)) for name, value in found.items()])


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else str(value)


def _file(path: Path) -> dict[str, Any]:
    [recording] = of_files([path])
    e, s = recording.events, recording.sensor
    milliseconds = float(e["t"][-1] - e["t"][0]) / 1000.0
    return {"file": str(path), "sensor": f"{s.height} x {s.width} pixels, {s.polarities} polarities", "events": len(e),
            "first_event_ms": float(e["t"][0]) / 1000.0, "duration_ms": milliseconds,
            "events_per_ms": len(e) / milliseconds if milliseconds else float(len(e)), "share_on": float(e["p"].mean())}


def _folder(path: Path) -> dict[str, Any]:
    import numpy as np

    train, test = load("nmnist", path, "PATH")
    looked = test[np.linspace(0, len(test) - 1, min(len(test), LOOKED_AT)).astype(int)]
    events = [r.events for r in looked]
    counts = np.array([len(e) for e in events])
    duration = np.array([(e["t"][-1] - e["t"][0]) / 1000.0 for e in events])
    s = train.sensor
    per_class = {part.name: np.bincount(part.labels, minlength=len(part.classes)) for part in (train, test)}
    return {"folder": str(path), "sensor": f"{s.height} x {s.width} pixels, {s.polarities} polarities",
            "classes": ", ".join(train.classes), "training_recordings": len(train), "test_recordings": len(test),
            **{f"{name}_per_class": f"{n.min()} to {n.max()}" for name, n in per_class.items()},
            "measured_on": f"{len(looked)} test recordings", "median_events": float(np.median(counts)),
            "events_from_to": f"{counts.min():,} to {counts.max():,}", "median_duration_ms": float(np.median(duration))}


@app.command()
def check(path: Where) -> None:
    """Read every event of a file or a data set, and list the files that are faulty. Exit code 1 when there are some.

    Checked: whole records, times that never run backwards, pixels on the sensor. Example: `snnsim data check ~/N-MNIST`
    """
    from snnsim.progress import bar

    files = [path]
    if path.is_dir():
        files = [Path(part.store.source(i)) for part in load("nmnist", path, "PATH") for i in range(len(part))]
    faulty, events = 0, 0
    with bar(len(files), "checking") as line:
        for file in files:
            try:
                events += len(of_files([file])[0].events)
            except (ValueError, OSError) as e:
                faulty += 1
                complain(str(e))
            line.advance()
    say(f"{len(files):,} files, {events:,} events; {faulty or 'none'} faulty", "red" if faulty else "green")
    if faulty:
        raise typer.Exit(1)


@app.command()
def view(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An event file.")],
    out: Annotated[Path, typer.Option("--out", help="A picture (.png, .svg, .pdf) or an animation (.gif, .html).")],
    frames: Annotated[int, typer.Option("--frames", min=1, max=2000, help="Frames of an animation.")] = 60,
) -> None:
    """Draw a recording: all its events and their rate over time, or an animation, as the name given with --out says.

    Example: `snnsim data view 00003.bin --out 00003.gif`
    """
    from snnsim.plot.saving import FORMATS, save
    from snnsim.plot.viewing import MOVING, animate, overview

    kind = out.suffix.lstrip(".").lower()
    if kind not in (*FORMATS, *MOVING):
        raise ValueError(f"cannot draw to {out}: its name must end in " + ", ".join(f".{f}" for f in (*FORMATS, *MOVING)))
    [recording] = of_files([path])
    if kind in MOVING:
        animate(recording, out, frames)
    else:
        save(overview(recording), out)
    say(f"{out}: {len(recording.events):,} events of {path}")


@app.command()
def digits(
    out: Annotated[Path, typer.Option("--out", help="A folder that does not exist yet.")],
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only so many of each part.")] = None,
) -> None:
    """Write the embedded digits-events as files in N-MNIST's format, such as Train/7/00000.bin and Test/7/00000.bin.

    Example: `snnsim data digits --out digits`, then `snnsim run net.h5 digits/Test/7/*.bin`
    """
    if out.exists():
        raise ValueError(f"{out} exists already: give a folder that does not, or remove it")
    from snnsim import datasets
    from snnsim.progress import bar

    train, test = datasets.load("digits-events")
    chosen = [(name, part if limit is None else part[spread(part.labels, limit)])
              for name, part in (("Train", train), ("Test", test))]
    with bar(sum(len(p) for _, p in chosen), "writing") as line:
        for name, part in chosen:
            for digit in part.classes:
                (out / name / digit).mkdir(parents=True)
            for i in range(len(part)):
                recording = part[i]
                datasets.write_nmnist(out / name / part.classes[recording.label] / f"{i:05d}.bin", recording.events)
                line.advance()
    say(f"{out}: " + ", ".join(f"{len(part):,} files in {name}" for name, part in chosen))
