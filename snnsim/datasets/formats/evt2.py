"""Prophesee EVT 2.0: words of 32 bits, little-endian, the kind in the highest four.

    0 OFF, 1 ON    6 low bits of the time, 11 bits x, 11 bits y
    8              28 high bits of the time; it wraps after 2^34 µs, 4.8 hours
    2, 3, 9 to 15  exposure, triggers, vendors' words: no change events, left out. 4 to 7 are reserved: a fault

Events before the first high time have no time and are left out. A high time that falls by more than half its range is a wrap.
Source: Prophesee, EVT 2.0 format (documentation of the Metavision SDK).
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.evt import LIMITS, header_text, is_raw, raw_header
from snnsim.datasets.formats.writing import checked, marks_between, written
from snnsim.kernel import jit

HALF = 2**27  # of the range of high times


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    length, found, _, said = raw_header(head)
    return Header(length, LIMITS, said, (-1, 0), found)


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: the last high time, -1 before the first; 6: µs of all wraps."""
    words = data[:len(data) // 4 * 4].view(np.uint32)
    width, height = np.uint32(state[0]), np.uint32(state[1])
    last, ordered, high, wraps = state[2], state[3], state[5], state[6]
    base = wraps + (high << 6)  # negative before the first high time: no event passes
    i = k = problem = at = 0
    n, room = len(words), len(out)
    while i < n and k < room:
        word = words[i]
        kind = word >> np.uint32(28)
        i += 1
        if kind <= 1:
            x, y = (word >> np.uint32(11)) & np.uint32(2047), word & np.uint32(2047)
            t = base + np.int64((word >> np.uint32(22)) & np.uint32(63))
            e = out[k]
            e["t"], e["x"], e["y"], e["p"] = t, np.uint16(x), np.uint16(y), np.uint8(kind)
            if (x >= width) | (y >= height) | (t < last):
                if high < 0:
                    continue
                problem, at = 2 if x < width and y < height else 1, 4 * (i - 1)
                break
            if ordered:
                last = t
            k += 1
        elif kind == 8:
            new = np.int64(word & np.uint32(0xFFFFFFF))
            if new < high - HALF:
                wraps += np.int64(1) << 34
            high = new
            base = wraps + (high << 6)
        elif 4 <= kind <= 7:
            problem, at = 3, 4 * (i - 1)
            break
    state[2], state[5], state[6] = last, high, wraps
    return 4 * i, k, problem, at


def write(path: str | os.PathLike[str], events: Events, sensor: Sensor) -> None:
    """Write the events as EVT 2.0; a high time is written when it changes, and at least every 2^33 µs.

    Errors: ValueError for events that are not valid, a sensor beyond 2048 x 2048, or times that need too many words.
    """
    checked(path, events, sensor, LIMITS.height, LIMITS.width)
    high = events["t"] >> 6
    marks, before = marks_between(path, high, HALF - 1, 2**28)
    place = np.arange(len(events)) + before
    words = np.empty(len(events) + len(marks), "<u4")
    is_mark = np.ones(len(words), bool)
    is_mark[place] = False
    words[is_mark] = (8 << 28) | marks
    low = (events["t"] & 63).astype(np.uint32)
    words[place] = ((events["p"].astype(np.uint32) << 28) | (low << 22) | (events["x"].astype(np.uint32) << 11)
                    | events["y"].astype(np.uint32))
    written(path, header_text("EVT2", "2.0", sensor), words)


EVT2 = Blocks("evt2", "Prophesee EVT2", ".raw", "µs, 34 bits, unwrapped", lambda head, size: is_raw(head, "evt2"), write,
              bytes_each=4, header=_header, decode=_decode, problems=("the word's type is reserved",))
