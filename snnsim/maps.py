"""Linear maps from spikes to inputs: dense, convolution, sum pooling, sparse, delayed. Projections chain them.

Each map is plain data with its equation; `apply` is its plain definition on a dense array, which the oracle uses.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.rule import finite

Array = NDArray[Any]
Shape = tuple[int, ...]
LONGEST_DELAY = 10_000  # steps; the engine holds a row of all targets for each


def _weights(name: str, value: ArrayLike, dimensions: int) -> Array:
    array = np.array(value)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != dimensions or 0 in array.shape:
        raise ValueError(f"{name} must have {dimensions} dimensions of at least 1, got shape {array.shape}")
    finite(name, array)
    array.setflags(write=False)
    return array


def _pair(name: str, value: int | tuple[int, int], at_least: int) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or any(int(v) != v or v < at_least for v in pair):
        raise ValueError(f"{name} must be a whole number or two, at least {at_least}, got {value!r}")
    return int(pair[0]), int(pair[1])


class Map(ABC):
    """A linear map without a constant part; the constant is the projection's bias."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """The shape that the map gives for an input of this shape. ValueError when it does not fit."""

    @abstractmethod
    def apply(self, s: Array) -> Array:
        """The map of one dense array, computed plainly. This is its definition."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """The arrays that the map holds, by field name."""


@dataclass(frozen=True, eq=False)
class Dense(Map):
    """y = W s, with W of shape [outputs, inputs]; s is flattened in C order (channel, row, column)."""

    weight: ArrayLike

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights("weight of Dense", self.weight, 2))

    def output_shape(self, shape: Shape) -> Shape:
        outputs, inputs = np.shape(self.weight)
        if math.prod(shape) != inputs:
            raise ValueError(f"Dense takes {inputs} inputs, got shape {shape} = {math.prod(shape)}")
        return (outputs,)

    def apply(self, s: Array) -> Array:
        return np.asarray(self.weight) @ s.ravel()

    def arrays(self) -> dict[str, Array]:
        return {"weight": np.asarray(self.weight)}

    def __repr__(self) -> str:
        return f"Dense{np.shape(self.weight)}"


@dataclass(frozen=True, eq=False)
class Conv2d(Map):
    """Cross-correlation, y[o, i, j] = sum_{c, k, l} W[o, c, k, l] s[c, i sy + k - py, j sx + l - px], zero outside.

    weight: [outputs, inputs, height, width]; stride (sy, sx) at least 1; padding (py, px) at least 0.
    """

    weight: ArrayLike
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights("weight of Conv2d", self.weight, 4))
        object.__setattr__(self, "stride", _pair("stride of Conv2d", self.stride, 1))
        object.__setattr__(self, "padding", _pair("padding of Conv2d", self.padding, 0))

    def output_shape(self, shape: Shape) -> Shape:
        outputs, inputs, kh, kw = np.shape(self.weight)
        (sy, sx), (py, px) = _both(self.stride), _both(self.padding)
        if len(shape) != 3 or shape[0] != inputs:
            raise ValueError(f"Conv2d takes {inputs} channels (channels, height, width), got shape {shape}")
        h, w = shape[1] + 2 * py - kh, shape[2] + 2 * px - kw
        if h < 0 or w < 0:
            raise ValueError(f"Conv2d kernel {kh}x{kw} is larger than the padded input {shape}")
        return (outputs, h // sy + 1, w // sx + 1)

    def apply(self, s: Array) -> Array:
        weight, (sy, sx), (py, px) = np.asarray(self.weight), _both(self.stride), _both(self.padding)
        _, h, w = self.output_shape(s.shape)
        padded = np.pad(s, ((0, 0), (py, py), (px, px)))
        y = np.zeros((len(weight), h, w), np.result_type(weight, s))
        for k in range(weight.shape[2]):
            for m in range(weight.shape[3]):
                window = padded[:, k: k + sy * (h - 1) + 1: sy, m: m + sx * (w - 1) + 1: sx]
                y += np.tensordot(weight[:, :, k, m], window, 1)
        return y

    def arrays(self) -> dict[str, Array]:
        return {"weight": np.asarray(self.weight)}

    def __repr__(self) -> str:
        return f"Conv2d{np.shape(self.weight)} stride {self.stride} padding {self.padding}"


@dataclass(frozen=True)
class SumPool2d(Map):
    """y[c, i, j] = sum of s[c] over the window of `kernel` at (i sy, j sx); windows that do not fit are left out.

    kernel: (height, width); stride: (sy, sx), by default the kernel.
    """

    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", _pair("kernel of SumPool2d", self.kernel, 1))
        stride = self.kernel if self.stride is None else self.stride
        object.__setattr__(self, "stride", _pair("stride of SumPool2d", stride, 1))

    def output_shape(self, shape: Shape) -> Shape:
        (kh, kw), (sy, sx) = _both(self.kernel), _both(self.stride)
        if len(shape) != 3 or shape[1] < kh or shape[2] < kw:
            raise ValueError(f"SumPool2d of {kh}x{kw} takes (channels, height, width) of at least that size, "
                             f"got shape {shape}")
        return (shape[0], (shape[1] - kh) // sy + 1, (shape[2] - kw) // sx + 1)

    def apply(self, s: Array) -> Array:
        (kh, kw), (sy, sx) = _both(self.kernel), _both(self.stride)
        c, h, w = self.output_shape(s.shape)
        y = np.zeros((c, h, w), s.dtype)
        for k in range(kh):
            for m in range(kw):
                y += s[:, k: k + sy * (h - 1) + 1: sy, m: m + sx * (w - 1) + 1: sx]
        return y

    def arrays(self) -> dict[str, Array]:
        return {}

    def __repr__(self) -> str:
        return f"SumPool2d{self.kernel} stride {self.stride}"


@dataclass(frozen=True, eq=False)
class Sparse(Map):
    """y[target] += weight for each synapse of an active source, stored by source (CSR rows).

    indptr: int64 [inputs + 1]; targets: int [synapses], each in 0 .. outputs - 1; weight: [synapses]; several
    synapses may join the same pair. shape: (outputs, inputs). Source and target are flattened in C order.
    """

    indptr: ArrayLike
    targets: ArrayLike
    weight: ArrayLike
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        outputs, inputs = (int(n) for n in self.shape)
        indptr, targets = np.array(self.indptr, np.int64), np.array(self.targets, np.int64)
        weight = np.array(self.weight)
        if weight.dtype not in (np.float32, np.float64):
            weight = weight.astype(np.float64)
        if min(outputs, inputs) < 1:
            raise ValueError(f"shape of Sparse must be positive, got {self.shape}")
        if indptr.shape != (inputs + 1,) or indptr[0] != 0 or np.any(np.diff(indptr) < 0) or indptr[-1] != targets.size:
            raise ValueError(f"indptr of Sparse must rise from 0 to the number of synapses ({targets.size}) in "
                             f"{inputs + 1} entries")
        if targets.ndim != 1 or weight.shape != targets.shape:
            raise ValueError(f"weight of Sparse has shape {weight.shape}, targets {targets.shape}: must be equal")
        if targets.size and (targets.min() < 0 or targets.max() >= outputs):
            raise ValueError(f"targets of Sparse must lie in 0 .. {outputs - 1}, got {targets.min()} .. {targets.max()}")
        finite("weight of Sparse", weight)
        for name, array in (("indptr", indptr), ("targets", targets), ("weight", weight)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "shape", (outputs, inputs))

    def output_shape(self, shape: Shape) -> Shape:
        if math.prod(shape) != self.shape[1]:
            raise ValueError(f"Sparse takes {self.shape[1]} inputs, got shape {shape} = {math.prod(shape)}")
        return (self.shape[0],)

    def apply(self, s: Array) -> Array:
        indptr, targets, weight = self.arrays().values()
        y = np.zeros(self.shape[0], np.result_type(weight, s))
        np.add.at(y, targets, weight * np.repeat(s.ravel(), np.diff(indptr)))
        return y

    def arrays(self) -> dict[str, Array]:
        return {"indptr": np.asarray(self.indptr), "targets": np.asarray(self.targets),
                "weight": np.asarray(self.weight)}

    def __repr__(self) -> str:
        return f"Sparse{self.shape} of {np.size(self.targets)} synapses"


@dataclass(frozen=True, eq=False)
class Delayed(Map):
    """y_i[t] = sum_j w[i, j] s_j[t - delay[i, j]]: a weight and a delay for each synapse, at the end of a chain.

    weight: [outputs, inputs]; delay: whole steps, int [outputs, inputs], 0 .. 10,000, on top of the projection's; s is
    flattened in C order. A synapse of weight 0 does not exist. `apply` takes the steps before as well: s[k] is the input k
    steps ago, for k up to the longest delay.
    """

    weight: ArrayLike
    delay: ArrayLike

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights("weight of Delayed", self.weight, 2))
        delay = np.array(self.delay)
        if delay.dtype.kind not in "ui" or delay.shape != np.shape(self.weight):
            raise ValueError(f"delay of Delayed must be whole numbers of the weight's shape {np.shape(self.weight)}, got "
                             f"{delay.dtype} of shape {delay.shape}")
        if delay.min() < 0 or delay.max() > LONGEST_DELAY:
            raise ValueError(f"delay of Delayed must lie in 0 .. {LONGEST_DELAY} steps, got {delay.min()} .. {delay.max()}")
        delay = delay.astype(np.int32)
        delay.setflags(write=False)
        object.__setattr__(self, "delay", delay)

    @property
    def longest(self) -> int:
        """The longest delay in steps."""
        return int(np.max(np.asarray(self.delay)))

    def output_shape(self, shape: Shape) -> Shape:
        outputs, inputs = np.shape(self.weight)
        if math.prod(shape) != inputs:
            raise ValueError(f"Delayed takes {inputs} inputs, got shape {shape} = {math.prod(shape)}")
        return (outputs,)

    def apply(self, s: Array) -> Array:
        weight, delay = np.asarray(self.weight), np.asarray(self.delay)
        if len(s) <= self.longest:
            raise ValueError(f"Delayed takes the inputs of {self.longest + 1} steps, got {len(s)}")
        past = s.reshape(len(s), -1)
        return np.asarray((weight * past[delay, np.arange(weight.shape[1])]).sum(1))

    def arrays(self) -> dict[str, Array]:
        return {"weight": np.asarray(self.weight), "delay": np.asarray(self.delay)}

    def __repr__(self) -> str:
        return f"Delayed{np.shape(self.weight)} by up to {self.longest} steps"


def weighing(m: Map, weight: ArrayLike) -> Map:
    """The map with other weights. ValueError for one that holds none."""
    match m:
        case Conv2d(stride=stride, padding=padding):
            return Conv2d(weight, stride, padding)
        case Delayed(delay=delay):
            return Delayed(weight, delay)
        case Sparse(indptr=indptr, targets=targets, shape=shape):
            return Sparse(indptr, targets, weight, shape)
        case Dense():
            return Dense(weight)
        case _:
            raise ValueError(f"{m!r} holds no weights")


def _both(value: Any) -> tuple[int, int]:
    return value  # type: ignore[no-any-return]  # __post_init__ made it a pair
