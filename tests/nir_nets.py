"""Random nets whose arithmetic is exact in float32, so that no tool can differ by rounding, nor at a tie.

Weights are multiples of 1/16 and biases of 1/32; a decay of 1/2 adds one bit a step and runs for 12 of them, 3/4 adds two
and runs for 6: all membranes are multiples of 2^-18, below 2^5. Thresholds are odd multiples of 2^-21, which none can be.
Pools have areas of a power of two, since tools sum by a mean.

With a soft reset, thresholds are odd multiples of 1/32, which membranes often are: all are multiples of 2^-17 then.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snnsim import engine
from snnsim.maps import Conv2d, Dense, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import IF, LIF, CubaLIF

F = np.float32
FAMILIES = ("dense", "conv", "cuba", "if", "recurrent")
STEPS = {0.5: 12, 0.75: 6}


def off_grid(k):
    """A threshold near k/4, which no membrane is equal to."""
    return F(k / 4 + 1 / 32 + 2.0**-21)


def on_grid(k):
    return F(k / 4 + 1 / 32)


def sixteenths(rng, shape):
    return (rng.integers(-8, 13, shape) / 16).astype(F)


def neurons(rng, name, shape, decay, kind="lif", reset="hard"):
    theta = int(rng.integers(2, 6))
    values = {"theta": off_grid(theta) if reset == "hard" else on_grid(theta)}
    if kind == "if":
        return Population(name, shape, IF(reset=reset).rule, values)
    rule = CubaLIF(reset=reset).rule if kind == "cuba" else LIF(reset=reset).rule
    return Population(name, shape, rule, values | {"decay": F(decay)} | ({"keep": F(0.5)} if kind == "cuba" else {}))


def biases(rng, shape):
    return (rng.integers(-4, 9, shape) / 32).astype(F) if rng.random() < 0.6 else None


def kernel(rng, shape):
    """A convolution with a kernel, stride and padding of its own for each axis, sometimes in groups (zeros in its weight)."""
    size = tuple(int(rng.integers(1, min(4, n) + 1)) for n in shape[1:])
    groups = shape[0] if rng.random() < 0.3 else 1
    weight = sixteenths(rng, (2 * groups if groups > 1 else int(rng.integers(2, 5)), shape[0], *size))
    if groups > 1:
        own = np.arange(len(weight))[:, None] // 2 == np.arange(shape[0])
        weight *= own[:, :, None, None]
    return Conv2d(weight, tuple(map(int, rng.integers(1, 4, 2))), tuple(int(rng.integers(0, k)) for k in size))


def chain(rng, shape):
    """The maps to a convolutional layer, some with a pool before or behind."""
    maps = [kernel(rng, shape)]
    pool = SumPool2d(((1, 2), (2, 1), (2, 2))[rng.integers(3)], tuple(map(int, rng.integers(1, 4, 2))))
    if rng.random() < 0.5:
        given = pool.output_shape(shape)
        maps = [pool, kernel(rng, given)]
    for m in maps:
        shape = m.output_shape(shape)
    return tuple(maps), shape


def random_net(seed, family, reset="hard"):
    """A network, and counts [T, 2, *input] to run it on."""
    rng = np.random.default_rng((seed, FAMILIES.index(family)))
    decay = 0.5 if rng.random() < 0.6 else 0.75
    shape = (int(rng.integers(1, 4)), *map(int, rng.integers(6, 11, 2))) if family == "conv" else (int(rng.integers(4, 20)),)
    built, projections = [Population("in", shape)], []
    if family == "conv":
        for i in range(int(rng.integers(1, 3))):
            if min(built[-1].shape[1:]) < 2:
                break
            maps, given = chain(rng, built[-1].shape)
            built.append(neurons(rng, f"conv{i}", given, decay, reset=reset))
            bias = biases(rng, (given[0], 1, 1)) if isinstance(maps[-1], Conv2d) else None
            projections.append(Projection(built[-2].name, built[-1].name, maps, bias))
    for i in range(int(rng.integers(1, 3))):
        size, source = int(rng.integers(3, 16)), built[-1]
        looped = ("lif", "cuba" if reset == "hard" else "lif")[rng.integers(2)]
        kind = {"cuba": "cuba", "if": "if", "recurrent": looped}.get(family, "lif")
        built.append(neurons(rng, f"dense{i}", (size,), decay, kind, reset))
        projections.append(Projection(source.name, built[-1].name, (Dense(sixteenths(rng, (size, math.prod(source.shape)))),),
                                      biases(rng, size)))
        if family == "recurrent":
            weight = Dense(sixteenths(rng, (size, size)) - F(0.125))
            projections.append(Projection(built[-1].name, built[-1].name, (weight,), biases(rng, size), delay=1))
    network = Network(tuple(built), tuple(projections), readout="count")
    return network, (rng.random((STEPS[decay], 2, *shape)) < rng.choice([0.2, 0.4])).astype(F)


def random_nets(count, families=FAMILIES, reset="hard"):
    """So many nets, the families in turn."""
    nets = [random_net(i // len(families), families[i % len(families)], reset) for i in range(count)]
    return nets if reset == "hard" else [(once(*net), net[1]) for net in nets]


def once(network, counts):
    """The network with thresholds so high that no membrane reaches two of them, where Sinabs would fire twice."""
    for _ in range(50):
        spikes = {n: s.dense() for n, s in engine.run(network, counts).spikes.items()} | {network.input.name: counts}
        high = {p.name: peak(network, p, spikes) for p in network.populations[1:]}
        raised = tuple(replace(p, parameters={**p.parameters, "theta": on_grid(math.ceil(2 * high[p.name]))})
                       if p.rule and high[p.name] >= 2 * p.parameters["theta"] else p for p in network.populations)
        if raised == network.populations:
            return network
        network = replace(network, populations=raised)
    raise AssertionError("the thresholds do not settle")


def peak(network, p, spikes):
    """The highest membrane of a population with a soft reset, stepped plainly from the spikes that feed it."""
    fired, decay, theta, high = spikes[p.name], p.parameters.get("decay", 1.0), p.parameters["theta"], 0.0
    v = np.zeros(fired.shape[1:])
    for t in range(len(fired)):
        v = decay * v
        for q in network.into(p.name):
            for b in range(len(v) if t >= q.delay else 0):
                y = spikes[q.source][t - q.delay, b]
                for m in q.maps:
                    y = m.apply(y)
                v[b] += y.reshape(p.shape)
            v += 0.0 if q.bias is None else q.bias
        high = max(high, float(v.max()))
        v -= theta * fired[t]
    return high
