"""Bare loops for brunel, cuba and the microcircuit: what the machine can do for one network written by hand, in 32 bits.

No rules, checks, other receptors or exact Poisson draws: a quantile table of 4,096 entries each for Poisson counts and
normal deviates, 12 bits of xorshift a draw. Threads own runs of neurons; a row of synapses is sorted by (thread, delay).

    python -m benchmarks.floor_simulators brunel|cuba|microcircuit --threads N --ms T [--precision packed] [--once]

build_s includes what the microcircuit's builder takes to compile.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from benchmarks import peer_shared as shared

F32 = np.float32
WORKLOADS = ("brunel", "cuba", "microcircuit")
TABLE = 4096
LANE = 16  # counters of two threads lie in two cache lines
MOST_RATE = 200.0  # Hz, what there is room for
DELAYS = 64  # rows of the microcircuit's ring: delays are 1 .. 63 steps


def poisson_table(mean: float, weight: float) -> Any:
    """weight times the quantiles of Poisson counts."""
    k = np.arange(int(mean + 20 * np.sqrt(mean) + 20))
    logs = k * np.log(mean) - mean - np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    return (np.searchsorted(np.cumsum(np.exp(logs)), (np.arange(TABLE) + 0.5) / TABLE) * weight).astype(F32)


def bounds(n: int, parts: int) -> Any:
    return np.linspace(0, n, parts + 1).astype(np.int64)


@njit(parallel=True, fastmath=True)
def brunel_loop(start, steps, v, ref, ring, first, cut, target, excitatory, table, decay, bound, random, fired, count, when,
                who):
    """All delays are as long as the ring, so that threads meet once in as many steps. Returns the number of spikes."""
    delay, threads, n = ring.shape[0], len(bound) - 1, 0
    for begin in range(start, start + steps, delay):
        length = min(delay, start + steps - begin)
        for p in prange(threads):
            low, high = bound[p], bound[p + 1]
            m, s = high - low, random[p * LANE]
            external = np.empty(m + 8, np.float32)
            vv, rr = v[low:high], ref[low:high]
            for d in range(length):
                row = ring[(begin + d) % delay, low:high]
                for j in range(0, m, 4):
                    s ^= s << np.uint64(13)
                    s ^= s >> np.uint64(7)
                    s ^= s << np.uint64(17)
                    external[j] = table[s & np.uint64(4095)]
                    external[j + 1] = table[(s >> np.uint64(12)) & np.uint64(4095)]
                    external[j + 2] = table[(s >> np.uint64(24)) & np.uint64(4095)]
                    external[j + 3] = table[(s >> np.uint64(36)) & np.uint64(4095)]
                for j in range(m):
                    x = vv[j] * decay + row[j] + external[j]
                    vv[j] = x if rr[j] <= 0 else np.float32(0)
                    rr[j] -= 1
                    row[j] = 0
                k = 0
                for j in range(m):
                    if vv[j] >= np.float32(20):
                        fired[p, d, k] = low + j
                        k += 1
                        vv[j] = 0
                        rr[j] = 20
                count[p, d] = k
            random[p * LANE] = s
        for p in prange(threads):
            for d in range(length):
                row = ring[(begin + d) % delay]
                for q in range(threads):
                    for k in range(count[q, d]):
                        j = fired[q, d, k]
                        w = np.float32(0.1) if j < excitatory else np.float32(-0.5)
                        for e in range(first[j] + cut[j, p], first[j] + cut[j, p + 1]):
                            row[target[e]] += w
        for d in range(length):
            for q in range(threads):
                for k in range(count[q, d]):
                    if n < len(who):
                        who[n] = fired[q, d, k]
                        when[n] = begin + d
                    n += 1
    return n


@njit(fastmath=True)
def cuba_loop(start, steps, v, ex, inh, ref, first, target, excitatory, decay, keep_ex, keep_in, gain_ex, gain_in, when, who):
    """Membranes relative to the rest, currents in mV. Returns the number of spikes."""
    n, fired = 0, np.empty(len(v), np.int32)
    for t in range(start, start + steps):
        for j in range(len(v)):
            x = v[j] * decay + ex[j] * gain_ex + inh[j] * gain_in
            v[j] = x if ref[j] <= 0 else np.float32(-11)
            ref[j] -= 1
            ex[j] *= keep_ex
            inh[j] *= keep_in
        count = 0
        for j in range(len(v)):
            if v[j] >= np.float32(-1):
                fired[count] = j
                count += 1
        for k in range(count):
            j = fired[k]
            v[j] = -11
            ref[j] = 50
            if n < len(who):
                who[n] = j
                when[n] = t
            n += 1
            if j < excitatory:
                for e in range(first[j], first[j + 1]):
                    ex[target[e]] += np.float32(1.62)
            else:
                for e in range(first[j], first[j + 1]):
                    inh[target[e]] += np.float32(-9.0)
    return n


def column_loops(packed: bool) -> tuple[Callable[..., Any], Callable[..., int]]:
    """build and run. A synapse is a 32-bit target and a float32 weight; packed, a 16-bit target and a 16-bit weight."""

    @njit(parallel=True)
    def build(counts, first, start, population, bound, means, mean_delay, spread_delay, normal, scale, seed, target, weight,
              cut):
        parts = len(bound) - 1
        for i in prange(len(population)):
            m, source = first[i + 1] - first[i], population[i]
            targets, weights, keys = np.empty(m, np.int32), np.empty(m, np.float32), np.empty(m, np.int32)
            s = np.uint64(seed * 1_000_003 + i + 1) * np.uint64(0x9E3779B97F4A7C15)
            k = 0
            for p in range(len(start) - 1):
                size = np.uint64(start[p + 1] - start[p])
                for _ in range(counts[i, p]):
                    delay = 0
                    while delay < 1 or delay >= DELAYS:
                        s ^= s << np.uint64(13)
                        s ^= s >> np.uint64(7)
                        s ^= s << np.uint64(17)
                        z = mean_delay[source] + spread_delay[source] * normal[s & np.uint64(4095)]
                        delay = int(z + 0.5)
                    x = start[p] + np.int64(((s >> np.uint64(32)) * size) >> np.uint64(32))
                    part = 0
                    while x >= bound[part + 1]:
                        part += 1
                    targets[k] = x - bound[part]
                    weights[k] = means[p, source] * (1 + 0.1 * normal[(s >> np.uint64(12)) & np.uint64(4095)])
                    keys[k] = part * DELAYS + delay
                    k += 1
            at = np.zeros(parts * DELAYS + 1, np.int64)
            for k in range(m):
                at[keys[k] + 1] += 1
            for k in range(parts * DELAYS):
                at[k + 1] += at[k]
            for k in range(parts * DELAYS + 1):
                cut[i, k] = at[k]
            for k in range(m):
                e = first[i] + at[keys[k]]
                at[keys[k]] += 1
                if packed:
                    target[e] = np.int32((np.int64(round(weights[k] * scale)) << 16) | np.int64(targets[k]))
                else:
                    target[e] = targets[k]
                    weight[e] = weights[k]

    @njit(parallel=True, fastmath=True)
    def run(begin, steps, v, current, ref, ring, first, target, weight, cut, start, tables, rest, decay, keep, gain, unit,
            bound, random, fired, count, when, who):
        parts, n = len(bound) - 1, 0
        for t in range(begin, begin + steps):
            for p in prange(parts):
                s = random[p * LANE]
                for q in range(len(start) - 1):
                    low, high = max(bound[p], start[q]), min(bound[p + 1], start[q + 1])
                    if low >= high:
                        continue
                    m, table, constant = high - low, tables[q], rest[q]
                    external = np.empty(m + 8, np.float32)
                    for j in range(0, m, 5):
                        s ^= s << np.uint64(13)
                        s ^= s >> np.uint64(7)
                        s ^= s << np.uint64(17)
                        external[j] = table[s & np.uint64(4095)]
                        external[j + 1] = table[(s >> np.uint64(12)) & np.uint64(4095)]
                        external[j + 2] = table[(s >> np.uint64(24)) & np.uint64(4095)]
                        external[j + 3] = table[(s >> np.uint64(36)) & np.uint64(4095)]
                        external[j + 4] = table[(s >> np.uint64(48)) & np.uint64(4095)]
                    vv, ii, rr, row = v[low:high], current[low:high], ref[low:high], ring[t % DELAYS, low:high]
                    for j in range(m):
                        x = vv[j] * decay + ii[j] * gain + constant
                        vv[j] = x if rr[j] <= 0 else np.float32(0)
                        rr[j] -= 1
                        ii[j] = ii[j] * keep + np.float32(row[j]) * unit + external[j]
                        row[j] = 0
                k = 0
                for j in range(bound[p], bound[p + 1]):
                    if v[j] >= np.float32(15):
                        fired[p, k] = j
                        k += 1
                        v[j] = 0
                        ref[j] = 20
                count[p * LANE] = k
                random[p * LANE] = s
            for q in range(parts):
                for k in range(count[q * LANE]):
                    if n < len(who):
                        who[n] = fired[q, k]
                        when[n] = t
                    n += 1
            for p in prange(parts):
                for d in range(1, DELAYS):
                    row = ring[(t + d) % DELAYS, bound[p] : bound[p + 1]]
                    for q in range(parts):
                        for k in range(count[q * LANE]):
                            j = fired[q, k]
                            for e in range(first[j] + cut[j, p * DELAYS + d], first[j] + cut[j, p * DELAYS + d + 1]):
                                if packed:
                                    row[target[e] & 65535] += target[e] >> 16
                                else:
                                    row[target[e]] += weight[e]
        return n

    return build, run


def rows(rng: np.random.Generator, n: int, sources: tuple[int, ...], indegree: tuple[int, ...], fixed: bool) -> tuple[Any, Any]:
    """Where each neuron's targets begin, and the targets, sorted. fixed: every neuron has its in-degree, else on average."""
    ends = np.cumsum([0, *sources])
    source = np.concatenate([rng.integers(a, b, n * k, np.int32) for a, b, k in zip(ends, ends[1:], indegree, strict=False)])
    everyone = np.arange(n, dtype=np.int32)
    target = np.concatenate([np.repeat(everyone, k) if fixed else rng.integers(0, n, n * k, np.int32) for k in indegree])
    first = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=n), out=first[1:])
    return first, target[np.lexsort((target, source))]


