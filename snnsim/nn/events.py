"""The first layer on sparse events: work in proportion to the events, not to the pixels.

A batch of events is anything with the fields of `snnsim.datasets.EventBatch`: the tensor [T, B, ...] without its
zeros, in rows t B + b (CSR). Every result is the same bits for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.kernel import jit, load_printed
from snnsim.nn import sparse, threads
from snnsim.nn.compiling import uncompiled
from snnsim.nn.pool import take

Array = NDArray[Any]

# A run of as many numbers as there are outputs is short: printed with its length it becomes a few vector instructions.
CONV2D = '''
@njit(error_model="numpy")
def reach(at, outputs, size, stride, padding):
    return max(0, (at + padding - size) // stride + 1), min(outputs, (at + padding) // stride + 1)


@njit(nogil=True, cache=True, error_model="numpy")
def conv2d(k, of, indptr, indices, values, taps, bias, y, geometry):
    h, w, oh, ow, kh, kw, sy, sx, py, px = geometry
    rows = len(indptr) - 1
    for r in range(k * rows // of, (k + 1) * rows // of):
        for place in range(r * oh * ow, (r + 1) * oh * ow):
            for o in range({outputs}):
                y[place, o] = bias[o]
        for e in range(indptr[r], indptr[r + 1]):
            value = values[e]
            c, i, j = indices[e] // (h * w), indices[e] // w % h, indices[e] % w
            top, bottom = reach(i, oh, kh, sy, py)
            left, right = reach(j, ow, kw, sx, px)
            for a in range(top, bottom):
                for b in range(left, right):
                    tap = (c * kh + i + py - a * sy) * kw + j + px - b * sx
                    place = (r * oh + a) * ow + b
                    for o in range({outputs}):
                        y[place, o] += value * taps[tap, o]


@njit(nogil=True, cache=True, error_model="numpy")
def gradient(k, of, indptr, indices, values, g, sums, g_bias, geometry):
    h, w, oh, ow, kh, kw, sy, sx, py, px = geometry
    rows = len(indptr) - 1
    for part in range(k, len(sums), of):
        for r in range(part * rows // len(sums), (part + 1) * rows // len(sums)):
            for place in range(r * oh * ow, (r + 1) * oh * ow):
                for o in range({outputs}):
                    g_bias[part, o] += g[place, o]
            for e in range(indptr[r], indptr[r + 1]):
                value = values[e]
                c, i, j = indices[e] // (h * w), indices[e] // w % h, indices[e] % w
                top, bottom = reach(i, oh, kh, sy, py)
                left, right = reach(j, ow, kw, sx, px)
                for a in range(top, bottom):
                    for b in range(left, right):
                        tap = (c * kh + i + py - a * sy) * kw + j + px - b * sx
                        place = (r * oh + a) * ow + b
                        for o in range({outputs}):
                            sums[part, tap, o] += value * g[place, o]
'''
PARTS = 8  # partial sums of a convolution's gradient: a fixed number, so that their order is not the threads'


@dataclass(frozen=True, eq=False)
class Events:
    """indptr: int64 [T B + 1]; indices: int32, the flat feature, repeated ones add up; values: float32; shape: (T, B, ...)."""

    indptr: Array
    indices: Array
    values: Array
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.shape[0] * self.shape[1]


def is_events(x: Any) -> bool:
    return hasattr(x, "indptr") and not isinstance(x, torch.Tensor)


def checked(x: Any) -> Events:
    """The batch as Events. ValueError that says what is wrong: a kernel would read and write anywhere."""
    indptr, indices = np.ascontiguousarray(x.indptr, np.int64), np.ascontiguousarray(x.indices, np.int32)
    values, shape = np.ascontiguousarray(x.values, np.float32), tuple(int(n) for n in x.shape)
    if len(shape) < 3 or min(shape) < 1:
        raise ValueError(f"a batch of events has the shape (T, B, ...) with positive sizes, got {shape}")
    if indptr.shape != (shape[0] * shape[1] + 1,) or indptr[0] != 0 or bool(np.any(np.diff(indptr) < 0)):
        raise ValueError(f"indptr of a batch of events must rise from 0 in T B + 1 = {shape[0] * shape[1] + 1} entries")
    if not indices.shape == values.shape == (int(indptr[-1]),):
        raise ValueError(f"a batch of events needs {int(indptr[-1])} indices and values, as indptr says, got "
                         f"{indices.shape} and {values.shape}")
    features = math.prod(shape[2:])
    if indices.size and (indices.min() < 0 or indices.max() >= features):
        raise ValueError(f"indices of a batch of events must lie from 0 to {features - 1}, got {indices.min()} to "
                         f"{indices.max()}")
    if not np.isfinite(values).all():
        raise ValueError("the input holds NaN or infinity")
    return Events(indptr, indices, values, shape)


@uncompiled
def dense(x: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The batch as a tensor [T, B, ...]."""
    events = checked(x)
    out = take(events.shape, dtype).zero_()
    _dense(events.indptr, events.indices, events.values, out.view(events.rows, -1).numpy())
    return out


