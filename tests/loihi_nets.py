"""Random networks in whole numbers that use what Loihi has, and inputs with which their neurons fire."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection, truncated
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse

Array = np.ndarray[Any, Any]
SIGNS = ("mixed", "exc", "inh")


class Drawn:
    """Draws parts. plain: only what lava-dl's file holds."""

    def __init__(self, seed: int, plain: bool) -> None:
        self.rng, self.plain = np.random.default_rng(seed), plain

    def weight(self, *shape: int) -> tuple[Array, dict[str, Any]]:
        """More of them excite than inhibit, or nothing would fire."""
        bits, sign = int(self.rng.choice([4, 6, 8])), str(self.rng.choice(SIGNS, p=[0.6, 0.3, 0.1]))
        low, high = {"mixed": (-120, 250), "exc": (1, 256), "inh": (-120, 0)}[sign]
        w = truncated(self.rng.integers(low, high, shape), sign, bits)
        w.flat[0] = {"mixed": 128, "exc": 64, "inh": -64}[sign]
        exponent = 0 if self.plain else int(self.rng.integers(-3, 8))
        return w.astype(float), {"bits": bits, "sign": sign, "exponent": exponent}

    def population(self, name: str, shape: tuple[int, ...], fan_in: float, held: dict[str, Any]) -> IntegerPopulation:
        """Its threshold is a few spikes' worth; what is only inhibited fires by its bias."""
        exponent, driven = held["exponent"], held["sign"] == "inh"
        one = 120.0 * 2.0**exponent
        vth = int(np.clip(one * self.rng.uniform(0.3, 0.2 * fan_in + 1.0), 1, 2**17 - 1))
        resets = [r for r in ("hard", "soft", "none") if r == "hard" or (r == "soft" and not self.plain) or (
            r == "none" and name == "out")]
        reset = str(self.rng.choice(resets))
        each = not self.plain and self.rng.random() < 0.3
        size = shape if each else ()
        vth = min(vth, 2000) if driven else vth
        bias_exponent = 6 if self.plain else int(self.rng.integers(0, 8))
        limit = int(np.clip(0.15 * 64 * vth / 2**bias_exponent, 1, 4000))
        bias = self.rng.integers(-limit // 2, limit, (shape[0], *(1,) * (len(shape) - 1))) if self.rng.random() < 0.6 else 0
        if driven:
            bias, bias_exponent = self.rng.integers(vth // 2 + 1, 2 * vth + 2, (shape[0], *(1,) * (len(shape) - 1))), 6
        du, dv = self.rng.integers(0, 4096, size), self.rng.integers(0, 600, size)
        start = 0 if self.plain else np.random.default_rng(vth).integers(-64 * vth, 64 * vth, shape)
        return IntegerPopulation(name, shape, reset, du, dv,
                                 np.maximum(1, (vth * self.rng.uniform(0.8, 1.0, size)).astype(int)), bias, bias_exponent,
                                 start=start)

    def dense(self, source: str, target: IntegerPopulation | str, weight: Array, held: dict[str, Any], *,
              late: bool = True) -> IntegerProjection:
        kind = self.rng.choice(["dense", "delayed", "sparse"], p=[0.4, 0.4, 0.2]) if late else "dense"
        name = target if isinstance(target, str) else target.name
        if kind == "delayed":
            delay = self.rng.integers(0, self.rng.choice([3, 63]), weight.shape)
            return IntegerProjection(source, name, Delayed(weight, delay), **held)
        if kind == "sparse" and not self.plain:
            found = [np.flatnonzero(column) for column in weight.T]
            m: Map = Sparse(np.cumsum([0, *map(len, found)]), np.concatenate(found),
                            np.concatenate([weight[f, i] for i, f in enumerate(found)]), weight.shape)
            return IntegerProjection(source, name, m, **held)
        return IntegerProjection(source, name, Dense(weight), delay=int(self.rng.integers(1, 4)) if late else 1, **held)


def drawn(seed: int, *, plain: bool = False, steps: int = 75) -> tuple[IntegerNetwork, Array]:
    """A network of one of three kinds, dense, recurrent or convolutional with a pool, and counts [T, 1, *input]."""
    d = Drawn(seed, plain)
    rng, kind = d.rng, ("dense", "recurrent", "conv")[seed % 3]
    populations, projections = [], []

    def onward(p: IntegerPopulation, q: IntegerProjection) -> None:
        populations.append(p)
        projections.append(q)

    if kind == "conv":
        first = IntegerPopulation("in", (int(rng.integers(1, 4)), int(rng.integers(6, 10)), int(rng.integers(5, 9))), None)
        populations.append(first)
        w, held = d.weight(int(rng.integers(2, 4)), first.shape[0], int(rng.integers(2, 5)), int(rng.integers(1, 4)))
        m = Conv2d(w, (int(rng.integers(1, 3)), int(rng.integers(1, 3))), (int(rng.integers(0, 2)), int(rng.integers(0, 2))))
        onward(d.population("conv", m.output_shape(first.shape), w[0].size * 0.25, held),
               IntegerProjection("in", "conv", m, delay=1 if plain else int(rng.integers(1, 4)), **held))
        shape = populations[-1].shape
        pool = Conv2d(np.eye(shape[0])[:, :, None, None] * np.full((min(2, shape[1]), min(2, shape[2])), 128.0), 2)
        onward(d.population("pool", pool.output_shape(shape), 1.0, {"exponent": 0, "sign": "exc"}),
               IntegerProjection("conv", "pool", pool))
    else:
        populations.append(IntegerPopulation("in", (int(rng.integers(8, 20)),), None))
    for name in ("hidden", "out"):
        before, size = populations[-1], int(rng.integers(5, 14))
        w, held = d.weight(size, before.size)
        p = d.population(name, (size,), before.size * 0.25, held)
        loop = kind == "recurrent" and name == "hidden"
        onward(p, d.dense(before.name, p, w, held, late=not (loop and plain)))
        if loop:
            w, more = d.weight(size, size)
            more = held if plain else more | {"exponent": held["exponent"]}
            if plain:
                w = truncated(w, held["sign"], held["bits"]).astype(float)
            projections.append(d.dense(name, name, w, more, late=not plain))
    graded = rng.random() < 0.3
    counts = rng.poisson(0.3, (steps, 1, *populations[0].shape))
    return (IntegerNetwork(tuple(populations), tuple(projections), readout="membrane", latency=len(populations) - 1),
            counts if graded else np.minimum(counts, 1))
