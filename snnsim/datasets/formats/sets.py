"""All recordings of a file, or of a folder whose labels stand in a table, as one data set."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats import Stream, info, read, smallest

TABLE, LARGEST = "labels.csv", 16 * 2**20  # bytes of the table
MOST_CLASSES = 100_000


@dataclass(frozen=True, eq=False, repr=False)
class Held:
    """Recording i is recording number[i] of paths[i], read when asked for."""

    paths: tuple[str, ...]
    number: NDArray[np.int64]
    sensor: Sensor
    options: dict[str, Any]

    def __len__(self) -> int:
        return len(self.paths)

    def events(self, number: int) -> Events:
        found = read(self.paths[number], recording=int(self.number[number]), **self.options)
        if found.sensor != self.sensor:
            raise ValueError(f"{self.source(number)} is of {found.sensor}, others of {self.sensor}: give sensor=")
        return found.events

    def source(self, number: int) -> str:
        return self.paths[number] + (f", recording {self.number[number]}" if self.number.any() else "")


def recordings(place: str | os.PathLike[str], *, format: str | None = None, on_error: str = "raise", order: str = "raise",
               sensor: Sensor | None = None) -> EventDataset:
    """Every recording of a file, or of a folder with the table labels.csv, as a data set that reads each when it is asked for.

    A file: labels and classes are what it says (SHD, SSC), or one class "?". A folder: the table has a line of names, and for
    each recording its file, its label (a whole number) and, if that is there, name, that of the class; the classes are the
    labels in ascending order. sensor: of all; where neither it nor a file says, each file of a folder is read once to find the
    smallest of the common sensors. Other options as `read`. Errors: as `read`, and for a table that is not as said.
    """
    path = Path(place)
    options = {"format": format, "on_error": on_error, "order": order, "sensor": sensor}
    if path.is_dir():
        return _of_folder(path, options)
    with Stream(path, 1, format, on_error, order, sensor, recording=0) as opened:
        header, said = opened.decoder.header, opened.sensor
    labels, classes = _labelled(str(path), header.labels, header.classes, header.recordings)
    if header.recordings == 1:
        only = replace(read(path, **options), label=int(labels[0]), source=path.name)  # type: ignore[arg-type]
        return EventDataset.of([only], classes, path.stem)
    if said is None:
        raise ValueError(f"{path} does not say the sensor of its {header.recordings} recordings: give sensor=")
    store = Held((str(path),) * header.recordings, np.arange(header.recordings), said, options)
    return EventDataset(path.stem, said, classes, labels, store)


def _labelled(name: str, labels: NDArray[np.int64] | None, classes: tuple[str, ...],
              count: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if labels is None:
        return np.zeros(count, np.int64), ("?",)
    most = int(labels.max())
    if labels.min() < 0 or most >= MOST_CLASSES:
        raise ValueError(f"{name}: labels must lie from 0 to {MOST_CLASSES - 1}, got {labels.min()} to {most}")
    return labels, classes if most < len(classes) else tuple(map(str, range(most + 1)))


def _of_folder(folder: Path, options: dict[str, Any]) -> EventDataset:
    rows = _table(folder / TABLE)
    values = sorted({label for _, label, _ in rows})
    names = {label: name or str(label) for _, label, name in rows}
    paths = tuple(str(folder / file) for file, _, _ in rows)
    sensor = options["sensor"] or _common(paths, options)
    store = Held(paths, np.zeros(len(paths), np.int64), sensor, options | {"sensor": sensor})
    labels = np.array([values.index(label) for _, label, _ in rows], np.int64)
    return EventDataset(folder.name, sensor, tuple(names[v] for v in values), labels, store)


def _table(path: Path) -> list[tuple[str, int, str]]:
    """File, label and name of the class of each recording."""
    if not path.is_file():
        raise ValueError(f"{path.parent} is a folder without {TABLE}: give a file, or a data set's name (datasets.load)")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST} bytes")
    try:
        lines = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as e:
        raise ValueError(f"{path} is no table of labels: {e}") from None
    rows = []
    for number, line in enumerate(lines, 2):
        file, label = line.get("file"), line.get("label")
        if not file or label is None or not label.strip().isdecimal() or len(label) > 9:
            raise ValueError(f"{path}: line {number} must give a file and a whole number as its label, got {dict(line)}")
        if not _inside(path.parent, file):
            raise ValueError(f"{path}: line {number} names {file!r}, which is no file in this folder")
        rows.append((file, int(label), (line.get("name") or "").strip()))
    if not rows:
        raise ValueError(f"{path} names no recording")
    return rows


def _inside(folder: Path, file: str) -> bool:
    try:
        return (folder / file).is_file() and (folder / file).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # not a name
        return False


def _common(paths: tuple[str, ...], options: dict[str, Any]) -> Sensor:
    """The sensor that all files say, or the smallest common one that holds all events."""
    said = {info(path, format=options["format"]).sensor for path in paths}
    if len(said) == 1 and None not in said:
        [sensor] = said
        assert sensor is not None
        return sensor
    found = [read(path, **options) for path in paths]
    if len({r.sensor.polarities for r in found}) > 1:
        raise ValueError("recordings of sensors with one and with two polarities are no one data set: give sensor=")
    extent = np.zeros(1, found[0].events.dtype)
    for r in found:
        if len(r):
            extent["x"], extent["y"] = max(extent["x"][0], r.events["x"].max()), max(extent["y"][0], r.events["y"].max())
    return replace(smallest(extent), polarities=found[0].sensor.polarities)
