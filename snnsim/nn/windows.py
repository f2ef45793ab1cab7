"""The taps of Gaussian kernels over time that are not lost in rounding, with their gradients.

    v_m = w p_m,    p_m = G_m / (S + 1e-7),    S = sum_m G_m,    G_m = exp(-z_m^2 / 2),    z_m = (first + m - d) / sigma
    dL/dw = sum_m g_m p_m,    dL/dd = w / sigma (sum_m g_m p_m z_m - sum_m g_m p_m sum_m p_m z_m)    for g = dL/dv

The sums over G leave out what they lose in rounding, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.kernel import jit
from snnsim.nn import threads
from snnsim.nn.pool import take

Array = NDArray[Any]

EPSILON = 1e-7
TILE = 128  # synapses
REACH = {torch.float32: 5.8, torch.float64: 8.6}  # widths from the middle beyond which a Gaussian is lost in rounding


def windows(weight: torch.Tensor, delay: torch.Tensor, sigma: float, length: int,
            multiple: int) -> tuple[torch.Tensor, torch.Tensor]:
    """first [...], int32, and taps [..., a multiple of `multiple`], for weights and delays [...], in [0, length - 1]."""
    reach = REACH[delay.dtype] * sigma
    width = min(length, math.ceil(2 * reach))
    return _Windows.apply(weight, delay, sigma, length, width, -width % multiple)  # type: ignore[no-untyped-call, no-any-return]


def dense(first: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """The taps at their steps: [longest, ...] from first [...] and taps [..., width], without a gradient."""
    width = taps.shape[-1]
    out = take((int(first.max()) + width, *first.shape), taps.dtype)
    threads.run(_spread, threads.count(first.numel(), taps.numel()), first.contiguous().view(-1).numpy(),
                taps.detach().contiguous().view(-1, width).numpy(), out.view(len(out), -1).numpy())
    return out


class _Windows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, delay: torch.Tensor, sigma: float, length: int, width: int,
                rest: int) -> tuple[torch.Tensor, torch.Tensor]:
        weight, delay = weight.contiguous(), delay.contiguous()
        first, share = take(delay.shape, torch.int32), take((*delay.shape, width + rest), delay.dtype)
        taps, flat = take(share.shape, delay.dtype), (delay.numel(), width + rest)
        n = threads.count(delay.numel(), share.numel())
        threads.run(_exponents, n, delay.view(-1).numpy(), 1 / sigma, length, width, first.view(-1).numpy(),
                    share.view(flat).numpy())
        share.exp_()  # vectors of them at once
        threads.run(_shares, n, weight.view(-1).numpy(), share.view(flat).numpy(), taps.view(flat).numpy())
        ctx.sigma = sigma
        ctx.save_for_backward(weight, delay, first, share)
        ctx.mark_non_differentiable(first)
        return first, taps

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, delay, first, share = ctx.saved_tensors
        g_weight, g_delay = take(weight.shape, weight.dtype), take(delay.shape, delay.dtype)
        flat = (delay.numel(), share.shape[-1])
        threads.run(_gradients, threads.count(delay.numel(), share.numel()), weight.view(-1).numpy(), delay.view(-1).numpy(),
                    1 / ctx.sigma, first.view(-1).numpy(), share.view(flat).numpy(), g.contiguous().view(flat).numpy(),
                    g_weight.view(-1).numpy(), g_delay.view(-1).numpy())
        return g_weight, g_delay, None, None, None, None


@jit(nogil=True)
def _exponents(k: int, of: int, delay: Array, scale: float, length: int, width: int, first: Array, out: Array) -> None:
    for s in range(k * len(delay) // of, (k + 1) * len(delay) // of):
        begin = min(max(int(np.floor(delay[s] - (width - 1) / 2 + 0.5)), 0), length - width)
        first[s] = begin
        row, away = out[s], begin - delay[s]
        for m in range(width):
            z = (away + m) * scale
            row[m] = -0.5 * z * z
        for m in range(width, row.size):
            row[m] = -np.inf


@jit(nogil=True)
def _shares(k: int, of: int, weight: Array, share: Array, taps: Array) -> None:
    for s in range(k * len(weight) // of, (k + 1) * len(weight) // of):
        row, out, total = share[s], taps[s], EPSILON
        for m in range(row.size):
            total += row[m]
        for m in range(row.size):
            row[m] *= 1 / total
            out[m] = weight[s] * row[m]


@jit(nogil=True)
def _gradients(k: int, of: int, weight: Array, delay: Array, scale: float, first: Array, share: Array, g: Array,
               g_weight: Array, g_delay: Array) -> None:
    for s in range(k * len(weight) // of, (k + 1) * len(weight) // of):
        p, gradient, away = share[s], g[s], first[s] - delay[s]
        of_weight = of_share = mean = 0.0
        for m in range(p.size):
            z = (away + m) * scale
            of_weight += gradient[m] * p[m]
            of_share += gradient[m] * p[m] * z
            mean += p[m] * z
        g_weight[s] = of_weight
        g_delay[s] = weight[s] * scale * (of_share - of_weight * mean)


@jit(nogil=True)
def _spread(k: int, of: int, first: Array, taps: Array, out: Array) -> None:
    """By way of a tile: steps of one synapse lie apart by what is often a power of two, and would push each other out of
    the cache."""
    tile = np.empty((len(out), TILE), out.dtype)
    for s in range(k * len(first) // of, (k + 1) * len(first) // of, TILE):
        after = min(s + TILE, (k + 1) * len(first) // of)
        tile[:] = 0
        for i in range(s, after):
            for m in range(taps.shape[1]):
                tile[first[i] + m, i - s] = taps[i, m]
        for t in range(len(out)):
            for i in range(s, after):
                out[t, i] = tile[t, i - s]
