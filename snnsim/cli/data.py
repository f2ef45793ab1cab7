"""snnsim data: look at event files, check and convert them, keep them in event stores, write the embedded ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnsim.cli import catalogue, filming, storing
from snnsim.cli.catalogue import pixels
from snnsim.cli.output import complain, dump, say, table
from snnsim.cli.samples import load, spread

if TYPE_CHECKING:
    from snnsim.datasets import Sensor

app = typer.Typer(no_args_is_help=True,
                  help="Look at event files and data sets: list, info, check, view, convert, camera, pack, slice, digits.")
app.command("list")(catalogue.list_)
app.command("camera")(filming.camera)
app.command("pack")(storing.pack)
app.command("slice")(storing.slice_)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[Path, typer.Argument(help="An event file of any format, N-MNIST's folder of Train and Test, a folder with "
                                            "labels.csv, or an event store.")]
Form = Annotated[str | None, typer.Option("--format", help="The file's format, such as evt3; by default what it holds tells.")]
Size = Annotated[str | None, typer.Option("--sensor", metavar="WIDTHxHEIGHT", help="The sensor, whatever the file says.")]
OnError = Annotated[str, typer.Option("--on-error", help="Faulty records: raise, skip, or truncate before the first.")]
Order = Annotated[str, typer.Option("--order", help="Times that run backwards: raise, sort, or drop the late events.")]
Which = Annotated[int | None, typer.Option("--recording", help="Of a file of several recordings: which, from 0.")]
LOOKED_AT = 200  # recordings of a folder that the rates are measured on


@app.command()
def info(
    path: Where, form: Form = None, sensor: Size = None, order: Order = "raise", which: Which = None,
    head: Annotated[bool, typer.Option("--head", help="Read only the first MiB of a file.")] = False, as_json: AsJson = False,
) -> None:
    """Say what a file or a data set holds: format, events, duration, rates, sensor, classes.

    Examples: `snnsim data info driving.raw --head`, `snnsim data info ~/N-MNIST`
    """
    found = (storing.describe(path) if _is_store(path) else _folder(path) if path.is_dir() else
             _head(path, form) if head else _file(path, form, sensor, order, which))
    if as_json:
        dump(found)
    else:
        table(("", ""), [(name.replace("_", " "), _shown(value)) for name, value in found.items()])


def _is_store(path: Path) -> bool:
    from snnsim.datasets.eventstore.manifest import is_store

    return is_store(path)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _head(path: Path, form: str | None) -> dict[str, Any]:
    from snnsim import datasets

    i = datasets.info(path, format=form)
    return {"file": str(path), "format": i.title, "time": i.time, "bytes": i.bytes,
            "sensor": pixels(i.sensor) if i.sensor else "not said", "events": "not said" if i.count is None else i.count,
            "first_event_ms": "no event" if i.first is None else i.first / 1000.0, **i.about}


def _set(path: Path, form: str | None) -> dict[str, Any]:
    """What a file of several recordings, or a folder with labels.csv, holds."""
    import numpy as np

    from snnsim import datasets

    held = datasets.recordings(path, format=form)
    per_class = np.bincount(held.labels, minlength=len(held.classes))
    return {"data_set": str(path), "recordings": len(held), "sensor": pixels(held.sensor), "classes": ", ".join(held.classes),
            "per_class": f"{per_class.min()} to {per_class.max()}", "one_of_them": "see --recording"}


def _file(path: Path, form: str | None, sensor: str | None, order: str, which: int | None) -> dict[str, Any]:
    from snnsim import datasets

    about = datasets.info(path, format=form)
    if about.recordings > 1 and which is None:
        return {**_set(path, form), "format": about.title, **about.about}
    e, s = (r := datasets.read(path, format=form, sensor=sized(sensor), order=order, recording=which)).events, r.sensor
    found = {"file": str(path), "format": about.title, "bytes": about.bytes, "sensor": pixels(s), "events": len(e)}
    if not len(e):
        return found
    milliseconds = float(e["t"][-1] - e["t"][0]) / 1000.0
    return {**found, "first_event_ms": float(e["t"][0]) / 1000.0, "duration_ms": milliseconds,
            "events_per_ms": len(e) / milliseconds if milliseconds else float(len(e)), "share_on": float(e["p"].mean())}


def sized(text: str | None) -> Sensor | None:
    """A sensor from "640x480": width, height."""
    from snnsim.datasets import Sensor

    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"--sensor takes WIDTHxHEIGHT, such as 640x480, got {text!r}")
    return Sensor(int(height), int(width))


def _folder(path: Path) -> dict[str, Any]:
    import numpy as np

    if (path / "labels.csv").is_file():
        return {name: value for name, value in _set(path, None).items() if name != "one_of_them"}
    train, test = load("nmnist", path, "PATH")
    looked = test[np.linspace(0, len(test) - 1, min(len(test), LOOKED_AT)).astype(int)]
    events = [r.events for r in looked]
    counts = np.array([len(e) for e in events])
    duration = np.array([(e["t"][-1] - e["t"][0]) / 1000.0 for e in events])
    s = train.sensor
    per_class = {part.name: np.bincount(part.labels, minlength=len(part.classes)) for part in (train, test)}
    return {"folder": str(path), "sensor": pixels(s),
            "classes": ", ".join(train.classes), "training_recordings": len(train), "test_recordings": len(test),
            **{f"{name}_per_class": f"{n.min()} to {n.max()}" for name, n in per_class.items()},
            "measured_on": f"{len(looked)} test recordings", "median_events": float(np.median(counts)),
            "events_from_to": f"{counts.min():,} to {counts.max():,}", "median_duration_ms": float(np.median(duration))}


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="An event file of any format, N-MNIST's folder of Train and Test, an event "
                                              "store; or the name of a data set.")],
    folder: Annotated[Path | None, typer.Argument(help="The folder of the data set that is named.")] = None,
    form: Form = None, sensor: Size = None,
    quick: Annotated[bool, typer.Option("--quick", help="Of a data set by name: only checksums and counts.")] = False,
) -> None:
    """Read every event of a file or a data set, and list the files that are faulty. Exit code 1 when there are some.

    Checked: whole records, times that never run backwards, pixels on the sensor; of a store checksums, too. Files may be
    larger than memory. Of a data set by name: the archives' checksums and the number of recordings and classes as released.

    Examples: `snnsim data check ~/N-MNIST`, `snnsim data check shd ~/SHD --quick`
    """
    from snnsim import datasets
    from snnsim.progress import bar

    if folder is not None:
        catalogue.check_set(str(path), folder, quick)
        return

    if _is_store(path):
        storing.check(path)
        return
    files, size = [path], sized(sensor)
    if (path / "labels.csv").is_file():
        held = datasets.recordings(path)
        files = [Path(held.store.source(i)) for i in range(len(held))]
    elif path.is_dir():
        files = [Path(part.store.source(i)) for part in load("nmnist", path, "PATH") for i in range(len(part))]
        form, size = "bin", datasets.Sensor(34, 34)
    faulty, events = 0, 0
    with bar(len(files), "checking") as line:
        for file in files:
            try:
                for number in range(datasets.info(file, format=form).recordings):
                    events += sum(map(len, datasets.stream(file, format=form, sensor=size, recording=number)))
            except (ValueError, OSError) as e:
                faulty += 1
                complain(str(e))
            line.advance()
    say(f"{len(files):,} files, {events:,} events; {faulty or 'none'} faulty", "red" if faulty else "green")
    if faulty:
        raise typer.Exit(1)


@app.command()
def convert(
    path: Annotated[Path, typer.Argument(help="An event file of any format.")],
    out: Annotated[Path, typer.Argument(help="The file to write, which must not exist yet.")],
    to: Annotated[str | None, typer.Option("--to", help="Its format: evt2, evt3, es, dat or bin; by default its name tells "
                                                        "(.es, .dat, .bin).")] = None,
    form: Form = None, sensor: Size = None, on_error: OnError = "raise", order: Order = "raise", which: Which = None,
    zero: Annotated[bool, typer.Option("--zero", help="Let times count from the first event.")] = False,
) -> None:
    """Write the events of a file in another format. What is left out is said.

    Example: `snnsim data convert driving.raw driving.es --order sort`
    """
    import warnings

    from snnsim import datasets

    if out.exists():
        raise ValueError(f"{out} exists already: give a file that does not, or remove it")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recording = datasets.read(path, format=form, sensor=sized(sensor), on_error=on_error, order=order,
                                  recording=which)
    for warning in caught:
        say(str(warning.message), "yellow")
    events = recording.events
    if zero and len(events):
        events = events.copy()
        events["t"] -= events["t"][0]
    datasets.write(out, events, recording.sensor, format=to)
    say(f"{out}: {len(recording):,} events, {pixels(recording.sensor)}")


@app.command()
def view(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An event file.")],
    out: Annotated[Path, typer.Option("--out", help="A picture (.png, .svg, .pdf) or an animation (.gif, .html).")],
    frames: Annotated[int, typer.Option("--frames", min=1, max=2000, help="Frames of an animation.")] = 60,
    form: Form = None, sensor: Size = None, order: Order = "raise", which: Which = None,
) -> None:
    """Draw a recording: all its events and their rate over time, or an animation, as the name given with --out says.

    Example: `snnsim data view 00003.bin --out 00003.gif`
    """
    from snnsim import datasets
    from snnsim.plot.saving import FORMATS, save
    from snnsim.plot.viewing import MOVING, animate, overview

    kind = out.suffix.lstrip(".").lower()
    if kind not in (*FORMATS, *MOVING):
        raise ValueError(f"cannot draw to {out}: its name must end in " + ", ".join(f".{f}" for f in (*FORMATS, *MOVING)))
    recording = datasets.read(path, format=form, sensor=sized(sensor), order=order, recording=which)
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
