"""What an event and a recording are, and the check that makes an array of events trustworthy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.kernel import jit

Events = NDArray[Any]

EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])  # t in µs; y grows downwards; p = 1 is ON
NAMES = ("t", "x", "y", "p")


@dataclass(frozen=True)
class Sensor:
    """Size of an event sensor, in pixels. polarities: 2 for OFF and ON, 1 for a sensor that tells no difference.

    Errors: ValueError that names the argument.
    """

    height: int
    width: int
    polarities: int = 2

    def __post_init__(self) -> None:
        for name, most in (("height", 2**16), ("width", 2**16), ("polarities", 2)):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1, most))
        if self.size > 2**31 - 1:
            raise ValueError(f"a sensor has at most {2**31 - 1} features, got {self.polarities} x {self.height} x "
                             f"{self.width}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(polarities, height, width): the shape of one frame."""
        return self.polarities, self.height, self.width

    @property
    def size(self) -> int:
        return self.polarities * self.height * self.width


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Events of one sensor, checked, sorted by time and read-only, with their label.

    source: the file or the id that they come from. Errors: ValueError from `validate`.
    """

    events: Events
    label: int
    sensor: Sensor
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", whole("label", self.label))
        events = np.asarray(self.events)
        validate(events, self.sensor, f"events of {self.source}" if self.source else "events")
        if events.flags.writeable:
            events = events.copy()
            events.setflags(write=False)
        object.__setattr__(self, "events", events)

    @classmethod
    def of_checked(cls, events: Events, label: int, sensor: Sensor, source: str) -> Recording:
        """A recording of events that a decoder has checked one by one and that cannot be written: not checked again."""
        new = object.__new__(cls)
        for name, value in (("events", events), ("label", label), ("sensor", sensor), ("source", source)):
            object.__setattr__(new, name, value)
        return new

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"Recording({len(self)} events, label={self.label}, {self.sensor}, source={self.source!r})"


def make_events(t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike) -> Events:
    """An array of dtype EVENT from columns of whole numbers (t in µs), in the order given.

    Errors: ValueError that names the column whose numbers are not whole, do not fit, or are not as many as t.
    """
    columns = [np.asarray(c) for c in (t, x, y, p)]
    events = np.empty(columns[0].size, EVENT)
    for name, column in zip(NAMES, columns, strict=True):
        if column.shape != (len(events),):
            raise ValueError(f"{name} must be a row of {len(events)} numbers, as t, got shape {column.shape}")
        limits = np.iinfo(EVENT[name])
        if column.size and not np.all((column >= limits.min) & (column <= limits.max) & (column == np.floor(column))):
            raise ValueError(f"{name} must hold whole numbers from {limits.min} to {limits.max}")
        events[name] = column
    return events


def validate(events: Events, sensor: Sensor | None = None, name: str = "events") -> None:
    """ValueError that names the argument, the first event that is wrong, and its value, unless all of these hold.

    The array is one-dimensional and of dtype EVENT, times are not negative and never run backwards, p is 0 or 1
    (0 where the sensor has one polarity), and x and y lie on the sensor, where one is given.
    """
    if not isinstance(events, np.ndarray) or events.dtype != EVENT:
        got = events.dtype if isinstance(events, np.ndarray) else type(events).__name__
        raise ValueError(f"{name} must be an array with the fields t (int64, µs), x, y (uint16) and p (uint8), got "
                         f"{got}: make one with datasets.make_events(t, x, y, p)")
    if events.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {events.shape}")
    height, width, polarities = (sensor.height, sensor.width, sensor.polarities) if sensor else (2**16, 2**16, 2)
    bad = int(_first_bad(read_only(events), height, width, polarities))
    if bad < 0:
        return
    t, x, y, p = (int(events[bad][n]) for n in NAMES)
    where = f"{name}: event {bad} has"
    if t < 0:
        raise ValueError(f"{where} t = {t}: times must not be negative")
    if bad and t < events[bad - 1]["t"]:
        raise ValueError(f"{where} t = {t} after {events[bad - 1]['t']}: times must not run backwards")
    if x >= width or y >= height:
        raise ValueError(f"{where} x = {x}, y = {y}: outside the sensor of width {width} and height {height}")
    raise ValueError(f"{where} p = {p}: the sensor knows {'0 and 1' if polarities == 2 else 'only 0'}")


@jit(nogil=True)
def _first_bad(events: Events, height: int, width: int, polarities: int) -> int:
    last = 0
    for i in range(len(events)):
        e = events[i]
        if e["t"] < last or e["x"] >= width or e["y"] >= height or e["p"] >= polarities:
            return i
        last = e["t"]
    return -1


def read_only(events: Events) -> Events:
    """A contiguous view that cannot be written: one type of array for every kernel, so that each is compiled once."""
    flags = events.flags
    if type(events) is np.ndarray and flags.c_contiguous and not flags.writeable:
        return events
    view = np.ascontiguousarray(events).view()
    view.setflags(write=False)
    return view


def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """The value as an int; ValueError that names it when it is not a whole number from least to most."""
    try:
        number = int(value)
        fits = number == value and not isinstance(value, bool)
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits or (least is not None and number < least) or (most is not None and number > most):
        limits = "" if least is None else f" from {least}" + ("" if most is None else f" to {most}")
        raise ValueError(f"{name} must be a whole number{limits}, got {value!r}")
    return number
