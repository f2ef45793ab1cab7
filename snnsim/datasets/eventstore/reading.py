"""Event stores as data sets: opened by each process for itself, when the first recording is asked for."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Events, whole
from snnsim.datasets.eventstore.manifest import read_manifest
from snnsim.datasets.eventstore.mapped import Columns, Mapped

MOST_OPEN = 256  # shards that one process maps at a time; each takes a file handle


class EventStore:
    """The recordings of a store's folder: a `Store`, which gives events that are checked and cannot be written.

    Only the manifest is read here. A shard is opened, checked and mapped when one of its recordings is asked for, in the
    process that asks: what a forked worker inherits it does not use, and what a spawned one is sent is the folder's name
    and the manifest. Threads may read at the same time. `close`, or leaving a `with` block, unmaps the files at once; a
    store that is asked again opens them again.

    Errors: FileNotFoundError or ValueError that names the file and the field.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self.manifest = read_manifest(self.folder)
        self._start()

    def _start(self) -> None:
        self._ends = list(accumulate(s.recordings for s in self.manifest.shards))
        self._process, self._lock = os.getpid(), threading.Lock()
        self._mapped: dict[int, Mapped] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __repr__(self) -> str:
        return f"EventStore({str(self.folder)!r}, {len(self)} recordings, {self.manifest.events} events)"

    def __len__(self) -> int:
        return len(self.manifest.labels)

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def checksum(self) -> str:
        """sha256 of what the store holds."""
        return self.manifest.checksum

    @property
    def opened(self) -> int:
        """How many shards this process has mapped."""
        return len(self._mapped) if self._process == os.getpid() else 0

    def close(self) -> None:
        """Unmap every shard now."""
        if self._process == os.getpid():
            with self._lock:
                while self._mapped:
                    self._mapped.popitem()[1].close()

    def count(self, number: int) -> int:
        """How many events a recording has."""
        shard, k = self._find(number)
        return shard.count(k)

    def events(self, number: int, first: int = 0, last: int | None = None) -> Events:
        """Events first <= i < last of a recording; all of them by default."""
        shard, k = self._find(number)
        return shard.events(k, first, last, f"recording {number}")

    def columns(self, number: int) -> Columns:
        """Where the events of a recording lie in the map, for kernels that check them as they read: nothing is copied."""
        shard, k = self._find(number)
        return shard.columns(k)

    def blocks(self, number: int, first: int = 0, last: int | None = None) -> Iterator[Events]:
        """The same in blocks of 2^20 events, for recordings larger than memory."""
        shard, k = self._find(number)
        return shard.blocks(k, first, last, f"recording {number}")

    def index(self, number: int, time: int) -> int:
        """The number of a recording's first event at `time`, in µs, or later; found without reading what lies before."""
        shard, k = self._find(number)
        return shard.index(k, time)

    def source(self, number: int) -> str:
        """The id of a recording."""
        shard, k = self._find(number)
        return shard.id(k)

    def _find(self, number: int) -> tuple[Mapped, int]:
        whole("number", number, 0, len(self) - 1)
        at = bisect_right(self._ends, number)
        begin = self._ends[at - 1] if at else 0
        if self._process != os.getpid():  # forked: the parent's lock may be held for ever
            self._start()
        found = self._mapped.get(at)
        return found or self._open(at, begin), number - begin

    def _open(self, at: int, begin: int) -> Mapped:
        with self._lock:
            if at not in self._mapped:
                shard = self.manifest.shards[at]
                labels = self.manifest.labels[begin:begin + shard.recordings]
                found = Mapped(self.folder / shard.file, shard, labels, self.manifest.sensor)
                if len(self._mapped) >= MOST_OPEN:
                    del self._mapped[next(iter(self._mapped))]  # unmapped when its last reader is done
                self._mapped[at] = found
            return self._mapped[at]


def open_store(folder: str | os.PathLike[str]) -> EventDataset:
    """The data set in a folder that `pack` wrote; its `store` is an `EventStore`.

    Only the manifest is read: what is wrong with a shard is said when one of its recordings is asked for, and all of it by
    `check_store`. Errors: FileNotFoundError or ValueError that names the file and what is wrong with it.
    """
    store = EventStore(folder)
    held = store.manifest
    try:
        return EventDataset(held.name, held.sensor, held.classes, held.labels, store, extra=held.extra)
    except ValueError as e:
        raise ValueError(f"{folder} is damaged: {e}") from None
