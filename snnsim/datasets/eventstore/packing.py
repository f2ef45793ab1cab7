"""Write an event store: shard after shard, each verified before the next begins, so that an interrupted run can go on."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import Events, Sensor, validate, whole
from snnsim.datasets.eventstore.manifest import (
    NAME,
    UNFINISHED,
    Manifest,
    Shard,
    digest,
    file_digest,
    kind_of,
    read_json,
    write_json,
)
from snnsim.datasets.eventstore.mapped import BLOCK, COLUMNS, FORMAT, INDEX, LONGEST, SCHEMA, Mapped
from snnsim.datasets.eventstore.reading import open_store
from snnsim.files import replacing
from snnsim.progress import bar
from snnsim.version import __version__

SHARD_EVENTS = 2**23  # 76 MB
ALIGNMENT = 64  # bytes: where a dataset may begin, so that a map of it is an aligned array


def pack(dataset: EventDataset, folder: str | os.PathLike[str], *, provenance: Mapping[str, str] | None = None,
         shard_events: int = SHARD_EVENTS, progress: bool | None = None) -> EventDataset:
    """Write the recordings of a data set as an event store, and open it.

    folder: one that does not exist, is empty, or holds an unfinished store of the same data set, which is gone on with: shards
    that have their checksum, and whose first recording is still what the data set gives, are kept. Each shard is read back and
    compared before the next begins; the manifest is written last, so a store is whole or refused. shard_events: a shard ends
    with the recording that fills it. Memory: a recording and what its source takes; recordings of a store in blocks.
    provenance: what to remember of where the events come from. ids are the recordings' sources; absolute paths are kept
    relative to the folder that they share, which goes into the provenance. progress: None shows a bar on a terminal.

    Errors: ValueError that names the argument or says what stands in the folder; what reading a recording raises; OSError.
    """
    whole("shard_events", shard_events, 1)
    known = {str(k): str(v) for k, v in (provenance or {}).items()}
    for name, values in dataset.extra.items():
        kind_of(name, values)  # before anything is written
    target = Path(folder)
    ids, shared = _ids(dataset)
    if shared:
        known.setdefault("folder", shared)
    s = dataset.sensor
    job = {"sensor": list(s.shape), "classes": list(dataset.classes), "shard_events": shard_events, "name": dataset.name,
           "recordings": digest([dataset.labels.tolist(), ids]), "version": __version__}
    shards = _prepare(target, job, dataset)
    begin = sum(x.recordings for x in shards)
    with bar(len(dataset), f"packing {dataset.name}", progress) as line:
        line.advance(begin)
        while begin < len(dataset):
            end, shard = _shard(dataset, begin, ids, target, f"{len(shards):05d}.h5", shard_events, line.advance)
            begin = end
            shards.append(shard)
            write_json(target / UNFINISHED, {"job": job, "shards": [vars(x) for x in shards]})
    Manifest(dataset.name, s, dataset.classes, dataset.labels, tuple(shards), known, dataset.extra).write(target)
    (target / UNFINISHED).unlink()
    return open_store(target)


def _ids(dataset: EventDataset) -> tuple[list[str], str]:
    assert dataset.numbers is not None
    ids = [dataset.store.source(int(i)) for i in dataset.numbers]
    if len(ids) < 2 or not all(os.path.isabs(i) for i in ids):
        return ids, ""
    try:
        shared = os.path.commonpath(ids)
    except ValueError:  # on several drives
        return ids, ""
    if shared in ids:
        shared = os.path.dirname(shared)
    return [Path(os.path.relpath(i, shared)).as_posix() for i in ids], shared


def _prepare(target: Path, job: dict[str, Any], dataset: EventDataset) -> list[Shard]:
    """Make the folder, or find what of it can be kept."""
    if (target / NAME).exists():
        raise ValueError(f"{target} holds an event store already: give another folder, or remove it")
    target.mkdir(parents=True, exist_ok=True)
    begun = target / UNFINISHED
    if not begun.exists():
        if any(target.iterdir()):
            raise ValueError(f"{target} is not empty, and no event store: give a folder that is empty or does not exist")
        write_json(begun, {"job": job, "shards": []})
        return []
    held = read_json(begun)
    if held.get("job") != job:
        raise ValueError(f"{target} holds an unfinished event store of something else (other recordings, labels, classes, "
                         "shard size or version of snnsim): remove it, or give another folder")
    for leftover in target.glob(".*.tmp"):  # of a process that was killed
        leftover.unlink()
    kept: list[Shard] = []
    begin = 0
    for plain in held.get("shards", ()):
        shard = Shard(**plain)
        path = target / shard.file
        if not path.is_file() or file_digest(path) != shard.sha256:
            break
        labels = dataset.labels[begin:begin + shard.recordings]
        found = Mapped(path, shard, labels, dataset.sensor)
        same = not shard.recordings or found.events(0).tobytes() == dataset[begin].events.tobytes()
        found.close()
        if not same:
            raise ValueError(f"{path}: recording {begin} of {dataset.name} is not what it was when {target} was begun: remove "
                             "the folder and pack it anew")
        kept.append(shard)
        begin += shard.recordings
    return kept


def _shard(dataset: EventDataset, begin: int, ids: list[str], target: Path, file: str, most: int,
           advance: Any) -> tuple[int, Shard]:
    """Write recordings from `begin` on until the shard is full, read them back, and compare."""
    assert dataset.numbers is not None
    end, path = begin, target / file
    with Spool(target, dataset.sensor) as spool:
        while end < len(dataset) and (end == begin or spool.count < most):
            for events in _blocks(dataset.store, int(dataset.numbers[end])):
                spool.append(events, f"recording {end}, {ids[end]}")
            spool.end(int(dataset.labels[end]), ids[end])
            end += 1
            advance()
        spool.write(path)
        shard = Shard(file, path.stat().st_size, file_digest(path), end - begin, spool.count)
        read = hashlib.sha256()
        back = Mapped(path, shard, dataset.labels[begin:end], dataset.sensor)
        for k in range(end - begin):
            for events in back.blocks(k):
                read.update(events.tobytes())
        back.close()
        if read.digest() != spool.digest.digest():
            path.unlink()
            raise OSError(f"{path} does not read back as it was written: the disk or the memory is faulty")
    return end, shard


def _blocks(store: Store, number: int) -> Iterator[Events]:
    blocks = getattr(store, "blocks", None)
    if blocks is not None:
        yield from blocks(number)
    else:
        yield store.events(number)


class Spool:
    """The columns of a shard in files without a name, until it is known how long they are."""

    def __init__(self, folder: Path, sensor: Sensor) -> None:
        self.sensor, self.count, self.digest = sensor, 0, hashlib.sha256()
        self._files: dict[str, IO[bytes]] = {name: tempfile.TemporaryFile(dir=folder) for name in COLUMNS}  # noqa: SIM115
        self._offsets, self._labels, self._ids = [0], list[int](), list[bytes]()
        self._chunks, self._base, self._last = [0], list[int](), -1

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, events: Events, name: str) -> None:
        """More events of the recording that is being written."""
        validate(events, self.sensor, name)
        if not len(events):
            return
        if events[0]["t"] < self._last:
            raise ValueError(f"{name}: event {self.count - self._offsets[-1]} has t = {events[0]['t']} after {self._last}: "
                             "times must not run backwards")
        for at in range(0, len(events), BLOCK):
            self._add(events[at:at + BLOCK])

    def _add(self, events: Events) -> None:
        times = events["t"].copy()
        self.digest.update(events.tobytes())
        at = 0
        while at < len(times):
            if self._last < 0 or int(times[at]) - self._base[-1] > LONGEST:
                if self.count + at > self._chunks[-1]:
                    self._chunks.append(self.count + at)
                self._base.append(int(times[at]))
            self._last, base = int(times[at]), self._base[-1]
            # base + LONGEST may be more than int64 holds
            stop = int(np.searchsorted(times, min(base + LONGEST, 2**63 - 1), side="right"))
            self._files["t"].write((times[at:stop] - base).astype("<u4").tobytes())
            at = stop
        self._last = int(times[-1])
        for column in ("x", "y", "p"):
            self._files[column].write(events[column].tobytes())
        self.count += len(events)

    def end(self, label: int, id: str) -> None:
        """The recording is complete."""
        if self.count > self._offsets[-1]:
            self._chunks.append(self.count)
        self._offsets.append(self.count)
        self._labels.append(label)
        self._ids.append(id.encode("utf-8", "surrogateescape"))
        self._last = -1

    def write(self, path: Path) -> None:
        """One HDF5 file: contiguous datasets, the same bytes for the same recordings."""
        index = {"offsets": self._offsets, "labels": self._labels, "chunk_offsets": self._chunks, "base": self._base,
                 "ids": np.frombuffer(b"".join(self._ids), np.uint8),
                 "id_offsets": np.cumsum([0, *map(len, self._ids)])}
        with replacing(path) as temporary, h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=ALIGNMENT) as f:
            f.attrs.update(format=FORMAT, schema=SCHEMA, sensor=self.sensor.shape)
            for name, dtype in INDEX.items():
                f.create_dataset(name, data=np.asarray(index[name], dtype))
            for name, dtype in COLUMNS.items():
                out = f.create_dataset(name, (-(-self.count // 8) if name == "p" else self.count,), dtype, fill_time="never")
                file, size = self._files[name], np.dtype(dtype).itemsize
                file.seek(0)
                at = 0
                while block := file.read(BLOCK * size):  # 8 divides BLOCK
                    values = np.frombuffer(block, dtype)
                    values = np.packbits(values, bitorder="little") if name == "p" else values
                    out[at:at + len(values)] = values
                    at += len(values)
