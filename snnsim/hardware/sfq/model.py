"""A network of single-flux-quantum (SFQ) pulses in whole numbers: what is trained, simulated, laid out as cells and written.

A pulse counts one. At each tick, for each neuron of a layer, from the first layer to the last:

    n = sum over the sources of weight * pulses of this tick           positive weights count up, negative ones down
    h = clip(v - (v >> leak) + n, -2**(bits - 1), 2**(bits - 1) - 1)
    fires, one pulse, where h >= threshold;  v = h - threshold (reset "soft"), 0 ("hard"), else h

so that the order of pulses within a tick does not matter. leak 0 forgets all at each tick: a tick is then a window, and the
neuron a comparator. The last layer's pulses are counted; the largest count wins. The abstraction of layers of somas that count
quanta is after Krylov et al., arXiv 2311.10721 (2023); this form of it is our own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import Counter
from snnsim.neurons.loihi import whole_each

Integers = NDArray[np.int64]
LARGEST_WEIGHT = 127
LARGEST_BURST = 255


@dataclass(frozen=True, eq=False)
class SFQLayer:
    """Neurons and the synapses that end at them. weight: [neurons, sources], whole, -127 .. 127. threshold: whole, 1 ..
    2**(bits - 1) - 1, one number or one a neuron. leak, reset, bits: see `neurons.Counter`.

    Errors: ValueError that names the layer and the argument.
    """

    name: str
    weight: Any
    threshold: Any = 1
    leak: int | None = None
    reset: Literal["soft", "hard"] = "soft"
    bits: int = 8

    def __post_init__(self) -> None:
        where = f"layer {self.name!r}"
        weight = whole_each(f"weight of {where}", self.weight, -LARGEST_WEIGHT, LARGEST_WEIGHT)
        if weight.ndim != 2 or 0 in weight.shape:
            raise ValueError(f"weight of {where} must be [neurons, sources], got the shape {weight.shape}")
        try:
            counter = Counter(self.threshold, self.leak, self.reset, self.bits)
        except ValueError as e:
            raise ValueError(f"{where}: {e}") from None
        threshold = np.asarray(counter.theta, np.int64)
        if threshold.shape not in ((), (len(weight),)):
            raise ValueError(f"threshold of {where} must be one number or one for each of its {len(weight)} neurons, got the "
                             f"shape {threshold.shape}")
        for name, value in (("weight", weight), ("threshold", np.broadcast_to(threshold, len(weight)).copy())):
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "leak", counter.leak)
        object.__setattr__(self, "bits", counter.bits)

    @property
    def size(self) -> int:
        return len(self.weight)

    @property
    def neuron(self) -> Counter:
        """The same neurons for networks of floats."""
        return Counter(self.threshold, self.leak, self.reset, self.bits, 1.0 / float(np.mean(self.threshold)))

    @property
    def synapses(self) -> int:
        """Weights that are not 0."""
        return int(np.count_nonzero(self.weight))


@dataclass(frozen=True, eq=False)
class SFQNetwork:
    """One layer after the other. burst: most pulses that an input sends in a tick; events beyond it are left out where events
    are made pulses. time: how long a tick of the input is. classes: names of the outputs. notes: what making it approximated.
    shape: of the input, (N,) or (channels, height, width), in C order; () for one row.

    Errors: ValueError that names the layer.
    """

    layers: Sequence[SFQLayer]
    time: TimeBase = field(default_factory=TimeBase)
    burst: int = 1
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("layers", "classes", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.layers:
            raise ValueError("an SFQ network needs at least one layer")
        names = ["input", *(layer.name for layer in self.layers)]
        if len(set(names)) != len(names):
            raise ValueError(f"names of layers must differ, and from 'input', got {names[1:]}")
        for before, layer in zip(self.layers[:-1], self.layers[1:], strict=True):
            if layer.weight.shape[1] != before.size:
                raise ValueError(f"layer {layer.name!r} has weights for {layer.weight.shape[1]} sources, layer "
                                 f"{before.name!r} has {before.size} neurons")
        object.__setattr__(self, "burst", int(whole_each("burst", self.burst, 1, LARGEST_BURST)))
        if self.classes and len(self.classes) != self.layers[-1].size:
            raise ValueError(f"classes must be {self.layers[-1].size} names, one an output, got {len(self.classes)}")
        shape = tuple(int(n) for n in self.shape) or (self.inputs,)
        if len(shape) not in (1, 3) or min(shape) < 1 or math.prod(shape) != self.inputs:
            raise ValueError(f"shape must be (N,) or (channels, height, width) of the {self.inputs} inputs, got {self.shape}")
        object.__setattr__(self, "shape", shape)

    @property
    def inputs(self) -> int:
        return int(self.layers[0].weight.shape[1])

    @property
    def synapses(self) -> int:
        return sum(layer.synapses for layer in self.layers)

    def network(self) -> Network:
        """The same network of floats, for the oracle and the engine: the same spikes."""
        populations = [Population("input", self.shape)]
        projections = []
        for layer in self.layers:
            populations.append(Population.of(layer.name, layer.size, layer.neuron, self.time.dt, np.float32))
            projections.append(Projection(populations[-2].name, layer.name, (Dense(layer.weight.astype(np.float32)),)))
        return Network(tuple(populations), tuple(projections), self.time, self.layers[-1].name, "count", self.notes,
                       self.classes)

    def __repr__(self) -> str:
        lines = [f"SFQNetwork(inputs={self.inputs}, burst={self.burst}, dt={self.time.dt:g} ms)"]
        lines += [f"  {q.name}: {q.size} counters of {q.bits} bits, {q.reset} reset, leak {q.leak}, thresholds "
                  f"{q.threshold.min()} .. {q.threshold.max()}, {q.synapses} synapses of {q.weight.min()} .. {q.weight.max()}"
                  for q in self.layers]
        return "\n".join(lines)


def of_network(network: Network, *, burst: int = 1) -> SFQNetwork:
    """A Network of `neurons.Counter` populations with whole dense weights, one after the other, such as one that was trained so
    and lowered. ValueError that names the population or the projection, and what pulses cannot hold."""
    network.require_projections("SFQ")
    if network.readout != "count":
        raise ValueError(f"the readout is {network.readout!r}: pulses are counted, readout='count'")
    layers, before = [], network.input.name
    for p in network.populations[1:]:
        where = f"population {p.name!r}"
        assert p.rule is not None
        if not p.rule.name.startswith("counter_"):
            raise ValueError(f"{where} has rule {p.rule.name!r}; pulses are counted by neurons.Counter: train with it, or make "
                             "it with hardware.sfq.quantize")
        into = network.into(p.name)
        if [(q.source, q.delay) for q in into] != [(before, 0)]:
            raise ValueError(f"{where} must have one projection, without delay, from {before!r}: it has "
                             + ", ".join(f"one from {q.source!r} with delay {q.delay}" for q in into))
        [q] = into
        if q.bias is not None and np.any(q.bias):
            raise ValueError(f"projection {q.source}->{q.target} has a bias, which would be pulses at every tick: train "
                             "without")
        maps = tuple(q.maps)
        if len(maps) != 1 or not isinstance(maps[0], Dense):
            raise ValueError(f"projection {q.source}->{q.target} is {', '.join(map(repr, maps))}: pulses need one Dense map")
        rate, top = (float(np.asarray(p.parameters[k])) for k in ("rate", "top"))
        layers.append(SFQLayer(p.name, maps[0].weight, np.broadcast_to(p.parameters["theta"], p.shape).astype(np.int64),
                               None if rate == 0 else round(-np.log2(rate)), "soft" if p.rule.name.endswith("soft") else "hard",
                               round(np.log2(top + 1)) + 1))
        before = p.name
    return SFQNetwork(layers, network.time, burst, network.classes, network.notes, network.input.shape)
