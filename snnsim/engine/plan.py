"""From a Network to the flat arrays that the loop runs on.

Three things change form: neurons get an inner order (pixels with their channels together where a convolution or pool
ends), weights get one row per source in both ends' inner order, biases become the value at which an input rests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.loop import CONV, DENSE, POOL, SPARSE, Plan
from snnsim.engine.printed import update_address
from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.rule import call

Array = NDArray[Any]
SITE = 4  # neurons are updated in sites of 2**4: about one vector register
WHOLE = 62  # a shift that puts every neuron into one site


def record(*names: str) -> np.dtype[Any]:
    return np.dtype([(n, np.int64) for n in names])


POPULATION = record(
    "number", "size", "shift", "sites", "ticked", "recorded", "step",  # recorded: its place in the membranes, or -1
    "x", "state", "states", "parameter", "site", "block",  # where its arrays begin
    "first", "stop")  # its projections
PROJECTION = record("source", "target", "delay", "x", "first", "stop")  # x: its receptor; first, stop: its stages
STAGE = record(
    "kind", "weight", "weights", "row", "target",  # where its weights, CSR rows and targets begin
    "channels", "height", "width", "channels_last", "out_channels", "out_height", "out_width",
    "kernel_y", "kernel_x", "stride_y", "stride_x", "pad_y", "pad_x", "phases",
    "outputs", "y", "shift", "site", "block")  # what stands between it and the next map


@dataclass(frozen=True)
class Order:
    """An inner order of the elements of `shape`: C order, or channels last."""

    shape: tuple[int, ...]
    channels_last: bool = False

    @property
    def flat(self) -> Array:
        """The C index of each inner index."""
        index = np.arange(math.prod(self.shape))
        return index.reshape(self.shape).transpose(1, 2, 0).ravel() if self.channels_last else index


class Pool:
    """One-dimensional arrays laid one after another, each beginning at a multiple of `align`."""

    def __init__(self, dtype: Any, align: int = 16) -> None:
        self.dtype, self.align, self.size = dtype, align, 0
        self.parts: list[tuple[int, Array]] = []

    def add(self, array: Array) -> int:
        at = self.reserve(array.size)
        self.parts.append((at, array))
        return at

    def reserve(self, size: int) -> int:
        at = self.size
        self.size += -(-size // self.align) * self.align
        return at

    def array(self) -> Array:
        whole = np.zeros(max(self.size, self.align), self.dtype)
        for at, array in self.parts:
            whole[at: at + array.size] = array.ravel()
        return whole
