"""Filters of noise: events are kept or lost for what their pixel, or the pixels around it, did before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.transforms.transform import Transform, keep, microseconds
from snnsim.kernel import jit
from snnsim.rule import finite, one_of


@dataclass(frozen=True)
class Denoise(Transform):
    """Keep an event when one of the pixels around its own fired at most dt ms before it: a background activity filter.

    Event i is kept if there is a j < i with 0 < max(|x_i - x_j|, |y_i - y_j|) <= 1 and t_i - t_j <= dt. Polarity does not
    count, its own pixel does not, and an event that is lost still supports later ones. neighbours: 8, or 4 for those that
    share an edge. Source: Delbruck, Frame-free dynamic digital vision (2008).
    """

    dt: float = 10.0
    neighbours: int = 8

    def __post_init__(self) -> None:
        microseconds("dt", self.dt)
        object.__setattr__(self, "dt", float(self.dt))
        one_of("neighbours", self.neighbours, (4, 8))
        object.__setattr__(self, "neighbours", int(self.neighbours))

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        last = np.full((sensor.height + 2, sensor.width + 2), -1, np.int64)
        return int(_denoise(events, microseconds("dt", self.dt), self.neighbours == 8, last, out))


@jit(nogil=True)
def _denoise(events: Events, dt: int, corners: bool, last: NDArray[np.int64], out: Events) -> int:
    """last: when each pixel fired, -1 for never, with a rim of one pixel that never fires."""
    count = 0
    for i in range(len(events)):
        e = events[i]
        t, y, x = e["t"], np.int64(e["y"]) + 1, np.int64(e["x"]) + 1
        near = max(max(last[y - 1, x], last[y + 1, x]), max(last[y, x - 1], last[y, x + 1]))
        if corners:
            near = max(near, max(max(last[y - 1, x - 1], last[y - 1, x + 1]), max(last[y + 1, x - 1], last[y + 1, x + 1])))
        if near >= 0 and t - near <= dt:
            out[count] = e
            count += 1
        last[y, x] = t
    return count


@dataclass(frozen=True)
class Refractory(Transform):
    """After an event that is kept, its pixel's events are lost for `period` ms: kept if t - t_kept >= period.

    Polarity does not count. extending: an event that is lost starts the period again, so that a pixel is heard only after
    it was silent for `period`.
    """

    period: float
    extending: bool = False

    def __post_init__(self) -> None:
        microseconds("period", self.period)
        object.__setattr__(self, "period", float(self.period))
        one_of("extending", self.extending, (False, True))
        object.__setattr__(self, "extending", bool(self.extending))

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        last = np.full((sensor.height, sensor.width), -1, np.int64)
        return int(_refractory(events, microseconds("period", self.period), self.extending, last, out))


@jit(nogil=True)
def _refractory(events: Events, period: int, extending: bool, last: NDArray[np.int64], out: Events) -> int:
    count = 0
    for i in range(len(events)):
        e = events[i]
        t, y, x = e["t"], e["y"], e["x"]
        kept = last[y, x] < 0 or t - last[y, x] >= period
        if kept:
            out[count] = e
            count += 1
        if kept or extending:
            last[y, x] = t
    return count


@dataclass(frozen=True)
class HotPixels(Transform):
    """Lose every event of the pixels that fire too often, both polarities counted together. Give one of the two limits.

    rate: events a second, from the recording's first event to its last, 1 µs included: lost if count > rate * duration.
    times: lost if a pixel's count is above so many times the mean count of the pixels that fired.
    """

    rate: float | None = None
    times: float | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.times is None):
            raise ValueError(f"give either rate or times, got rate={self.rate!r} and times={self.times!r}")
        if self.rate is not None:
            object.__setattr__(self, "rate", float(finite("rate", self.rate, above=0.0)))
        if self.times is not None:
            object.__setattr__(self, "times", float(finite("times", self.times, at_least=1.0)))

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        if not len(events):
            return 0
        pixel = events["y"].astype(np.int64) * sensor.width + events["x"]
        counts = np.bincount(pixel, minlength=sensor.height * sensor.width)
        if self.rate is not None:
            most = self.rate * ((int(events["t"][-1]) - int(events["t"][0]) + 1) / 1e6)
        else:
            assert self.times is not None
            most = self.times * len(events) / np.count_nonzero(counts)
        return keep(events, (counts <= most)[pixel], out)
