"""One walk over another framework's layers: what both frameworks share, which is mostly torch's own layers.

A layer is recognised by its class, or by one that it inherits from without changing more than the constructor: what
else may have been changed cannot be read off. Weights are copied, so that both nets train on their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.nn import layers as ours
from snnsim.nn.convert.each_step import BatchNorm1dEachStep, BatchNorm2dEachStep, DropoutEachStep
from snnsim.nn.neuron import Kind, Neuron
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.sequential import Sequential
from snnsim.nn.surrogate import Surrogate
from snnsim.rule import Rule

Module = torch.nn.Module
Seen = Literal["each", "all", "folded"]  # what a layer is given: one step [B, ...], all [T, B, ...], all as [T B, ...]
Leaf = Callable[[Any, Seen], Module]
HARMLESS = {"__init__", "__module__", "__qualname__", "__doc__", "__annotations__", "__firstlineno__",
            "__static_attributes__", "extra_repr"}


@dataclass(frozen=True)
class Framework:
    """leaves: what becomes of a layer, by class. recurrent: the same for layers whose spikes come back to them, which are
    told the walk and their path. containers: how the layers in one see time, given how it does."""

    name: str
    leaves: Mapping[type, Leaf]
    recurrent: Mapping[type, Callable[[Walk, str, Any, Seen], Module]]
    containers: Mapping[type, Callable[[Any, Seen], Seen]]

    def known(self, module: Module) -> type:
        """The class that the module is converted as. ValueError that says why there is none."""
        changed: list[str] = []
        classes = (*self.leaves, *self.recurrent, *self.containers)
        for base in type(module).__mro__:
            if base in classes:
                if changed:
                    raise ValueError(f"cannot be converted: it changes {', '.join(changed)} of {base.__name__}")
                return base
            changed += sorted(set(vars(base)) - HARMLESS)
        names = dict.fromkeys(c.__name__ for c in classes)
        raise ValueError(f"cannot be converted: from_{self.name} takes {', '.join(names)}")

    def inside(self, net: Any, seen: Seen) -> Seen:
        """How the net's own layers see time, for a net that is a module. TypeError unless it applies them in their order
        and does nothing else."""
        if not isinstance(net, Module):
            return seen
        try:
            unhooked(net)
            return self.containers[self.known(net)](net, seen)
        except ValueError as e:
            raise TypeError(f"the net ({type(net).__name__}) {e}; give a list of its layers in the order in which they are "
                            "applied") from None


@dataclass
class Walk:
    """What has been seen so far, so that nothing is converted twice. width: N where the layers so far give [T, B, N] and
    it is known."""

    framework: Framework
    places: dict[int, str] = field(default_factory=dict)
    width: int | None = None

    def sequence(self, layers: Iterable[tuple[str, Module]], seen: Seen, above: str = "") -> Sequential:
        """The layers as a Sequential with the same names, training where one of them does. ValueError that names the layer."""
        out = Sequential()
        for name, module in layers:
            path = f"{above}{name}"
            try:
                kind = self.kind(path, module)
                inner = self.framework.containers[kind](module, seen) if kind in self.framework.containers else None
                if inner is None and kind is not torch.nn.Identity:
                    out.add_module(name, self.layer(path, kind, module, seen).train(module.training))
                    self.width = _width(out[-1], self.width)
            except ValueError as e:
                raise ValueError(f"layer {path} ({type(module).__name__}): {e}") from None
            if inner is not None:
                out.add_module(name, self.sequence(children(module), inner, f"{path}."))
        out.training = any(m.training for m in out)
        return out

    def layer(self, path: str, kind: type, module: Any, seen: Seen) -> Module:
        if kind in self.framework.recurrent:
            return self.framework.recurrent[kind](self, path, module, seen)
        return self.framework.leaves[kind](module, seen)

    def kind(self, path: str, module: Any) -> type:
        """What the module is converted as. ValueError when it cannot be, also because it or its weights were seen before."""
        if not isinstance(module, Module):
            raise ValueError("is no torch.nn.Module: give the modules in the order in which they are applied")
        kind = self.framework.known(module)
        unhooked(module)
        if kind not in self.framework.containers and not isinstance(module, STATELESS):
            for thing in (module, *module.parameters()):
                place = self.places.setdefault(id(thing), path)
                if place != path and not path.startswith(f"{place}."):  # a part of a layer has what the layer has
                    raise ValueError(f"shares its weights or its state with layer {place}: each layer is converted on its own")
        return kind


def children(module: Module) -> list[tuple[str, Module]]:
    """The layers by name, also those that stand there twice, which named_children leaves out."""
    return [(name, m) for name, m in module._modules.items() if m is not None]


def unhooked(module: Module) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError("has forward hooks, which may change what it gives: remove them before it is converted")


def named(net: Any, framework: str) -> list[tuple[str, Module]]:
    """The layers of a Sequential, a list or a dict of modules, with their names. TypeError for anything else."""
    if isinstance(net, Mapping):
        for name in net:
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"the name of a layer must be a text without dots, got {name!r}")
        return list(net.items())
    if isinstance(net, (list, tuple, torch.nn.ModuleList)):
        return [(str(i), m) for i, m in enumerate(net)]
    if isinstance(net, torch.nn.Sequential):
        return children(net)
    raise TypeError(f"from_{framework} takes a torch.nn.Sequential, or for a net with a forward of its own a list or dict of "
                    f"its layers in the order in which they are applied, got {type(net).__name__}")


def neuron(rule: Rule, values: Mapping[str, Any], surrogate: Surrogate, detach_reset: bool,
           learned: Mapping[str, tuple[Kind, torch.Tensor]]) -> Neuron:
    """Neurons with these step parameters. learned: the parameters that are, their kind, and what the other framework
    learns in their place, of which the shape, the dtype and whether it is frozen are kept."""
    new = Neuron(rule(**values), surrogate=surrogate, detach_reset=detach_reset, dt=1.0,
                 learn={name: kind for name, (kind, _) in learned.items()})
    for name, (_, theirs) in learned.items():
        raw = torch.zeros(np.shape(values[name]), dtype=theirs.dtype, device=theirs.device)
        new.register_parameter(f"raw_{name}", torch.nn.Parameter(raw, requires_grad=theirs.requires_grad))
    return new


def recurrent(plain: Neuron, weight: torch.nn.Parameter, bias: torch.nn.Parameter | None = None, *,
              one_to_one: bool = False) -> Recurrent:
    """The same neurons, with their learned parameters, and with these recurrent synapses. one_to_one: those of the diagonal."""
    n = len(weight)
    mask = torch.eye(n, dtype=torch.bool, device=weight.device) if one_to_one else None
    with torch.random.fork_rng(devices=[]):  # its first weights would move the user's random numbers
        new = Recurrent(plain.neuron, n, mask=mask, bias=bias is not None, surrogate=plain.surrogate,
                        detach_reset=plain.detach_reset, learn=plain.learn, dt=1.0)
    for name, p in (*plain.named_parameters(), ("weight", weight), ("bias", bias)):
        new.register_parameter(name, p)
    return new


def diagonal(value: Any, width: int | None, path: str) -> torch.nn.Parameter:
    """The recurrent weights [N, N] of neurons that hear themselves alone, each with its own weight or all with one.
    ValueError where N is not known, and for one weight that is learned."""
    learned = isinstance(value, torch.nn.Parameter) and value.requires_grad
    array = numbers(value)
    if array.ndim > 1:
        raise ValueError(f"cannot be converted: {path} must be one value, or one a neuron [N], got {array.shape}")
    if array.size == 1 and width != 1:
        if learned:
            raise ValueError(f"cannot be converted: {path} is one learned value for all neurons, and here each synapse learns "
                             "its own: give one a neuron, such as torch.ones(N)")
        if width is None:
            raise ValueError("cannot be converted: how many neurons it has is not known here: a Linear must stand before it")
        array = np.full(width, array)
    dtype = value.dtype if isinstance(value, torch.Tensor) and value.is_floating_point() else torch.get_default_dtype()
    device = value.device if isinstance(value, torch.Tensor) else None
    return torch.nn.Parameter(torch.diag(torch.as_tensor(np.ravel(array)).to(device, dtype)), requires_grad=learned)


def part(p: torch.nn.Parameter, *at: slice) -> torch.nn.Parameter:
    """A copy of a part of a parameter, frozen where it is."""
    return torch.nn.Parameter(p.detach()[at].clone(), requires_grad=p.requires_grad)


def _width(new: Module, before: int | None) -> int | None:
    """How many values a layer gives to each sample, [T, B, N], or None where that is not known."""
    match new:
        case ours.Linear():
            return new.out_features
        case Recurrent():
            return new.features
        case Sequential():
            return _width(new[-1], before)
        case Neuron() | ours.BatchNorm1d() | ours.Dropout():
            return before
    return None


def numbers(value: Any) -> NDArray[np.float64]:
    """A number or tensor as float64, without the axes of size 1 in front, which broadcast over the samples."""
    array = np.asarray(value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else value, np.float64)
    while array.ndim > 1 and len(array) == 1:
        array = array[0]
    return array


def copied(new: Module, old: Module) -> Module:
    """The new module with the old one's values, and with what of it is frozen."""
    new.load_state_dict(old.state_dict())
    for name, p in new.named_parameters():
        p.requires_grad_(old.get_parameter(name).requires_grad)
    return new


