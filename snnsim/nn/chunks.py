"""Long recordings in little memory: a net goes through its steps in chunks, and its states join them.

What backpropagation keeps of a net grows with the number of steps. `checkpointed` keeps the states between chunks alone
and computes the rest again when it goes backwards, so gradients are the same and the time is that of one more forward
pass. `truncated` does not let gradients cross from a chunk into the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from snnsim.nn import events
from snnsim.nn.convert.each_step import DropoutEachStep
from snnsim.nn.hoyer import HoyerSpike
from snnsim.nn.mpbn import MPBN
from snnsim.nn.penalty import penalties


def checkpointed(net: torch.nn.Module, x: Any, steps: int, state: Any = None) -> tuple[torch.Tensor, Any]:
    """net(x, state), with what is kept for the gradient cut down to the states of every `steps` steps.

    net: forward(x, state) -> (out, state); x: a tensor [T, B, ...] or a batch of events. The gradients are those of
    net(x, state), up to the order of sums over chunks; penalties count once. Chen et al., arXiv:1604.06174 (2016).

    Errors: ValueError when steps is not a positive whole number, for an x of another kind, and, in training, for a batch
    norm, whose statistics go over all steps, for MPBN, which would count its steps twice, and for a dropout that draws for
    each step.
    """
    outputs = []
    for chunk in _chunks(net, x, steps):
        out, state = checkpoint(net, chunk, state, use_reentrant=False)
        outputs.append(out)
    return torch.cat(outputs), state


def truncated(net: torch.nn.Module, x: Any, steps: int, loss: Callable[[torch.Tensor], torch.Tensor],
              weight: float = 1.0, penalty: float | None = None) -> torch.Tensor:
    """loss(net(x)[0]) without a graph, after adding its gradients, cut every `steps` steps, to the parameters' `.grad`.

    The loss is that of all steps; what is left out are the paths of its gradient that go from one chunk into the one
    before. weight: multiplies the gradients. penalty: adds those of so many times the total of the layers' penalties, whose
    value, without a graph, goes to the `nn.penalties()` that is open, if one is. Williams and Peng, Neural Comput. 2 (1990),
    with the whole loss: the net runs twice, first for the loss, then chunk by chunk for the gradients. Errors: those of
    `checkpointed`; ValueError for a penalty where no layer has one.
    """
    outputs, states = [], [None]
    chunks = list(_chunks(net, x, steps))
    generator = torch.get_rng_state()
    with torch.no_grad():
        for chunk in _repeating(chunks, generator):
            out, state = net(chunk, states[-1])
            outputs.append(out)
            states.append(state)
    whole = torch.cat(outputs).requires_grad_()
    with torch.enable_grad():
        value = loss(whole)
    (g,) = torch.autograd.grad(value * weight, whole)
    for chunk, start, seed in zip(_repeating(chunks, generator), states, g.split([len(o) for o in outputs]), strict=False):
        with penalties() as found:  # those of the whole were counted above
            out, _ = net(chunk, start)
        results, seeds = [out], [seed]
        if penalty is not None:
            results.append(found.total())
            seeds.append(torch.full_like(results[1], penalty * weight * len(out) / len(whole)))
        torch.autograd.backward(results, seeds)
    return value.detach()


def _chunks(net: torch.nn.Module, x: Any, steps: int) -> Iterator[Any]:
    """Parts of x of `steps` steps; the last may be shorter. Each starts with the generator as the first did, so that
    dropout draws one mask for all of them, as it does where there are no chunks."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps of a chunk must be a positive whole number, got {steps!r}")
    for name, module in net.named_modules():
        if isinstance(module, (torch.nn.modules.batchnorm._BatchNorm, HoyerSpike)) and module.training:
            raise ValueError(f"layer {name} ({type(module).__name__}) takes its statistics over all steps, so a net that holds "
                             "it cannot be trained in chunks of steps: put it into evaluation mode, or leave it out")
        if isinstance(module, MPBN) and module.training:
            raise ValueError(f"layer {name} (MPBN) moves its running statistics at every step, and chunks of steps are "
                             "computed twice, so a net that holds it cannot be trained in chunks of steps: put it into "
                             "evaluation mode, or leave it out")
        if isinstance(module, (torch.nn.modules.dropout._DropoutNd, DropoutEachStep)) and module.training:
            raise ValueError(f"layer {name} ({type(module).__name__}) draws for each step, and every chunk would draw what the "
                             "first did, so a net that holds it cannot be trained in chunks of steps: use snnsim.nn.Dropout, "
                             "put it into evaluation mode, or leave it out")
    if not events.is_events(x) and not isinstance(x, torch.Tensor):
        raise ValueError(f"x must be a tensor [T, B, ...] or a batch of events, got {type(x).__name__}")
    if not x.shape[0]:
        raise ValueError(f"x must have at least one step, got {tuple(x.shape)}")
    total = int(x.shape[0])
    parts = [events.between(x, t, min(t + steps, total)) if events.is_events(x) else x[t: t + steps]
             for t in range(0, total, steps)]
    return _repeating(parts, torch.get_rng_state())


def _repeating(chunks: list[Any], generator: torch.Tensor) -> Iterator[Any]:
    for chunk in chunks:
        torch.set_rng_state(generator)
        yield chunk
