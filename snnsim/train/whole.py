"""A trained Network as a net in whole numbers, to be trained on: quantisation-aware training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

import snnsim.nn as nn
from snnsim.hardware.integer.calibrate import calibrate
from snnsim.hardware.integer.model import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.integer.quantize import Layer, layers_of, quantize
from snnsim.maps import Conv2d, Delayed, Dense, Map
from snnsim.network import Network
from snnsim.neurons import LoihiLIF
from snnsim.neurons.loihi import ALIGN
from snnsim.nn.graph import INPUT
from snnsim.nn.whole import BIASES, Weights, Whole


def whole_net(network: Network, target: str = "loihi2", *, bits: int = 8, weights: Weights = "integer", samples: Any = None,
              dropout: float = 0.0) -> nn.Sequential:
    """The net that trains as hardware will compute it: its Network, `lower(net)`, is one of whole numbers, which `quantize`
    takes as it is, and which the executor runs with the same spikes, bit for bit.

    network: as `lower` gives it, populations that hear the input and those before them in any number of projections, each of
    which may hear its own spikes a step later, too. A chain becomes a Sequential of layers; what branches becomes one
    `nn.Graph`, whose layers are called as the populations are. target: "netx" for lava-dl's file, see `quantize`. bits,
    weights: of the mantissas, see `snnsim.nn.whole`. samples: for `calibrate`; without them scales and thresholds are those of
    `quantize`. dropout: in training, share of the spikes of hidden layers that are left out, drawn for each projection. Weights
    start at the network's, and `fit` trains the net like another one; decays, delays and thresholds stay. Steps are the
    hardware's: what a population sends arrives a step later, and the output is `net.latency` steps behind the input. Give `fit`
    as many more steps than the network has, or what comes in the last ones never reaches the output.

    Errors: those of `quantize`; ValueError that names the population for loops of another kind, for an output that others hear,
    for neurons that a folded norm has lifted, for biases and for maps that are not trained.
    """
    model = quantize(network, target, bits=bits) if samples is None else calibrate(network, samples, target, bits=bits)
    found = {layer.name: layer for layer in layers_of(network)}
    layers = [found[name] for name in _order(network)]
    parts = [_part(network, model, layer, weights, dropout) for layer in layers]
    before = [network.input.name, *(layer.name for layer in layers)]
    if all([source for source, _ in chains] == [name] for name, (_, chains) in zip(before, parts, strict=False)):
        net = nn.Sequential(*(m for neurons, [(_, chain)] in parts for m in (*chain, neurons)))
    else:
        called = {name: name.replace(".", "_") for name in before[1:]} | {network.input.name: INPUT}
        net = nn.Sequential(nn.Graph({called[layer.name]: (neurons, [(called[s], nn.Sequential(*chain)) for s, chain in chains])
                                      for layer, (neurons, chains) in zip(layers, parts, strict=True)}))
    net.latency = model.latency  # type: ignore[assignment]
    return net


def _order(network: Network) -> list[str]:
    """Populations so that each comes after those that it hears, the output last. ValueError where there is no such order."""
    heard = {p.name: {q.source for q in network.into(p.name)} - {p.name, network.input.name} for p in network.populations[1:]}
    for name, sources in heard.items():
        if network.output in sources:
            raise ValueError(f"population {name!r} hears the output {network.output!r}: whole_net takes networks whose output "
                             "is heard by no other population")
    order: list[str] = []
    while left := [name for name in heard if name not in order]:
        ready = [name for name in left if heard[name] <= set(order) and (name != network.output or len(left) == 1)]
        if not ready:
            raise ValueError(f"populations {', '.join(name for name in left if name != network.output)} lie in a loop, or "
                             "behind one: whole_net takes loops of a population with itself alone")
        order.append(ready[0])
    return order


def _part(network: Network, model: IntegerNetwork, layer: Layer, weights: Weights, dropout: float) -> tuple[
        nn.WholeNeuron, list[tuple[str, list[torch.nn.Module]]]]:
    """The neurons of a population, and the layers of each chain into it, by its source."""
    p, where = model.population(layer.name), f"population {layer.name!r}"
    neurons = _neurons(p, layer, _loop(layer, p))
    for q in (q for q in model.projections if q.source == q.target == p.name):
        _become_whole(neurons, q, weights, p.scale)
    into = [q for q in model.projections if q.target == p.name and q.source != p.name]
    if not into:
        raise ValueError(f"{where} hears no other population")
    chains = []
    for q, m in zip(into, (m for source, m, _ in layer.maps if source != p.name), strict=True):
        if not isinstance(m, Conv2d) and len(p.shape) == 3:
            raise ValueError(f"{where} of shape {p.shape} hears {q.source!r} by {m!r}: whole_net takes convolutions there")
        linear = _linear(m, layer)
        _become_whole(linear, q, weights, p.scale)
        flat = len(network.population(q.source).shape) == 3 and not isinstance(m, Conv2d)
        dropped = dropout and q.source != network.input.name
        chains.append((q.source, [*([nn.Flatten()] if flat else []), *([nn.Dropout(dropout)] if dropped else []), linear,
                                  nn.Hop(q.delay)]))
    return neurons, chains


def _become_whole(module: torch.nn.Module, q: IntegerProjection, weights: Weights, scale: float) -> None:
    exponent = q.exponent + (weights == "power")  # the largest power is half of the largest whole number
    parametrize.register_parametrization(module, "weight", Whole(weights, q.bits, 1.0 / scale, exponent))


def _loop(layer: Layer, p: IntegerPopulation) -> Dense | None:
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
    loops = [(m, delay) for source, m, delay in layer.maps if source == p.name]
    if not loops:
        return None
    m, delay = loops[0]
    if len(loops) > 1 or not isinstance(m, Dense) or delay != 1 or len(p.shape) != 1 or p.reset == "none":
        raise ValueError(f"{where} of shape {p.shape} hears itself by "
                         f"{' and '.join(f'{m!r} after {delay} steps' for m, delay in loops)}: whole_net takes one loop, by a "
                         "Dense map after 1 step, of neurons in a row that fire")
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
