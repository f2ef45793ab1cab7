"""A data set is an immutable sequence of labelled recordings, in memory or in files that are read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Recording, Sensor
from snnsim.progress import bar
from snnsim.rule import finite


class Store(Protocol):
    """Where the events of a data set are: numbered from 0, the same at every call."""

    def __len__(self) -> int: ...

    def events(self, number: int) -> Events: ...

    def source(self, number: int) -> str: ...


@dataclass(frozen=True, eq=False, repr=False)
class Files:
    """One file a recording."""

    paths: tuple[str, ...]
    read: Callable[[str], Events]

    def __len__(self) -> int:
        return len(self.paths)

    def events(self, number: int) -> Events:
        events = self.read(self.paths[number])
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return self.paths[number]


@dataclass(frozen=True, eq=False, repr=False)
class Memory:
    """All recordings one after another: recording i is every[offsets[i]:offsets[i + 1]]."""

    every: Events
    offsets: NDArray[np.int64]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, recordings: Sequence[Events], sources: Sequence[str]) -> Memory:
        offsets = np.zeros(len(recordings) + 1, np.int64)
        np.cumsum([len(r) for r in recordings], out=offsets[1:])
        return cls(np.concatenate(recordings), offsets, tuple(sources))

    def __post_init__(self) -> None:
        self.every.setflags(write=False)

    def __len__(self) -> int:
        return len(self.sources)

    def events(self, number: int) -> Events:
        return self.every[self.offsets[number]:self.offsets[number + 1]]

    def source(self, number: int) -> str:
        return self.sources[number]


@dataclass(frozen=True, eq=False, repr=False)
class EventDataset(Sequence[Recording]):
    """Recordings of one sensor with labels: `len`, `dataset[3]` a Recording, `dataset[:100]` or `dataset[indices]` a
    data set that shares the store.

    name: of the set. sensor: of all recordings. classes: their names; labels: int64, [len], indices into classes.
    store: where the events are. numbers: which of the store's recordings these are; None for all.
    extra: what else is known of each recording, such as its speaker: arrays [len] by name.

    Errors: ValueError that names the argument; reading a recording raises what its reader raises.
    """

    name: str
    sensor: Sensor
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    store: Store
    numbers: NDArray[np.int64] | None = None
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = np.arange(len(self.store)) if self.numbers is None else np.array(self.numbers, np.int64)
        labels, most = np.array(self.labels, np.int64), len(self.classes) - 1
        if labels.shape != numbers.shape:
            raise ValueError(f"labels must be one for each of the {len(numbers)} recordings, got shape {labels.shape}")
        if len(labels) and not 0 <= labels.min() <= labels.max() <= most:
            raise ValueError(f"labels must lie from 0 to {most}, as there are {most + 1} classes, got {labels.min()} "
                             f"to {labels.max()}")
        for name, array in (("numbers", numbers), ("labels", labels)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        extra = {name: np.array(values) for name, values in self.extra.items()}
        for name, values in extra.items():
            if values.shape != numbers.shape:
                raise ValueError(f"extra {name!r} must have one value for each of the {len(numbers)} recordings, got shape "
                                 f"{values.shape}")
            values.setflags(write=False)
        object.__setattr__(self, "extra", extra)
        object.__setattr__(self, "classes", tuple(self.classes))

    @property
    def _places(self) -> NDArray[np.int64]:
        assert self.numbers is not None
        return self.numbers

    @classmethod
    def of(cls, recordings: Sequence[Recording], classes: Sequence[str], name: str = "recordings") -> EventDataset:
        """A data set of recordings that are at hand; they must be of one sensor."""
        if not recordings:
            raise ValueError("recordings must hold at least one recording, got none")
        sensor = recordings[0].sensor
        for i, r in enumerate(recordings):
            if r.sensor != sensor:
                raise ValueError(f"recordings must be of one sensor: recording {i} is of {r.sensor}, the first of "
                                 f"{sensor}")
        store = Memory.of([r.events for r in recordings], [r.source for r in recordings])
        return cls(name, sensor, tuple(classes), np.array([r.label for r in recordings]), store)

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Recording: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> EventDataset: ...

    def __getitem__(self, index: Any) -> Recording | EventDataset:
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"{self.name} has {len(self)} recordings, there is none with index {index}")
            number = int(self._places[index])
            events, source = self.store.events(number), self.store.source(number)
            return Recording(events, int(self.labels[index]), self.sensor, source)
        chosen = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(chosen, np.ndarray):
            if chosen.size == 0:
                chosen = chosen.astype(np.int64)
            if chosen.dtype.kind not in "iub" or chosen.ndim != 1:
                raise TypeError("an index is a whole number, a slice, or a row of whole numbers or of booleans, got "
                                f"{index!r}")
        labels, numbers = self.labels[chosen], self._places[chosen]
        extra = {name: values[chosen] for name, values in self.extra.items()}
        return EventDataset(self.name, self.sensor, self.classes, labels, self.store, numbers, extra)

    def __repr__(self) -> str:
        s = self.sensor
        return (f"EventDataset({self.name!r}, {len(self)} recordings, {s.height}x{s.width}x{s.polarities}, "
                f"{len(self.classes)} classes)")

    def load(self, progress: bool | None = None) -> EventDataset:
        """The same recordings, read and checked now and kept in memory. progress: None shows a bar on a terminal."""
        recordings = []
        with bar(len(self), f"reading {self.name}", progress) as line:
            for i in range(len(self)):
                recordings.append(self[i])
                line.advance()
        return replace(EventDataset.of(recordings, self.classes, self.name), extra=self.extra) if recordings else self


def split(dataset: EventDataset, fraction: float, seed: int = 0) -> tuple[EventDataset, EventDataset]:
    """Hold back round(fraction * len) recordings: (the others, those held back), both in the data set's order.

    Each class gives its share, up to one recording; which ones is a function of the seed and the labels alone.
    Errors: ValueError unless 0 <= fraction <= 1.
    """
    if not 0.0 <= float(finite("fraction", fraction)) <= 1.0:
        raise ValueError(f"fraction must lie from 0 to 1, got {fraction!r}")
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    shares = counts * fraction
    quota = np.floor(shares).astype(np.int64)
    missing = round(fraction * len(dataset)) - int(quota.sum())
    # The places that rounding down left over go to the classes that lost most by it.
    quota[np.argsort(quota - shares, kind="stable")[:missing]] += 1
    held = np.zeros(len(dataset), bool)
    for label, take in enumerate(quota):
        members = np.flatnonzero(dataset.labels == label)
        held[np.random.default_rng((seed, label)).permutation(members)[:take]] = True
    return dataset[~held], dataset[held]
