"""Layers that look at each step apart while they train, as layers of torch do in a loop over time."""

from __future__ import annotations

from typing import Any

import torch

from snnsim.nn import events, layers


class EachStep(torch.nn.Module):
    """Before the layer in the order of inheritance: in training, the layer sees one step [1, B, ...] after the other."""

    def forward(self, x: Any) -> Any:
        if not self.training:
            return super().forward(x)
        x = events.dense(x) if events.is_events(x) else x
        return torch.cat([super(EachStep, self).forward(step) for step in x.split(1)])


class BatchNorm1dEachStep(EachStep, layers.BatchNorm1d):
    """BatchNorm1d with the statistics of each step apart while it trains; the running ones move once a step."""


class BatchNorm2dEachStep(EachStep, layers.BatchNorm2d):
    """BatchNorm2d with the statistics of each step apart while it trains; the running ones move once a step."""


class DropoutEachStep(EachStep, layers.Dropout):
    """Dropout that draws anew at each step: neurons average its noise away."""
