"""Slices: one recording becomes several, by time or by count, side by side or overlapping."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import Events, Recording, validate, whole
from snnsim.datasets.transforms.transform import microseconds
from snnsim.progress import bar
from snnsim.rule import one_of


class Slicing(ABC):
    """Events to a list of slices, which are views: `slicing(events)`, `slicing(recording)` a list of recordings with its label,
    `slicing(dataset)` a data set of all slices, whose recordings are read once now to count them, and again when asked for.

    Errors: ValueError that names the argument, those of `validate` for the events.
    """

    tail: bool

    @abstractmethod
    def ranges(self, events: Events) -> NDArray[np.int64]:
        """Where each slice begins and ends among checked events: int64, [slices, 2]."""

    @overload
    def __call__(self, of: Recording) -> list[Recording]: ...

    @overload
    def __call__(self, of: EventDataset, progress: bool | None = None) -> EventDataset: ...

    @overload
    def __call__(self, of: Events) -> list[Events]: ...

    def __call__(self, of: Any, progress: bool | None = None) -> Any:
        if isinstance(of, EventDataset):
            return _sliced(of, self, progress)
        if isinstance(of, Recording):
            ranges = self.ranges(of.events)
            return [Recording(of.events[a:b], of.label, of.sensor, _part(of.source, a, b)) for a, b in ranges]
        validate(of)
        return [of[a:b] for a, b in self.ranges(of)]


def _checked(self: Any, size: str, length: int) -> None:
    """The options that both have; length and overlap in µs or events."""
    overlap = microseconds("overlap", self.overlap) if size == "window" else whole("overlap", self.overlap, 0)
    if overlap >= length:
        raise ValueError(f"overlap must be below {size}, got {self.overlap!r} and {getattr(self, size)!r}")
    one_of("tail", self.tail, (False, True))
    object.__setattr__(self, "tail", bool(self.tail))


@dataclass(frozen=True)
class SliceByTime(Slicing):
    """Slices of `window` ms, each beginning window - overlap ms after the one before it, the first at the first event.

    Slice k holds the events with a <= t - t_0 < a + window, a = k (window - overlap). The last slice is the first one that
    reaches the last event; it is left out unless tail is True or it is a whole window up to that event's microsecond.
    Slices without an event are there too, empty. Times stay what they were.
    """

    window: float
    overlap: float = 0.0
    tail: bool = True

    def __post_init__(self) -> None:
        _checked(self, "window", microseconds("window", self.window, 1))
        for name in ("window", "overlap"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def ranges(self, events: Events) -> NDArray[np.int64]:
        if not len(events):
            return np.zeros((0, 2), np.int64)
        length = microseconds("window", self.window)
        t = events["t"] - events["t"][0]
        last = int(t[-1])
        starts = _starts(last + 1, length, length - microseconds("overlap", self.overlap), self.tail)
        ends = starts + np.minimum(length - 1, last - starts)  # the last µs of each: a sum beyond int64 is never made
        return np.stack([np.searchsorted(t, starts), np.searchsorted(t, ends, side="right")], 1).astype(np.int64)


@dataclass(frozen=True)
class SliceByCount(Slicing):
    """Slices of so many events, each beginning events - overlap after the one before it.

    The last slice is the first one that reaches the last event; where it has fewer events it is left out unless tail is True.
    """

    events: int
    overlap: int = 0
    tail: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", whole("events", self.events, 1))
        _checked(self, "events", self.events)
        object.__setattr__(self, "overlap", int(self.overlap))

    def ranges(self, events: Events) -> NDArray[np.int64]:
        if not len(events):
            return np.zeros((0, 2), np.int64)
        starts = _starts(len(events), self.events, self.events - self.overlap, self.tail)
        return np.stack([starts, np.minimum(starts + self.events, len(events))], 1)


MOST = 2**27  # slices of one recording


def _starts(total: int, length: int, step: int, tail: bool) -> NDArray[np.int64]:
    """Where slices begin in 0 ... total - 1, the last being the first that reaches the end, if it is whole or tails are."""
    last = -(-max(0, total - length) // step)
    if last >= MOST:
        raise ValueError(f"the recording makes {last + 1} slices, at most {MOST} are allowed: use longer slices")
    starts = step * np.arange(last + 1, dtype=np.int64)
    return starts if tail or last * step + length == total else starts[:-1]


@dataclass(frozen=True, eq=False, repr=False)
class Sliced:
    """The slices of a store's recordings: slice i is events a to b of recording number n, (n, a, b) being ranges[i]."""

    of: Store
    ranges: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ranges)

    def events(self, number: int) -> Events:
        recording, a, b = self.ranges[number]
        return self.of.events(int(recording))[a:b]

    def source(self, number: int) -> str:
        recording, a, b = self.ranges[number]
        return _part(self.of.source(int(recording)), a, b)


def _part(source: str, a: int, b: int) -> str:
    return f"{source}[{a}:{b}]"


def _sliced(dataset: EventDataset, slicing: Slicing, progress: bool | None) -> EventDataset:
    assert dataset.numbers is not None
    every: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    labels: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    with bar(len(dataset), f"slicing {dataset.name}", progress) as line:
        for number, recording in zip(dataset.numbers, dataset, strict=True):
            found = slicing.ranges(recording.events)
            every.append(np.column_stack([np.full(len(found), number), found]))
            labels.append(np.full(len(found), recording.label))
            line.advance()
    return replace(dataset, labels=np.concatenate(labels), store=Sliced(dataset.store, np.concatenate(every)), numbers=None)
