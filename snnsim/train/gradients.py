"""The gradients of one batch: through all steps at once, in chunks that are computed again, or cut between chunks."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from snnsim.nn import Neuron, checkpointed, collected, penalties, pulse_cost, truncated
from snnsim.train.recipe import TrainRecipe


def penalised(net: torch.nn.Module) -> bool:
    """Whether a layer of the net has a penalty of its potentials."""
    return any(isinstance(m, Neuron) and m.penalty is not None for m in net.modules())


def backpropagate(net: torch.nn.Module, batch: Any, target: torch.Tensor, recipe: TrainRecipe,
                  weight: float = 1.0, penalty: float | None = None) -> tuple[float, torch.Tensor, float]:
    """Add the gradients of weight times the mean cross-entropy to the parameters' `.grad`; of that plus the Hoyer losses of
    layers that have one, the pulse cost of pulsed ones, and `penalty` times the total of the layers' penalties, where it is a
    number. target: labels [B], or the probability of each class [B, classes].

    Returns the mean cross-entropy, the mean of the net's output over the steps, [B, classes], and the penalties' total, 0
    where they are not asked for.
    """
    scores: list[torch.Tensor] = []

    def loss(out: torch.Tensor) -> torch.Tensor:
        scores.append(torch.as_tensor(out).flatten(2).mean(0))
        return cross_entropy(scores[0], target, label_smoothing=recipe.label_smoothing)

    with nullcontext() if penalty is None else penalties() as found:
        if recipe.truncate_steps:
            value = truncated(net, batch, recipe.truncate_steps, loss, weight, penalty)
        else:
            with collected() as losses:
                out, _ = checkpointed(net, batch, recipe.checkpoint_steps) if recipe.checkpoint_steps else net(batch)
            value = loss(out)
    total = torch.zeros(()) if found is None else found.total()
    if not recipe.truncate_steps:
        whole = value + sum(losses) if penalty is None else value + sum(losses) + penalty * total
        (whole * weight).backward()
    if (cost := pulse_cost(net)) is not None:
        (cost * weight).backward()
    return float(value.detach()), scores[0].detach(), float(total.detach())
