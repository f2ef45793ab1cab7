"""One shard of an event store, mapped into memory: HDF5 says once where its arrays are, and is closed before they are read."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import EVENT, NAMES, Events, Sensor
from snnsim.datasets.eventstore.manifest import Shard
from snnsim.files import reading_hdf5
from snnsim.kernel import jit

FORMAT, SCHEMA = "snnsim events", 1
WHAT = "a shard of an snnsim event store"
LONGEST = 2**32 - 1  # µs from a chunk's base to its last event
COLUMNS = {"x": "<u2", "y": "<u2", "p": "|u1", "t": "<u4"}
INDEX = {"offsets": "<i8", "labels": "<i8", "id_offsets": "<i8", "ids": "|u1", "chunk_offsets": "<i8", "base": "<i8"}
LATEST = 2**63 - 1
BLOCK = 2**20  # events


class Columns(NamedTuple):
    """Events of one recording as they lie in the map, not checked: events begin to stop - 1 of the columns, in chunks.

    x, y, t: [E]; p: a bit each; t: µs since the base of the event's chunk, which the first has in `chunk`.
    """

    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    p: NDArray[np.uint8]
    t: NDArray[np.uint32]
    chunk_offsets: NDArray[np.int64]
    base: NDArray[np.int64]
    begin: int
    stop: int
    chunk: int


class Mapped:
    """The recordings of one shard, by their place in it. Nothing is copied but what is asked for.

    expected: what the manifest says of the file, with the labels. What HDF5 is asked is where the arrays lie, and that
    each is contiguous, of its type, inside the file and as long as the others require; the file is then mapped, so that
    reading takes no lock and no HDF5. Errors: FileNotFoundError; ValueError that names the file and the field.
    """

    def __init__(self, path: Path, expected: Shard, labels: NDArray[np.int64], sensor: Sensor) -> None:
        self.path, self.sensor = path, sensor
        if path.is_file() and path.stat().st_size != expected.bytes:
            raise ValueError(f"{path} has {path.stat().st_size} bytes, the manifest says {expected.bytes}: it is cut off or "
                             "not of this store")
        with reading_hdf5(path, WHAT) as f:
            if f.attrs.get("format") != FORMAT:
                raise ValueError(f"{path} is not {WHAT}: its format is {f.attrs.get('format')!r}")
            if f.attrs.get("schema") != SCHEMA:
                raise ValueError(f"{path} has schema {f.attrs.get('schema')}; this version of snnsim reads {SCHEMA}")
            if tuple(map(int, f.attrs["sensor"])) != sensor.shape:
                raise ValueError(f"{path}: sensor is {tuple(map(int, f.attrs['sensor']))}, the manifest says {sensor.shape}")
            places = {name: _place(f, name, np.dtype(dtype), path) for name, dtype in (COLUMNS | INDEX).items()}
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        n = {name: count for name, (_, count) in places.items()}
        for name, count in (("offsets", expected.recordings + 1), ("labels", expected.recordings),
                            ("id_offsets", expected.recordings + 1), ("t", expected.events), ("x", expected.events),
                            ("y", expected.events), ("p", -(-expected.events // 8)), ("base", n["chunk_offsets"] - 1)):
            if n[name] != count:
                raise ValueError(f"{path}: {name} must have {count} entries, has {n[name]}")
        views = {name: np.frombuffer(self._map, dtype, places[name][1], places[name][0])
                 for name, dtype in (COLUMNS | INDEX).items()}
        self._views = views
        for name, end in (("offsets", expected.events), ("chunk_offsets", expected.events), ("id_offsets", n["ids"])):
            rises = np.diff(views[name])
            if not len(views[name]) or views[name][0] != 0 or views[name][-1] != end or (rises < 0).any():
                raise ValueError(f"{path}: {name} must rise from 0 to {end}")
        chunks, base = views["chunk_offsets"], views["base"]
        if (np.diff(chunks) <= 0).any() or not np.isin(views["offsets"], chunks).all():
            raise ValueError(f"{path}: chunk_offsets must rise, and a chunk must begin where a recording does")
        self._chunks = chunks.searchsorted(views["offsets"])  # the first of each recording
        if (base < 0).any():
            raise ValueError(f"{path}: base must not be negative")
        for c in np.flatnonzero(base > LATEST - LONGEST):
            if int(views["t"][chunks[c]:chunks[c + 1]].max()) > LATEST - int(base[c]):
                raise ValueError(f"{path}: base and t of chunk {c} are more than int64 holds")
        if not np.array_equal(views["labels"], labels):
            raise ValueError(f"{path}: labels are not those of the manifest")

    def close(self) -> None:
        """Unmap the file now. A read that is under way in another thread ends first: the map goes with its last reader."""
        self._views = {}
        with suppress(BufferError):
            self._map.close()

    def count(self, k: int) -> int:
        """How many events recording k has."""
        offsets = self._views["offsets"]
        return int(offsets[k + 1] - offsets[k])

    def id(self, k: int) -> str:
        at = self._views["id_offsets"]
        return self._views["ids"][at[k]:at[k + 1]].tobytes().decode("utf-8", "replace")

    def columns(self, k: int) -> Columns:
        """Where the events of recording k lie; what is made of them must check them."""
        v = self._views
        begin = int(v["offsets"][k])
        return Columns(v["x"], v["y"], v["p"], v["t"], v["chunk_offsets"], v["base"], begin, int(v["offsets"][k + 1]),
                       int(self._chunks[k]))

    def events(self, k: int, first: int = 0, last: int | None = None, name: str = "") -> Events:
        """Events first <= i < last of recording k, read-only; ValueError that names file, `name` and the first bad event."""
        v = self._views
        begin, end = int(v["offsets"][k]), int(v["offsets"][k + 1])
        first, last, _ = slice(first, last).indices(end - begin)
        out = np.empty(max(0, last - first), EVENT)
        sensor = self.sensor
        bad = int(_decode(v["x"], v["y"], v["p"], v["t"], v["chunk_offsets"], v["base"], begin, begin + first, sensor.height,
                          sensor.width, sensor.polarities, out))
        if bad >= 0:
            t, x, y, p = (int(out[bad][n]) for n in NAMES)
            raise ValueError(f"{self.path}: {name or f'recording {k}'} ({self.id(k)}): event {first + bad} has t = {t}, "
                             f"x = {x}, y = {y}, p = {p}: the file is damaged, as times must not run backwards and events must "
                             f"lie on {sensor}")
        out.setflags(write=False)
        return out

    def blocks(self, k: int, first: int = 0, last: int | None = None, name: str = "") -> Iterator[Events]:
        """The same in blocks of at most BLOCK events, for recordings larger than memory."""
        first, last, _ = slice(first, last).indices(self.count(k))
        for at in range(first, last, BLOCK):
            yield self.events(k, at, min(last, at + BLOCK), name)

    def index(self, k: int, time: int) -> int:
        """The number of the first event of recording k whose time is at least `time`, in µs, by bisection."""
        v = self._views
        begin, end = int(v["offsets"][k]), int(v["offsets"][k + 1])
        if begin == end:
            return 0
        c0, c1 = (int(i) for i in np.searchsorted(v["chunk_offsets"], (begin, end)))
        chunk = c0 + int(np.searchsorted(v["base"][c0:c1], time)) - 1  # the last that begins before `time`
        if chunk < c0:
            return 0
        a, b = int(v["chunk_offsets"][chunk]), int(v["chunk_offsets"][chunk + 1])
        since = time - int(v["base"][chunk])
        return (b if since > LONGEST else a + int(np.searchsorted(v["t"][a:b], np.uint32(since)))) - begin


def _place(f: h5py.File, name: str, dtype: np.dtype[Any], path: Path) -> tuple[int, int]:
    """Where a dataset begins in the file, and how many entries it has."""
    item = f.get(name)
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{path}: /{name} is missing")
    if item.dtype != dtype or item.ndim != 1:
        raise ValueError(f"{path}: /{name} must be a row of {dtype.name}, is {item.dtype} of shape {item.shape}")
    if item.external or item.is_virtual:
        raise ValueError(f"{path}: /{name} points outside the file")
    if item.chunks is not None or item.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
        raise ValueError(f"{path}: /{name} must be contiguous, without compression; pack the data set again")
    if item.size == 0:
        return 0, 0
    offset = item.id.get_offset()
    if offset is None or offset + item.size * dtype.itemsize > os.path.getsize(path):
        raise ValueError(f"{path}: /{name} claims {item.size} entries, which do not lie in its {os.path.getsize(path)} bytes")
    if offset % dtype.itemsize:
        raise ValueError(f"{path}: /{name} is not aligned to its {dtype.itemsize} bytes; pack the data set again")
    return int(offset), int(item.size)


@jit(nogil=True)
def _decode(x: NDArray[np.uint16], y: NDArray[np.uint16], p: NDArray[np.uint8], t: NDArray[np.uint32],
            chunk_offsets: NDArray[np.int64], base: NDArray[np.int64], start: int, begin: int, height: int, width: int,
            polarities: int, out: Events) -> int:
    """Fill `out` with the events from `begin` on, of a recording that starts at `start`; the first that is not valid, or -1."""
    if not len(out):
        return -1
    before = max(start, begin - 1)
    chunk, high = 0, len(base)
    while high - chunk > 1:
        middle = (chunk + high) // 2
        if chunk_offsets[middle] <= before:
            chunk = middle
        else:
            high = middle
    last, bad = np.int64(0), -1
    if before < begin:
        last = base[chunk] + np.int64(t[before])
        if chunk_offsets[chunk + 1] == begin:
            chunk += 1
    at, end = begin, begin + len(out)
    while at < end:
        stop, zero = min(end, chunk_offsets[chunk + 1]), base[chunk]
        for i in range(at, stop):
            e = out[i - begin]
            time = zero + np.int64(t[i])
            on = (p[i >> 3] >> (i & 7)) & 1
            e["t"], e["x"], e["y"], e["p"] = time, x[i], y[i], on
            if bad < 0 and (time < last or x[i] >= width or y[i] >= height or on >= polarities):
                bad = i - begin
            last = time
        at = stop
        chunk += 1
    return bad
