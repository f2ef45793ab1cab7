"""Penalties of the membrane: what potentials cost at every step, summed inside the time loop and differentiated with it.

A penalty is a pure function of states before the decision, the spike and parameters, by name, as in a rule. No potential
is stored: the loop forward adds up the cost of each neuron over time, and the loop backward, which computes the potentials
again, adds its gradient to theirs.

    with nn.penalties() as found:
        out, _ = net(x)
    loss = cross_entropy(out.mean(0), label) + 0.1 * found.total()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

from snnsim.rule import Rule, call
from snnsim.rule.purity import arguments
from snnsim.rule.trace import Symbol, named, reachable

Function = Callable[..., Any]


class Penalty(ABC):
    """A penalty that fits several rules: `cost(rule)` gives the function for one."""

    @abstractmethod
    def cost(self, rule: Rule) -> Function:
        """The function for a rule. ValueError that says why there is none."""


def cost_of(penalty: Penalty | Function, rule: Rule) -> Function:
    """The penalty's function for this rule, checked: pure, of names that the rule has, one result, no power.

    Errors: TypeError or ValueError that names the penalty, and what it may take.
    """
    if not rule.fires:
        raise ValueError(f"a penalty is for neurons that fire, and rule {rule.name!r} never does")
    function = penalty.cost(rule) if isinstance(penalty, Penalty) else penalty
    taken, allowed = arguments(function, "penalty"), (*rule.states, "s", *rule.parameters)
    for name in taken:
        if name not in allowed:
            raise ValueError(f"the penalty {function.__name__} takes {name!r}; of rule {rule.name!r} it may take "
                             f"{', '.join(allowed)}")
    results = call(function, *[named(name) for name in taken])
    if len(results) != 1 or not isinstance(results[0], Symbol):
        raise ValueError(f"the penalty {function.__name__} must return one float that depends on what it takes")
    if any(s.op == "power" for s in reachable(results)):
        raise ValueError(f"the penalty {function.__name__} uses **, which has no derivative here: multiply, or use exp and log")
    return function


class Found:
    """The costs of the layers that ran while it was open."""

    def __init__(self) -> None:
        self._costs: dict[int, tuple[torch.nn.Module, list[torch.Tensor], int]] = {}

    def add(self, layer: torch.nn.Module, cost: torch.Tensor, steps: int) -> None:
        """cost: of each neuron [B, ...], summed over so many steps."""
        _, costs, count = self._costs.get(id(layer), (layer, [], 0))
        self._costs[id(layer)] = layer, [*costs, cost], count + cost.numel() * steps

    def layers(self) -> list[tuple[torch.nn.Module, torch.Tensor]]:
        """Each layer that has a penalty, in the order of their first calls, with the mean of its cost over samples,
        neurons and the steps of all its calls: float64, with its gradient."""
        return [(layer, torch.stack([_Sum.apply(c) for c in costs]).sum() / count)  # type: ignore[no-untyped-call]
                for layer, costs, count in self._costs.values()]

    def total(self) -> torch.Tensor:
        """The mean over the layers. ValueError when no layer with a penalty ran."""
        if not self._costs:
            raise ValueError("no layer with a penalty ran within nn.penalties(): give a layer penalty=..., or call "
                             "nn.set_penalty(net, ...)")
        return torch.stack([mean for _, mean in self.layers()]).mean()


_open: ContextVar[Found | None] = ContextVar("penalties", default=None)


@contextmanager
def penalties() -> Iterator[Found]:
    """While open, layers with a penalty add up what their potentials cost; without it they compute none.

    One within another takes all to itself. A forward that runs inside a backward, as where `checkpointed` computes a chunk
    again, adds nothing: it was counted when it first ran.
    """
    found = Found()
    token = _open.set(found)
    try:
        yield found
    finally:
        _open.reset(token)


def collecting() -> Found | None:
    """Where a layer's cost goes now; None where nobody asked for it."""
    return _open.get() if torch._C._current_graph_task_id() == -1 else None


class _Sum(torch.autograd.Function):
    """The sum of a float64 tensor by NumPy, whose order does not depend on the number of threads."""

    @staticmethod
    def forward(ctx: Any, cost: torch.Tensor) -> torch.Tensor:
        ctx.shape = cost.shape
        if cost.is_cuda:
            return cost.sum()
        return torch.tensor(np.sum(cost.detach().contiguous().numpy().reshape(-1)), dtype=cost.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g.expand(ctx.shape)
