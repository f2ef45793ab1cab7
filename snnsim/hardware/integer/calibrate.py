"""Scales and thresholds of an integer network from samples: nothing leaves its bits, and neurons fire as often as they
should."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim import engine
from snnsim.hardware.integer.execute import run
from snnsim.hardware.integer.model import IntegerNetwork
from snnsim.hardware.integer.quantize import LARGEST_EXPONENT, quantize
from snnsim.network import Network

FACTORS = np.linspace(0.9, 1.1, 21)


def calibrate(network: Network, samples: Any, target: str = "loihi2", *, bits: int = 8) -> IntegerNetwork:
    """The network in whole numbers, as `quantize` makes it, fitted to samples: training data, some dozens.

    Where sums, currents or membranes leave their bits, the numbers of that population are halved until they do not. Then, one
    population after another, of 21 thresholds within a tenth of the right one that is taken with which the counts of spikes of
    each neuron and sample are nearest to those of `network`. Errors: those of `quantize`, and of `engine.run` for the samples.
    """
    lower: dict[str, int] = {}
    model = quantize(network, target, bits=bits)
    for _ in range(LARGEST_EXPONENT * len(model.populations)):
        left = [name for name, found in run(model, samples, spikes=False).overflows.items() if any(found.values())]
        if not left or lower.get(left[0], 0) == LARGEST_EXPONENT:
            break
        lower[left[0]] = lower.get(left[0], 0) + 1
        model = quantize(network, target, bits=bits, lower=lower)
    wanted = {name: s.dense().sum(0, np.int64) for name, s in engine.run(network, samples).spikes.items()}
    thresholds: dict[str, float] = {}
    for p in model.populations[1:]:
        if p.reset == "none":
            continue

        def missed(factor: float, name: str = p.name) -> tuple[float, float]:
            tried = quantize(network, target, bits=bits, lower=lower, thresholds={**thresholds, name: factor})
            return float(np.abs(run(tried, samples).spikes[name].sum(0, np.int64) - wanted[name]).sum()), abs(factor - 1.0)

        thresholds[p.name] = float(min(FACTORS, key=missed))
    return quantize(network, target, bits=bits, lower=lower, thresholds=thresholds)
