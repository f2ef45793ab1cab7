"""Prophesee DAT: lines of text, two bytes (the type of the events, 0 or 12, and their size, 8), then 8 bytes an event.

32 bits of time, little-endian, which wrap after 71.6 minutes; 14 bits x, 14 bits y, 4 bits polarity. A time that falls by more
than half the range is a wrap. Source: Prophesee, DAT file format (documentation of the Metavision SDK).
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.text import number, percent_lines
from snnsim.datasets.formats.writing import checked, written
from snnsim.kernel import jit

LIMITS = Sensor(2**14, 2**14)
TYPES = {0: "2D events", 12: "CD events"}
HALF = 2**31  # of the range of times


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    length, found = percent_lines(head)
    kind = head[length:length + 2]
    if len(kind) < 2:
        raise ValueError("the file ends before the type of its events: it is cut off")
    if kind[0] not in TYPES or kind[1] != 8:
        raise ValueError(f"DAT events of type {kind[0]} in {kind[1]} bytes are not read: only types 0 and 12, in 8 bytes")
    columns, rows = number(found.get("Width"), LIMITS.width), number(found.get("Height"), LIMITS.height)
    said = Sensor(rows, columns) if rows and columns else None
    return Header(length + 2, LIMITS, said, (), found, None if size is None else max(0, size - length - 2) // 8)


def _recognise(head: bytes, size: int | None) -> bool:
    length, found = percent_lines(head)
    raw = "evt" in found or "format" in found
    return length > 0 and not raw and ("Data" in found or head[length + 1:length + 2] == b"\b")


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: the last time as it was written; 6: µs of all wraps."""
    words = data[:len(data) // 8 * 8].view(np.uint32)
    width, height, last, ordered, before, wraps = state[0], state[1], state[2], state[3], state[5], state[6]
    problem = at = k = used = 0
    for i in range(min(len(words) // 2, len(out))):
        low, place = np.int64(words[2 * i]), np.int64(words[2 * i + 1])
        used = i + 1
        if low < before - HALF:
            wraps += np.int64(1) << 32
        before = low
        x, y, p = place & 16383, (place >> 14) & 16383, place >> 28
        t = wraps + low
        e = out[k]
        e["t"], e["x"], e["y"], e["p"] = t, x, y, p
        if (x >= width) | (y >= height) | (t < last) | (p > 1):
            problem, at = 3 if p > 1 else 2 if x < width and y < height else 1, 8 * i
            break
        if ordered:
            last = t
        k += 1
    state[2], state[5], state[6] = last, before, wraps
    return 8 * used, k, problem, at


def write(path: str | os.PathLike[str], events: Events, sensor: Sensor) -> None:
    """Write the events as CD events.

    Errors: ValueError for events that are not valid, a sensor beyond 16384 x 16384, or times that 32 bits and their wraps
    cannot tell: a first one from 2^32 µs on, or a silence of more than 2^31 µs.
    """
    checked(path, events, sensor, LIMITS.height, LIMITS.width)
    t = events["t"]
    if len(t) and (t[0] >= 2**32 or np.any(np.diff(t) > HALF)):
        raise ValueError(f"cannot write {path}: the first time must be below 2^32 µs, and no silence longer than 2^31 µs")
    words = np.empty((len(events), 2), "<u4")
    words[:, 0] = t & 0xFFFFFFFF
    words[:, 1] = (events["p"].astype(np.uint32) << 28) | (events["y"].astype(np.uint32) << 14) | events["x"]
    head = f"% Data file containing CD events.\n% Version 2\n% Width {sensor.width}\n% Height {sensor.height}\n"
    written(path, head.encode() + bytes([12, 8]), words)


DAT = Blocks("dat", "Prophesee DAT", ".dat", "µs, 32 bits, unwrapped", _recognise, write,
             bytes_each=8, header=_header, decode=_decode, problems=("its polarity is neither 0 nor 1",))
