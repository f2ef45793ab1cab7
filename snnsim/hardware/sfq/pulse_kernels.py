"""The loop over pulses, compiled: kernels of one file, as Numba caches each by the time stamp of its own."""

from __future__ import annotations

from math import exp, log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.kernel import jit

Array = NDArray[Any]
MOVES = 4096  # after so many of an insertion sort another one takes over
LARGEST = 8.0  # of a Gaussian, in standard deviations, beyond which it is cut


class Plan(NamedTuple):
    """Flat arrays. Neurons of all layers lie one after another, and so do their synapses, by target, in the order of slots."""

    first: Array  # [layers + 1] a layer's neurons
    tick: Array  # [layers], ps from the period's start
    soft: Array  # [layers]
    leak: Array  # [layers], -1: none
    top: Array  # [layers]
    theta: Array  # [neurons]
    row: Array  # [neurons + 1] a neuron's synapses
    source: Array  # [synapses]
    weight: Array  # [synapses], above 0
    down: Array  # [synapses], whether the weight is negative
    leaf: Array  # [synapses], the place among the leaves of its tree
    start: Array  # [synapses], ps from the period's start
    path: Array  # [synapses], ps
    leaves: Array  # [neurons, 2], of the trees up and down
    tree: Array  # [neurons, 2], where their mergers begin
    mergers: int
    most: int  # pulses that a neuron can get in a tick
    all: int  # pulses that a layer can get in a tick


class Kept(NamedTuple):
    """What a run writes, of each sample: fired [T, B, neurons]; [B, neurons] pulses that were sent to a neuron, lost, late, and
    when the first was lost, ps."""

    fired: Array
    sent: Array
    lost: Array
    late: Array
    first: Array


