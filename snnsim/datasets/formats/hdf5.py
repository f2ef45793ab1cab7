"""Event files in HDF5, read in a process of its own, see `snnsim.isolated`: layouts are told apart there.

    Prophesee   CD/events, a table of x, y, p, t (µs); often compressed with their codec ECF; attribute geometry
    DSEC        events/x, y, p, t (µs), to which t_offset is added; TUM-VIE and others write the same
    SHD, SSC    spikes/times (s, float16), spikes/units (0 to 699), ragged, and labels: many recordings; x is the unit, p = 0
    table       events, a table of x, y, p, t (µs), or a matrix of t, x, y, p (v2e)

y grows downwards in all of them. Source: Prophesee, HDF5 event file format (documentation); Gehrig, Aarents, Gehrig,
Scaramuzza, DSEC, IEEE RA-L 6(3) (2021); Cramer, Stradmann, Schemmel, Zenke, IEEE TNNLS 33(7) (2022).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnsim.datasets.events import Sensor
from snnsim.datasets.formats.driver import Header, chosen
from snnsim.datasets.formats.rows import LIMITS, Block, Opened, Rows
from snnsim.datasets.formats.source import Source
from snnsim.isolated import Child

MAGIC = b"\x89HDF\r\n\x1a\n"


def _opened(source: Source, recording: int | None) -> Opened:
    child = Child("snnsim.isolated.hdf5", source.on_disk(), source.name)
    source.closing.callback(child.close)
    says, count = child.says, int(child.says["recordings"])
    number = chosen(recording, count, source.name)
    labels = child.numbers[:count] if "labels" in says.get("holds", ()) else None
    sensor = Sensor(says["height"], says["width"], 1 if says["layout"] == "SHD" else 2) if says.get("width") else None
    about = {k: str(v) for k, v in says["about"].items()}
    first = None
    if says.get("count") is None:
        first = child.ask(0, recording=number, start=0, count=0)[0]
        says["count"] = first["count"]
    header = Header(0, sensor or LIMITS, sensor, about=about, count=says["count"], recordings=count, labels=labels,
                    classes=tuple(says.get("classes", ())))
    rows = f"{says['rows']}, recording {number}" if count > 1 else says["rows"]
    fault = first and first.get("fault")
    blocks = iter([fault]) if fault else blocks_of(child, number, int(says["block"]), says["count"])
    return Opened(header, rows, blocks, -1 if labels is None else int(labels[number]))


def blocks_of(child: Child, recording: int, size: int, count: int) -> Iterator[Block]:
    """The rows of a recording of so many, `size` at once."""
    start = 0
    while start < count:
        says, numbers = child.ask(32 * size, recording=recording, start=start, count=size)
        taken = int(says["taken"])
        if taken < 1 or (len(numbers) != 4 * taken and "fault" not in says):
            yield f"the file ends at row {start} of {count}"
            return
        start += taken
        yield says["fault"] if "fault" in says else np.reshape(numbers, (4, taken))


HDF5 = Rows("hdf5", "HDF5 events", ".h5", "as the layout says", lambda head, size: head.startswith(MAGIC), opening=_opened)
