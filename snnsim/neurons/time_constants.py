"""Time constants that differ from neuron to neuron.

A layer whose neurons forget at different speeds holds several pasts at once. Source: Perez-Nieves, Leung, Dragotti and
Goodman, Nat. Commun. 12 (2021), who draw them from a gamma distribution and also learn them; log-spaced ones are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.rule import finite, one_of

Spacing = Literal["log", "loguniform", "uniform", "gamma"]
SPACINGS = ("log", "loguniform", "uniform", "gamma")
DRAWS = 1000  # of a gamma that hardly ever falls between its bounds


def time_constants(shape: int | Sequence[int], *, spacing: Spacing = "log", low: float | None = None,
                   high: float | None = None, mean: float | None = None, order: float = 3.0,
                   seed: int = 0) -> NDArray[np.float64]:
    """Time constants in ms for neurons of this shape: (N,), (C, 1, 1) for one a channel, or (C, H, W).

        "log"         low ... high in equal ratios, from the first neuron to the last; nothing is drawn
        "loguniform"  log(tau) uniform between log(low) and log(high)
        "uniform"     tau uniform between low and high
        "gamma"       gamma with this mean and order (its shape parameter); drawn again outside low .. high, where given

    low, high, mean: ms, above 0; order: above 0; seed: of the draws. Errors: ValueError that names the argument.
    """
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    one_of("spacing", spacing, SPACINGS)
    if not size or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size):
        raise ValueError(f"shape must be positive whole numbers, got {shape!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number, at least 0, got {seed!r}")
    rng, n = np.random.default_rng(seed), math.prod(size)
    if spacing == "gamma":
        return _gamma(rng, n, mean, order, low, high).reshape(size)
    if mean is not None:
        raise ValueError(f"mean belongs to spacing='gamma', not to {spacing!r}: give low and high")
    if low is None or high is None:
        raise ValueError(f"spacing={spacing!r} needs low and high, in ms, got low={low!r}, high={high!r}")
    finite("low", low, above=0.0)
    finite("high", high, at_least=low)
    if spacing == "log":
        return np.geomspace(low, high, n).reshape(size)
    if spacing == "uniform":
        return rng.uniform(low, high, size)
    return np.exp(rng.uniform(math.log(low), math.log(high), size))


def _gamma(rng: np.random.Generator, n: int, mean: float | None, order: float, low: float | None,
           high: float | None) -> NDArray[np.float64]:
    if mean is None:
        raise ValueError("spacing='gamma' needs mean, in ms, got mean=None")
    finite("mean", mean, above=0.0)
    finite("order", order, above=0.0)
    least, most = 0.0 if low is None else float(finite("low", low, above=0.0)), math.inf if high is None else high
    if high is not None:
        finite("high", high, above=least)
    values, missing = np.empty(n), np.arange(n)
    for _ in range(DRAWS):
        values[missing] = rng.gamma(order, mean / order, missing.size)
        missing = missing[(values[missing] <= least) | (values[missing] > most)]
        if not missing.size:
            return values
    raise ValueError(f"a gamma distribution of mean {mean:g} and order {order:g} hardly ever falls in {least:g} .. {most:g}: "
                     "move low, high or mean")
