"""DVS128 Gesture: long recordings of many gestures, cut as their tables say; and the cut ones that tonic downloads.

As released: trials_to_train.txt and trials_to_test.txt name recordings such as user01_led.aedat (AEDAT 3.1), beside each of
which user01_led_labels.csv has lines class,startTime_usec,endTime_usec with classes from 1 on. tonic's: folders user01_led of
files 0.npy to 10.npy, [events, 4] with x, y, p and t in ms.

Source: Amir and others: A low power, fully event-based gesture recognition system, CVPR 2017.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Files
from snnsim.datasets.events import Events, Sensor, make_events
from snnsim.datasets.formats import read

SENSOR = Sensor(128, 128)
CLASSES = ("hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise",
           "left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other gestures")
NAME = re.compile(r"user([0-9]+)_([A-Za-z_]+)")
TEXT = 2**20  # bytes that a list or a table has at most


@dataclass(frozen=True, eq=False, repr=False)
class Trials:
    """Recording i is the part of paths[of[i]] from start[i] to before stop[i], µs; its times count from start[i].

    A file is decoded whole when one of its parts is asked for, and the last one is kept: in order, each is decoded once.
    """

    paths: tuple[str, ...]
    of: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.of)

    def events(self, number: int) -> Events:
        path = self.paths[self.of[number]]
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no file {path}")
        found = os.stat(path)
        every = _whole(path, (found.st_mtime_ns, found.st_size))
        first, last = np.searchsorted(every["t"], (self.start[number], self.stop[number]))
        events = every[first:last].copy()
        events["t"] -= self.start[number]
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return f"{self.paths[self.of[number]]}: {self.start[number]} to {self.stop[number]} µs"


@lru_cache(maxsize=1)
def _whole(path: str, stamp: tuple[int, int]) -> Events:
    return read(path, format="aedat3", order="sort", sensor=SENSOR).events


def trials(folder: Path, name: str) -> dict[str, EventDataset]:
    """The set as it is released: training and test set, gestures in order of the lists and tables; `extra`: user, lighting.

    A gesture that ends after the next one starts is cut off there: in user22_led_labels.csv one does, by a slip of its end.
    Errors: FileNotFoundError; ValueError that names the file and the line.
    """
    return {part: _part(folder, f"trials_to_{part}.txt", f"{name}-{part}") for part in ("train", "test")}


def _part(folder: Path, listed: str, name: str) -> EventDataset:
    paths: list[str] = []
    rows: list[tuple[int, int, int, int]] = []
    users, lightings = list[int](), list[str]()
    for line in _text(folder / listed).split():
        path, found = folder / line, NAME.fullmatch(line.removesuffix(".aedat"))
        if found is None or not line.endswith(".aedat"):
            raise ValueError(f"{folder / listed}: {line!r} is no recording such as user01_led.aedat")
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}, which {listed} names")
        table = _table(path.with_name(f"{path.stem}_labels.csv"))
        rows += [(len(paths), *row) for row in table]
        users += [int(found[1])] * len(table)
        lightings += [found[2]] * len(table)
        paths.append(str(path))
    of, label, start, stop = np.array(rows, np.int64).reshape(-1, 4).T
    extra = {"user": np.array(users, np.int64), "lighting": np.array(lightings, np.str_)}
    return EventDataset(name, SENSOR, CLASSES, label, Trials(tuple(paths), of, start, stop), extra=extra)


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size > TEXT:
        raise ValueError(f"{path} has {path.stat().st_size} bytes: at most {TEXT} are read")
    return path.read_text("utf-8", "replace")


def _table(path: Path) -> list[tuple[int, int, int]]:
    """Label, start and stop of each gesture."""
    rows = []
    for number, line in enumerate(_text(path).split()):
        cells = line.split(",")
        if number == 0 and cells[0] == "class":
            continue
        if len(cells) != 3 or not all(c.isdecimal() and len(c) < 19 for c in cells):
            raise ValueError(f"{path}: line {number + 1} must be class,startTime_usec,endTime_usec, got {line!r}")
        label, start, stop = map(int, cells)
        if not 1 <= label <= len(CLASSES) or stop < start:
            raise ValueError(f"{path}: line {number + 1} must have a class from 1 to {len(CLASSES)} and an end after its "
                             f"start, got {line!r}")
        rows.append((label - 1, start, stop))
    starts = sorted(start for _, start, _ in rows)
    return [(label, start, min([stop, *(s for s in starts if start < s)])) for label, start, stop in rows]


def cut_trials(folder: Path, name: str) -> dict[str, EventDataset]:
    """What tonic downloads: folders ibmGestureTrain and ibmGestureTest. Errors: as `trials`."""
    return {part: _cut(folder / f"ibmGesture{part.title()}", f"{name}-{part}") for part in ("train", "test")}


def _cut(folder: Path, name: str) -> EventDataset:
    found = [(int(m[1]), m[2], d) for d in sorted(os.listdir(folder)) if (m := NAME.fullmatch(d)) and (folder / d).is_dir()]
    files = [(user, lighting, int(f[:-4]), str(folder / d / f)) for user, lighting, d in found
             for f in sorted(os.listdir(folder / d), key=lambda f: (len(f), f)) if re.fullmatch(r"[0-9]+\.npy", f)]
    if not files:
        raise ValueError(f"{folder} holds no recordings such as user01_led/0.npy")
    users, lightings, labels, paths = zip(*files, strict=True)
    extra = {"user": np.array(users, np.int64), "lighting": np.array(lightings, np.str_)}
    return EventDataset(name, SENSOR, CLASSES, np.array(labels, np.int64), Files(paths, read_cut), extra=extra)


def read_cut(path: str) -> Events:
    """One of tonic's files: times become µs. Errors: ValueError that names the file."""
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header cannot claim more than the file has
        if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
            raise ValueError(f"expected numbers in the shape [events, 4], got {table.shape} of {table.dtype}")
        columns = table[np.argsort(table[:, 3], kind="stable")].astype(np.float64).T
        return make_events(1000.0 * columns[3], columns[0], columns[1], columns[2])
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except (ValueError, EOFError, OSError) as e:
        raise ValueError(f"{path} is not a recording of tonic's DVS128 Gesture: {e}") from None
