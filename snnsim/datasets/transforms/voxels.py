"""A voxel grid: each event is shared between the two bins of time around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor, whole
from snnsim.datasets.transforms.representation import Representation
from snnsim.kernel import jit
from snnsim.rule import one_of

GRAIN = 2.0**24


@dataclass(frozen=True)
class VoxelGrid(Representation):
    """Events in `bins` points of time from the first event to the last, [bins, polarities, height, width].

    An event at u = (bins - 1) (t - t_0) / (t_last - t_0) gives max(0, 1 - |k - u|) to point k. signed: ON counts 1 and OFF
    -1 in one channel, [bins, 1, height, width]. The share of the later point is rounded to a multiple of 2^-24, so that the
    two shares of an event add up to 1 exactly; out.sum() is the number of events up to the rounding of sums in dtype, which
    is none in "float64" below 2^28 events a pixel. Where all events have one time, or bins is 1, they are in the first point.
    Source: Zhu, Yuan, Chaney, Daniilidis, CVPR (2019); separate polarities are ours.
    """

    bins: int
    signed: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bins", whole("bins", self.bins, 1, 2**31 - 1))
        one_of("signed", self.signed, (False, True))
        object.__setattr__(self, "signed", bool(self.signed))
        one_of("dtype", self.dtype, ("float32", "float64"))

    @property
    def type(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    @property
    def steps(self) -> int:
        return self.bins

    def shape(self, events: Events, sensor: Sensor) -> tuple[int, int, int, int]:
        if self.signed and sensor.polarities == 1:
            raise ValueError("signed=True needs a sensor of 2 polarities, got one of 1")
        return self.bins, 1 if self.signed else sensor.polarities, sensor.height, sensor.width

    def fill(self, events: Events, sensor: Sensor, out: NDArray[Any], at: int = 0) -> int:
        return int(_share(events, sensor.height, sensor.width, sensor.polarities, self.signed, out, at))


@jit(nogil=True)
def _share(events: Events, height: int, width: int, polarities: int, signed: bool, out: NDArray[Any], at: int) -> int:
    """out: [bins, samples, features], of which out[:, at] is written."""
    out[:, at] = 0.0
    if not len(events):
        return -1
    first = events[0]["t"]
    steps, span = len(out) - 1, events[len(events) - 1]["t"] - first
    slope = steps / np.float64(span) if span > 0 else 0.0
    last = np.int64(0)
    for i in range(len(events)):
        e = events[i]
        t = e["t"]
        if t < last or e["x"] >= width or e["y"] >= height or e["p"] >= polarities:
            return i
        last = t
        u = min((t - first) * slope, np.float64(steps))  # above it only before an event that runs backwards
        k = np.int64(u)
        later = np.floor((u - k) * GRAIN + 0.5) / GRAIN
        feature = np.int64(e["y"]) * width + e["x"]
        weight = 1.0
        if signed:
            weight = 1.0 if e["p"] else -1.0
        else:
            feature += np.int64(e["p"]) * height * width
        out[k, at, feature] += weight * (1.0 - later)
        if later > 0.0 and k < steps:
            out[k + 1, at, feature] += weight * later
    return -1
