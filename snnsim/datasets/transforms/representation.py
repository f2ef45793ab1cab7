"""What turns events into an array, such as frames: one recording at a time, into a buffer of yours or a new one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Events, Recording, Sensor, read_only, validate

MOST = 2**32  # bytes of an array


class Representation(ABC):
    """Events to an array whose first axis is time: `frames(events, sensor)`, `frames(recording)`, or `frames(dataset)`, a
    sequence of (array, label) that a torch DataLoader takes as it is.

    out: a contiguous array of the right shape and dtype to write into; whatever is in it is overwritten.
    Errors: ValueError that names the argument, those of `validate` for the events; more than 4 GiB are refused.
    """

    @abstractmethod
    def shape(self, events: Events, sensor: Sensor) -> tuple[int, int, int, int]:
        """[T, channels, height, width] for these events."""

    @property
    @abstractmethod
    def type(self) -> np.dtype[Any]:
        """The array's dtype."""

    @abstractmethod
    def fill(self, events: Events, sensor: Sensor, out: NDArray[Any]) -> int:
        """Write what the read-only events make; the index of an event that is not valid, or -1."""

    @overload
    def __call__(self, of: Recording, *, out: NDArray[Any] | None = None) -> NDArray[Any]: ...

    @overload
    def __call__(self, of: EventDataset) -> Represented: ...

    @overload
    def __call__(self, of: Events, sensor: Sensor, out: NDArray[Any] | None = None) -> NDArray[Any]: ...

    def __call__(self, of: Any, sensor: Sensor | None = None, out: NDArray[Any] | None = None) -> Any:
        if isinstance(of, (Recording, EventDataset)) and sensor is not None:
            raise ValueError("sensor belongs to an array of events: a recording and a data set know their sensor")
        if isinstance(of, EventDataset):
            return Represented(of, self)
        events, sensor = (of.events, of.sensor) if isinstance(of, Recording) else (of, sensor)
        if not isinstance(sensor, Sensor):
            raise ValueError(f"sensor must be the Sensor that the events are of, got {sensor!r}")
        if not isinstance(events, np.ndarray) or events.ndim != 1 or events.dtype.names != ("t", "x", "y", "p"):
            validate(events, sensor)
        shape = self.shape(events, sensor)
        if out is None:
            size = int(np.prod(shape, dtype=object)) * self.type.itemsize
            if size > MOST:
                validate(events, sensor)
                raise ValueError(f"an array of shape {shape} takes {size / 2**30:.1f} GiB, at most {MOST >> 30} are allowed: "
                                 "ask for fewer or longer parts, or slice the recording")
            out = np.empty(shape, self.type)
        elif not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != self.type or not (
                out.flags.c_contiguous and out.flags.writeable):
            got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(f"out must be a contiguous, writable array of {self.type} and shape {shape}, got {got}")
        if self.fill(read_only(events), sensor, out) >= 0:
            validate(events, sensor)
        return out


@dataclass(frozen=True, eq=False)
class Represented(Sequence[tuple[NDArray[Any], int]]):
    """A data set as arrays with labels, made when they are asked for."""

    of: EventDataset
    representation: Representation

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, index: Any) -> Any:
        found = self.of[index]
        if isinstance(found, EventDataset):
            return Represented(found, self.representation)
        return self.representation(found), found.label
