"""A layer of neurons that hears its own spikes one step later, fused over time, with its own backpropagation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.nn import cuda, sparse, threads
from snnsim.nn.cuda_recurrent import recurrent
from snnsim.nn.eager import eager_recurrent
from snnsim.nn.fused import KINDS, NAMES, Loop, contiguous, seed, summed
from snnsim.nn.neuron import Neuron
from snnsim.nn.pool import take
from snnsim.nn.printed_recurrent import SAMPLES, backward_kernel, forward_kernel
from snnsim.rule import Neuron as Spec
from snnsim.rule import one_of

Array = NDArray[Any]


class Recurrent(Neuron):
    """Neurons with recurrent synapses: forward(x, state=None) -> (spikes [T, B, N], state).

        h[t] = charge(v[t-1], x[t] + W s[t-1] + b);  s and v as in `Neuron`

    features: N. weight: a Parameter [N, N], [target, source], drawn from +-1 / sqrt(fan-in) at the start. mask: None, or
    bool [N, N], [target, source]: only these synapses exist; the others stay zero and cost nothing. receptor: the input
    of the rule that W s[t-1] is added to; by default its first. bias: whether b, a Parameter [N] that starts at 0, is added
    there, too, at every step. state: a tuple of tensors [B, N], the rule's states and then the spikes of the last step; None
    starts at rest and silent. neuron and options: those of `Neuron`.

    On CUDA a step is a matrix product and one launch, and the rule must have one input.

    Errors: those of `Neuron`; ValueError for a rule that never fires, for features or a mask that do not fit, and for
    spikes in a state that are not 0 or 1.
    """

    mask: torch.Tensor | None
    bias: torch.nn.Parameter | None

    def __init__(self, neuron: Spec, features: int, *, mask: Any = None, receptor: str | None = None, bias: bool = False,
                 **options: Any) -> None:
        super().__init__(neuron, **options)
        if not self.rule.fires:
            raise ValueError(f"Recurrent needs neurons that fire, rule {self.rule.name!r} never does")
        if isinstance(features, bool) or not isinstance(features, int) or features < 1:
            raise ValueError(f"features must be a positive whole number, got {features!r}")
        self.receptor = self.rule.inputs[0] if receptor is None else receptor
        one_of("receptor", self.receptor, self.rule.inputs)
        weight = torch.empty(features, features).uniform_(-1.0, 1.0)
        if mask is not None:
            mask = torch.as_tensor(mask).clone()  # loading a state writes into it, and two layers may be given one
            if mask.dtype != torch.bool or mask.shape != weight.shape:
                raise ValueError(f"mask must be bool [{features}, {features}], [target, source], got {mask.dtype} "
                                 f"{list(mask.shape)}")
        fan_in = float(features) if mask is None else mask.sum(1, keepdim=True).clamp(min=1)
        weight = weight / fan_in ** 0.5 if mask is None else weight * mask / fan_in.sqrt()  # type: ignore[union-attr]
        self.weight = torch.nn.Parameter(weight)
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(features)) if bias else None)
        self.register_buffer("mask", mask)

    @property
    def features(self) -> int:
        return len(self.weight)

    def started(self, x: Any, state: Sequence[torch.Tensor] | None) -> tuple[
            tuple[torch.Tensor, ...], Sequence[torch.Tensor] | None]:
        inputs = self.tensors(x)
        if inputs[0].ndim != 3 or inputs[0].shape[2] != self.features:
            raise ValueError(f"x must be [T, B, {self.features}], got {tuple(inputs[0].shape)}")
        if self.bias is not None:
            at = self.rule.inputs.index(self.receptor)
            inputs = (*inputs[:at], inputs[at] + self.bias.to(inputs[at].dtype), *inputs[at + 1:])
        n, like = len(self.rule.states), inputs[0][0]
        self.check_state(state, inputs[0], (*self.rule.states, "s"))
        if state is None:
            rest = self.neuron.initial
            state = [torch.full_like(like, rest.get(name, 0.0), dtype=cuda.STATE[like.dtype])
                     for name in (*self.rule.states, "s")]
        elif not like.is_cuda and not bool(((state[n] == 0) | (state[n] == 1)).all()):
            raise ValueError("the spikes in the state, its last tensor, must be 0 or 1")
        return inputs, state

    def run(self, inputs: tuple[torch.Tensor, ...], state: Any, parameters: list[torch.Tensor], cost: Any = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        n, like = len(self.rule.states), inputs[0][0]
        if like.is_cuda and cost is not None:
            return self.eager(inputs, state, parameters, cost=cost)
        if like.is_cuda:
            weight = self.weight if self.mask is None else self.weight * self.mask
            out, end = recurrent(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset, inputs[0], state[n],
                                 state[:n], weight, parameters)
            return out, (*end, out[-1].to(cuda.STATE[like.dtype]))
        recurrence = Recurrence(Loop(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset, cost),
                                self.receptor, self.mask)
        return recurrence(inputs, state[n], state[:n], self.weight.to(like.dtype), parameters)

    def eager(self, inputs: Sequence[torch.Tensor], state: Any, parameters: Sequence[torch.Tensor], **options: Any) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        n, wide = len(self.rule.states), [i.to(cuda.STATE[i.dtype]) for i in inputs]
        weight = self.weight if self.mask is None else self.weight * self.mask
        out, after = eager_recurrent(self.rule, self.surrogate.slope, wide, state[n], state[:n], weight.to(wide[0].dtype),
                                     parameters, receptor=self.receptor, width=self.surrogate.width,
                                     detach_reset=self.detach_reset, **options)
        return out.to(inputs[0].dtype), after

    def extra_repr(self) -> str:
        masked = "" if self.mask is None else f", {int(self.mask.sum())} synapses"
        return f"{super().extra_repr()}, {self.features}{masked}"


class Recurrence:
    """The loop of a rule whose spikes come back through `weight`, ready to run over time; or, given `means`, the group of
    each neuron and 1 / size of each group, as means over groups, where the weight is not used."""

    def __init__(self, loop: Loop, receptor: str, mask: torch.Tensor | None = None,
                 means: tuple[Array, Array] | None = None) -> None:
        self.loop, self.receptor, self.mask, self.means = loop, receptor, mask, means
        self.form = "grouped" if means is not None else "dense" if mask is None else "masked"

    def __call__(self, inputs: Sequence[torch.Tensor], first: torch.Tensor, states: Sequence[torch.Tensor],
                 weight: torch.Tensor, parameters: Sequence[torch.Tensor]) -> tuple[
                     torch.Tensor, tuple[torch.Tensor, ...]]:
        """inputs [T, B, N] each, first [B, N]: the spikes before the first step, states [B, N], weight [N, N],
        parameters that broadcast to [N]. Returns the spikes [T, B, N], and the states and spikes of the last step, and with
        a cost its sum over time, float64 [B, N]."""
        out, *end = _Recurrence.apply(self, weight, first, *inputs, *states, *parameters)  # type: ignore[no-untyped-call]
        return out, tuple(end)

    def synapses(self, weight: torch.Tensor) -> tuple[Array, ...]:
        """W as the kernels take it: by source and by target, or a list of targets for each source, or the groups."""
        if self.means is not None:
            return self.means
        by_source = weight.detach().t().contiguous().numpy()
        if self.mask is None:
            return by_source, weight.detach().contiguous().numpy()
        joined = self.mask.t().contiguous().numpy()
        offsets = np.concatenate([[0], np.cumsum(joined.sum(1))])
        return offsets, np.nonzero(joined)[1].astype(np.int32), by_source[joined]


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of: Recurrence, weight: torch.Tensor, first: torch.Tensor,
                *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loop = of.loop
        inputs, states, parameters = loop.split([contiguous(t) for t in tensors])
        shape, dtype, first = inputs[0].shape, inputs[0].dtype, contiguous(first)
        out, last, end = take(shape, dtype), take(shape[1:], dtype), [take(shape[1:], dtype) for _ in states]
        values, arrays = loop.values(parameters, shape[2:], dtype)
        sums = [take(shape[1:], torch.float64)] if loop.cost else []
        ctx.synapses = of.synapses(weight)
        kernel = forward_kernel(loop.rule, of.receptor, of.form, arrays, NAMES[dtype], loop.cost)
        bad = threads.run(kernel, _threads(shape[1], shape), *map(_array, (*inputs, out, first, *states, *end)), ctx.synapses,
                          *values, *map(_array, sums))
        if any(bad):
            raise ValueError("the input, or what the recurrent synapses add to it, holds NaN or infinity")
        ctx.of, ctx.values, ctx.arrays = of, values, arrays
        ctx.parameters = [(p.shape, p.dtype) for p in parameters]
        # the synapses may be the weight's own memory: saved, a change of it before backward is an error and no wrong gradient
        ctx.save_for_backward(weight, out, first, *inputs, *states)
        ctx.set_materialize_grads(False)
        return (out, *end, last.copy_(out[-1]), *sums)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: torch.Tensor | None, *g_end: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        of: Recurrence = ctx.of
        loop, (_, out, first, *tensors) = of.loop, ctx.saved_tensors
        inputs, states, _ = loop.split(tensors)
        needs = loop.split(ctx.needs_input_grad[3:])
        shape, dtype = out.shape, out.dtype
        asked = [p for p, need in zip(loop.rule.parameters, needs[2], strict=True) if need]
        g_end, g_cost = g_end[:len(states) + 1], [g.to(dtype).contiguous() for g in g_end[len(states) + 1:] if g is not None]
        kernel = backward_kernel(loop.rule, of.receptor, loop.slope, loop.detach_reset, of.form, ctx.arrays,
                                 frozenset(asked), NAMES[dtype], loop.cost if g_cost else None)
        n = _threads(-(-shape[1] // SAMPLES), shape)
        scratch = take((n, len(states), SAMPLES, shape[0], shape[2]), dtype)
        g_inputs, g_start = [take(shape, dtype) for _ in inputs], [take(shape[1:], dtype) for _ in states]
        g_first, sums = take(shape[1:], dtype), {p: take(shape[1:], torch.float64) for p in asked}
        *g_states, g_last = [seed(g, shape[1:], dtype) for g in g_end]
        threads.run(kernel, n, *map(_array, (scratch, *inputs, out, first, seed(g_out, shape, dtype), g_last, *g_inputs,
                                           g_first, *states, *g_states, *g_start)), ctx.synapses, *ctx.values,
                    *map(_array, sums.values()), *map(_array, g_cost), KINDS[dtype](loop.width))
        g_weight = None
        if ctx.needs_input_grad[1]:
            g_weight = _weight_gradient(of, g_inputs[loop.rule.inputs.index(of.receptor)], out, first)
        g_parameters = [summed(_array(sums[p]), shape[1:], *like) if p in sums else None
                        for p, like in zip(loop.rule.parameters, ctx.parameters, strict=True)]
        g_others = [g if need else None for g, need in zip((*g_inputs, *g_start), (*needs[0], *needs[1]), strict=True)]
        return (None, g_weight, g_first if ctx.needs_input_grad[2] else None,
                *g_others, *g_parameters)


def _weight_gradient(of: Recurrence, g: torch.Tensor, out: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The sum over steps and samples of the outer product of g[t] and s[t - 1], from the spikes alone where they are few."""
    total = torch.mm(g[0].t(), first)
    if len(g) > 1:
        before, after = out[:-1].flatten(0, 1), g[1:].flatten(0, 1)
        rows = sparse.found(before)
        total += torch.mm(after.t(), before) if rows is None else sparse.gradient(rows, after, g.shape[2])
    return total if of.mask is None else total * of.mask


def _array(t: torch.Tensor) -> Array:
    array: Array = t.detach().numpy()
    return array


def _threads(parts: int, shape: Sequence[int]) -> int:
    return threads.count(parts, math.prod(shape) * max(1, shape[2] // 64))
