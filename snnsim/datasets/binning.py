"""From events to steps: a sparse batch of counts, in which no event is lost without being counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.events import EVENT, Events, Sensor, read_only, validate, whole
from snnsim.kernel import jit
from snnsim.rule import finite, one_of

MOST_ROWS = 2**27  # 1 GiB of indptr: more than that is a clock that does not start near 0
EXACT = 2**24  # the largest run of whole numbers in float32

# 2^i mod 67 differs for all i < 64: the place of a lone bit is found without a loop.
PLACE = np.zeros(67, np.int64)
PLACE[[2**i % 67 for i in range(64)]] = np.arange(64)


@dataclass(frozen=True, eq=False, repr=False)
class EventBatch:
    """Events of B recordings in T steps, sparse (CSR) over the pixels: the tensor [T, B, C, H, W] without its zeros.

    shape: (T, B, C, H, W), C being the polarities. indptr: int64, [T B + 1]; row t B + b holds step t of recording b.
    indices: int32, the feature (p H + y) W + x, ascending and unique inside a row. values: float32, counts of events.
    dropped: events at or after the last step's end, which are in no row.

    Errors: ValueError that names the field.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    shape: tuple[int, int, int, int, int]
    dropped: int = 0

    def __post_init__(self) -> None:
        if len(self.shape) != 5 or min(self.shape) < 1:
            raise ValueError(f"shape must be (T, B, C, H, W) with positive sizes, got {self.shape}")
        for name, dtype in (("indptr", np.int64), ("indices", np.int32), ("values", np.float32)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
                got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                raise ValueError(f"{name} must be a one-dimensional array of {np.dtype(dtype)}, got {got}")
        if len(self.indptr) != self.rows + 1 or self.indptr[0] != 0 or self.indptr[-1] != len(self.indices):
            raise ValueError(f"indptr must have T B + 1 = {self.rows + 1} entries from 0 to len(indices) = "
                             f"{len(self.indices)}, got {len(self.indptr)} entries")
        if len(self.values) != len(self.indices):
            raise ValueError(f"values must be as many as indices, {len(self.indices)}, got {len(self.values)}")
        bad = int(_first_bad_row(self.indptr, self.indices, self.features))
        if bad >= 0:
            raise ValueError(f"indices of row {bad} must be ascending, unique and lie from 0 to {self.features - 1}, "
                             "and indptr must not fall")

    @property
    def rows(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def features(self) -> int:
        return self.shape[2] * self.shape[3] * self.shape[4]

    def __repr__(self) -> str:
        return f"EventBatch(shape={self.shape}, {len(self.indices)} values, {self.dropped} events dropped)"

    def dense(self) -> NDArray[np.float32]:
        """float32, [T, B, C, H, W]."""
        out = np.zeros((self.rows, self.features), np.float32)
        out[np.repeat(np.arange(self.rows), np.diff(self.indptr)), self.indices] = self.values
        return out.reshape(self.shape)

    @classmethod
    def from_dense(cls, array: ArrayLike) -> EventBatch:
        """The batch that `dense` would give back: [T, B, C, H, W], finite."""
        dense = np.asarray(array, np.float32)
        if dense.ndim != 5:
            raise ValueError(f"array must have the shape [T, B, C, H, W], got {dense.shape}")
        finite("array", dense)
        t, b, c, h, w = dense.shape
        flat = dense.reshape(t * b, c * h * w)
        rows, indices = np.nonzero(flat)
        indptr = np.searchsorted(rows, np.arange(t * b + 1)).astype(np.int64)
        return cls(indptr, indices.astype(np.int32), flat[rows, indices], (t, b, c, h, w))


def step_length(dt: float) -> int | float:
    """µs a step, for dt in ms: an int where that is a whole number up to the rounding of dt, so that steps are exact.

    Errors: ValueError unless dt is finite and at least 0.001, as event times are whole microseconds.
    """
    finite("dt", dt, at_least=0.001)
    length = float(dt) * 1000.0
    nearest = round(length)
    # 0.57 ms is 570 µs, though 0.57 * 1000 is not 570 in floating point.
    return nearest if nearest and abs(length - nearest) <= 2 * math.ulp(length) else length


def bin_events(recordings: Sequence[Events], sensor: Sensor, dt: float, steps: int | None = None, clip: bool = False,
               t0: Literal["zero", "first"] = "zero") -> EventBatch:
    """Count the events of each recording by step and pixel: step = floor((t - t0) / dt).

    recordings: event arrays, one for each place in the batch; they are checked as `validate` does. dt: ms a step;
    whole microseconds are computed in integers. steps: T; None for as many as the longest recording needs. clip:
    several events of one pixel in one step count once. t0: "zero", the recording's own clock, or "first", the time of
    its first event. Events from T dt on are dropped and counted: without clip, values.sum() + dropped is the number of
    events.

    Errors: ValueError that names the argument, or the recording and its event.
    """
    if isinstance(recordings, np.ndarray) or not len(recordings):
        raise ValueError("recordings must be a list with at least one array of events, got "
                         + ("one array" if isinstance(recordings, np.ndarray) else "none"))
    length = step_length(dt)
    one_of("t0", t0, ("zero", "first"))
    for b, events in enumerate(recordings):
        if not isinstance(events, np.ndarray) or events.dtype != EVENT or events.ndim != 1:
            validate(events, sensor, f"recording {b}")
    starts = np.array([int(r[0]["t"]) if t0 == "first" and len(r) else 0 for r in recordings], np.int64)
    if steps is None:
        last = max((int(r[-1]["t"]) - int(s) for r, s in zip(recordings, starts, strict=True) if len(r)), default=0)
        total = max(1, int(last // length) + 1)
        longest = f"the longest recording lasts {last} µs"
    else:
        total, longest = whole("steps", steps, 1), "steps was given"
    if total * len(recordings) > MOST_ROWS:
        raise ValueError(f"{total} steps of {dt:g} ms for each of {len(recordings)} recordings are too many, at most "
                         f"{MOST_ROWS} in all ({longest}): use a larger dt, t0=\"first\", or fewer steps")
    counts = np.zeros((len(recordings), total), np.int64)
    offsets = np.zeros(len(recordings) + 1, np.int64)
    np.cumsum([len(r) for r in recordings], out=offsets[1:])
    indices, values = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float32)
    tally, seen = np.zeros(sensor.size, np.int64), np.zeros((sensor.size + 63) // 64, np.uint64)
    dropped = 0
    for b, events in enumerate(recordings):
        place = slice(offsets[b], offsets[b + 1])
        outside, bad, largest = _bin(read_only(events), starts[b], length, 0, sensor.height, sensor.width,
                                     sensor.polarities, clip, indices[place], values[place], counts[b], tally, seen)
        if bad >= 0:
            validate(events, sensor, f"recording {b}")
        exact(f"recording {b}", largest)
        dropped += outside
    indptr = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts.T, out=indptr[1:])
    indices, values = _step_major(indptr, counts, offsets, indices, values)
    return EventBatch(indptr, indices, values, (total, len(recordings), *sensor.shape), dropped)


def exact(name: str, largest: float) -> None:
    """ValueError where float32 cannot hold the largest count."""
    if largest > EXACT:
        raise ValueError(f"{name} has {largest:.0f} events of one pixel in one step, float32 holds counts up to {EXACT}: use a "
                         "smaller dt or clip=True")


@jit(nogil=True)
def _bin(events: Events, start: int, length: Any, origin: int, height: int, width: int, polarities: int, clip: bool,
         indices: NDArray[np.int32], values: NDArray[np.float32], counts: NDArray[np.int64], tally: NDArray[np.int64],
         seen: NDArray[np.uint64]) -> tuple[int, int, int]:
    """Rows of one recording, step after step from step `origin` on; counts[t] is the length of one.

    tally, one number a feature, and seen, one bit a feature, come and go as zeros; a row that is read off the bits is
    sorted. Returns events dropped, the first event that is not valid (-1: none), and the largest count.
    """
    steps = len(counts)
    dropped, largest, last = 0, 0, 0
    at, i = 0, 0
    while i < len(events):
        first = events[i]["t"] - start
        step = np.int64(first // length) - origin
        begin = at
        while i < len(events):
            e = events[i]
            if e["t"] < last or e["x"] >= width or e["y"] >= height or e["p"] >= polarities:
                return dropped, i, largest
            t = e["t"] - start
            if t != first and np.int64(t // length) - origin != step:
                break
            last = e["t"]
            i += 1
            if step >= steps:
                dropped += 1
                continue
            feature = (np.int64(e["p"]) * height + e["y"]) * width + e["x"]
            tally[feature] += 1
            seen[feature >> 6] |= np.uint64(1) << np.uint64(feature & 63)
        if step >= steps:
            continue
        for w in range(len(seen)):
            word = seen[w]
            seen[w] = np.uint64(0)
            while word != 0:
                rest = word & (word - np.uint64(1))
                feature = 64 * w + PLACE[(word ^ rest) % np.uint64(67)]
                word = rest
                largest = max(largest, 1 if clip else tally[feature])
                indices[at] = feature
                values[at] = 1 if clip else tally[feature]
                tally[feature] = 0
                at += 1
        counts[step] = at - begin
    return dropped, -1, largest


@jit(nogil=True)
def _step_major(indptr: NDArray[np.int64], counts: NDArray[np.int64], offsets: NDArray[np.int64],
                indices: NDArray[np.int32], values: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows in the order t B + b, from rows in the order b, t."""
    out, amounts = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    batch, steps = counts.shape
    for b in range(batch):
        at = offsets[b]
        for t in range(steps):
            to = indptr[t * batch + b]
            for k in range(counts[b, t]):
                out[to + k], amounts[to + k] = indices[at + k], values[at + k]
            at += counts[b, t]
    return out, amounts


@jit(nogil=True)
def _first_bad_row(indptr: NDArray[np.int64], indices: NDArray[np.int32], features: int) -> int:
    for row in range(len(indptr) - 1):
        if indptr[row + 1] < indptr[row] or indptr[row + 1] > len(indices):
            return row
        last = -1
        for k in range(indptr[row], indptr[row + 1]):
            if indices[k] <= last or indices[k] >= features:
                return row
            last = indices[k]
    return -1
