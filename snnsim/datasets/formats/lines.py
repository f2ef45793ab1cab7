"""Events as lines of text: .csv and .txt.

A line holds numbers, between commas, semicolons, tabs or spaces. Which is which say names in the first line (see `columns`),
with or without # before them; without names there are four, t x y p, or, below "%geometry:width,height", x y p t, as Metavision
writes them. A line of two numbers before all others is width and height (E2VID). Lines that are empty or begin with # or % are
left out. p is 0, -1 or False for OFF, 1 or True for ON; y grows downwards. Times are µs where the first thousand are whole
numbers, and seconds where one of them has a fraction; all are rounded to the nearest µs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats.columns import meanings
from snnsim.datasets.formats.driver import BlockDecoder, Blocks, Decoder, Header, Policy, chosen
from snnsim.datasets.formats.rows import LIMITS
from snnsim.datasets.formats.source import Source
from snnsim.kernel import jit

LOOKED_AT, LINES = 4096, 1000  # bytes and lines that tell what it is
BINARY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
BETWEEN = re.compile(r"[,;\s]+")
GEOMETRY = re.compile(r"[#%]\s*geometry\s*[:=]?\s*(\d{1,5})\s*[,x ]\s*(\d{1,5})\s*")


@dataclass(frozen=True)
class Layout:
    """Where the data begin, how many columns there are, which are t, x, y, p, and what makes µs of t (None: the data tell)."""

    begin: int
    columns: int
    places: tuple[int, int, int, int]
    unit: int | None
    sensor: Sensor | None


def _layout(head: bytes) -> Layout | None:
    named: tuple[str, ...] | None = None
    sensor, place = None, 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while place < min(len(head), LOOKED_AT):
        end = head.find(b"\n", place) + 1 or len(head)
        line = head[place:end].decode("utf-8", "replace").strip()
        comment = line[:1] in ("#", "%")
        fields = [f for f in BETWEEN.split(line.lstrip("#%").strip()) if f]
        numbers = [f for f in fields if NUMBER.fullmatch(f)]
        if size := GEOMETRY.fullmatch(line):
            sensor, named = _sized(size[1], size[2]), ("x", "y", "p", "t")
        elif fields and not comment and len(numbers) == len(fields) == 2 and sensor is None:
            sensor = _sized(fields[0], fields[1])
        elif fields and not comment and (len(numbers) == len(fields) or (named and len(fields) == len(named))):
            break
        elif fields and meanings(fields):
            named = tuple(fields)
        elif fields and not comment:
            return None
        place = end
    else:
        fields = []
    if named is None:
        if len(fields) != 4:
            return None
        named = ("t", "x", "y", "p")
    known = meanings(named)
    if known is None or (fields and len(fields) != len(named)):
        return None
    return Layout(place, len(named), (known[0]["t"], known[0]["x"], known[0]["y"], known[0]["p"]), known[1], sensor)


def _sized(width: str, height: str) -> Sensor | None:
    try:
        return Sensor(int(height), int(width))
    except ValueError:
        return None


def _recognise(head: bytes, size: int | None) -> bool:
    return bool(head) and not BINARY.search(head[:LOOKED_AT]) and _layout(head) is not None


def _header(head: bytes, size: int | None, sensor: Sensor | None) -> Header:
    found = _layout(head)
    if found is None:
        raise ValueError("these lines are no events: they need names for t, x, y and p (see docs/formats.md), or, without "
                         "names, four numbers t x y p each")
    unit = found.unit
    if unit is None:
        unit = 6 if _fractions(head[found.begin:], found.places[0]) else 0
    return Header(found.begin, LIMITS, found.sensor, (found.columns, *found.places, unit),
                  {"columns": str(found.columns), "unit_of_time": {6: "s", 3: "ms", 0: "µs", -3: "ns"}[unit]})


def _fractions(body: bytes, place: int) -> bool:
    """Whether one of the first thousand times, in whole lines, is no whole number."""
    lines = body[:2**17].split(b"\n")[:LINES]
    for line in lines:
        fields = [f for f in BETWEEN.split(line.decode("utf-8", "replace").strip()) if f]
        if len(fields) > place and NUMBER.fullmatch(fields[place]) and float(fields[place]) % 1.0:
            return True
    return False


@jit(inline="always")
def _between(byte: int) -> bool:
    return byte == 44 or byte == 59 or byte == 32 or byte == 9 or byte == 13


@jit(nogil=True)
def _number(data: NDArray[np.uint8], i: int, end: int, unit: int) -> tuple[int, bool, bool]:
    """(the number in data[i:end] times 10^unit, rounded; whether it is one; whether nothing was rounded)."""
    negative = data[i] == 45
    if data[i] == 45 or data[i] == 43:
        i += 1
    value, digits, power = np.int64(0), 0, unit
    fraction = False
    while i < end and (48 <= data[i] <= 57 or (data[i] == 46 and not fraction)):
        if data[i] == 46:
            fraction = True
        else:
            digits += 1
            if value < 10**17:
                value = value * 10 + (np.int64(data[i]) - 48)
                power -= fraction
            elif not fraction:
                power += 1
        i += 1
    if digits == 0:
        return 0, False, False
    if i < end and (data[i] == 101 or data[i] == 69):
        i += 1
        minus = i < end and data[i] == 45
        if i < end and (data[i] == 45 or data[i] == 43):
            i += 1
        exponent, count = 0, 0
        while i < end and 48 <= data[i] <= 57:
            exponent = min(1000, exponent * 10 + int(data[i]) - 48)
            count += 1
            i += 1
        if count == 0:
            return 0, False, False
        power += -exponent if minus else exponent
    if i < end:
        return 0, False, False
    while power > 0 and value != 0:
        if value > 2**62 // 10:
            return 0, False, False
        value *= 10
        power -= 1
    exact, last = True, np.int64(0)
    while power < 0 and (value != 0 or last != 0):
        exact = exact and last == 0
        last = value % 10
        value //= 10
        power += 1
    exact = exact and last == 0
    if last >= 5:
        value += 1
    return -value if negative else value, True, exact  # type: ignore[return-value]


@jit(nogil=True)
def _decode(data: NDArray[np.uint8], out: Events, state: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """State 5: columns; 6 to 9: those of t, x, y, p; 10: the power of ten that makes µs of t."""
    width, height, last, ordered, columns, unit = state[0], state[1], state[2], state[3], state[5], state[10]
    found = np.empty(4, np.int64)
    used = k = problem = at = 0
    n, room = len(data), len(out)
    while used < n and k < room:
        end = used
        while end < n and data[end] != 10:
            end += 1
        if end == n:
            break
        begin, i, field = used, used, 0
        used = end + 1
        good = True
        while i < end and _between(data[i]):
            i += 1
        if i == end or data[i] == 35 or data[i] == 37:
            continue
        while i < end:
            stop = i
            while stop < end and not _between(data[stop]):
                stop += 1
            for c in range(4):
                if state[6 + c] == field:
                    value, number, exact = _number(data, i, stop, unit if c == 0 else 0)
                    if c == 3 and not number and (stop - i == 4 or stop - i == 5):
                        true = stop - i == 4 and (data[i] | 32) == 116 and (data[i + 1] | 32) == 114
                        false = stop - i == 5 and (data[i] | 32) == 102 and (data[i + 1] | 32) == 97
                        value, number, exact = 1 if true else 0, true or false, True
                    good = good and number and (exact or c == 0)
                    found[c] = value
            field += 1
            i = stop
            while i < end and _between(data[i]):
                i += 1
        t, x, y, p = found[0], found[1], found[2], found[3]
        if field != columns:
            problem = 3
        elif not good:
            problem = 4
        elif p < -1 or p > 1:
            problem = 5
        elif t < 0:
            problem = 6
        else:
            e = out[k]
            e["t"], e["x"], e["y"], e["p"] = t, x & 0xFFFF, y & 0xFFFF, p == 1
            if x < 0 or x >= width or y < 0 or y >= height:
                problem = 1 if 0 <= x < 65536 and 0 <= y < 65536 else 7
            elif t < last:
                problem = 2
        if problem:
            at = begin
            break
        if ordered:
            last = t
        k += 1
    state[2] = last
    return used, k, problem, at


class _Ended:
    """A source whose last line ends, as all others, with a new line."""

    def __init__(self, source: Source) -> None:
        self._source, self._open = source, not source.ended
        self.name, self.size, self.ended = source.name, source.size, source.ended
        self.head = source.head + (b"\n" if source.ended else b"")

    def into(self, buffer: memoryview) -> int:
        got = self._source.into(buffer)
        if got < len(buffer) and self._open:
            self._open = False
            buffer[got:got + 1] = b"\n"
            got += 1
        return got


@dataclass(frozen=True)
class Lines(Blocks):
    def open(self, source: Source, policy: Policy, sensor: Sensor | None, recording: int | None = None) -> Decoder:
        chosen(recording, 1, source.name)
        return BlockDecoder(self, _Ended(source), policy, sensor)  # type: ignore[arg-type]


CSV = Lines("csv", "lines of events", ".csv", "µs or s", _recognise, bytes_each=8, header=_header, decode=_decode,
            problems=("its line has more or fewer fields than the first", "a field is no number, or x, y or p no whole one",
                      "its polarity is none of 0, -1 and False (OFF), 1 and True (ON)", "its time is negative",
                      "it has x or y below 0 or beyond 65535"))
