"""Recordings that come as rows of numbers, from whichever container: a format gives blocks of t, x, y, p, and what they are
rows of; place, order and polarity of each event are checked here, once.

A polarity is 0 or -1 for OFF, 1 for ON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import EVENT, Events, Sensor
from snnsim.datasets.formats.driver import BACKWARDS, Decoder, Format, Header, Policy
from snnsim.datasets.formats.source import Source
from snnsim.files import SMALL
from snnsim.isolated import RATIO
from snnsim.kernel import jit

LIMITS = Sensor(2**15 - 1, 2**15)
ADVICE = "; order='sort' sorts events, order='drop' leaves out the late ones"

Block = NDArray[np.int64] | str  # t, x, y, p: [4, rows]; or the sentence of what cannot be read, behind which it may go on


@dataclass(frozen=True)
class Opened:
    """What a container gives. rows: what its rows are of, for errors. label: of the recording, -1 where it is not said."""

    header: Header
    rows: str
    blocks: Iterator[Block]
    label: int = -1


class Opening(Protocol):
    def __call__(self, source: Source, recording: int | None) -> Opened: ...


@dataclass(frozen=True)
class Rows(Format):
    """A format that opens as rows. opening: ValueError where the container is not sound, with the file's name."""

    opening: Opening = field(kw_only=True)

    def open(self, source: Source, policy: Policy, sensor: Sensor | None, recording: int | None = None) -> Decoder:
        return RowDecoder(self, self.opening(source, recording), policy, sensor)


class RowDecoder:
    """Checks blocks of rows, with one block in memory."""

    def __init__(self, form: Rows, opened: Opened, policy: Policy, sensor: Sensor | None) -> None:
        self.header, self.label = opened.header, opened.label
        self.sensor = sensor or self.header.sensor
        self.limits = self.sensor or self.header.limits
        self._form, self._opened, self._policy = form, opened, policy
        self._state = np.array([self.limits.width, self.limits.height, 0, policy.order != "sort"], np.int64)
        self._block: NDArray[np.int64] = np.empty((4, 0), np.int64)
        self._used = self._row = self._events = 0  # of the block; its first row in the file; events so far
        self._over = False

    def into(self, out: Events) -> int:
        n = 0
        while n < len(out) and not self._over:
            if self._used == self._block.shape[1]:
                self._next()
                continue
            used, written, problem = _check(self._block, self._used, out[n:], self._state)
            row = self._row + self._used + used - 1
            self._used += used
            n += written
            self._events += written
            if problem:
                self._over = not self._policy.goes_on(self._sentence(problem, row), problem == BACKWARDS)
        return n

    def _next(self) -> None:
        self._row += self._block.shape[1]
        self._block, self._used = self._block[:, :0], 0
        found = next(self._opened.blocks, None)
        if found is None:
            self._over = True
        elif isinstance(found, str):
            self._over = not self._policy.goes_on(found)
        else:
            self._block = found

    def _sentence(self, problem: int, row: int) -> str:
        t, x, y, p = self._block[:, self._used - 1].tolist()
        where = f"event {self._events} at row {row} of {self._opened.rows}"
        broken = f"the file is damaged or not {self._form.title}"
        if problem == BACKWARDS:
            return f"{where} has t = {t} after {self._state[2]}: times run backwards; {broken}{ADVICE}"
        return (f"{where} has x = {x}, y = {y}: outside the {self.limits.width} x {self.limits.height} sensor; {broken}",
                f"{where} has p = {p}: a polarity is 0 or -1 for OFF, 1 for ON; {broken}",
                f"{where} has t = {t}: times must not be negative; {broken}")[(1, 3, 4).index(problem)]


@jit(nogil=True)
def _check(block: NDArray[np.int64], begin: int, out: Events, state: NDArray[np.int64]) -> tuple[int, int, int]:
    """(rows used, events written, what is wrong with the last row): 1 off the sensor, 2 backwards, 3 polarity, 4 negative."""
    width, height, last, ordered = state[0], state[1], state[2], state[3]
    k = problem = used = 0
    for i in range(begin, min(block.shape[1], begin + len(out))):
        t, x, y, p = block[0, i], block[1, i], block[2, i], block[3, i]
        used += 1
        if x < 0 or x >= width or y < 0 or y >= height:
            problem = 1
        elif t < 0:
            problem = 4
        elif t < last:
            problem = 2
        elif p < -1 or p > 1:
            problem = 3
        if problem:
            break
        if ordered:
            last = t
        e = out[k]
        e["t"], e["x"], e["y"], e["p"] = t, x, y, p == 1
        k += 1
    state[2] = last
    return used, k, problem


def claimed(name: str, rows: int, size: int | None) -> int:
    """The rows, or ValueError where a file of this size cannot hold so many."""
    room = max(SMALL, RATIO * (size or 0)) // EVENT.itemsize
    if size is not None and rows > room:
        raise ValueError(f"{name} claims {rows} rows, and a file of this size holds at most {room}: it is damaged, or made to "
                         "do harm")
    return rows
