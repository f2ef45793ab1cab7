"""Transforms of place: a table for each axis says where its pixels go, or that they are lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor, whole
from snnsim.datasets.transforms.transform import Transform, probability
from snnsim.kernel import jit
from snnsim.rule import one_of

Table = NDArray[np.int32]
LOST = -1


@dataclass(frozen=True)
class Crop(Transform):
    """Keep the events of a rectangle of the sensor, which becomes the sensor.

    height, width: of the rectangle, in pixels. top, left: its first row and column; None puts it in the middle (the first
    of two rows or columns where it cannot be). Errors: ValueError where it does not lie on the sensor.
    """

    height: int
    width: int
    top: int | None = None
    left: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("height", 1), ("width", 1), ("top", 0), ("left", 0)):
            if getattr(self, name) is not None or least:
                object.__setattr__(self, name, whole(name, getattr(self, name), least))

    def corner(self, sensor: Sensor) -> tuple[int, int]:
        """The first row and column on this sensor."""
        top = (sensor.height - self.height) // 2 if self.top is None else self.top
        left = (sensor.width - self.width) // 2 if self.left is None else self.left
        if not 0 <= top <= sensor.height - self.height or not 0 <= left <= sensor.width - self.width:
            raise ValueError(f"a rectangle of height {self.height} and width {self.width} at top {top}, left {left} does not "
                             f"lie on the sensor of height {sensor.height} and width {sensor.width}")
        return top, left

    def after(self, sensor: Sensor) -> Sensor:
        self.corner(sensor)
        return Sensor(self.height, self.width, sensor.polarities)

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        top, left = self.corner(sensor)
        down, across = _row(sensor.height) - top, _row(sensor.width) - left
        down[(down < 0) | (down >= self.height)] = LOST
        across[(across < 0) | (across >= self.width)] = LOST
        return int(_look_up(events, across, down, _row(2), out))


@dataclass(frozen=True)
class Downsample(Transform):
    """Join `factor` x `factor` pixels to one; the last row and column of the new sensor may join fewer. No event is lost.

    factor: a whole number, or two, down and across. distinct: of events that are then the same (t, x, y and p) one is kept.
    """

    factor: int | tuple[int, int]
    distinct: bool = False

    def __post_init__(self) -> None:
        given = self.factor
        down, across = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, given)
        object.__setattr__(self, "factor", (whole("factor", down, 1), whole("factor", across, 1)))
        one_of("distinct", self.distinct, (False, True))
        object.__setattr__(self, "distinct", bool(self.distinct))

    @property
    def factors(self) -> tuple[int, int]:
        """Down and across."""
        assert isinstance(self.factor, tuple)
        return self.factor

    def after(self, sensor: Sensor) -> Sensor:
        down, across = self.factors
        return Sensor(-(-sensor.height // down), -(-sensor.width // across), sensor.polarities)

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        down, across = self.factors
        count = int(_look_up(events, _row(sensor.width) // np.int32(min(across, 2**16)),
                             _row(sensor.height) // np.int32(min(down, 2**16)), _row(2), out))
        if self.distinct:
            count = int(_distinct(out[:count], np.full(self.after(sensor).shape, -1, np.int64)))
        return count


@dataclass(frozen=True)
class Flip(Transform):
    """Mirror a recording: "x" left and right, "y" top and bottom, "p" ON and OFF, "t" its first and its last event.

    probability: that a recording is mirrored; decided by the seed and the recording's number. A film run backwards is
    `Compose(Flip("t"), Flip("p"))`: what grew brighter grows darker.
    """

    axis: str
    probability: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("axis", self.axis, ("x", "y", "p", "t"))
        object.__setattr__(self, "probability", probability("probability", self.probability))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))

    def after(self, sensor: Sensor) -> Sensor:
        if self.axis == "p" and sensor.polarities == 1:
            raise ValueError("axis 'p' needs a sensor of 2 polarities, got one of 1")
        return sensor

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        mirrored = self.probability == 1.0 or self.generator(self.seed, number, place).random() < self.probability
        if not mirrored or not len(events):
            out[:len(events)] = events
        elif self.axis == "t":
            out[:len(events)] = events[::-1]
            out["t"][:len(events)] = events["t"][0] + (events["t"][-1] - events["t"][::-1])
        else:
            across, down, sign = _row(sensor.width), _row(sensor.height), _row(2)
            tables = {"x": (across[::-1], down, sign), "y": (across, down[::-1], sign), "p": (across, down, sign[::-1])}
            _look_up(events, *(np.ascontiguousarray(table) for table in tables[self.axis]), out)
        return len(events)


@dataclass(frozen=True)
class MergePolarities(Transform):
    """Make OFF of every event, on a sensor of one polarity; no event is lost."""

    def after(self, sensor: Sensor) -> Sensor:
        return Sensor(sensor.height, sensor.width, 1)

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        return int(_look_up(events, _row(sensor.width), _row(sensor.height), np.zeros(2, np.int32), out))


def _row(size: int) -> Table:
    return np.arange(size, dtype=np.int32)


@jit(nogil=True)
def _look_up(events: Events, across: Table, down: Table, sign: Table, out: Events) -> int:
    count = 0
    for i in range(len(events)):
        e = events[i]
        x, y = across[e["x"]], down[e["y"]]
        if x < 0 or y < 0:
            continue
        o = out[count]
        o["t"], o["x"], o["y"], o["p"] = e["t"], x, y, sign[e["p"]]
        count += 1
    return count


@jit(nogil=True)
def _distinct(events: Events, last: NDArray[np.int64]) -> int:
    """Move events that were not there in the same microsecond to the front. last: [polarities, height, width], -1 for never."""
    count = 0
    for i in range(len(events)):
        e = events[i]
        if last[e["p"], e["y"], e["x"]] != e["t"]:
            last[e["p"], e["y"], e["x"]] = e["t"]
            events[count] = events[i]
            count += 1
    return count
