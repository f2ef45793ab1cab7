"""Where the factor of a neuron's input goes, which one encoding of NIR keeps in the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from snnsim.hardware.nir.graph import Array
from snnsim.hardware.nir.neurons import Floats


def gains_of(name: str, weighted: Sequence[bool], gain: Floats, advice: str) -> list[Floats]:
    """The gain of a projection's target, laid on the last map of the chain that has weights; 1 for the other maps.

    weighted: for each map, whether it has weights. ValueError, with the advice, when no map can take the gain.
    """
    gains = [np.ones(1)] * len(weighted)
    if np.all(gain == 1.0):
        return gains
    if not any(weighted):
        raise ValueError(f"projection {name} only pools, and has no weights to take the factor of the neurons' input: {advice}")
    bearer = max(i for i, w in enumerate(weighted) if w)
    if bearer < len(weighted) - 1:
        if np.any(gain != gain.flat[0]):
            raise ValueError(f"projection {name} ends in a pooling, and the neurons that it feeds differ in decay: {advice}")
        gain = gain.ravel()[:1]
    gains[bearer] = gain
    return gains


def unscaled(held: Array, gain: Any) -> Array:
    """The weights before they were multiplied by the gain, up to rounding."""
    return np.asarray((held / gain).astype(held.dtype))
