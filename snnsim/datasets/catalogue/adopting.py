"""Data sets of other libraries as ours: tonic's, SpikingJelly's, and what looks like them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.catalogue.spikes import spike_set
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Events, Sensor, make_events
from snnsim.progress import bar
from snnsim.rule import one_of

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True, eq=False, repr=False)
class Adopted:
    """The recordings of an object whose `obj[i]` is (events, label), as a `Store`: read when they are asked for."""

    of: Any
    count: int
    name: str
    polarities: int
    unit: str | None

    def __len__(self) -> int:
        return self.count

    def events(self, number: int) -> Events:
        events = converted(_pair(self.of[number], self.name)[0], self.polarities, self.unit, self.source(number))
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return f"{self.name} {number}"


def adopt(dataset: Any, *, sensor: Sensor | None = None, classes: Sequence[str] | None = None,
          labels: Iterable[int] | None = None, name: str | None = None, unit: str | None = None,
          progress: bool | None = None) -> EventDataset:
    """A data set of tonic or SpikingJelly, or any object with `len` and `dataset[i]` = (events, label), as an EventDataset.

    events: a structured array with the fields t, x, p and mostly y, in any order and type, or a dictionary of such arrays.
    Fields that are missing are 0. Nothing is copied: a recording is read when it is asked for, and put in order of time.
    sensor: tonic's sensor_size or SpikingJelly's get_H_W unless given. classes, labels: the object's `classes` and `targets`,
    or what the file of SHD or SSC says; otherwise every recording is read once, for its label alone. unit: of t, "us", "ms" or
    "s"; µs unless given, as long as times are whole numbers, and s for SpikingJelly's SHD and SSC.

    Errors: TypeError for what is no data set; ValueError that names the argument to give, or the recording.
    """
    if isinstance(dataset, EventDataset):
        return dataset
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise TypeError(f"a data set with len and dataset[i] = (events, label) was expected, got {type(dataset).__name__}")
    if unit is not None:
        one_of("unit", unit, UNITS)
    called = type(dataset).__name__ if name is None else name
    size = _sensor(dataset, called) if sensor is None else sensor
    file = _file(dataset)
    given = _labels(dataset, called, file, progress) if labels is None else np.asarray(list(labels))
    names = _classes(dataset, file) if classes is None else tuple(map(str, classes))
    numbers, names = _numbered(given, names)
    if unit is None and hasattr(dataset, "h5_file_path"):
        unit = "s"
    store = Adopted(dataset, len(dataset), called, size.polarities, unit)
    return EventDataset(called, size, names, numbers, store)


def _pair(item: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise ValueError(f"{name}: a recording must be (events, label), got {type(item).__name__}")
    return item[0], item[1]


def _sensor(dataset: Any, name: str) -> Sensor:
    size = getattr(dataset, "sensor_size", None)  # width, height, polarities
    if size is not None and len(size) in (2, 3):
        return Sensor(int(size[1]), int(size[0]), *(int(p) for p in size[2:]))
    if callable(getattr(dataset, "get_H_W", None)):
        height, width = dataset.get_H_W()  # no height: channels
        return Sensor(1, int(width), 1) if height is None else Sensor(int(height), int(width))
    raise ValueError(f"sensor must be given: {name} does not say its size, as tonic's sensor_size or SpikingJelly's get_H_W do")


def _classes(dataset: Any, file: EventDataset | None) -> tuple[str, ...] | None:
    found = getattr(dataset, "classes", None)
    if found is None and file is not None:
        return file.classes
    if isinstance(found, Mapping):  # of numbers by name
        found = [name for _, name in sorted((number, name) for name, number in found.items())]
    return None if found is None else tuple(c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in found)


def _labels(dataset: Any, name: str, file: EventDataset | None, progress: bool | None) -> NDArray[Any]:
    if getattr(dataset, "target_transform", None) is None:
        targets = getattr(dataset, "targets", None)
        if file is not None and (targets is None or len(targets) != len(dataset)):
            targets = file.labels
        if targets is not None and len(targets) == len(dataset):
            return np.asarray(targets)
    found = []
    with bar(len(dataset), f"labels of {name}", progress) as line:
        for i in range(len(dataset)):
            label = _pair(dataset[i], name)[1]
            found.append(label.item() if hasattr(label, "item") else label)
            line.advance()
    return np.asarray(found)


def _file(dataset: Any) -> EventDataset | None:
    """tonic's and SpikingJelly's SHD and SSC have no targets: their labels stand in the file that they read."""
    path = getattr(dataset, "h5_file_path", None)
    if path is None and str(getattr(dataset, "data_filename", "")).endswith(".h5"):
        path = os.path.join(getattr(dataset, "location_on_system", ""), dataset.data_filename)
    return spike_set(Path(path), "") if path is not None and os.path.isfile(path) else None


def _numbered(labels: NDArray[Any], classes: tuple[str, ...] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as numbers of classes: names become the numbers of the sorted names where the classes do not say."""
    if labels.dtype.kind in "iub" and labels.ndim == 1:
        most = int(labels.max()) if len(labels) else -1
        return labels.astype(np.int64), tuple(map(str, range(most + 1))) if classes is None else classes
    if labels.dtype.kind != "U" or labels.ndim != 1:
        raise ValueError(f"labels must be whole numbers or names, got shape {labels.shape} of {labels.dtype}")
    names = tuple(sorted(set(labels.tolist()))) if classes is None else classes
    number = {c: i for i, c in enumerate(names)}
    if missing := [label for label in labels.tolist() if label not in number]:
        raise ValueError(f"classes must name all labels: {missing[0]!r} is not among {', '.join(names)}")
    return np.array([number[label] for label in labels.tolist()], np.int64), names


def converted(events: Any, polarities: int, unit: str | None, where: str) -> Events:
    """Events of dtype EVENT, in order of time. Errors: ValueError that begins with `where`."""
    if isinstance(events, np.ndarray) and events.dtype.names:
        columns: Mapping[str, Any] = {n: events[n] for n in events.dtype.names}
    elif isinstance(events, Mapping):
        columns = {str(n): np.asarray(v) for n, v in events.items()}
    else:
        raise ValueError(f"{where}: events must be a structured array or a dictionary with t and x, got "
                         f"{type(events).__name__}: adopt the data set without a transform that makes frames of them")
    if not {"t", "x"} <= set(columns):
        raise ValueError(f"{where}: events must have t and x, have {', '.join(columns)}")
    time = np.asarray(columns["t"])
    if unit is None and time.dtype.kind == "f" and not np.all(time == np.floor(time)):
        raise ValueError(f"{where}: times are not whole numbers of µs: say what they are with unit=\"s\" or unit=\"ms\"")
    scale = UNITS[unit or "us"]
    t = time if time.dtype.kind in "iu" and scale == 1.0 else np.rint(time.astype(np.float64) * scale)
    none = np.zeros(t.shape, np.uint8)
    p = np.asarray(columns.get("p", none)) if polarities == 2 else none
    if p.dtype.kind == "i" and len(p) and p.min() == -1:  # OFF of some
        p = p > 0
    try:
        made = make_events(t, columns["x"], columns.get("y", none), p)
    except ValueError as e:
        raise ValueError(f"{where}: {e}") from None
    return made[np.argsort(made["t"], kind="stable")] if np.any(made["t"][1:] < made["t"][:-1]) else made
