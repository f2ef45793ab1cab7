"""A layer of neurons: any rule as a torch module, with explicit state and a fused time loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import torch

from snnsim.neurons import LI
from snnsim.nn import cuda
from snnsim.nn.compiling import uncompiled
from snnsim.nn.eager import eager
from snnsim.nn.events import dense, is_events
from snnsim.nn.fused import KINDS, Loop
from snnsim.nn.penalty import Penalty, collecting, cost_of
from snnsim.nn.sequential import Stateful
from snnsim.nn.surrogate import Surrogate, surrogate_of
from snnsim.rule import Neuron as Spec
from snnsim.rule import Rule, finite, one_of

Kind = Literal["unit", "positive", "free", "clipped"]
KINDS_OF: dict[str, Kind] = {"decay": "unit", "keep": "unit", "rho": "unit", "theta": "positive", "beta": "positive",
                             "steep": "positive", "a0": "free", "eta": "free"}


class Neuron(Stateful):
    """Neurons of one rule over all steps: forward(x, state=None) -> (out, state).

    x: [T, B, ...], float32 or float64, or a batch of events; for a rule with several inputs a tuple of tensors. out: the
    spikes, or the last state of a rule that never fires, like x. state: a tuple of tensors [B, ...], one for each state
    of the rule; None starts at rest (`neuron.initial`, else 0). float16 and bfloat16, which torch.autocast gives, are
    computed in float32: on the CPU out and state are float32, too; on CUDA out is like x, and the state float32. The
    gradient is that of the rule, with the surrogate for that of the spike.

    neuron: what a neuron is, such as snnsim.neurons.LIF(tau=20.0). surrogate: a name in SURROGATES or a Surrogate;
    width: its width, where it shall not be the surrogate's own. detach_reset: the spike is a constant inside reset.
    dt: ms a step, or None until `set_dt` (which `fit` calls). penalty: what its potentials cost, such as RMP(p=2), or a pure
    function of states, s and parameters; it is computed within `nn.penalties()` alone, on the CPU in the same loops, on
    CUDA step by step with torch's operations, which keep every potential.

    learn: the step parameters to learn. Each becomes a Parameter `raw_<name>` that starts at zero and is the distance
    from the neuron's own value p, in a coordinate in which every number is allowed:
        "unit"      in (0, 1):  sigmoid(log(p / (1 - p)) + raw)       decay, keep and rho, unless told otherwise
        "positive"  above 0:    p exp(raw)                            theta and beta, unless told otherwise
        "free"                  p + raw
        "clipped"  in [0, 1]:   p + raw, or the nearer end, where its gradient is 0
    Give a mapping, learn={"decay": "unit", "rest": "free"}, for other names. shape: of each learned parameter; () is
    one value for the layer, (C, 1, 1) one a channel, (N,) or (C, H, W) one a neuron.

    Errors: TypeError or ValueError that names the argument; ValueError for a wrong shape or dtype, for NaN or infinity
    in x, and when dt is not set.
    """

    def __init__(self, neuron: Spec, *, surrogate: str | Surrogate = "atan", width: float | None = None,
                 detach_reset: bool = False, learn: Sequence[str] | Mapping[str, Kind] = (), shape: Sequence[int] = (),
                 dt: float | None = None, penalty: Penalty | Callable[..., Any] | None = None) -> None:
        super().__init__()
        if not isinstance(neuron, Spec):
            raise TypeError("neuron must be a neuron such as snnsim.neurons.LIF(tau=20.0), got "
                            + ("a Rule: call it with its step parameters" if isinstance(neuron, Rule)
                               else repr(neuron)))
        self.neuron = neuron
        self.surrogate = surrogate_of(surrogate, width)
        self.detach_reset = detach_reset
        self.learn = _kinds(neuron.rule, learn)
        for name in self.learn:
            self.register_parameter(f"raw_{name}", torch.nn.Parameter(torch.zeros(tuple(shape))))
        self.dt: float | None = None
        self._start: dict[str, torch.Tensor] = {}
        self._fixed: dict[tuple[torch.dtype, torch.device], dict[str, torch.Tensor]] = {}
        self.set_penalty(penalty)
        if dt is not None:
            self.set_dt(dt)

    @property
    def rule(self) -> Rule:
        return self.neuron.rule

    def set_dt(self, dt: float) -> None:
        """Tell the neurons the length of a step in ms. ValueError when a learned parameter cannot start at its value."""
        finite("dt", dt, above=0.0)
        values = {k: torch.tensor(v, dtype=torch.float64) for k, v in self.neuron.step_parameters(dt).items()}
        for name, kind in self.learn.items():
            p = values[name]
            if (kind == "unit" and not bool(((p > 0) & (p < 1)).all())) or (kind == "positive" and not bool((p > 0).all())):
                raise ValueError(f"{name} is learned as {kind!r}, so it must lie {_RANGE[kind]}; it is "
                                 f"{p.tolist()} at dt = {dt:g} ms")
            values[name] = _TO_RAW[kind](p)
        self._start, self._fixed, self.dt = values, {}, float(dt)

    def set_penalty(self, penalty: Penalty | Callable[..., Any] | None) -> None:
        """Give the neurons a penalty of their potentials, or take it away. Errors: those of `snnsim.nn.penalty.cost_of`."""
        self._cost = None if penalty is None else cost_of(penalty, self.rule)
        self.penalty = penalty

    def anneal(self, epoch: int, epochs: int) -> None:
        """Tell the surrogate how far the training is, as `fit` does before each epoch: one with a schedule changes."""
        self.surrogate = self.surrogate.at(epoch / epochs)

    def step_parameters(self) -> dict[str, torch.Tensor]:
        """The parameters of one step as they are now, by name; those that are learned with their gradients."""
        if self.dt is None:
            raise ValueError("the time step is not set: pass dt=... to fit, or call snnsim.nn.set_dt(net, dt)")
        values = dict(self._start)
        for name, kind in self.learn.items():
            raw = self.get_parameter(f"raw_{name}")
            values[name] = _FROM_RAW[kind](values[name].to(raw.device, raw.dtype), raw)
        return values

    def parameters_for(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The step parameters as the loop over x [T, B, ...] takes them. ValueError when one does not fit its neurons."""
        key = cuda.STATE[x.dtype], x.device
        typed = self._fixed.get(key)
        if typed is None:
            with nullcontext() if self.learn else torch.inference_mode(False):  # what is kept serves training, too
                typed = {name: p.to(x.device, key[0]) for name, p in self.step_parameters().items()}
            if not self.learn:
                self._fixed[key] = typed  # a copy to a card makes the host wait
        return [fitting(name, p, x.shape[2:]) for name, p in typed.items()]

    @uncompiled
    def forward(self, x: Any, state: Sequence[torch.Tensor] | None = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        inputs, state = self.started(x, state)
        found = None if self._cost is None else collecting()
        if found is None:
            return self.run(inputs, state, self.parameters_for(inputs[0]))
        out, (*after, cost) = self.run(inputs, state, self.parameters_for(inputs[0]), self._cost)
        found.add(self, cost, len(out))
        return out, tuple(after)

    def started(self, x: Any, state: Sequence[torch.Tensor] | None) -> tuple[
            tuple[torch.Tensor, ...], Sequence[torch.Tensor] | None]:
        """The rule's inputs, and the state to start from, as `run` takes them. ValueError that says what is wrong."""
        inputs = self.tensors(x)
        self.check_state(state, inputs[0], self.rule.states)
        if state is None and any(self.neuron.initial.values()):
            state = [torch.full_like(inputs[0][0], self.neuron.initial.get(name, 0.0), dtype=cuda.STATE[inputs[0].dtype])
                     for name in self.rule.states]
        return inputs, state

    def run(self, inputs: tuple[torch.Tensor, ...], state: Any, parameters: list[torch.Tensor], cost: Any = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        """All steps: out, and the state after them, with the sums of the cost as its last tensor where there is a cost."""
        loop: Any
        if cost is None:
            kind = cuda.Loop if inputs[0].is_cuda else Loop
            loop = kind(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset)
        elif inputs[0].is_cuda:
            loop = partial(self.eager, cost=cost)
        else:
            loop = Loop(self.rule, self.surrogate.slope, self.surrogate.width, self.detach_reset, cost)
        return over_time(loop, inputs, state, parameters)

    def eager(self, inputs: Sequence[torch.Tensor], state: Any, parameters: Sequence[torch.Tensor], **options: Any) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        """What `run` computes, by `snnsim.nn.eager` with these options."""
        wide = [i.to(cuda.STATE[i.dtype]) for i in inputs]
        out, after = eager(self.rule, self.surrogate.slope, wide, state, parameters, width=self.surrogate.width,
                           detach_reset=self.detach_reset, **options)
        return out.to(inputs[0].dtype), after

    def tensors(self, x: Any) -> tuple[torch.Tensor, ...]:
        """The rule's inputs, one tensor each. ValueError that says what is wrong with x."""
        if is_events(x):
            x = dense(x)
        inputs: tuple[torch.Tensor, ...] = tuple(_widened(i) for i in (x if isinstance(x, tuple) else (x,)))
        for i in inputs:
            if not isinstance(i, torch.Tensor):
                raise ValueError(f"x must be a tensor [T, B, ...] or a batch of events, got {type(i).__name__}")
            if i.ndim < 3 or not i.numel():
                raise ValueError(f"x must be [T, B, ...] with at least three dimensions and one value, got {tuple(i.shape)}")
            if i.dtype not in (cuda.STATE if i.is_cuda else KINDS) or i.device.type not in ("cpu", "cuda"):
                raise ValueError("x must be float32 or float64 on the CPU, or float32, float64, bfloat16 or float16 on CUDA, "
                                 f"got {i.dtype} on {i.device}")
            if i.shape != inputs[0].shape or i.dtype != inputs[0].dtype or i.device != inputs[0].device:
                raise ValueError("the inputs of a neuron must have one shape, dtype and device, got "
                                 + " and ".join(f"{tuple(j.shape)} {j.dtype} on {j.device}" for j in inputs))
        if len(inputs) != len(self.rule.inputs):
            raise ValueError(f"rule {self.rule.name!r} has the inputs {self.rule.inputs}: x must be a tuple of "
                             f"{len(self.rule.inputs)} tensors, got {len(inputs)}")
        return inputs

    def check_state(self, state: Sequence[torch.Tensor] | None, like: torch.Tensor, names: Sequence[str]) -> None:
        """ValueError unless the state is None, or one tensor for each of the names, each as one step of `like`."""
        if state is None:
            return
        if not isinstance(state, (tuple, list)) or len(state) != len(names) or any(
                not isinstance(v, torch.Tensor) or v.shape != like.shape[1:] or v.dtype != cuda.STATE[like.dtype]
                or v.device != like.device for v in state):
            raise ValueError(f"state must be a tuple of {len(names)} tensors {tuple(names)} of shape {tuple(like.shape[1:])} "
                             f"and {cuda.STATE[like.dtype]} on {like.device}")
        if not like.is_cuda and not all(bool(torch.isfinite(v).all()) for v in state):
            raise ValueError("the state holds NaN or infinity")

    def extra_repr(self) -> str:
        learned = f", learn={dict(self.learn)}" if self.learn else ""
        return f"{self.neuron}{learned}"


class Readout(Neuron):
    """A leaky integrator that never fires: out is its membrane [T, B, N]. tau: ms; options: those of Neuron."""

    def __init__(self, tau: float = 20.0, **options: Any) -> None:
        super().__init__(LI(tau=tau), **options)


def set_dt(module: torch.nn.Module, dt: float) -> None:
    """Tell every layer in the module that asks for it the length of a step, in ms."""
    for m in module.modules():
        tell = getattr(m, "set_dt", None) if isinstance(m, Stateful) else None
        if tell is not None:
            tell(dt)


def set_penalty(module: torch.nn.Module, penalty: Penalty | Callable[..., Any] | None) -> None:
    """Give every layer of neurons that fire in the module this penalty of its potentials, or None. ValueError that names the
    layer which cannot have it; then no layer has another one than before."""
    layers = {name: m for name, m in module.named_modules() if isinstance(m, Neuron) and m.rule.fires}
    before = {name: m.penalty for name, m in layers.items()}
    for name, m in layers.items():
        try:
            m.set_penalty(penalty)
        except ValueError as e:
            for changed in before:
                layers[changed].set_penalty(before[changed])
            raise ValueError(f"layer {name} ({type(m).__name__}): {e}") from None


_RANGE = {"unit": "between 0 and 1", "positive": "above 0"}
_TO_RAW: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "unit": torch.logit, "positive": lambda p: p, "free": lambda p: p, "clipped": lambda p: p}
_FROM_RAW: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "unit": lambda start, raw: torch.sigmoid(start + raw), "positive": lambda start, raw: start * torch.exp(raw),
    "free": lambda start, raw: start + raw, "clipped": lambda start, raw: (start + raw).clamp(0.0, 1.0)}


