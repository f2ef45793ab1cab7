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
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.integer.execute import Array, IntegerResult, Kept, Plan, _arrive, _step, collected, in_parts, prepared
from snnsim.hardware.integer.model import IntegerNetwork, IntegerProjection, listed
from snnsim.hardware.integer.quantize import _weighing
from snnsim.rule import one_of

KINDS = ("weights", "u", "v", "spikes")
POLICIES = {"clip": 1, "zero": 2}
STATE_BITS = 24
WATCH = 3  # neither bound: note the ranges


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


class Bits(NamedTuple):
    """Which stored weight a synapse has; and of each stored weight its number, step, sign and first bit."""

    stored: Array  # [synapses]
    mantissa: Array
    step: Array
    sign: Array  # 0 mixed, 1 exc, -1 inh
    first: Array  # [weights + 1]


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

    Without a fault and without ranges it is `run`, bit for bit. Errors: ValueError, as `run`, and for ranges of another network.
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
        _run_faulty(one.plan, bits, one.rows.indptr, one.rows.index, one.values, one.rows.steps, one.rows.batch, start, stop,
                    one.steps, network.readout == "count", float(faults.rate), asked, int(faults.seed), bounds, mode, flips,
                    one.kept)

    in_parts(work, one.rows.batch, threads)
    return flips


def _bits(network: IntegerNetwork) -> Bits:
    stored, mantissas, steps, signs, widths = [], [], [], [], []
    count = 0
    for q in network.projections:
        w = q.mantissas.astype(np.int64)
        found = w != 0
        number = np.where(found, np.cumsum(found).reshape(w.shape), 0)  # from 1; 0 is no synapse
        stored.append(listed(_weighing(q.map, number.astype(np.float64)), network.population(q.source).shape)[2] + (count - 1))
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


