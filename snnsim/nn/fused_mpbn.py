"""The time loop of neurons with a batch norm of their membrane, in training, as one operation of autograd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.neurons.normed import Recursion
from snnsim.nn import threads
from snnsim.nn.fused import KINDS, NAMES, QUICK, SCRATCH, Loop, seed
from snnsim.nn.pool import take
from snnsim.nn.printed_mpbn import backward_kernel, forward_kernel

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Columns:
    """How the neurons of a layer stand as rows and columns: a column has one set of statistics, over its rows.

    per: what a column is, "channel" or "element". last: whether the channels are moved behind height and width, so that they
    are the columns of [T, B H W, C].
    """

    rows: int
    per: str
    last: bool

    @classmethod
    def of(cls, x: torch.Tensor, per: str, parameters: Sequence[torch.Tensor]) -> Columns | None:
        """None where the fused loop does not serve: not on the CPU, or a parameter that is not one number a column."""
        last = per == "channel" and x.ndim == 5
        fits = all(p.numel() == 1 or not last or p.shape == (x.shape[2], 1, 1) for p in parameters)
        if x.is_cuda or not fits:
            return None
        return cls(x[0].numel() // (x.shape[2] if per == "channel" else x[0, 0].numel()), per, last)

    def run(self, loop: Loop, recursion: Recursion, eps: float, x: torch.Tensor, start: torch.Tensor,
            parameters: Sequence[torch.Tensor], gamma: torch.Tensor, beta: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Spikes like x, the last membrane like start, and mean and var [T, columns] of each step.

        Errors: ValueError for one row, or when an input is NaN or infinite."""
        if self.rows < 2:
            raise too_few(self.per, self.rows)
        moved, first = (x.movedim(2, -1), start.movedim(1, -1)) if self.last else (x, start)
        own = (x.shape[2], 1, 1) if self.last else x.shape[2:]
        lined = [p if p.numel() == 1 else p.expand(own).reshape(-1) for p in parameters]
        out, end, mean, var = _Normed.apply(  # type: ignore[no-untyped-call]
            loop, recursion, eps, gamma, beta, moved.reshape(len(x), self.rows, -1), first.reshape(self.rows, -1), *lined)
        out, end = out.view(moved.shape), end.view(first.shape)
        return (out.movedim(-1, 2), end.movedim(-1, 1), mean, var) if self.last else (out, end, mean, var)


def too_few(per: str, count: float) -> ValueError:
    """What to say where a statistic would be that of one value."""
    return ValueError(f"MPBN with per={per!r} needs at least 2 values for each statistic in training, got {count:.0f}: give a "
                      "larger batch, or put the layer into evaluation mode")


class _Normed(torch.autograd.Function):
    """x, out: [T, R, C]; start, end: [R, C]; gamma, beta: [C]; parameters: a number or [C]; mean, var: [T, C]."""

    @staticmethod
    def forward(ctx: Any, loop: Loop, recursion: Recursion, eps: float, gamma: torch.Tensor, beta: torch.Tensor,
                x: torch.Tensor, start: torch.Tensor, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, start = x.contiguous(), start.contiguous()
        (steps, rows, columns), dtype = x.shape, x.dtype
        values, arrays = loop.values(parameters, (columns,), dtype)
        out, end = take(x.shape, dtype), take(start.shape, dtype)
        mean, var = take((steps, columns), torch.float64), take((steps, columns), torch.float64)
        block, n = _blocks(steps, rows, columns, dtype.itemsize)
        kernel = forward_kernel(loop.rule, recursion, arrays, NAMES[dtype])
        scale, shift = gamma.detach().double().numpy(), beta.detach().to(dtype).numpy()
        bad = threads.run(kernel, n, block, *map(_array, (take((n, rows, block), dtype), x, out, start, end, mean, var)),
                          scale, shift, eps, *values)
        if any(bad):
            raise ValueError("the input holds NaN or infinity")
        ctx.save_for_backward(x, start, mean, var, gamma, beta)
        ctx.loop, ctx.recursion, ctx.eps, ctx.values, ctx.arrays = loop, recursion, eps, values, arrays
        ctx.parameters = [(p.shape, p.dtype) for p in parameters]
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        return out, end, mean, var

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: torch.Tensor | None, g_end: torch.Tensor | None, *_: None) -> tuple[
            torch.Tensor | None, ...]:
        x, start, mean, var, gamma, beta = ctx.saved_tensors
        loop: Loop = ctx.loop
        (steps, rows, columns), dtype = x.shape, x.dtype
        names, needs = loop.rule.parameters, ctx.needs_input_grad[7:]
        asked = [p for p, need in zip(names, needs, strict=True) if need]
        kernel = backward_kernel(loop.rule, ctx.recursion, loop.slope, loop.detach_reset, ctx.arrays, frozenset(asked),
                                 NAMES[dtype])
        block, n = _blocks(steps, rows, columns, dtype.itemsize)
        kept, work = take((n, steps, rows, block), dtype), take((n, 2, rows, block), dtype)
        g_x, g_start = take(x.shape, dtype), take(start.shape, dtype)
        sums = {p: take((columns,), torch.float64) for p in ("gamma", "beta", *asked)}
        threads.run(kernel, n, block, *map(_array, (
            kept, work, x, seed(g_out, x.shape, dtype), g_x, start, seed(g_end, start.shape, dtype), g_start, mean, var)),
            gamma.detach().double().numpy(), beta.detach().to(dtype).numpy(), _array(sums["gamma"]), _array(sums["beta"]),
            ctx.eps, *ctx.values, *(_array(sums[p]) for p in asked), KINDS[dtype](loop.width))
        g_parameters = [_summed(sums[p], *like) if p in asked else None
                        for p, like in zip(names, ctx.parameters, strict=True)]
        return (None, None, None, sums["gamma"].to(gamma.dtype), sums["beta"].to(beta.dtype), g_x, g_start, *g_parameters)


def _blocks(steps: int, rows: int, columns: int, itemsize: int) -> tuple[int, int]:
    """Columns that a thread works on at a time, so many that a step's rows stay in the cache; and how many threads."""
    work = steps * rows * columns // QUICK
    most = max(16, SCRATCH // (rows * itemsize) // 16 * 16)
    n = threads.count(-(-columns // 8), work)
    block = min(most, max(1, -(-columns // n)))
    return block, min(n, -(-columns // block))


def _summed(sums: torch.Tensor, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """The gradient of a parameter from those of its columns, by NumPy: in an order that threads do not change."""
    total = sums if len(shape) == 1 and shape[0] == len(sums) else torch.from_numpy(np.asarray(np.sum(_array(sums))))
    return total.reshape(tuple(shape)).to(dtype)


def _array(t: torch.Tensor) -> Array:
    array: Array = t.detach().numpy()
    return array
