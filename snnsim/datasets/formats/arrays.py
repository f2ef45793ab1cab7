"""Events in NumPy's files, .npy and .npz; never with objects, which would run code.

    .npy   a table with the fields t, x, y, p, or a matrix with the columns t, x, y, p
    .npz   an array for each of t, x, y, p; or one such table or matrix, called events or the only one. Arrays width and height
           of one number each give the sensor, label the label

Fields and arrays go by the names of `columns`; y grows downwards. Times without a unit in their name are µs where those of the
first block of 65,536 are whole numbers, and seconds where one of them has a fraction. p is 0, -1 or False for OFF, 1 or True
for ON.
"""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Sensor
from snnsim.datasets.formats.columns import meanings
from snnsim.datasets.formats.driver import Header, chosen
from snnsim.datasets.formats.rows import LIMITS, Block, Opened, Rows, claimed
from snnsim.datasets.formats.source import Source

MAGIC = b"\x93NUMPY"
BLOCK = 2**16  # rows
WIDEST = 1024  # bytes of a row
PIECE = 2**20  # bytes read at once
LATEST = 2**62  # µs
ORDER = ("t", "x", "y", "p")
BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, SyntaxError, RecursionError, OverflowError, MemoryError,
          EOFError, OSError, RuntimeError, NotImplementedError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


