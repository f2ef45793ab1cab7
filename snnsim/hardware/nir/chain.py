"""A path of linear NIR nodes as the maps of a projection: what its nodes compute, in one dtype, exactly where it can be.

Pooling by the mean is a sum whose share goes to the next weights; so does a Scale. Groups, dilation and the padding of a
pooling, which the maps of a Network have not, become zeros and ones in a kernel. Conv1d is a Conv2d of height 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnsim.hardware.nir.graph import Array, Node, pair
from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d

LINEAR = ("Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay")
SIZE_LIMIT = 256 * 2**20  # neurons, or weights of an expanded kernel
Shape = tuple[int, ...]


@dataclass
class Passed:
    """What a path has made of its input so far.

    shape: of the output. bias: the constant part, with all scales. factor: what the output of the maps is still to be
    multiplied by, a number or [*shape]. delay: steps, of all. late: further steps that differ, [*, inputs] at the last
    Dense, or [outputs, *] behind it. closed: no map may follow.
    """

    shape: Shape
    maps: list[Map] = field(default_factory=list)
    bias: Array | None = None
    factor: Array = field(default_factory=lambda: np.ones(()))
    delay: int = 0
    late: Array | None = None
    closed: bool = False


def through(chain: list[tuple[str, Node]], shape: Shape, dt: float, dtype: np.dtype[Any]) -> Passed:
    """The path from an input of this shape, at steps of dt seconds. ValueError that names the node that does not fit."""
    way = Passed(bounded(shape))
    for name, node in chain:
        try:
            _pass(way, node, dt, dtype)
        except ValueError as e:
            raise ValueError(f"node {name!r} ({node.type}): {e}") from None
    return way


def _pass(way: Passed, node: Node, dt: float, dtype: np.dtype[Any]) -> None:
    match node.type:
        case "Flatten":
            way.shape = (math.prod(way.shape),)
            way.factor = way.factor if way.factor.ndim == 0 else way.factor.ravel()
            way.bias = None if way.bias is None else way.bias.ravel()
        case "Delay":
            _delay(way, node, dt)
        case "Scale":
            scale = np.asarray(node.values["scale"], np.float64)
            if scale.size != 1:
                scale = _fitting("scale", scale, way.shape)
            way.factor = way.factor * scale.reshape(way.shape if scale.size != 1 else ())
            way.bias = None if way.bias is None else way.bias * scale.reshape(way.shape if scale.size != 1 else ())
        case _:
            _append(way, node, dtype)


def _fitting(name: str, value: Array, shape: Shape) -> Array:
    if [n for n in value.shape if n != 1] != [n for n in shape if n != 1]:
        raise ValueError(f"{name} has shape {value.shape}, must be one number or {shape}")
    return value


def _append(way: Passed, node: Node, dtype: np.dtype[Any]) -> None:
    """Put the map of the node behind the others, its weights times the factor that is due."""
    plain = _map(node, way.shape, dtype)
    if way.closed or (way.late is not None and not isinstance(plain, Dense)):
        raise ValueError("a delay that differs by neuron must stand beside the last Affine or Linear node of its path")
    out = bounded(plain.output_shape(way.shape))
    way.maps.append(_sourced(plain, way.factor, way.shape, dtype))
    if way.late is not None:
        way.late, way.closed = way.late.reshape(1, -1), True
    carried = None if way.bias is None else plain.apply(way.bias.reshape(way.shape).astype(np.float64))
    if isinstance(plain, SumPool2d):
        channels = way.factor if way.factor.ndim == 0 else _channels(way.factor, way.shape)
        way.factor = channels if channels.ndim == 0 else np.broadcast_to(channels.reshape(-1, 1, 1), out)
    else:
        way.factor = np.ones(())
    if node.type == "AvgPool2d":
        area = math.prod(pair(node.values["kernel_size"]))
        way.factor, carried = way.factor / area, None if carried is None else carried / area
    way.shape, way.bias = out, carried
    if "bias" in node.values:
        own = np.asarray(node.values["bias"], np.float64)
        if own.shape != out[:1]:
            raise ValueError(f"bias has shape {own.shape}, must be {out[:1]}")
        full = np.broadcast_to(own.reshape(-1, *[1] * (len(out) - 1)), out)
        way.bias = full if carried is None else carried + full


def _sourced(m: Map, factor: Array, shape: Shape, dtype: np.dtype[Any]) -> Map:
    """The map of what is multiplied by the factor."""
    if np.all(factor == 1.0) or isinstance(m, SumPool2d):
        return m
    if isinstance(m, Conv2d):
        each = factor.reshape(1) if factor.ndim == 0 else _channels(factor, shape)
        return Conv2d((np.asarray(m.weight) * each.reshape(1, -1, 1, 1)).astype(dtype), m.stride, m.padding)
    return Dense((np.asarray(m.arrays()["weight"]) * factor.reshape(1, -1)).astype(dtype))


def _channels(factor: Array, shape: Shape) -> Array:
    """One number for each channel. ValueError where it differs within one."""
    rows = np.broadcast_to(factor, shape).reshape(shape[0], -1)
    if np.any(rows != rows[:, :1]):
        raise ValueError("what it is fed is scaled differently within a channel, which a kernel cannot take: put the Scale "
                         "before an Affine or Linear node, or give it one number for each channel")
    return np.asarray(rows[:, 0])


def _delay(way: Passed, node: Node, dt: float) -> None:
    seconds = np.asarray(node.values["delay"], np.float64)
    if seconds.size == 0:
        raise ValueError("delay is empty")
    if way.bias is not None and way.bias.any() and seconds.any():
        raise ValueError("a delay must stand before the first bias of its path")
    with np.errstate(invalid="ignore", over="ignore"):
        exact = seconds.ravel() / dt
        steps = np.round(exact)
        wrong = ~np.isfinite(exact) | (steps < 0) | (steps > 2**31) | (np.abs(exact - steps) > 1e-6 * np.maximum(1, steps))
    if wrong.any():
        raise ValueError(f"the delay of {seconds.ravel()[wrong][0]:g} s is not a whole number of steps of {dt * 1e3:g} ms")
    whole = steps.astype(np.int64)
    if whole.size != 1 and whole.size != math.prod(way.shape):
        raise ValueError(f"delay has shape {seconds.shape}, must be one number or {way.shape}")
    if np.all(whole == whole[0]):
        way.delay += int(whole[0])
        return
    behind = bool(way.maps) and isinstance(way.maps[-1], Dense)
    own = whole.reshape(-1, 1) if behind else whole
    way.late, way.closed = own if way.late is None else way.late + own, behind


def _map(node: Node, shape: Shape, dtype: np.dtype[Any]) -> Map:
    v = node.values
    if node.type in ("SumPool2d", "AvgPool2d"):
        kernel, stride, padding = (pair(v[k]) for k in ("kernel_size", "stride", "padding"))
        if min(kernel) < 1 or min(padding) < 0:
            raise ValueError(f"kernel_size must be at least 1 and padding at least 0, got {kernel} and {padding}")
        if padding == (0, 0):
            return SumPool2d(kernel, stride)
        if len(shape) != 3 or max(kernel) > sum(shape) + 2 * max(padding):
            raise ValueError(f"it takes (channels, height, width), larger than its kernel {kernel}, got shape {shape}")
        bounded((shape[0], shape[0], *kernel))
        ones = np.broadcast_to(np.eye(shape[0], dtype=dtype)[:, :, None, None], (shape[0], shape[0], *kernel))
        return Conv2d(ones, stride, padding)
    weight = np.asarray(v["weight"]).astype(dtype)
    if node.type in ("Affine", "Linear"):
        return Dense(weight)
    if node.type == "Conv1d":
        return _conv(weight[:, :, None] if weight.ndim == 3 else weight, shape, {
            k: _tall(v[k], fill) for k, fill in (("stride", 1), ("padding", 0), ("dilation", 1))} | {"groups": v["groups"]})
    return _conv(weight, shape, v)


def _tall(value: Any, fill: int) -> Any:
    """A number for Conv1d as the pair for a Conv2d of height 1."""
    if isinstance(value, str):
        return value
    if np.size(value) != 1:
        raise ValueError(f"a size of Conv1d must be one whole number, got {value!r}")
    return np.array([fill, *pair(value)[:1]])


def _conv(weight: Array, shape: Shape, v: dict[str, Any]) -> Conv2d:
    """The convolution, with zeros in its kernel for what groups leave out and for the gaps of a dilation."""
    stride, dilation, groups, padding = pair(v["stride"]), pair(v["dilation"]), pair(v["groups"])[0], v["padding"]
    if weight.ndim != 4 or min(*dilation, groups) < 1:
        raise ValueError("weight must have an axis for outputs, inputs and each size, dilation and groups must be at least 1; "
                         f"got {weight.shape}, {dilation} and {groups}")
    kernel = tuple((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"padding must be 'same', 'valid' or numbers, got {padding!r}")
        if padding == "same" and (stride != (1, 1) or any(k % 2 == 0 for k in kernel)):
            raise ValueError("padding 'same' is read for odd kernels of stride 1: give it in numbers")
        padding = np.array([k // 2 for k in kernel]) if padding == "same" else np.zeros(2, np.int64)
    if len(shape) != 3 or weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        raise ValueError(f"weight of shape {weight.shape} in {groups} groups does not fit an input of shape {shape}")
    if dilation != (1, 1) or groups != 1:
        full = np.zeros(bounded((weight.shape[0], shape[0], *kernel)), weight.dtype)
        outputs, inputs = weight.shape[0] // groups, weight.shape[1]
        for g in range(groups):
            full[g * outputs:(g + 1) * outputs, g * inputs:(g + 1) * inputs, ::dilation[0], ::dilation[1]] = (
                weight[g * outputs:(g + 1) * outputs])
        weight = full
    return Conv2d(weight, stride, pair(padding))


def bounded(shape: Shape) -> Shape:
    """The shape; ValueError where its size is beyond what a file may ask for."""
    if math.prod(shape) > SIZE_LIMIT:
        raise ValueError(f"shape {shape} has {math.prod(shape)} elements, at most {SIZE_LIMIT} are read")
    return shape


def times(m: Map, gain: Array, dtype: np.dtype[Any]) -> Map | None:
    """The map times the gain of its outputs, one number or one for each; None where a kernel cannot take it."""
    flat = gain.ravel()
    if isinstance(m, Sparse):
        return Sparse(m.indptr, m.targets, (np.asarray(m.weight) * (flat if flat.size == 1 else flat[np.asarray(m.targets)]))
                      .astype(dtype), m.shape)
    weight = np.asarray(m.arrays()["weight"])
    if isinstance(m, Conv2d):
        rows = flat.reshape(1 if flat.size == 1 else len(weight), -1)
        if np.any(rows != rows[:, :1]):
            return None
        return Conv2d((weight * rows[:, 0].reshape(-1, 1, 1, 1)).astype(dtype), m.stride, m.padding)
    return Dense((weight * flat.reshape(-1, 1)).astype(dtype))


def diagonal(value: Array, dtype: np.dtype[Any], dense: bool = False) -> Map:
    """Each input times its own number."""
    n = value.size
    if dense:
        bounded((n, n))
        return Dense(np.diag(value).astype(dtype))
    return Sparse(np.arange(n + 1), np.arange(n), value.astype(dtype), (n, n))
