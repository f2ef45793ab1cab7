"""Sums over windows of [T, B, C, H, W] that lies channels last in memory, as convolutions and neurons give it."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from snnsim.kernel import load_printed
from snnsim.nn import threads
from snnsim.nn.compiling import uncompiled
from snnsim.nn.fused import NAMES
from snnsim.nn.pool import take

Array = NDArray[Any]
Pair = tuple[int, int]

# A run of C numbers is short. Printed with its length, and with the window, it becomes a few vector instructions; with
# those as arguments it is a loop that takes four times as long.
TEXT = '''
@njit(nogil=True, cache=True, error_model="numpy")
def pool(k, of, x, y):
    OH, OW = y.shape[1], y.shape[2]
    for n in range(k * len(y) // of, (k + 1) * len(y) // of):
        for i in range(OH):
            for j in range(OW):
                for c in range({C}):
                    total = x[n, i * {sy}, j * {sx}, c]
                    for w in range(1, {kh} * {kw}):
                        total += x[n, i * {sy} + w // {kw}, j * {sx} + w % {kw}, c]
                    y[n, i, j, c] = total{divided}


@njit(nogil=True, cache=True, error_model="numpy")
def spread(k, of, g, g_x):
    H, W, OH, OW = g_x.shape[1], g_x.shape[2], g.shape[1], g.shape[2]
    for n in range(k * len(g) // of, (k + 1) * len(g) // of):
        for i in range(H):
            for j in range(W):
                for c in range({C}):
                    g_x[n, i, j, c] = F(0.0)
                for a in range(max(0, (i - {kh}) // {sy} + 1), min(OH, i // {sy} + 1)):
                    for b in range(max(0, (j - {kw}) // {sx} + 1), min(OW, j // {sx} + 1)):
                        for c in range({C}):
                            g_x[n, i, j, c] += g[n, a, b, c]{divided}
'''


@uncompiled
def pool2d(x: torch.Tensor, kernel: Pair, stride: Pair, divisor: int) -> torch.Tensor:
    """The sum over each window, divided: [N, C, H, W] -> [N, C, H', W'], channels last where x is."""
    last = x.movedim(1, 3)
    if x.device.type != "cpu" or x.dtype not in NAMES or not last.is_contiguous():
        return functional.avg_pool2d(x, kernel, stride, divisor_override=divisor)
    pooled: torch.Tensor = _Pool.apply(last, kernel, stride, divisor)  # type: ignore[no-untyped-call]
    return pooled.movedim(3, 1)


class _Pool(torch.autograd.Function):
    """x [N, H, W, C] -> [N, H', W', C]."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: Pair, stride: Pair, divisor: int) -> torch.Tensor:
        n, h, w, c = x.shape
        divided = "" if divisor == 1 else f" / F({divisor})"
        ctx.kernels = load_printed(TEXT.format(C=c, kh=kernel[0], kw=kernel[1], sy=stride[0], sx=stride[1], divided=divided),
                                   NAMES[x.dtype])
        y = take((n, (h - kernel[0]) // stride[0] + 1, (w - kernel[1]) // stride[1] + 1, c), x.dtype)
        ctx.shape = x.shape
        threads.run(ctx.kernels.pool, threads.count(n, x.numel()), x.detach().numpy(), y.numpy())
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        g_x = take(ctx.shape, g.dtype)
        threads.run(ctx.kernels.spread, threads.count(len(g_x), g_x.numel()), g.contiguous().numpy(), g_x.numpy())
        return g_x, None, None, None
