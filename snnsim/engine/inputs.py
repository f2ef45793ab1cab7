"""What a user calls events, as CSR rows: one row for each step and sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.network import TimeBase

Array = NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Row t * batch + b lists the active inputs of step t and sample b. alone: one sample was given, not a list."""

    indptr: Array
    index: Array
    value: Array
    steps: int
    batch: int
    alone: bool
    unit: bool  # every value is 1


def rows_of(events: Any, shape: tuple[int, ...], time: TimeBase, dtype: Any) -> Rows:
    """Events for an input population of this shape. Accepted are

    - one event array (fields t in µs, x, y, p) or a list of them: binned by the network's time base;
    - a batch that is binned already, with indptr, indices, values and shape = (T, B, *shape);
    - counts, [T, *shape] for one sample or [T, B, *shape].
    Errors: ValueError that says what does not fit.
    """
    if all(hasattr(events, a) for a in ("indptr", "indices", "values", "shape")):
        return _from_batch(events, shape, dtype)
    if isinstance(events, np.ndarray) and events.dtype.names is None:
        return _from_counts(events, shape, dtype)
    alone = isinstance(events, np.ndarray)
    samples = [events] if alone else list(events) if isinstance(events, (list, tuple)) else None
    if not samples or not all(isinstance(s, np.ndarray) and s.dtype.names for s in samples):
        raise ValueError(f"events must be an event array with the fields t, x, y, p, a list of them, a binned batch, or "
                         f"an array of counts, got {type(events).__name__}"
                         + ("" if samples is None or alone else f" of {len(samples)}"))
    from snnsim.datasets import Sensor, bin_events  # only event arrays need it

    polarities, height, width = shape if len(shape) == 3 else (1, 1, *shape)
    if polarities > 2:
        raise ValueError(f"events have at most 2 polarities, but the network's input has shape {shape}: give counts")
    batch = bin_events(samples, Sensor(height, width, polarities), time.dt, time.steps, time.clip, time.t0)
    return _from_batch(batch, shape, dtype, alone)


def _from_batch(batch: Any, shape: tuple[int, ...], dtype: Any, alone: bool = False) -> Rows:
    size, given = int(np.prod(shape)), tuple(batch.shape)
    if len(given) < 3 or int(np.prod(given[2:])) != size:
        raise ValueError(f"events has shape {given}, must be (steps, samples, *{shape}) for this network's input")
    steps, samples = int(given[0]), int(given[1])
    indptr, index = np.ascontiguousarray(batch.indptr, np.int64), np.ascontiguousarray(batch.indices, np.int32)
    value = np.ascontiguousarray(batch.values, dtype)
    if steps < 1 or samples < 1:
        raise ValueError(f"events has shape {given}: at least one step and one sample are needed")
    if indptr.shape != (steps * samples + 1,) or indptr[0] != 0 or indptr[-1] != index.size or np.any(np.diff(indptr) < 0):
        raise ValueError(f"indptr of events must rise from 0 to the number of indices ({index.size}) in "
                         f"{steps * samples + 1} entries")
    if index.ndim != 1 or value.shape != index.shape:
        raise ValueError(f"values of events has shape {value.shape}, indices {index.shape}: must be equal")
    if index.size and (index.min() < 0 or index.max() >= size):
        raise ValueError(f"indices of events must lie in 0 .. {size - 1}, got {index.min()} .. {index.max()}")
    unit = bool((value == 1).all())
    if not unit and not (np.isfinite(value).all() and (value >= 0).all()):
        raise ValueError("values of events must be finite and not negative")
    writable = [a if a.flags.writeable else a.copy() for a in (indptr, index, value)]  # one kernel, not two
    return Rows(writable[0], writable[1], writable[2], steps, samples, alone, unit)


def _from_counts(counts: Array, shape: tuple[int, ...], dtype: Any) -> Rows:
    alone = counts.shape[1:] == shape
    if not alone and counts.shape[2:] != shape:
        raise ValueError(f"events has shape {counts.shape}, must be (steps, *{shape}) for one sample or "
                         f"(steps, samples, *{shape})")
    if counts.dtype.kind not in "buif":
        raise ValueError(f"events must be numbers, got dtype {counts.dtype}")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("events must be finite and not negative")
    steps, samples = len(counts), 1 if alone else counts.shape[1]
    if not steps or not samples:
        raise ValueError(f"events has shape {counts.shape}: at least one step and one sample are needed")
    flat = counts.reshape(steps * samples, -1)
    row, index = np.nonzero(flat)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(flat)))]).astype(np.int64)
    value = flat[row, index].astype(dtype)
    return Rows(indptr, index.astype(np.int32), value, steps, samples, alone, bool((value == 1).all()))
