"""Connection rules: which neurons of one population are joined to which of another. Plain data, drawn by the engine.

self_connections: may a neuron be joined to itself, where source and target are one population. multiple: may two
synapses join the same pair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.rule import finite


class Connect(ABC):
    """One of AllToAll, OneToOne, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal and Pairs."""

    @abstractmethod
    def expected(self, sources: int, targets: int, same: bool) -> float:
        """The (expected) number of synapses; ValueError where the rule cannot be met. same: one population is both."""


@dataclass(frozen=True)
class AllToAll(Connect):
    """Every source to every target. Arrays of weights or delays have the shape [targets, sources]."""

    self_connections: bool = True

    def expected(self, sources: int, targets: int, same: bool) -> float:
        return float(sources * _partners(targets, self.self_connections, same))


@dataclass(frozen=True)
class OneToOne(Connect):
    """Neuron i to neuron i; both populations have the same size. Arrays of weights or delays have the shape [size]."""

    def expected(self, sources: int, targets: int, same: bool) -> float:
        if sources != targets:
            raise ValueError(f"OneToOne joins populations of one size, got {sources} sources and {targets} targets")
        return float(sources)


@dataclass(frozen=True)
class Bernoulli(Connect):
    """Each pair is joined with this probability, on its own (pairwise Bernoulli)."""

    probability: float
    self_connections: bool = True

    def __post_init__(self) -> None:
        p = finite("probability of Bernoulli", self.probability)
        if p.ndim or not 0.0 <= p <= 1.0:
            raise ValueError(f"probability of Bernoulli must lie from 0 to 1, got {self.probability!r}")

    def expected(self, sources: int, targets: int, same: bool) -> float:
        return self.probability * sources * _partners(targets, self.self_connections, same)


@dataclass(frozen=True)
class FixedIndegree(Connect):
    """Each target gets this many synapses, from sources drawn at random."""

    indegree: int
    self_connections: bool = True
    multiple: bool = True

    def __post_init__(self) -> None:
        _count("indegree of FixedIndegree", self.indegree)

    def expected(self, sources: int, targets: int, same: bool) -> float:
        _enough("FixedIndegree", self.indegree, _partners(sources, self.self_connections, same), self.multiple, "sources")
        return float(self.indegree * targets)


@dataclass(frozen=True)
class FixedOutdegree(Connect):
    """Each source gets this many synapses, to targets drawn at random."""

    outdegree: int
    self_connections: bool = True
    multiple: bool = True

    def __post_init__(self) -> None:
        _count("outdegree of FixedOutdegree", self.outdegree)

    def expected(self, sources: int, targets: int, same: bool) -> float:
        _enough("FixedOutdegree", self.outdegree, _partners(targets, self.self_connections, same), self.multiple, "targets")
        return float(self.outdegree * sources)


@dataclass(frozen=True)
class FixedTotal(Connect):
    """This many synapses in all, between pairs drawn at random."""

    total: int
    self_connections: bool = True
    multiple: bool = True

    def __post_init__(self) -> None:
        _count("total of FixedTotal", self.total)

    def expected(self, sources: int, targets: int, same: bool) -> float:
        pairs = sources * _partners(targets, self.self_connections, same)
        _enough("FixedTotal", self.total, pairs, self.multiple, "pairs")
        return float(self.total)


@dataclass(frozen=True, eq=False)
class Pairs(Connect):
    """Synapse k joins neuron source[k] to neuron target[k]. Arrays of weights or delays have one entry a synapse."""

    source: ArrayLike
    target: ArrayLike

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            array = np.array(getattr(self, name))
            if array.size == 0:
                array = array.astype(np.int64)
            if array.ndim != 1 or array.dtype.kind not in "ui":
                raise ValueError(f"{name} of Pairs must be a list of whole numbers, got shape {array.shape} of {array.dtype}")
            array = array.astype(np.int64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if np.size(self.source) != np.size(self.target):
            raise ValueError(f"source and target of Pairs must have the same length, got {np.size(self.source)} and "
                             f"{np.size(self.target)}")

    def expected(self, sources: int, targets: int, same: bool) -> float:
        for name, size in (("source", sources), ("target", targets)):
            index: NDArray[np.int64] = np.asarray(getattr(self, name))
            if index.size and (index.min() < 0 or index.max() >= size):
                raise ValueError(f"{name} of Pairs must lie in 0 .. {size - 1}, got {index.min()} .. {index.max()}")
        return float(np.size(self.source))


def _partners(size: int, self_connections: bool, same: bool) -> int:
    return size if self_connections or not same else size - 1


def _count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"{name} must be a whole number, at least 0, got {value!r}")


def _enough(rule: str, wanted: int, pool: int, multiple: bool, of: str) -> None:
    if wanted and pool < 1:
        raise ValueError(f"{rule} finds no {of} to choose from")
    if not multiple and wanted > pool:
        raise ValueError(f"{rule} wants {wanted} different {of}, but there are only {pool}; allow multiple=True")
