"""Bits that flip while an integer network runs, and range restriction against them.

Every bit of the kinds that are asked for flips in every step with the same probability:

    weights    the bits of a mantissa, in two's complement where signs are mixed; a kernel's weight is one. A flip stays to the
               end of the sample. Weights that are 0 have no bits
    u, v       their 24 bits, in two's complement, between two steps
    spikes     whether a neuron fires, before anything hears of it; it is reset as it was

Range restriction (Chen, Li, Pattabiraman, "A Low-cost Fault Corrector for Deep Neural Networks through Range Restriction", DSN
2021, for activations): the least and the largest value that is seen on training samples bounds what is let through. That it is
the sum that arrives and u and v as they are read that are bounded, and the choice between the bound itself ("clip") and 0 for
what passes it, is our own reading for spiking networks.
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
from snnsim.rule import one_of

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
    """bounds: int64 [neurons, 3, 2], the least and the largest sum, u and v of each neuron of all populations but the input.
    policy: what becomes of a value beyond them, "clip" (the bound) or "zero"."""

    bounds: NDArray[np.int64]
    policy: Literal["clip", "zero"] = "clip"

    def __post_init__(self) -> None:
        one_of("policy", self.policy, POLICIES)


def profile(network: IntegerNetwork, events: Any, *, each: Literal["population", "neuron"] = "population",
            policy: Literal["clip", "zero"] = "clip", threads: int | None = None) -> Ranges:
    """The ranges that samples keep to: training data. each: one range a population, or one a neuron. Errors: those of `run`."""
    one_of("each", each, ("population", "neuron"))
    one = prepared(network, events, spikes=False)
    neurons, batch = int(one.plan.first[-1]), one.rows.batch
    seen = np.zeros((batch, neurons, 3, 2), np.int64)
    _all(network, one, Faults(0.0, ()), seen, WATCH, threads)
    bounds = np.stack([seen[..., 0].min(0), seen[..., 1].max(0)], -1)
    if each == "population":
        for start, stop in zip(one.plan.first[1:-1], one.plan.first[2:], strict=True):
            bounds[start:stop, :, 0] = bounds[start:stop, :, 0].min(0)
            bounds[start:stop, :, 1] = bounds[start:stop, :, 1].max(0)
    return Ranges(bounds, policy)


def run_faulty(network: IntegerNetwork, events: Any, faults: Faults, ranges: Ranges | None = None, *,
               threads: int | None = None, spikes: bool = False) -> tuple[IntegerResult, dict[str, int]]:
    """A run with faults, and how many bits flipped, by kind. ranges: what bounds sums, u and v.

    Without a fault and without ranges it is `run`, bit for bit. Errors: ValueError, as `run`, and for ranges of another
    network.
    """
    one = prepared(network, events, spikes=spikes)
    neurons = int(one.plan.first[-1])
    bounds, mode = np.zeros((1, 1, 3, 2), np.int64), 0
    if ranges is not None:
        if ranges.bounds.shape != (neurons, 3, 2):
            raise ValueError(f"ranges are those of {len(ranges.bounds)} neurons, but the network has {neurons}")
        bounds, mode = ranges.bounds[None], POLICIES[ranges.policy]
    flips = _all(network, one, faults, bounds, mode, threads)
    return collected(network, one), dict(zip(KINDS, flips.sum(0).tolist(), strict=True))


def _all(network: IntegerNetwork, one: Any, faults: Faults, bounds: Array, mode: int, threads: int | None) -> Array:
    bits = _bits(network)
    asked = np.array([kind in faults.kinds for kind in KINDS])
    flips = np.zeros((one.rows.batch, len(KINDS)), np.int64)

    def work(start: int, stop: int) -> None:
        run_faulty_samples(one.plan, bits, one.rows.indptr, one.rows.index, one.values, one.rows.steps, one.rows.batch, start,
                           stop, one.steps, network.readout == "count", float(faults.rate), asked, int(faults.seed), bounds,
                           mode, flips, one.kept)

    in_parts(work, one.rows.batch, threads)
    return flips


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
