"""Frames: how many events each pixel had in each part of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.eventstore.mapped import Columns
from snnsim.datasets.transforms.cutting import Cutting
from snnsim.datasets.transforms.representation import Representation
from snnsim.kernel import jit
from snnsim.rule import one_of

LIMITS = {"uint8": 2**8 - 1, "int16": 2**15 - 1, "int32": 2**31 - 1, "float32": 2**24}  # the largest count each holds exactly
TYPES = {name: np.dtype(name) for name in LIMITS}
AHEAD = 160  # events by which memory is asked for before it is read: 2 KB


@dataclass(frozen=True)
class Frames(Cutting, Representation):
    """Count events, [T, polarities, height, width]: out[k, p, y, x] events of that pixel in part k; see `Cutting` for parts.

    No event is lost: out.sum() == len(events). dtype: "uint8", "int16", "int32" or "float32".
    Errors: ValueError when a count is larger than the dtype holds.
    """

    dtype: str = "int16"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("dtype", self.dtype, LIMITS)

    @property
    def type(self) -> np.dtype[Any]:
        return TYPES[self.dtype]

    @property
    def steps(self) -> int | None:
        return self.bins if self.event_bins is None else self.event_bins

    def shape(self, events: Events, sensor: Sensor) -> tuple[int, int, int, int]:
        return (self.steps or self.cut(events).parts, sensor.polarities, sensor.height, sensor.width)

    def fill(self, events: Events, sensor: Sensor, out: NDArray[Any], at: int = 0) -> int:
        return self._checked(_count(events, *self.how, sensor.height, sensor.width, sensor.polarities, LIMITS[self.dtype], out,
                                    at), sensor)

    def fill_stored(self, stored: Columns, sensor: Sensor, out: NDArray[Any], at: int) -> int:
        return self._checked(_count_stored(*stored, *self.how, sensor.height, sensor.width, sensor.polarities,
                                           LIMITS[self.dtype], out, at), sensor)

    def _checked(self, found: int, sensor: Sensor) -> int:
        if found < -1:
            y, x = divmod((-2 - found) % (sensor.height * sensor.width), sensor.width)
            raise ValueError(f"pixel x = {x}, y = {y} has more than {LIMITS[self.dtype]} events in one frame, the most that "
                             f"{self.dtype} holds: use a larger dtype or shorter frames")
        return found


@intrinsic
def _soon(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the memory of array[index], which may lie beyond the end: nothing is read. A fifth of the time of frames, as
    processors look ahead within a page alone."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        held = context.make_array(kind)(context, builder, arguments[0])
        [stride] = held.strides.type.elements
        first = builder.ptrtoint(held.data, stride)
        place = builder.add(first, builder.mul(arguments[1], builder.extract_value(held.strides, 0)))
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], ir.FunctionType(
            ir.VoidType(), [byte, number, number, number]))
        builder.call(prefetch, [builder.inttoptr(place, byte), number(0), number(3), number(1)])  # to read, soon, data
        return context.get_dummy_value()

    return types.void(array, types.int64), code


# Both kernels: out is [parts, samples, features], any numbers, of which out[:, at] is written. unit: the µs or events of a
# part, 0 where `parts` divide the recording. They return the first event that is not valid, -1, or -2 - f where feature f has
# more than `most` events in a part. Places are unsigned, so that none needs to be asked whether it is negative; whether a
# count was too large is seen from a frame's sum.

@jit(nogil=True)
def _count(events: Events, by_time: bool, unit: int, height: int, width: int, polarities: int, most: int,
           out: NDArray[Any], at: int) -> Any:
    h, w, c = np.uint64(height), np.uint64(width), np.uint64(polarities)
    i, end, one, last, parts = np.uint64(0), np.uint64(len(events)), np.uint64(1), np.int64(0), len(out)
    start = events[0]["t"] if by_time and len(events) else np.int64(0)
    span = _span(start, events[-1]["t"] if by_time and len(events) else np.int64(end) - 1, unit, parts)
    for k in range(parts):
        frame, latest, first = out[k, at], _latest(start, span, parts, k), i
        frame[:] = 0
        while i < end:
            _soon(events, np.int64(i) + AHEAD)  # type: ignore[call-arg]  # Numba gives the first
            e = events[i]
            t = e["t"]
            if (t if by_time else np.int64(i)) > latest or t < last:
                break
            x, y, p = np.uint64(e["x"]), np.uint64(e["y"]), np.uint64(e["p"])
            if x >= w or y >= h or p >= c:
                return np.int64(i)
            last = t
            frame[(p * h + y) * w + x] += 1
            i += one
        if np.int64(i - first) > most and _sum(frame) != np.int64(i - first):
            frame[:] = 0
            while True:
                e = events[first]
                feature = (np.uint64(e["p"]) * h + np.uint64(e["y"])) * w + np.uint64(e["x"])
                if frame[feature] >= most:
                    return -2 - np.int64(feature)
                frame[feature] += 1
                first += one
    return np.int64(i) if i < end else -1


@jit(nogil=True)
def _count_stored(x: NDArray[np.uint16], y: NDArray[np.uint16], p: NDArray[np.uint8], t: NDArray[np.uint32],
                  chunk_offsets: NDArray[np.int64], base: NDArray[np.int64], begin: int, stop: int, chunk: int,
                  by_time: bool, unit: int, height: int, width: int, polarities: int, most: int, out: NDArray[Any],
                  at: int) -> Any:
    """The same from the columns of a store: events begin to stop - 1, the first of which is in this chunk."""
    h, w, c = np.uint64(height), np.uint64(width), np.uint64(polarities)
    i, end, one, last, parts = np.uint64(begin), np.uint64(stop), np.uint64(1), np.int64(0), len(out)
    start, late = np.int64(0), np.int64(stop - begin - 1)
    if by_time and begin < stop:
        final = chunk
        while chunk_offsets[final + 1] < stop:
            final += 1
        start, late = base[chunk] + np.int64(t[begin]), base[final] + np.int64(t[stop - 1])
    span = _span(start, late, unit, parts)
    for k in range(parts):
        frame, latest, first = out[k, at], _latest(start, span, parts, k), i
        frame[:] = 0
        while i < end:
            if np.int64(i) == chunk_offsets[chunk + 1]:
                chunk += 1
            room, zero = np.uint64(min(stop, chunk_offsets[chunk + 1])), base[chunk]
            while i < room:
                time = zero + np.int64(t[i])
                if (time if by_time else np.int64(i) - begin) > latest or time < last:
                    break
                column, row = np.uint64(x[i]), np.uint64(y[i])
                on = np.uint64((p[i >> np.uint64(3)] >> (i & np.uint64(7))) & one)
                if column >= w or row >= h or on >= c:
                    return np.int64(i) - begin
                last = time
                frame[(on * h + row) * w + column] += 1
                i += one
            if i < room:
                break
        if np.int64(i - first) > most and _sum(frame) != np.int64(i - first):
            frame[:] = 0
            while True:
                on = np.uint64((p[first >> np.uint64(3)] >> (first & np.uint64(7))) & one)
                feature = (on * h + np.uint64(y[first])) * w + np.uint64(x[first])
                if frame[feature] >= most:
                    return -2 - np.int64(feature)
                frame[feature] += 1
                first += one
    return np.int64(i) - begin if i < end else -1


@jit(nogil=True)
def _span(start: int, last: int, unit: int, parts: int) -> Any:
    return unit * parts if unit else last - start + 1


@jit(nogil=True)
def _latest(start: int, span: int, parts: int, k: int) -> Any:
    """The last value of part k, edge(k + 1) - 1, whatever is left for the last part; no product beyond int64."""
    if k == parts - 1:
        return np.int64(2**63 - 1)
    return start + (k + 1) * (span // parts) + ((k + 1) * (span % parts) + parts - 1) // parts - 1


@jit(nogil=True)
def _sum(frame: NDArray[Any]) -> Any:
    total = np.int64(0)
    for f in range(len(frame)):
        total += np.int64(frame[f])
    return total
