"""The plain definition of a neuron layer: the rule's own functions on tensors, step after step, with autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from snnsim.rule import Rule, call
from snnsim.rule.purity import arguments


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
          detach_reset: bool = False, cost: Callable[..., Any] | None = None,
          see: Callable[[tuple[torch.Tensor, ...], torch.Tensor], object] | None = None) -> tuple[
              torch.Tensor, tuple[torch.Tensor, ...]]:
    """What `snnsim.nn.fused.Loop` computes, slowly, on any device: (out [T, B, ...], states [B, ...] after the last step).

    inputs [T, B, ...] each, states [B, ...] or None for zeros, parameters that broadcast to [...]. cost: what a penalty adds
    up, of states before the decision, the spike as a constant and parameters, by name; its sum over time, float64 [B, ...],
    stands behind the states. see: called at each step with the states before the decision, and the spike.
    """
    if states is None:
        states = [torch.zeros_like(inputs[0][0]) for _ in rule.states]
    out = []
    total = torch.zeros(inputs[0].shape[1:], dtype=torch.float64, device=inputs[0].device)
    for x in zip(*[i.unbind(0) for i in inputs], strict=True):
        states = call(rule.charge, *states, *x, *parameters)
        if rule.margin is not None and rule.reset is not None:
            s = Spike.apply(rule.margin(*states, *parameters), slope, width)  # type: ignore[no-untyped-call]
            if see is not None:
                see(states, s)
            if cost is not None:
                seen = {"s": s.detach(), **dict(zip((*rule.states, *rule.parameters), (*states, *parameters), strict=True))}
                total = total + cost(*[seen[name] for name in arguments(cost, "penalty")])
            states = call(rule.reset, *states, s.detach() if detach_reset else s, *parameters)
            out.append(s)
        else:
            out.append(states[-1])
    return torch.stack(out), tuple(states) if cost is None else (*states, total)


def eager_recurrent(rule: Rule, slope: Callable[..., Any], inputs: Sequence[torch.Tensor], first: torch.Tensor,
                    states: Sequence[torch.Tensor], weight: torch.Tensor, parameters: Sequence[torch.Tensor], *,
                    receptor: str = "", width: float = 1.0, detach_reset: bool = False, **options: Any) -> tuple[
                        torch.Tensor, tuple[torch.Tensor, ...]]:
    """What `snnsim.nn.Recurrent` computes, slowly: spikes [T, B, N], then the states and spikes of the last step.

    inputs [T, B, N] each, first [B, N]: the spikes before the first step, states [B, N], weight [N, N] as [target, source].
    options: cost and see of `eager`.
    """
    at = rule.inputs.index(receptor or rule.inputs[0])
    out, s = [], first
    totals: list[torch.Tensor] = []
    for x in zip(*[i.unbind(0) for i in inputs], strict=True):
        heard = [y + s @ weight.t() if i == at else y for i, y in enumerate(x)]
        stacked, after = eager(rule, slope, [y[None] for y in heard], states, parameters, width=width,
                               detach_reset=detach_reset, **options)
        s, states = stacked[0], after[:len(rule.states)]
        totals += after[len(rule.states):]
        out.append(s)
    return torch.stack(out), (*states, s, torch.stack(totals).sum(0)) if totals else (*states, s)
