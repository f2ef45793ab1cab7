"""Batch norm in training, the same bits for any number of threads and, but for rare roundings, of processes.

Statistics are float64 sums over a fixed number of parts. With sums in float32, in an order that is the threads', a few
neurons at their threshold would fire on one thread and not on two, and gradients would differ by far more than rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.kernel import jit
from snnsim.nn import processes, threads
from snnsim.nn.compiling import uncompiled
from snnsim.nn.pool import take

Array = NDArray[Any]
Norm = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d

PARTS = 32


def applies(norm: Norm, x: torch.Tensor) -> bool:
    """Whether this norm's statistics are those of the batch, and it is one for our kernels."""
    return norm.training and x.device.type == "cpu"


@uncompiled
def batch_norm(norm: Norm, x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """norm(x) in training: y = (x - mean) / sqrt(var + eps) weight + bias a channel, x [N, C] or [N, C, H, W]. weight: in
    place of the norm's own.

    mean and var are those of N, H and W, over all processes of torch.distributed, which must all call it. float16 and
    bfloat16 are computed in float32. Ioffe and Szegedy, ICML (2015).

    Errors: ValueError for other channels, or for one value a channel.
    """
    if x.shape[1] != norm.num_features:
        raise ValueError(f"batch norm of {norm.num_features} channels got {x.shape[1]}")
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    rows = wide.movedim(1, -1)
    rows = rows if rows.is_contiguous() else take(rows.shape, rows.dtype).copy_(rows)
    weight = norm.weight if weight is None else weight
    y: torch.Tensor = _BatchNorm.apply(norm, rows, weight, norm.bias)  # type: ignore[no-untyped-call]
    return y.movedim(-1, 1).to(x.dtype)


class _BatchNorm(torch.autograd.Function):
    """x, y: [N, ..., C]."""

    @staticmethod
    def forward(ctx: Any, norm: Norm, x: torch.Tensor, weight: torch.Tensor | None,
                bias: torch.Tensor | None) -> torch.Tensor:
        flat = _flat(x)
        ctx.counts = processes.counts()
        totals = processes.add_up(torch.from_numpy(ctx.counts * np.append(_sums(flat, flat), float(len(flat)))))
        n = float(totals[-1])
        if n <= 1.0:
            raise ValueError(f"Expected more than 1 value per channel when training, got {n:.0f}")
        mean, square = (totals[:-1] / n).view(2, -1)
        var = (square - mean * mean).clamp_min(0.0)
        _track(norm, mean, var * (n / (n - 1.0)))
        inverse = torch.rsqrt(var + norm.eps)
        scale = inverse if weight is None else inverse * weight.detach()
        shift = (0.0 if bias is None else bias.detach()) - mean * scale
        y = take(x.shape, x.dtype)
        threads.run(_scale, threads.count(len(flat), x.numel()), flat, _like(scale, x), _like(shift, x), _flat(y))
        ctx.save_for_backward(x)
        ctx.n, ctx.mean, ctx.inverse, ctx.scale = n, mean, inverse, scale
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        g = g if g.is_contiguous() else take(g.shape, g.dtype).copy_(g)
        local = torch.from_numpy(_sums(_flat(x), _flat(g)))
        by_bias, by_weight = local[0], ctx.inverse * (local[1] - ctx.mean * local[0])
        whole = processes.add_up(ctx.counts * local) / ctx.n  # means over all: of g, and of g x
        b = -ctx.counts * ctx.scale * ctx.inverse.square() * (whole[1] - ctx.mean * whole[0])
        c = -ctx.counts * ctx.scale * whole[0] - b * ctx.mean
        g_x = take(x.shape, x.dtype)
        threads.run(_mix, threads.count(len(_flat(x)), x.numel()), _flat(g), _flat(x), _like(ctx.scale, x), _like(b, x),
                    _like(c, x), _flat(g_x))
        return (None, g_x, by_weight.to(x.dtype) if ctx.needs_input_grad[2] else None,
                by_bias.to(x.dtype) if ctx.needs_input_grad[3] else None)


def _track(norm: Norm, mean: torch.Tensor, var: torch.Tensor) -> None:
    """Move the running statistics, as torch's batch norm does."""
    if not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    step = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), step)
    norm.running_var.lerp_(var.to(norm.running_var.dtype), step)


def _sums(x: Array, values: Array) -> Array:
    """Sums of values, and of values times x, a channel: float64, [2, C]."""
    sums = np.zeros((PARTS, 2, x.shape[1]))
    threads.run(_add, threads.count(PARTS, x.size), x, values, sums)
    total: Array = sums.sum(0)
    return total


def _flat(t: torch.Tensor) -> Array:
    array: Array = t.detach().reshape(-1, t.shape[-1]).numpy()
    return array


def _like(values: torch.Tensor, x: torch.Tensor) -> Array:
    array: Array = values.to(x.dtype).numpy()
    return array


@jit(nogil=True)
def _add(k: int, of: int, x: Array, values: Array, sums: Array) -> None:
    parts = len(sums)
    for part in range(k * parts // of, (k + 1) * parts // of):
        first, second = sums[part, 0], sums[part, 1]
        for r in range(part * len(x) // parts, (part + 1) * len(x) // parts):
            for c in range(x.shape[1]):
                value = np.float64(values[r, c])
                first[c] += value
                second[c] += value * x[r, c]


@jit(nogil=True)
def _scale(k: int, of: int, x: Array, scale: Array, shift: Array, y: Array) -> None:
    for r in range(k * len(x) // of, (k + 1) * len(x) // of):
        for c in range(x.shape[1]):
            y[r, c] = x[r, c] * scale[c] + shift[c]


@jit(nogil=True)
def _mix(k: int, of: int, g: Array, x: Array, a: Array, b: Array, c: Array, out: Array) -> None:
    for r in range(k * len(x) // of, (k + 1) * len(x) // of):
        for i in range(x.shape[1]):
            out[r, i] = a[i] * g[r, i] + (b[i] * x[r, i] + c[i])
