"""What a transform is: a frozen dataclass that turns events into events, one recording at a time, when they are asked for."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import EVENT, Events, Recording, Sensor, read_only, validate, whole
from snnsim.rule import finite


class Transform(ABC):
    """Events to events, never more than came in, in order of time.

    `transform(events, sensor)` gives a new array, `transform(recording)` a recording, `transform(dataset)` a data set that
    is transformed recording by recording, when it is read. `after(sensor)` is the sensor that the new events are of.
    number: which recording this is; what is random depends on the seed, the number, the transform's kind and its place in a
    `Compose`, and on nothing else. In a data set it is the recording's number in the store. out: an array of dtype EVENT
    that the events are written into, as long as `events` or longer, apart from them in memory; the result is its beginning.

    The repr names every parameter in one way only: equal reprs of one version of snnsim give equal events.

    Errors: ValueError that names the argument, those of `validate` for the events.
    """

    def after(self, sensor: Sensor) -> Sensor:
        """The sensor that the transformed events are of."""
        return sensor

    @abstractmethod
    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        """Write what becomes of checked, read-only events to the beginning of out, and return how many they are."""

    @overload
    def __call__(self, of: Recording, *, number: int = 0) -> Recording: ...

    @overload
    def __call__(self, of: EventDataset) -> EventDataset: ...

    @overload
    def __call__(self, of: Events, sensor: Sensor, number: int = 0, out: Events | None = None) -> Events: ...

    def __call__(self, of: Any, sensor: Sensor | None = None, number: int = 0, out: Events | None = None) -> Any:
        if isinstance(of, (Recording, EventDataset)) and (sensor is not None or out is not None):
            raise ValueError("sensor and out belong to an array of events: a recording and a data set know their sensor")
        if isinstance(of, EventDataset):
            return replace(of, sensor=self.after(of.sensor), store=Transformed(of.store, self, of.sensor))
        number = whole("number", number, 0)
        if isinstance(of, Recording):
            made = self._made(of.events, of.sensor, number, None)
            made.setflags(write=False)
            return Recording(made, of.label, self.after(of.sensor), of.source)
        if not isinstance(sensor, Sensor):
            raise ValueError(f"sensor must be the Sensor that the events are of, got {sensor!r}")
        validate(of, sensor)
        return self._made(of, sensor, number, out)

    def _made(self, events: Events, sensor: Sensor, number: int, out: Events | None) -> Events:
        self.after(sensor)  # says what does not fit the sensor
        if out is None:
            out = np.empty(len(events), EVENT)
        else:
            check_out(out, events)
        return out[:self.into(read_only(events), sensor, number, 0, out)]

    def generator(self, seed: int, number: int, place: int) -> np.random.Generator:
        """Random numbers of this kind of transform, at this place, for this recording."""
        return np.random.default_rng((seed, number, zlib.crc32(type(self).__name__.encode()), place))


@dataclass(frozen=True, init=False)
class Compose(Transform):
    """One transform after another: `Compose(Denoise(5.0), Downsample(2))`. Composes inside of it are laid flat.

    Errors: ValueError that names the stage that is no transform.
    """

    stages: tuple[Transform, ...]

    def __init__(self, *stages: Transform) -> None:
        flat: list[Transform] = []
        for i, stage in enumerate(stages):
            if not isinstance(stage, Transform):
                raise ValueError(f"stage {i} must be a transform of events to events, got {stage!r}")
            flat += stage.stages if isinstance(stage, Compose) else (stage,)
        object.__setattr__(self, "stages", tuple(flat))

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.stages))})"

    def after(self, sensor: Sensor) -> Sensor:
        for stage in self.stages:
            sensor = stage.after(sensor)
        return sensor

    def into(self, events: Events, sensor: Sensor, number: int, place: int, out: Events) -> int:
        if not self.stages:
            out[:len(events)] = events
            return len(events)
        spare = np.empty(len(events), EVENT) if len(self.stages) > 1 else out
        for i, stage in enumerate(self.stages):
            to = out if (len(self.stages) - i) % 2 else spare  # the last one writes to out
            count = stage.into(events, sensor, number, place + i, to)
            events, sensor = read_only(to[:count]), stage.after(sensor)
        return len(events)


@dataclass(frozen=True, eq=False, repr=False)
class Transformed:
    """The recordings of a store, each transformed when it is read."""

    of: Store
    transform: Transform
    sensor: Sensor

    def __post_init__(self) -> None:
        self.transform.after(self.sensor)

    def __len__(self) -> int:
        return len(self.of)

    def events(self, number: int) -> Events:
        events = self.of.events(number)
        validate(events, self.sensor, f"events of {self.of.source(number)}")
        made = self.transform._made(events, self.sensor, number, None)
        made.setflags(write=False)
        return made

    def source(self, number: int) -> str:
        return self.of.source(number)


def check_out(out: Any, events: Events) -> None:
    """ValueError unless out can take what becomes of the events."""
    if not isinstance(out, np.ndarray) or out.dtype != EVENT or out.ndim != 1 or not out.flags.c_contiguous:
        raise ValueError("out must be a contiguous row of dtype EVENT, got "
                         + (f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__))
    if not out.flags.writeable:
        raise ValueError("out must be writable")
    if len(out) < len(events):
        raise ValueError(f"out must have room for {len(events)} events, as many as come in, got {len(out)}")
    if np.may_share_memory(out, events):
        raise ValueError("out must not share memory with events")


def keep(events: Events, kept: NDArray[np.bool_], out: Events) -> int:
    """Write the events that are kept to the beginning of out, and return how many they are."""
    count = int(np.count_nonzero(kept))
    out[:count] = events[kept]
    return count


def microseconds(name: str, value: float, least: int = 0) -> int:
    """A time in ms as whole µs; ValueError that names it where it is none, or below `least` µs."""
    length = 1000.0 * float(finite(name, value, at_least=least / 1000.0))
    nearest = round(length)
    if abs(length - nearest) > 2 * math.ulp(length) or nearest < least:
        raise ValueError(f"{name} must be whole microseconds, got {float(value)!r} ms")
    if nearest >= 2**62:
        raise ValueError(f"{name} must be below {2**62} µs, got {float(value)!r} ms")
    return nearest


def probability(name: str, value: float) -> float:
    number = float(finite(name, value))
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a probability from 0 to 1, got {value!r}")
    return number
