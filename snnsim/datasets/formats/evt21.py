"""Prophesee EVT 2.1: words of 64 bits with up to 32 events of one row each, the kind in the highest four.

    0 OFF, 1 ON    6 low bits of the time, 11 bits x of the first, 11 bits y, and 32 bits: which of the 32 pixels
    8              28 high bits of the time, above 32 bits that mean nothing
    10, 14         triggers, vendors' words: left out. The others are reserved: a fault

Words are little-endian, or, where the header says "endianness=legacy" (IMX636), two little-endian halves, the higher one first.
Where it says nothing, the order that makes more of the first words known ones is taken. Time as in EVT 2.0.
Source: Prophesee, EVT 2.1 format (documentation of the Metavision SDK).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.evt import LIMITS, is_raw, raw_header
from snnsim.kernel import jit

HALF = 2**27  # of the range of high times
LOOKED_AT = 2**15  # bytes


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    length, found, _, said = raw_header(head)
    order = found.get("format endianness", "")
    legacy = order == "legacy" if order else _seems_legacy(head[length:length + LOOKED_AT])
    return Header(length, LIMITS, said, (-1, 0, legacy), found)


def _seems_legacy(body: bytes) -> bool:
    kinds = np.frombuffer(body[:len(body) // 8 * 8], np.uint8).reshape(-1, 8) >> 4
    known = np.isin(kinds, (0, 1, 8, 10, 14)).sum(0)
    return bool(known[3] > known[7])


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: the last high time, -1 before the first; 6: µs of all wraps; 7: 1 when the higher half comes first; 8 to 12: the
    mask of events that had no room, and their t, x, y, p."""
    halves = data[:len(data) // 8 * 8].view(np.uint32)
    width, height, last, ordered = state[0], state[1], state[2], state[3]
    high, wraps, first = state[5], state[6], state[7]
    mask, t, x, y, p = state[8], state[9], state[10], state[11], state[12]
    i = k = problem = at = 0
    n, room = len(halves), len(out)
    while k < room:
        while mask and k < room:
            if mask & 1:
                e = out[k]
                e["t"], e["x"], e["y"], e["p"] = t, x, y, p
                if x >= width or y >= height or t < last:
                    problem, at = 2 if x < width and y < height else 1, max(0, 4 * (i - 2))
                else:
                    if ordered:
                        last = t
                    k += 1
            mask >>= 1
            x += 1
            if problem:
                break
        if problem or i >= n or k >= room:
            break
        upper, lower = np.int64(halves[i + 1 - first]), np.int64(halves[i + first])
        i += 2
        kind = upper >> 28
        if kind <= 1:
            if high >= 0:
                t = wraps + (high << 6) + ((upper >> 22) & 63)
                mask, x, y, p = lower, (upper >> 11) & 2047, upper & 2047, kind
        elif kind == 8:
            new = upper & 0xFFFFFFF
            if new < high - HALF:
                wraps += np.int64(1) << 34
            high = new
        elif kind != 10 and kind != 14:
            problem, at = 3, 4 * (i - 2)
            break
    state[2], state[5], state[6] = last, high, wraps
    state[8], state[9], state[10], state[11], state[12] = mask, t, x, y, p
    return 4 * i, k, problem, at


EVT21 = Blocks("evt21", "Prophesee EVT2.1", ".raw", "µs, 34 bits, unwrapped", lambda head, size: is_raw(head, "evt21"),
               bytes_each=8, most_each=32, header=_header, decode=_decode, problems=("the word's type is reserved",))
