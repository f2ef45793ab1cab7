"""Draws the synapses of a network, row by row, straight into the form that the loop reads.

A sender's row holds all its synapses, whatever their targets: sorted by (part of the targets, delay), each a 16-bit
target code and a weight. The draws of a row depend on (seed, synapses, source neuron) alone, so that rows are the same
for any number of threads, and no list of synapses ever stands in memory beside the rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snnsim.kernel import jit

RANDOM, DISTINCT, ALL, ONE, LISTED = range(5)  # how a row finds its targets
CONSTANT, UNIFORM, NORMAL, LOG_NORMAL, TABLE = range(5)  # how a weight or a delay comes about; as in distributions.py
ROW, FULL, PACKED = range(3)  # one weight a row; one a synapse; one a synapse, 16 bits, beside its target

DRAW = np.dtype([  # one record for each Synapses of a network
    ("key", np.uint64), ("sources", np.int64), ("targets", np.int64), ("first", np.int64), ("method", np.int64),
    ("skip_self", np.int64), ("count", np.int64), ("at", np.int64),
    ("weight_kind", np.int64), ("weight_a", np.float64), ("weight_b", np.float64), ("weight_low", np.float64),
    ("weight_high", np.float64), ("weight_at", np.int64),
    ("delay_kind", np.int64), ("delay_a", np.float64), ("delay_b", np.float64), ("delay_low", np.float64),
    ("delay_high", np.float64), ("delay_at", np.int64), ("scale", np.float64)])


class Draws(NamedTuple):
    """What rows are drawn from."""

    records: Any  # DRAW records, those of one source population together
    count: Any  # int32: synapses of each source neuron, for each record from its `count`
    start: Any  # int64: where the row's entries in `listed` begin, for the records that list, from `count` too
    listed: Any  # int32: listed targets
    at: Any  # int64: for each listed target of Pairs its place in the tables of weights and delays
    table: Any  # float64: weights and delays by array
    bound: Any  # int64 [parts + 1]: the neurons of each part
    delta: Any  # int64 [records, parts]: target neuron + delta = target code
    column: Any  # int32: delay in steps -> column
    key_part: int  # part * key_part + column * key_column: the order of a row
    key_column: int
    dt: float
    exponent: Any  # the ziggurat's tables
    edge: Any
    ratio: Any


class Scratch(NamedTuple):
    """What one thread needs while it draws; nothing is allocated in the kernels."""

    stream: Any  # uint64 [1]
    mark: Any  # uint8 [largest population], zeros
    chosen: Any  # int64 [longest row]
    code: Any  # int32
    key: Any  # int32
    value: Any  # float64
    cursor: Any  # int64 [keys + 1]


def scratch(longest: int, widest: int, keys: int) -> Scratch:
    return Scratch(np.zeros(1, np.uint64), np.zeros(widest, np.uint8), np.empty(longest, np.int64),
                   np.empty(longest, np.int32), np.empty(longest, np.int32), np.empty(longest, np.float64),
                   np.empty(keys + 1, np.int64))


def ziggurat() -> tuple[Any, Any, Any]:
    """Tables of 256 layers of equal area under exp(-x**2 / 2) (Marsaglia and Tsang, J. Stat. Softw. 5, 2000).

    exponent[i]: the curve at the layer's edge; edge[i]: its right edge; ratio[i]: the share of the layer that lies
    wholly below the curve.
    """
    r, area = 3.6541528853610088, 0.00492867323399
    edge = np.empty(257)
    edge[0], edge[1] = area / np.exp(-0.5 * r * r), r
    for i in range(2, 256):
        edge[i] = np.sqrt(-2.0 * np.log(area / edge[i - 1] + np.exp(-0.5 * edge[i - 1] ** 2)))
    edge[256] = 0.0
    return np.exp(-0.5 * edge**2), edge, edge[1:] / edge[:-1]


@jit(_nrt=False)
def mixed(z: Any) -> Any:
    """The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit(_nrt=False)
