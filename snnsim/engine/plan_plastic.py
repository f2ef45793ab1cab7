"""Plastic synapses in the form of the loop: their records and memory, their weights as a user sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.advance import LANE, PLASTIC, Plastic
from snnsim.engine.layout import Connections, Layout, Rows, connections
from snnsim.network import Synapses
from snnsim.plasticity import STDP, TsodyksMarkram

Array = NDArray[Any]


def plan_plastic(layout: Layout, rows: Rows, room: int) -> Plastic:
    """The memory of the plastic synapses before the first step. room: spikes that a thread can remember."""
    dt, threads, parts = layout.network.time.dt, layout.threads, len(layout.bound) - 1
    records, delta = np.zeros(len(layout.plastic), PLASTIC), np.zeros((len(layout.plastic), parts), np.int64)
    row = post = 0
    for i, s in enumerate(layout.plastic):
        r, source, target = records[i], layout.network.population(s.source), layout.network.population(s.target)
        population = layout.ruled.index(target)
        r["sender"], r["n"] = layout.first_sender[layout.senders.index(source)], source.size
        r["row"], r["population"], r["post"] = row, population, post
        row, post = row + source.size, post + target.size
        receptor = layout.receptors[population].index(s.receptor)
        for g in layout.segments:
            if g.population == population:
                delta[i, g.part] = g.at + receptor * (g.high - g.low) - g.low
        match s.plasticity:
            case STDP() as p:
                r["pairs"], r["multiplicative"] = 1, p.multiplicative
                r["a_plus"], r["a_minus"], r["w_min"], r["w_max"] = p.a_plus, p.a_minus, p.w_min, p.w_max
                r["rate_plus"], r["rate_minus"] = dt / p.tau_plus, dt / p.tau_minus
            case TsodyksMarkram() as p:
                r["u"], r["rate_rec"] = p.U, dt / p.tau_rec
                r["rate_facil"] = dt / p.tau_facil if p.tau_facil else 0.0  # 0: no facilitation
    return Plastic(records, delta, rows.segment, rows.target, rows.weight, np.full((threads, row), -1, np.int64),
                   np.zeros((threads, row)), np.zeros((threads, row)), np.full(post, -1, np.int32),
                   np.zeros((threads, room), np.int64), np.zeros((threads, room)), np.zeros((threads, room), np.int32),
                   np.zeros(threads * LANE, np.int64), np.zeros((threads, room), np.int32),
                   np.full(threads * LANE, -1, np.int64))


def with_room(plastic: Plastic, room: int) -> Plastic:
    """The same with room for more remembered spikes."""
    def wider(array: Array) -> Array:
        more = np.zeros((len(array), room), array.dtype)
        more[:, : array.shape[1]] = array
        return more

    return plastic._replace(spike_step=wider(plastic.spike_step), spike_trace=wider(plastic.spike_trace),
                            spike_before=wider(plastic.spike_before), pending=wider(plastic.pending))


def places(layout: Layout, s: Synapses) -> tuple[Connections, Array]:
    """The synapses in the order of drawing, and for each place in the rows the synapse that stands there."""
    c = connections(layout.network, s)
    first = layout.first[layout.ruled.index(layout.network.population(s.target))]
    part = np.searchsorted(layout.bound, first + c.target, "right") - 1
    key = part * layout.key_part + np.searchsorted(layout.delays, c.delay) * layout.key_column
    return c, np.lexsort((np.arange(len(key)), key, c.source))


def current(layout: Layout, plastic: Plastic, s: Synapses) -> Connections:
    """The synapses with their weights of now."""
    c, order = places(layout, s)
    weight = np.empty(len(order), plastic.weight.dtype)
    weight[order] = weights_in_rows(layout, plastic, s)
    return replace(c, weight=weight)


def set_weights(layout: Layout, plastic: Plastic, s: Synapses, weight: Array) -> None:
    """Put weights in the order of drawing into the rows."""
    _, order = places(layout, s)
    weights_in_rows(layout, plastic, s)[:] = weight[order]


def weights_in_rows(layout: Layout, plastic: Plastic, s: Synapses) -> Array:
    """A view of the weights where they stand."""
    r = plastic.records[layout.plastic.index(s)]
    a, b = plastic.segment[r["row"], 0], plastic.segment[r["row"] + r["n"] - 1, -1]
    weights: Array = plastic.weight[a: b]
    return weights


def remembered(layout: Layout, plastic: Plastic) -> Array:
    """The remembered spikes as rows (target neuron of all records, step, trace), each neuron's in order."""
    found = []
    for post, head in enumerate(plastic.head.tolist()):
        me, chain = _owner(layout, plastic, post), []
        while head >= 0:
            chain.append((post, plastic.spike_step[me, head], plastic.spike_trace[me, head]))
            head = int(plastic.spike_before[me, head])
        found += chain[::-1]
    return np.array(found, np.float64).reshape(-1, 3)


def remember_again(layout: Layout, plastic: Plastic, spikes: Array) -> None:
    """Put back what `remembered` gave; the memory is empty."""
    for post, step, trace in sorted(spikes.tolist(), key=lambda row: row[1]):
        me = _owner(layout, plastic, int(post))
        n = int(plastic.spikes[me * LANE])
        plastic.spike_step[me, n], plastic.spike_trace[me, n] = int(step), trace
        plastic.spike_before[me, n] = plastic.head[int(post)]
        plastic.head[int(post)] = n
        plastic.spikes[me * LANE] += 1


def _owner(layout: Layout, plastic: Plastic, post: int) -> int:
    """The thread that owns a target neuron of the records."""
    r = plastic.records[int(np.searchsorted(plastic.records["post"], post, "right")) - 1]
    part = int(np.searchsorted(layout.bound, layout.first[r["population"]] + post - r["post"], "right")) - 1
    return int(np.searchsorted(layout.thread_part, part, "right")) - 1
