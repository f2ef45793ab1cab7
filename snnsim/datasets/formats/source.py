"""Bytes of a file or of something like one, read block by block into one buffer."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from snnsim.files import SMALL

BLOCK = 2**20  # bytes; a header must end within the first block

Place = str | os.PathLike[str] | IO[bytes]


class Source:
    """A file by its path, or an object with `read` or `readinto`, which need not seek.

    name: for errors. size: in bytes, from where it stands to its end; None where that cannot be known. head: the first block,
    read already; ended: whether that is all. What was opened here is closed by `close`; an object that was given stays open.
    Errors: FileNotFoundError; ValueError for what is no file or is not read as bytes.
    """

    def __init__(self, place: Place) -> None:
        self._given = hasattr(place, "read") or hasattr(place, "readinto")
        if self._given:
            self.name = str(getattr(place, "name", f"<{type(place).__name__}>"))
            self._file: Any = place
        elif isinstance(place, (str, os.PathLike)):
            self.name = os.fspath(place)
            self._file = _opened(self.name)
        else:
            raise ValueError(f"a path or a file opened for reading bytes was expected, got {place!r}")
        if isinstance(self._file, io.TextIOBase):
            raise ValueError(f"{self.name} is opened as text: open it with mode 'rb'")
        self.path = None if self._given else Path(self.name)
        self.size = _size(self._file)
        self.closing = ExitStack()  # what else ends with it
        asked = BLOCK if self.size is None else min(BLOCK, self.size + 1)
        block = bytearray(asked)
        got = self.into(memoryview(block))
        self.head, self.ended = bytes(memoryview(block)[:got]), got < asked

    def into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as bytes come: how many; fewer than asked for only at the end."""
        filled = 0
        readinto = getattr(self._file, "readinto", None)
        while filled < len(buffer):
            if readinto is not None:
                got = readinto(buffer[filled:])
            else:
                data = self._file.read(len(buffer) - filled)
                got = len(data)
                buffer[filled:filled + got] = data
            if not got:
                break
            filled += got
        return filled

    def on_disk(self) -> Path:
        """The path, or that of a copy, which ends with this, of what has no path or is no plain file."""
        if self.path is not None and self.path.is_file():
            return self.path
        handle, name = tempfile.mkstemp(prefix="snnsim-")
        self.closing.callback(os.unlink, name)
        with open(handle, "wb") as file:
            file.write(self.head)
            block = bytearray(BLOCK)
            while got := self.into(memoryview(block)):
                file.write(memoryview(block)[:got])
            self.size = file.tell()
        return Path(name)

    def close(self) -> None:
        self.closing.close()
        if not self._given:
            self._file.close()


def _opened(name: str) -> IO[bytes]:
    try:
        mode = os.stat(name).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no file {name}") from None
    if stat.S_ISDIR(mode):
        raise ValueError(f"{name} is a folder, a file was expected")
    return open(name, "rb", buffering=0)


def _size(file: Any) -> int | None:
    try:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            return max(0, status.st_size - int(file.tell()))
        return None
    except (AttributeError, OSError, ValueError):  # io.UnsupportedOperation is both of the latter
        pass
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
        return max(0, int(end) - int(here))
    except (AttributeError, OSError, ValueError, TypeError):
        return None


def most_events(size: int | None, bytes_each: int, most_each: int) -> int:
    """Room to start with: what `size` bytes hold at most, or a guess where that would be far more than they usually hold."""
    if size is None:
        return 2**16
    bound = (size // bytes_each + 1) * most_each
    return min(bound, max(size // 2, SMALL // 64)) if most_each > 1 else bound


def empty(events: int, dtype: np.dtype[Any]) -> Any:
    try:
        return np.empty(events, dtype)
    except (MemoryError, ValueError):
        raise MemoryError(f"{events} events of {dtype.itemsize} bytes each do not fit into memory: use "
                          "datasets.stream, which gives them chunk by chunk") from None
