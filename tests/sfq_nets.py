"""Random networks of single flux quanta, a plain stepper of them in whole numbers, and a plain simulation of pulses."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.hardware.sfq import Delays, Schedule, SFQLayer, SFQNetwork
from snnsim.hardware.sfq.pulse_kernels import _mixed, _normal
from snnsim.hardware.sfq.pulses import ZIGGURAT
from snnsim.hardware.sfq.schedule import paths


def random_net(rng: Any, largest: int = 5, depth: int = 3) -> SFQNetwork:
    """A few neurons of any kind; some layers reach the end of their counters, some synapses are missing."""
    sizes = rng.integers(1, largest + 1, rng.integers(2, depth + 2))
    layers = []
    for i, (n, m) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        bits, top = int(rng.integers(2, 9)), int(rng.choice([1, 3, 9]))
        weight = rng.integers(-top, top + 1, (n, m)) * (rng.random((n, m)) < rng.choice([0.5, 1.0]))
        threshold = rng.integers(1, min(2 ** (bits - 1), 2 * top + 1), n)
        layers.append(SFQLayer(f"layer{i}", weight, threshold, rng.choice([None, 0, 1, 2, 4]),
                               "soft" if rng.random() < 0.5 else "hard", bits))
    return SFQNetwork(layers, burst=int(rng.choice([1, 1, 3])))


def stepped(network: SFQNetwork, pulses: Any) -> dict[str, Any]:
    """Spikes of each layer, [T, size], written down from the definition. pulses: [T, inputs]."""
    v = [[0] * layer.size for layer in network.layers]
    spikes: dict[str, list[list[int]]] = {layer.name: [] for layer in network.layers}
    for row in pulses.tolist():
        sent = row
        for layer, held in zip(network.layers, v, strict=True):
            fired, top = [], 2 ** (layer.bits - 1)
            for j, (weights, theta) in enumerate(zip(layer.weight.tolist(), layer.threshold.tolist(), strict=True)):
                kept = held[j] if layer.leak is None else held[j] - (held[j] >> layer.leak)
                h = max(-top, min(top - 1, kept + sum(w * c for w, c in zip(weights, sent, strict=True))))
                fired.append(int(h >= theta))
                held[j] = h if h < theta else h - theta if layer.reset == "soft" else 0
            spikes[layer.name].append(fired)
            sent = fired
    return {name: np.array(s) for name, s in spikes.items()}


def stepped_each(network: SFQNetwork, counts: Any) -> dict[str, Any]:
    """The same of many samples: counts [T, B, inputs], spikes [T, B, size]."""
    found = [stepped(network, np.asarray(counts)[:, b]) for b in range(np.shape(counts)[1])]
    return {name: np.stack([f[name] for f in found], 1) for name in found[0]}


@dataclass
class Simulated:
    """By layer: spikes [T, size]; pulses lost and late of each neuron, and when the first was lost."""

    spikes: dict[str, Any]
    lost: dict[str, Any]
    late: dict[str, Any]
    first: dict[str, Any]


def simulated(network: SFQNetwork, pulses: Any, schedule: Schedule, delays: Delays, jitter: float = 0.0,
              seed: int = 0) -> Simulated:
    """Pulse by pulse through every merger, one event after another: what `sfq.run` must equal."""
    u = np.uint64
    found, sent, number, T = Simulated({}, {}, {}, {}), pulses, 0, len(pulses)
    for depth, (layer, phase) in enumerate(zip(network.layers, schedule.phases, strict=True)):
        path, start = paths(layer, delays), np.asarray(phase.start)
        lost, late, first = np.zeros(layer.size, int), np.zeros(layer.size, int), np.full(layer.size, np.nan)
        counts = np.zeros((T, layer.size), int)
        ticks = (np.arange(T) + depth) * schedule.period + phase.tick
        for j, weights in enumerate(layer.weight):
            chosen = sorted(np.flatnonzero(weights), key=lambda i: start[i])
            events: list[Any] = []
            for i in chosen:
                tree = [k for k in np.flatnonzero(weights) if (weights[k] > 0) == (weights[i] > 0)]
                way = hops(tree.index(i), len(tree), delays)
                for t in range(T):
                    for n in range(sent[t][i] * abs(weights[i])):
                        with np.errstate(over="ignore"):
                            key = _mixed(_mixed(u(seed << 32)) + u(t + 1) * u(0x9E3779B97F4A7C15))
                            noise = _normal(key + u(number * 65536 + n) * u(0xD1342543DE82EF95), *ZIGGURAT) if jitter else 0.0
                        at = (t + depth) * schedule.period + start[i] + n * schedule.spacing + max(
                            0.0, path[j, i] + jitter * noise)
                        late[j] += at >= ticks[t]
                        if at < ticks[-1]:
                            here = at - sum(d for _, d in way)
                            heapq.heappush(events, (here, number, len(events), at, int(np.sign(weights[i])), 0, way))
                number += 1
            last: dict[Any, float] = {}
            while events:
                here, which, order, at, sign, level, way = heapq.heappop(events)
                node = (sign, level, way[level][0]) if level < len(way) else "soma"
                if here - last.get(node, -np.inf) < delays.dead:
                    lost[j] += 1
                    first[j] = np.fmin(first[j], at)
                    continue
                last[node] = here
                if node == "soma":
                    counts[np.searchsorted(ticks, at, "right"), j] += sign
                else:
                    heapq.heappush(events, (here + way[level][1], which, order, at, sign, level + 1, way))
        fired = decided(layer, counts)
        for kept, value in ((found.spikes, fired), (found.lost, lost), (found.late, late), (found.first, first)):
            kept[layer.name] = value
        sent = fired
    return found


def hops(leaf: int, leaves: int, delays: Delays) -> list[tuple[int, float]]:
    """The nodes above a leaf, with the delay of each: its place in its level, and 0 where an odd one has no merger."""
    found = []
    while leaves > 1:
        found.append((leaf >> 1, delays.merger if delays.balanced or leaf ^ 1 < leaves else 0.0))
        leaf, leaves = leaf >> 1, (leaves + 1) // 2
    return found


def decided(layer: Any, counts: Any) -> Any:
    """Spikes of a layer whose somas count so much in each tick, [T, size]."""
    alone = SFQLayer("alone", np.eye(layer.size, dtype=int), layer.threshold, layer.leak, layer.reset, layer.bits)
    return stepped(SFQNetwork((alone,)), counts)["alone"]
