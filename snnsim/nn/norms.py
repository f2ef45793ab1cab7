"""The batch norms of the field, [T, B, ...] in and out: tdBN, BNTT and TEBN. `BatchNorm1d` and `BatchNorm2d` are in `layers`.

    y[t] = gamma (alpha theta) (x[t] - mean) / sqrt(var + eps) + beta              tdBN: statistics over all steps together
    y[t] = gamma[t] (x[t] - mean[t]) / sqrt(var[t] + eps)                          BNTT: statistics and gamma of each step
    y[t] = p[t] (gamma (x[t] - mean) / sqrt(var + eps) + beta)                     TEBN: joint statistics, a factor a step

Statistics are a channel's, over all samples and pixels, and over all processes of torch.distributed. The last two belong to
a fixed number of steps; a Network, which is the same at every step, holds them only where their steps do not differ.
"""

from __future__ import annotations

from typing import Any

import torch

from snnsim.nn import norm
from snnsim.nn.layers import BatchNorm1d, BatchNorm2d, folded, unfolded
from snnsim.rule import finite


class _Scaled(torch.nn.modules.batchnorm._BatchNorm):
    """What tdBN adds to a batch norm of all steps: its weight counts alpha theta times."""

    def __init__(self, features: int, theta: float = 1.0, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(features, **options)
        self.theta, self.alpha = float(finite("theta", theta, above=0.0)), float(finite("alpha", alpha, above=0.0))
        if self.weight is None:
            raise ValueError("affine must be left True: the scaling of tdBN is that of a weight which learns")

    @property
    def gamma(self) -> torch.Tensor:
        """What the normed input is multiplied by."""
        return self.weight * (self.alpha * self.theta)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, theta={self.theta:g}, alpha={self.alpha:g}"


class TdBN1d(_Scaled, BatchNorm1d):
    """Threshold-dependent batch norm of [T, B, N]: that of all steps together, with gamma alpha theta for gamma.

    theta: the threshold of the neurons behind it, alpha: a factor that the paper takes as 1, and as 1 / sqrt(2) where two
    branches are added. options: those of torch.nn.BatchNorm1d. Zheng et al., AAAI (2021). ValueError that names the argument.
    """

    def forward(self, x: Any) -> torch.Tensor:
        return unfolded(_normed(self, folded("TdBN1d", x, 3, "[T, B, N]"), self.gamma), x)


class TdBN2d(_Scaled, BatchNorm2d):
    """Threshold-dependent batch norm of [T, B, C, H, W]; see TdBN1d."""

    def forward(self, x: Any) -> torch.Tensor:
        return unfolded(_normed(self, folded("TdBN2d", x, 5, "[T, B, C, H, W]"), self.gamma), x)


class _EachStep(torch.nn.modules.batchnorm._BatchNorm):
    """What BNTT makes of a batch norm: one of steps x features channels, without beta."""

    def __init__(self, features: int, steps: int, **options: Any) -> None:
        self.features, self.steps = _positive("features", features), _positive("steps", steps)
        super().__init__(self.features * self.steps, **options)
        self.register_parameter("bias", None)

    def each(self, name: str, x: Any, dimensions: int, shape: str) -> torch.Tensor:
        flat = folded(name, x, dimensions, shape)
        _check_steps(name, x, self.steps)
        if flat.shape[1] != self.features:
            raise ValueError(f"{name} of {self.features} features got {tuple(x.shape)}")
        # the steps become channels: one norm of all of them has the statistics of each
        beside = unfolded(flat, x).movedim(0, 1)
        y = _normed(self, beside.flatten(1, 2), self.weight)
        return y.view(beside.shape).movedim(1, 0)

    def extra_repr(self) -> str:
        return f"{self.features}, steps={self.steps}, eps={self.eps}, momentum={self.momentum}"


class BNTT1d(_EachStep, torch.nn.BatchNorm1d):
    """Batch norm through time of [T, B, N]: statistics, running statistics and gamma of each step, and no beta.

    steps: T, which every input must have. options: those of torch.nn.BatchNorm1d. `weight`, `running_mean` and
    `running_var` are [T N], the steps one after the other. Kim and Panda, Front. Neurosci. 15 (2021).
    Errors: ValueError that names the argument, for an input of other steps, and in training for a batch of 1.
    """

    def forward(self, x: Any) -> torch.Tensor:
        return self.each("BNTT1d", x, 3, "[T, B, N]")


class BNTT2d(_EachStep, torch.nn.BatchNorm2d):
    """Batch norm through time of [T, B, C, H, W]; see BNTT1d."""

    def forward(self, x: Any) -> torch.Tensor:
        return self.each("BNTT2d", x, 5, "[T, B, C, H, W]")


class _Effective(torch.nn.modules.batchnorm._BatchNorm):
    """What TEBN adds to a batch norm of all steps: a Parameter `factor` [T] that starts at 1."""

    def __init__(self, features: int, steps: int, **options: Any) -> None:
        super().__init__(features, **options)
        self.steps = _positive("steps", steps)
        self.factor = torch.nn.Parameter(torch.ones(self.steps))

    def effective(self, name: str, x: Any, dimensions: int, shape: str) -> torch.Tensor:
        flat = folded(name, x, dimensions, shape)
        _check_steps(name, x, self.steps)
        y = unfolded(_normed(self, flat, self.weight), x)
        return y * self.factor.to(y.dtype).view(-1, *[1] * (y.ndim - 1))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, steps={self.steps}"


class TEBN1d(_Effective, BatchNorm1d):
    """Temporal effective batch norm of [T, B, N]: that of all steps together, and a factor for each step, which learns.

    steps: T, which every input must have. options: those of torch.nn.BatchNorm1d. Duan et al., NeurIPS (2022), whose paper
    weighs gamma and beta of a step by one number; so does this. Errors: ValueError that names the argument, and for an
    input of other steps.
    """

    def forward(self, x: Any) -> torch.Tensor:
        return self.effective("TEBN1d", x, 3, "[T, B, N]")


class TEBN2d(_Effective, BatchNorm2d):
    """Temporal effective batch norm of [T, B, C, H, W]; see TEBN1d."""

    def forward(self, x: Any) -> torch.Tensor:
        return self.effective("TEBN2d", x, 5, "[T, B, C, H, W]")


def _normed(module: Any, x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """The module's batch norm of x [N, C, ...], with this weight in place of its own."""
    if norm.applies(module, x):
        return norm.batch_norm(module, x, weight)
    if module.training and module.track_running_stats:
        module.num_batches_tracked.add_(1)
    step = 1.0 / float(module.num_batches_tracked) if module.training and module.momentum is None else module.momentum or 0.0
    of_batch = module.training or module.running_mean is None
    return torch.nn.functional.batch_norm(x, module.running_mean, module.running_var, weight, module.bias, of_batch, step,
                                          module.eps)


def _check_steps(name: str, x: Any, steps: int) -> None:
    if x.shape[0] != steps:
        raise ValueError(f"{name} was made for {steps} steps, and the input has {x.shape[0]}: give steps={steps} to fit, or "
                         "make the layer for as many")


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    return value
