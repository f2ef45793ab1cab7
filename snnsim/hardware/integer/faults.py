"""Bits that flip while an integer network runs, and range restriction against them.

Every bit of the kinds that are asked for flips in every step with the same probability:

    weights    the bits of a mantissa, in two's complement where signs are mixed; a kernel's weight is one. A flip stays to the
               end of the sample. Weights that are 0 have no bits
    u, v       their 24 bits, in two's complement, between two steps
    spikes     whether a neuron fires, before anything hears of it; it is reset as it was

Range restriction (Chen, Li, Pattabiraman, "A Low-cost Fault Corrector for Deep Neural Networks through Range Restriction", DSN
2021, for activations): the least and the largest value that is seen on training samples bounds what is let through. Our own
reading for spiking networks is what is bounded, and the choice between the bound itself ("clip") and 0 for what passes it:

    sums, u, v  as they are read in each step
    weights     as they are read: by those of the network itself, which needs no samples
    spikes      one bit has no range, but v has one as a spike leaves it: 0 with a hard reset. A spike whose neuron holds
                another v is dropped. It is v before its own bits flip, which is between two steps. A spike that a flip took
                away stays lost, and a spike that comes of a flip of v or u before the threshold passes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.integer.execute import Array, IntegerResult, collected, in_parts, parts_of, prepared
from snnsim.hardware.integer.kernels import CLIP, WATCH, ZERO, Bits, run_faulty_samples
from snnsim.hardware.integer.model import IntegerNetwork, IntegerProjection, listed
from snnsim.maps import weighing
from snnsim.rule import finite, one_of

KINDS = ("weights", "u", "v", "spikes")
POLICIES = {"clip": CLIP, "zero": ZERO}


@dataclass(frozen=True)
class Faults:
    """rate: the probability that a bit flips in a step, 0 .. 1. kinds: of KINDS. seed: with it and the place of the sample, the
    flips are the same in every run and for any number of threads. Errors: ValueError."""

    rate: float
    kinds: Sequence[str] = KINDS
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"rate of faults must be a probability, 0 .. 1, got {self.rate!r}")
        for kind in self.kinds:
            one_of("kinds of faults", kind, KINDS)
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed < 2**31:
            raise ValueError(f"seed of faults must be a whole number in 0 .. 2**31 - 1, got {self.seed!r}")


@dataclass(frozen=True, eq=False)
class Ranges:
    """bounds: int64 [neurons, 4, 2], the least and the largest sum, u, v and v as a spike leaves it, of each neuron of all
    populations but the input. weights: int64 [weights, 2], the same of each mantissa that is not 0, in C order, projection by
    projection. policy: what becomes of a value beyond them, "clip" (the bound) or "zero"; a spike is dropped by both."""

    bounds: NDArray[np.int64]
    weights: NDArray[np.int64]
    policy: Literal["clip", "zero"] = "clip"

    def __post_init__(self) -> None:
        one_of("policy", self.policy, POLICIES)


def profile(network: IntegerNetwork, events: Any, *, each: Literal["population", "neuron"] = "population",
            policy: Literal["clip", "zero"] = "clip", margin: float = 0.0, threads: int | None = None) -> Ranges:
    """The ranges that samples keep to: training data. each: one range a population, or one a neuron, where a mantissa keeps to
    what its neuron (or channel) receives and to what its source sends. margin: this share of a range is added to it at either
    end, for samples that were not seen; mantissas are known and need none. Errors: ValueError for a margin below 0, and those
    of `run`."""
    one_of("each", each, ("population", "neuron"))
    finite("margin of ranges", margin, at_least=0.0)
    one = prepared(network, events, spikes=False)
    neurons, batch = int(one.plan.first[-1]), one.rows.batch
    seen, weights = np.zeros((batch, neurons, 4, 2), np.int64), _weights(network, each)
    _all(network, one, Faults(0.0, ()), seen, weights, WATCH, threads)
    bounds = np.stack([seen[..., 0].min(0), seen[..., 1].max(0)], -1)
    if each == "population":
        for start, stop in zip(one.plan.first[1:-1], one.plan.first[2:], strict=True):
            bounds[start:stop, :, 0] = bounds[start:stop, :, 0].min(0)
            bounds[start:stop, :, 1] = bounds[start:stop, :, 1].max(0)
    more = np.floor(margin * (bounds[..., 1] - bounds[..., 0])).astype(np.int64)
    return Ranges(bounds + np.stack([-more, more], -1), weights, policy)


def run_faulty(network: IntegerNetwork, events: Any, faults: Faults, ranges: Ranges | None = None, *,
               threads: int | None = None, spikes: bool = False) -> tuple[IntegerResult, dict[str, int]]:
    """A run with faults, and how many bits flipped, by kind. ranges: what bounds sums, u, v, weights and spikes.

    Without a fault and without ranges it is `run`, bit for bit. Errors: ValueError, as `run`, and for ranges of another
    network.
    """
    one = prepared(network, events, spikes=spikes)
    neurons = int(one.plan.first[-1])
    bounds, weights, mode = np.zeros((1, 1, 4, 2), np.int64), np.zeros((1, 2), np.int64), 0
    if ranges is not None:
        if ranges.bounds.shape != (neurons, 4, 2):
            raise ValueError(f"ranges are those of {len(ranges.bounds)} neurons, but the network has {neurons}")
        stored = sum(int(np.count_nonzero(q.mantissas)) for q in network.projections)
        if ranges.weights.shape != (stored, 2):
            raise ValueError(f"ranges are those of {len(ranges.weights)} weights, but the network has {stored} that are not 0")
        bounds, weights = (np.array(a, np.int64) for a in (ranges.bounds[None], ranges.weights))  # whatever they are, writable
        mode = POLICIES[ranges.policy]
    flips = _all(network, one, faults, bounds, weights, mode, threads)
    return collected(network, one), dict(zip(KINDS, flips.sum(0).tolist(), strict=True))


def _all(network: IntegerNetwork, one: Any, faults: Faults, bounds: Array, weights: Array, mode: int,
         threads: int | None) -> Array:
    bits = _bits(network)
    asked = np.array([kind in faults.kinds for kind in KINDS])
    flips = np.zeros((one.rows.batch, len(KINDS)), np.int64)

    def work(start: int, stop: int) -> None:
        run_faulty_samples(one.plan, bits, one.rows.indptr, one.rows.index, one.values, one.rows.steps, one.rows.batch, start,
                           stop, one.steps, network.readout == "count", float(faults.rate), asked, int(faults.seed), bounds,
                           weights, mode, flips, one.kept)

    in_parts(work, one.rows.batch, threads)
    return flips


def _weights(network: IntegerNetwork, each: str) -> Array:
    """The bounds of each mantissa that is not 0."""
    found = []
    for q in network.projections:
        w = q.mantissas.astype(np.int64)
        low, high = np.full(w.shape, min(0, w.min())), np.full(w.shape, max(0, w.max()))
        for axis in (0, 1) if each == "neuron" and w.ndim > 1 else ():
            rest = tuple(a for a in range(w.ndim) if a != axis)
            low, high = np.maximum(low, w.min(rest, keepdims=True)), np.minimum(high, w.max(rest, keepdims=True))
        found.append(np.stack([low[w != 0], high[w != 0]], -1))
    return np.concatenate(found)


def _bits(network: IntegerNetwork) -> Bits:
    stored, mantissas, steps, signs, widths = [], [], [], [], []
    count = 0
    for q in network.projections:
        w = q.mantissas.astype(np.int64)
        found = w != 0
        number = np.where(found, np.cumsum(found).reshape(w.shape), 0)  # from 1; 0 is no synapse
        numbered = listed(weighing(q.map, number.astype(np.float64)), network.population(q.source).shape)
        stored += [part[2] + (count - 1) for part in parts_of(q.exponent, numbered)]
        mantissas.append(w[found])
        count += int(found.sum())
        steps.append(np.full(int(found.sum()), _step_of(q)))
        signs.append(np.full(int(found.sum()), {"mixed": 0, "exc": 1, "inh": -1}[q.sign]))
        widths.append(np.full(int(found.sum()), q.bits))
    first = np.concatenate([[0], np.cumsum(np.concatenate(widths))])
    one, two, three, four = (np.concatenate(a).astype(np.int64) for a in (stored, mantissas, steps, signs))
    return Bits(one, two, three, four, first.astype(np.int64))


def _step_of(q: IntegerProjection) -> int:
    return int(2 ** (9 - q.bits if q.sign == "mixed" else 8 - q.bits))
