"""Event files of every format: `read`, `stream`, `info`, `write`. Formats are told apart by what the file holds.

Whatever the format: t in µs as int64, unwrapped; x from the left, y downwards; p = 1 is ON. See docs/formats.md.
To add a format, write its file and name it in FORMATS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from snnsim.datasets.events import EVENT, Events, Recording, Sensor, whole
from snnsim.datasets.formats.aedat2 import AEDAT2
from snnsim.datasets.formats.aedat3 import AEDAT3
from snnsim.datasets.formats.aedat4 import AEDAT4
from snnsim.datasets.formats.arrays import NPY, NPZ
from snnsim.datasets.formats.bin40 import BIN
from snnsim.datasets.formats.dat import DAT
from snnsim.datasets.formats.driver import Decoder, Format, Policy
from snnsim.datasets.formats.es import ES
from snnsim.datasets.formats.evt2 import EVT2
from snnsim.datasets.formats.evt3 import EVT3
from snnsim.datasets.formats.evt21 import EVT21
from snnsim.datasets.formats.hdf5 import HDF5
from snnsim.datasets.formats.lines import CSV
from snnsim.datasets.formats.source import Place, Source, empty, most_events
from snnsim.rule import one_of

# In the order in which a file is asked whether it is one: what has no header comes last.
FORMATS: dict[str, Format] = {f.name: f for f in (EVT2, EVT21, EVT3, ES, DAT, AEDAT2, AEDAT3, AEDAT4, HDF5, NPY, NPZ, CSV, BIN)}

# Sizes of common sensors: what a recording lies on when its file does not say, the first that holds all events.
COMMON = tuple(Sensor(h, w) for h, w in ((34, 34), (128, 128), (180, 240), (240, 304), (260, 346), (480, 640), (720, 1280)))


@dataclass(frozen=True)
class Info:
    """What a file says of itself, and its first event. sensor, bytes, count, first and last: None where only reading all tells.

    time: what the format stores. recordings: how many there are; first is of the first. about: the header's values.
    """

    format: str
    title: str
    time: str
    sensor: Sensor | None
    bytes: int | None
    count: int | None
    first: int | None
    last: int | None = None
    recordings: int = 1
    about: Mapping[str, str] = field(default_factory=dict)


class Stream:
    """The events of a file, chunk after chunk, each a sorted array of dtype EVENT. Use it with `with`, or read it to its end.

    recording: which, in a file of several. sensor: None where the file does not say; limits: a sensor that holds all events for
    certain. faults, dropped: records left out so far; first_fault: what was wrong with the first.
    """

    def __init__(self, place: Place | Source, chunk: int = 2**20, form: str | Format | None = None, on_error: str = "raise",
                 order: str = "raise", sensor: Sensor | None = None, recording: int | None = None) -> None:
        self._chunk = whole("chunk", chunk, 1, 2**31)
        self._policy = Policy(on_error, order)
        if sensor is not None and not isinstance(sensor, Sensor):
            raise ValueError(f"sensor must be a datasets.Sensor(height, width), got {sensor!r}")
        self._source = place if isinstance(place, Source) else Source(place)
        self._policy.name = self._source.name
        try:
            self.format = form if isinstance(form, Format) else recognised(self._source, form)
            self.decoder: Decoder = self.format.open(self._source, self._policy, sensor, recording)
        except BaseException:
            self._source.close()
            raise
        self.sensor, self.limits = self.decoder.sensor, self.decoder.limits

    @property
    def faults(self) -> int:
        return self._policy.faults

    @property
    def dropped(self) -> int:
        return self._policy.dropped

    @property
    def first_fault(self) -> str:
        return self._policy.first

    def __iter__(self) -> Iterator[Events]:
        with self:
            while True:
                out = empty(self._chunk, EVENT)
                n = self.decoder.into(out)
                if n:
                    yield out[:n]
                if n < self._chunk:
                    return

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def every(self) -> Events:
        """All that is left, sorted; a warning says what was left out as faulty."""
        with self:
            events = self._every()
        self._policy.warn()
        if self._policy.order == "sort" and np.any(events["t"][1:] < events["t"][:-1]):
            events = events[np.argsort(events["t"], kind="stable")]
        return events

    def whole(self) -> Recording:
        """All that is left as one recording; its label is -1 where the file does not say."""
        events = self.every()
        events.setflags(write=False)
        sensor = self.sensor or smallest(events)
        if sensor.polarities == 1:  # which no decoder knows
            return Recording(events, self.decoder.label, sensor, self._source.name)
        return Recording.of_checked(events, self.decoder.label, sensor, self._source.name)

    def _every(self) -> Events:
        count = self.decoder.header.count
        size = self._source.size
        room = (most_events(size, self.format.bytes_each, self.format.most_each) if count is None or size is None else
                count + 1)
        out: Events = empty(room, EVENT)
        n = 0
        while (got := self.decoder.into(out[n:])) == len(out) - n:
            n += got
            grown: Events = empty(2 * len(out), EVENT)
            grown[:n] = out
            out = grown
        n += got
        if n < len(out):
            out.resize(n, refcheck=False)  # gives memory back; no view of it is left
        return out


def read(place: Place, *, format: str | None = None, on_error: str = "raise", order: str = "raise",
         sensor: Sensor | None = None, recording: int | None = None) -> Recording:
    """The recording in a file (by path, or an object opened for reading bytes), its label -1 where the file does not say.

    format: one of FORMATS, told by the content when None. sensor: overrides what the file says; where neither says, the
    smallest of the common sensors that holds all events.
    on_error: "raise" at the first faulty record, "skip" those, or "truncate" before the first; both warn.
    order: "raise" where time runs backwards, "sort" events by time (stable), or "drop" those that come late.
    recording: which, from 0, in a file of several.
    Errors: FileNotFoundError; ImportError for a package that a format needs; ValueError with file, byte (or row) and event.
    """
    return Stream(place, 1, format, on_error, order, sensor, recording).whole()


def stream(place: Place, chunk: int = 2**20, *, format: str | None = None, on_error: str = "raise", order: str = "raise",
           sensor: Sensor | None = None, recording: int | None = None) -> Stream:
    """The same, `chunk` events at a time, for files larger than memory. Only `read` sorts. Errors: as `read`."""
    if order == "sort":
        raise ValueError("order='sort' needs all events at once: read the file, or drop the late events with order='drop'")
    return Stream(place, chunk, format, on_error, order, sensor, recording)


def info(place: Place, *, format: str | None = None) -> Info:
    """What the file says of itself, from its first block alone. Errors: as `read`, for what its header has wrong."""
    with Stream(place, 1, format, "skip", "drop", recording=0) as opened:
        header, form = opened.decoder.header, opened.format
        out = empty(1, EVENT)
        first = int(out["t"][0]) if opened.decoder.into(out) else None
        return Info(form.name, form.title, form.time, opened.sensor, opened._source.size, header.count, first,
                    recordings=header.recordings, about=dict(header.about))


def write(path: str | os.PathLike[str], events: Events, sensor: Sensor, *, format: str | None = None) -> None:
    """Write the events, so that `read` gives the same; the file appears whole or not at all.

    format: one of those that are written; None takes it from the name's ending, where only one has it.
    Errors: ValueError for events that are not valid on the sensor, or that the format cannot hold.
    """
    writers = {f.name: f for f in FORMATS.values() if f.write is not None}
    if format is None:
        suffix = os.path.splitext(os.fspath(path))[1].lower()
        named = [f.name for f in writers.values() if f.suffix == suffix]
        if len(named) != 1:
            raise ValueError(f"format must be given for {os.fspath(path)}: one of {', '.join(named or writers)}")
        format = named[0]
    one_of("format", format, writers)
    chosen = writers[format].write
    assert chosen is not None
    chosen(path, events, sensor)


def recognised(source: Source, name: str | None) -> Format:
    """The format by its name, or by what the first block holds."""
    if name is not None:
        one_of("format", name, FORMATS)
        return FORMATS[name]
    for form in FORMATS.values():
        if form.recognise(source.head, source.size):
            return form
    if not source.head:
        raise ValueError(f"{source.name} is empty: a recording was expected")
    raise ValueError(f"{source.name} is no event file that is known here: it begins with {source.head[:16]!r}; known are "
                     f"{', '.join(FORMATS)}, and format= takes one of them")


def smallest(events: Events) -> Sensor:
    """The first of the common sensors that all events lie on; beyond them, the smallest possible."""
    if not len(events):
        return COMMON[0]
    height, width = int(events["y"].max()) + 1, int(events["x"].max()) + 1
    return next((s for s in COMMON if height <= s.height and width <= s.width), Sensor(height, width))
