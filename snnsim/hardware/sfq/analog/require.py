"""What somas of junctions cannot be, and what would take too many of them, in sentences."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork

MOST_INPUTS = 12
MOST_WEIGHT = 8  # beyond it the inductor of a synapse is below half a pH, which leads have, too
MOST_PATTERNS = 64  # of inputs of one neuron: each takes ten runs of the solver
MOST_JUNCTIONS = 10_000
INSTEAD = "write cells instead, level='cells'"
JTL, SPLITTER, DRO = 2, 3, 4  # junctions
WAIT = 2  # cells that hold an excitatory pulse back where there are inhibitory ones


def require(network: SFQNetwork) -> None:
    """ValueError, with the layer and the neuron, for what somas of junctions cannot be."""
    if network.burst != 1:
        raise ValueError(f"inputs send up to {network.burst} pulses a tick, somas of junctions take one: {INSTEAD}")
    for layer in network.layers:
        where = f"layer {layer.name!r}"
        if layer.leak != 0:
            raise ValueError(f"{where} remembers its count (leak {layer.leak}): somas of junctions decay between ticks, which "
                             f"is leak=0; {INSTEAD}")
        for i, weights in enumerate(layer.weight.tolist()):
            used = tuple(w for w in weights if w)
            if not used:
                raise ValueError(f"{where}: neuron {i} has no input: leave it out")
            if abs(most := max(used, key=abs)) > MOST_WEIGHT:
                raise ValueError(f"{where}: neuron {i} has a weight of {most}: synapses of junctions have weights in "
                                 f"-{MOST_WEIGHT} .. {MOST_WEIGHT}, as their inductor shrinks with it; {INSTEAD}")
            if len(used) > MOST_INPUTS:
                raise ValueError(f"{where} has a neuron of {len(used)} inputs: somas of junctions are fitted for up to "
                                 f"{MOST_INPUTS}, as each loads the others; {INSTEAD}")
            if (patterns := count_patterns(used)) > MOST_PATTERNS:
                raise ValueError(f"{where}: neuron {i} has {patterns} patterns of inputs that differ, somas are fitted for up "
                                 f"to {MOST_PATTERNS}; fewer levels of weights have fewer, or {INSTEAD}")
    if (total := count_junctions(network)) > MOST_JUNCTIONS:
        raise ValueError(f"the network takes {total:,} junctions, decks are laid out for up to {MOST_JUNCTIONS:,}; {INSTEAD}")


def count_patterns(weights: tuple[int, ...]) -> int:
    """Patterns that differ: how many synapses of each weight have a pulse."""
    return math.prod(weights.count(w) + 1 for w in set(weights))


def patterns_of(weights: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One of each, [P, inputs] of 0 and 1, and how many of the 2**inputs it stands for. weights: equal ones side by side."""
    sizes = [weights.count(w) for w in dict.fromkeys(weights)]
    counts = list(itertools.product(*(range(n + 1) for n in sizes)))
    rows = [[int(k < c) for n, c in zip(sizes, each, strict=True) for k in range(n)] for each in counts]
    ways = [math.prod(math.comb(n, c) for n, c in zip(sizes, each, strict=True)) for each in counts]
    return np.array(rows, np.int64), np.array(ways, np.int64)


def count_junctions(network: SFQNetwork) -> int:
    """Of the deck that `lay_out` makes."""
    sizes = [network.inputs, *(layer.size for layer in network.layers)]
    clocks = sum(JTL + SPLITTER * (n - 1) + JTL * n for n in sizes)
    latches = sum((DRO + JTL) * n for n in sizes) + JTL * (network.inputs + sizes[-1])
    return clocks + latches + sum(_layer(layer) for layer in network.layers)


def _layer(layer: SFQLayer) -> int:
    synapses = np.count_nonzero(layer.weight, axis=0)
    splitters = int(np.sum(np.maximum(synapses - 1, 0)))
    waits = np.where((layer.weight < 0).any(1, keepdims=True), WAIT, 0)
    drivers = int(np.sum((layer.weight != 0) + (layer.weight > 0) * waits))
    return SPLITTER * splitters + JTL * drivers + layer.size * (1 + JTL)
