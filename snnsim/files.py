"""Write files so that a reader sees the old one or the new one, never half of either; read HDF5 within bounds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

SMALL = 64 * 2**20  # bytes that a dataset may always claim, however small the file


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`; when the block succeeds it is synced to disk and takes the place of `path`.

    When the block fails the temporary file is removed and what stood at `path` is untouched.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: there is no folder {target.parent}")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, target)
        if os.name == "posix":
            _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_array(group: h5py.Group, name: str, path: str | os.PathLike[str]) -> NDArray[Any]:
    """A numeric dataset of an HDF5 file, or a ValueError that names the file and the dataset.

    Refused: a missing name, something that is not a dataset of numbers, and one that claims far more bytes than the
    whole file has, as a crafted or broken file would.
    """
    where = f"{path}: {group.name.rstrip('/')}/{name}"
    item = group.get(name)
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{where} is missing")
    if item.dtype.kind not in "fiub":
        raise ValueError(f"{where} must hold numbers, holds {item.dtype}")
    if item.external or item.is_virtual:
        raise ValueError(f"{where} points outside the file")
    claimed = item.size * item.dtype.itemsize
    if claimed > max(SMALL, 16 * os.path.getsize(path)):
        raise ValueError(f"{where} claims {claimed} bytes in a file of {os.path.getsize(path)} bytes")
    try:
        return np.asarray(item[()])
    except OSError as e:
        raise ValueError(f"{where} cannot be read: {e}") from None


@contextmanager
def reading_hdf5(path: str | os.PathLike[str], what: str) -> Iterator[h5py.File]:
    """The file opened for reading; ValueError that says it is not `what` when it is missing, broken or not HDF5."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as e:
        raise ValueError(f"{path} is not {what}: {e}") from None
    with file:
        try:
            yield file
        except (KeyError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as e:
            if isinstance(e, ValueError) and os.fspath(path) in str(e):  # a reader's own, not h5py's of a damaged type
                raise
            raise ValueError(f"{path} is not {what}, or it is damaged: {e}") from None
