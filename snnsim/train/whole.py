"""A trained Network as a net in whole numbers, to be trained on: quantisation-aware training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

import snnsim.nn as nn
from snnsim.hardware.integer.calibrate import calibrate
from snnsim.hardware.integer.model import IntegerPopulation
from snnsim.hardware.integer.quantize import Layer, layers_of, quantize
from snnsim.maps import Conv2d, Delayed, Dense, Map
from snnsim.network import Network
from snnsim.neurons import LoihiLIF
from snnsim.neurons.loihi import ALIGN
from snnsim.nn.whole import BIASES, Weights, Whole


def whole_net(network: Network, *, bits: int = 8, weights: Weights = "integer", samples: Any = None,
              dropout: float = 0.0) -> nn.Sequential:
    """The net that trains as hardware will compute it: its Network, `lower(net)`, is one of whole numbers, which `quantize`
    takes as it is, and which the executor runs with the same spikes, bit for bit.

    network: one population after the other, as `lower` gives, each of which may hear its own spikes a step later. bits,
    weights: of the mantissas, see `snnsim.nn.whole`. samples: for `calibrate`; without them scales and thresholds are those of
    `quantize`. dropout: in training, share of the spikes of hidden layers that are left out. Weights start at the network's,
    and `fit` trains the net like another one; decays, delays and thresholds stay. Steps are the hardware's: what a population
    sends arrives a step later.

    Errors: those of `quantize`; ValueError that names the population for a network of another form, for loops of another delay,
    for neurons that a folded norm has lifted, and for biases that are not trained.
    """
    model = quantize(network, bits=bits) if samples is None else calibrate(network, samples, bits=bits)
    modules: list[torch.nn.Module] = []
    shape, before = network.input.shape, network.input.name
    for layer, p, own in zip(layers_of(network), model.populations[1:], network.populations[1:], strict=True):
        loop = _loop(layer, p, before)
        q = next(q for q in model.projections if q.target == p.name and q.source == before)
        if len(shape) == 3 and not isinstance(q.map, Conv2d):
            modules.append(nn.Flatten())
        if modules and dropout and before != network.input.name:
            modules.append(nn.Dropout(dropout))
        linear, neurons = _linear(next(m for source, m, _ in layer.maps if source == before), layer), _neurons(p, layer, loop)
        whole = [(linear, q), *((neurons, o) for o in model.projections if o.source == o.target == p.name)]
        for module, of in whole:
            exponent = of.exponent + (weights == "power")  # the largest power is half of the largest whole number
            parametrize.register_parametrization(module, "weight", Whole(weights, bits, 1.0 / p.scale, exponent))
        modules += [linear, nn.Hop(q.delay), neurons]
        shape, before = own.shape, p.name
    return nn.Sequential(*modules)


def _loop(layer: Layer, p: IntegerPopulation, before: str) -> Dense | None:
    """The map of a population into itself. ValueError that names the population and what is not trained."""
    where = f"population {p.name!r}"
    if layer.vth is not None:
        raise ValueError(f"{where} is one of whole numbers already")
    if np.any(p.start):
        raise ValueError(f"{where} starts at v other than 0, as thresholds of a folded norm are held by a lift, and layers "
                         "of nn start at 0: quantize the network as it is")
    if np.abs(p.bias << p.bias_exponent).max() > BIASES * ALIGN:
        raise ValueError(f"{where} has a bias of {np.abs(layer.bias).max():g}, beyond what is trained, {BIASES:g} times 64: "
                         "use smaller ones beside its weights")
    others, loops = ([found for found in layer.maps if (found[0] == p.name) is own] for own in (False, True))
    if [source for source, *_ in others] != [before] or len(loops) > 1:
        raise ValueError(f"{where} has inputs from {', '.join(s for s, *_ in layer.maps)}: whole_net takes networks of one "
                         "population after the other, each of which may hear itself once")
    if not loops:
        return None
    (_, m, delay), = loops
    if not isinstance(m, Dense) or delay != 1 or len(p.shape) != 1 or p.reset == "none":
        raise ValueError(f"{where} of shape {p.shape} hears itself by {m!r} after {delay} steps: whole_net takes loops by "
                         "Dense maps after 1 step, of neurons in a row that fire")
    return m


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


def _neurons(p: IntegerPopulation, layer: Layer, loop: Dense | None) -> nn.WholeNeuron:
    unit = 1.0 / (64.0 * float(p.vth)) if layer.theta else p.scale
    neuron = LoihiLIF(p.du, p.dv, p.vth, p.bias << p.bias_exponent, p.reset, unit)  # type: ignore[arg-type]
    if loop is not None:
        made = nn.WholeRecurrent(neuron, p.scale, p.size)
        with torch.no_grad():
            made.weight.copy_(torch.tensor(np.asarray(loop.weight), dtype=torch.float32))
        return made
    return nn.WholeNeuron(neuron, p.scale, (p.shape[0], 1, 1) if len(p.shape) == 3 else p.shape)