def seeds(parts: int, seed: int) -> Any:
    random = np.zeros(LANE * parts, np.uint64)
    random[::LANE] = np.random.SeedSequence(seed).generate_state(parts, np.uint64)
    return random


def brunel(scale: float, threads: int, seed: int) -> tuple[list[int], int, Callable[..., int]]:
    neurons, rng = shared.sizes("brunel", scale), np.random.default_rng(seed)
    n, delay, bound = sum(neurons), 15, bounds(sum(neurons), threads)
    first, target = rows(rng, n, (neurons[0], neurons[1]), shared.INDEGREE["brunel"], fixed=True)
    cut = np.array([np.searchsorted(target[a:b], bound) for a, b in pairwise(first)], np.int32)
    state = (rng.uniform(0, 20, n).astype(F32), np.zeros(n, np.int32), np.zeros((delay, n), F32), first, cut, target,
             neurons[0], poisson_table(20.0 * shared.DT, 0.1), F32(np.exp(-shared.DT / 20.0)), bound, seeds(threads, seed),
             np.empty((threads, delay, n), np.int32), np.zeros((threads, LANE), np.int64))
    return neurons, len(target), lambda start, steps, *kept: brunel_loop(start, steps, *state, *kept)


def cuba(scale: float, threads: int, seed: int) -> tuple[list[int], int, Callable[..., int]]:
    """One thread, whatever is asked: a step takes less time than two threads need to meet, and they would meet at each."""
    neurons, rng = shared.sizes("cuba", scale), np.random.default_rng(seed)
    n = sum(neurons)
    first, target = rows(rng, n, (neurons[0], neurons[1]), shared.INDEGREE["cuba"], fixed=False)
    decay, keep = np.exp(-shared.DT / 20.0), np.exp(-shared.DT / np.array([5.0, 10.0]))
    gain = np.array([5.0 / (5.0 - 20.0), 10.0 / (10.0 - 20.0)]) * (keep - decay)
    state = (rng.uniform(-11, -1, n).astype(F32), np.zeros(n, F32), np.zeros(n, F32), np.zeros(n, np.int32), first, target,
             neurons[0], *map(F32, (decay, *keep, *gain)))
    return neurons, len(target), lambda start, steps, *kept: cuba_loop(start, steps, *state, *kept)


