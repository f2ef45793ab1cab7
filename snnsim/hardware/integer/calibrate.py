"""Scales and thresholds of an integer network from samples: nothing leaves its bits, and neurons fire as often as they
should."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim import engine
from snnsim.hardware.integer.execute import planned_like, run
from snnsim.hardware.integer.model import IntegerNetwork
from snnsim.hardware.integer.quantize import LARGEST_EXPONENT, Layer, assembled, layers_of, with_threshold
from snnsim.network import Network

FACTORS = np.linspace(0.9, 1.1, 21)


def calibrate(network: Network, samples: Any, target: str = "loihi2", *, bits: int = 8) -> IntegerNetwork:
    """The network in whole numbers, as `quantize` makes it, fitted to samples: training data, some dozens.

    Where sums, currents or membranes leave their bits, the numbers of that population are halved until they do not. Then, one
    population after another, of 21 thresholds within a tenth of the right one that is taken with which the counts of spikes of
    each neuron and sample are nearest to those of `network`. Errors: those of `quantize`, and of `engine.run` for the samples.
    """
    lower: dict[str, int] = {}
    layers = layers_of(network)  # maps are composed here, once
    model = assembled(network, layers, target, bits=bits)
    for _ in range(LARGEST_EXPONENT * len(model.populations)):
        left = [name for name, found in run(model, samples, spikes=False).overflows.items() if any(found.values())]
        if not left or lower.get(left[0], 0) == LARGEST_EXPONENT:
            break
        lower[left[0]] = lower.get(left[0], 0) + 1
        model = assembled(network, layers, target, bits=bits, lower=lower)
    wanted = {name: s.dense().sum(0, np.int64) for name, s in engine.run(network, samples).spikes.items()}
    thresholds: dict[str, float] = {}
    for layer in (layer for layer in layers if layer.reset != "none"):
        def missed(factor: float, model: IntegerNetwork = model, layer: Layer = layer) -> tuple[float, float]:
            tried = planned_like(with_threshold(model, layer, factor), model)
            found = run(tried, samples, spikes=False).counts[layer.name]
            return float(np.abs(found - wanted[layer.name]).sum()), abs(factor - 1.0)

        thresholds[layer.name] = float(min(FACTORS, key=missed))
        model = planned_like(with_threshold(model, layer, thresholds[layer.name]), model)
    return assembled(network, layers, target, bits=bits, lower=lower, thresholds=thresholds)
