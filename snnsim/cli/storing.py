"""snnsim data pack, slice, and what info and check say of an event store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnsim.cli.output import complain, say
from snnsim.cli.samples import Options, Root, load, of_files, parsed

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset

Source = Annotated[str, typer.Argument(help="An event file of any format, N-MNIST's folder of Train and Test, a folder with "
                                            "labels.csv, an event store, or the name of a data set, with --root where it has "
                                            "files.")]
Out = Annotated[Path, typer.Argument(help="A folder that does not exist yet, or holds the same work unfinished.")]


def pack(source: Source, out: Out, root: Root = None, options: Options = None) -> None:
    """Write recordings as an event store, verified; when it was interrupted, the same command goes on.

    A data set with a training and a test set becomes OUT/train and OUT/test.

    Examples: `snnsim data pack ~/N-MNIST nmnist-store`, `snnsim data pack 00003.bin one`,
    `snnsim data pack shd shd-store --root ~/SHD`
    """
    for name, part in parts(source, options, root).items():
        _write(part, out / name, source)


def slice_(
    source: Source,
    out: Out,
    start: Annotated[float, typer.Option("--from", min=0.0, help="ms; events before it are left out.")] = 0.0,
    stop: Annotated[float | None, typer.Option("--to", min=0.0, help="ms; events from it on are left out.")] = None,
    events: Annotated[str | None, typer.Option("--events", metavar="A:B", help="Of these, events A to B - 1.")] = None,
    recordings: Annotated[str | None, typer.Option("--recordings", metavar="A:B", help="Only recordings A to B - 1.")] = None,
    root: Root = None,
    options: Options = None,
) -> None:
    """Write a range of time, of events or of recordings into a store or a .bin file. Times stay as they are.

    Examples: `snnsim data slice nmnist-store/train short --from 0 --to 100`,
    `snnsim data slice 00003.bin first.bin --events 0:1000`
    """
    from snnsim import datasets

    first, last = _numbers(events, "--events")
    for name, part in parts(source, options, root).items():
        chosen = datasets.cut(part[slice(*_numbers(recordings, "--recordings"))], start, stop, first, last)
        if out.suffix != ".bin":
            _write(chosen, out / name, source)
        elif len(chosen) != 1 or name:
            raise ValueError(f"{out}: a .bin file holds one recording, not {len(chosen)}: choose one with --recordings, or "
                             "give the name of a folder")
        else:
            datasets.write_nmnist(out, chosen[0].events)
            say(f"{out}: {len(chosen[0].events):,} events")


def _numbers(text: str | None, option: str) -> tuple[int, int | None]:
    if text is None:
        return 0, None
    first, colon, last = text.partition(":")
    if not colon or not all(n == "" or n.isdecimal() for n in (first, last)):
        raise typer.BadParameter(f"{option} takes A:B with whole numbers, such as 0:1000 or 500:, got {text!r}")
    return int(first or 0), int(last) if last else None


def parts(source: str, options: list[str] | None = None, root: Path | None = None) -> dict[str, EventDataset]:
    """The data sets of a source: one without a name, or "train" and "test"."""
    from snnsim import datasets
    from snnsim.datasets.eventstore.manifest import is_store
    from snnsim.datasets.loading import SETS

    path = Path(source)
    if not options and is_store(path):
        return {"": datasets.open_store(path)}
    if not options and all(is_store(path / name) for name in ("train", "test")):
        return {name: datasets.open_store(path / name) for name in ("train", "test")}
    if not options and (path.is_file() or (path / "labels.csv").is_file()):
        return {"": datasets.recordings(path)}
    if source in SETS and (root is not None or not path.is_dir()):
        pair = load(source, root, "--root", parsed(options))
    elif path.is_dir():
        pair = load("nmnist", path, "SOURCE", parsed(options))
    else:
        [recording] = of_files([path], **parsed(options))
        # its label is not known: the one class has no name
        from dataclasses import replace

        return {"": datasets.EventDataset.of([replace(recording, label=0, source=path.name)], ("?",), path.stem)}
    return dict(zip(("train", "test"), pair, strict=True))


def _write(part: EventDataset, out: Path, source: str) -> None:
    from snnsim import datasets

    store = datasets.pack(part, out, provenance={"source": Path(source).name}).store
    assert isinstance(store, datasets.EventStore)
    held = store.manifest
    say(f"{out}: {len(held.labels):,} recordings, {held.events:,} events, {len(held.shards)} files, "
        f"{sum(s.bytes for s in held.shards):,} bytes")


def describe(path: Path) -> dict[str, Any]:
    """What info says of a store; only the manifest is read."""
    import numpy as np

    from snnsim import datasets

    store = datasets.EventStore(path)
    held = store.manifest
    s, per_class = held.sensor, np.bincount(held.labels, minlength=len(held.classes))
    return {"store": str(path), "name": held.name, "sensor": f"{s.height} x {s.width} pixels, {s.polarities} polarities",
            "classes": ", ".join(held.classes), "recordings": len(store), "events": held.events,
            "per_class": f"{per_class.min()} to {per_class.max()}" if len(per_class) else "none", "files": len(held.shards),
            "bytes": sum(x.bytes for x in held.shards), "written_by": f"snnsim {held.version}", "sha256": store.checksum,
            **held.provenance}


def check(path: Path) -> None:
    """Check a store, complain of each fault, exit with 1 where there are some."""
    from snnsim import datasets

    found = datasets.check_store(path)
    for fault in found.faults:
        complain(fault)
    say(f"{found.files:,} files, {found.recordings:,} recordings, {found.events:,} events sound; "
        f"{len(found.faults) or 'no'} faults", "red" if found.faults else "green")
    if found.faults:
        raise typer.Exit(1)
