"""Event files as blocks of bytes: a format is a header and a compiled decoder; everything else is done here, once.

The decoder is `decode(data, out, state) -> (used, written, problem, at)`: it takes whole records from `data` (uint8) until they
or the room in `out` (dtype EVENT) end, and keeps what it must know of the past in `state` (int64, [16]). Slots of the state:

    0, 1   width and height of the sensor
    2      time of the last event
    3      1 when time must not run backwards, 0 when events are sorted afterwards
    4      bytes that a packet still owes
    5...   the format's own

At a faulty record it stops: `problem` says what is wrong (1 off the sensor, 2 backwards in time, from 3 on the format's own
sentences), `at` where the record begins in `data`, `used` counts it, and out[written] holds the event. The next call goes on
behind it, so that a fault can be left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.source import BLOCK, Source
from snnsim.rule import one_of

OUTSIDE, BACKWARDS = 1, 2
ON_ERROR = ("raise", "skip", "truncate")
ORDER = ("raise", "sort", "drop")
SLOTS = 16
CACHED = 2**19  # bytes of the blocks behind the first, which stay in the cache from reading to decoding

Decode = Callable[[NDArray[np.uint8], Events, NDArray[np.int64]], tuple[int, int, int, int]]


@dataclass(frozen=True)
class Header:
    """What the head of a file says. size: its bytes. sensor: None where it says nothing. limits: what the addresses hold.

    state: the decoder's own slots, from 5 on. about: what else is said there. count: events, where that is known.
    recordings: how many the file holds; labels: of each, where the file says; classes: what the labels mean.
    """

    size: int
    limits: Sensor
    sensor: Sensor | None = None
    state: tuple[int, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    recordings: int = 1
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()


class Policy:
    """What is done about faults. on_error: "raise", "skip" leaves the faulty record out, "truncate" ends before it.
    order: "raise", "sort", "drop" leaves out events that are earlier than one before them.

    faults, dropped: how many there were; first: the sentence of the first fault.
    """

    def __init__(self, on_error: str, order: str) -> None:
        one_of("on_error", on_error, ON_ERROR)
        one_of("order", order, ORDER)
        self.name, self.on_error, self.order = "", on_error, order
        self.faults = self.dropped = 0
        self.first = ""

    def goes_on(self, sentence: str, backwards: bool = False) -> bool:
        """Count the fault; whether to go on behind it. Errors: ValueError with the sentence where faults are not allowed."""
        if backwards and self.order == "drop":
            self.dropped += 1
            return True
        if self.on_error == "raise":
            raise ValueError(f"{self.name}: {sentence}")
        self.faults += 1
        self.first = self.first or sentence
        return self.on_error == "skip"

    def warn(self) -> None:
        if self.faults and self.on_error == "skip":
            warnings.warn(f"{self.name}: faulty records left out: {self.faults}; the first: {self.first}", stacklevel=5)
        elif self.faults:
            warnings.warn(f"{self.name}: read only as far as the first fault: {self.first}", stacklevel=5)


class Decoder(Protocol):
    """An open recording. sensor: None where the file does not say. limits: where events lie for certain. label: -1 where the
    file does not say."""

    sensor: Sensor | None
    limits: Sensor
    header: Header
    label: int

    def into(self, out: Events) -> int:
        """Fill `out` as far as events come: how many; fewer than asked for only at the end."""
        ...


@dataclass(frozen=True)
class Format:
    """A format of event files. name: for `format=`. title: for people. time: what is stored, for people.

    recognise(head, size): whether a file that begins with these bytes, and has so many, is one.
    write(path, events, sensor): None where we do not write it. suffix: of the names of such files.
    bytes_each, most_each: no record is shorter, none holds more events.
    """

    name: str
    title: str
    suffix: str
    time: str
    recognise: Callable[[bytes, int | None], bool]
    write: Callable[[Any, Events, Sensor], None] | None = None
    bytes_each: int = 1
    most_each: int = 1

    def open(self, source: Source, policy: Policy, sensor: Sensor | None, recording: int | None = None) -> Decoder:
        raise NotImplementedError


@dataclass(frozen=True)
class Blocks(Format):
    """A format of records one after another.

    header(head, size, sensor): what the first block says; ValueError with a sentence that needs only the file's name.
    problems: the sentences of the decoder's own faults, from 3 on. advice: what to do where time runs backwards.
    """

    header: Callable[[bytes, int | None, Sensor | None], Header] = field(kw_only=True)
    decode: Decode = field(kw_only=True)
    problems: tuple[str, ...] = field(default=(), kw_only=True)
    advice: str = field(kw_only=True, default="; order='sort' sorts events, order='drop' leaves out the late ones")

    def open(self, source: Source, policy: Policy, sensor: Sensor | None, recording: int | None = None) -> Decoder:
        chosen(recording, 1, source.name)
        return BlockDecoder(self, source, policy, sensor)


def chosen(recording: int | None, count: int, name: str) -> int:
    """The number of the recording that is meant. Errors: ValueError where the file has no such one, or several and none is."""
    if not count:
        raise ValueError(f"{name} holds no recording")
    if recording is None and count > 1:
        raise ValueError(f"{name} holds {count} recordings: recording=0 to {count - 1} reads one, datasets.recordings all, as "
                         "a data set")
    if recording is not None and not (isinstance(recording, (int, np.integer)) and 0 <= recording < count):
        raise ValueError(f"recording must be {f'from 0 to {count - 1}' if count > 1 else '0'} in {name}, got {recording!r}")
    return int(recording or 0)


class BlockDecoder:
    """Streams the blocks of a source through a format's decoder, with at most one block in memory."""

    label = -1

    def __init__(self, form: Blocks, source: Source, policy: Policy, sensor: Sensor | None) -> None:
        head = source.head
        try:
            self.header = form.header(head, source.size, sensor)
        except ValueError as e:
            raise ValueError(f"{source.name}: {e}") from None
        self.sensor = sensor or self.header.sensor
        self.limits = self.sensor or self.header.limits
        self._form, self._source, self._policy = form, source, policy
        self._state = np.zeros(SLOTS, np.int64)
        self._state[:4] = self.limits.width, self.limits.height, 0, policy.order != "sort"
        self._state[5:5 + len(self.header.state)] = self.header.state
        # Records begin at the buffer's own beginning, so that words of 2, 4 and 8 bytes are aligned.
        body = head[self.header.size:]
        self._buffer = np.empty(max(64, len(body)) if source.ended else BLOCK, np.uint8)
        self._buffer[:len(body)] = np.frombuffer(body, np.uint8)
        self._begin, self._end = 0, len(body)
        self._place = self.header.size  # of the buffer's beginning in the file
        self._ended = source.ended
        self._events = 0
        self._over = False

    def into(self, out: Events) -> int:
        n = 0
        while n < len(out) and not self._over:
            data, room = self._buffer[self._begin:self._end], out[n:]
            used, written, problem, at = self._form.decode(data, room, self._state)
            place = self._place + self._begin + at
            self._begin += used
            n += written
            self._events += written
            if problem:
                self._over = not self._policy.goes_on(self._sentence(problem, place, room[written:]), problem == BACKWARDS)
            elif written < len(room) and not self._refilled():
                self._over = True
        return n

    def _refilled(self) -> bool:
        """Bring what is left to the front and read on behind it; False at the end."""
        left = self._end - self._begin
        place = self._place + self._begin
        if not self._ended:
            self._buffer[:left] = self._buffer[self._begin:self._end]
            asked = min(len(self._buffer), CACHED)
            got = self._source.into(memoryview(self._buffer)[left:asked])  # type: ignore[arg-type]
            self._place, self._begin, self._end = place, 0, left + got
            self._ended = got < asked - left
            if got:
                return True
        owed = int(self._state[4])
        if left:
            each = self._form.bytes_each
            have = f"{left} of its {each} bytes" if left < each else f"only {left} bytes"
            self._policy.goes_on(f"the last record, at byte {place}, has {have}: the file is cut off or not {self._form.title}")
        elif owed:
            self._policy.goes_on(f"the file ends at byte {place}, {owed} bytes before its last packet does: it is cut off")
        return False

    def _sentence(self, problem: int, place: int, event: Events) -> str:
        where = f"event {self._events} at byte {place}"
        broken = f"the file is damaged or not {self._form.title}"
        if problem == OUTSIDE:
            return (f"{where} has x = {event['x'][0]}, y = {event['y'][0]}: outside the {self.limits.width} x "
                    f"{self.limits.height} sensor; {broken}")
        if problem == BACKWARDS:
            return f"{where} has t = {event['t'][0]} after {self._state[2]}: times run backwards; {broken}{self._form.advice}"
        return f"{where}: {self._form.problems[problem - 3]}; {broken}"
