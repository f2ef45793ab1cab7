"""The ELM neuron and its branches: leaky synapses, and leaky memories that a small perceptron writes.

Source: Spieler, Rahaman, Martius, Schölkopf and Levina, ICLR 2024 (arXiv:2306.16922): version 1 is the paper's, version 2
that of its authors' later code, with traces of branches. It is no spiking rule: its output is a number at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snnsim.neurons import LI
from snnsim.nn import cuda, events, sparse
from snnsim.nn.compiling import uncompiled
from snnsim.nn.fused import KINDS, Loop
from snnsim.nn.sequential import Stateful
from snnsim.nn.surrogate import SURROGATES
from snnsim.rule import finite, one_of

ENDS = 1e-6  # a time constant that is learned starts this share of its range inside its bounds


class ELM(Stateful):
    """One neuron with memories: forward(x, state=None) -> (y [T, B, outputs], state), for x [T, B, ...] or a batch of events.

        version 1:  s[t] = kappa_s s[t-1] + w x[t];  b[t] = sums of s[t] over branches
                    m[t] = kappa_m m[t-1] + scale (1 - kappa_m) d[t]
        version 2:  b[t] = kappa_s b[t-1] + sums of w x[t] over branches
                    m[t] = kappa_m m[t-1] + (1 - exp(-scale dt / tau_m)) d[t]
        both:       d[t] = c(W2 relu(W1 [b[t], kappa_m m[t-1]] + b1) + b2);  c(z) = 1.7159 tanh(2 z / 3)
                    y[t] = W m[t] + bias;  w = relu(raw_w);  kappa = exp(-dt / tau)

    inputs, outputs, memories: how many. routing: None, and every input is a synapse and a branch of its own (ELM); or
    [branches, synapses], the input that each synapse of each branch hears, -1 for none (Branch-ELM, see `branch_windows`).
    hidden: 2 memories, unless told otherwise. tau_s: of the synapses, ms; tau_m: of the memories, ms, from the first number
    to the second in equal ratios, or with learn_tau=True between them, tau_m = low + (high - low) sigmoid(raw_tau), where
    those at the ends hardly move. scale: the paper's lambda. dt: ms a step, or None until `set_dt` (which `fit` calls).
    state: (traces [B, synapses] or, in version 2, [B, branches], memories [B, memories]); None starts at 0.

    Weights of one version do not serve the other. The traces are one fused loop; the memories are a loop of five torch
    operations a step, as each needs the last. Errors: ValueError that names the argument.
    """

    routing: torch.Tensor | None
    spaced: torch.Tensor
    raw_tau: torch.nn.Parameter | None

    def __init__(self, inputs: int, outputs: int, memories: int, *, routing: ArrayLike | None = None, version: int = 2,
                 hidden: int | None = None, tau_s: float = 5.0, tau_m: tuple[float, float] = (1.0, 500.0),
                 learn_tau: bool = False, scale: float = 5.0, dt: float | None = None) -> None:
        super().__init__()
        hidden = 2 * memories if hidden is None else hidden
        for name, n in (("inputs", inputs), ("outputs", outputs), ("memories", memories), ("hidden", hidden)):
            if isinstance(n, bool) or not isinstance(n, int) or n < 1:
                raise ValueError(f"{name} must be a positive whole number, got {n!r}")
        one_of("version", version, (1, 2))
        finite("tau_s", tau_s, above=0.0)
        finite("scale", scale, above=0.0)
        low, high = _bounds(tau_m, learn_tau)
        self.inputs, self.version, self.tau_s, self.scale, self.bounds = inputs, version, tau_s, scale, (low, high)
        found = None if routing is None else _routing(routing, inputs)
        branches, synapses = (inputs, inputs) if found is None else (len(found), found.numel())
        self.register_buffer("routing", found)
        self.raw_w = torch.nn.Parameter(torch.full((synapses,), 0.5))
        self.into = torch.nn.Linear(branches + memories, hidden)
        self.change = torch.nn.Linear(hidden, memories)
        self.readout = torch.nn.Linear(memories, outputs)
        spaced = torch.from_numpy(np.geomspace(low, high, memories))
        self.register_buffer("spaced", None if learn_tau else spaced.float())
        share = ((spaced - low) / (high - low)).clamp(ENDS, 1.0 - ENDS) if learn_tau else None
        self.register_parameter("raw_tau", None if share is None else torch.nn.Parameter(torch.logit(share).float()))
        self.dt: float | None = None
        if dt is not None:
            self.set_dt(dt)

    def set_dt(self, dt: float) -> None:
        """Tell the neuron the length of a step in ms."""
        finite("dt", dt, above=0.0)
        self.dt = float(dt)

    @property
    def tau_m(self) -> torch.Tensor:
        """The memories' time constants as they are now, ms."""
        low, high = self.bounds
        raw = self.raw_tau
        return self.spaced if raw is None else low + (high - low) * torch.sigmoid(raw)

    @uncompiled
    def forward(self, x: Any, state: Sequence[torch.Tensor] | None = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        if self.dt is None:
            raise ValueError("the time step is not set: pass dt=... to fit, or call snnsim.nn.set_dt(net, dt)")
        driven = self._driven(x)
        driven = driven.float() if driven.device.type == "cpu" and driven.dtype not in KINDS else driven
        trace, memory = self._start(driven, state)
        kappa = driven.new_tensor(math.exp(-self.dt / self.tau_s))
        kind = cuda.Loop if driven.is_cuda else Loop
        traces, (trace,) = kind(LI().rule, SURROGATES["atan"].slope)([driven], [trace], [kappa])
        if self.version == 1 and self.routing is not None:
            traces = traces.unflatten(2, self.routing.shape).sum(3)
        memories = self._remember(traces, memory)
        return self.readout(memories), (trace, memories[-1])

    def _driven(self, x: Any) -> torch.Tensor:
        """What arrives at the traces, w x by synapse or summed by branch: [T, B, traces]."""
        w = torch.relu(self.raw_w)
        if w.device.type == "cpu" and w.dtype not in KINDS:
            raise ValueError(f"ELM computes in float32 or float64 on the CPU, and its parameters are {w.dtype}")
        if events.is_events(x) and (self.version == 1 or self.routing is None):
            x = events.dense(x, w.dtype)
        if not events.is_events(x):
            if not isinstance(x, torch.Tensor) or x.ndim < 3 or x[0, 0].numel() != self.inputs:
                raise ValueError(f"ELM takes a tensor [T, B, ...] with {self.inputs} inputs, got "
                                 + (f"{tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__))
            x = x.flatten(2)
            x = x.to(w.dtype) if x.device.type == "cpu" and x.dtype not in KINDS else x
        elif math.prod(x.shape[2:]) != self.inputs:
            raise ValueError(f"ELM takes a batch of events with {self.inputs} inputs, got the shape {tuple(x.shape)}")
        if self.routing is None:
            return torch.as_tensor(x * w)
        heard = self.routing.clamp(min=0).flatten()
        w = w * (self.routing >= 0).flatten()
        if self.version == 1:
            return torch.as_tensor(x[:, :, heard] * w)
        branch = torch.arange(len(self.routing), device=w.device).repeat_interleave(self.routing.shape[1])
        weight = w.new_zeros(len(self.routing), self.inputs).index_put((branch, heard), w, accumulate=True)
        if events.is_events(x):
            return events.linear(x, weight, None)
        return sparse.linear(x.flatten(0, 1), weight, None).view(*x.shape[:2], -1)

    def _start(self, driven: torch.Tensor, state: Sequence[torch.Tensor] | None) -> tuple[torch.Tensor, torch.Tensor]:
        shapes = [(driven.shape[1], driven.shape[2]), (driven.shape[1], self.change.out_features)]
        if state is None:
            return driven.new_zeros(shapes[0]), driven.new_zeros(shapes[1])
        if not isinstance(state, (tuple, list)) or [tuple(v.shape) for v in state] != shapes or any(
                v.dtype != driven.dtype or v.device != driven.device for v in state):
            raise ValueError(f"state must be a tuple of 2 tensors ('trace', 'memory') of shapes {shapes[0]} and {shapes[1]}, "
                             f"{driven.dtype} on {driven.device}")
        return state[0], state[1]

    def _remember(self, traces: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """The memories at every step, [T, B, memories]. What the branches say to the perceptron is one product for all."""
        assert self.dt is not None
        tau = self.tau_m.to(traces.dtype)
        kappa = torch.exp(-self.dt / tau)
        gain = self.scale * (1.0 - kappa) if self.version == 1 else 1.0 - torch.exp(-self.scale * self.dt / tau)
        branches = traces.shape[2]
        told = torch.nn.functional.linear(traces, self.into.weight[:, :branches], self.into.bias)
        back, out, gain = self.into.weight[:, branches:].t(), self.change.weight.t(), 1.7159 * gain
        memories = []
        for now in told.unbind(0):
            held = kappa * memory
            hidden = torch.relu(torch.addmm(now, held, back))
            memory = torch.addcmul(held, gain, torch.tanh(torch.addmm(self.change.bias, hidden, out) * (2.0 / 3.0)))
            memories.append(memory)
        return torch.stack(memories)

    def extra_repr(self) -> str:
        of = "" if self.routing is None else f", {len(self.routing)} branches of {self.routing.shape[1]} synapses"
        learned = "" if self.raw_tau is None else ", learned"
        return f"version {self.version}{of}, tau_s={self.tau_s:g}, tau_m={self.bounds}{learned}"


def branch_windows(inputs: int, branches: int, synapses: int, interleave: bool = False) -> NDArray[np.int64]:
    """A routing for `ELM`: branch i hears `synapses` neighbours from input i ceil(inputs / branches) on, [branches, synapses].

    Windows overlap where that is less than `synapses`; beyond the last input a synapse hears nothing, -1 (our choice).
    interleave: the inputs are excitatory in their first half and inhibitory in their second, and stand in turns. The routing
    of NeuronIO is branch_windows(1278, 45, 100, interleave=True). Errors: ValueError that names the argument.
    """
    for name, n in (("inputs", inputs), ("branches", branches), ("synapses", synapses)):
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"{name} must be a positive whole number, got {n!r}")
    if interleave and inputs % 2:
        raise ValueError(f"inputs must be even to be interleaved, got {inputs}")
    order = np.arange(inputs).reshape(2, -1).T.ravel() if interleave else np.arange(inputs)
    place = np.arange(branches)[:, None] * -(-inputs // branches) + np.arange(synapses)
    return np.where(place < inputs, order[np.minimum(place, inputs - 1)], -1)


def _routing(routing: ArrayLike, inputs: int) -> torch.Tensor:
    found = np.array(routing)
    if found.ndim != 2 or not found.size or found.dtype.kind not in "ui" or found.min() < -1 or found.max() >= inputs:
        raise ValueError(f"routing must be whole numbers from -1 to {inputs - 1} in an array [branches, synapses], got "
                         f"{found.dtype} of shape {found.shape}")
    return torch.from_numpy(found.astype(np.int64))


def _bounds(tau_m: Any, learned: bool) -> tuple[float, float]:
    try:
        low, high = tau_m
    except (TypeError, ValueError):
        raise ValueError(f"tau_m must be a pair (low, high) in ms, got {tau_m!r}") from None
    finite("tau_m", tau_m, above=0.0)
    if high < low or (learned and high == low):
        raise ValueError(f"tau_m must be a pair (low, high) with low below high, got {tau_m!r}")
    return float(low), float(high)
