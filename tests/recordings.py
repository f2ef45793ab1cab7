"""Recordings made by hand, for what reads them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from snnsim.engine import Recording, SpikeTrains, Traces


def dense(populations: Mapping[str, ArrayLike], dt: float = 1.0, start: int = 0,
          traces: Mapping[str, Traces] | None = None) -> Recording:
    """A recording of what fired: [steps, neurons] by population."""
    fired = {name: np.asarray(f, bool) for name, f in populations.items()}
    spikes = {}
    for name, f in fired.items():
        step, neuron = np.nonzero(f)
        spikes[name] = SpikeTrains(step + start, neuron.astype(np.int32))
    return Recording(dt, start, len(next(iter(fired.values()))), {name: f.shape[1] for name, f in fired.items()}, spikes,
                     {name: f.sum(1) for name, f in fired.items()}, traces or {}, 7, 0.25)


def random(seed: int = 0, start: int = 0) -> Recording:
    """Three populations, one of them silent, and a membrane: 1,000 steps of 0.5 ms."""
    rng = np.random.default_rng(seed)
    membranes = Traces("v", np.array([3, 1]), rng.normal(-60.0, 4.0, (1000, 2)).astype(np.float32))
    return dense({"L2/3E": rng.random((1000, 30)) < 0.02, "L2/3I": rng.random((1000, 7)) < 0.05,
                  "silent": np.zeros((1000, 4))}, 0.5, start, {"L2/3E": membranes})
