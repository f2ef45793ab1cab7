"""Layers that train as pulse logic will count: whole weights of few levels, whole thresholds, counters with a leak by shift.

What such a layer computes in training is what `hardware.sfq` runs, bit for bit; rounding passes gradients as they are (the
straight-through estimator of Bengio, Leonard, Courville, arXiv 1308.3432, 2013). Costs of weights and thresholds stand for the
junctions that they become. That this suits pulse logic, and these costs, are our own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils import parametrize

from snnsim.neurons import Counter
from snnsim.neurons.loihi import whole_each
from snnsim.nn.layers import Linear
from snnsim.nn.neuron import Neuron
from snnsim.nn.whole import rounded
from snnsim.rule import finite

LARGEST_LEVEL = 127


class Levels(torch.nn.Module):
    """[clip(gain w, -levels, levels)] of a weight w, for torch.nn.utils.parametrize; its derivative is taken as gain,
    beyond the ends, too, so that a weight comes back from there."""

    def __init__(self, levels: int, gain: float) -> None:
        super().__init__()
        self.levels, self.gain = levels, gain

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return (w.detach() * self.gain).round().clamp(-self.levels, self.levels) + self.gain * (w - w.detach())

    def extra_repr(self) -> str:
        return f"levels={self.levels}, gain={self.gain:g}"


class PulsedLinear(Linear):
    """y = W x at every step with whole weights in -levels .. levels: [T, B, inputs] -> [T, B, outputs]. No bias.

    levels: 1 (ternary) .. 127. cost: of one pulse of a weight, see `pulse_cost`. What is trained is
    `parametrizations.weight.original`, which starts evenly between both ends, and which `after_step` keeps there, as `fit` does
    after each step of the optimiser. Errors: ValueError that names the argument.
    """

    def __init__(self, inputs: int, outputs: int, *, levels: int = 1, cost: float = 0.0) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.levels = int(whole_each("levels", levels, 1, LARGEST_LEVEL))
        self.cost = float(finite("cost", cost, at_least=0.0))
        parametrize.register_parametrization(self, "weight", Levels(self.levels, self.levels * math.sqrt(inputs)))

    def after_step(self) -> None:
        with torch.no_grad():
            end = 1.0 / math.sqrt(self.in_features)
            self.get_parameter("parametrizations.weight.original").clamp_(-end, end)

    def pulse_cost(self) -> torch.Tensor:
        return self.cost * self.weight.abs().sum()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, levels={self.levels}, cost={self.cost:g}"


class PulsedNeuron(Neuron):
    """Counters whose thresholds are trained, and whole: theta = [clip(theta_0 exp(raw_theta), 1, 2**(bits - 1) - 1)].

    neuron: a Counter. shape: of raw_theta, () for one threshold, (N,) for one a neuron. cost: of one of a threshold, see
    `pulse_cost`. options: those of Neuron, but learn. Errors: those of Neuron; TypeError for another neuron.
    """

    def __init__(self, neuron: Counter, *, shape: Sequence[int] = (), cost: float = 0.0, **options: Any) -> None:
        if not isinstance(neuron, Counter):
            raise TypeError(f"PulsedNeuron takes a Counter, got {neuron!r}")
        self.cost, self.top = float(finite("cost", cost, at_least=0.0)), neuron.top
        super().__init__(neuron, learn={"theta": "positive"}, shape=shape, **options)

    def step_parameters(self) -> dict[str, torch.Tensor]:
        values = super().step_parameters()
        return {**values, "theta": rounded(values["theta"].clamp(1.0, self.top))}

    def pulse_cost(self) -> torch.Tensor:
        return self.cost * self.step_parameters()["theta"].sum()


class Counts(torch.nn.Module):
    """Spikes as a loss reads them: gain times the spikes, at every step, so that their mean over a window is large enough to
    tell classes apart by. A Network has no use for it: the largest count wins anyway. ValueError unless gain is above 0."""

    def __init__(self, gain: float = 16.0) -> None:
        super().__init__()
        self.gain = float(finite("gain", gain, above=0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gain

    def extra_repr(self) -> str:
        return f"gain={self.gain:g}"


def pulse_cost(net: torch.nn.Module) -> torch.Tensor | None:
    """What the net's weights and thresholds cost, to be added to a loss, as `fit` does: the sum over its pulsed layers of cost
    sum |W|, and of cost sum theta over the thresholds that are trained; None where no layer has a cost."""
    costs = [m.pulse_cost() for m in net.modules() if isinstance(m, (PulsedLinear, PulsedNeuron)) and m.cost]
    return torch.stack(costs).sum() if costs else None
