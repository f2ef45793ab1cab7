"""The loops of integer networks, compiled: kernels of one file, as Numba caches each by the time stamp of its own.

`run_faulty_samples` is `run_samples` with flips and bounds; its rules of arithmetic are the same functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SUMS, CURRENTS, MEMBRANES = range(3)
CLIP, ZERO, WATCH = 1, 2, 3  # what becomes of a value beyond its bounds; WATCH: the bounds move


class Plan(NamedTuple):
    """Flat arrays: populations lie one after another in the neurons, projections in the synapses."""

    first: Array  # [populations + 1] where a population's neurons begin; the input has none
    reset: Array
    keep_u: Array
    keep_v: Array
    theta: Array
    bias: Array
    start: Array  # v before the first step
    source: Array  # [projections, or their parts that are shifted each by itself]
    target: Array
    shift: Array
    slots: Array  # steps of its ring
    ring: Array  # where it begins
    row: Array  # where its rows begin in indptr
    indptr: Array
    post: Array
    weight: Array
    delay: Array


class Kept(NamedTuple):
    """What a run writes: spikes, u and v of each step; sums of the readout and spikes by neuron, overflows by population, of
    each sample; and where the first overflow was: population, neuron, step, kind."""

    fired: Array
    u: Array
    v: Array
    sums: Array
    total: Array
    found: Array
    where: Array


class Bits(NamedTuple):
    """Which stored weight a synapse has; and of each stored weight its number, step, sign and first bit."""

    stored: Array  # [synapses]
    mantissa: Array
    step: Array
    sign: Array  # 0 mixed, 1 exc, -1 inh
    first: Array  # [weights + 1]


@numba.njit(nogil=True, cache=True)
def _arrive(plan: Plan, p: int, t: int, ring: Array, x: Array) -> None:  # pragma: no cover - compiled
    """x: what arrives at population p in step t, before the shift by 6 bits; the rings' slots are emptied."""
    size = plan.first[p + 1] - plan.first[p]
    x[:size] = 0
    for q in range(len(plan.source)):
        if plan.target[q] != p:
            continue
        at = plan.ring[q] + (t % plan.slots[q]) * size
        shift = plan.shift[q]
        for n in range(size):
            a = ring[at + n]
            if a != 0:
                x[n] += a << shift if shift >= 0 else a >> -shift
                ring[at + n] = 0


@numba.njit(nogil=True, cache=True)
def _send(plan: Plan, p: int, neuron: int, count: int, t: int, ring: Array) -> None:  # pragma: no cover - compiled
    for q in range(len(plan.source)):
        if plan.source[q] != p:
            continue
        size, slots, row = plan.first[plan.target[q] + 1] - plan.first[plan.target[q]], plan.slots[q], plan.row[q] + neuron
        now, first = t % slots, plan.ring[q]
        for k in range(plan.indptr[row], plan.indptr[row + 1]):
            slot = now + plan.delay[k]  # a delay is shorter than the ring
            slot -= slots if slot >= slots else 0
            ring[first + slot * size + plan.post[k]] += plan.weight[k] * count


@numba.njit(nogil=True, cache=True)
def _noted(found: Array, where: Array, p: int, n: int, t: int, kind: int) -> None:  # pragma: no cover - compiled
    if where[0] < 0:
        where[0], where[1], where[2], where[3] = p, n, t, kind
    found[p, kind] += 1


@numba.njit(nogil=True, cache=True)
def _step(plan: Plan, p: int, t: int, x: Array, all_u: Array, all_v: Array, all_fired: Array, found: Array,
          where: Array) -> None:  # pragma: no cover - compiled
    a, b = plan.first[p], plan.first[p + 1]
    u, v, fired, keep_u, keep_v = all_u[a:b], all_v[a:b], all_fired[a:b], plan.keep_u[a:b], plan.keep_v[a:b]
    bias, theta, reset = plan.bias[a:b], plan.theta[a:b], plan.reset[p]
    for n in range(len(u)):
        if x[n] >= 1 << 23 or x[n] < -(1 << 23):
            _noted(found, where, p, n, t, SUMS)
        current = abs(u[n]) * keep_u[n] >> 12
        current = (current if u[n] >= 0 else -current) + (x[n] << 6)
        if current > 1 << 23 or current <= -(1 << 23):
            _noted(found, where, p, n, t, CURRENTS)
            current += -(1 << 24) if current > 0 else 1 << 24
        h = abs(v[n]) * keep_v[n] >> 12
        h = (h if v[n] >= 0 else -h) + current + bias[n]
        if h > (1 << 23) - 1 or h < 1 - (1 << 23):
            _noted(found, where, p, n, t, MEMBRANES)
            h = (1 << 23) - 1 if h > 0 else 1 - (1 << 23)
        u[n] = current
        fired[n] = reset != 2 and h > theta[n]
        v[n] = h if not fired[n] else (h - theta[n] if reset == 1 else 0)


@numba.njit(nogil=True, cache=True)
def run_samples(plan: Plan, indptr: Array, index: Array, counts: Array, given: int, batch: int, start: int, stop: int,
                steps: int, counted: bool, kept: Kept) -> None:  # pragma: no cover - compiled
    neurons = plan.first[-1]
    u, v, x = np.zeros(neurons, np.int64), np.zeros(neurons, np.int64), np.zeros(neurons, np.int64)
    ring, fired = np.zeros(plan.ring[-1], np.int64), np.zeros(neurons, np.uint8)
    for b in range(start, stop):
        u[:] = 0
        v[:] = plan.start
        ring[:] = 0
        for t in range(steps):
            for p in range(1, len(plan.reset)):
                _arrive(plan, p, t, ring, x)
                _step(plan, p, t, x, u, v, fired, kept.found[b], kept.where[b])
            if t < given:
                for k in range(indptr[t * batch + b], indptr[t * batch + b + 1]):
                    _send(plan, 0, index[k], counts[k], t, ring)
            for p in range(1, len(plan.reset)):
                for n in range(plan.first[p + 1] - plan.first[p]):
                    if fired[plan.first[p] + n]:
                        kept.total[b, plan.first[p] + n] += 1
                        _send(plan, p, n, 1, t, ring)
            for i in range(neurons):
                kept.sums[b, i] += fired[i] if counted else v[i]
            if kept.fired.size:
                kept.fired[t, b] = fired
            if kept.u.size:
                kept.u[t, b] = u
                kept.v[t, b] = v


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
    if mode == WATCH:
        bounds[b, i, k, 0], bounds[b, i, k, 1] = min(low, value), max(high, value)
        return value
    return 0 if mode == ZERO else low if value < low else high


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
def run_faulty_samples(plan: Plan, bits: Bits, indptr: Array, index: Array, counts: Array, given: int, batch: int, start: int,
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
        v[:] = plan.start
        ring[:] = 0
        stored = bits.mantissa.copy()
        state[0] = (np.uint64(seed) << np.uint64(32)) ^ np.uint64(b)
        _uniform(state)
        next_ = _gap(state, rate)
        own = b if mode == WATCH else 0
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