@uncompiled
def linear(x: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """y[t, b] = W x[t, b] + bias, [T, B, outputs]. weight: [outputs, inputs]. ValueError when the inputs do not fit."""
    events = checked(x)
    if math.prod(events.shape[2:]) != weight.shape[1]:
        raise ValueError(f"Linear takes {weight.shape[1]} inputs, got events of shape {events.shape}")
    return sparse.linear(sparse.Rows(events.indptr, events.indices, events.values), weight, bias).view(*events.shape[:2], -1)


@uncompiled
def conv2d(x: Any, weight: torch.Tensor, bias: torch.Tensor | None, stride: tuple[int, int],
           padding: tuple[int, int]) -> torch.Tensor:
    """The convolution of snnsim.maps.Conv2d at every step, [T, B, C', H', W'] in memory order [T, B, H', W', C']."""
    events = checked(x)
    if len(events.shape) != 5 or events.shape[2] != weight.shape[1]:
        raise ValueError(f"Conv2d takes {weight.shape[1]} channels [T, B, C, H, W], got events of shape {events.shape}")
    out: torch.Tensor = _Conv2d.apply(events, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return out.view(*events.shape[:2], *out.shape[1:]).movedim(4, 2)


@uncompiled
def sum_pool2d(x: Any, kernel: tuple[int, int], stride: tuple[int, int]) -> Events:
    """Sums over windows: each event once in every window that holds it; windows that do not fit are left out."""
    events = checked(x)
    if len(events.shape) != 5 or events.shape[3] < kernel[0] or events.shape[4] < kernel[1]:
        raise ValueError(f"SumPool2d of {kernel} does not fit events of shape {events.shape}")
    t, b, c, h, w = events.shape
    size = ((h - kernel[0]) // stride[0] + 1, (w - kernel[1]) // stride[1] + 1)
    indptr, indices, values = _pool(events.indptr, events.indices, events.values, h, w, *size, *kernel, *stride)
    return Events(indptr, indices, values, (t, b, c, *size))


@uncompiled
def between(x: Any, start: int, stop: int) -> Events:
    """The steps from start to stop - 1 of the batch; no event is copied."""
    events = checked(x)
    samples = events.shape[1]
    indptr = events.indptr[start * samples: stop * samples + 1]
    low, high = int(indptr[0]), int(indptr[-1])
    return Events(indptr - low, events.indices[low:high], events.values[low:high], (stop - start, *events.shape[1:]))


@uncompiled
def flatten(x: Any) -> Events:
    events = checked(x)
    return Events(events.indptr, events.indices, events.values, (*events.shape[:2], math.prod(events.shape[2:])))


class _Conv2d(torch.autograd.Function):
    """Out and its gradient are [T B, H', W', C']: an event adds one run of C' weights at each place that it reaches."""

    @staticmethod
    def forward(ctx: Any, events: Events, weight: torch.Tensor, bias: torch.Tensor | None, stride: tuple[int, int],
                padding: tuple[int, int]) -> torch.Tensor:
        outputs, inputs, kh, kw = weight.shape
        _, _, _, h, w = events.shape
        size = ((h + 2 * padding[0] - kh) // stride[0] + 1, (w + 2 * padding[1] - kw) // stride[1] + 1)
        if min(size) < 1:
            raise ValueError(f"Conv2d kernel {kh}x{kw} is larger than the padded input {events.shape}")
        taps = take((inputs * kh * kw, outputs), weight.dtype)
        taps.view(inputs, kh, kw, outputs).copy_(weight.detach().permute(1, 2, 3, 0))
        y = take((events.rows, *size, outputs), weight.dtype)
        ctx.geometry = (h, w, *size, kh, kw, *stride, *padding)
        ctx.kernels = load_printed(CONV2D.format(outputs=outputs))
        threads.run(ctx.kernels.conv2d, threads.count(events.rows, y.numel()), events.indptr, events.indices, events.values,
                    taps.numpy(), sparse.bias_array(bias, weight), y.view(-1, outputs).numpy(), ctx.geometry)
        ctx.events, ctx.shape, ctx.dtype = events, weight.shape, weight.dtype
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        events, (outputs, inputs, kh, kw) = ctx.events, ctx.shape
        flat = g.contiguous().view(-1, outputs).numpy()
        sums, g_bias = np.zeros((PARTS, inputs * kh * kw, outputs), flat.dtype), np.zeros((PARTS, outputs))
        threads.run(ctx.kernels.gradient, threads.count(PARTS, g.numel()), events.indptr, events.indices, events.values, flat,
                    sums, g_bias, ctx.geometry)
        g_weight = torch.from_numpy(sums.sum(0)).view(inputs, kh, kw, outputs).permute(3, 0, 1, 2).contiguous()
        return (None, g_weight if ctx.needs_input_grad[1] else None,
                torch.from_numpy(g_bias.sum(0)).to(ctx.dtype) if ctx.needs_input_grad[2] else None, None, None)


@jit(nogil=True)
def _dense(indptr: Array, indices: Array, values: Array, out: Array) -> None:
    for r in range(len(out)):
        for e in range(indptr[r], indptr[r + 1]):
            out[r, indices[e]] += values[e]


@jit(nogil=True)
def _reach(at: int, outputs: int, size: int, stride: int, padding: int) -> tuple[int, int]:
    """First output and the one after the last whose kernel covers this place."""
    return max(0, (at + padding - size) // stride + 1), min(outputs, (at + padding) // stride + 1)


@jit(nogil=True)
def _pool(indptr: Array, indices: Array, values: Array, h: int, w: int, oh: int, ow: int, kh: int, kw: int, sy: int,
          sx: int) -> tuple[Array, Array, Array]:
    pooled = np.zeros(len(indptr), np.int64)
    most = ((kh - 1) // sy + 1) * ((kw - 1) // sx + 1)
    out, amounts = np.empty(len(indices) * most, np.int32), np.empty(len(indices) * most, np.float32)
    at = 0
    for r in range(len(indptr) - 1):
        for e in range(indptr[r], indptr[r + 1]):
            c, i, j = indices[e] // (h * w), indices[e] // w % h, indices[e] % w
            top, bottom = _reach(i, oh, kh, sy, 0)
            left, right = _reach(j, ow, kw, sx, 0)
            for a in range(top, bottom):
                for b in range(left, right):
                    out[at] = (c * oh + a) * ow + b
                    amounts[at] = values[e]
                    at += 1
        pooled[r + 1] = at
    return pooled, out[:at], amounts[:at]
