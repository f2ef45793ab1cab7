"""Distributions of weights, delays, initial states and parameters: plain data, drawn by the engine.

A draw outside low .. high is drawn again, so the distribution is truncated, not piled up at its bounds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.rule import finite

LEAST_ACCEPTED = 1e-3  # drawing again would take too long below this share of accepted draws
CONSTANT, UNIFORM, NORMAL, LOG_NORMAL = range(4)


class Distribution(ABC):
    """One of Uniform, Normal and LogNormal."""

    low: float
    high: float

    @property
    @abstractmethod
    def numbers(self) -> tuple[int, float, float, float, float]:
        """kind, two parameters, low and high: what the kernels take."""

    @property
    @abstractmethod
    def center(self) -> float:
        """The mean before truncation."""


@dataclass(frozen=True)
class Uniform(Distribution):
    """Every value from low up to, not including, high is equally likely. low < high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        finite("low of Uniform", self.low)
        finite("high of Uniform", self.high, above=self.low)

    @property
    def numbers(self) -> tuple[int, float, float, float, float]:
        return UNIFORM, self.low, self.high - self.low, -math.inf, math.inf

    @property
    def center(self) -> float:
        return 0.5 * (self.low + self.high)


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal with this mean and standard deviation (above 0); draws outside low .. high are drawn again.

    Errors: ValueError, also where fewer than one draw in a thousand would be accepted.
    """

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        finite("mean of Normal", self.mean)
        finite("std of Normal", self.std, above=0.0)
        _accepts(self, lambda x: (x - self.mean) / self.std)

    @property
    def numbers(self) -> tuple[int, float, float, float, float]:
        return NORMAL, self.mean, self.std, self.low, self.high

    @property
    def center(self) -> float:
        return self.mean


@dataclass(frozen=True)
class LogNormal(Distribution):
    """exp(z) with z normal: mean and std (above 0) are those of z, the logarithm; draws outside low .. high are drawn
    again. Errors: ValueError, also where fewer than one draw in a thousand would be accepted."""

    mean: float
    std: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        finite("mean of LogNormal", self.mean)
        finite("std of LogNormal", self.std, above=0.0)
        _accepts(self, lambda x: (math.log(x) - self.mean) / self.std if x > 0.0 else -math.inf)

    @property
    def numbers(self) -> tuple[int, float, float, float, float]:
        return LOG_NORMAL, self.mean, self.std, self.low, self.high

    @property
    def center(self) -> float:
        return math.exp(self.mean + 0.5 * self.std**2)


def _accepts(d: Any, z: Any) -> None:
    name = type(d).__name__
    if math.isnan(d.low) or math.isnan(d.high) or d.low >= d.high:
        raise ValueError(f"low of {name} must be below high, got low = {d.low}, high = {d.high}")
    below = [NormalDist().cdf(z(x)) if math.isfinite(x) else float(x > 0) for x in (d.low, d.high)]
    if below[1] - below[0] < LEAST_ACCEPTED:
        raise ValueError(f"{name} with mean {d.mean:g} and std {d.std:g} hardly ever falls in {d.low:g} .. {d.high:g}: "
                         f"less than one draw in {1 / LEAST_ACCEPTED:.0f}; move the bounds or the mean")


Value = ArrayLike | Distribution


def value_or_distribution(name: str, value: Value) -> float | NDArray[np.float64] | Distribution:
    """The value as a float, a read-only array or a distribution; ValueError that names it where it is none of these."""
    if isinstance(value, Distribution):
        return value
    array = finite(name, value)
    if array.ndim == 0:
        return float(array)
    array = array.copy()
    array.setflags(write=False)
    return array


def draw(distribution: Distribution, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """So many independent draws, float64."""
    kind, a, b, low, high = distribution.numbers
    values = np.empty(size)
    missing = np.arange(size)
    while missing.size:
        if kind == UNIFORM:
            some = a + b * rng.random(missing.size)
        else:
            some = a + b * rng.standard_normal(missing.size)
            some = np.exp(some) if kind == LOG_NORMAL else some
        values[missing] = some
        missing = missing[(some < low) | (some > high)]
    return values