def _kinds(rule: Rule, learn: Sequence[str] | Mapping[str, Kind]) -> dict[str, Kind]:
    """The learned parameters with their kinds; ValueError that names what is not allowed."""
    if isinstance(learn, str):
        raise ValueError(f"learn must be a tuple of names, got {learn!r}: write learn=({learn!r},)")
    kinds: dict[str, Kind] = {}
    for name in learn:
        one_of("learn", name, rule.parameters)
        kind = learn[name] if isinstance(learn, Mapping) else KINDS_OF.get(name)
        if kind is None:
            raise ValueError(f"how {name!r} is kept valid is not known: write learn={{{name!r}: 'unit' | 'positive' | 'free' | "
                             "'clipped'}}")
        one_of(f"learn[{name!r}]", kind, _TO_RAW)
        kinds[name] = kind
    return kinds


def over_time(loop: Callable[..., Any], inputs: tuple[torch.Tensor, ...], state: Sequence[torch.Tensor] | None,
              parameters: list[torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """loop(inputs, state, parameters), where channels stand last in memory without moving them."""
    if not _channels_last(inputs[0]):
        return loop(inputs, state, parameters)  # type: ignore[no-any-return]
    inputs = tuple(i.movedim(2, 4) for i in inputs)
    state = None if state is None else [v.movedim(1, 3) for v in state]
    parameters = [p if p.numel() == 1 else p.reshape((1,) * (3 - p.ndim) + p.shape).movedim(0, 2) for p in parameters]
    out, after = loop(inputs, state, parameters)
    return out.movedim(4, 2), tuple(v.movedim(3, 1) for v in after)


def fitting(name: str, p: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The parameter, if it broadcasts to neurons of this shape without making it larger."""
    if p.ndim == 0:
        return p
    lead = len(shape) - p.ndim
    if lead < 0 or any(a not in (1, b) for a, b in zip(p.shape, shape[lead:], strict=True)):
        raise ValueError(f"{name} of shape {tuple(p.shape)} does not fit neurons of shape {tuple(shape)}")
    return p


def _widened(x: Any) -> Any:
    """Half precision as float32: a membrane adds up what is smaller than its own rounding there. CUDA kernels do so inside."""
    half = isinstance(x, torch.Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.float() if half and not x.is_cuda else x


def _channels_last(x: torch.Tensor) -> bool:
    return x.ndim == 5 and not x.is_contiguous() and x.movedim(2, 4).is_contiguous()
