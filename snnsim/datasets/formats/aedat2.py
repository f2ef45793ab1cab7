"""AEDAT 2.0: lines of text that begin with "#", then 8 bytes an event: an address and a time, big-endian.

    DVS128    bits 14 to 8 y, 7 to 1 x, 0 is 1 for OFF; an address with bit 15 or higher bits is a trigger and left out
    DAVIS     bits 30 to 22 y, 21 to 12 x, 11 is 1 for ON; with bit 31 (frames, inertia) or bit 10 (triggers) it is left out

Which of them is told by the line "# AEChip:"; without it a file whose first addresses all have 16 bits is taken for a
DVS128's, and others need the sensor's size. jAER, which writes these files, counts x from the right and y from below, and its
DVS128 gives 1 for OFF, against the text of the format's description; what jAER shows is what is read here: x from the left, y
downwards, p = 1 ON. Times have 32 bits: signed, they turn negative after 2^31 µs, which unsigned ones do not; a fall by more
than half the range is a wrap. Source: iniVation, AEDAT 2.0 (documentation); jAER's chip classes DVS128 and DavisBaseCamera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.driver import Blocks, Header
from snnsim.datasets.formats.text import sharp_lines
from snnsim.kernel import jit

DVS128 = Sensor(128, 128)
LIMITS = Sensor(512, 1024)
CHIPS = {"dvs128": DVS128, "tmpdiff128": DVS128, "davis128": DVS128, "davis208": Sensor(192, 208), "davis240": Sensor(180, 240),
         "davis346": Sensor(260, 346), "davis640": Sensor(480, 640)}
OLD = ("dvs128", "tmpdiff128")  # with 16 bits an address
MAGIC = b"#!AER-DAT2.0"
HALF = 2**31  # of the range of times
LOOKED_AT = 2**13  # bytes


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    length, lines = sharp_lines(head)
    about = {key.strip(): value.strip() for key, colon, value in (line.strip().partition(":") for line in lines) if colon}
    chip = about.get("AEChip", "").rpartition(".")[2]
    named = next((name for name in CHIPS if chip.lower().startswith(name)), None)
    if named is None:
        addresses = np.frombuffer(head[length:length + LOOKED_AT][:(len(head) - length) // 8 * 8], ">u4")[::2]
        if not np.any(addresses >> 16):
            named = "dvs128"
        elif sensor is None:
            raise ValueError(f"the header names {f'an unknown chip, {chip!r}' if chip else 'no chip'}: give its size, such as "
                             "sensor=datasets.Sensor(260, 346)")
    said = CHIPS[named] if named else sensor
    assert said is not None
    if said.height > LIMITS.height or said.width > LIMITS.width:
        raise ValueError(f"an AEDAT 2.0 address holds {LIMITS.width} x {LIMITS.height} pixels, the sensor has {said.width} x "
                         f"{said.height}")
    return Header(length, said, said, (0, 0, named in OLD, said.width, said.height), about)


@jit(inline="always")
def _swapped(word: int) -> int:
    w = np.int64(word)
    return (w >> 24) | ((w >> 8) & 0xFF00) | ((w & 0xFF00) << 8) | ((w & 0xFF) << 24)  # type: ignore[return-value]


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: the last time as it was written; 6: µs of all wraps; 7: 1 for a DVS128; 8, 9: the chip's width and height."""
    words = data[:len(data) // 8 * 8].view(np.uint32)
    width, height, last, ordered, before, wraps = state[0], state[1], state[2], state[3], state[5], state[6]
    old, columns, rows = state[7], state[8], state[9]
    i = k = problem = at = 0
    n, room = len(words), len(out)
    while i < n and k < room:
        address, now = _swapped(words[i]), _swapped(words[i + 1])
        i += 2
        if now < before - HALF:
            wraps += np.int64(1) << 32
        before = now
        if old:
            if address >> 15:
                continue
            x, y, p = columns - 1 - ((address >> 1) & 127), rows - 1 - ((address >> 8) & 127), 1 - (address & 1)
        else:
            if address & ((1 << 31) | (1 << 10)):
                continue
            x, y, p = columns - 1 - ((address >> 12) & 1023), rows - 1 - ((address >> 22) & 511), (address >> 11) & 1
        t = wraps + now
        e = out[k]
        e["t"], e["x"], e["y"], e["p"] = t, x, y, p
        if x < 0 or x >= width or y < 0 or y >= height or t < last:
            problem, at = 2 if 0 <= x < width and 0 <= y < height else 1, 4 * (i - 2)
            break
        if ordered:
            last = t
        k += 1
    state[2], state[5], state[6] = last, before, wraps
    return 4 * i, k, problem, at


AEDAT2 = Blocks("aedat2", "AEDAT 2.0", ".aedat", "µs, 32 bits, unwrapped", lambda head, size: head.startswith(MAGIC),
                bytes_each=8, header=_header, decode=_decode)
