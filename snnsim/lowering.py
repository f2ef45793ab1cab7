"""A trained net becomes a Network: plain data that the engine runs and the exporters write.

One walk over the layers of a Sequential. Linear maps gather into a chain until a neuron layer closes it; a batch norm
is folded into the linear map before it (w' = w gamma / sqrt(var + eps), b' = (b - mean) gamma / sqrt(var + eps) +
beta); so is the factor 1 / (height width) of an average pool, which becomes a sum pool, and the gain of a neuron whose
rule stands for a leaky integrate-and-fire that targets know. A batch norm of the membrane becomes thresholds. Delays are
rounded, and those of axons go to the synapses of the linear layer after them. Dropout vanishes, flatten is how a Network
indexes anyway. Where a Graph branches, each of its chains is walked so.
Anything else is refused by name.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import snnsim.nn as nn
from snnsim.maps import Conv2d, Delayed, Dense, Map, SumPool2d, weighing
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons.standard import Standard, standard
from snnsim.rule import Fixed

Shape = tuple[int, ...]
WEIGHTED = (Dense, Conv2d, Delayed)


def lower(net: torch.nn.Module, *, time: TimeBase | None = None, input_shape: Sequence[int] | None = None,
          classes: Sequence[str] | None = None, average_steps: bool = False) -> Network:
    """The Network that does what the net does in evaluation mode.

    time, input_shape (N,) or (channels, height, width), classes: as the net was trained, unless given. The weights'
    dtype is kept. Network.notes says what was folded, and what no longer equals the net bit for bit because of it.
    average_steps: a norm that differs from step to step (BNTT, TEBN), which no Network holds, is replaced by its mean over
    the steps, and noted.

    Errors: TypeError for a module that is not a Sequential; ValueError that names the layer which cannot be lowered,
    or what is not known yet.
    """
    if not isinstance(net, nn.Sequential):
        raise TypeError(f"lower takes an snnsim.nn.Sequential, got {type(net).__name__}")
    time = time or getattr(net, "time", None)
    shape = input_shape or getattr(net, "input_shape", None)
    if time is None or shape is None:
        raise ValueError("lower needs time=TimeBase(dt=...) and input_shape=(channels, height, width): the net was not "
                         "trained by fit, which would have told")
    walk, training = _Walk(tuple(int(n) for n in shape), average_steps), [m for m in net.modules() if m.training]
    net.eval()  # weights may be others in training
    try:
        for name, module in net.named_children():
            walk.visit(name, module)
    finally:
        for m in training:
            m.training = True
    output = walk.finish()
    return Network(tuple(walk.populations), tuple(walk.projections), time, output,
                   "count" if walk.populations[-1].rule.fires else "membrane", tuple(walk.notes),  # type: ignore[union-attr]
                   tuple(classes if classes is not None else getattr(net, "classes", ())))


class _Walk:
    """What has been built so far, and the chain of maps that waits for its neurons."""

    def __init__(self, shape: Shape, average_steps: bool = False) -> None:
        self.average_steps = average_steps
        self.populations = [Population("input", shape)]
        self.projections: list[Projection] = []
        self.notes: list[str] = []
        self.shape = shape
        self.maps: list[Map] = []
        self.bias: NDArray[Any] | None = None
        self.waiting: NDArray[Any] | None = None  # the delays of the axons that the next linear layer starts from
        self.hops = 0  # steps that the chain takes
        self.last = ""  # the last map, and the last with weights
        self.weighted = ""
        self.factor: NDArray[Any] = np.ones(())  # what the chain is still to be multiplied by

    def visit(self, name: str, module: torch.nn.Module) -> None:
        label = f"layer {name} ({type(module).__name__})"
        match module:
            case nn.Sequential():
                for inner, child in module.named_children():
                    self.visit(f"{name}.{inner}", child)
            case nn.Graph():
                self.graph(name, module)
            case nn.Neuron():
                self.close(name, module, label)
            case nn.Linear() | nn.Conv2d():
                self.linear(module, label)
            case nn.DelayLinear():
                self.delayed(module, label)
            case nn.Delay():
                delay = module.steps().cpu().numpy()
                if delay.shape != self.shape:
                    raise ValueError(f"{label} has {len(delay)} delays, but {self.shape} channels reach it")
                self.waiting = delay if self.waiting is None else self.waiting + delay
                self.last = label
            case nn.Hop():
                if self.bias is not None:
                    raise ValueError(f"{label} follows a bias, which it delays and a Network does not: put it before the layer "
                                     "with the bias, or leave out that bias")
                self.hops += module.steps
            case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BNTT1d() | nn.BNTT2d():
                self.fold(module, label)
            case nn.SumPool2d():
                self.append(SumPool2d(module.kernel, module.stride), label)
            case nn.AvgPool2d():
                self.pool(module, label)
            case nn.Flatten():
                self.shape = (int(np.prod(self.shape)),)
            case nn.Dropout() | nn.Counts():
                pass
            case nn.ELM():
                raise ValueError(f"{label} cannot be lowered: it is not a spiking rule, as its memories pass a perceptron and "
                                 "its output is a number at every step")
            case nn.QCFS():
                raise ValueError(f"{label} cannot be lowered: it is an activation without spikes; snnsim.nn.to_spiking makes "
                                 "neurons of it")
            case _:
                raise ValueError(f"{label} cannot be lowered: a Network holds Linear, Conv2d, DelayLinear, Delay, "
                                 "SumPool2d, AvgPool2d, Flatten, batch norm after a linear map, dropout and neurons")

    def graph(self, name: str, module: nn.Graph) -> None:
        """A population for each layer of neurons, to which each chain is walked by itself, from its source on."""
        before, known = self.populations[-1], dict[str, Population]()
        for layer in module.sources:
            neurons, chains = module.parts(layer)
            for i, (source, chain) in enumerate(chains):
                walk = _Walk(known[source].shape, self.average_steps) if source in known else copy.copy(self)
                walk.populations, walk.projections, walk.notes = [known.get(source, before)], [], []
                walk.maps = list(walk.maps)
                walk.visit(f"{name}.into.to_{layer}.{i}", chain)
                walk.visit(f"{name}.neurons.of_{layer}", neurons)
                last = walk.populations[-1].name
                found = replace(walk.populations[-1], name=layer)
                if not _alike(known.setdefault(layer, found), found):
                    raise ValueError(f"layer {name} (Graph): its chains into {layer} cannot be lowered to one population: "
                                     f"{known[layer].shape} of {known[layer].rule} and {found.shape} of {found.rule}")
                self.populations += walk.populations[1:-1]
                self.projections += [replace(q, source=layer if q.source == last else q.source,
                                             target=layer if q.target == last else q.target)
                                     for q in walk.projections if i == 0 or q.source != last]
                self.notes += [note for note in walk.notes if note not in self.notes]
            self.populations.append(known[layer])
        self.shape = self.populations[-1].shape
        self.maps, self.bias, self.factor, self.hops = [], None, np.ones(()), 0

    def append(self, m: Map, label: str) -> None:
        if self.waiting is not None:
            raise ValueError(f"{label} cannot be lowered after {self.last}: delays of axons must go into a Linear or "
                             "DelayLinear")
        if self.maps and isinstance(self.maps[-1], Delayed):
            raise ValueError(f"{label} cannot be lowered after {self.last}: neurons must stand behind synapses with delays")
        if self.bias is not None:
            raise ValueError(f"{label} follows a bias inside a chain of linear maps: a Network adds the bias at the end "
                             "of a chain; leave out the bias of the layer before")
        try:
            self.shape = m.output_shape(self.shape)
        except ValueError as e:
            raise ValueError(f"{label}: {e}") from None
        self.maps.append(m)
        self.last = label

    def linear(self, module: nn.Linear | nn.Conv2d, label: str) -> None:
        weight = _array(module.weight)
        if isinstance(module, nn.Conv2d):
            if module.groups != 1 or tuple(module.dilation) != (1, 1) or module.padding_mode != "zeros":
                raise ValueError(f"{label} cannot be lowered: groups, dilation and padding_mode must be 1, 1 and 'zeros'")
            if isinstance(module.padding, str):
                raise ValueError(f"{label} cannot be lowered: give its padding in numbers, not {module.padding!r}")
            self.append(Conv2d(weight, tuple(module.stride), tuple(module.padding)), label)  # type: ignore[arg-type]
        elif self.waiting is not None:
            delay, self.waiting = np.tile(self.waiting, (len(weight), 1)), None
            self.append(Delayed(weight, delay), label)
        else:
            self.append(Dense(weight), label)
        self.weighted = label
        if module.bias is not None:
            self.bias = _channels(_array(module.bias), self.shape)

    def delayed(self, module: nn.DelayLinear, label: str) -> None:
        weight, delay = _array(module.weight), module.steps().cpu().numpy()
        if self.waiting is not None:
            delay, self.waiting = delay + self.waiting, None
        self.append(Delayed(weight, delay), label)
        self.weighted = label
        if module.bias is not None:
            self.bias = _array(module.bias)
        if module.learn:
            self.notes.append(f"{label}: delays rounded to whole steps, as in evaluation")

    def pool(self, module: nn.AvgPool2d, label: str) -> None:
        bias, self.bias = self.bias, None  # the mean over a window of what is the same everywhere in it
        self.append(SumPool2d(module.kernel, module.stride), label)
        self.bias = bias
        self.factor = self.factor / math.prod(module.kernel)
        self.notes.append(f"{label} lowered as a sum, its factor 1/{math.prod(module.kernel)} in the weights of the chain")

    def scale(self, factor: NDArray[Any], label: str) -> None:
        """Multiply what the chain gives, but for its bias. factor: one number, or one for each output of the last map with
        weights."""
        at = max((i for i, m in enumerate(self.maps) if isinstance(m, WEIGHTED)), default=None)
        if at is None:
            raise ValueError(f"{label} cannot be lowered: no Linear or Conv2d stands before it to take the factor "
                             f"{factor.ravel()[0]:g} of its input")
        before = self.maps[at]
        weight = before.arrays()["weight"]
        self.maps[at] = weighing(before, (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype))

    def fold(self, module: Any, label: str) -> None:
        if module.running_mean is None or module.running_var is None:
            raise ValueError(f"{label} cannot be lowered: it keeps no running statistics")
        mean, scale, beta = self.affine(module, label)
        at = max((i for i, m in enumerate(self.maps) if isinstance(m, WEIGHTED)), default=None)
        if at is None or len(self.maps[at].arrays()["weight"]) != len(mean):
            raise ValueError(f"{label} cannot be lowered: a batch norm must follow a Linear or Conv2d layer, or pools "
                             "behind one")
        dtype = self.maps[at].arrays()["weight"].dtype
        self.scale(scale, label)
        offset = 0.0 if self.bias is None else self.bias.astype(np.float64).reshape(-1)
        self.bias = _channels(((offset - mean) * scale + beta).astype(dtype), self.shape)
        self.notes.append(f"{label} folded into {self.weighted}: equal up to rounding in {dtype}")

    def affine(self, module: Any, label: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """mean, scale and shift of (x - mean) scale + shift, what a batch norm is in evaluation, a channel each."""
        mean, variance = _array(module.running_mean).astype(np.float64), _array(module.running_var).astype(np.float64)
        weight = getattr(module, "gamma", module.weight)
        gamma = np.ones_like(mean) if weight is None else _array(weight).astype(np.float64)
        beta = np.zeros_like(mean) if module.bias is None else _array(module.bias).astype(np.float64)
        scale = gamma / np.sqrt(variance + module.eps)
        if isinstance(module, (nn.TEBN1d, nn.TEBN2d)):
            factor = _array(module.factor).astype(np.float64).reshape(-1, 1)
            values = np.stack([np.broadcast_to(v, (len(factor), len(mean))) for v in (mean, factor * scale, factor * beta)])
        elif isinstance(module, (nn.BNTT1d, nn.BNTT2d)):
            values = np.stack([v.reshape(module.steps, -1) for v in (mean, scale, beta)])
        else:
            return mean, scale, beta
        if not np.any(values != values[:, :1]):
            return values[0, 0], values[1, 0], values[2, 0]
        if not self.average_steps:
            raise ValueError(f"{label} cannot be lowered: it differs from step to step, and a Network is the same at every "
                             "step. Train with BatchNorm1d, BatchNorm2d or TdBN, or take its mean over the steps with "
                             "lower(net, average_steps=True), which changes what the net does")
        self.notes.append(f"{label} replaced by its mean over {values.shape[1]} steps: what it does at each of them is lost")
        shift = values[2] - values[0] * values[1]
        return np.zeros_like(shift[0]), values[1].mean(0), shift.mean(0)

    def normed(self, module: nn.MPBN, dtype: Any, label: str) -> Fixed:
        """The neuron without a norm of its membrane; or where that is carried, with the norm as part of its rule."""
        if module.recursion == "raw":
            found = module.fold(dtype, len(self.shape))
            sign, constant = np.asarray(found.values["sign"]), np.asarray(found.values["constant"])
            self.notes.append(f"{label}: the norm of its membrane folded into {sign.size} thresholds, with the same decisions "
                              f"in {np.dtype(dtype)}; {int((sign < 0).sum())} fire below theirs, {int((constant > 0).sum())} "
                              f"always, {int((constant < 0).sum())} never")
        else:
            found = module.fixed(len(self.shape))
            self.notes.append(f"{label}: the norm of its membrane is carried from step to step, and stays in its rule, "
                              "so that its neurons are updated at every step")
        return found

    def close(self, name: str, module: nn.Neuron, label: str) -> None:
        if self.waiting is not None:
            raise ValueError(f"{label} cannot be lowered after {self.last}: delays of axons must go into a Linear or "
                             "DelayLinear")
        if not self.maps:
            raise ValueError(f"{label} cannot be lowered: no linear layer stands before it")
        weights = next((m.arrays()["weight"] for m in reversed(self.maps) if isinstance(m, WEIGHTED)), np.zeros(0, "f"))
        dtype = weights.dtype
        values = module.step_parameters(len(self.shape)) if isinstance(module, nn.HoyerSpike) else module.step_parameters()
        rule, held = module.rule, {k: _array(v) for k, v in values.items()}
        if isinstance(module, nn.MPBN):
            own = self.normed(module, dtype, label)
            rule, held = own.rule, {k: np.asarray(v) for k, v in own.values.items()}
        parameters = {k: _parameter(v, self.shape, label) for k, v in held.items()}
        found = standard(rule, parameters, dtype)
        if found.gain.size > 1 and found.gain.shape != (len(weights), *(1,) * (len(self.shape) - 1)):  # not one an output
            found = Standard(rule, parameters, np.ones(()))
        gain = found.gain.astype(np.float64)
        if np.any(gain * self.factor != 1.0):
            self.scale(gain * self.factor, label)
        if np.any(gain != 1.0):
            self.bias = None if self.bias is None else (self.bias * _channels(gain, self.shape)).astype(dtype)
            self.notes.append(f"{label}: the factor of its input folded into {self.weighted}: equal up to rounding in {dtype}")
        if found.rule is not rule:
            self.notes.append(f"{label}: its rule {rule.name} written as {found.rule.name}")
        parameters = {k: np.asarray(v).astype(dtype) for k, v in found.parameters.items()}
        source, target = self.populations[-1].name, f"{found.rule.name}_{name}"
        initial = {k: v for k, v in module.neuron.initial.items() if v}
        self.populations.append(Population(target, self.shape, found.rule, parameters, initial))
        awake = int(self.populations[-1].spontaneous.sum())
        if awake:
            self.notes.append(f"{label}: {awake} of {self.populations[-1].size} neurons fire at rest, without any input, and "
                              "are updated at every step")
        self.projections.append(Projection(source, target, tuple(self.maps), self.bias, self.hops))
        if isinstance(module, nn.Recurrent):
            recurrent = (_array(module.weight) * gain.reshape(-1, 1)).astype(dtype)
            bias = None if module.bias is None else (_array(module.bias) * gain.reshape(-1)).astype(dtype)
            self.projections.append(Projection(target, target, (Dense(recurrent),), bias, delay=1, receptor=module.receptor))
        if isinstance(module, nn.Astrocytes):
            self.projections.append(Projection(target, target, module.maps(dtype), delay=1, receptor=module.receptor))
        self.maps, self.bias, self.factor, self.hops = [], None, np.ones(()), 0

    def finish(self) -> str:
        if self.waiting is not None:
            raise ValueError(f"the net ends in {self.last}, which cannot be lowered there: delays of axons must go into a "
                             "Linear or DelayLinear")
        if len(self.populations) == 1 or self.maps:
            raise ValueError("the net must end in a layer of neurons, such as snnsim.nn.Readout()")
        return self.populations[-1].name


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy())


def _alike(a: Population, b: Population) -> bool:
    return a.shape == b.shape and a.rule == b.rule and a.initial == b.initial and all(
        np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters)


def _channels(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """One value a channel, so that it broadcasts over (channels, height, width)."""
    return values.reshape(-1, 1, 1) if len(shape) == 3 else values


def _parameter(array: NDArray[Any], shape: Shape, label: str) -> NDArray[Any]:
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{label}: a parameter of shape {array.shape} does not fit neurons of shape {shape}") from None
    return array