@numba.njit(nogil=True, cache=True)
def _uniform(state: Array) -> float:  # pragma: no cover - compiled
    """In (0, 1): splitmix64 (Steele, Lea, Flood, 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@numba.njit(nogil=True, cache=True)
def _gap(state: Array, rate: float) -> int:  # pragma: no cover - compiled
    """How many bits stay as they are before the next one that flips."""
    if rate <= 0.0:
        return 1 << 62
    if rate >= 1.0:
        return 0
    return int(min(np.floor(np.log(_uniform(state)) / np.log1p(-rate)), 4e18))


@numba.njit(nogil=True, cache=True)
def _flipped_weight(bits: Bits, stored: Array, at: int) -> None:  # pragma: no cover - compiled
    i = np.searchsorted(bits.first, at, side="right") - 1
    width, step = bits.first[i + 1] - bits.first[i], bits.step[i]
    sign = -1 if bits.sign[i] < 0 else 1
    code = (sign * stored[i] // step) ^ (1 << (at - bits.first[i]))
    if bits.sign[i] == 0:  # two's complement of `width` bits
        code &= (1 << width) - 1
        if code >> (width - 1):
            code -= 1 << width
    stored[i] = sign * code * step


@numba.njit(nogil=True, cache=True)
def _flipped_state(value: Any, bit: int) -> Any:  # pragma: no cover - compiled
    code = (value & ((1 << 24) - 1)) ^ (1 << bit)
    return code - (1 << 24) if code >> 23 else code


@numba.njit(nogil=True, cache=True)
def _flip(rate: float, asked: Array, state: Array, next_: int, bits: Bits, stored: Array, u: Array, v: Array, fired: Array,
          fires: Array, flips: Array) -> Any:  # pragma: no cover - compiled
    """Flip what is due in this step; the bits of weights, u, v and spikes stand in a row. The gap that is left."""
    neurons = len(u)
    end = np.zeros(4, np.int64)
    end[0] = bits.first[-1] if asked[0] else 0
    end[1] = end[0] + (24 * neurons if asked[1] else 0)
    end[2] = end[1] + (24 * neurons if asked[2] else 0)
    end[3] = end[2] + (neurons if asked[3] else 0)
    while next_ < end[3]:
        if next_ < end[0]:
            _flipped_weight(bits, stored, next_)
            flips[0] += 1
        elif next_ < end[1]:
            at = next_ - end[0]
            u[at // 24] = _flipped_state(u[at // 24], at % 24)
            flips[1] += 1
        elif next_ < end[2]:
            at = next_ - end[1]
            v[at // 24] = _flipped_state(v[at // 24], at % 24)
            flips[2] += 1
        elif fires[next_ - end[2]]:
            fired[next_ - end[2]] ^= 1
            flips[3] += 1
        next_ += 1 + _gap(state, rate)
    return next_ - end[3]


@numba.njit(nogil=True, cache=True)
def _bounded(value: Any, bounds: Array, b: int, i: int, k: int, mode: int) -> Any:  # pragma: no cover - compiled
    low, high = bounds[b, i, k, 0], bounds[b, i, k, 1]
    if low <= value <= high:
        return value
    if mode == 3:
        bounds[b, i, k, 0], bounds[b, i, k, 1] = min(low, value), max(high, value)
        return value
    return 0 if mode == 2 else low if value < low else high


@numba.njit(nogil=True, cache=True)
def _send_stored(plan: Plan, bits: Bits, stored: Array, p: int, neuron: int, count: int, t: int,
                 ring: Array) -> None:  # pragma: no cover - compiled
    for q in range(len(plan.source)):
        if plan.source[q] != p:
            continue
        size, slots, row = plan.first[plan.target[q] + 1] - plan.first[plan.target[q]], plan.slots[q], plan.row[q] + neuron
        for k in range(plan.indptr[row], plan.indptr[row + 1]):
            ring[plan.ring[q] + ((t + plan.delay[k]) % slots) * size + plan.post[k]] += stored[bits.stored[k]] * count


@numba.njit(nogil=True, cache=True)
def _run_faulty(plan: Plan, bits: Bits, indptr: Array, index: Array, counts: Array, given: int, batch: int, start: int,
                stop: int, steps: int, counted: bool, rate: float, asked: Array, seed: int, bounds: Array, mode: int,
                flips: Array, kept: Kept) -> None:  # pragma: no cover - compiled
    neurons = plan.first[-1]
    u, v, x = np.zeros(neurons, np.int64), np.zeros(neurons, np.int64), np.zeros(neurons, np.int64)
    ring, fired = np.zeros(plan.ring[-1], np.int64), np.zeros(neurons, np.uint8)
    state, fires = np.zeros(1, np.uint64), np.zeros(neurons, np.bool_)
    for p in range(1, len(plan.reset)):
        fires[plan.first[p]: plan.first[p + 1]] = plan.reset[p] != 2
    for b in range(start, stop):
        u[:] = 0
        v[:] = 0
        ring[:] = 0
        stored = bits.mantissa.copy()
        state[0] = (np.uint64(seed) << np.uint64(32)) ^ np.uint64(b)
        _uniform(state)
        next_ = _gap(state, rate)
        own = b if mode == 3 else 0
        for t in range(steps):
            for p in range(1, len(plan.reset)):
                _arrive(plan, p, t, ring, x)
                if mode:
                    for n in range(plan.first[p + 1] - plan.first[p]):
                        i = plan.first[p] + n
                        x[n] = _bounded(x[n], bounds, own, i, 0, mode)
                        u[i] = _bounded(u[i], bounds, own, i, 1, mode)
                        v[i] = _bounded(v[i], bounds, own, i, 2, mode)
                _step(plan, p, t, x, u, v, fired, kept.found[b], kept.where[b])
            if not counted:
                for i in range(neurons):
                    kept.sums[b, i] += v[i]
            next_ = _flip(rate, asked, state, next_, bits, stored, u, v, fired, fires, flips[b])
            if t < given:
                for k in range(indptr[t * batch + b], indptr[t * batch + b + 1]):
                    _send_stored(plan, bits, stored, 0, index[k], counts[k], t, ring)
            for p in range(1, len(plan.reset)):
                for n in range(plan.first[p + 1] - plan.first[p]):
                    i = plan.first[p] + n
                    if fired[i]:
                        kept.total[b, i] += 1
                        _send_stored(plan, bits, stored, p, n, 1, t, ring)
            if counted:
                for i in range(neurons):
                    kept.sums[b, i] += fired[i]
            if kept.fired.size:
                kept.fired[t, b] = fired
