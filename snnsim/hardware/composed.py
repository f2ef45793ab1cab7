"""A chain of maps as one map: what hardware has between two populations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.maps import Conv2d, Delayed, Dense, Map, Shape, Sparse, SumPool2d

LARGEST = 2**26  # weights of a matrix that a chain is multiplied out to


def composed(maps: Sequence[Map], shape: Shape) -> Map:
    """One map that does what the chain does: Dense, Conv2d, Sparse or Delayed.

    A pool is the convolution of each channel with ones; pools and convolutions behind one another are one convolution, as long
    as none but the first pads; all else is multiplied out. ValueError where that would be too large.
    """
    done: Map | None = None
    at, start = shape, shape
    for m in maps:
        after = m.output_shape(at)
        now = _convolution(m, at[0]) if isinstance(m, SumPool2d) else m
        done = now if done is None else _product(done, now, start, at)
        at = after
    if done is None:
        raise ValueError("a chain needs at least one map")
    return done


def _convolution(pool: SumPool2d, channels: int) -> Conv2d:
    kernel = np.zeros((channels, channels, *pool.kernel), np.float32)  # type: ignore[misc]
    kernel[np.arange(channels), np.arange(channels)] = 1.0
    return Conv2d(kernel, pool.stride)  # type: ignore[arg-type]


def _product(first: Map, second: Map, start: Shape, between: Shape) -> Map:
    if isinstance(first, Conv2d) and isinstance(second, Conv2d) and second.padding == (0, 0):
        return _convolutions(first, second)
    if math.prod(start) * math.prod(between) > LARGEST:
        raise ValueError(f"{first!r} and {second!r} cannot be made one map: their matrix would have {math.prod(start)} x "
                         f"{math.prod(second.output_shape(between))} weights")
    a = matrix(first, start)
    if isinstance(second, Delayed):
        raise ValueError(f"{first!r} before {second!r} cannot be made one map: a synapse would need several delays")
    b = matrix(second, between)
    return Dense(b @ a)


def _convolutions(first: Conv2d, second: Conv2d) -> Conv2d:
    """w[o, c, k + s l] = sum_m second[o, m, l] first[m, c, k], s: the stride of the first."""
    a, b = np.asarray(first.weight), np.asarray(second.weight)
    (sy, sx), (ty, tx) = first.stride, second.stride  # type: ignore[misc]
    kernel = np.zeros((len(b), a.shape[1], a.shape[2] + sy * (b.shape[2] - 1), a.shape[3] + sx * (b.shape[3] - 1)),
                      np.result_type(a, b))
    for y, x in np.ndindex(b.shape[2:]):
        kernel[:, :, y * sy: y * sy + a.shape[2], x * sx: x * sx + a.shape[3]] += np.tensordot(b[:, :, y, x], a, 1)
    return Conv2d(kernel, (sy * ty, sx * tx), first.padding)


def matrix(m: Map, shape: Shape) -> NDArray[Any]:
    """The matrix of a map without delays, [outputs, inputs], both in C order."""
    if isinstance(m, Dense):
        return np.asarray(m.weight)
    if isinstance(m, Sparse):
        indptr, targets, weight = m.arrays().values()
        dense = np.zeros(m.shape, weight.dtype)
        np.add.at(dense, (targets, np.repeat(np.arange(m.shape[1]), np.diff(indptr))), weight)
        return dense
    unit = np.eye(math.prod(shape), dtype=m.arrays()["weight"].dtype)
    return np.stack([m.apply(row.reshape(shape)).ravel() for row in unit], axis=1)
