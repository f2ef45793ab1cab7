"""Reads event files in HDF5; runs in a process of its own, see `snnsim.isolated`.

Layouts, the first that is there: CD/events, a table of x, y, p, t (Prophesee); events/x, y, p, t and perhaps t_offset (DSEC,
TUM-VIE); spikes/times and spikes/units, one ragged row a recording (SHD, SSC); events, a table of x, y, p, t, or a matrix with
the columns t, x, y, p (v2e). Only what stands in the file itself is followed: no link and no virtual or external data set.
"""

from __future__ import annotations

import os
import re
from typing import Any

import h5py
import numpy as np

from snnsim.files import SMALL
from snnsim.isolated import RATIO

EVENT = 13  # bytes of an event in memory
BLOCK, LARGEST = 2**16, 2**20  # rows at once
NAMES = ("t", "x", "y", "p")
CACHE = 64 * 2**20
PLUGINS = {307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz",
           32026: "blosc2"}
ECF = 0x8ECF


def opened(path: str) -> Any:
    try:
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=CACHE)
    except OSError as e:
        raise ValueError(f"it is no HDF5 file, or it is damaged: {e}") from None
    room = max(SMALL, RATIO * os.path.getsize(path)) // EVENT
    if isinstance(table := _at(file, "CD/events"), h5py.Dataset):
        return Columns(file, "Prophesee", "CD/events", dict.fromkeys(NAMES, table), room)
    if all(isinstance(_at(file, f"events/{n}"), h5py.Dataset) for n in NAMES):
        return Columns(file, "DSEC", "events", {n: _at(file, f"events/{n}") for n in NAMES}, room)
    if all(isinstance(_at(file, f"spikes/{n}"), h5py.Dataset) for n in ("times", "units")):
        return Spikes(file, room)
    if isinstance(table := _at(file, "events"), h5py.Dataset):
        return Columns(file, "table" if table.dtype.names else "matrix", "events", dict.fromkeys(NAMES, table), room)
    found = ", ".join(sorted(str(k)[:40] for k in list(file)[:8])) or "nothing"
    raise ValueError("this HDF5 file holds no layout of events that is known here, neither CD/events (Prophesee), events/x, y, "
                     f"p, t (DSEC), spikes/times and units (SHD), nor a table of events; at its top stands {found}")


def _at(file: h5py.File, name: str) -> Any:
    """What stands there by hard links alone, or None: others may lead out of the file."""
    here: Any = file
    for part in name.split("/"):
        if not isinstance(here, h5py.Group) or not isinstance(here.get(part, getlink=True), h5py.HardLink):
            return None
        here = here[part]
    return here


def _sound(table: h5py.Dataset, room: int) -> int:
    """The rows of a data set that can be read here. Errors: ValueError."""
    name = table.name
    if table.external or table.is_virtual:
        raise ValueError(f"{name} points outside the file: it is not read")
    if table.ndim > 2 or (table.ndim == 2 and table.shape[1] != 4):
        raise ValueError(f"{name} must be one row of events, has shape {table.shape}")
    if table.ndim and table.shape[0] > room:
        raise ValueError(f"{name} claims {table.shape[0]} rows, and a file of this size holds at most {room}: it is damaged, "
                         "or made to do harm")
    plan = table.id.get_create_plist()
    for i in range(plan.get_nfilters()):
        code, _, _, said = plan.get_filter(i)
        if not (h5py.h5z.filter_avail(code) or (_plugins() and h5py.h5z.filter_avail(code))):
            raise ValueError(f"{name} is compressed with {_codec(code, said)}")
    return int(table.shape[0]) if table.ndim else 1


def _plugins() -> bool:
    try:
        import hdf5plugin  # noqa: F401  registers its codecs
    except ImportError:
        return False
    return True


def _codec(code: int, said: bytes) -> str:
    if code == ECF:
        return ("ECF, which is not installed: it is Prophesee's (hdf5_ecf, part of Metavision); install it and name the folder "
                "of its plugin in HDF5_PLUGIN_PATH, or convert the file with metavision_file_to_dat")
    if code in PLUGINS:
        return f"{PLUGINS[code]}, which is not installed: pip install 'snnsim[data]' (hdf5plugin)"
    name = re.sub(r"[^ -~]", "?", bytes(said).decode("latin-1"))[:40]
    return f"filter {code} ({name}), which is not installed: name the folder of its plugin in HDF5_PLUGIN_PATH"


