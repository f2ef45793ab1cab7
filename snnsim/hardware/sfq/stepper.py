"""The definition of an SFQ network in `model`, stepped plainly in whole numbers: what artefacts are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.model import SFQNetwork


def step(network: SFQNetwork, counts: ArrayLike) -> dict[str, NDArray[np.uint8]]:
    """Spikes by layer, [T, B, neurons]. counts: pulses of the inputs, whole, 0 .. burst, [T, B, inputs]; see `pulses_of`."""
    x = pulses_of(network, counts)
    found = {}
    for layer in network.layers:
        top = 2 ** (layer.bits - 1) - 1
        v = np.zeros((x.shape[1], layer.size), np.int64)
        spikes = np.zeros((*x.shape[:2], layer.size), np.uint8)
        for t, pulses in enumerate(x):
            lost = 0 if layer.leak is None else v >> layer.leak
            h = np.clip(v - lost + pulses @ layer.weight.T, -top - 1, top)
            s = h >= layer.threshold
            v = h - s * layer.threshold if layer.reset == "soft" else h * ~s
            spikes[t] = s
        found[layer.name], x = spikes, spikes.astype(np.int64)
    return found


def pulses_of(network: SFQNetwork, counts: ArrayLike) -> NDArray[np.int64]:
    """counts as [T, B, inputs]. Events of a sample, [T, B, ...inputs], may be more than the burst: those beyond are left out.
    ValueError that says what was given."""
    x = np.asarray(counts)
    if x.ndim < 3 or int(np.prod(x.shape[2:])) != network.inputs:
        raise ValueError(f"counts must be [T, B, {network.inputs}] pulses, got the shape {x.shape}")
    if x.dtype.kind not in "buif" or np.any(x < 0) or np.any(x != np.floor(x)):
        raise ValueError("counts must be whole numbers of pulses, 0 or more")
    few: NDArray[np.int64] = np.minimum(x.reshape(*x.shape[:2], -1), network.burst).astype(np.int64)
    return few
