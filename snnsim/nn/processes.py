"""Layers in one of several processes that train one net together, each on its part of every batch (torch.distributed).

Two layers would not do there what they do in one process: batch norm, whose statistics are those of the whole batch,
and dropout, whose masks are drawn for the whole batch, of which each process keeps its own samples'.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist


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


def counts() -> float:
    """1, or 0 in a process that computes a sample that is another's."""
    return 0.0 if _part is not None and _part.weight == 0.0 else 1.0


def share() -> float:
    """The share of the batch's mean that is the mean over this process's samples; outside of `fit` all have the same."""
    return 1.0 / place()[1] if _part is None else _part.weight


def bernoulli(x: torch.Tensor, p: float) -> torch.Tensor:
    """Ones with probability p, else zeros, like x [B, ...]: the part's samples of what is drawn for the whole batch."""
    if _part is None or _part.whole == len(x):
        return torch.empty_like(x).bernoulli_(p)
    one = torch.empty_like(x[0])  # numbers are drawn in memory's order, so the whole batch has this process's
    whole = torch.empty_strided((_part.whole, *one.shape), (one.numel(), *one.stride()), dtype=x.dtype)
    return whole.bernoulli_(p)[_part.samples]
