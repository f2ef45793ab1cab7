"""AEDAT 4, read by the package `aedat` (an extra) in a process of its own, see `snnsim.isolated`.

Times are µs since 1970 in 64 bits, and stay so; y grows downwards; the size of the sensor is in the file. Each stream of events
is a recording; frames, IMU and triggers are left out. Source: iniVation, AEDAT 4.0 (documentation).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnsim.datasets.events import Sensor
from snnsim.datasets.formats.driver import Header, chosen
from snnsim.datasets.formats.rows import LIMITS, Block, Opened, Rows
from snnsim.datasets.formats.source import Source
from snnsim.isolated import Child

MAGIC = b"#!AER-DAT4.0"


def _opened(source: Source, recording: int | None) -> Opened:
    child = Child("snnsim.isolated.aedat4", source.on_disk(), source.name)
    source.closing.callback(child.close)
    number = chosen(recording, int(child.says["recordings"]), source.name)
    width, height = child.says["sizes"][number]
    sensor = Sensor(height, width) if 0 < width <= LIMITS.width and 0 < height <= LIMITS.height else None
    header = Header(0, sensor or LIMITS, sensor, about=child.says["about"], recordings=int(child.says["recordings"]))
    return Opened(header, child.says["rows"], _blocks(child, number, int(child.says["block"])))


def _blocks(child: Child, recording: int, size: int) -> Iterator[Block]:
    while True:
        says, numbers = child.ask(32 * size, recording=recording)
        if "fault" in says:
            yield says["fault"]
        if not says["taken"]:
            return
        yield np.reshape(numbers, (4, says["taken"]))


AEDAT4 = Rows("aedat4", "AEDAT 4", ".aedat4", "µs since 1970, 64 bits", lambda head, size: head.startswith(MAGIC),
              most_each=2, opening=_opened)