class Array:
    """An array in a stream of bytes: what its header says, and its rows, block after block. Errors: ValueError."""

    def __init__(self, file: Any, name: str) -> None:
        self.name, self._file = name, file
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                version = np.lib.format.read_magic(file)
                header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                self.shape, self._fortran, self.dtype = header(file)
        except BROKEN as e:
            raise ValueError(f"{name}: the header of the array is damaged: {_short(e)}") from None
        if self.dtype.hasobject:
            raise ValueError(f"{name} holds objects, which would run code: it is not read; save numbers alone")
        if self.dtype.itemsize > WIDEST or any(n < 0 for n in self.shape):
            raise ValueError(f"{name} has shape {self.shape} and {self.dtype.itemsize} bytes a row: the file is damaged")
        self.rows = self.shape[0] if self.shape else 1
        self._matrix: NDArray[Any] | None = None

    @property
    def table(self) -> bool:
        """Whether this may be all the events: a table with named fields, or a matrix of four columns."""
        return (self.dtype.names is not None and len(self.shape) == 1) or (
            self.dtype.kind in "iufb" and len(self.shape) == 2 and self.shape[1] == 4)

    @property
    def column(self) -> bool:
        return self.dtype.kind in "iufb" and len(self.shape) == 1

    def take(self, start: int, count: int) -> NDArray[Any]:
        """The next rows; fewer where the file ends."""
        wide = self.shape[1] if len(self.shape) == 2 else 1
        if self._fortran and wide > 1:  # column after column
            if self._matrix is None:
                held = self._bytes(self.rows * wide * self.dtype.itemsize)
                if len(held) < self.rows * wide * self.dtype.itemsize:
                    return np.empty((0, wide), self.dtype)
                self._matrix = np.frombuffer(held, self.dtype).reshape(wide, self.rows).T
            return self._matrix[start:start + count]
        each = wide * self.dtype.itemsize
        data = self._bytes(count * each)
        found = np.frombuffer(data[:len(data) // each * each], self.dtype)
        return found.reshape(-1, wide) if len(self.shape) == 2 else found

    def _bytes(self, size: int) -> bytes:
        held = bytearray()
        while len(held) < size:
            part = self._file.read(min(PIECE, size - len(held)))
            if not part:
                break
            held += part
        return bytes(held)

    def finish(self) -> None:
        """Where there is a checksum, it is compared when the end is met."""
        self._file.read(1)


def _short(e: BaseException) -> str:
    return (str(e) or type(e).__name__).splitlines()[0][:200]


class _Reading:
    """A source as a file: its first block, then the rest."""

    def __init__(self, source: Source) -> None:
        self._source, self._head = source, io.BytesIO(source.head)

    def read(self, size: int = -1) -> bytes:
        part = self._head.read(size)
        if part or self._source.ended:
            return part
        block = bytearray(size)
        return bytes(block[:self._source.into(memoryview(block))])


def _npy(source: Source, recording: int | None) -> Opened:
    chosen(recording, 1, source.name)
    try:
        array = Array(_Reading(source), "the array")
        if not array.table:
            raise ValueError(f"the array must be a table with the fields t, x, y, p, or a matrix of four columns, is "
                             f"{str(array.dtype)[:100]} of shape {array.shape}")
        columns, unit = _columns([array])
    except ValueError as e:
        raise ValueError(f"{source.name}: {e}") from None
    fits = source.size is None or array.rows * array.dtype.itemsize <= source.size  # otherwise it is cut off
    header = Header(0, LIMITS, count=array.rows if fits else None, about={"array": str(array.dtype)[:200]})
    return Opened(header, "the array", _blocks([array], columns, unit))


def _npz(source: Source, recording: int | None) -> Opened:
    chosen(recording, 1, source.name)
    try:
        archive = source.closing.enter_context(zipfile.ZipFile(source.on_disk()))
        held = {i.filename[:-4]: Array(_member(source, archive, i), i.filename[:-4])
                for i in archive.infolist() if i.filename.endswith(".npy")}
        arrays = _chosen(held)
        columns, unit = _columns(arrays)
        claimed(arrays[0].name, arrays[0].rows, source.size)
        sensor, label = _sensor(held), _single(held, "label")
    except BROKEN as e:
        raise ValueError(f"{source.name}: {_short(e)}") from None
    header = Header(0, sensor or LIMITS, sensor, count=arrays[0].rows,
                    about={"arrays": ", ".join(f"{n} {a.dtype}"[:60] for n, a in list(held.items())[:20])})
    rows = f"array {arrays[0].name}" if len(arrays) == 1 else "its arrays"
    return Opened(header, rows, _blocks(arrays, columns, unit), -1 if label is None else label)


def _member(source: Source, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Any:
    if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{item.filename} is compressed by method {item.compress_type}: only deflate is read")
    return source.closing.enter_context(archive.open(item))


def _chosen(held: dict[str, Array]) -> list[Array]:
    """The arrays that are the events: one table, or four columns t, x, y, p."""
    named = meanings([n for n, a in held.items() if a.column])
    if named:
        columns = [a for a in held.values() if a.column]
        return [columns[named[0][n]] for n in ORDER]
    tables = [a for n, a in held.items() if a.table]
    tables = [a for a in tables if a.name == "events"] or tables
    if len(tables) != 1:
        found = ", ".join(f"{n} {str(a.dtype)[:40]} {a.shape}" for n, a in list(held.items())[:8]) or "nothing"
        raise ValueError("events were expected as arrays t, x, y and p, or as one table or matrix of these (see "
                         f"docs/formats.md), found {found}")
    return tables


def _columns(arrays: list[Array]) -> tuple[tuple[Any, ...], int | None]:
    """What of an array's rows is t, x, y, p: fields, columns, or all of one array each; and the unit of t."""
    for array in arrays:
        if array.rows != arrays[0].rows:
            raise ValueError("the arrays must be equally long: " + ", ".join(f"{a.name} has {a.rows}" for a in arrays))
    if len(arrays) == 4:
        found = meanings([a.name for a in arrays])
        return (None,) * 4, found[1] if found else None
    names = arrays[0].dtype.names
    if names is None:
        return (0, 1, 2, 3), None
    found = meanings(names)
    if found is None:
        raise ValueError(f"{arrays[0].name} must have the fields t, x, y and p, has {', '.join(names)[:200]}")
    fields = tuple(names[found[0][n]] for n in ORDER)
    for field in fields:
        if arrays[0].dtype[field].kind not in "iufb":
            raise ValueError(f"{arrays[0].name}: {field} must hold numbers, holds {str(arrays[0].dtype[field])[:60]}")
    return fields, found[1]


def _blocks(arrays: list[Array], columns: tuple[Any, ...], unit: int | None) -> Iterator[Block]:
    start, count = 0, arrays[0].rows
    while start < count:
        asked = min(BLOCK, count - start)
        try:
            parts = [a.take(start, asked) for a in arrays]
        except BROKEN as e:
            yield f"rows {start} to {start + asked - 1} cannot be read: {_short(e)}"
            return
        got = min(len(p) for p in parts)
        parts = [p[:got] for p in parts] * (4 // len(parts))
        t, x, y, p = (part if c is None else part[c] if isinstance(c, str) else part[:, c]
                      for part, c in zip(parts, columns, strict=True))
        if unit is None:
            unit = 6 if t.dtype.kind == "f" and np.any(np.isfinite(t) & (t != np.rint(t))) else 0
        yield np.stack([_times(t, unit), _places(x), _places(y), _places(p, 2)])
        start += got
        if got < asked:
            yield f"the file ends at row {start} of {count}: it is cut off"
            return
    try:
        for array in arrays:
            array.finish()
    except BROKEN as e:
        yield f"{array.name} is damaged: {_short(e)}"


def _times(t: NDArray[Any], unit: int) -> NDArray[np.int64]:
    """µs, rounded; -1, which is not valid, for what is none, or too late."""
    if t.dtype.kind in "iub":
        whole = t.astype(np.int64)
        if unit < 0:
            return np.asarray((whole + 500) // 1000)
        held = (whole >= 0) & (whole <= LATEST // 10**unit)
        return np.where(held, whole, -1) * np.where(held, 10**unit, 1)
    microseconds = t.astype(np.float64) * 10.0**unit
    held = np.isfinite(microseconds) & (np.abs(microseconds) < LATEST)
    return np.where(held, np.rint(np.where(held, microseconds, 0.0)), -1).astype(np.int64)


def _places(column: NDArray[Any], none: int = -1) -> NDArray[np.int64]:
    """Whole numbers; `none`, which is not valid there, for what is none."""
    if column.dtype.kind in "iub":
        return column.astype(np.int64)
    good = np.isfinite(column) & (np.abs(column) < 2.0**31) & (column == np.rint(column))
    return np.where(good, column, none).astype(np.int64)


def _single(held: dict[str, Array], name: str) -> int | None:
    array = held.get(name)
    if array is None or array.dtype.kind not in "iu" or array.shape not in ((), (1,)):
        return None
    found = array.take(0, 1)
    return int(found[0]) if len(found) else None


def _sensor(held: dict[str, Array]) -> Sensor | None:
    width, height = _single(held, "width"), _single(held, "height")
    return None if width is None or height is None else Sensor(height, width)


NPY = Rows("npy", "NumPy array of events", ".npy", "µs or s", lambda head, size: head.startswith(MAGIC), most_each=2,
           opening=_npy)
NPZ = Rows("npz", "NumPy arrays of events", ".npz", "µs or s",
           lambda head, size: head.startswith((b"PK\x03\x04", b"PK\x05\x06")), opening=_npz)
