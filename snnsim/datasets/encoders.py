"""Numbers to spikes over steps: rate, latency, phase, delta and direct encoders. Time is the first axis of what they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.events import whole
from snnsim.kernel import jit
from snnsim.rule import finite, one_of

Spikes = NDArray[np.float32]


@dataclass(frozen=True)
class Rate:
    """A value x fires at each of `steps` steps with probability x, on its own: float32 [steps, ...] of 0 and 1.

    Random numbers depend on the seed and `number`, which sample this is, alone. Errors: ValueError unless 0 <= x <= 1.
    """

    steps: int
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 1))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))

    def __call__(self, values: ArrayLike, number: int = 0) -> Spikes:
        x = unit(values)
        rng = np.random.default_rng((self.seed, whole("number", number, 0)))
        return np.asarray(rng.random((self.steps, *x.shape)) < x, np.float32)


@dataclass(frozen=True)
class Latency:
    """A value x fires once, the earlier the larger: at step floor((1 - x) (steps - 1) + 1/2), and never where x is 0.

    float32 [steps, ...] of 0 and 1. Errors: ValueError unless 0 <= x <= 1.
    """

    steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 1))

    def __call__(self, values: ArrayLike) -> Spikes:
        x = unit(values)
        when = np.floor((1.0 - x) * (self.steps - 1) + 0.5)
        steps = np.arange(self.steps).reshape(-1, *[1] * x.ndim)
        return np.asarray((steps == when) & (x > 0.0), np.float32)


@dataclass(frozen=True)
class Phase:
    """A value's binary digits, the largest first, again and again: at step t fires digit t mod bits of floor(x 2^bits).

    A digit k is worth 2^-(k + 1); 1 is sent as the largest number there is, 1 - 2^-bits. float32 [steps, ...] of 0 and 1.
    Source: Kim, Kim, Huh, Lee, Choi, Neurocomputing (2018), weighted spikes. Errors: ValueError unless 0 <= x <= 1.
    """

    steps: int
    bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 1))
        object.__setattr__(self, "bits", whole("bits", self.bits, 1, 52))

    def __call__(self, values: ArrayLike) -> Spikes:
        x = unit(values)
        digits = np.minimum(np.floor(x * 2.0**self.bits), 2.0**self.bits - 1).astype(np.int64)
        place = (self.bits - 1 - np.arange(self.steps) % self.bits).reshape(-1, *[1] * x.ndim)
        return np.asarray((digits >> place) & 1, np.float32)


@dataclass(frozen=True)
class Delta:
    """Send on delta: a signal over time [T, ...] fires ON or OFF when it has moved by `threshold` since it last did.

    The reference r starts at the first value. At each step n = floor(|x - r| / threshold) spikes are sent, of the sign of
    x - r, and r moves by n threshold towards x, so that |x - r| < threshold after each step up to rounding: what was sent
    gives the signal back to within a threshold. once: at most one spike a step. float32 [T, 2, ...] of counts, OFF and ON.
    Source: Miskowicz, Sensors 6 (2006). Errors: ValueError that names the argument.
    """

    threshold: float
    once: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", float(finite("threshold", self.threshold, above=0.0)))
        one_of("once", self.once, (False, True))
        object.__setattr__(self, "once", bool(self.once))

    def __call__(self, signal: ArrayLike) -> Spikes:
        x = finite("signal", signal)
        if x.ndim < 1 or not len(x):
            raise ValueError(f"signal must be [T, ...] with at least one step, got shape {x.shape}")
        flat = np.ascontiguousarray(x.reshape(len(x), -1))
        out = np.zeros((len(x), 2, flat.shape[1]), np.float32)
        _delta(flat, self.threshold, self.once, out)
        return out.reshape(len(x), 2, *x.shape[1:])


@jit(nogil=True)
def _delta(signal: NDArray[np.float64], threshold: float, once: bool, out: Spikes) -> None:
    for i in range(signal.shape[1]):
        reference = signal[0, i]
        for t in range(len(signal)):
            moved = signal[t, i] - reference
            n = np.floor(abs(moved) / threshold)
            if once:
                n = min(n, 1.0)
            if n > 0.0:
                out[t, 1 if moved > 0.0 else 0, i] = n
                reference += n * threshold if moved > 0.0 else -n * threshold


@dataclass(frozen=True)
class Direct:
    """The values themselves as input at every step: float32 [steps, ...]; the net's first layer makes the spikes of it.

    Errors: ValueError unless the values are finite.
    """

    steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 1))

    def __call__(self, values: ArrayLike) -> Spikes:
        x = finite("values", values).astype(np.float32)
        return np.broadcast_to(x, (self.steps, *x.shape)).copy()


def unit(values: ArrayLike) -> NDArray[np.float64]:
    """The values as float64; ValueError unless they lie from 0 to 1."""
    x = finite("values", values)
    if x.size and not 0.0 <= x.min() <= x.max() <= 1.0:
        raise ValueError(f"values must lie from 0 to 1, got {x.min():g} to {x.max():g}")
    return x
