"""Synthetic twins: recordings of a set's sensor, classes, time range and rough number of events, for tests and demonstrations.

Made up by ourselves, not measured on the sets: what is learned on a twin says nothing about the set. A recording is drawn when
it is asked for, from the seed, the set's name, the part and its number, so that a twin takes no memory, however long.

On an image sensor a class is an outline, r(angle) = 1 + sum over m = 2, 3, 4 of a_m cos(m angle + b_m), and the path on which
it moves: events lie on the outline, ON where it advances and OFF behind, with noise around. On a cochlea a class is three
tracks, from one channel to another, along which units fire. Recordings differ in place, size, speed and number of events.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.catalogue.entries import Entry, Parts
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Events, Sensor, make_events, whole

PARTS = ("train", "test", "valid")
SPEAKERS = 4
NOISE = 0.1  # share of events that belong to nothing
FLIPPED = 0.05  # share of wrong polarities


@dataclass(frozen=True, eq=False, repr=False)
class Twin:
    """The recordings of one part of a twin, as a `Store`."""

    name: str
    part: str
    sensor: Sensor
    labels: NDArray[np.int64]
    typical: int
    duration: float
    seed: int

    def __len__(self) -> int:
        return len(self.labels)

    def events(self, number: int) -> Events:
        of = zlib.crc32(self.name.encode())
        kind = np.random.default_rng((of, int(self.labels[number])))  # of the class: whatever the seed
        own = np.random.default_rng((self.seed, of, PARTS.index(self.part), number))
        count = max(1, round(self.typical * float(np.exp(own.normal(0.0, 0.25)))))
        draw = _sound if self.sensor.height == 1 else _outline
        events = draw(kind, own, count, self.sensor, self.duration)
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return f"{self.name} twin, {self.part} {number}"


def twin(entry: Entry, each: int = 4, events: int | None = None, seed: int = 0) -> Parts:
    """The parts of a set's twin: `each` training recordings of a class, and half as many in the other parts.

    events: how many a recording has, more or less; as many as the set's own unless given. Errors: ValueError.
    """
    whole("each", each, 1)
    typical = entry.events if events is None else whole("events", events, 1, 10**8)
    whole("seed", seed, 0)
    found = {}
    for part in PARTS if "valid" in entry.counts else PARTS[:2]:
        labels = np.tile(np.arange(len(entry.classes)), each if part == "train" else -(-each // 2))
        store = Twin(entry.name, part, entry.sensor, labels, typical, entry.duration, seed)
        found[part] = EventDataset(f"{entry.name}-{part}", entry.sensor, entry.classes, labels, store,
                                   extra=_extra(entry.name, part, len(labels)))
    return found


def _extra(name: str, part: str, n: int) -> Mapping[str, NDArray[Any]]:
    """Speakers and users are others in each part."""
    who = np.arange(n) % SPEAKERS + SPEAKERS * PARTS.index(part)
    if name == "dvs-gesture":
        return {"user": 1 + who, "lighting": np.where(np.arange(n) % 2 == 0, "led", "natural")}
    return {"speaker": who} if name in ("shd", "ssc") else {}


def _outline(kind: np.random.Generator, own: np.random.Generator, n: int, sensor: Sensor, duration: float) -> Events:
    waves, phases, path = kind.uniform(-0.35, 0.35, 3), kind.uniform(0.0, 2 * np.pi, 3), kind.uniform(0.0, 2 * np.pi, 2)
    turns = kind.integers(1, 4, 2)
    t = np.sort(own.uniform(0.0, 1.0, n))
    angle = own.uniform(0.0, 2 * np.pi, n)
    m = np.arange(2, 5)[:, None]
    r = 1.0 + (waves[:, None] * np.cos(m * angle + phases[:, None])).sum(0)
    size = np.array([sensor.width, sensor.height])
    radius = 0.22 * size.min() * own.uniform(0.9, 1.1)
    swing = 0.15 * size * own.uniform(0.8, 1.2)
    moved = 2 * np.pi * turns[:, None] * t + path[:, None]
    centre = (size / 2 + own.normal(0.0, 0.02, 2) * size)[:, None] + swing[:, None] * np.sin(moved)
    way = swing[:, None] * turns[:, None] * np.cos(moved)
    out = np.stack([np.cos(angle), np.sin(angle)])
    place = centre + radius * r * out + own.normal(0.0, 0.5, (2, n))
    p = ((out * way).sum(0) > 0) ^ (own.random(n) < FLIPPED)
    noise = own.random(n) < NOISE
    place[:, noise] = own.uniform(0.0, 1.0, (2, int(noise.sum()))) * size[:, None]
    x, y = np.clip(np.floor(place), 0, size[:, None] - 1)
    return make_events(np.floor(1000.0 * duration * t), x, y, p.astype(np.uint8))


def _sound(kind: np.random.Generator, own: np.random.Generator, n: int, sensor: Sensor, duration: float) -> Events:
    begin, end, share = kind.uniform(0.1, 0.9, 3), kind.uniform(0.1, 0.9, 3), kind.dirichlet(np.full(3, 4.0))
    t = np.sort(own.uniform(0.0, 1.0, n))
    track = own.choice(3, n, p=share)
    channel = begin[track] + (end - begin)[track] * t + own.normal(0.0, 0.02, n) + own.normal(0.0, 0.03)
    noise = own.random(n) < NOISE
    channel[noise] = own.uniform(0.0, 1.0, int(noise.sum()))
    x = np.clip(np.floor(channel * sensor.width), 0, sensor.width - 1)
    # Times as the sets' files hold them: float16, in s.
    seconds = (duration / 1000.0 * own.uniform(0.6, 1.2) * t).astype(np.float16).astype(np.float64)
    return make_events(np.rint(1e6 * seconds), x, np.zeros(n, np.uint8), np.zeros(n, np.uint8))
