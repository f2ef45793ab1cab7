"""Coarser recordings: events of a rectangle of pixels become events of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import Events, Sensor, whole


@dataclass(frozen=True)
class Pool:
    """Events of `sensor` on one of height x width pixels: y' = floor(y height / sensor.height), x' alike, so that no event is
    left out, and rectangles differ by one pixel where sizes do not divide.

    polarities: 2, or 1, where p is 0 for all; None for the sensor's. every: of so many events of a pixel and polarity, counted
    from the recording's start, the last one is kept, as a counter of pulses would do. Errors: ValueError that names the
    argument.
    """

    sensor: Sensor
    height: int
    width: int
    polarities: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            size, most = whole(name, getattr(self, name), 1), getattr(self.sensor, name)
            if size > most:
                raise ValueError(f"{name} must be at most the sensor's, {most}, got {size}")
        if self.polarities not in (None, 1, self.sensor.polarities):
            raise ValueError(f"polarities must be 1 or the sensor's, {self.sensor.polarities}, got {self.polarities!r}")
        whole("every", self.every, 1)

    @property
    def to(self) -> Sensor:
        """The sensor that it gives events of."""
        return Sensor(self.height, self.width, self.polarities or self.sensor.polarities)

    def __call__(self, events: Events) -> Events:
        """The pooled events, in their order."""
        pooled = events.copy()
        pooled["x"] = events["x"].astype(np.int64) * self.width // self.sensor.width
        pooled["y"] = events["y"].astype(np.int64) * self.height // self.sensor.height
        if self.polarities == 1:
            pooled["p"] = 0
        return pooled if self.every == 1 else pooled[self._kept(pooled)]

    def _kept(self, pooled: Events) -> NDArray[np.bool_]:
        feature = (pooled["p"].astype(np.int64) * self.height + pooled["y"]) * self.width + pooled["x"]
        order = np.argsort(feature, kind="stable")
        of = feature[order]
        number = np.arange(len(of)) - np.searchsorted(of, of)
        kept = np.zeros(len(of), np.bool_)
        kept[order] = number % self.every == self.every - 1
        return kept


@dataclass(frozen=True, eq=False)
class _Pooled:
    store: Store
    pool: Pool

    def __len__(self) -> int:
        return len(self.store)

    def events(self, number: int) -> Events:
        events = self.pool(self.store.events(number))
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return self.store.source(number)


def pooled(dataset: EventDataset, height: int, width: int | None = None, *, polarities: int | None = None,
           every: int = 1) -> EventDataset:
    """The data set on a sensor of height x width pixels (width: by default the height), pooled when a recording is read.
    Errors: those of `Pool`."""
    pool = Pool(dataset.sensor, height, height if width is None else width, polarities, every)
    return replace(dataset, sensor=pool.to, store=_Pooled(dataset.store, pool))


def option(pool: Any, polarities: int | None, every: int, dataset: EventDataset) -> EventDataset:
    """The data set as options of `load` ask for it: pool is None, one size, or [height, width]."""
    if pool is None and polarities is None and every == 1:
        return dataset
    sizes = (dataset.sensor.height, dataset.sensor.width) if pool is None else pool
    height, width = sizes if isinstance(sizes, (list, tuple)) and len(sizes) == 2 else (sizes, sizes)
    return pooled(dataset, height, width, polarities=polarities, every=every)
