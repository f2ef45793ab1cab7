"""A trained Network as a net in whole numbers, to be trained on: quantisation-aware training."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils import parametrize

import snnsim.nn as nn
from snnsim.hardware.integer.calibrate import calibrate
from snnsim.hardware.integer.model import IntegerPopulation
from snnsim.hardware.integer.quantize import Layer, layers_of, quantize
from snnsim.maps import Conv2d, Delayed, Dense, Map
from snnsim.network import Network
from snnsim.neurons import LoihiLIF
from snnsim.nn.whole import Weights, Whole


def whole_net(network: Network, *, bits: int = 8, weights: Weights = "integer", samples: Any = None,
              dropout: float = 0.0) -> nn.Sequential:
    """The net that trains as hardware will compute it: its Network, `lower(net)`, is one of whole numbers, which `quantize`
    takes as it is, and which the executor runs with the same spikes, bit for bit.

    network: one population after the other, as `lower` gives. bits, weights: of the mantissas, see `snnsim.nn.whole`. samples:
    for `calibrate`; without them scales and thresholds are those of `quantize`. dropout: in training, share of the spikes of
    hidden layers that are left out. Weights start at the network's, and `fit` trains the net like another one; decays, delays
    and thresholds stay. Steps are the hardware's: what a population sends arrives a step later.

    Errors: those of `quantize`; ValueError for a network of another form.
    """
    model = quantize(network, bits=bits) if samples is None else calibrate(network, samples, bits=bits)
    modules: list[torch.nn.Module] = []
    shape, before = network.input.shape, network.input.name
    for layer, p, own in zip(layers_of(network), model.populations[1:], network.populations[1:], strict=True):
        if [source for source, *_ in layer.maps] != [before]:
            raise ValueError(f"population {p.name!r} has inputs from {', '.join(s for s, *_ in layer.maps)}: whole_net takes "
                             "networks of one population after the other")
        if layer.vth is not None:
            raise ValueError(f"population {p.name!r} is one of whole numbers already")
        q = next(q for q in model.projections if q.target == p.name)
        if len(shape) == 3 and not isinstance(q.map, Conv2d):
            modules.append(nn.Flatten())
        if modules and dropout and before != network.input.name:
            modules.append(nn.Dropout(dropout))
        linear = _linear(layer.maps[0][1], layer)
        exponent = q.exponent + (weights == "power")  # the largest power is half of the largest whole number
        parametrize.register_parametrization(linear, "weight", Whole(weights, bits, 1.0 / p.scale, exponent))
        modules += [linear, nn.Hop(q.delay), _neurons(p, layer)]
        shape, before = own.shape, p.name
    return nn.Sequential(*modules)


def _linear(m: Map, layer: Layer) -> torch.nn.Module:
    weight = torch.tensor(m.arrays()["weight"], dtype=torch.float32)
    made: Any
    match m:
        case Dense():
            made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        case Delayed():
            made = nn.DelayLinear(weight.shape[1], weight.shape[0], m.longest + 1, bias=False, learn=False)
            made.delay.copy_(torch.tensor(m.delay, dtype=torch.float32))
        case Conv2d(stride=stride, padding=padding):
            made = nn.Conv2d(weight.shape[1], weight.shape[0], (weight.shape[2], weight.shape[3]), stride, padding,
                             bias=False)
        case _:
            raise ValueError(f"population {layer.name!r} has the map {m!r}, which is not trained in whole numbers: Dense, "
                             "Conv2d and Delayed are")
    with torch.no_grad():
        made.weight.copy_(weight)
    return made  # type: ignore[no-any-return]


def _neurons(p: IntegerPopulation, layer: Layer) -> nn.WholeNeuron:
    unit = 1.0 / (64.0 * float(p.vth)) if layer.theta else p.scale
    neuron = LoihiLIF(p.du, p.dv, p.vth, p.bias << p.bias_exponent, p.reset, unit)  # type: ignore[arg-type]
    return nn.WholeNeuron(neuron, p.scale, (p.shape[0], 1, 1) if len(p.shape) == 3 else p.shape)
