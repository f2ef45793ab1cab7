"""The gradients of one batch: through all steps at once, in chunks that are computed again, or cut between chunks."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from snnsim.nn import checkpointed, collected, truncated
from snnsim.train.recipe import TrainRecipe


def backpropagate(net: torch.nn.Module, batch: Any, label: torch.Tensor, recipe: TrainRecipe,
                  weight: float = 1.0) -> tuple[float, torch.Tensor]:
    """Add the gradients of weight times the mean cross-entropy plus the Hoyer losses of layers that have one to the
    parameters' `.grad`.

    Returns the mean cross-entropy, and the mean of the net's output over the steps, [B, classes].
    """
    scores: list[torch.Tensor] = []

    def loss(out: torch.Tensor) -> torch.Tensor:
        scores.append(torch.as_tensor(out).flatten(2).mean(0))
        return cross_entropy(scores[0], label, label_smoothing=recipe.label_smoothing)

    if recipe.truncate_steps:
        value = truncated(net, batch, recipe.truncate_steps, loss, weight)
    else:
        with collected() as penalties:
            out, _ = checkpointed(net, batch, recipe.checkpoint_steps) if recipe.checkpoint_steps else net(batch)
        value = loss(out)
        ((value + sum(penalties)) * weight).backward()
    return float(value.detach()), scores[0].detach()
