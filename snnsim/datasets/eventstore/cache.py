"""A cache of transformed recordings that cannot go stale: its folder is named by everything that its content follows from."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import EVENT, Events, Sensor, whole
from snnsim.datasets.eventstore.manifest import NAME, SCHEMA, digest
from snnsim.datasets.eventstore.packing import pack
from snnsim.datasets.eventstore.reading import EventStore, open_store
from snnsim.version import __version__

PLAIN = (bool, int, float, str, bytes, type(None), np.generic)


class Transform(Protocol):
    """New events from those of one recording; what is random about it is a function of the seed. `Augment` is one."""

    def __call__(self, events: Events, sensor: Sensor, seed: int) -> Events: ...


@dataclass(frozen=True, eq=False, repr=False)
class Applied:
    """The recordings of a data set through a transform; recording i has a seed of its own, drawn from (seed, i)."""

    of: EventDataset
    transform: Transform
    seed: int

    def __len__(self) -> int:
        return len(self.of)

    def events(self, number: int) -> Events:
        own = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        events = self.transform(self.of[number].events, self.of.sensor, own)
        if not isinstance(events, np.ndarray) or events.dtype != EVENT:
            raise ValueError(f"transform must give an array of events, {type(self.transform).__name__} gave "
                             f"{type(events).__name__}")
        events = events.view()
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        assert self.of.numbers is not None
        return self.of.store.source(int(self.of.numbers[number]))


def cached(dataset: EventDataset, transform: Transform, folder: str | os.PathLike[str], seed: int = 0,
           progress: bool | None = None) -> EventDataset:
    """The data set with every recording transformed once, kept as an event store in folder/<key>.

    transform(events, sensor, seed) gives the new events, on the same sensor or, where it has that, on transform.after(sensor);
    `Augment` is one, and so are those of `datasets.transforms`, whose number is the seed here. The key is a hash of the
    events, labels, classes and sensor of the data set, of the transform's parameters and source code, of the seed, and
    of snnsim's version, so that whatever changes another folder is used; none is ever removed. The hash of an event store
    comes from its manifest; other data sets are read whole, at every call: pack them first. The folder appears when the store
    is whole, however many processes write it at once.

    Errors: ValueError for a transform whose parameters or code cannot be told, see `cache_key`; those of `pack`.
    """
    whole("seed", seed, 0)
    key = cache_key(dataset, transform, seed)
    place = Path(folder) / key
    if not (place / NAME).is_file():
        Path(folder).mkdir(parents=True, exist_ok=True)
        after = getattr(transform, "after", None)
        sensor = after(dataset.sensor) if after else dataset.sensor
        made = EventDataset(dataset.name, sensor, dataset.classes, dataset.labels, Applied(dataset, transform, seed))
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".cache-"))
        try:
            about = {"transform": repr(transform), "seed": str(seed), "key": key}
            pack(made, temporary / key, provenance=about, progress=progress)
            try:
                os.rename(temporary / key, place)
            except OSError:
                if not (place / NAME).is_file():  # else another process was first
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    found = open_store(place)
    assert isinstance(found.store, EventStore)
    if found.store.manifest.provenance.get("key") != key:
        raise ValueError(f"{place} is not the cache that its name says: remove it")
    return replace(found, extra=dataset.extra)


def cache_key(dataset: EventDataset, transform: Transform, seed: int = 0) -> str:
    """The name of the cache, 64 hexadecimal digits: a hash of all that its content follows from.

    Errors: ValueError for a transform that is a lambda, a local function or a partial, or holds a parameter that is not a
    number, a string, an array or a collection or a dataclass of these, and for one whose source code cannot be found.
    """
    return digest({"source": fingerprint(dataset), "transform": described(transform, "transform"), "seed": int(seed),
                   "version": __version__, "schema": SCHEMA, "numpy": np.__version__})


def fingerprint(dataset: EventDataset) -> str:
    """sha256 of events, labels, classes and sensor; of a store's checksum and the chosen numbers where there is one."""
    assert dataset.numbers is not None
    held: dict[str, Any] = {"sensor": list(dataset.sensor.shape), "classes": dataset.classes, "labels": dataset.labels.tolist()}
    if isinstance(dataset.store, EventStore):
        return digest({**held, "store": dataset.store.checksum, "numbers": dataset.numbers.tolist()})
    events, counts = hashlib.sha256(), []
    for number in dataset.numbers:
        found = dataset.store.events(int(number))
        counts.append(len(found))
        events.update(np.ascontiguousarray(found).tobytes())
    return digest({**held, "counts": counts, "events": events.hexdigest()})


def described(value: Any, name: str) -> Any:
    """The value as JSON that differs whenever the value does. ValueError that names it where that cannot be promised."""
    if isinstance(value, PLAIN):
        return [type(value).__name__, repr(value)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufSU":
        return ["array", str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return ["mapping", [[described(k, name), described(v, f"{name}[{k!r}]")] for k, v in value.items()]]
    if isinstance(value, Sequence):
        return [type(value).__name__, [described(v, f"{name}[{i}]") for i, v in enumerate(value)]]
    if inspect.isfunction(value):
        if value.__closure__ or "<" in value.__qualname__:
            raise ValueError(f"{name} must not be a lambda or a local function, as what it holds cannot be told: give a frozen "
                             f"dataclass with __call__, got {value.__qualname__}")
        return ["function", value.__module__, value.__qualname__, _code(value, name)]
    kind = type(value)
    told = [kind.__module__, kind.__qualname__, _code(kind, name)]
    if is_dataclass(value):
        return [*told, [[f.name, described(getattr(value, f.name), f"{name}.{f.name}")] for f in fields(value)]]
    # an object of its own kind must say its parameters itself
    text = repr(value)
    if re.search(r"\bat 0x|\.\.\.", text):
        raise ValueError(f"{name} must have a repr that says all of its parameters, or be a dataclass, got {text}")
    return [*told, text]


def _code(value: Any, name: str) -> str:
    """sha256 of the source of the module that a class or a function is in: what it calls there counts, too."""
    try:
        module = inspect.getmodule(value)
        source = inspect.getsource(module if module is not None and getattr(module, "__file__", None) else value)
    except (OSError, TypeError):
        raise ValueError(f"{name}: the source code of {value.__qualname__} cannot be found, so a change of it would go "
                         "unnoticed: define it in a file") from None
    return hashlib.sha256(source.encode()).hexdigest()
