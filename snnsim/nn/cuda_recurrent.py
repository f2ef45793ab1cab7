"""A recurrent layer of neurons on CUDA: a matrix product and one launch of the neurons' kernel at each step.

    h[t] = charge(v[t-1], x[t] + W s[t-1])

Backward is written out: from the last step to the first it recomputes the states of some sqrt(T) steps in one launch,
then takes at each step the adjoint of the neurons (the derived kernel, over one step) and carries it through the matrix,
g_s[t] = g_out[t] + g_x[t+1] W. The gradient of W is one product of all steps at the end. Saved are the neurons' inputs
x[t] + W s[t-1] in place of x, so that no product is done twice, the spikes, and the states at every sqrt(T)-th step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from snnsim.nn.cuda import STATE, Loop, backward, expanded, forward, started, summed
from snnsim.rule import Rule


def recurrent(rule: Rule, slope: Callable[..., Any], width: float, detach_reset: bool, x: torch.Tensor,
              s0: torch.Tensor | None, states: Sequence[torch.Tensor] | None, weight: torch.Tensor,
              parameters: Sequence[torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """x [T, B, N]; s0 [B, N], the spikes before the first step, or None for none; states [B, N] or None for zeros;
    weight [N, N], from source j to target i at [i, j]; parameters that broadcast to [N]. The weight and s0 take the type
    of x.

    Returns the spikes [T, B, N] and the states after the last step. Errors: ValueError for a rule that never fires or
    has several inputs, for shapes that do not fit, and as `snnsim.nn.cuda.Loop` for NaN and infinity.
    """
    if not rule.fires or len(rule.inputs) != 1:
        raise ValueError(f"a recurrent layer needs a rule that fires and has one input, {rule.name!r} "
                         + (f"has {rule.inputs}" if rule.fires else "never fires"))
    if x.ndim != 3 or weight.shape != (x.shape[2], x.shape[2]):
        raise ValueError(f"weight must be [N, N] beside x [T, B, N], got {tuple(weight.shape)} and {tuple(x.shape)}")
    if s0 is not None and s0.shape != x.shape[1:]:
        raise ValueError(f"s0 must be {tuple(x.shape[1:])} like a step of x, got {tuple(s0.shape)}")
    states = started(rule, x, states)
    s0 = x.new_zeros(x.shape[1:]) if s0 is None else s0.to(x.dtype)
    loop = Loop(rule, slope, width, detach_reset)
    grad = torch.is_grad_enabled() and any(t.requires_grad for t in (x, s0, weight, *states, *parameters))
    out, *end = _Recurrent.apply(loop, grad, x, s0, weight.to(x.dtype), *states,  # type: ignore[no-untyped-call]
                                 *parameters)
    return out, tuple(end)


class _Recurrent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: Loop, grad: bool, x: torch.Tensor, s0: torch.Tensor, weight: torch.Tensor,
                *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rule, n, steps = loop.rule, len(loop.rule.states), len(x)
        x, s0, weight = x.contiguous(), s0.contiguous(), weight.contiguous()
        states, parameters = [v.clone(memory_format=torch.contiguous_format) for v in tensors[:n]], tensors[n:]
        values, arrays = expanded(rule, parameters, x)
        every = math.isqrt(steps - 1) + 1
        kept = [v.new_empty((-(-steps // every), *v.shape)) for v in states] if grad else []
        out, current = torch.empty_like(x), torch.empty_like(x if grad else x[:1])
        for t in range(steps):
            if t % every == 0:
                for row, v in zip(kept, states, strict=False):
                    row[t // every].copy_(v)
            at = t if grad else 0  # without gradients one row of inputs is used again
            torch.addmm(x[t], out[t - 1] if t else s0, weight.t(), out=current[at])
            forward(rule, arrays, [current], out, states, states, (), values, 1, first=at, first_out=t, steps=1)
        ctx.loop, ctx.arrays, ctx.every, ctx.values = loop, arrays, every, len(values)
        ctx.parameters = [(p.shape, p.dtype) for p in parameters]
        ctx.save_for_backward(current, out, s0, weight, *kept, *values)
        ctx.set_materialize_grads(False)
        return (out, *states)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: torch.Tensor | None, *g_end: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        loop: Loop = ctx.loop
        rule, n = loop.rule, len(loop.rule.states)
        x, out, s0, weight, *others = ctx.saved_tensors
        kept, values = others[:n], others[n:]
        needs = ctx.needs_input_grad[2:]
        asked = [p for p, need in zip(rule.parameters, needs[3 + n:], strict=True) if need]
        sums = {p: torch.zeros_like(x[0], dtype=torch.float64) for p in asked}
        g_x = torch.zeros_like(x) if g_out is None else g_out.clone(memory_format=torch.contiguous_format)
        g_v = [torch.zeros_like(x[0], dtype=STATE[x.dtype]) if g is None else
               g.clone(memory_format=torch.contiguous_format) for g in g_end]
        again = [v.new_empty((ctx.every, *v.shape[1:])) for v in kept]
        spare, spikes = [torch.empty_like(v) for v in g_v], torch.empty_like(x[: ctx.every])
        for row in reversed(range(len(kept[0]))):
            begin, end = row * ctx.every, min((row + 1) * ctx.every, len(x))
            for v, of in zip(spare, kept, strict=True):
                v.copy_(of[row])
            forward(rule, ctx.arrays, [x], spikes, spare, spare, again, values, 1, first=begin, steps=end - begin)
            for t in reversed(range(begin, end)):
                if t + 1 < len(x):  # the gradient of the spikes takes the place of that of the input
                    g_x[t].addmm_(g_x[t + 1], weight)
                backward(loop, ctx.arrays, [x], g_x, [g_x], again, g_v, g_v, values, sums, 1, add=True, first=t,
                         kept_first=t - begin, steps=1)
        g_weight = None
        if needs[2]:
            g_weight = g_x[0].t() @ s0
            if len(x) > 1:
                g_weight.addmm_(g_x[1:].flatten(0, 1).t(), out[:-1].flatten(0, 1))
        g_s0 = g_x[0] @ weight if needs[1] else None
        g_parameters = [summed(sums[p], *own) if p in sums else None
                        for p, own in zip(rule.parameters, ctx.parameters, strict=True)]
        return (None, None, g_x, g_s0, g_weight, *g_v, *g_parameters)
