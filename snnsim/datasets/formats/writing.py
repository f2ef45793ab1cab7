"""What the writers of event files share."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor, validate
from snnsim.files import SMALL, replacing


def checked(path: str | os.PathLike[str], events: Events, sensor: Sensor, height: int, width: int) -> None:
    """ValueError unless the events are valid on the sensor, and the format can say where they are, up to height x width."""
    validate(events, sensor)
    if sensor.height > height or sensor.width > width:
        raise ValueError(f"cannot write {path}: the format holds sensors up to {width} x {height}, got {sensor.width} x "
                         f"{sensor.height}")


def written(path: str | os.PathLike[str], *parts: bytes | NDArray[np.generic]) -> None:
    """The parts one after another; the file appears whole or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for part in parts:
            file.write(part if isinstance(part, bytes) else np.ascontiguousarray(part).data.cast("B"))


def too_far(path: str | os.PathLike[str], t: int, size: int) -> ValueError:
    return ValueError(f"cannot write {path}: times up to {t} µs need {size} bytes without events, at most {SMALL} are allowed; "
                      "subtract the time of the first event")


def marks_between(path: str | os.PathLike[str], high: NDArray[np.int64], step: int,
                  wrap: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The high times to write (modulo `wrap`), and for each event how many of them stand before it.

    One before the first event, one at each change, and others in between so that none is more than `step` after the one before
    it, from 0 on: so a reader sees every wrap.
    """
    if not len(high):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    before = np.concatenate([[0], high[:-1]])
    jump = high - before
    count = -(-jump // step)
    count[0] = max(1, count[0])
    total = int(count.sum())
    if total - np.count_nonzero(count) > SMALL // 8:
        raise too_far(path, int(high[-1]), 8 * total)
    ends = np.cumsum(count)
    owner = np.repeat(np.arange(len(high)), count)
    back = ends[owner] - 1 - np.arange(total)  # 0 for the last mark before its event
    return (high[owner] - back * step) % wrap, ends
