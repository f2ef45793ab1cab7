"""Layers in one of several processes that train one net together, each on its part of every batch (torch.distributed).

Two layers would not do there what they do in one process: batch norm, whose statistics are those of the whole batch,
and dropout, whose masks are drawn for the whole batch, of which each process keeps its own samples'.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from snnsim.nn.compiling import uncompiled


@dataclass(frozen=True)
class Part:
    """One process's samples of a batch of `whole`: from `first` to before `last`, maybe none.

    A process without a sample computes the batch's last one with weight 0, as it must take part in every exchange.
    """

    first: int
    last: int
    whole: int

    @property
    def samples(self) -> slice:
        """Which samples the process computes."""
        return slice(self.first, self.last) if self.last > self.first else slice(self.whole - 1, self.whole)

    @property
    def weight(self) -> float:
        """The share of the batch's mean that is the mean over this part."""
        return (self.last - self.first) / self.whole


_part: Part | None = None


@contextmanager
def computing(part: Part) -> Iterator[None]:
    """Tell the layers, while open, that the batch that they see is this part of one."""
    global _part
    before, _part = _part, part
    try:
        yield
    finally:
        _part = before


def place() -> tuple[int, int]:
    """This process's number from 0, and how many there are: (0, 1) unless a process group is initialised."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def add_up(values: torch.Tensor) -> torch.Tensor:
    """Replace the values by their sum over all processes, the same bits in each; all must call it.

    Errors: ConnectionError when another process has ended.
    """
    if place()[1] > 1:
        try:
            dist.all_reduce(values)
        except RuntimeError as e:
            raise ConnectionError(f"another process of this run has ended, or cannot be reached: {e}") from e
    return values


class _Sum(torch.autograd.Function):
    """The sum over all processes; every process's loss depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return add_up(values.clone())

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return add_up(g.clone())


def bernoulli(x: torch.Tensor, p: float) -> torch.Tensor:
    """Ones with probability p, else zeros, like x [B, ...]: the part's samples of what is drawn for the whole batch."""
    if _part is None or _part.whole == len(x):
        return torch.empty_like(x).bernoulli_(p)
    one = torch.empty_like(x[0])  # numbers are drawn in memory's order, so the whole batch has this process's
    whole = torch.empty_strided((_part.whole, *one.shape), (one.numel(), *one.stride()), dtype=x.dtype)
    return whole.bernoulli_(p)[_part.samples]


def shares_batches(norm: torch.nn.Module) -> bool:
    """Whether statistics must be those of all processes."""
    return norm.training and place()[1] > 1


@uncompiled
def batch_norm(norm: torch.nn.BatchNorm1d | torch.nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """norm(x) in training, x [N, C, ...], with N counted over all processes, which must all call it.

    Sums are float64, so that nothing cancels. Errors: ValueError for other channels, or one value a channel.
    """
    channels = x.shape[1]
    if channels != norm.num_features:
        raise ValueError(f"batch norm of {norm.num_features} channels got {channels}")
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    var, mean = torch.var_mean(wide, [0, *range(2, x.ndim)], correction=0)
    count = 0.0 if _part is not None and _part.weight == 0.0 else wide.numel() / channels
    var, mean = var.double(), mean.double()
    local = torch.cat([count * mean, count * (var + mean * mean), mean.new_tensor([count])])
    sums: torch.Tensor = _Sum.apply(local)  # type: ignore[no-untyped-call]
    n = float(sums[-1].detach())
    if n <= 1.0:
        raise ValueError(f"Expected more than 1 value per channel when training, got {int(n)}")
    mean, square = sums[:channels] / n, sums[channels:-1] / n
    var = (square - mean * mean).clamp_min(0.0)
    _track(norm, mean.detach(), var.detach() * (n / (n - 1.0)))
    scale = torch.rsqrt(var + norm.eps) * (1.0 if norm.weight is None else norm.weight)
    shift = (0.0 if norm.bias is None else norm.bias) - mean * scale
    each = (channels, *(1,) * (x.ndim - 2))
    y: torch.Tensor = wide * scale.to(wide.dtype).view(each) + shift.to(wide.dtype).view(each)
    return y.to(x.dtype)


def _track(norm: torch.nn.BatchNorm1d | torch.nn.BatchNorm2d, mean: torch.Tensor, var: torch.Tensor) -> None:
    """Move the running statistics, as torch's batch norm does."""
    if not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    step = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), step)
    norm.running_var.lerp_(var.to(norm.running_var.dtype), step)
