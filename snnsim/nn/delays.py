"""Synapses and axons with delays that are learned: DCLS, dilated convolution with learnable spacings over time.

    I_i[t] = b_i + sum_j sum_k K_ij[k] x_j[t - k],  k = 0 .. L - 1, x = 0 before the first step
    K_ij[k] = w_ij G(k) / (sum_k' G(k') + 1e-7),    G(k) = exp(-((k - d_ij) / sigma)^2 / 2),    sigma = |s| + 0.27

d_ij, the delay in steps, lies in [0, L - 1]; the paper's position is P = (L - 1) / 2 - d. In training s shrinks by a schedule,
from L // 2 to 0.23 in the first quarter of the epochs; in evaluation d is rounded and one tap is left, K_ij[d] = w_ij. Where
the paper's layer gives (L - 1) // 2 steps more than it was given, ours gives as many: a spike's last effects are cut off at
the end of a recording, as everywhere here. Hammouamri, Khalfaoui-Hassani and Masquelier, ICLR (2024), arXiv:2306.17670.

Pitfalls: an evaluation without rounding overstates what the delays reach; where L is larger than what the task needs,
delays spread over steps that tell nothing; s = 0.23 is a width of 0.5, not of 0.23.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from snnsim.nn import events, sparse, taps
from snnsim.nn.compiling import uncompiled
from snnsim.nn.layers import Linear
from snnsim.nn.sequential import Stateful
from snnsim.nn.spectrum import convolve
from snnsim.nn.windows import EPSILON, windows
from snnsim.rule import finite

FLOOR, NARROW = 0.27, 0.23


def kernel(weight: torch.Tensor, delay: torch.Tensor, sigma: torch.Tensor | float, length: int) -> torch.Tensor:
    """K [..., L], its definition; weight and delay [...]. Differentiable."""
    k = torch.arange(length, dtype=delay.dtype, device=delay.device)
    g = torch.exp(-0.5 * ((k - delay[..., None]) / sigma) ** 2)
    return weight[..., None] * g / (g.sum(-1, keepdim=True) + EPSILON)


def delayed(x: torch.Tensor, k: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """y [T, B, outputs], its definition, for x [T, B, inputs] and K [outputs, inputs, L]."""
    padded = functional.pad(x.permute(1, 2, 0), (k.shape[2] - 1, 0))
    return functional.conv1d(padded, k.flip(2), bias).permute(2, 0, 1)


class _Delays(Stateful):
    """Delays in [0, L - 1], their width, and how training treats both."""

    delay: torch.Tensor
    s: torch.Tensor

    def __init__(self, shape: Sequence[int], length: int, learn: bool, rate: float, settle_at: float) -> None:
        super().__init__()
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(f"length must be a positive whole number of steps, got {length!r}")
        finite("rate", rate, above=0.0)
        self.settle_at = float(finite("settle_at", settle_at, at_least=0.0))
        self.length, self.learn = length, bool(learn) and length > 1
        if self.learn:
            self.delay = torch.nn.Parameter(torch.empty(*shape).uniform_(0.0, length - 1.0))
        else:
            self.register_buffer("delay", torch.randint(0, length, tuple(shape)).to(torch.get_default_dtype()))
        self.register_buffer("s", torch.tensor(float(length // 2)))
        self.rate_factors = {"delay": float(rate)} if self.learn else {}

    @property
    def sigma(self) -> float:
        return abs(float(self.s)) + FLOOR

    def anneal(self, epoch: int, epochs: int) -> None:
        """Set the width for this epoch, 0 .. epochs - 1: s = s0 (0.23 / s0)^(epoch / Q) up to Q = epochs // 4, then 0.23; and
        settle once epoch / epochs is settle_at."""
        start, quarter = max(float(self.length // 2), NARROW), max(1, epochs // 4)
        self.s.fill_(start * (NARROW / start) ** (min(epoch, quarter) / quarter))
        if epoch >= self.settle_at * epochs:
            self.settle()

    def after_step(self) -> None:
        """Bring the delays back into [0, L - 1]; to be called after each step of an optimiser."""
        with torch.no_grad():
            self.delay.clamp_(0.0, self.length - 1.0)

    def settle(self) -> None:
        """Round the delays for good, so that weights trained from here on learn what evaluation computes: a tap of the width
        0.5 holds at most 0.79 of a weight, the one of evaluation all of it. No part of a state_dict: a layer that loads one is
        to be told again."""
        with torch.no_grad():
            self.delay.copy_(self.steps())
        self.learn = False

    def steps(self) -> torch.Tensor:
        """The delays as evaluation and a Network have them: int32, whole steps."""
        return self.known().detach().round().clamp(0, self.length - 1).to(torch.int32)

    def known(self) -> torch.Tensor:
        """The delays. ValueError where one is no number: kernels would write anywhere."""
        if not self.delay.is_cuda and not bool(torch.isfinite(self.delay.detach()).all()):
            raise ValueError("the delays hold NaN or infinity: lower the learning rate, or their rate")
        return self.delay

    def joined(self, x: Any, state: Sequence[torch.Tensor] | None) -> tuple[Any, int, tuple[torch.Tensor]]:
        """x with the steps of the state before it, how many they are, and the state after it."""
        shape = tuple(x.shape)
        behind = self.length - 1
        wanted = (behind, shape[1], shape[2])
        if state is not None and (not isinstance(state, (tuple, list)) or len(state) != 1
                                  or tuple(state[0].shape) != wanted):
            raise ValueError(f"state must be a tuple with one tensor {list(wanted)}, the inputs of the last steps, got "
                             + (f"{[tuple(s.shape) for s in state]}" if isinstance(state, (tuple, list))
                                else type(state).__name__))
        recent = events.between(x, max(0, shape[0] - behind), shape[0]) if behind and events.is_events(x) else x
        recent = _dense(recent) if behind else torch.zeros(wanted)
        recent = recent[max(0, len(recent) - behind):]
        if len(recent) < behind:
            before = recent.new_zeros(wanted) if state is None else state[0].to(recent.dtype)
            recent = torch.cat([before, recent])[len(recent):]
        if state is None or not behind:
            return x, 0, (recent,)
        dense = _dense(x)
        return torch.cat([state[0].to(dense.dtype), dense]), behind, (recent,)

    def extra_repr(self) -> str:
        return f"length={self.length}, learn={self.learn}"


class DelayLinear(_Delays):
    """A linear layer with a weight and a delay for each synapse: forward(x, state=None) -> (y, state).

    x: [T, B, inputs] or a batch of events; y: [T, B, outputs]. state: None, or a tuple with the inputs of the last L - 1
    steps, [L - 1, B, inputs]. length: L; with L = 1 it is Linear. learn: whether delays are learned; otherwise they stay whole
    numbers, drawn once. rate: the learning rate of the delays is that of the weights times this (`fit` does so, and clamps
    and shrinks; in a loop of your own call after_step after the optimiser's step, and anneal when an epoch begins). settle_at:
    the share of the epochs after which delays are rounded for good, so that the weights learn what evaluation computes; 1 for
    never, as in the paper. Weights and bias start as those of torch.nn.Linear, delays evenly in [0, L - 1].

    In training all taps that matter to rounding are used; in evaluation each delay is rounded to whole steps. On the CPU the
    cost goes with spikes; the gradient of the input goes through frequencies, as everything does for dense inputs and on CUDA.

    Errors: ValueError for sizes, inputs or a state that do not fit, and for delays that have become NaN.
    """

    def __init__(self, in_features: int, out_features: int, length: int, bias: bool = True, *, learn: bool = True,
                 rate: float = 100.0, settle_at: float = 1.0) -> None:
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, got {value!r}")
        super().__init__((out_features, in_features), length, learn, rate, settle_at)
        self.in_features, self.out_features = in_features, out_features
        linear = torch.nn.Linear(in_features, out_features, bias)
        self.weight, self.bias = linear.weight, linear.bias

    @uncompiled
    def forward(self, x: Any, state: Sequence[torch.Tensor] | None = None) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        x = _checked(x, "DelayLinear", self.in_features)
        x, before, after = self.joined(x, state)
        if self.length == 1:
            return Linear.forward(self, x), after  # type: ignore[arg-type]
        if events.is_events(x):
            given = events.checked(x)
            rows = sparse.Rows(given.indptr, given.indices, given.values)
            y = taps.run(rows, (given.shape[0], given.shape[1], self.in_features), *self.runs(), self.bias)
        elif x.device.type == "cpu" and x.dtype == self.weight.dtype and x.dtype in (torch.float32, torch.float64):
            y = taps.run(x, tuple(x.shape), *self.runs(), self.bias)
        else:
            y = self.by_frequencies(x)
        return y[before:], after

    def runs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The first tap of each synapse and its taps, on the CPU: [outputs, inputs] and [outputs, inputs, taps]."""
        if self.training and self.learn:
            return windows(self.weight, self.known().to(self.weight.dtype), self.sigma, self.length, taps.WIDTH)
        return self.steps(), self.weight[..., None]

    def by_frequencies(self, x: torch.Tensor) -> torch.Tensor:
        """y of a tensor on any device, by torch's operations."""
        if self.training and self.learn:
            k = kernel(self.weight, self.known().to(self.weight.dtype), self.sigma, self.length)
        else:
            k = functional.one_hot(self.steps().long(), self.length) * self.weight[..., None]
        y = convolve(x, k.permute(2, 1, 0).to(x.dtype))
        return y if self.bias is None else y + self.bias.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, {super().extra_repr()}, bias={self.bias is not None}"


class Delay(_Delays):
    """A delay for each channel, as of an axon: forward(x, state=None) -> (y, state), [T, B, features] -> [T, B, features].

        y_j[t] = sum_k K_j[k] x_j[t - k],  K as above with w = 1

    features: N; the other arguments and the state are those of DelayLinear. Errors: ValueError for what does not fit.
    """

    def __init__(self, features: int, length: int, *, learn: bool = True, rate: float = 100.0,
                 settle_at: float = 1.0) -> None:
        if isinstance(features, bool) or not isinstance(features, int) or features < 1:
            raise ValueError(f"features must be a positive whole number, got {features!r}")
        super().__init__((features,), length, learn, rate, settle_at)
        self.features = features

    @uncompiled
    def forward(self, x: Any, state: Sequence[torch.Tensor] | None = None) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        x = _checked(x, "Delay", self.features)
        x, before, after = self.joined(x, state)
        x = _dense(x)
        if self.training and self.learn:
            k = kernel(torch.ones_like(self.delay), self.known(), self.sigma, self.length)
        else:
            k = functional.one_hot(self.steps().long(), self.length)
        return channels(x, k.to(x.dtype))[before:], after

    def extra_repr(self) -> str:
        return f"{self.features}, {super().extra_repr()}"


def channels(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """y_j[t] = sum_k K_j[k] x_j[t - k] for x [T, B, N] and K [N, L]."""
    y: torch.Tensor = functional.conv1d(functional.pad(x.permute(1, 2, 0), (k.shape[1] - 1, 0)), k.flip(1)[:, None],
                                        groups=len(k)).permute(2, 0, 1)
    return y.contiguous()


def _dense(x: Any) -> torch.Tensor:
    return events.dense(x) if events.is_events(x) else x


def _checked(x: Any, name: str, features: int) -> Any:
    """x, [T, B, features] as a tensor or events; ValueError that names the layer."""
    if events.is_events(x):
        x = events.flatten(x)
    elif not isinstance(x, torch.Tensor) or x.ndim != 3:
        raise ValueError(f"{name} takes a tensor [T, B, {features}], got "
                         f"{tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__}")
    if x.shape[2] != features:
        raise ValueError(f"{name} takes {features} inputs, got {tuple(x.shape)}")
    if not x.shape[0]:
        raise ValueError(f"x must have at least one step, got {tuple(x.shape)}")
    return x
