"""AEDAT 3.1: lines of text up to "#!END-HEADER", then packets, little-endian.

A packet: 28 bytes (u2 type, u2 source, u4 size of an event, place of its time, overflows, capacity, number, valid ones), then
`capacity` records, of which the first `number` are events. Polarity events (type 1) have 8 bytes: bit 0 valid, bit 1 polarity,
bits 16 to 2 y, 31 to 17 x; then 31 bits of time, above which the packet's overflows stand. Events that are not valid, padding,
and packets of other types are left out. y grows downwards. Source: iniVation, AEDAT 3.1 (documentation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.text import sharp_lines
from snnsim.kernel import jit

MAGIC = b"#!AER-DAT3.1"
LIMITS = Sensor(2**15 - 1, 2**15)
SOURCES = {"dvs128": Sensor(128, 128), "edvs": Sensor(128, 128), "davis128": Sensor(128, 128), "davis208": Sensor(192, 208),
           "davis240": Sensor(180, 240), "davis346": Sensor(260, 346), "davis640": Sensor(480, 640)}


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    length, lines = sharp_lines(head)
    if not lines or lines[-1] != "!END-HEADER":
        raise ValueError("the header does not end with #!END-HEADER in the first MiB: the file is cut off or damaged")
    about = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
    source = next((value for key, value in about.items() if key.startswith("Source")), "").lower()
    said = next((s for name, s in SOURCES.items() if source.startswith(name)), None)
    return Header(length, LIMITS, said, (), about)


@jit(inline="always")
def _word(data: NDArray[np.uint8], i: int) -> int:
    low, high = np.int64(data[i]) | (np.int64(data[i + 1]) << 8), np.int64(data[i + 2]) | (np.int64(data[i + 3]) << 8)
    return low | (high << 16)  # type: ignore[return-value]


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 4: bytes up to the end of the packet; 5: its events that are left; 6: its time base."""
    width, height, last, ordered = state[0], state[1], state[2], state[3]
    owed, left, base = state[4], state[5], state[6]
    i = k = problem = at = 0
    n, room = len(data), len(out)
    while k < room:
        if owed == 0:
            if i + 28 > n:
                break
            kind, size, place = _word(data, i) & 0xFFFF, _word(data, i + 4), _word(data, i + 8)
            overflows, capacity, number, valid = (_word(data, i + 12), _word(data, i + 16), _word(data, i + 20),
                                                  _word(data, i + 24))
            i += 28
            if overflows >> 31 or size >> 31 or capacity >> 31 or number > capacity or valid > number or (
                    kind == 1 and (size != 8 or place != 4)):
                problem, at = 3, i - 28
                break
            owed, left, base = size * capacity, number if kind == 1 else 0, overflows << 31
        elif left > 0:
            if i + 8 > n:
                break
            word, now = _word(data, i), _word(data, i + 4)
            i += 8
            owed -= 8
            left -= 1
            if not word & 1:
                continue
            x, y, p, t = word >> 17, (word >> 2) & 0x7FFF, (word >> 1) & 1, base + now
            e = out[k]
            e["t"], e["x"], e["y"], e["p"] = t, x, y, p
            if x >= width or y >= height or t < last or now >> 31:
                problem, at = 4 if now >> 31 else 2 if x < width and y < height else 1, i - 8
                break
            if ordered:
                last = t
            k += 1
        else:
            step = min(owed, n - i)
            if step == 0:
                break
            i += step
            owed -= step
    state[2], state[4], state[5], state[6] = last, owed, left, base
    return i, k, problem, at


AEDAT3 = Blocks("aedat3", "AEDAT 3.1", ".aedat", "µs, 31 bits and overflows", lambda head, size: head.startswith(MAGIC),
                bytes_each=8, header=_header, decode=_decode,
                problems=("the packet's header contradicts itself", "its time is negative"))