def made(kind: type[Module], *arguments: Any, **options: Any) -> Module:
    """The module without drawing its first weights, which would move the user's random numbers."""
    new: Module = torch.nn.utils.skip_init(kind, *arguments, **options)
    return new


def linear(m: torch.nn.Linear, seen: Seen) -> Module:
    return copied(made(ours.Linear, m.in_features, m.out_features, m.bias is not None, dtype=m.weight.dtype,
                       device=m.weight.device), m)


def conv2d(m: torch.nn.Conv2d, seen: Seen) -> Module:
    whole(seen, "Conv2d")
    return copied(made(ours.Conv2d, m.in_channels, m.out_channels, m.kernel_size, m.stride, m.padding, m.dilation, m.groups,
                       m.bias is not None, m.padding_mode, dtype=m.weight.dtype, device=m.weight.device), m)


def batch_norm(over_all: type[Module], each: type[Module]) -> Leaf:
    def convert(m: Any, seen: Seen) -> Module:
        whole(seen, type(m).__name__)
        new = (each if seen == "each" else over_all)(m.num_features, m.eps, m.momentum, m.affine, m.track_running_stats)
        held = m.weight if m.affine else m.running_mean
        return copied(new if held is None else new.to(held), m)
    return convert


def avg_pool2d(m: torch.nn.AvgPool2d, seen: Seen) -> Module:
    whole(seen, "AvgPool2d")
    padding = m.padding if isinstance(m.padding, tuple) else (m.padding,)
    if any(padding) or m.ceil_mode or m.divisor_override is not None:
        raise ValueError("padding, ceil_mode and divisor_override must be 0, False and None")
    return ours.AvgPool2d(m.kernel_size, m.stride)


