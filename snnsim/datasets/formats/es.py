"""Event Stream (.es), version 2: bytes, with time as the difference to the event before.

    DVS     5 bytes: 7 bits of time and one of polarity, x, y;                     0xFF: 127 µs pass, 0xFE: nothing
    ATIS    5 bytes: 6 bits of time, polarity (bit 1), exposure (bit 0), x, y;     0xFC + n: 63 n µs pass
    colour  8 bytes: 8 bits of time, x, y, red, green, blue;                       0xFF: 254 µs pass, 0xFE: nothing

x and y have 16 bits, little-endian; y grows upwards in the file, downwards in what is read. ATIS's measurements of exposure are
no change events and are left out; a colour event tells no polarity (p = 0), and its colour is left out.
Source: the specification of Event Stream 2.0 (neuromorphic-paris/event_stream).
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

MAGIC = b"Event Stream"
KINDS = {0: "generic", 1: "dvs", 2: "atis", 4: "color"}
LARGEST = 2**16 - 1


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    if len(head) < 20:
        raise ValueError(f"the header of an Event Stream has 20 bytes, this file {len(head)}: it is cut off")
    if head[12] != 2:
        raise ValueError(f"only version 2 of Event Stream is read, this is {head[12]}.{head[13]}.{head[14]}")
    kind = KINDS.get(head[15])
    if kind is None or kind == "generic":
        raise ValueError(f"this Event Stream holds {'generic data' if kind else f'events of type {head[15]}'}, not pixels: "
                         "only dvs (1), atis (2) and color (4) are read")
    width, height = int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little")
    if not width or not height:
        raise ValueError(f"the header gives a sensor of {width} x {height} pixels: the file is damaged")
    said = Sensor(height, width, 1 if kind == "color" else 2)
    return Header(20, said, said, (0, head[15], height), {"type": kind, "version": f"{head[12]}.{head[13]}.{head[14]}"})


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: the time; 6: the type; 7: the height that y is turned around by."""
    width, height, t, kind, rows = state[0], state[1], state[5], state[6], state[7]
    size = 8 if kind == 4 else 5
    i = k = problem = at = p = 0
    n, room = len(data), len(out)
    while i < n and k < room:
        first = np.int64(data[i])
        if kind == 2:
            if first >= 0xFC:
                t += 63 * (first & 3)
                i += 1
                continue
            step, p = first >> 2, int((first >> 1) & 1)
        else:
            if first >= 0xFE:
                if first == 0xFF:
                    t += 127 if kind == 1 else 254
                i += 1
                continue
            step, p = (first >> 1, int(first & 1)) if kind == 1 else (first, 0)
        if i + size > n:
            break
        t += step
        x = np.int64(data[i + 1]) | (np.int64(data[i + 2]) << 8)
        y = rows - 1 - (np.int64(data[i + 3]) | (np.int64(data[i + 4]) << 8))
        i += size
        if kind == 2 and first & 1:
            continue
        e = out[k]
        e["t"], e["x"], e["y"], e["p"] = t, x, y, p
        if (x >= width) | (y < 0) | (y >= height):
            problem, at = 1, i - size
            break
        k += 1
    state[5] = t
    return i, k, problem, at


def write(path: str | os.PathLike[str], events: Events, sensor: Sensor) -> None:
    """Write the events as a DVS Event Stream.

    Errors: ValueError for events that are not valid, a sensor beyond 65535 x 65535, or long silences: each 127 µs take a byte.
    """
    checked(path, events, sensor, LARGEST, LARGEST)
    step = np.diff(events["t"], prepend=0)
    silent = step // 127  # 0x7F is not left for events: 0xFE and 0xFF mean something else
    if silent.sum() > SMALL:
        raise too_far(path, int(events["t"][-1]), int(silent.sum()))
    place = 5 * np.arange(len(events)) + np.cumsum(silent)
    data = np.full(5 * len(events) + int(silent.sum()), 0xFF, np.uint8)
    y = sensor.height - 1 - events["y"].astype(np.int64)
    columns = ((step - 127 * silent) << 1 | events["p"], events["x"] & 255, events["x"] >> 8, y & 255, y >> 8)
    for offset, column in enumerate(columns):
        data[place + offset] = column
    head = MAGIC + bytes([2, 0, 0, 1]) + sensor.width.to_bytes(2, "little") + sensor.height.to_bytes(2, "little")
    written(path, head, data)


ES = Blocks("es", "Event Stream", ".es", "µs, differences", lambda head, size: head.startswith(MAGIC), write,
            bytes_each=5, header=_header, decode=_decode)
