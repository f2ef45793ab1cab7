"""A trained net without spikes becomes one with spikes: quantised activations (QCFS), and the net with neurons in their place.

Bu, Fang, Ding, Dai, Yu and Huang, ICLR (2022). What an integrate-and-fire neuron with soft reset, threshold c and v = c / 2 at
the start makes of a constant input in T = L steps is, on average, exactly the activation with L levels. An input that changes
over the steps, as that of every layer but the first does, leaves an error that shrinks with T.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from snnsim.neurons import integrate, readout
from snnsim.nn import layers as ours
from snnsim.nn.events import dense, is_events
from snnsim.nn.neuron import Neuron, set_dt
from snnsim.nn.sequential import Sequential
from snnsim.rule import Fixed, finite

Module = torch.nn.Module


class QCFS(Module):
    """Quantisation, clip, floor and shift, for tensors of any shape, or a batch of events:

        h(x) = c clip(floor(x L / c + 1/2) / L, 0, 1)
        dh/dx = 1 where 0 < x < c, else 0;   dh/dc = h / c - (x / c where 0 < x < c, else 0)

    The floor passes the gradient as if it were not there. levels: L, at least 1. clip: where the Parameter `clip`, c, starts,
    in the unit of x; it must stay above 0. `to_spiking` makes neurons of it.

    The gradient by c is that of the authors' code, not of the paper's formula, which was wrong.

    Errors: ValueError that names the argument; ValueError in forward when c is no longer above 0.
    """

    def __init__(self, levels: int = 8, clip: float = 8.0) -> None:
        super().__init__()
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
            raise ValueError(f"levels must be a positive whole number, got {levels!r}")
        finite("clip", clip, above=0.0)
        self.levels = levels
        self.clip = torch.nn.Parameter(torch.tensor(float(clip)))

    def forward(self, x: Any) -> torch.Tensor:
        x = dense(x) if is_events(x) else x
        clip = float(self.clip.detach())
        if not clip > 0.0:
            raise ValueError(f"the clip of QCFS must stay above 0, it has become {clip:g}: lower the learning rate")
        y: torch.Tensor = _Quantise.apply(x, self.clip, self.levels)  # type: ignore[no-untyped-call]
        return y

    def extra_repr(self) -> str:
        return f"levels={self.levels}, clip={float(self.clip.detach()):g}"


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, clip: torch.Tensor, levels: int) -> torch.Tensor:
        c = clip.to(x.dtype)
        share = (torch.floor(x * levels / c + 0.5) / levels).clamp(0.0, 1.0)
        ctx.save_for_backward(x, share, clip)
        return c * share

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, share, clip = ctx.saved_tensors
        inside = (x > 0) & (x < clip)
        by_clip = torch.where(inside, share - x / clip.to(x.dtype), share)
        return torch.where(inside, g, 0.0), (g * by_clip).sum().to(clip.dtype), None


def to_spiking(net: torch.nn.Sequential, data: torch.Tensor | None = None, *, percentile: float = 100.0) -> Sequential:
    """The spiking net of a trained one, in evaluation mode: forward(x, state=None) -> (out [T, B, classes], state).

    net: layers in a row, torch's or ours, that end in a linear one: Linear, Conv2d, batch norm behind one of them, AvgPool2d,
    Flatten, Dropout, and ReLU or QCFS between. Each activation becomes integrate-and-fire neurons with soft reset, the
    threshold c and v = c / 2 at the start; they emit 1, and c is in the weights of the next layer. c is the clip of a QCFS;
    for a ReLU it is that percentile of what it gives for `data`, as `net` takes it, where 100 is the largest. The output is
    what the last layer makes of each step: take the mean over the steps, as `fit`, `evaluate` and `engine.run` do.

        spiking = nn.to_spiking(net)
        out, _ = spiking(images.expand(steps, *images.shape))        # the image itself at every step
        scores = out.mean(0)

    Weights are copied. The net starts afresh at each call, with v = c / 2, unless a state is passed. Batch norms stay, and fold
    when it is lowered.

    Errors: TypeError for a net that is not a Sequential; ValueError that names the layer that has no counterpart, or what is
    missing.
    """
    if not isinstance(net, torch.nn.Sequential):
        raise TypeError(f"to_spiking takes a torch.nn.Sequential, got {type(net).__name__}")
    finite("percentile", percentile, above=0.0)
    if percentile > 100.0:
        raise ValueError(f"percentile must be at most 100, got {percentile!r}")
    walk = _Walk(data, percentile)
    with torch.no_grad():
        walk.sequence(net, "")
    if walk.waiting is not None or not walk.weighted:
        raise ValueError("the net must end in a Linear or Conv2d layer, whose output is averaged over the steps"
                         + (f": it ends in {walk.waiting}" if walk.waiting else ""))
    spiking = Sequential(*walk.layers, Neuron(readout.RULE(decay=0.0))).eval()
    set_dt(spiking, 1.0)  # nothing in it depends on the length of a step
    return spiking


class _Walk:
    """The layers so far, what they give for the data, and the threshold that the next weights are to be multiplied by."""

    def __init__(self, data: torch.Tensor | None, percentile: float) -> None:
        self.x, self.percentile = data, percentile
        self.layers: list[Module] = []
        self.factor = 1.0
        self.waiting: str | None = None  # the activation whose threshold no weight has taken yet
        self.weighted = False

    def sequence(self, net: torch.nn.Sequential, above: str) -> None:
        for name, module in net.named_children():
            label = f"layer {above}{name} ({type(module).__name__})"
            if isinstance(module, torch.nn.Sequential):
                self.sequence(module, f"{above}{name}.")
                continue
            self.visit(module, label)
            if self.x is not None:
                training = module.training
                self.x = module.eval()(self.x)
                module.train(training)

    def visit(self, module: Module, label: str) -> None:
        match module:
            case torch.nn.Linear():
                made = ours.Linear(module.in_features, module.out_features, module.bias is not None)
                self.weights(module, made)
            case torch.nn.Conv2d():
                conv = ours.Conv2d(module.in_channels, module.out_channels, _pair(module.kernel_size), _pair(module.stride),
                                   module.padding if isinstance(module.padding, str) else _pair(module.padding),
                                   _pair(module.dilation), module.groups, module.bias is not None, module.padding_mode)
                self.weights(module, conv)
            case torch.nn.BatchNorm1d() | torch.nn.BatchNorm2d():
                self.norm(module, label)
            case torch.nn.AvgPool2d() | ours.AvgPool2d() | ours.SumPool2d():
                self.layers.append(_pool(module, label))
            case torch.nn.Flatten() | ours.Flatten():
                if isinstance(module, torch.nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
                    raise ValueError(f"{label} cannot be converted: it must flatten from dimension 1 to -1")
                self.layers.append(ours.Flatten())
            case torch.nn.Dropout() | torch.nn.Dropout2d() | ours.Dropout() | torch.nn.Identity():
                pass
            case QCFS():
                self.neurons(float(module.clip.detach()), label)
            case torch.nn.ReLU():
                self.neurons(self.calibrated(label), label)
            case _:
                raise ValueError(f"{label} cannot be converted: it must be Linear, Conv2d, batch norm, AvgPool2d, SumPool2d, "
                                 "Flatten, Dropout, ReLU or QCFS" + (
                                     "; a maximum of spikes is not that of their rates: train with AvgPool2d"
                                     if "MaxPool" in type(module).__name__ else ""))

    def weights(self, module: torch.nn.Linear | torch.nn.Conv2d, made: torch.nn.Linear | torch.nn.Conv2d) -> None:
        made.to(module.weight.dtype).weight.copy_(module.weight * self.factor)
        if module.bias is not None and made.bias is not None:
            made.bias.copy_(module.bias)
        self.layers.append(made)
        self.factor, self.waiting, self.weighted = 1.0, None, True

    def norm(self, module: torch.nn.BatchNorm1d | torch.nn.BatchNorm2d, label: str) -> None:
        if self.waiting or not self.weighted:
            raise ValueError(f"{label} cannot be converted: a batch norm must stand between a Linear or Conv2d layer and an "
                             "activation")
        if module.running_mean is None:
            raise ValueError(f"{label} cannot be converted: it keeps no running statistics")
        kind: Callable[..., Module] = (ours.BatchNorm1d if isinstance(module, torch.nn.BatchNorm1d) else ours.BatchNorm2d)
        made = kind(module.num_features, module.eps, module.momentum, module.affine)
        made.to(module.running_mean.dtype).load_state_dict(module.state_dict())
        self.layers.append(made)

    def neurons(self, clip: float, label: str) -> None:
        if self.waiting or not self.weighted:
            raise ValueError(f"{label} cannot be converted: no Linear or Conv2d layer stands before it")
        self.layers.append(Neuron(Fixed(integrate.RULES["soft"], {"theta": clip}, {"v": 0.5 * clip})))
        self.factor, self.waiting = clip, label

    def calibrated(self, label: str) -> float:
        """The percentile of what the layer gives for the data."""
        if self.x is None:
            raise ValueError(f"{label}: a ReLU has no clip of its own: give data, from which it is read")
        values = self.x.relu().flatten().double()
        rank = max(int(-(-self.percentile * len(values) // 100)), 1)
        clip = float(values.kthvalue(rank).values)
        if not clip > 0.0:
            raise ValueError(f"{label} gives no positive value for the data at percentile {self.percentile:g}: give more data, "
                             "or a higher percentile")
        return clip


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    return value[0], value[-1]


def _pool(module: Any, label: str) -> Module:
    if isinstance(module, (ours.AvgPool2d, ours.SumPool2d)):
        return type(module)(module.kernel, module.stride)
    if module.padding not in (0, (0, 0)) or module.ceil_mode or module.divisor_override:
        raise ValueError(f"{label} cannot be converted: its padding, ceil_mode and divisor_override must be 0, False and None")
    return ours.AvgPool2d(module.kernel_size, module.stride)
