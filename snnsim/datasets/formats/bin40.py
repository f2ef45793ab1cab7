"""40 bits an event, big-endian, without a header: N-MNIST, N-Caltech101, and SLAYER's .bs2.

x, y, one bit p, 23 bits of time. A y of 240 is no event: it says that the clock has passed 2^13 µs, which are added to all
later times. Without such marks, a time that falls by more than half of the 2^23 µs is a wrap.
Source: Orchard, Jayawant, Cohen, Thakor, Frontiers in Neuroscience 9:437 (2015).
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.writing import checked, too_far, written
from snnsim.files import SMALL
from snnsim.kernel import jit

LIMITS = Sensor(240, 256)
MARK, STEP, RANGE = 240, 2**13, 2**23
LOOKED_AT = 5 * 2**10  # bytes


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    return Header(0, LIMITS, None, (0, 0, RANGE // 2))


def _strictly(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    return Header(0, LIMITS, None, (0, 0, RANGE))


def _recognise(head: bytes, size: int | None) -> bool:
    """No header tells: rows up to 239 or the mark, and times that rise, but for wraps; some records, or nothing left over."""
    count = min(len(head), LOOKED_AT) // 5
    if not count or (len(head) % 5 and count < 8):
        return False
    record = np.frombuffer(head[:5 * count], np.uint8).reshape(-1, 5).astype(np.int64)
    mark = record[:, 1] == MARK
    t = STEP * np.cumsum(mark) + ((record[:, 2] & 127) << 16 | record[:, 3] << 8 | record[:, 4])
    falls = -np.diff(t[~mark])
    return bool(np.all(record[:, 1] <= MARK) and np.all((falls <= 0) | (falls > RANGE // 2)))


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: µs of all marks and wraps; 6: the last time as it was written; 7: a larger fall is a wrap."""
    width, height, last, ordered, base, before, fall = (state[0], state[1], state[2], state[3], state[5], state[6], state[7])
    k = problem = at = used = 0
    n, room = len(data) // 5, len(out)
    while used < n and k < room:
        i = 5 * used
        used += 1
        x, y, high = np.int64(data[i]), np.int64(data[i + 1]), np.int64(data[i + 2])
        if y == MARK:
            base += STEP
            before -= STEP  # what follows a mark may begin anew
            continue
        now = ((high & 127) << 16) | (np.int64(data[i + 3]) << 8) | np.int64(data[i + 4])
        if before - now > fall:
            base += RANGE
        before = now
        t = base + now
        e = out[k]
        e["t"], e["x"], e["y"], e["p"] = t, x, y, high >> 7
        if x >= width or y >= height or t < last:
            problem, at = 2 if x < width and y < height else 1, i
            break
        if ordered:
            last = t
        k += 1
    state[2], state[5], state[6] = last, base, before
    return 5 * used, k, problem, at


def write(path: str | os.PathLike[str], events: Events, sensor: Sensor) -> None:
    """Write the events; times that 23 bits do not hold are preceded by marks.

    Errors: ValueError for events that are not valid, none at all, a sensor beyond 256 x 240, or times that need too many marks.
    """
    checked(path, events, sensor, LIMITS.height, LIMITS.width)
    if not len(events):
        raise ValueError(f"cannot write {path}: a file without a header holds at least one event")
    # A mark is due when t - base reaches 2^23, base being 2^13 times the marks before it.
    marks = np.maximum(0, (events["t"] - RANGE) // STEP + 1)
    total = len(events) + int(marks[-1])
    if 5 * int(marks[-1]) > SMALL:
        raise too_far(path, int(events["t"][-1]), 5 * int(marks[-1]))
    data = np.zeros((total, 5), np.uint8)
    data[:, 1] = MARK
    t = events["t"] - marks * STEP
    columns = events["x"], events["y"], (events["p"].astype(np.int64) << 7) | (t >> 16), (t >> 8) & 255, t & 255
    data[np.arange(len(events)) + marks] = np.stack(columns, axis=1).astype(np.uint8)
    written(path, data)


BIN = Blocks("bin", "40-bit events (N-MNIST)", ".bin", "µs, 23 bits, unwrapped", _recognise, write,
             bytes_each=5, header=_header, decode=_decode)
# Recordings of N-MNIST take 0.3 s: a time that falls is damage.
NMNIST = Blocks("nmnist", "N-MNIST", ".bin", "µs, 23 bits", _recognise, write,
                bytes_each=5, header=_strictly, decode=_decode, advice="")