class Columns:
    """One recording: a table, or a column each."""

    def __init__(self, file: h5py.File, layout: str, rows: str, columns: dict[str, h5py.Dataset], room: int) -> None:
        counts = {n: _sound(c, room) for n, c in columns.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"{rows} has columns of several lengths: " + ", ".join(f"{n} {c}" for n, c in counts.items()))
        self._columns, self._count, self._rows = columns, counts["t"], rows
        self._whole = columns["t"] is columns["x"]
        for n, column in columns.items():
            self._check(n, column)
        self._offset = self._number(file, "t_offset") if layout == "DSEC" else 0
        chunk = int(columns["t"].chunks[0]) if columns["t"].chunks else 1
        self.numbers = None
        said: dict[str, Any] = {"layout": layout} | ({"t_offset": self._offset} if self._offset else {})
        self.says = {"layout": layout, "rows": rows, "recordings": 1, "count": self._count, "about": said,
                     "block": min(LARGEST, chunk * max(1, BLOCK // chunk)),
                     **self._size(file)}

    def _check(self, name: str, column: h5py.Dataset) -> None:
        kind = column.dtype
        if not column.ndim or (column.ndim == 2 and (kind.names is not None or not self._whole)):
            raise ValueError(f"{self._rows}: {name} must be one row, has shape {column.shape}")
        if kind.names is not None:
            if name not in kind.names:
                raise ValueError(f"{self._rows} must have the fields x, y, p and t, has {', '.join(kind.names)}")
            kind = kind[name]
        elif self._whole and column.ndim != 2:
            raise ValueError(f"{self._rows} must have the fields x, y, p and t, or four columns, has {column.dtype}")
        if kind.kind not in "iub" or kind.shape:
            raise ValueError(f"{self._rows}: {name} must hold whole numbers, holds {kind}")

    @staticmethod
    def _number(file: h5py.File, name: str) -> int:
        item = _at(file, name)
        if not isinstance(item, h5py.Dataset) or item.size != 1 or item.dtype.kind not in "iu":
            return 0
        _sound(item, 1)
        value = int(np.ravel(item[()])[0])
        if not 0 <= value < 2**62:
            raise ValueError(f"{name} must be a time from 0 to 2^62 µs, is {value}")
        return value

    @staticmethod
    def _size(file: h5py.File) -> dict[str, int]:
        """The sensor: "1280x720" (Prophesee); or width and height."""
        said = {}
        for name in ("geometry", "width", "height"):
            try:
                value = file.attrs.get(name)
            except (OSError, TypeError, ValueError, KeyError, UnicodeError):
                continue
            said[name] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        text = said.get("geometry", f"{said.get('width')}x{said.get('height')}")
        match = re.fullmatch(r"\s*(\d{1,5})\s*x\s*(\d{1,5})\s*", text)
        return {"width": int(match[1]), "height": int(match[2])} if match and int(match[1]) and int(match[2]) else {}

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Rows `start` to `start` + `count`: int64 [4, rows] of t, x, y, p; or what is wrong with them."""
        start, stop = int(request["start"]), min(self._count, int(request["start"]) + min(int(request["count"]), LARGEST))
        found = np.empty((4, max(0, stop - start)), np.int64)
        try:
            if self._whole:
                table = self._columns["t"][start:stop]
            for row, name in enumerate(NAMES):
                found[row] = (self._columns[name][start:stop] if not self._whole else
                              table[name] if table.dtype.names else table[:, row])
        except OSError as e:
            return {"fault": f"rows {start} to {stop - 1} of {self._rows} cannot be read: {e}", "taken": stop - start}, None
        found[0] += self._offset
        return {"taken": stop - start}, found


class Spikes:
    """Many recordings, a ragged row of times (s) and of units each; `numbers`: labels, then speakers, where it holds them."""

    def __init__(self, file: h5py.File, room: int) -> None:
        self._times, self._units = _at(file, "spikes/times"), _at(file, "spikes/units")
        counts = [_sound(self._times, room), _sound(self._units, room)]
        for table, kinds in ((self._times, "f"), (self._units, "iu")):
            base = h5py.check_vlen_dtype(table.dtype)
            if table.ndim != 1 or base is None or np.dtype(base).kind not in kinds:
                raise ValueError(f"{table.name} must hold rows of {'numbers' if kinds == 'f' else 'whole numbers'} of any "
                                 f"length, holds {table.dtype}")
        told = {name: _at(file, place) for name, place in (("labels", "labels"), ("speakers", "extra/speaker"))}
        told = {name: table for name, table in told.items() if isinstance(table, h5py.Dataset)}
        for table in told.values():
            if table.dtype.kind not in "iu" or table.ndim != 1:
                raise ValueError(f"{table.name} must hold whole numbers, holds {table.dtype}")
            counts.append(_sound(table, room))
        if len(set(counts)) != 1:
            raise ValueError("spikes/times, spikes/units, labels and extra/speaker must have one row for each recording, have "
                             + ", ".join(map(str, counts)))
        self.numbers = np.concatenate([table[:].astype(np.int64) for table in told.values()]) if told else None
        self._room, self._held, self._number = room, np.empty((4, 0), np.int64), -1
        self.says = {"layout": "SHD", "rows": "spikes", "recordings": counts[0], "block": BLOCK, "classes": self._classes(file),
                     "width": 700, "height": 1, "holds": list(told),
                     "about": {"layout": "SHD", "recordings": counts[0]}}

    @staticmethod
    def _classes(file: h5py.File) -> list[str]:
        keys = _at(file, "extra/keys")
        if not isinstance(keys, h5py.Dataset) or keys.ndim != 1 or keys.size > 10_000 or keys.external or keys.is_virtual:
            return []
        return [(k.decode("utf-8", "replace") if isinstance(k, bytes) else str(k))[:100] for k in keys[:].tolist()]

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """As `Columns.answer`, of recording `recording`; count: how many spikes it has."""
        number, start = int(request["recording"]), int(request["start"])
        if number != self._number:
            try:
                times, units = self._times[number], self._units[number]
            except OSError as e:
                return {"fault": f"row {number} of spikes cannot be read: {e}", "taken": 0, "count": 0}, None
            if len(times) != len(units) or len(times) > self._room:
                raise ValueError(f"row {number} of spikes has {len(times)} times and {len(units)} units")
            microseconds = times.astype(np.float64) * 1e6
            good = np.isfinite(microseconds) & (np.abs(microseconds) < 2.0**62)
            self._held, self._number = np.zeros((4, len(times)), np.int64), number
            self._held[0] = np.where(good, np.rint(np.where(good, microseconds, 0.0)), -1)
            self._held[1] = units
        found = self._held[:, start:start + min(int(request["count"]), LARGEST)]
        return {"taken": found.shape[1], "count": self._held.shape[1]}, np.ascontiguousarray(found)
