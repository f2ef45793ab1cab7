"""N-MNIST: handwritten digits seen by an event camera, and the 40-bit format of its files.

Source: Orchard, Jayawant, Cohen, Thakor: Converting static image datasets to spiking neuromorphic datasets using
saccades, Frontiers in Neuroscience 9:437 (2015).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Files
from snnsim.datasets.events import EVENT, Events, Sensor, validate
from snnsim.datasets.motion import Motion, stabilise
from snnsim.files import replacing
from snnsim.kernel import jit

SENSOR = Sensor(34, 34)
DIGITS = tuple("0123456789")
LIMIT = 64 * 2**20  # bytes; the largest file of the set has about 40,000
OVERFLOW_Y = 240
OVERFLOW_STEP = 2**13
TIME_RANGE = 2**23

OUTSIDE, BACKWARDS = 1, 2

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
    """The events of one file, 34 x 34 pixels, sorted, times in µs.

    Five bytes an event, big-endian: x, y, then one bit p and 23 bits of time. A y of 240 is no event: it says that the
    clock has passed 2^13 µs, which are added to all later times.

    Errors, all with the file: FileNotFoundError; ValueError with the byte for a file that is empty, cut off inside an
    event, larger than 64 MiB, or that has an event off the sensor or a time before the one preceding it.
    """
    data = _read_bytes(path)
    count = len(data) // 5
    if len(data) % 5:
        raise ValueError(f"{path}: the last event, at byte {5 * count}, has {len(data) % 5} of its 5 bytes: the file "
                         "is cut off or not N-MNIST; unpack it again")
    events = np.empty(count, EVENT)
    kept, problem, at = _decode(data, events, SENSOR.height, SENSOR.width)
    where = f"{path}: event {kept} at byte {5 * at}"
    if problem == OUTSIDE:
        raise ValueError(f"{where} has x = {data[5 * at]}, y = {data[5 * at + 1]}: outside the 34 x 34 sensor; the "
                         "file is damaged or not N-MNIST")
    if problem == BACKWARDS:
        raise ValueError(f"{where} has t = {events[kept]['t']} after {events[kept - 1]['t']}: times run backwards; the "
                         "file is damaged or not N-MNIST")
    if kept == 0:
        raise ValueError(f"{path}: there is no event in this file of {len(data)} bytes; unpack it again")
    return events[:kept]


def _read_bytes(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        if size > LIMIT:
            raise ValueError(f"{path} has {size} bytes: an N-MNIST file has at most {LIMIT}")
        return np.frombuffer(f.read(size), np.uint8)


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], events: Events, height: int, width: int) -> tuple[int, int, int]:
    """Events kept, problem (0 for none), and the index in the file of the event that has it."""
    kept, base, last = 0, 0, np.int64(0)
    for i in range(len(data) // 5):
        x, y, high = np.int64(data[5 * i]), np.int64(data[5 * i + 1]), np.int64(data[5 * i + 2])
        if y == OVERFLOW_Y:
            base += OVERFLOW_STEP
            continue
        t = base + (((high & 127) << 16) | (np.int64(data[5 * i + 3]) << 8) | np.int64(data[5 * i + 4]))
        e = events[kept]
        e["t"], e["x"], e["y"], e["p"] = t, x, y, high >> 7
        if x >= width or y >= height:
            return kept, OUTSIDE, i
        if t < last:
            return kept, BACKWARDS, i
        last = t
        kept += 1
    return kept, 0, 0


def write_nmnist(path: str | os.PathLike[str], events: Events) -> None:
    """Write the events as `read_nmnist` reads them; the file appears whole or not at all.

    Times that 23 bits do not hold are preceded by overflow marks. Errors: ValueError for events that are not valid on
    34 x 34 pixels, none at all, or a file that would pass 64 MiB.
    """
    validate(events, SENSOR)
    if not len(events):
        raise ValueError(f"cannot write {path}: an N-MNIST file holds at least one event")
    # A mark is due when t - base reaches 2^23, base being 2^13 times the marks before it.
    marks = np.maximum(0, (events["t"] - TIME_RANGE) // OVERFLOW_STEP + 1)
    size = 5 * (len(events) + int(marks[-1]))
    if size > LIMIT:
        raise ValueError(f"cannot write {path}: times up to {events['t'][-1]} µs need {marks[-1]} overflow marks, a "
                         f"file of {size} bytes, at most {LIMIT} are allowed; subtract the time of the first event")
    data = np.zeros((len(events) + int(marks[-1]), 5), np.uint8)
    data[:, 1] = OVERFLOW_Y
    rows = np.arange(len(events)) + marks
    t = events["t"] - marks * OVERFLOW_STEP
    data[rows] = np.stack([events["x"], events["y"], (events["p"].astype(np.int64) << 7) | (t >> 16), (t >> 8) & 255,
                           t & 255], axis=1).astype(np.uint8)
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
