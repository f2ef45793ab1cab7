"""Training augmentation of events: a random small movement of the picture, missing events, an uneven clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import EVENT, Events, Sensor, read_only, validate, whole
from snnsim.kernel import jit
from snnsim.rule import finite

KNOT = 8  # pixels between the knots of an elastic distortion


@dataclass(frozen=True)
class Augment:
    """A random change of a recording, a function of its events and an integer seed alone. All are off at 0.

    shift: up to so many pixels right or left, and, where the sensor has more than one row, up or down (whole numbers).
    rotate: up to so many degrees either way. scale: larger or smaller by up to this fraction. shear: columns lean by up to
    this many pixels a pixel. These act on the picture as a whole, about the middle of the sensor: an event goes to the
    nearest pixel, and is lost where that is off the sensor. drop: each event is lost with this probability. stretch: all
    times are longer or shorter by up to this fraction. jitter: each time moves by up to so many ms; the events are sorted
    again. elastic: the picture is bent as well, before it is moved as a whole: knots, every 8 pixels right and down, are
    displaced by up to so many pixels right or left, and up or down, each on its own, and what lies between by the bilinear
    mean of the four around it. The kind of distortion is that of Simard, Steinkraus, Platt, ICDAR (2003), who blur a field
    of a displacement for each pixel; the knots are ours. For a cochlea, whose columns are channels, shift and scale are another
    voice and stretch another pace.

    Errors: ValueError that names the argument.
    """

    shift: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    drop: float = 0.0
    stretch: float = 0.0
    jitter: float = 0.0
    elastic: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            finite(f.name, getattr(self, f.name), at_least=0.0)
        object.__setattr__(self, "shift", whole("shift", self.shift, 0))
        if self.drop > 1.0:
            raise ValueError(f"drop must be a probability from 0 to 1, got {self.drop!r}")
        for name in ("scale", "stretch"):
            if getattr(self, name) >= 1.0:
                raise ValueError(f"{name} must be below 1, got {getattr(self, name)!r}")

    def __call__(self, events: Events, sensor: Sensor, seed: int) -> Events:
        """The changed events, a new array; they are checked as `validate` does."""
        validate(events, sensor)
        rng = np.random.default_rng(whole("seed", seed, 0))
        angle, scale, shear, stretch = rng.uniform(-1.0, 1.0, 4) * (math.radians(self.rotate), self.scale, self.shear,
                                                                    self.stretch)
        right, down = rng.integers(-self.shift, self.shift, 2, endpoint=True)
        if sensor.height == 1:
            down = 0  # all events would be lost
        size, sine, cosine = 1.0 + scale, math.sin(angle), math.cos(angle)
        # Shear, then rotate and scale: (x, y) -> size R (x + shear y, y).
        matrix = size * np.array([[cosine, cosine * shear - sine], [sine, sine * shear + cosine]])
        kept = rng.random(len(events), np.float32) >= self.drop if self.drop else np.ones(len(events), np.bool_)
        times = events["t"].copy()
        order = np.arange(len(events))
        if self.stretch:
            times = (times * (1.0 + stretch)).astype(np.int64)
        if self.jitter:
            late = rng.uniform(-1000.0 * self.jitter, 1000.0 * self.jitter, len(events))
            times = np.maximum(0, times + late.astype(np.int64))
            order = np.argsort(times, kind="stable")
        bent = np.zeros((2, 0, 0))
        if self.elastic:
            knots = (math.ceil(n / KNOT) + 1 for n in (sensor.height, sensor.width))
            bent = rng.uniform(-self.elastic, self.elastic, (2, *knots))
            bent[1] *= sensor.height > 1
        out = np.empty(len(events), EVENT)
        count = _move(read_only(events), times, order, kept, bent, matrix, right, down, sensor.height, sensor.width, out)
        return out[:count]


@jit(nogil=True)
def _between(values: NDArray[np.float64], row: int, column: int, below: float, right_of: float) -> Any:
    top = (1.0 - right_of) * values[row, column] + right_of * values[row, column + 1]
    bottom = (1.0 - right_of) * values[row + 1, column] + right_of * values[row + 1, column + 1]
    return (1.0 - below) * top + below * bottom


@jit(nogil=True)
def _move(events: Events, times: NDArray[np.int64], order: NDArray[np.int64], kept: NDArray[np.bool_],
          bent: NDArray[np.float64], matrix: NDArray[np.float64], right: int, down: int, height: int, width: int,
          out: Events) -> int:
    middle_x, middle_y = 0.5 * (width - 1), 0.5 * (height - 1)
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    count = 0
    for i in order:
        if not kept[i]:
            continue
        e = events[i]
        from_x, from_y = e["x"] - middle_x, e["y"] - middle_y
        if bent.size:
            right_of, below = e["x"] / KNOT, e["y"] / KNOT
            left, above = int(right_of), int(below)
            right_of, below = right_of - left, below - above
            from_x += _between(bent[0], above, left, below, right_of)
            from_y += _between(bent[1], above, left, below, right_of)
        x = int(np.floor(a * from_x + b * from_y + middle_x + right + 0.5))
        y = int(np.floor(c * from_x + d * from_y + middle_y + down + 0.5))
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        o = out[count]
        o["t"], o["x"], o["y"], o["p"] = times[i], x, y, e["p"]
        count += 1
    return count
