"""An astrocyte as a slow rule of its own: it listens to the neurons of its territory and moves a parameter of any rule.

    snnsim.Modulation(source, target, parameter, Astrocyte(...), source_group, target_group, period, gain)

Calcium is a leaky average of the territory's rate, the release of gliotransmitter saturates with it. Our model, with the
release of `AMLIF`; that astrocytes integrate the activity of a territory and answer slowly: Araque et al., Neuron 81 (2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.neurons.each import each, positive
from snnsim.neurons.lif import decay_of
from snnsim.rule import Neuron, Rule, exp, finite, where


def charge(calcium: float, release: float, x: float, rho: float, rate: float, steep: float, a0: float) -> tuple[float, float]:
    c = rho * calcium + (1.0 - rho) * (rate * x)
    z = steep * (c - a0)
    return c, 1.0 / (1.0 + exp(-where(z < -80.0, -80.0, z)))


RULE = Rule("astrocyte", charge, unit=("rho",), source="ours, after the release of amlif",
            equation="c = rho c + (1 - rho) rate x;  A = 1 / (1 + exp(-steep (c - a0)))")


@dataclass(frozen=True)
class Astrocyte(Neuron):
    """The slower rule of a `Modulation`: one unit for each territory, whose release A moves the parameter by gain A.

        c[n] = rho c[n-1] + (1 - rho) r[n];  A[n] = 1 / (1 + exp(-k (c[n] - a0)));  rho = exp(-period / tau)

    r: the mean rate of the territory's neurons in the period before, in Hz, so that another period means the same. tau: of
    the calcium c, ms; k: slope of the release, per Hz (both above 0); a0: the rate where it is a half, Hz; size: how many
    neurons a territory has, one number or one a territory. A starts at its value for silence, which moves the parameter, too.
    Errors: ValueError that names the argument.
    """

    tau: float = 1000.0
    k: float = 0.5
    a0: float = 10.0
    size: ArrayLike = 1.0

    def __post_init__(self) -> None:
        for name in ("tau", "k", "a0"):
            if np.ndim(getattr(self, name)):
                raise ValueError(f"{name} must be one number, got {getattr(self, name)!r}")
        positive("tau", self.tau)
        positive("k", self.k)
        finite("a0", self.a0)
        positive("size", self.size)
        object.__setattr__(self, "size", each(self.size))

    @property
    def rule(self) -> Rule:
        return RULE

    @property
    def initial(self) -> dict[str, float]:
        return {"release": 1.0 / (1.0 + math.exp(min(self.k * self.a0, 80.0)))}

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {"rho": decay_of(self.tau, dt, "exponential"), "rate": 1000.0 / (np.asarray(self.size, np.float64) * dt),
                "steep": np.asarray(self.k, np.float64), "a0": np.asarray(self.a0, np.float64)}


def territories(shape: int | Sequence[int], size: int | Sequence[int]) -> NDArray[np.int64]:
    """The number of the territory of each neuron, from 0, as an array of this shape.

    shape (N,): runs of `size` neighbours. shape (channels, height, width): patches of size = (height, width), or a square,
    through all channels. What is left over at an end is a smaller territory. Errors: ValueError that names the argument.
    """
    whole = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(whole) not in (1, 3) or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in whole):
        raise ValueError(f"shape must be (N,) or (channels, height, width) with positive sizes, got {shape!r}")
    wanted = len(whole) - len(whole) // 3
    patch = (size,) * wanted if isinstance(size, int) else tuple(size)
    if len(patch) != wanted or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in patch):
        raise ValueError(f"size must be {'a positive whole number' if wanted == 1 else 'one or two positive whole numbers'} "
                         f"for shape {whole}, got {size!r}")
    if wanted == 1:
        return np.arange(whole[0]) // patch[0]
    rows, columns = np.arange(whole[1]) // patch[0], np.arange(whole[2]) // patch[1]
    return np.broadcast_to(rows[:, None] * (columns[-1] + 1) + columns, whole).copy()
