"""N-MNIST: handwritten digits seen by an event camera, and the 40-bit format of its files.

Source: Orchard, Jayawant, Cohen, Thakor: Converting static image datasets to spiking neuromorphic datasets using
saccades, Frontiers in Neuroscience 9:437 (2015).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from snnsim.datasets.dataset import EventDataset, Files
from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats import Stream
from snnsim.datasets.formats.bin40 import NMNIST, write
from snnsim.datasets.formats.source import Source
from snnsim.datasets.motion import Motion, stabilise

SENSOR = Sensor(34, 34)
DIGITS = tuple("0123456789")
LIMIT = 64 * 2**20  # bytes; the largest file of the set has about 40,000

# How the digit moves, at 5, 15, ... 295 ms. Not the authors' figures: what `estimate_motion` gave of 700 recordings of the
# training set, to 1/8 pixel; after 300 ms hardly an event is left.
MOTION = Motion(
    times=np.arange(5_000.0, 300_000.0, 10_000.0),
    right=np.array([
           -2.25, -2.25, -2.25, -2.375, -2.25, -1.875, -1.25, -0.875, -0.75, -0.625, -0.375, -0.25, 0.125, 0.75, 1.25,
           1.75, 2.125, 2.5, 2.75, 2.875, 3.125, 3.125, 3.25, 2.75, 1.875, 0.75, -0.25, -1, -1.625, -1.875]),
    down=np.array([
           -1.875, -1.75, -1.25, -0.375, 0.75, 1.875, 2.75, 3.125, 3.125, 3.125, 3.25, 3.25, 3, 2.5, 1.5,
           0.375, -0.75, -1.5, -1.75, -1.625, -1.875, -2, -1.875, -1.875, -1.875, -1.875, -2, -2.125, -2.125, -2.125]))


def nmnist(root: str | os.PathLike[str], stabilised: bool = False) -> tuple[EventDataset, EventDataset]:
    """The training and the test set in `root`, as they come unpacked: Train/<digit>/<id>.bin and Test/<digit>/<id>.bin.

    Only names are read here; a file is read when its recording is asked for. Files are in order of digit and name.
    stabilised: with the camera's motion undone, see `MOTION` and `Motion.undone`: each digit stands still, and its edges are
    sharp when events are added up over time.
    Errors: FileNotFoundError or ValueError that says what was expected and what was found.
    """
    folder = Path(root)
    if (folder / "NMNIST").is_dir():  # where tonic unpacks it
        folder = folder / "NMNIST"
    still = checked(stabilised)
    train, test = _part(folder, "Train", "nmnist-train"), _part(folder, "Test", "nmnist-test")
    return (stabilise(train, MOTION), stabilise(test, MOTION)) if still else (train, test)


def checked(stabilised: object) -> bool:
    if not isinstance(stabilised, bool):
        raise ValueError(f"stabilised must be true or false, got {stabilised!r}")
    return stabilised


def _part(root: Path, part: str, name: str) -> EventDataset:
    expected = f"{root} is not N-MNIST: expected {part}/0/*.bin to {part}/9/*.bin"
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}: unpack Train.zip and Test.zip of N-MNIST into it")
    if not (root / part).is_dir():
        raise ValueError(f"{expected}, found {_listing(root)}")
    paths: list[str] = []
    labels: list[int] = []
    for label, digit in enumerate(DIGITS):
        folder = root / part / digit
        if not folder.is_dir():
            raise ValueError(f"{expected}, found in {part}: {_listing(root / part)}")
        files = sorted(f for f in os.listdir(folder) if f.endswith(".bin") and not f.startswith("."))
        paths += [os.path.join(folder, f) for f in files]
        labels += [label] * len(files)
    if not paths:
        raise ValueError(f"{expected}, found no .bin file in the folders of {part}")
    return EventDataset(name, SENSOR, DIGITS, np.array(labels, np.int64), Files(tuple(paths), read_nmnist))


def _listing(folder: Path) -> str:
    names = sorted(os.listdir(folder))
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "nothing"


def read_nmnist(path: str | os.PathLike[str]) -> Events:
    """The events of one file, 34 x 34 pixels, sorted, times in µs; see `formats.bin40`.

    Errors, all with the file: FileNotFoundError; ValueError with the byte for a file that is empty, cut off inside an
    event, larger than 64 MiB, or that has an event off the sensor or a time before the one preceding it.
    """
    source = Source(path)
    if source.size is not None and source.size > LIMIT:
        source.close()
        raise ValueError(f"{path} has {source.size} bytes: an N-MNIST file has at most {LIMIT}")
    events = Stream(source, form=NMNIST, sensor=SENSOR).every()
    if not len(events):
        raise ValueError(f"{path}: there is no event in this file of {source.size} bytes; unpack it again")
    return events


def write_nmnist(path: str | os.PathLike[str], events: Events) -> None:
    """Write the events as `read_nmnist` reads them; the file appears whole or not at all.

    Errors: ValueError for events that are not valid on 34 x 34 pixels, none at all, or times that need more than 64 MiB of
    overflow marks.
    """
    write(path, events, SENSOR)
