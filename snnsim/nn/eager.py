"""The plain definition of a neuron layer: the rule's own functions on tensors, step after step, with autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from snnsim.rule import Rule, call


class Spike(torch.autograd.Function):
    """1 where the margin is at least 0, else 0; its derivative is the surrogate's slope(margin, width)."""

    @staticmethod
    def forward(ctx: Any, margin: torch.Tensor, slope: Callable[..., Any], width: float) -> torch.Tensor:
        ctx.save_for_backward(margin)
        ctx.slope, ctx.width = slope, width
        return (margin >= 0).to(margin.dtype)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (margin,) = ctx.saved_tensors
        return g * ctx.slope(margin, ctx.width), None, None


def eager(rule: Rule, slope: Callable[..., Any], inputs: Sequence[torch.Tensor],
          states: Sequence[torch.Tensor] | None, parameters: Sequence[torch.Tensor], *, width: float = 1.0,
          detach_reset: bool = False) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """What `snnsim.nn.fused.Loop` computes, slowly, on any device: (out [T, B, ...], states [B, ...] after the last step).

    inputs [T, B, ...] each, states [B, ...] or None for zeros, parameters that broadcast to [...].
    """
    if states is None:
        states = [torch.zeros_like(inputs[0][0]) for _ in rule.states]
    out = []
    for x in zip(*[i.unbind(0) for i in inputs], strict=True):
        states = call(rule.charge, *states, *x, *parameters)
        if rule.margin is not None and rule.reset is not None:
            s = Spike.apply(rule.margin(*states, *parameters), slope, width)  # type: ignore[no-untyped-call]
            states = call(rule.reset, *states, s.detach() if detach_reset else s, *parameters)
            out.append(s)
        else:
            out.append(states[-1])
    return torch.stack(out), tuple(states)


def eager_recurrent(rule: Rule, slope: Callable[..., Any], inputs: Sequence[torch.Tensor], first: torch.Tensor,
                    states: Sequence[torch.Tensor], weight: torch.Tensor, parameters: Sequence[torch.Tensor], *,
                    receptor: str = "", width: float = 1.0, detach_reset: bool = False) -> tuple[
                        torch.Tensor, tuple[torch.Tensor, ...]]:
    """What `snnsim.nn.Recurrent` computes, slowly: spikes [T, B, N], then the states and spikes of the last step.

    inputs [T, B, N] each, first [B, N]: the spikes before the first step, states [B, N], weight [N, N] as [target, source].
    """
    at = rule.inputs.index(receptor or rule.inputs[0])
    out, s = [], first
    for x in zip(*[i.unbind(0) for i in inputs], strict=True):
        heard = [y + s @ weight.t() if i == at else y for i, y in enumerate(x)]
        stacked, states = eager(rule, slope, [y[None] for y in heard], states, parameters, width=width,
                                detach_reset=detach_reset)
        s = stacked[0]
        out.append(s)
    return torch.stack(out), (*states, s)
