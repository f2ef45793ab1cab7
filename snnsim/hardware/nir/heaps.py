"""Texts of an HDF5 file stand in global heaps, and libhdf5 reads some broken ones for ever: found before it does so.

A collection is "GCOL", version 1, three zeros, its size (8 bytes); then objects: number (2), references (2), zeros (4),
size (8), data padded to 8 bytes. Number 0 is the free space at the end, whose size holds its header, too: a size of 0 there
is what never ends. Source: HDF5 File Format Specification 3.0, section III.E.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import h5py
import numpy as np

SIGNATURE = b"GCOL\x01\x00\x00\x00"
HEADER = 16


def check_heaps(path: str | os.PathLike[str]) -> None:
    """ValueError for a file with a collection whose objects do not fill it one after the other."""
    if not Path(path).is_file() or os.path.getsize(path) == 0:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(SIGNATURE)
        while start >= 0:
            if not _sound(data, start):
                raise ValueError(f"{path} is damaged: its texts, at byte {start}, cannot be read")
            start = data.find(SIGNATURE, start + len(SIGNATURE))


def _sound(data: mmap.mmap, start: int) -> bool:
    end = start + int.from_bytes(data[start + 8:start + HEADER], "little")
    if not start + HEADER <= end <= len(data):
        return False
    at = start + HEADER
    while at + HEADER <= end:
        number, size = int.from_bytes(data[at:at + 2], "little"), int.from_bytes(data[at + 8:at + HEADER], "little")
        step = HEADER + (size + 7) // 8 * 8 if number else size
        if step < HEADER or at + step > end:
            return False
        at += step
    return True


def check_texts(path: str | os.PathLike[str], item: h5py.Dataset) -> None:
    """ValueError for texts that claim more bytes than the file has, which libhdf5 would set aside.

    In the dataset stand, for each, its length (4 bytes), the address of its collection, and its number there.
    """
    kind = h5py.check_string_dtype(item.dtype)
    if kind is None or kind.length is not None or item.size == 0:
        return
    offset, size = item.id.get_offset(), os.path.getsize(path)
    each, left = divmod(item.id.get_storage_size(), item.size)
    if offset is None or left or each < 12 or each % 4 or each * item.size > size:
        raise ValueError(f"{path}: the texts of {item.name} do not stand in one block of the file")
    with open(path, "rb") as file:
        file.seek(offset)
        raw = file.read(each * item.size)
    lengths = np.frombuffer(raw[:len(raw) // each * each], "<u4").reshape(-1, each // 4)[:, 0]
    if len(lengths) < item.size or int(lengths.sum(dtype=np.int64)) > size:
        raise ValueError(f"{path}: the texts of {item.name} claim more bytes than the file has")