@jit(nogil=True)
def _mixed(z: Any) -> Any:  # pragma: no cover - compiled
    """The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit(nogil=True)
def _normal(key: Any, exponent: Array, edge: Array, ratio: Array) -> Any:  # pragma: no cover - compiled
    """A standard Gaussian of the key: the ziggurat (Marsaglia and Tsang, 2000) with the engine's tables; beyond its base, at
    3.65, by Marsaglia's (1964) tail."""
    while True:
        z = _mixed(key)
        layer = np.int64(z & np.uint64(255))
        share = float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)
        x = share * edge[layer]
        if share < ratio[layer]:
            return -x if z & np.uint64(256) else x
        key = _mixed(z + np.uint64(0x9E3779B97F4A7C15))
        u = (float(key >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)
        if layer == 0:
            r = edge[1]
            a = -log(u) / r
            key = _mixed(key + np.uint64(0x9E3779B97F4A7C15))
            b = -log((float(key >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0))
            if b + b > a * a:
                return -(r + a) if z & np.uint64(256) else r + a
        elif exponent[layer] + u * (exponent[layer + 1] - exponent[layer]) < exp(-0.5 * x * x):
            return -x if z & np.uint64(256) else x
        key += np.uint64(0x9E3779B97F4A7C15)


@jit(nogil=True)
def _sort(time: Array, synapse: Array, n: int) -> None:  # pragma: no cover - compiled
    """The first n by time; those of one time stay in their order. Nearly sorted as they are, but for asynchronous ones."""
    moves = 0
    for i in range(1, n):
        t, s = time[i], synapse[i]
        j = i - 1
        while j >= 0 and time[j] > t:
            time[j + 1], synapse[j + 1] = time[j], synapse[j]
            j -= 1
        time[j + 1], synapse[j + 1] = t, s
        moves += i - 1 - j
        if moves > MOVES:
            order = np.argsort(time[:n], kind="mergesort")
            time[:n], synapse[:n] = time[:n][order], synapse[:n][order]
            return


@jit(nogil=True)
def _passes(merger: Array, at: int, size: int, place: int, t: float, dead: float) -> bool:  # pragma: no cover - compiled
    """Whether a pulse that is at the root at t, if anywhere, comes through the mergers above its leaf. All paths from a merger
    to the root are equally long, so that times at the root compare as those at the merger do."""
    while size > 1:
        place >>= 1
        size = (size + 1) >> 1
        if t - merger[at + place] < dead:
            return False
        merger[at + place] = t
        at += size
    return True


@jit(nogil=True)
def run_samples(plan: Plan, counts: Array, start: int, stop: int, period: float, spacing: float, dead: float, jitter: float,
                seed: int, draws: Any, kept: Kept) -> None:  # pragma: no cover - compiled
    """counts: [T, B, inputs]. Layer l takes tick t from (t + l) period on. draws: the ziggurat's tables."""
    layers, neurons = len(plan.tick), plan.first[-1]
    row, down, leaf, leaves, tree = plan.row, plan.down, plan.leaf, plan.leaves, plan.tree
    exponent, edge, ratio = draws
    merger, soma, v = np.empty(plan.mergers), np.empty(neurons), np.zeros(neurons, np.int64)
    time, synapse = np.empty(2 * plan.most + 1), np.empty(2 * plan.most + 1, np.int64)
    # what came after its tick waits for the next, by layer: of two halves one is read, the other written
    waits, waiting, waiting_for = np.zeros((2, layers), np.int64), np.empty((2, layers, plan.all)), np.empty(
        (2, layers, plan.all), np.int64)
    for b in range(start, stop):
        merger[:], soma[:], v[:], waits[:] = -np.inf, -np.inf, 0, 0
        base = _mixed((np.uint64(seed) << np.uint64(32)) ^ np.uint64(b))
        for t in range(len(counts)):
            here, next_ = t & 1, (t + 1) & 1
            key = _mixed(base + np.uint64(t + 1) * np.uint64(0x9E3779B97F4A7C15))
            for layer in range(layers):
                begin = (t + layer) * period
                tick, read = begin + plan.tick[layer], 0
                from_ = counts[t, b] if layer == 0 else kept.fired[t, b, plan.first[layer - 1]: plan.first[layer]]
                waits[next_, layer] = 0
                for j in range(plan.first[layer], plan.first[layer + 1]):
                    n = 0
                    while read < waits[here, layer] and row[j + 1] > waiting_for[here, layer, read]:
                        time[n], synapse[n] = waiting[here, layer, read], waiting_for[here, layer, read]
                        n += 1
                        read += 1
                    new = n
                    for k in range(row[j], row[j + 1]):
                        c = np.int64(from_[plan.source[k]])
                        if c:
                            released, path = begin + plan.start[k], plan.path[k]
                            for i in range(c * plan.weight[k]):
                                way = path
                                if jitter > 0.0:
                                    own = key + np.uint64(k * 65536 + i) * np.uint64(0xD1342543DE82EF95)
                                    noise = min(max(_normal(own, exponent, edge, ratio), -LARGEST), LARGEST)
                                    way = max(0.0, path + jitter * noise)
                                time[n], synapse[n] = released + i * spacing + way, k
                                n += 1
                    kept.sent[b, j] += n - new
                    _sort(time, synapse, n)
                    x = 0
                    for i in range(n):
                        k, at = synapse[i], time[i]
                        side = 1 if down[k] else 0
                        if at >= tick:
                            kept.late[b, j] += 1
                            waiting[next_, layer, waits[next_, layer]] = at
                            waiting_for[next_, layer, waits[next_, layer]] = k
                            waits[next_, layer] += 1
                        elif _passes(merger, tree[j, side], leaves[j, side], leaf[k], at, dead) and at - soma[j] >= dead:
                            soma[j] = at
                            x += 1 - 2 * side
                        else:
                            if kept.lost[b, j] == 0:
                                kept.first[b, j] = at
                            kept.lost[b, j] += 1
                    if plan.leak[layer] >= 0:
                        v[j] -= v[j] >> plan.leak[layer]
                    h = min(max(v[j] + x, -plan.top[layer] - 1), plan.top[layer])
                    fires = h >= plan.theta[j]
                    kept.fired[t, b, j] = fires
                    v[j] = h if not fires else (h - plan.theta[j] if plan.soft[layer] else 0)
