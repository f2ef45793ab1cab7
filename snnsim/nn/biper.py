"""Binary weights that are the sign of a sine: BiPer.

A periodic function lets a weight change its sign by a small step, wherever it is. How well sin(w0 w) stands for its sign
is the quantisation error, which w0 sets. Vargas et al., CVPR (2024).
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch.nn.utils import parametrize

from snnsim.rule import finite

Layer = TypeVar("Layer", bound=torch.nn.Module)


def biper(layer: Layer, *, frequency: float = 20.0, switch: float = 2.0 / 3.0) -> Layer:
    """The layer (Linear, Conv2d, or another one with a weight [outputs, ...]), from now on with the weights of `BiPer`.

        net = nn.Sequential(nn.biper(nn.Linear(64, 32)), nn.Neuron(LIF()), nn.Linear(32, 10), nn.Readout())

    `layer.weight` gives the weights that the layer computes with, and so does `lower`; what is trained is
    `layer.parametrizations.weight.original`. Errors: those of `BiPer`; ValueError for a layer without such a weight.
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, torch.nn.Parameter) or weight.ndim < 2:
        raise ValueError(f"biper takes a layer with a Parameter weight [outputs, ...], such as Linear or Conv2d, got "
                         f"{type(layer).__name__}")
    parametrize.register_parametrization(layer, "weight", BiPer(len(weight), frequency=frequency, switch=switch))
    return layer


class BiPer(torch.nn.Module):
    """alpha sign(sin(w0 w)) of a weight w [outputs, ...], alpha one number an output.

        first stage:   alpha sin(w0 w);   second stage:   alpha sign(sin(w0 w))
        in both        d / dw = alpha w0 cos(w0 w): the sign passes the gradient as it is

    In evaluation weights are binary in both stages, so that what is validated, kept and lowered is the net that is wanted.

    frequency: w0, 20 in the paper. switch: the share of the epochs after which `fit` goes to the second stage, two thirds in
    the paper; 0 is binary from the start. In a loop of your own call `anneal` before each epoch. The stage is a buffer, so that
    it is kept with the weights. `scale`: alpha, a Parameter, from 0 to 1 at the start. sign(0) is 1.

    Errors: ValueError that names the argument.
    """

    stage: torch.Tensor

    def __init__(self, outputs: int, *, frequency: float = 20.0, switch: float = 2.0 / 3.0) -> None:
        super().__init__()
        finite("frequency", frequency, above=0.0)
        finite("switch", switch, at_least=0.0)
        if switch > 1.0:
            raise ValueError(f"switch must be a share of the epochs, at most 1, got {switch!r}")
        self.frequency, self.switch = float(frequency), float(switch)
        self.scale = torch.nn.Parameter(torch.rand(outputs))
        self.register_buffer("stage", torch.tensor(1 if switch > 0.0 else 2))

    def anneal(self, epoch: int, epochs: int) -> None:
        """Choose the stage of this epoch, counted from 0."""
        self.stage.fill_(1 if epoch < self.switch * epochs else 2)

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        wave = torch.sin(self.frequency * w)
        if int(self.stage) == 2 or not self.training:
            wave = _Sign.apply(wave)  # type: ignore[no-untyped-call]
        return wave * self.scale.reshape(-1, *[1] * (w.ndim - 1))

    def extra_repr(self) -> str:
        return f"frequency={self.frequency:g}, switch={self.switch:g}, stage={int(self.stage)}"


class _Sign(torch.autograd.Function):
    """1 where x is at least 0, else -1; the gradient passes as it is."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g
