"""Random transforms: noise in place and time, and events that go missing one by one, for a while, or in a patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.datasets.events import Events, Sensor, whole
from snnsim.datasets.transforms.transform import Transform, keep, probability
from snnsim.rule import finite

LARGEST = 2**62  # µs that a time can move by
LATEST = 2**63 - 1


@dataclass(frozen=True)
class Jitter(Transform):
    """Move each event on its own by normal noise, rounded to whole pixels and microseconds.

    space: standard deviation in pixels, right and down alike; an event that leaves the sensor is lost. time: standard
    deviation in ms; times below 0 become 0, and the events are sorted again, those of one time in the order they had.
    """

    space: float = 0.0
    time: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("space", "time"):
            object.__setattr__(self, name, float(finite(name, getattr(self, name), at_least=0.0)))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        rng, n = self.generator(self.seed, number, place), len(events)
        moved = out[:n]
        moved[:] = events
        if self.time:
            late = np.clip(np.rint(1000.0 * self.time * rng.standard_normal(n)), -LARGEST, LARGEST).astype(np.int64)
            moved["t"] = np.maximum(0, events["t"] + np.minimum(late, LATEST - events["t"]))
            moved[:] = moved[np.argsort(moved["t"], kind="stable")]
        if not self.space:
            return n
        x, y = (moved[name] + np.rint(self.space * rng.standard_normal(n)) for name in ("x", "y"))
        kept = (x >= 0) & (x < sensor.width) & (y >= 0) & (y < sensor.height)
        moved["x"], moved["y"] = np.where(kept, x, 0), np.where(kept, y, 0)
        return keep(moved, kept, out)


@dataclass(frozen=True)
class Drop(Transform):
    """Lose each event with this probability, on its own."""

    probability: float
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "probability", probability("probability", self.probability))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        return keep(events, self.generator(self.seed, number, place).random(len(events)) >= self.probability, out)


@dataclass(frozen=True)
class _Fraction(Transform):
    """Loses a part of this size, which lies anywhere."""

    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "fraction", probability("fraction", self.fraction))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))


@dataclass(frozen=True)
class DropTime(_Fraction):
    """Lose all events of one span of time, which is this fraction of the recording's duration and lies anywhere inside."""

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        if not len(events):
            return 0
        t = events["t"] - events["t"][0]
        duration = int(t[-1]) + 1
        length = min(duration, round(self.fraction * duration))
        start = int(self.generator(self.seed, number, place).integers(0, min(duration - length, LATEST), endpoint=True))
        return keep(events, (t < start) | (t - start >= length), out)


@dataclass(frozen=True)
class DropArea(_Fraction):
    """Lose all events of one rectangle, this fraction of the sensor's height and of its width, that lies anywhere on it."""

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        rng, inside = self.generator(self.seed, number, place), np.ones(len(events), np.bool_)
        for name, size in (("y", sensor.height), ("x", sensor.width)):
            length = round(self.fraction * size)
            start = int(rng.integers(0, size - length, endpoint=True))
            inside &= (events[name] >= start) & (events[name] < start + length)
        return keep(events, ~inside, out)
