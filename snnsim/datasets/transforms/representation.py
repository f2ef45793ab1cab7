"""What turns events into an array, such as frames: one recording at a time, into a buffer of yours or a new one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import EVENT, Events, Recording, Sensor, read_only, validate
from snnsim.datasets.eventstore.mapped import Columns
from snnsim.datasets.eventstore.reading import EventStore

MOST = 2**32  # bytes of an array
NONE = np.empty(0, EVENT)


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

    @property
    @abstractmethod
    def steps(self) -> int | None:
        """T where it is the same for all recordings, or else None."""

    @abstractmethod
    def fill(self, events: Events, sensor: Sensor, out: NDArray[Any], at: int = 0) -> int:
        """Write what the read-only events make to out[:, at], [T, samples, features]; the index of an event that is not
        valid, or -1."""

    def fill_stored(self, stored: Columns, sensor: Sensor, out: NDArray[Any], at: int) -> int | None:
        """The same for events of a store; None where they have to be read first."""
        return None

    @overload
    def __call__(self, of: Recording, *, out: NDArray[Any] | None = None) -> NDArray[Any]: ...

    @overload
    def __call__(self, of: EventDataset) -> Represented: ...

    @overload
    def __call__(self, of: Events, sensor: Sensor, out: NDArray[Any] | None = None) -> NDArray[Any]: ...

    def __call__(self, of: Any, sensor: Sensor | None = None, out: NDArray[Any] | None = None) -> Any:
        if not isinstance(of, np.ndarray) and isinstance(of, (Recording, EventDataset)):
            if sensor is not None:
                raise ValueError("sensor belongs to an array of events: a recording and a data set know their sensor")
            if isinstance(of, EventDataset):
                return Represented(of, self)
            of, sensor = of.events, of.sensor
        if not isinstance(sensor, Sensor):
            raise ValueError(f"sensor must be the Sensor that the events are of, got {sensor!r}")
        if not isinstance(of, np.ndarray) or of.dtype != EVENT or of.ndim != 1:
            validate(of, sensor)
        shape = self.shape(of, sensor)
        if out is None:
            if math.prod(shape) * self.type.itemsize > MOST:
                validate(of, sensor)
            out = self.empty(shape)
        else:
            self.check_out(out, shape)
        if self.fill(read_only(of), sensor, out.reshape(shape[0], 1, -1)) >= 0:
            validate(of, sensor)
        return out

    def empty(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """A new array; ValueError for one that is too large."""
        size = math.prod(shape) * self.type.itemsize
        if size > MOST:
            raise ValueError(f"an array of shape {shape} takes {size / 2**30:.1f} GiB, at most {MOST >> 30} are allowed: "
                             "ask for fewer or longer parts, or slice the recording")
        return np.empty(shape, self.type)

    def check_out(self, out: Any, shape: tuple[int, ...]) -> None:
        """ValueError unless out can take an array of this shape."""
        if (not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != self.type
                or not ((flags := out.flags).c_contiguous and flags.writeable)):
            got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(f"out must be a contiguous, writable array of {self.type} and shape {shape}, got {got}")


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

    def batch(self, indices: Any, out: NDArray[Any] | None = None) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The recordings at these indices, time first, [T, N, channels, height, width], and their labels, [N].

        Frames of an event store are counted from its map, without an array of events in between. out: an array to write
        into, as for one recording. Errors: ValueError where T depends on the recording; those of one recording.
        """
        if self.representation.steps is None:
            raise ValueError("a batch needs recordings of as many parts each: give bins or event_bins")
        part, make = self.of[np.asarray(indices)], self.representation
        assert part.numbers is not None
        steps, *frame = make.shape(NONE, part.sensor)
        shape = (steps, len(part), *frame)
        if out is None:
            out = make.empty(shape)
        else:
            make.check_out(out, shape)
        flat = out.reshape(steps, len(part), math.prod(frame))
        store = part.store if isinstance(part.store, EventStore) else None
        for i, number in enumerate(part.numbers.tolist()):
            bad = make.fill_stored(store.columns(number), part.sensor, flat, i) if store else None
            if bad is None:
                bad = make.fill(read_only(part[i].events), part.sensor, flat, i)
            if bad >= 0:
                part[i]  # says what is wrong with it
        return out, part.labels
