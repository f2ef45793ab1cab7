"""The time loop of a neuron layer as one operation of autograd, forward and backward printed from the rule.

It saves its inputs and nothing else: backward recomputes the states, block after block of neurons, in memory that
stays in the cache. Results are the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.nn import threads
from snnsim.nn.pool import take
from snnsim.nn.printed import backward_kernel, forward_kernel
from snnsim.rule import Rule

Array = NDArray[Any]

FORWARD_BLOCK = 1 << 17  # neurons: their states stay in the second-level cache, and rows are long, as prefetching wants them
SCRATCH = 1 << 19  # bytes of recomputed states a thread, half of a usual second-level cache
QUICK = 8  # a neuron's step takes a fraction of a nanosecond, and to wake a thread some hundred thousand of them
KINDS = {torch.float32: np.float32, torch.float64: np.float64}
NAMES = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True, eq=False)
class Loop:
    """A rule with its surrogate, ready to run over time. slope(margin, width) is d spike / d margin; cost: what a penalty
    of the membrane adds up, or None (see `snnsim.nn.penalty`)."""

    rule: Rule
    slope: Callable[..., Any]
    width: float = 1.0
    detach_reset: bool = False
    cost: Callable[..., Any] | None = None

    def __call__(self, inputs: Sequence[torch.Tensor], states: Sequence[torch.Tensor] | None,
                 parameters: Sequence[torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """inputs [T, B, ...] each, states [B, ...] or None for zeros, parameters that broadcast to [...].

        Returns the spikes, or the last state of a rule that never fires, [T, B, ...], and the states after the last
        step, and with a cost its sum over time, float64 [B, ...]. The rest is of one dtype, float32 or float64. Errors:
        ValueError when an input is NaN or infinite.
        """
        if states is None:
            states = [_rest(inputs[0].shape[1:], inputs[0].dtype)] * len(self.rule.states)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, *states, *parameters)):
            out, *end = _Loop.apply(self, *inputs, *states, *parameters)  # type: ignore[no-untyped-call]
        else:
            values, arrays = self.values(parameters, inputs[0].shape[1:], inputs[0].dtype)
            out, *end = self.fire([contiguous(t) for t in (*inputs, *states)], values, arrays)
        return out, tuple(end)

    def fire(self, held: Sequence[torch.Tensor], values: Sequence[Any], arrays: frozenset[str]) -> list[torch.Tensor]:
        """The forward pass on contiguous inputs and states: out, the states after the last step, and the sums of the cost."""
        shape, dtype = held[0].shape, held[0].dtype
        out, end = take(shape, dtype), [take(shape[1:], dtype) for _ in self.rule.states]
        sums = [take(shape[1:], torch.float64)] if self.cost else []
        kernel = forward_kernel(self.rule, arrays, NAMES[dtype], self.cost)
        neurons = out.numel() // shape[0]
        n = threads.count(-(-neurons // 4096), out.numel() // QUICK)
        block = min(FORWARD_BLOCK, -(-neurons // (16 * n)) * 16)  # each thread begins at a line of the cache
        inputs, states, _ = self.split(held)
        bad = threads.run(kernel, n, block,
                          *[by_step(x) for x in (*inputs, out)], *[flat(v) for v in (*states, *end)], *values,
                          *map(flat, sums))
        if any(bad):
            raise ValueError("the input holds NaN or infinity")
        return [out, *end, *sums]

    def split(self, tensors: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Inputs, states and parameters out of one sequence."""
        i, s = len(self.rule.inputs), len(self.rule.inputs) + len(self.rule.states)
        return tensors[:i], tensors[i:s], tensors[s:]

    def values(self, parameters: Sequence[torch.Tensor], shape: Sequence[int],
               dtype: torch.dtype) -> tuple[list[Any], frozenset[str]]:
        """What the kernels take for each parameter, a scalar or an array of this shape, flat, and the names of those."""
        values: list[Any] = []
        arrays = []
        for name, p in zip(self.rule.parameters, parameters, strict=True):
            if p.numel() == 1:
                values.append(KINDS[dtype](p.item()))
            else:
                values.append(flat(take(shape, dtype).copy_(p.detach())))
                arrays.append(name)
        return values, frozenset(arrays)

    def blocks(self, steps: int, neurons: int, itemsize: int) -> int:
        """Neurons in a block of backward: what the cache holds, 64 to 2048 over the number of states."""
        states = len(self.rule.states)
        most = SCRATCH // (steps * states * itemsize) // 16 * 16
        return min(max(64, min(most, 2048 // states)), max(neurons, 1))


@lru_cache(maxsize=16)
def _rest(shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    """Zeros to start from, which nobody writes to: one for all layers of this shape."""
    with torch.inference_mode(False):  # a tensor of that mode could not be kept for a gradient later
        return torch.zeros(shape, dtype=dtype)


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: Loop, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs, states, parameters = loop.split(tensors)
        values, arrays = loop.values(parameters, inputs[0].shape[1:], inputs[0].dtype)
        held = [contiguous(t) for t in (*inputs, *states)]
        results = loop.fire(held, values, arrays)
        ctx.loop, ctx.values, ctx.arrays = loop, values, arrays
        ctx.parameters = [(p.shape, p.dtype) for p in parameters]
        ctx.save_for_backward(*held)
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: torch.Tensor | None, *g_end: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        loop: Loop = ctx.loop
        inputs, states, _ = loop.split(ctx.saved_tensors)
        needs = loop.split(ctx.needs_input_grad[1:])
        shape, dtype = inputs[0].shape, inputs[0].dtype
        steps, neurons = len(inputs[0]), inputs[0][0].numel()
        names = loop.rule.parameters
        g_end, g_cost = g_end[:len(states)], g_end[len(states):]
        cost = loop.cost if any(g is not None for g in g_cost) else None
        asked = [p for p, need in zip(names, needs[2], strict=True) if need]
        kernel = backward_kernel(loop.rule, loop.slope, loop.detach_reset, ctx.arrays, frozenset(asked),
                                 NAMES[dtype], cost)
        block = loop.blocks(steps, neurons, dtype.itemsize)
        n = threads.count(-(-neurons // block), inputs[0].numel() // QUICK)
        scratch = take((n, len(states), steps, block), dtype).numpy()
        g_inputs = [take(shape, dtype) for _ in inputs]
        g_start = [take(shape[1:], dtype) for _ in states]
        sums = {p: take((neurons,), torch.float64).numpy() for p in asked}
        seeds = [seed(g, shape[1:], dtype) for g in g_end]
        threads.run(kernel, n, block, scratch, *[by_step(x) for x in (*inputs, seed(g_out, shape, dtype), *g_inputs)],
                    *[flat(t) for t in (*states, *seeds, *g_start)],
                    *ctx.values, *sums.values(), *[flat(contiguous(g.to(dtype))) for g in g_cost if g is not None],
                    KINDS[dtype](loop.width))
        g_parameters = [summed(sums[p], shape[1:], *like) if p in sums else None
                        for p, like in zip(names, ctx.parameters, strict=True)]
        g_others = [g if need else None for g, need in zip((*g_inputs, *g_start), (*needs[0], *needs[1]), strict=True)]
        return (None, *g_others, *g_parameters)


def contiguous(t: torch.Tensor) -> torch.Tensor:
    return t if t.is_contiguous() else take(t.shape, t.dtype).copy_(t)


def seed(g: torch.Tensor | None, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return take(shape, dtype).zero_() if g is None else contiguous(g)


def flat(t: torch.Tensor) -> Array:
    """The memory of a contiguous tensor as [M]."""
    array: Array = (t.detach() if t.requires_grad else t).numpy().reshape(-1)
    return array


def by_step(t: torch.Tensor) -> Array:
    """The memory of a contiguous tensor [T, ...] as [T, M]."""
    array: Array = (t.detach() if t.requires_grad else t).numpy().reshape(len(t), -1)
    return array


def summed(sums: Array, shape: Sequence[int], own: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """The gradient of a parameter of shape `own` from those of its neurons: sums over all that it was broadcast over,
    by NumPy, whose order does not depend on the number of threads."""
    lead = len(shape) - len(own)
    axes = (*range(lead), *(lead + i for i, n in enumerate(own) if n == 1))
    total = np.asarray(np.sum(sums.reshape(tuple(shape)), axis=axes)).reshape(tuple(own))
    return torch.from_numpy(total).to(dtype)
