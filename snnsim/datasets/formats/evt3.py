"""Prophesee EVT 3.0: words of 16 bits, little-endian, the kind in the highest four; what does not change is not repeated.

    8, 6           high and low 12 bits of the time; the high ones wrap after 2^24 µs, 16.8 s
    0              y in 11 bits (bit 11 names the camera of a pair, and is left out)
    2              an event: x in 11 bits, polarity
    3, 4, 5        x and polarity of vectors; a vector of 12, of 8 events, which moves x on by as many
    7, 10, 14, 15  more of the word before, triggers, vendors' words: left out. The others are reserved: a fault

Events without a time, a row or, for vectors, a base before them are left out. Low words that step back are no wraps: cameras
write them, and time runs backwards by some µs. High words that fall by more than half their range are.
Source: Prophesee, EVT 3.0 format (documentation of the Metavision SDK).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor, read_only
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.evt import LIMITS, header_text, is_raw, raw_header
from snnsim.datasets.formats.writing import checked, marks_between, written
from snnsim.kernel import jit

HALF = 2**11  # of the range of high words
SIMPLE = 1 << 0 | 1 << 2 | 1 << 6  # kinds of words: a row, an event, a low time


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    length, found, _, said = raw_header(head)
    return Header(length, LIMITS, said, (-1, 0, 0, -1, -1, 0, 0), found)


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: the high word, -1 before the first; 6: the low one; 7: µs of all wraps; 8: y, -1 before the first; 9: x of the
    next vector, -1 before the first; 10: its polarity; 11: events of the last vector that had no room, bit 0 at x - 12."""
    words = data[:len(data) // 2 * 2].view(np.uint16)
    width, height, last, ordered = state[0], state[1], state[2], state[3]
    high, low, wraps, y, base, p, mask = state[5], state[6], state[7], state[8], state[9], state[10], state[11]
    t = wraps + (high << 12) + low  # negative before the first high word: no event passes
    x = base - 12
    i = k = problem = at = 0
    n, room = len(words), len(out)
    while k < room:
        if mask:
            fits = y < height and t >= last
            while mask and k < room:
                if mask & 1:
                    e = out[k]
                    e["t"], e["x"], e["y"], e["p"] = t, x, y, p
                    if x >= width or not fits:
                        problem, at = 2 if x < width and y < height else 1, max(0, 2 * (i - 1))
                        break
                    k += 1
                    if ordered:
                        last = t
                mask >>= 1
                x += 1
            if problem:
                mask >>= 1
                x += 1
                break
            continue
        if 0 <= y < height and high >= 0 and t >= last:
            before = k
            i, k, y, low = _simple(words, i, out, k, wraps + (high << 12), width, height, y, low)
            t = wraps + (high << 12) + low
            if ordered and k > before:
                last = out[k - 1]["t"]
            if k >= room:
                break
        if i >= n:
            break
        word = np.int64(words[i])
        kind, value = word >> 12, word & 4095
        i += 1
        if kind == 2:
            x = value & 2047
            e = out[k]
            e["t"], e["x"], e["y"], e["p"] = t, x, y, value >> 11
            if (x >= width) | (y >= height) | (y < 0) | (t < last):
                if high < 0 or y < 0:
                    continue
                problem, at = 2 if x < width and y < height else 1, 2 * (i - 1)
                break
            if ordered:
                last = t
            k += 1
        elif kind == 0:
            y = value & 2047
        elif kind == 6:
            low = value
            t = wraps + (high << 12) + low
        elif kind == 4 or kind == 5:
            if base >= 0:
                x = base
                base += 12 if kind == 4 else 8
                if high < 0 or y < 0:
                    continue
                mask = value if kind == 4 else value & 255
                if base <= width and y < height and t >= last and k + 12 <= room:  # all are right: no branch for each
                    for j in range(12):
                        e = out[k]
                        e["t"], e["x"], e["y"], e["p"] = t, x + j, y, p
                        k += int((mask >> j) & 1)
                    if ordered and mask:
                        last = t
                    mask = 0
        elif kind == 3:
            base, p = value & 2047, value >> 11
        elif kind == 8:
            if value < high - HALF:
                wraps += np.int64(1) << 24
            high = value
            t = wraps + (high << 12) + low
        elif kind == 1 or kind == 9 or 11 <= kind <= 13:
            problem, at = 3, 2 * (i - 1)
            break
    if mask:  # so that the next call finds x again
        mask <<= x - (base - 12)
    state[2], state[5], state[6], state[7], state[8], state[9], state[10], state[11] = last, high, low, wraps, y, base, p, mask
    return 2 * i, k, problem, at


@jit(nogil=True)
def _simple(words: NDArray[np.uint16], i: Any, out: Events, k: Any, zero: int, width: int, height: int, y: Any,
            low: Any) -> tuple[Any, Any, Any, Any]:
    """Take words i, i + 1, ... while they are rows, events and low times with nothing wrong: the new i, k, y, low.

    They come in an order that no processor guesses, so there is no branch on the kind: each word writes out[k], and the
    kind's bits choose what changes. zero: time of the high words. y must lie on the sensor, the time not run backwards.
    """
    n, room = len(words), len(out)
    while True:
        place, at, stop = np.uint64(i), np.uint64(k), np.uint64(i + min(n - i, room - k))
        while place < stop:
            word = np.int64(words[place])
            if not (SIMPLE >> (word >> 12)) & 1:
                break
            late, other = -((word >> 14) & 1), -((word >> 13) & 1)  # masks: all ones for a low time; for all but a row
            event, x = other & ~late, word & 2047
            row = x ^ ((x ^ y) & other)
            now = low ^ ((low ^ (word & 4095)) & late)
            e = out[at]
            e["t"], e["x"], e["y"], e["p"] = zero + now, x, row, (word >> 11) & 1
            if (((width - 1 - x) & event) | (height - 1 - row) | (now - low)) < 0:
                break
            y, low = row, now
            at -= np.uint64(event)
            place += np.uint64(1)
        done = np.int64(place) == i
        i, k = np.int64(place), np.int64(at)
        if place < stop or done:
            return i, k, y, low


@jit(nogil=True)
def _encode(events: Events, marks: NDArray[np.int64], before: NDArray[np.int64], words: NDArray[np.uint16]) -> int:
    """Words that were written. Events of one row, time and polarity whose x rise are vectors where that takes fewer words."""
    k = mark = i = 0
    low = row = base = polarity = latest = np.int64(-1)
    n = len(events)
    while i < n:
        e = events[i]
        t, x, y, p = e["t"], np.int64(e["x"]), np.int64(e["y"]), np.int64(e["p"])
        while mark < before[i]:
            words[k] = (8 << 12) | marks[mark]
            k, mark = k + 1, mark + 1
        if (t & 4095) != low:
            low = t & 4095
            words[k] = (6 << 12) | low
            k += 1
        if y != row:
            row = y
            words[k] = y
            k += 1
        goes_on = base <= x < base + 12 and p == polarity
        start = base if goes_on else x
        mask, j, latest = np.int64(0), i, x - 1
        while j < n:
            e = events[j]
            if e["t"] != t or e["y"] != y or e["p"] != p or np.int64(e["x"]) <= latest or np.int64(e["x"]) >= start + 12:
                break
            latest = np.int64(e["x"])
            mask |= np.int64(1) << (latest - start)
            j += 1
        if goes_on or j - i > 2:
            if not goes_on:
                words[k] = (3 << 12) | (p << 11) | x
                k += 1
            words[k] = (4 << 12) | mask
            base, polarity, i = start + 12, p, j
        else:
            words[k] = (2 << 12) | (p << 11) | x
            i += 1
        k += 1
    return k


def write(path: str | os.PathLike[str], events: Events, sensor: Sensor) -> None:
    """Write the events as EVT 3.0, with vectors where they take fewer words.

    Errors: ValueError for events that are not valid, a sensor beyond 2048 x 2048, or times that need too many words.
    """
    checked(path, events, sensor, LIMITS.height, LIMITS.width)
    marks, before = marks_between(path, events["t"] >> 12, HALF - 1, 2**12)
    words = np.empty(4 * len(events) + len(marks), "<u2")
    count = _encode(read_only(events), marks, before, words)
    written(path, header_text("EVT3", "3.0", sensor), words[:count])


EVT3 = Blocks("evt3", "Prophesee EVT3", ".raw", "µs, 24 bits, unwrapped", lambda head, size: is_raw(head, "evt3"), write,
              bytes_each=2, most_each=12, header=_header, decode=_decode, problems=("the word's type is reserved",))
