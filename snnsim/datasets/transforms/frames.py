"""Frames: how many events each pixel had in each part of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.transforms.cutting import Cutting
from snnsim.datasets.transforms.representation import Representation
from snnsim.kernel import jit
from snnsim.rule import one_of

LIMITS = {"uint8": 2**8 - 1, "int16": 2**15 - 1, "int32": 2**31 - 1, "float32": 2**24}  # the largest count each holds exactly


@dataclass(frozen=True)
class Frames(Cutting, Representation):
    """Count events, [T, polarities, height, width]: out[k, p, y, x] events of that pixel in part k; see `Cutting` for parts.

    No event is lost: out.sum() == len(events). dtype: "uint8", "int16", "int32" or "float32".
    Errors: ValueError when a count is larger than the dtype holds.
    """

    dtype: str = "int16"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("dtype", self.dtype, LIMITS)

    @property
    def type(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    def shape(self, events: Events, sensor: Sensor) -> tuple[int, int, int, int]:
        return (self.cut(events).parts, *sensor.shape)

    def fill(self, events: Events, sensor: Sensor, out: NDArray[Any]) -> int:
        by_time, start, span, _ = self.cut(events)
        most = LIMITS[self.dtype]
        flat = out.reshape(len(out), -1)
        bad, full = _count(events, by_time, start, span, sensor.height, sensor.width, sensor.polarities, most, flat)
        if full >= 0:
            e = events[full]
            raise ValueError(f"pixel x = {e['x']}, y = {e['y']} has more than {most} events in one frame, the most that "
                             f"{self.dtype} holds: use a larger dtype or shorter frames")
        return int(bad)


@jit(nogil=True)
def _count(events: Events, by_time: bool, start: int, span: int, height: int, width: int, polarities: int, most: int,
           out: NDArray[Any]) -> tuple[int, int]:
    """out: [parts, features], any numbers. Returns the first event that is not valid and one that is too many, or -1."""
    parts = len(out)
    i, last = 0, np.int64(0)
    for k in range(parts):
        frame = out[k]
        frame[:] = 0
        edge = start + ((k + 1) * span + parts - 1) // parts
        while i < len(events):
            e = events[i]
            t = e["t"]
            if (t if by_time else i) >= edge:
                break
            if t < last or e["x"] >= width or e["y"] >= height or e["p"] >= polarities:
                return i, -1
            last = t
            feature = (np.int64(e["p"]) * height + e["y"]) * width + e["x"]
            if frame[feature] >= most:
                return -1, i
            frame[feature] += 1
            i += 1
    return (i if i < len(events) else -1), -1