def max_pool2d(m: torch.nn.MaxPool2d, seen: Seen) -> Module:
    whole(seen, "MaxPool2d")
    if m.return_indices:
        raise ValueError("return_indices must be False")
    return ours.MaxPool2d(m.kernel_size, m.stride, m.padding, m.dilation, ceil_mode=m.ceil_mode)


def flatten(m: torch.nn.Flatten, seen: Seen) -> Module:
    start = 2 if seen == "all" else 1
    if (m.start_dim, m.end_dim) != (start, -1):
        raise ValueError(f"start_dim and end_dim must be {start} and -1 here, so that steps and samples stay apart, got "
                         f"{m.start_dim} and {m.end_dim}")
    return ours.Flatten()


def dropout(m: torch.nn.Dropout, seen: Seen) -> Module:
    return DropoutEachStep(m.p)


def whole(seen: Seen, name: str) -> None:
    if seen == "all":
        raise ValueError(f"torch's {name} does not take [T, B, ...]: write layer.{name}(..., step_mode='m'), or put it into "
                         "a layer.SeqToANNContainer")


STATELESS = (torch.nn.Flatten, torch.nn.Dropout, torch.nn.Identity, torch.nn.AvgPool2d, torch.nn.MaxPool2d)
TORCH: dict[type, Leaf] = {
    torch.nn.Linear: linear, torch.nn.Conv2d: conv2d, torch.nn.AvgPool2d: avg_pool2d, torch.nn.MaxPool2d: max_pool2d,
    torch.nn.BatchNorm1d: batch_norm(ours.BatchNorm1d, BatchNorm1dEachStep),
    torch.nn.BatchNorm2d: batch_norm(ours.BatchNorm2d, BatchNorm2dEachStep),
    torch.nn.Flatten: flatten, torch.nn.Dropout: dropout, torch.nn.Identity: lambda m, seen: m}
