"""The layers between neurons: [T, B, ...] in, [T, B, ...] out.

All take a batch of events, too: linear maps work on it as it is, others on the float32 tensor that it stands for.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from snnsim.nn import events, norm, processes, sparse
from snnsim.nn.pooling import pool2d


def folded(name: str, x: Any, dimensions: int, shape: str) -> torch.Tensor:
    """x as [T B, ...], after checking its dimensions; ValueError that names the layer."""
    if events.is_events(x):
        x = events.dense(x)
    if not isinstance(x, torch.Tensor):
        raise ValueError(f"{name} takes a tensor {shape}, got {type(x).__name__}")
    if x.ndim != dimensions:
        raise ValueError(f"{name} takes a tensor {shape}, got {tuple(x.shape)}")
    return x.flatten(0, 1)


def unfolded(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """y [T B, ...] as [T, B, ...], with T and B of x."""
    return y.view(*x.shape[:2], *y.shape[1:])


class Linear(torch.nn.Linear):
    """y = x W^T + b at every step: [T, B, inputs] -> [T, B, outputs]. Constructor: that of torch.nn.Linear.

    Where few of the inputs are not zero, as when neurons stand before it, it works on those alone.
    """

    def forward(self, x: Any) -> torch.Tensor:
        if events.is_events(x):
            return events.linear(x, self.weight, self.bias)
        flat = folded("Linear", x, 3, "[T, B, N]")
        if flat.shape[1] != self.in_features:
            raise ValueError(f"Linear takes {self.in_features} inputs, got {tuple(x.shape)}")
        return unfolded(sparse.linear(flat, self.weight, self.bias), x)


class Conv2d(torch.nn.Conv2d):
    """A convolution at every step: [T, B, C, H, W] -> [T, B, C', H', W']. Constructor: that of torch.nn.Conv2d."""

    def forward(self, x: Any) -> torch.Tensor:
        if events.is_events(x):
            if self.groups == 1 and set(self.dilation) == {1} and self.padding_mode == "zeros" and isinstance(
                    self.padding, tuple):
                return events.conv2d(x, self.weight, self.bias, (self.stride[0], self.stride[-1]), (
                    self.padding[0], self.padding[-1]))
            x = events.dense(x, self.weight.dtype)
        flat = folded("Conv2d", x, 5, "[T, B, C, H, W]")
        if flat.shape[1] != self.in_channels:
            raise ValueError(f"Conv2d takes {self.in_channels} channels, got {tuple(x.shape)}")
        # channels last, as neurons and events give it: equal or up to three times faster on the CPU
        return unfolded(super().forward(flat.contiguous(memory_format=torch.channels_last)), x)


class _Pool2d(torch.nn.Module):
    def __init__(self, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        self.kernel = _pair("kernel", kernel)
        self.stride = self.kernel if stride is None else _pair("stride", stride)

    def pooled(self, x: Any, divisor: int) -> torch.Tensor:
        name = type(self).__name__
        flat = folded(name, x, 5, "[T, B, C, H, W]")
        if flat.shape[2] < self.kernel[0] or flat.shape[3] < self.kernel[1]:
            raise ValueError(f"{name} of {self.kernel} does not fit {tuple(x.shape)}")
        return unfolded(pool2d(flat, self.kernel, self.stride, divisor), x)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}"


class SumPool2d(_Pool2d):
    """Sums over windows at every step: [T, B, C, H, W] -> [T, B, C, H', W']; windows that do not fit are left out.

    kernel: (height, width) or one number; stride: by default the kernel. ValueError unless they are at least 1.
    """

    def forward(self, x: Any) -> Any:
        return events.sum_pool2d(x, self.kernel, self.stride) if events.is_events(x) else self.pooled(x, 1)


class AvgPool2d(_Pool2d):
    """Means over windows at every step: [T, B, C, H, W] -> [T, B, C, H', W']; windows that do not fit are left out.

    kernel: (height, width) or one number; stride: by default the kernel. A Network sums instead and has the factor in the
    weights of the chain. ValueError unless they are at least 1.
    """

    def forward(self, x: Any) -> torch.Tensor:
        return self.pooled(x, self.kernel[0] * self.kernel[1])


class MaxPool2d(torch.nn.MaxPool2d):
    """The largest of each window at every step: [T, B, C, H, W] -> [T, B, C, H', W']. Constructor: that of
    torch.nn.MaxPool2d. It is not linear, so that a Network cannot hold it: pool by sums or means to export."""

    def forward(self, x: Any) -> torch.Tensor:
        return unfolded(super().forward(folded("MaxPool2d", x, 5, "[T, B, C, H, W]")), x)


class Flatten(torch.nn.Module):
    """[T, B, ...] -> [T, B, N], in C order (channel, row, column)."""

    def forward(self, x: Any) -> Any:
        if events.is_events(x):
            return events.flatten(x)
        if not isinstance(x, torch.Tensor) or x.ndim < 3:
            raise ValueError(f"Flatten takes a tensor [T, B, ...], got {_described(x)}")
        return x.flatten(2)


class BatchNorm1d(torch.nn.BatchNorm1d):
    """Batch norm of [T, B, N], with statistics over all steps and samples, so that one affine map holds for every step
    and folds into the layer before. Where torch.distributed has several processes, training on the CPU takes the samples of
    all of them, so all must call it. Constructor: that of torch.nn.BatchNorm1d. Zheng et al., AAAI (2021), without its
    scaling by the threshold."""

    def forward(self, x: Any) -> torch.Tensor:
        flat = folded("BatchNorm1d", x, 3, "[T, B, N]")
        return unfolded(norm.batch_norm(self, flat) if norm.applies(self, flat) else super().forward(flat), x)


class BatchNorm2d(torch.nn.BatchNorm2d):
    """Batch norm of [T, B, C, H, W], with statistics a channel over all steps, samples and pixels; see BatchNorm1d."""

    def forward(self, x: Any) -> torch.Tensor:
        flat = folded("BatchNorm2d", x, 5, "[T, B, C, H, W]")
        return unfolded(norm.batch_norm(self, flat) if norm.applies(self, flat) else super().forward(flat), x)


class Dropout(torch.nn.Module):
    """In training, zeroes a share of the values [T, B, ...] and divides the rest by 1 - share.

    A value is dropped at all steps of a sample or at none: otherwise a neuron would average the noise away.
    Errors: ValueError unless 0 <= share < 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= share < 1.0:
            raise ValueError(f"share must be at least 0 and below 1, got {share!r}")
        self.share = share

    def forward(self, x: Any) -> torch.Tensor:
        if events.is_events(x):
            x = events.dense(x)
        if not isinstance(x, torch.Tensor) or x.ndim < 3:
            raise ValueError(f"Dropout takes a tensor [T, B, ...], got {_described(x)}")
        if not self.training or self.share == 0.0:
            return x
        return x * processes.bernoulli(x[0], 1.0 - self.share).div_(1.0 - self.share)

    def extra_repr(self) -> str:
        return f"share={self.share}"


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not math.isfinite(v) or int(v) != v or v < 1 for v in pair):
        raise ValueError(f"{name} must be a whole number or two, at least 1, got {value!r}")
    return int(pair[0]), int(pair[1])


def _described(x: Any) -> str:
    return f"{tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
