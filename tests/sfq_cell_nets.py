"""Random SFQ networks for tests."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np

from snnsim.hardware.sfq import SFQLayer, SFQNetwork

RESETS: tuple[Literal["soft", "hard"], ...] = ("soft", "hard")


def random_net(rng: np.random.Generator, largest: int = 8, weights: tuple[int, ...] = (1, 2, 3, 7)) -> SFQNetwork:
    """One to three layers, bursts, leaks, both resets, narrow counters that clip, rows and columns without synapses."""
    sizes = rng.integers(1, largest + 1, rng.integers(2, 5)).tolist()
    layers = []
    for k, (sources, neurons) in enumerate(pairwise(sizes)):
        most, bits = int(rng.choice(weights)), int(rng.integers(3, 9))
        weight = rng.integers(-most, most + 1, (neurons, sources)) * (rng.random((neurons, sources)) < 0.9)
        threshold = rng.integers(1, min(2 ** (bits - 1) - 1, 2 * most + 1) + 1, neurons)
        leak = None if rng.random() < 0.4 else int(rng.integers(0, 4))
        layers.append(SFQLayer(f"layer {k}", weight, threshold, leak, RESETS[int(rng.integers(2))], bits))
    return SFQNetwork(layers, burst=int(rng.choice([1, 1, 2, 3])))


def random_counts(rng: np.random.Generator, net: SFQNetwork, steps: int, samples: int) -> Any:
    return rng.integers(0, net.burst + 1, (steps, samples, net.inputs))
