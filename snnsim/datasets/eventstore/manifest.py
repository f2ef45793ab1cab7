"""What an event store says of itself: `store.json`, the one file that is read when a store is opened."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Sensor, whole
from snnsim.files import replacing
from snnsim.version import __version__

FORMAT, SCHEMA = "snnsim event store", 1
NAME, UNFINISHED = "store.json", "unfinished.json"
LIMIT = 256 * 2**20  # bytes of a manifest; sixty thousand recordings take 0.2 MB
KINDS = ("bool", "int64", "float64", "str")  # of what else is known of recordings, as they are written


@dataclass(frozen=True)
class Shard:
    """One file of a store: its size in bytes and its sha256, and how many recordings and events it holds."""

    file: str
    bytes: int
    sha256: str
    recordings: int
    events: int

    def __post_init__(self) -> None:
        if not isinstance(self.file, str) or not re.fullmatch(r"\d{5,9}\.h5", self.file):
            raise ValueError(f"file must be a number of five digits and .h5, got {self.file!r}")
        if not isinstance(self.sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 of {self.file} must be 64 hexadecimal digits, got {self.sha256!r}")
        for name in ("bytes", "recordings", "events"):
            whole(f"{name} of {self.file}", getattr(self, name), 0, 2**62)


@dataclass(frozen=True, eq=False)
class Manifest:
    """name, sensor and classes of the set; labels: int64, [recordings]; shards in order; provenance: strings by name; extra:
    what else is known of each recording, arrays [recordings] by name."""

    name: str
    sensor: Sensor
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    shards: tuple[Shard, ...]
    provenance: dict[str, str]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    version: str = __version__

    @property
    def checksum(self) -> str:
        """sha256 of what the store holds: shards, labels, classes and sensor, but not its name, place, provenance or
        `extra`."""
        return digest({"sensor": list(self.sensor.shape), "classes": self.classes, "labels": self.labels.tolist(),
                       "shards": [s.sha256 for s in self.shards]})

    @property
    def events(self) -> int:
        return sum(s.events for s in self.shards)

    def write(self, folder: Path) -> None:
        s = self.sensor
        held = {"format": FORMAT, "schema": SCHEMA, "version": self.version, "name": self.name,
                "sensor": {"height": s.height, "width": s.width, "polarities": s.polarities}, "classes": self.classes,
                "recordings": len(self.labels), "events": self.events, "shards": [vars(x) for x in self.shards],
                "provenance": self.provenance, "labels": self.labels.tolist()}
        if self.extra:
            held["extra"] = {name: [kind_of(name, values), values.tolist()] for name, values in self.extra.items()}
        write_json(folder / NAME, {**held, "sha256": digest(held)})


def kind_of(name: str, values: NDArray[Any]) -> str:
    """As what an array of `extra` is written. ValueError for one that is not of whole or real numbers, truths or strings."""
    kind = {"b": "bool", "i": "int64", "u": "int64", "f": "float64", "U": "str"}.get(values.dtype.kind)
    if kind is None or (kind != "str" and not np.array_equal(values.astype(kind), values, equal_nan=kind == "float64")):
        raise ValueError(f"extra {name!r} must be of strings, truths, or numbers of 64 bits to be packed, got {values.dtype}")
    return kind


def _extra(kind: str, values: list[Any]) -> NDArray[Any]:
    if kind not in KINDS:
        raise ValueError(f"extra must be of {', '.join(KINDS)}, got {kind!r}")
    if kind == "str" and 4 * len(values) * max(map(len, values), default=0) > LIMIT:
        raise ValueError("extra takes more memory than its file accounts for")
    return np.array(values, np.dtype(kind))


def is_store(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder is an event store, finished or not."""
    return any((Path(folder) / name).is_file() for name in (NAME, UNFINISHED))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the store in this folder. FileNotFoundError or ValueError that names the file and what is wrong."""
    path = folder / NAME
    if not path.is_file():
        if (folder / UNFINISHED).is_file():
            raise ValueError(f"{folder} is an event store that was not finished: pack the same data set into it again, which "
                             "goes on where it stopped")
        raise FileNotFoundError(f"{folder} is not an event store: there is no file {path}")
    held = read_json(path)
    if held.get("format") != FORMAT:
        raise ValueError(f"{path} is not that of an event store: its format is {held.get('format')!r}")
    if held.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {held.get('schema')!r}; this version of snnsim reads {SCHEMA}")
    if held.pop("sha256", None) != digest(held):
        raise ValueError(f"{path} is damaged: it does not have the checksum that it states")
    try:
        found = Manifest(held["name"], Sensor(**held["sensor"]), tuple(map(str, held["classes"])),
                         np.array(held["labels"], np.int64), tuple(Shard(**s) for s in held["shards"]),
                         dict(held["provenance"]), {str(n): _extra(*v) for n, v in held.get("extra", {}).items()},
                         str(held["version"]))
        recordings = sum(s.recordings for s in found.shards)
        if found.labels.shape != (recordings,):
            raise ValueError(f"labels must be {recordings}, as the shards hold so many recordings, got "
                             f"{found.labels.shape}")
    except (KeyError, TypeError, AttributeError, OverflowError) as e:
        raise ValueError(f"{path} is damaged: {e!r}") from None
    except ValueError as e:
        raise ValueError(f"{path} is damaged: {e}") from None
    return found


def read_json(path: Path) -> dict[str, Any]:
    """An object of JSON; ValueError that names the file for anything else, or more than LIMIT bytes."""
    size = path.stat().st_size
    if size > LIMIT:
        raise ValueError(f"{path} has {size} bytes, at most {LIMIT} are read")
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path} is damaged: it is not JSON: {e}") from None
    if not isinstance(held, dict):
        raise ValueError(f"{path} is damaged: it must hold an object, holds {type(held).__name__}")
    return held


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value) + "\n", encoding="utf-8")


def digest(value: Any) -> str:
    """sha256 of a value's JSON, whatever the order of its names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """sha256 of a file, read in blocks."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