def microcircuit(scale: float, threads: int, seed: int, packed: bool) -> tuple[list[int], int, Callable[..., int]]:
    c, rng = shared.column(scale), np.random.default_rng(seed)
    n = int(c.neurons.sum())
    parts = max(threads, -(-n // 65_536)) if packed else threads
    bound, start = bounds(n, parts), np.cumsum([0, *c.neurons])
    counts = np.concatenate([[rng.multinomial(total, np.full(size, 1 / size)) for total in totals]
                             for size, totals in zip(c.neurons, c.totals.T, strict=True)], axis=1).T.astype(np.int32)
    first = np.concatenate([[0], np.cumsum(counts.sum(1))]).astype(np.int64)
    unit = 1.4 * np.abs(c.weights).max() / 32767 if packed else 1.0  # 3.7 deviations of a tenth: the table's largest
    target = np.empty(first[-1], np.int32)
    weight, cut = np.empty(0 if packed else first[-1], F32), np.empty((n, parts * DELAYS + 1), np.uint16)
    if counts.sum(1).max() > np.iinfo(cut.dtype).max:
        raise ValueError(f"a row of more than {np.iinfo(cut.dtype).max} synapses: use a smaller scale")
    build, loop = column_loops(packed)
    normal = np.array([NormalDist().inv_cdf((k + 0.5) / TABLE) for k in range(TABLE)])
    build(counts, first, start, np.repeat(np.arange(8), c.neurons), bound, c.weights, np.array([15.0, 8.0] * 4),
          np.array([7.5, 4.0] * 4), normal, 1.0 / unit, seed, target, weight, cut)
    decay, keep = np.exp(-shared.DT / 10.0), np.exp(-shared.DT / shared.TAU_SYN)
    gain = shared.TAU_SYN * 10.0 / (250.0 * (shared.TAU_SYN - 10.0)) * (keep - decay)
    membrane = rng.normal(*np.repeat(shared.COLUMN_MEMBRANE, c.neurons, axis=1)) + 65.0
    tables = np.array([poisson_table(shared.BACKGROUND * k * 1e-3 * shared.DT, c.psc) for k in c.external])
    state = (membrane.astype(F32), np.zeros(n, F32), np.zeros(n, np.int32), np.zeros((DELAYS, n), np.int32 if packed else F32),
             first, target, weight, cut, start, tables, ((1 - decay) * c.drive * 10.0 / 250.0).astype(F32),
             *map(F32, (decay, keep, gain, unit)), bound, seeds(parts, seed), np.empty((parts, n), np.int32),
             np.zeros(LANE * parts, np.int64))
    return list(c.neurons), int(first[-1]), lambda begin, steps, *kept: loop(begin, steps, *state, *kept)


def main() -> None:
    asked = shared.arguments(WORKLOADS)
    numba.set_num_threads(asked.threads)
    with shared.Stopwatch() as building:
        made = {"brunel": brunel, "cuba": cuba, "microcircuit": microcircuit}[asked.workload]
        packed = (asked.precision == "packed",) if asked.workload == "microcircuit" else ()
        neurons, synapses, loop = made(asked.scale, asked.threads, asked.seed, *packed)
    room = int(sum(neurons) * max(asked.ms, shared.SETTLE) * 1e-3 * MOST_RATE)
    kept, now = (np.zeros(room, np.int32), np.zeros(room, np.int32)), 0

    def advance(ms: float) -> int:
        nonlocal now
        steps = round(ms / shared.DT)
        n = int(loop(now, steps, *kept))
        now += steps
        if n > room:
            raise RuntimeError(f"more than {MOST_RATE:g} spikes a second and neuron: {n} in {ms:g} ms")
        return n

    def run() -> dict[str, Any]:
        with shared.Stopwatch() as watch:
            n = advance(asked.ms)
        return {"wall_s": watch.wall, "cpu_s": watch.cpu, "build_s": building.wall, "rss_mb": shared.peak_mb(),
                "synapses": synapses, **shared.statistics(kept[1][:n], kept[0][:n] * shared.DT, neurons, asked.ms)}

    advance(shared.SETTLE)
    shared.serve({"version": numba.__version__, "threads": 1 if asked.workload == "cuba" else asked.threads}, run, asked.once)


if __name__ == "__main__":
    main()
