"""Neurons with a batch norm of their membrane (MPBN): the norm stands between the charge and the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from snnsim.neurons.folded import fold
from snnsim.neurons.normed import NORM, RECURSIONS, Recursion, normed, threshold_of
from snnsim.nn import cuda, processes
from snnsim.nn.eager import Spike, eager
from snnsim.nn.fused import Loop
from snnsim.nn.fused_mpbn import Columns, too_few
from snnsim.nn.neuron import Neuron, over_time
from snnsim.rule import Fixed, Rule, call, finite, one_of
from snnsim.rule import Neuron as Spec

Per = Literal["channel", "element"]


class MPBN(Neuron):
    """Neurons with a batch norm of their membrane: forward(x, state=None) -> (spikes, state).

        u[t] = charge(v[t-1], x[t]);  z[t] = gamma (u[t] - mean[t]) / sqrt(var[t] + eps) + beta;  s[t] = [z[t] >= theta]
        v[t] = reset(u[t], s[t])  with recursion="raw",  reset(z[t], s[t])  with recursion="normalised"

    In training mean[t] and var[t] are those of step t, over all processes of torch.distributed; in evaluation they are the
    running statistics, one set for all steps, which training moves at every step (so T times a call), as torch's batch norm
    does. A soft reset subtracts theta in both recursions, whatever the norm.

    neuron: one of one membrane, such as LIF or IF, with any leak and reset. features: C for x [T, B, C] or [T, B, C, H, W];
    with per="element" the neurons' whole shape, an int or (C, H, W). per: "channel", statistics over B, H and W; "element",
    over B alone, a norm for each neuron, which no weights could hold, and the fold turns into thresholds. gamma and beta
    are the Parameters `weight` and `bias`, flat, [C] or [C H W]. momentum: None takes the plain mean of all steps seen; the
    running statistics are those of the last 1 / momentum steps, so take one that reaches over whole recordings. settle_at: the
    share of the epochs after which training, too, takes the running statistics, and moves them no more, so that the weights
    learn what evaluation computes (ours; `fit` says so by `anneal`); 1 for never, as in the paper. The other options are those
    of `Neuron`; the surrogate is that of z - theta.

    On the CPU, in one process, training is one fused loop over all steps, and so is evaluation anywhere; training on CUDA,
    with several processes, or where the values of a parameter differ within a channel goes step by step, in torch.

    Guo et al., ICCV (2023). In their code theta is 1/2 and "raw" is meant, with per="channel"; per="element" follows the
    paper's text. "normalised" is the MPBNLIFNode of SpikingJelly.

    Errors: those of `Neuron`; ValueError for a rule of another form, for x of other features, and in training for fewer
    than two values to take a statistic from (a batch of 1 with per="element").
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, neuron: Spec, features: int | Sequence[int], *, per: Per = "channel", recursion: Recursion = "raw",
                 momentum: float | None = 0.1, eps: float = 1e-5, settle_at: float = 1.0, **options: Any) -> None:
        super().__init__(neuron, **options)
        threshold_of(self.rule)
        one_of("per", per, ("channel", "element"))
        one_of("recursion", recursion, RECURSIONS)
        self.features = (features,) if isinstance(features, int) else tuple(features)
        if len(self.features) not in ((1,) if per == "channel" else (1, 3)) or any(
                isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in self.features):
            raise ValueError(f"features must be a number of channels{' or (channels, height, width)' * (per == 'element')}, "
                             f"positive, got {features!r}")
        if momentum is not None:
            finite("momentum", momentum, at_least=0.0)
            if momentum > 1.0:
                raise ValueError(f"momentum must lie from 0 to 1, or be None, got {momentum!r}")
        finite("eps", eps, above=0.0)
        self.settle_at, self.settled = float(finite("settle_at", settle_at, at_least=0.0)), False
        self.per, self.recursion, self.momentum, self.eps = per, recursion, momentum, eps
        size = math.prod(self.features)  # flat, so that who decays weights by their dimensions leaves a norm alone
        self.weight, self.bias = torch.nn.Parameter(torch.ones(size)), torch.nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def norm(self, dimensions: int) -> dict[str, torch.Tensor]:
        """mean, scale and shift of evaluation, float64, as they broadcast to neurons of this many dimensions, 1 or 3."""
        scale = self.weight.double() / torch.sqrt(self.running_var.double() + self.eps)
        values = zip(NORM, (self.running_mean.double(), scale, self.bias.double()), strict=True)
        shape = (*self.features, *[1] * (dimensions - len(self.features)))
        return {name: value.view(shape) for name, value in values}

    def anneal(self, epoch: int, epochs: int) -> None:
        """Tell the layer how far the training is, as `fit` does before each epoch."""
        super().anneal(epoch, epochs)
        self.settled = epoch >= self.settle_at * epochs

    def fold(self, dtype: Any, dimensions: int | None = None) -> Fixed:
        """The neuron that decides in this dtype (NumPy's) as this layer does in evaluation, with thresholds and no norm.

        dimensions: of the neurons, 1 or 3; by default those of `features`. ValueError with recursion="normalised".
        """
        if self.recursion != "raw":
            raise ValueError("recursion='normalised' does not fold into a threshold: its norm is carried from step to step, so "
                             "that it acts on the leak and the reset, too")
        return fold(self.rule, self.fixed(dimensions or len(self.features)).values, dtype)

    def fixed(self, dimensions: int) -> Fixed:
        """The neuron that computes what this layer does in evaluation, with the norm as it is (see `neurons.normed`)."""
        held = {**self.step_parameters(), **self.norm(dimensions)}
        return Fixed(normed(self.rule, self.recursion), {k: v.detach().cpu().numpy() for k, v in held.items()})

    def set_penalty(self, penalty: Any) -> None:
        if penalty is not None:
            raise ValueError("MPBN takes no penalty: the loop that norms the membrane does not add one up")
        super().set_penalty(None)

    def started(self, x: Any, state: Sequence[torch.Tensor] | None) -> tuple[
            tuple[torch.Tensor, ...], Sequence[torch.Tensor] | None]:
        (given,) = self.tensors(x)
        if tuple(given.shape[2:]) != self.features and (self.per == "element" or given.ndim not in (3, 5)
                                                        or given.shape[2] != self.features[0]):
            raise ValueError(f"MPBN of {self.features} {self.per}s takes [T, B, {', '.join(map(str, self.features))}"
                             f"{', ...' * (self.per == 'channel')}], got {tuple(given.shape)}")
        self.check_state(state, given, self.rule.states)
        start = torch.zeros_like(given[0], dtype=cuda.STATE[given.dtype]) if state is None else state[0]
        if state is None and any(self.neuron.initial.values()):
            start = start + self.neuron.initial[self.rule.states[0]]
        return (given,), (start,)

    def run(self, inputs: tuple[torch.Tensor, ...], state: Any, parameters: list[torch.Tensor], cost: Any = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        (given,), (start,) = inputs, state
        if not self.training or self.settled:  # the plain loop of the rule whose norm is fixed: the folded one decides alike
            kind = cuda.Loop if given.is_cuda else Loop
            loop = kind(normed(self.rule, self.recursion), self.surrogate.slope, self.surrogate.width, self.detach_reset)
            return over_time(loop, inputs, state, [*parameters, *self._fixed_norm(start)])
        columns = Columns.of(given, self.per, parameters)
        if columns is None or processes.place()[1] > 1:
            out, end, mean, var, count = self._stepwise(given, start, parameters)
        else:
            loop = Loop(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset)
            out, end, mean, var = columns.run(loop, self.recursion, self.eps, given, start, parameters, self.weight, self.bias)
            count = float(columns.rows)
        self._track(mean, var * (count / (count - 1.0)))
        return out, (end,)

    def eager(self, inputs: Sequence[torch.Tensor], state: Any, parameters: Sequence[torch.Tensor], **options: Any) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        (given,), (start,) = inputs, state
        if self.training and not self.settled:
            out, end, *_ = self._stepwise(given, start, parameters, **options)
            return out, (end,)
        out, after = eager(normed(self.rule, self.recursion), self.surrogate.slope, [given.to(start.dtype)], state,
                           [*parameters, *self._fixed_norm(start)], width=self.surrogate.width,
                           detach_reset=self.detach_reset, **options)
        return out.to(given.dtype), after

    def _stepwise(self, given: torch.Tensor, start: torch.Tensor, parameters: Sequence[torch.Tensor], **options: Any) -> tuple[
            torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float]:
        out, end, mean, var, count = eager_mpbn(
            self.rule, self.surrogate.slope, given.to(start.dtype), start, parameters, self.weight, self.bias, per=self.per,
            recursion=self.recursion, eps=self.eps, width=self.surrogate.width, detach_reset=self.detach_reset, **options)
        return out.to(given.dtype), end, mean, var, count

    def _fixed_norm(self, like: torch.Tensor) -> list[torch.Tensor]:
        return [v.to(like.dtype) for v in self.norm(like.ndim - 1).values()]

    def _track(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        """Move the running statistics once for each step. mean, var: [T, C], var without bias."""
        with torch.no_grad():
            for m, v in zip(mean, var, strict=True):
                self.num_batches_tracked += 1
                step = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(m.to(self.running_mean.dtype), step)
                self.running_var.lerp_(v.to(self.running_var.dtype), step)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.features}, per={self.per!r}, recursion={self.recursion!r}"


def eager_mpbn(rule: Rule, slope: Any, x: torch.Tensor, v: torch.Tensor, parameters: Sequence[torch.Tensor],
               gamma: torch.Tensor, beta: torch.Tensor, *, per: Per = "channel", recursion: Recursion = "raw",
               eps: float = 1e-5, width: float = 1.0, detach_reset: bool = False, see: Any = None) -> tuple[
                   torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """What `MPBN` computes in training, slowly, on any device: spikes [T, B, ...], the last membrane [B, ...], mean and var
    [T, features] of each step, and how many values each is taken from. gamma, beta: flat. Statistics are float64. see: called
    at each step with the membrane before the norm, as a tuple, and the spike."""
    over = (0, *range(2, v.ndim)) if per == "channel" else (0,)
    shape = (-1, *[1] * (v.ndim - 2)) if per == "channel" else v.shape[1:]
    g, b = gamma.view(shape), beta.view(shape)
    own = processes.counts()
    (count,) = _Total.apply(torch.tensor([own * math.prod(v.shape[i] for i in over)]).double()).tolist()  # type: ignore[no-untyped-call]
    if count < 2.0:
        raise too_few(per, count)
    assert rule.margin is not None and rule.reset is not None
    out, means, variances = [], [], []
    for now in x:
        u = call(rule.charge, v, now, *parameters)[0]
        wide = u.double()
        mean = _Total.apply(own * wide.sum(over, keepdim=True)) / count  # type: ignore[no-untyped-call]
        var = _Total.apply(own * (wide - mean).square().sum(over, keepdim=True)) / count  # type: ignore[no-untyped-call]
        scale = (g.double() / torch.sqrt(var[0] + eps)).to(u.dtype)
        z = (u - mean[0].to(u.dtype)) * scale + b.to(u.dtype)
        s = Spike.apply(rule.margin(z, *parameters), slope, width)  # type: ignore[no-untyped-call]
        if see is not None:
            see((u,), s)
        v = call(rule.reset, u if recursion == "raw" else z, s.detach() if detach_reset else s, *parameters)[0]
        out.append(s)
        means.append(mean.detach().flatten())
        variances.append(var.detach().flatten())
    return torch.stack(out), v, torch.stack(means), torch.stack(variances), count


class _Total(torch.autograd.Function):
    """The sum over all processes; the gradient of each part is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return processes.add_up(x.clone())

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return processes.add_up(g.clone())
