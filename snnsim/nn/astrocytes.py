"""Neurons whose astrocytes cover territories: the mean of a group's spikes comes back one step later, at a receptor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snnsim.maps import Sparse
from snnsim.nn import cuda
from snnsim.nn.eager import eager
from snnsim.nn.events import dense, is_events
from snnsim.nn.fused import Loop
from snnsim.nn.neuron import Neuron
from snnsim.nn.recurrent import Recurrence
from snnsim.rule import Neuron as Spec
from snnsim.rule import one_of

Array = NDArray[Any]


class Astrocytes(Neuron):
    """Neurons that hear their territories: forward(x, state=None) -> (spikes [T, B, ...], state).

        drive[t] of neuron j = mean of s[t-1] over the neurons of j's group

    neuron: one with a receptor for the mean, such as AMLIF(territory=True). groups: the group of each neuron, 0, 1, ..., or
    -1 for none (its drive is 0), an array of the neurons' shape, (N,) or (channels, height, width): see
    `snnsim.nn.territories`. receptor: where the mean arrives. The mean has no weight to learn. x: [T, B, ...], or a tuple
    with a tensor for every input of the rule, to which the means are added. state: the rule's states and then the spikes of
    the last step; None starts at rest and silent. options: those of `Neuron`.

    It costs what neurons cost and a pass over them for the means. On CUDA it is a loop of torch operations, which is slow.

    Errors: those of `Neuron`; ValueError for a rule that never fires or lacks the receptor, for groups that do not fit x, and
    for spikes in a state that are not 0 or 1.
    """

    groups: torch.Tensor

    def __init__(self, neuron: Spec, groups: ArrayLike | torch.Tensor, *, receptor: str = "drive", **options: Any) -> None:
        super().__init__(neuron, **options)
        if not self.rule.fires:
            raise ValueError(f"Astrocytes needs neurons that fire, rule {self.rule.name!r} never does")
        if receptor not in self.rule.inputs:
            raise ValueError(f"receptor must be one of the inputs of rule {self.rule.name!r}, {self.rule.inputs}, got "
                             f"{receptor!r}: give AMLIF(territory=True), or a rule with an input for the mean")
        found = np.array(groups)
        if found.ndim not in (1, 3) or not found.size or found.dtype.kind not in "ui" or found.min() < -1:
            raise ValueError("groups must be whole numbers, at least -1, in an array (N,) or (channels, height, width), got "
                             f"{found.dtype} of shape {found.shape}")
        self.receptor = receptor
        self.register_buffer("groups", torch.from_numpy(found.astype(np.int64)))

    def started(self, x: Any, state: Sequence[torch.Tensor] | None) -> tuple[
            tuple[torch.Tensor, ...], Sequence[torch.Tensor] | None]:
        inputs = self.tensors(self._whole(x))
        like, names = inputs[0][0], (*self.rule.states, "s")
        if like.shape[1:] != self.groups.shape:
            raise ValueError(f"x must be [T, B, {', '.join(map(str, self.groups.shape))}], as groups says, got "
                             f"{tuple(inputs[0].shape)}")
        self.check_state(state, inputs[0], names)
        if state is None:
            rest = self.neuron.initial
            state = [torch.full_like(like, rest.get(name, 0.0), dtype=cuda.STATE[like.dtype]) for name in names]
        elif not like.is_cuda and not bool(((state[-1] == 0) | (state[-1] == 1)).all()):
            raise ValueError("the spikes in the state, its last tensor, must be 0 or 1")
        return inputs, state

    def run(self, inputs: tuple[torch.Tensor, ...], state: Any, parameters: list[torch.Tensor], cost: Any = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        shape = inputs[0].shape
        parameters = [p if p.numel() == 1 else p.expand(shape[2:]).flatten() for p in parameters]
        flat, (*before, first) = [i.flatten(2) for i in inputs], [v.flatten(1) for v in state]
        if flat[0].is_cuda:
            out, end = self.eager(flat, (*before, first), parameters, **({} if cost is None else {"cost": cost}))
        else:
            group, share = self.means(flat[0].dtype)
            loop = Loop(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset, cost)
            of = Recurrence(loop, self.receptor, means=(group.numpy(), share.numpy()))
            out, end = of(flat, first, before, flat[0].new_empty(0), parameters)
        return out.view(shape), tuple(v.view(shape[1:]) for v in end)

    def eager(self, inputs: Sequence[torch.Tensor], state: Any, parameters: Sequence[torch.Tensor], **options: Any) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        shape = inputs[0].shape
        wide, parts = [i.to(cuda.STATE[i.dtype]).flatten(2) for i in inputs], [v.flatten(1) for v in state]
        loop = Loop(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset)
        parameters = [p if p.numel() == 1 else p.expand(shape[2:]).flatten() for p in parameters]
        if (see := options.pop("see", None)) is not None:
            options["see"] = lambda held, s: see(tuple(v.view(shape[1:]) for v in held), s.view(shape[1:]))
        out, end = eager_grouped(loop, wide, parts[-1], parts[:-1], parameters, self.receptor, *self.means(wide[0].dtype),
                                 **options)
        return out.to(inputs[0].dtype).view(shape), tuple(v.view(shape[1:]) for v in end)

    def _whole(self, x: Any) -> Any:
        """x with zeros at the receptor, where it does not say what arrives there."""
        if isinstance(x, tuple) or len(self.rule.inputs) != 2:
            return x
        x = dense(x) if is_events(x) else x
        if not isinstance(x, torch.Tensor):
            return x
        zeros = torch.zeros_like(x)
        return (zeros, x) if self.rule.inputs[0] == self.receptor else (x, zeros)

    def means(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """The group of each neuron, those without one in a last group, and 1 / size of each group (of the last, 0)."""
        group, n = self.groups.flatten(), max(0, int(self.groups.max()) + 1)
        group = torch.where(group < 0, n, group)
        size = torch.bincount(group, minlength=n + 1).clamp(min=1)
        share = (1.0 / size.double()).to(dtype)
        share[n] = 0.0
        return group, share

    def maps(self, dtype: Any) -> tuple[Sparse, Sparse]:
        """The same means as two maps of a projection: neurons to counts of groups, which are exact, and those to neurons."""
        group, n = self.groups.flatten().cpu().numpy(), max(1, int(self.groups.max()) + 1)
        member = np.flatnonzero(group >= 0)
        size = np.bincount(group[member], minlength=n)
        by_group = np.argsort(group[member], kind="stable")
        share = np.repeat(1.0 / np.maximum(size, 1), size).astype(dtype)
        return (Sparse(np.append(0, np.cumsum(group >= 0)), group[member], np.ones(member.size, dtype), (n, group.size)),
                Sparse(np.append(0, np.cumsum(size)), member[by_group], share, (group.size, n)))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {int(self.groups.max()) + 1} territories"


def eager_grouped(loop: Loop, inputs: Sequence[torch.Tensor], first: torch.Tensor, states: Sequence[torch.Tensor],
                  parameters: Sequence[torch.Tensor], receptor: str, group: torch.Tensor, share: torch.Tensor,
                  **options: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """What `Astrocytes` computes, slowly, on any device. inputs [T, B, N], first [B, N]: the spikes before the first step.
    options: cost and see of `eager`."""
    one_of("receptor", receptor, loop.rule.inputs)
    at, out, s = loop.rule.inputs.index(receptor), [], first
    costs: list[torch.Tensor] = []
    for x in zip(*[i.unbind(0) for i in inputs], strict=True):
        mean = s.new_zeros(len(s), len(share)).index_add(1, group, s) * share
        heard = [(y + mean[:, group] if i == at else y)[None] for i, y in enumerate(x)]
        spikes, after = eager(loop.rule, loop.slope, heard, states, parameters, width=loop.width,
                              detach_reset=loop.detach_reset, **options)
        states, s = after[: len(states)], spikes[0]
        out.append(s)
        costs += after[len(states):]
    return torch.stack(out), (*states, s, *([torch.stack(costs).sum(0)] if costs else []))
