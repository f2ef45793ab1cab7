"""A linear layer whose synapses have delays, as kernels: each synapse is a short run of taps in time.

    y[t, b, i] = sum_j sum_m taps[i, j, m] x[t - first[i, j] - m, b, j],    x = 0 before the first step

Spikes are taken one by one: each adds a run of taps to the output's run in time, and each reads one of the gradient; threads
own outputs, never parts of a sum. What is dense (an input with few zeros, the gradient of the input) is added up directly where
a synapse has a few taps, and else goes through the frequencies of time (`snnsim.nn.spectrum`), whose cost does not depend on
taps. The kernels are in `snnsim.nn.runs`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.nn import runs, sparse, threads
from snnsim.nn.pool import take
from snnsim.nn.spectrum import convolve
from snnsim.nn.windows import dense

Array = NDArray[Any]

WIDTH = runs.WIDTH
TILE = 2048  # values of one output over the time of some samples: runs.ABREAST of them fit the first-level cache
SWEPT = 16384  # the same, where outputs wait in registers
LINES = 600  # cache lines that stay in the first-level cache


def run(x: torch.Tensor | sparse.Rows, shape: tuple[int, int, int], first: torch.Tensor, taps: torch.Tensor,
        bias: torch.Tensor | None) -> torch.Tensor:
    """y + bias, [T, B, outputs]. x: [T, B, inputs], or its rows t B + b without their zeros; shape: (T, B, inputs);
    first: int32 [outputs, inputs]; taps: [outputs, inputs, 1 or a multiple of WIDTH]; bias: [outputs]. All on the CPU."""
    if isinstance(x, sparse.Rows):
        return _Taps.apply(None, x, shape, first, taps, bias)  # type: ignore[no-untyped-call, no-any-return]
    flat = x.flatten(0, 1)
    return _Taps.apply(flat, sparse.found(flat), shape, first, taps, bias)  # type: ignore[no-untyped-call, no-any-return]


class _Taps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor | None, rows: sparse.Rows | None, shape: tuple[int, int, int], first: torch.Tensor,
                taps: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        steps, samples, _ = shape
        outputs = len(taps)
        taps = taps.contiguous()
        order = None
        if rows is None:
            assert x is not None
            y = convolved(x.detach().view(shape), first, taps.detach())
            y = y if bias is None else y.add_(bias.detach())
        else:
            y = take((steps, samples, outputs), taps.dtype)
            order = Order(rows, shape, first, taps)
            order.forward(taps.detach(), sparse.bias_array(bias, taps), y)
        ctx.shape, ctx.order = shape, order
        ctx.save_for_backward(None if rows else x, first, taps)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, first, taps = ctx.saved_tensors
        g = g.contiguous()
        g_x = g_taps = g_bias = None
        if ctx.needs_input_grad[0]:
            g_x = convolved(g, first, taps, back=True).flatten(0, 1)
        if ctx.needs_input_grad[4]:
            order = ctx.order or Order(every(x), ctx.shape, first, taps)
            g_taps = order.gradient(g)
        if ctx.needs_input_grad[5]:
            g_bias = sparse.column_sums(g.flatten(0, 1))
        return g_x, None, None, None, g_taps, g_bias


def convolved(x: torch.Tensor, first: torch.Tensor, taps: torch.Tensor, back: bool = False) -> torch.Tensor:
    """y [T, B, outputs] for x [T, B, inputs], or `back` the gradient of x for that of y, where most values are not zero."""
    width = 1 if taps.shape[2] == 1 else runs.NEAR
    if taps.shape[2] > WIDTH or taps[..., width:].any():
        kernel = dense(first, taps)
        return convolve(x, kernel if back else kernel.transpose(1, 2), back)
    steps, samples, channels = x.shape
    reach, taps = int(first.max()) + width - 1, taps[..., :width]
    row, factor = (first.t(), taps.transpose(0, 1)) if back else (reach - width + 1 - first, taps.flip(2))
    y = take((steps, samples, len(row)), x.dtype)
    part = -(-max(100, reach) // runs.STEPS) * runs.STEPS
    threads.run(runs.slid, threads.count(-(-samples // runs.LANES) * -(-steps // part), y.numel() * channels // 16),
                x.contiguous().numpy(), 0 if back else reach, reach, row.contiguous().numpy(), factor.contiguous().numpy(),
                y.numpy(), part, max(8, LINES // (runs.STEPS + reach)))
    return y


def every(x: torch.Tensor) -> sparse.Rows:
    """The tensor [rows, columns] as rows that list all their values."""
    n, columns = x.shape
    indices = np.tile(np.arange(columns, dtype=np.int32), n)
    return sparse.Rows(np.arange(n + 1, dtype=np.int64) * columns, indices, x.detach().contiguous().numpy().ravel())


class Order:
    """Events by block of samples, source, step and sample.

    place: where an event stands in a row that holds the steps of a block's samples one after another, `stride` a sample:
    as many as there are steps, and as many more as the taps of the last step reach.
    """

    def __init__(self, rows: sparse.Rows, shape: tuple[int, int, int], first: torch.Tensor, taps: torch.Tensor) -> None:
        steps, samples, inputs = shape
        self.rows, self.shape, self.reach = rows, taps.shape, int(first.max()) + taps.shape[2]
        self.first = _padded(first).numpy()
        self.stride = steps + self.reach - 1
        self.size = min(samples, max(1, TILE // self.stride))
        self.blocks = -(-samples // self.size)
        counts = np.diff(rows.indptr).reshape(steps, samples).sum(0)
        starts = np.add.reduceat(counts, np.arange(0, samples, self.size))
        starts = np.cumsum(starts) - starts
        at = np.zeros((self.blocks, inputs + 1), np.int64)
        place, amount = np.empty(len(rows.indices), np.int64), np.empty(len(rows.indices), taps.detach().numpy().dtype)
        threads.run(runs.order, threads.count(self.blocks, len(rows.indices)), rows.indptr, rows.indices, rows.values, samples,
                    self.size, self.stride, starts, at, place, amount)
        self.arrays = at, place, amount

    def forward(self, taps: torch.Tensor, bias: Array, y: torch.Tensor) -> None:
        _, samples, outputs = y.shape
        groups, work = -(-outputs // runs.OUTPUTS), len(self.rows.indices) * taps[0].numel()
        if taps.shape[2] <= WIDTH * -(-self.reach // runs.SPAN):  # fewer vectors an event, though they are stored
            threads.run(runs.forward, threads.count(self.blocks * groups, work), *self.arrays, self.first,
                        _padded(taps).numpy(), bias, y.numpy(), self.size, self.stride)
            return
        indptr = np.zeros(len(self.rows.indptr), np.int64)
        columns, amount = np.empty(len(self.rows.indices), np.int32), np.empty(len(self.rows.indices), taps.numpy().dtype)
        runs.by_sample(self.rows.indptr, self.rows.indices, self.rows.values, samples, indptr, columns, amount)
        size = min(samples, max(1, SWEPT // self.stride))
        threads.run(runs.swept, threads.count(-(-samples // size) * groups, work), indptr, columns, amount, self.first,
                    _padded(taps).numpy(), bias, y.numpy(), size, self.reach)

    def gradient(self, g: torch.Tensor) -> torch.Tensor:
        """The gradient of the taps for that of y."""
        g_taps = take((len(self.first), *self.shape[1:]), g.dtype)
        threads.run(runs.gradient, threads.count(-(-len(self.first) // runs.OUTPUTS), g.numel()), *self.arrays, self.first,
                    g.numpy(), g_taps.numpy(), self.size, self.stride)
        return g_taps[:self.shape[0]]


def _padded(a: torch.Tensor) -> torch.Tensor:
    """With rows of zeros, so that they are a multiple of runs.ABREAST."""
    rest = -len(a) % runs.ABREAST
    return torch.cat([a, a.new_zeros(rest, *a.shape[1:])]) if rest else a.contiguous()
