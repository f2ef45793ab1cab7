"""What neurons use of a core: their synapses in memory, and the axons that reach it. Counted, under a stated encoding.

Memory of the synapses that a projection brings to n neurons on a core: the least of

    list    synapses (bits + delay bits + index bits)      of weights that are not 0; an index tells the target on the core
    rows    sources n (bits + delay bits)                  each source that reaches the core has a weight for each of the n
    kernel  weights bits                                   of a convolution: those not 0 of the channels on the core, once

with delay bits only where each synapse has a delay of its own, and index bits = ceil(log2(neurons_per_core)). Headers of rows
and the tables that route spikes are not counted. The encodings are our own reading of what is public, not the maker's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.integer.model import IntegerNetwork, IntegerProjection
from snnsim.hardware.mapping.limits import LoihiLimits
from snnsim.maps import Conv2d, Delayed

Array = NDArray[Any]


class Part(NamedTuple):
    """Neurons start .. stop - 1 of a population, in C order."""

    population: str
    start: int
    stop: int


@dataclass(frozen=True)
class Use:
    """Of a core. unrolled_bits: what it would take with each kernel written out. sources: which neurons of the network have a
    synapse here; their number is that of the input axons."""

    neurons: int
    synapses: int
    bits: int
    unrolled_bits: int
    sources: Array

    @property
    def input_axons(self) -> int:
        return int(np.count_nonzero(self.sources))

    @property
    def synapse_bytes(self) -> int:
        return -(-self.bits // 8)


@dataclass(frozen=True, eq=False)
class Into:
    """The synapses of a projection, by target. pre: sources, by their place among all neurons of the network."""

    projection: IntegerProjection
    starts: Array
    pre: Array
    base: int
    sources: int
    shape: tuple[int, ...]
    delay_bits: int
    index_bits: int

    def bits(self, start: int, stop: int, shared: bool, weight_bits: int | None = None) -> int:
        """For targets start .. stop - 1. weight_bits: another number of them than the projection has."""
        each = (weight_bits or self.projection.bits) + self.delay_bits
        here = self.pre[self.starts[start]: self.starts[stop]]
        reach = np.count_nonzero(np.bincount(here - self.base, minlength=self.sources))
        least = min(len(here) * (each + self.index_bits), int(reach) * (stop - start) * each)
        if shared and isinstance(self.projection.map, Conv2d):
            area = math.prod(self.shape[1:])
            kernel = np.asarray(self.projection.map.weight)[start // area: -(-stop // area)]
            least = min(least, int(np.count_nonzero(kernel)) * each)
        return least


class Counter:
    """Counts what parts of the populations use. The model's synapses are listed once."""

    def __init__(self, model: IntegerNetwork, limits: LoihiLimits, shared: bool) -> None:
        self.model, self.shared = model, shared
        sizes = [p.size for p in model.populations]
        self.first = dict(zip([p.name for p in model.populations], np.cumsum([0, *sizes]).tolist(), strict=False))
        self.size = sum(sizes)
        most = limits.neurons_per_core.value or max(sizes)
        index_bits = max(1, math.ceil(math.log2(most)))
        self.into: dict[str, list[Into]] = {p.name: [] for p in model.populations}
        self.fan_out = np.zeros(self.size, np.int64)
        for q in model.projections:
            delay_bits = (limits.delay_bits.value or 6) if isinstance(q.map, Delayed) else 0
            self.into[q.target].append(self._into(q, delay_bits, index_bits))

    def _into(self, q: IntegerProjection, delay_bits: int, index_bits: int) -> Into:
        source, target = self.model.population(q.source), self.model.population(q.target)
        indptr, post, _, _ = q.synapses(source.shape)
        base = self.first[q.source]
        self.fan_out[base: base + source.size] += np.diff(indptr)
        order = np.argsort(post, kind="stable")
        pre = np.repeat(np.arange(base, base + source.size), np.diff(indptr))[order]
        starts = np.concatenate([[0], np.cumsum(np.bincount(post, minlength=target.size))])
        return Into(q, starts, pre, base, source.size, target.shape, delay_bits, index_bits)

    def empty(self) -> Use:
        return Use(0, 0, 0, 0, np.zeros(self.size, bool))

    def add(self, use: Use, part: Part) -> Use:
        """A core with a part more."""
        synapses, bits, unrolled, sources = use.synapses, use.bits, use.unrolled_bits, use.sources.copy()
        for q in self.into[part.population]:
            here = q.pre[q.starts[part.start]: q.starts[part.stop]]
            sources[here] = True
            synapses += len(here)
            bits += q.bits(part.start, part.stop, self.shared)
            unrolled += q.bits(part.start, part.stop, False)
        return Use(use.neurons + part.stop - part.start, synapses, bits, unrolled, sources)

    def fan_in(self, population: str) -> Array:
        """Synapses of each neuron."""
        return sum((np.diff(q.starts) for q in self.into[population]),
                   np.zeros(self.model.population(population).size, np.int64))