def word(stream: Any) -> Any:
    """The next 64 random bits of a stream (one uint64 in an array)."""
    stream[0] += np.uint64(0x9E3779B97F4A7C15)
    return mixed(stream[0])


@jit(_nrt=False)
def fraction(w: Any) -> Any:
    """The upper 53 bits as a number from 0 up to 1."""
    return np.float64(w >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@jit(_nrt=False)
def edge_case(stream: Any, layer: Any, x: Any, draws: Any) -> Any:
    """A draw that fell beside the part of its layer that lies wholly below the curve: x, or -1 for another try."""
    if layer == 0:
        r = draws.edge[1]
        while True:
            a = -np.log(1.0 - fraction(word(stream))) / r
            b = -np.log(1.0 - fraction(word(stream)))
            if b + b > a * a:
                return r + a
    low, high = draws.exponent[layer], draws.exponent[layer + 1]
    return x if low + fraction(word(stream)) * (high - low) < np.exp(-0.5 * x * x) else -1.0


@jit(_nrt=False)
def normal(stream: Any, draws: Any) -> Any:
    """A standard normal number."""
    while True:
        w = word(stream)
        layer = np.int64(w & np.uint64(255))
        share = fraction(w)
        x = share * draws.edge[layer]
        if share >= draws.ratio[layer]:
            x = edge_case(stream, layer, x, draws)
        if x >= 0.0:
            return -x if w & np.uint64(256) else x


@jit(_nrt=False)
def drawn(stream: Any, kind: Any, a: Any, b: Any, low: Any, high: Any, draws: Any) -> Any:
    if kind == CONSTANT:
        return a
    if kind == UNIFORM:
        return a + b * fraction(word(stream))
    while True:
        x = a + b * normal(stream, draws)
        if kind == LOG_NORMAL:
            x = np.exp(x)
        if low <= x <= high:
            return x


@jit(_nrt=False)
def below(stream: Any, n: Any) -> Any:
    """A whole number from 0 to n - 1."""
    return np.int64(((word(stream) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@jit(_nrt=False)
def choose(stream: Any, n: Any, k: Any, mark: Any, chosen: Any) -> None:
    """k different numbers of 0 .. n - 1, any set as likely as any other; mark: n zeros, and zeros afterwards."""
    few = min(k, n - k)
    found = 0
    while found < few:
        x = below(stream, n)
        if mark[x] == 0:
            mark[x] = 1
            chosen[found] = x
            found += 1
    if few == k:
        for i in range(few):
            mark[chosen[i]] = 0
    else:
        found = 0
        for x in range(n):
            if mark[x] == 0:
                chosen[found] = x
                found += 1
            mark[x] = 0


@jit(_nrt=False)
def find_targets(draws: Any, d: Any, i: Any, k: Any, stream: Any, mark: Any, chosen: Any) -> None:
    """The k targets of source neuron i, as indices in the target population."""
    n = d.targets - d.skip_self
    if d.method == RANDOM:
        for j in range(k):
            chosen[j] = below(stream, n)
    elif d.method == DISTINCT:
        choose(stream, n, k, mark, chosen)
    elif d.method == ALL:
        for j in range(k):
            chosen[j] = j
    elif d.method == ONE:
        chosen[0] = i
    else:
        s = draws.start[d.count + i]
        for j in range(k):
            chosen[j] = draws.listed[s + j]
    if d.skip_self and d.method != LISTED:
        for j in range(k):
            if chosen[j] >= i:
                chosen[j] += 1


@jit(_nrt=False)
def place_in_table(draws: Any, d: Any, i: Any, j: Any, target: Any) -> Any:
    """Where the tables of weights and delays hold the synapse."""
    if d.method == LISTED:
        return draws.at[draws.start[d.count + i] + j + d.at]
    if d.method == ALL:
        return target * d.sources + i
    return i


@jit(_nrt=False)
def draw_row(draws: Any, first: Any, stop: Any, i: Any, work: Any) -> Any:
    """All synapses of source neuron i, in the order of drawing; returns their number."""
    m = 0
    stream, chosen = work.stream, work.chosen
    for r in range(first, stop):
        d = draws.records[r]
        k = draws.count[d.count + i]
        stream[0] = mixed(d.key + np.uint64(i) * np.uint64(0xD1342543DE82EF95))
        find_targets(draws, d, i, k, stream, work.mark, chosen)
        for j in range(k):
            if d.weight_kind == TABLE:
                w = draws.table[d.weight_at + place_in_table(draws, d, i, j, chosen[j])]
            else:
                w = drawn(stream, d.weight_kind, d.weight_a, d.weight_b, d.weight_low, d.weight_high, draws)
            if d.delay_kind == TABLE:
                ms = draws.table[d.delay_at + place_in_table(draws, d, i, j, chosen[j])]
            else:
                ms = drawn(stream, d.delay_kind, d.delay_a, d.delay_b, d.delay_low, d.delay_high, draws)
            neuron = d.first + chosen[j]
            part = 0
            while neuron >= draws.bound[part + 1]:
                part += 1
            work.code[m] = neuron + draws.delta[r, part]
            work.key[m] = part * draws.key_part + draws.column[np.int64(ms / draws.dt + 0.5)] * draws.key_column
            work.value[m] = w * d.scale
            m += 1
    return m


@jit(nogil=True, _nrt=False)
def build_rows(draws: Any, work: Any, row: int, low: int, high: int, segment: Any, target: Any, weight: Any, packed: Any,
               kind: int) -> None:
    """Draw and place the rows of the source neurons low .. high - 1.

    row: the sender number of source neuron 0. segment[sender, 0]: where its row begins; the rest is filled in here.
    """
    cursor = work.cursor
    keys = segment.shape[1] - 1
    for i in range(low, high):
        m = draw_row(draws, 0, draws.records.size, i, work)
        for j in range(keys + 1):
            cursor[j] = 0
        for j in range(m):
            cursor[work.key[j] + 1] += 1
        cursor[0] = np.int64(segment[row + i, 0])
        for j in range(keys):
            cursor[j + 1] += cursor[j]
            segment[row + i, j + 1] = cursor[j + 1]
        for j in range(m):
            at = cursor[work.key[j]]
            cursor[work.key[j]] = at + 1
            if kind == PACKED:
                packed[at] = np.int32((np.int64(np.round(work.value[j])) << 16) | np.int64(work.code[j]))
            else:
                target[at] = work.code[j]
                if kind == FULL:
                    weight[at] = work.value[j]


@jit(nogil=True, _nrt=False)
def list_rows(draws: Any, work: Any, record: int, sources: int, source: Any, target: Any, weight: Any, steps: Any) -> None:
    """The synapses of one record as plain lists, source by source in the order of drawing, for looking at them."""
    at = 0
    for i in range(sources):
        m = draw_row(draws, record, record + 1, i, work)
        for j in range(m):
            source[at], target[at], weight[at], steps[at] = i, work.code[j], work.value[j], work.key[j]
            at += 1


@jit(nogil=True, _nrt=False)
def draw_indegree(key: Any, sources: int, indegree: int, skip_self: int, distinct: int, low: int, high: int, work: Any,
                  chosen: Any) -> None:
    """chosen[target, :]: the sources of the targets low .. high - 1, for a fixed in-degree."""
    n = sources - skip_self
    one = work.chosen
    for i in range(low, high):
        work.stream[0] = mixed(key + np.uint64(i) * np.uint64(0xD1342543DE82EF95))
        if distinct:
            choose(work.stream, n, indegree, work.mark, one)
        else:
            for j in range(indegree):
                one[j] = below(work.stream, n)
        for j in range(indegree):
            chosen[i, j] = one[j] + 1 if skip_self and one[j] >= i else one[j]


@jit(nogil=True, _nrt=False)
def by_source(chosen: Any, start: Any, listed: Any) -> None:
    """Turn sources by target into targets by source, rising: listed[start[s] : ...]; start is moved to the rows' ends."""
    for i in range(chosen.shape[0]):
        for j in range(chosen.shape[1]):
            s = chosen[i, j]
            listed[start[s]] = i
            start[s] += 1
