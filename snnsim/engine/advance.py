"""The loop of a simulation of populations: all steps, all neurons and synapses of the parts that a thread owns.

In a step, a thread updates its neurons: what arrives now is a row of inputs; spikes go into its list. Then it adds to its
row of the next step what reaches its own targets then: for each delay, the synapses with that delay of those that sent so
long before. The row stays in the cache, and nothing else is under way but the lists of the last steps. Threads wait for
each other only as often as the shortest delay asks for, and a list is written again only when no other needs it.

A target's additions come in the order of steps, senders and drawing, whatever the number of threads: sums are the same bit
for bit. What plastic synapses send depends on when it is sent, so that it is added at once to one of several rows, a ring.
Everything called here stands in this file, and nothing is allocated: see `loop.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from snnsim.kernel import NoAlias, jit

intrinsic: Callable[[Any], Any] = extending.intrinsic

BLOCK = 1024  # neurons that are updated together: their states stay in the first-level cache
AHEAD = 4  # runs of synapses: how far ahead they are asked for
RUNS = 4096  # that are listed before they are added
LANE = 16  # int64 words between what two threads write
POISSON, POISSON_EACH, CURRENT = range(3)  # how a source comes about; POISSON_EACH: with a rate for each neuron
ROW, FULL, PACKED = range(3)  # as in wiring.py


def record(*names: str) -> np.dtype[Any]:
    return np.dtype([(n, np.uint64 if n == "key" else np.int64) for n in names])


NOISE = ("kind", "low", "threshold", "thresholds", "window", "window_end", "least", "table", "key")  # of a Poisson source
SEGMENT = record("population", "low", "n", "first", "at", "receptors", "step", "words", "call", "drive", "drives", "recorded")
DRIVE = record(*NOISE, "receptor", "delay", "weight", "each", "columns", "time", "times")
EMITTER = record(*NOISE, "first", "n", "list", "stop")
PLASTIC = np.dtype([(n, np.int64) for n in ("pairs", "sender", "n", "row", "population", "post", "multiplicative")]
                   + [(n, np.float64) for n in ("a_plus", "a_minus", "w_min", "w_max", "rate_plus", "rate_minus",
                                                "u", "rate_rec", "rate_facil")])


class Plan(NamedTuple):
    """What does not change while the simulation runs."""

    segments: Any  # SEGMENT records, those of one part together
    part_segment: Any  # int64 [parts + 1]: the segments of each part
    thread_part: Any  # int64 [threads + 1]: the parts of each thread
    ring_at: Any  # int64 [parts]: where a part's ring begins
    width: Any  # int64 [parts]: the length of its rows
    shared: int  # whether all parts have one row
    key_part: int  # where a sender's synapses with a part and a delay stand in `segment`
    key_column: int
    together: int  # steps after which threads wait for each other
    ring_rows: int  # 1, or where synapses are plastic more than their longest delay
    call: Any  # int64: for each segment the words of its kernel's call, for its first neuron
    stride: Any  # int64: what each word grows by from neuron to neuron
    drives: Any  # DRIVE records: input that is added to every neuron of a segment at every step
    threshold: Any  # uint32: Poisson counts are how many of its thresholds a random number exceeds
    mean: Any  # float64: means of Poisson sources whose neurons have a rate each
    number: Any  # ring's float type: weights of drives, tables of currents
    time: Any  # int64: steps at which currents change
    emitters: Any  # EMITTER records: sources with rows, those of one thread together
    thread_emitter: Any  # int64 [threads + 1]
    given_step: Any  # int64: given spikes, by step
    given_sender: Any  # int32
    delay: Any  # int64: of each column
    kind: int  # how synapses are stored
    segment: Any  # uint32 [senders, parts * columns + 1]
    target: Any
    weight: Any
    packed: Any
    unpack: Any  # float: for packed weights, one entry a segment and receptor
    yield_: int  # the address of the system's function that gives the processor to another thread
    trace_index: Any  # int64: places in the states that are traced, those of one thread together
    thread_trace: Any  # int64 [threads + 1]


class Work(NamedTuple):
    """What changes. What two threads write lies a cache line apart, or it would go back and forth between the cores."""

    ring: Any  # what reaches each input in the next step (or steps, from plastic synapses): [ring_rows, width] of each part
    state: Any  # all states
    fired: Any  # int32 [slots, threads, neurons of a thread]: who fired in the last steps; step t is in slot t % slots
    found: Any  # int64 [slots, threads * LANE]: how many
    emitted: Any  # int32 [slots, threads, ...]: the same for sources
    sent: Any  # int64 [slots, threads * LANE]
    all: Any  # int32 [threads, ...]: the lists that all threads made in a step, for plastic synapses
    begin: Any  # uint32 [threads, RUNS]: runs of synapses to add
    end: Any  # uint32 [threads, RUNS]
    sender: Any  # int32 [threads, RUNS]
    cursor: Any  # int64: for each emitter of given spikes the next one
    buffer: Any  # per thread: inputs of a block, where they are not the ring itself
    count: Any  # float32 [threads, BLOCK]
    random: Any  # uint32 [threads, BLOCK]
    flag: Any  # uint8 [threads, at least BLOCK + 8]
    hits: Any  # int32 [threads, at least BLOCK]
    call: Any  # int64 [threads, words of a call]
    sync: Any  # int64 [threads * LANE]: how often a thread has come to where all wait; the step to stop after, or -1; and how
    # many steps it has done at the end, -1 before


class Plastic(NamedTuple):
    """Synapses that change; the arrays that begin with a thread are each thread's own, so that none waits for another."""

    records: Any  # PLASTIC records, one for each Synapses; pairs: STDP, else short-term
    delta: Any  # int64 [records, parts]: target code - delta = target neuron, counted in its population
    segment: Any  # as in Plan, with a row for each source neuron of each record
    target: Any
    weight: Any
    last: Any  # int64 [threads, rows]: the step of the source's last spike, or -1
    trace: Any  # float64 [threads, rows]: x right after it; for short-term what is left, r (1 - u)
    use: Any  # float64 [threads, rows]: u at it
    head: Any  # int32: for each target neuron of each record its latest spike in `spike_*`, or -1
    spike_step: Any  # int64 [threads, room]
    spike_trace: Any  # float64 [threads, room]: y right after it
    spike_before: Any  # int32 [threads, room]: the neuron's spike before, or -1
    spikes: Any  # int64 [threads * LANE]: how many
    pending: Any  # int32 [threads, room]: spikes that a synapse has not seen yet
    seen: Any  # int64 [threads * LANE]: the step up to which all synapses have seen all that reached them


class Kept(NamedTuple):
    """What a run records."""

    step: Any  # int32 [threads, room]
    neuron: Any  # int32 [threads, room]
    kept: Any  # int64 [threads * LANE]: how many
    count: Any  # int32 [threads, steps, populations]
    trace: Any  # [steps, traced]
    events: Any  # int64 [threads * LANE]


@intrinsic
def invoke(_: Any, address: Any, argument: Any) -> Any:
    """Call the C function at an address with one int64; its result is an int64."""

    def codegen(_: Any, builder: Any, __: Any, args: Any) -> Any:
        word = ir.IntType(64)
        function = ir.FunctionType(word, [word])
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), [args[1]])

    return types.int64(address, argument), codegen


@intrinsic
def tell(_: Any, word: Any, value: Any) -> Any:
    """Set the first word of an int64 array, so that who sees it sees all that was written before it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        builder.store_atomic(args[1], array.data, "release", 8)
        return context.get_dummy_value()

    return types.void(word, types.int64), codegen


@intrinsic
def told(_: Any, word: Any) -> Any:
    """The first word of an int64 array, as another thread left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load_atomic(array.data, "acquire", 8)

    return types.int64(word), codegen


@intrinsic
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        pointer = builder.bitcast(builder.gep(data, [args[1]]), byte)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0")
        builder.call(function, [pointer, *[ir.Constant(word, v) for v in (0, 3, 1)]])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def random_bits(_: Any, neuron: Any, key: Any) -> Any:
    """32 random bits of a neuron for a key of 64 bits: a finalizer in the manner of MurmurHash3 (Appleby, 2011), with half
    the key before and half within. Written in LLVM's words because Numba widens 32-bit products to 64, four times slower."""

    def codegen(_: Any, builder: Any, __: Any, args: Any) -> Any:
        word = ir.IntType(32)

        def spread(h: Any, shift: int, factor: int) -> Any:
            return builder.mul(builder.xor(h, builder.lshr(h, word(shift))), word(factor))

        h = builder.mul(builder.trunc(args[0], word), word(0x9E3779B1))
        h = spread(builder.xor(h, builder.trunc(args[1], word)), 16, 0x7FEB352D)
        h = builder.xor(h, builder.lshr(h, word(15)))
        h = builder.add(h, builder.trunc(builder.lshr(args[1], ir.IntType(64)(32)), word))
        h = spread(h, 16, 0x846CA68B)
        return builder.xor(h, builder.lshr(h, word(16)))

    return types.uint32(types.int64, types.uint64), codegen


@jit(_nrt=False)
def meet(work: Any, me: Any, threads: Any, round_: Any, t: Any, yield_: Any) -> Any:
    """Wait until all threads have come here for the round_-th time; returns how many ask to stop after step t. Each writes to
    words of its own and reads the others': a word that all would count in goes back and forth between the cores."""
    tell(work.sync[me * LANE:], round_)
    stop = 0
    for q in range(threads):
        spins = 0
        while told(work.sync[q * LANE:]) < round_:
            spins += 1
            if spins > 4096:  # where threads share a core, the others need it
                invoke(yield_, 0)
        if work.sync[q * LANE + 1] == t:
            stop += 1
    return stop


@jit(_nrt=False)
def mixed(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit(_nrt=False)
def count_of_eight(least: Any, u: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """least, and 1 more for each of eight rising thresholds that the number exceeds. Numbers are chosen, not added: that is
    an instruction less for each."""
    count = least + np.float32(1.0) if u > a else least
    count = least + np.float32(2.0) if u > b else count
    count = least + np.float32(3.0) if u > c else count
    count = least + np.float32(4.0) if u > d else count
    count = least + np.float32(5.0) if u > e else count
    count = least + np.float32(6.0) if u > f else count
    count = least + np.float32(7.0) if u > g else count
    return least + np.float32(8.0) if u > h else count


@jit(_nrt=False, pipeline_class=NoAlias)
def begin_count(count: Any, random: Any, key: Any, first: Any, least: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any,
                g: Any, h: Any) -> None:
    """Random bits of the neurons first, first + 1, ..., and how many of eight thresholds they exceed."""
    for j in range(count.size):
        u = random_bits(first + j, key)
        random[j] = u
        count[j] = count_of_eight(least, u, a, b, c, d, e, f, g, h)


@jit(_nrt=False, pipeline_class=NoAlias)
def count_eight(count: Any, random: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> None:
    """Add to each count how many of eight more thresholds its random number exceeds."""
    for j in range(count.size):
        count[j] += count_of_eight(np.float32(0.0), random[j], a, b, c, d, e, f, g, h)


@jit(_nrt=False, pipeline_class=NoAlias)
def outside(random: Any, low: Any, span: Any) -> Any:
    """Whether any number lies below low or above low + span."""
    found = np.uint32(0)
    for j in range(random.size):
        found |= np.uint32(1) if np.uint32(random[j] - low) > span else np.uint32(0)
    return found


@jit(_nrt=False, pipeline_class=NoAlias)
def fill(x: Any, value: Any) -> None:
    for j in range(x.size):
        x[j] = value


@jit(_nrt=False, pipeline_class=NoAlias)
def add_scaled(x: Any, count: Any, weight: Any) -> None:
    for j in range(x.size):
        x[j] += weight * count[j]


@jit(_nrt=False, pipeline_class=NoAlias)
def add_product(x: Any, count: Any, weight: Any) -> None:
    for j in range(x.size):
        x[j] += weight[j] * count[j]


@jit(_nrt=False, pipeline_class=NoAlias)
def unpack(x: Any, packed: Any, unit: Any) -> None:
    for j in range(x.size):
        x[j] = x.dtype.type(packed[j]) * unit  # in the array's own type: an int times a float would be 64 bits
        packed[j] = 0


@jit(_nrt=False)
def poisson(count: Any, random: Any, threshold: Any, s: Any, key: Any, low: Any) -> None:
    """Poisson counts of the neurons low, low + 1, ... of a source, for one key.

    The window holds nearly all of the probability; the few numbers outside it are counted against all thresholds.
    """
    window = threshold[s.threshold + s.window: s.threshold + s.window_end]
    base = np.float32(s.least + s.window)
    for k in range(0, window.size, 8):
        a, b, c, d = window[k], window[k + 1], window[k + 2], window[k + 3]
        e, f, g, h = window[k + 4], window[k + 5], window[k + 6], window[k + 7]
        if k == 0:
            begin_count(count, random, key, low, base, a, b, c, d, e, f, g, h)
        else:
            count_eight(count, random, a, b, c, d, e, f, g, h)
    below = np.uint32(window[0] + np.uint32(1)) if s.window > 0 else np.uint32(0)
    span = np.uint32(window[window.size - 1] - below)
    for i in range(0, count.size, 64):
        end = min(i + 64, count.size)
        if outside(random[i: end], below, span):
            for j in range(i, end):
                if np.uint32(random[j] - below) > span:
                    k = 0
                    while k < s.thresholds and random[j] > threshold[s.threshold + k]:
                        k += 1
                    count[j] = s.least + k


@jit(_nrt=False)
def poisson_each(count: Any, random: Any, mean: Any, key: Any, low: Any) -> None:
    """The same where every neuron has a mean of its own: the cumulative distribution is summed up to the random number."""
    for j in range(count.size):
        u = (np.float64(random_bits(low + j, key)) + 0.5) * (1.0 / 4294967296.0)
        p = np.exp(-mean[j])
        total, k = p, 0
        while u > total and k < 2000:
            k += 1
            p *= mean[j] / k
            total += p
        count[j] = k


@jit(_nrt=False)
def counts(plan: Any, count: Any, random: Any, s: Any, at: Any, t: Any) -> None:
    """The Poisson counts at step t of a drive's or an emitter's neurons, from its neuron number `at` on."""
    key = key_of_step(s.key, t)
    if s.kind == POISSON:
        poisson(count, random, plan.threshold, s, key, s.low + at)
    else:
        poisson_each(count, random, plan.mean[s.table + at: s.table + at + count.size], key, s.low + at)


@jit(_nrt=False)
def key_of_step(key: Any, step: Any) -> Any:
    return mixed(key + np.uint64(step) * np.uint64(0x9E3779B97F4A7C15))


@jit(_nrt=False)
def drive(plan: Any, work: Any, me: Any, d: Any, x: Any, b: Any, t: Any) -> None:
    """Add what one drive brings to the neurons from b on of its segment."""
    sent = t - d.delay
    if sent < 0:
        return
    if d.kind != CURRENT:
        count, random = work.count[me, : x.size], work.random[me, : x.size]
        counts(plan, count, random, d, b, sent)
        if d.each:
            add_product(x, count, plan.number[d.weight + b: d.weight + b + x.size])
        else:
            add_scaled(x, count, plan.number[d.weight])
        return
    low, high = 0, d.times  # by halves: how many changes of the current were up to now
    while low < high:
        middle = (low + high) // 2
        if plan.time[d.time + middle] <= sent:
            low = middle + 1
        else:
            high = middle
    k = low - 1
    if k >= 0 and d.columns == 1:
        now = plan.number[d.table + k] * plan.number[d.weight]
        for j in range(x.size):
            x[j] += now
    elif k >= 0:
        at = d.table + k * d.columns + d.low + b
        add_scaled(x, plan.number[at: at + x.size], plan.number[d.weight])


@jit(_nrt=False)
def remember(plastic: Any, me: Any, s: Any, t: Any, fired: Any) -> None:
    """Write down the spikes of a segment for the pairs that end there."""
    for i in range(plastic.records.size):
        r = plastic.records[i]
        if r.pairs and r.population == s.population:
            n = plastic.spikes[me * LANE]
            for k in range(fired.size):
                post = r.post + fired[k] - s.first + s.low
                before = plastic.head[post]
                y = 1.0
                if before >= 0:
                    y += plastic.spike_trace[me, before] * np.exp(-(t - plastic.spike_step[me, before]) * r.rate_minus)
                plastic.spike_step[me, n], plastic.spike_trace[me, n], plastic.spike_before[me, n] = t, y, before
                plastic.head[post] = n
                n += 1
            plastic.spikes[me * LANE] = n


@jit(_nrt=False)
def see(plastic: Any, me: Any, r: Any, row: Any, e: Any, post: Any, delay: Any, t: Any) -> Any:
    """Let synapse e see the target's spikes that have reached it up to step t; returns y without one that comes at t."""
    last = plastic.last[me, row]
    since = max(last, plastic.seen[me * LANE])
    at = plastic.head[post]
    while at >= 0 and plastic.spike_step[me, at] + delay > t:
        at = plastic.spike_before[me, at]
    n = 0
    newest = at
    while at >= 0 and plastic.spike_step[me, at] + delay > since:
        plastic.pending[me, n] = at
        n += 1
        at = plastic.spike_before[me, at]
    if last >= 0:
        for k in range(n - 1, -1, -1):
            reached = plastic.spike_step[me, plastic.pending[me, k]] + delay
            x = plastic.trace[me, row] * np.exp(-(reached - last) * r.rate_plus)
            w = np.float64(plastic.weight[e])
            w += r.a_plus * x * (r.w_max - w if r.multiplicative else 1.0)
            plastic.weight[e] = min(max(w, r.w_min), r.w_max)  # rounded each time, or it would depend on when it looked
    if newest >= 0 and plastic.spike_step[me, newest] + delay == t:
        newest = plastic.spike_before[me, newest]
    if newest < 0:
        return 0.0
    return plastic.spike_trace[me, newest] * np.exp(-(t - delay - plastic.spike_step[me, newest]) * r.rate_minus)


@jit(_nrt=False)
def pass_on(plan: Any, work: Any, plastic: Any, me: Any, i: Any, row: Any, t: Any, share: Any) -> Any:
    """One spike through a row of plastic synapses, those whose targets this thread owns; returns their number."""
    r = plastic.records[i]
    events: Any = 0
    columns = plan.delay.size
    for part in range(plan.thread_part[me], plan.thread_part[me + 1]):
        for c in range(columns):
            delay = plan.delay[c]
            at = plan.ring_at[part] + ((t + delay) % plan.ring_rows) * plan.width[part]
            key = part * plan.key_part + c * plan.key_column
            a, b = np.int64(plastic.segment[row, key]), np.int64(plastic.segment[row, key + 1])
            for e in range(a, b):
                if r.pairs:
                    post = r.post + plastic.target[e] - plastic.delta[i, part]
                    y = see(plastic, me, r, row, e, post, delay, t)
                    w = np.float64(plastic.weight[e])
                    w -= r.a_minus * y * (w - r.w_min if r.multiplicative else 1.0)
                    plastic.weight[e] = min(max(w, r.w_min), r.w_max)
                work.ring[at + plastic.target[e]] += plastic.weight[e] * share
            events += b - a
    return events


@jit(_nrt=False)
def deliver_plastic(plan: Any, work: Any, plastic: Any, me: Any, senders: Any, t: Any) -> Any:
    """Add all spikes of this step that pass plastic synapses to the rows of this thread's parts."""
    events: Any = 0
    for i in range(plastic.records.size):
        r = plastic.records[i]
        for k in range(senders.size):
            j = senders[k] - r.sender
            if j < 0 or j >= r.n:
                continue
            row = r.row + j
            passed, share = t - plastic.last[me, row], work.state.dtype.type(1.0)
            first = plastic.last[me, row] < 0
            if r.pairs:
                events += pass_on(plan, work, plastic, me, i, row, t, share)
                plastic.trace[me, row] = 1.0 + (0.0 if first else plastic.trace[me, row] * np.exp(-passed * r.rate_plus))
            else:
                u, left = r.u, 1.0
                if not first:
                    left = 1.0 - (1.0 - plastic.trace[me, row]) * np.exp(-passed * r.rate_rec)
                    if r.rate_facil > 0.0:
                        u += plastic.use[me, row] * (1.0 - r.u) * np.exp(-passed * r.rate_facil)
                events += pass_on(plan, work, plastic, me, i, row, t, work.state.dtype.type(u * left))
                plastic.trace[me, row], plastic.use[me, row] = left * (1.0 - u), u
            plastic.last[me, row] = t
    return events


@jit(nogil=True, _nrt=False)
def catch_up(plan: Any, plastic: Any, me: int, t: int, longest: int) -> None:
    """Let all synapses see what has reached them up to step t, and forget the spikes that none will ask for again."""
    if plastic.seen[me * LANE] == t:
        return
    columns = plan.delay.size
    for i in range(plastic.records.size):
        r = plastic.records[i]
        if r.pairs:
            for row in range(r.row, r.row + r.n):
                for part in range(plan.thread_part[me], plan.thread_part[me + 1]):
                    for c in range(columns):
                        key = part * plan.key_part + c * plan.key_column
                        for e in range(np.int64(plastic.segment[row, key]), np.int64(plastic.segment[row, key + 1])):
                            post = r.post + plastic.target[e] - plastic.delta[i, part]
                            see(plastic, me, r, row, e, post, plan.delay[c], t)
    plastic.seen[me * LANE] = t
    # from the oldest on, so that a spike moves only to a place at or before its own
    n = 0
    for k in range(plastic.spikes[me * LANE]):
        plastic.pending[me, k] = -1
    for s in range(plan.part_segment[plan.thread_part[me]], plan.part_segment[plan.thread_part[me + 1]]):
        g = plan.segments[s]
        for i in range(plastic.records.size):
            r = plastic.records[i]
            if r.pairs and r.population == g.population:
                for post in range(r.post + g.low, r.post + g.low + g.n):
                    at = plastic.head[post]
                    while at >= 0:
                        plastic.pending[me, at] = 1
                        # of a spike that has reached all synapses only the trace is asked for, and no spike before it
                        all_saw = plastic.spike_step[me, at] + longest <= t
                        at = -1 if all_saw else plastic.spike_before[me, at]
    for k in range(plastic.spikes[me * LANE]):
        if plastic.pending[me, k] == 1:
            plastic.spike_step[me, n], plastic.spike_trace[me, n] = plastic.spike_step[me, k], plastic.spike_trace[me, k]
            before = plastic.spike_before[me, k]
            plastic.spike_before[me, n] = plastic.pending[me, before] if before >= 0 else -1
            plastic.pending[me, k] = n
            n += 1
    for s in range(plan.part_segment[plan.thread_part[me]], plan.part_segment[plan.thread_part[me + 1]]):
        g = plan.segments[s]
        for i in range(plastic.records.size):
            r = plastic.records[i]
            if r.pairs and r.population == g.population:
                for post in range(r.post + g.low, r.post + g.low + g.n):
                    if plastic.head[post] >= 0:
                        plastic.head[post] = plastic.pending[me, plastic.head[post]]
    plastic.spikes[me * LANE] = n


@jit(_nrt=False)
def update(plan: Any, work: Any, plastic: Any, kept: Any, me: Any, t: Any, now: Any, memory: Any) -> Any:
    """Charge, fire and reset the neurons of this thread; returns how many fired."""
    found = 0
    call = work.call[me]
    for part in range(plan.thread_part[me], plan.thread_part[me + 1]):
        row = plan.ring_at[part] + (t % plan.ring_rows) * plan.width[part]
        for g in range(plan.part_segment[part], plan.part_segment[part + 1]):
            s = plan.segments[g]
            before = found
            for b in range(0, s.n, BLOCK):
                n = min(BLOCK, s.n - b)
                for i in range(s.words):
                    call[i] = plan.call[s.call + i] + b * plan.stride[s.call + i]
                call[0] = n
                call[1], call[2] = work.flag[me].ctypes.data, work.hits[me].ctypes.data
                call[3] = memory[found:].ctypes.data
                for r in range(s.receptors):
                    at = row + s.at + r * s.n + b
                    if plan.kind == PACKED:
                        x = work.buffer[me, r, :n]
                        unpack(x, work.ring[at: at + n], plan.unpack[g, r])
                        call[5 + r] = x.ctypes.data
                        for d in range(s.drive, s.drive + s.drives):
                            if plan.drives[d].receptor == r:
                                drive(plan, work, me, plan.drives[d], x, b, t)
                    else:
                        y = work.ring[at: at + n]
                        call[5 + r] = y.ctypes.data
                        for d in range(s.drive, s.drive + s.drives):
                            if plan.drives[d].receptor == r:
                                drive(plan, work, me, plan.drives[d], y, b, t)
                found += invoke(s.step, call.ctypes.data)
            kept.count[me, now, s.population] += found - before
            if plastic.records.size:
                remember(plastic, me, s, t, memory[before: found])
            if s.recorded:
                k = kept.kept[me * LANE]
                for i in range(before, found):
                    kept.step[me, k] = now
                    kept.neuron[me, k] = memory[i]
                    k += 1
                kept.kept[me * LANE] = k
    return found


@jit(_nrt=False)
def emit(plan: Any, work: Any, me: Any, t: Any, memory: Any) -> Any:
    """List the spikes of this thread's sources; returns how many."""
    found = 0
    for i in range(plan.thread_emitter[me], plan.thread_emitter[me + 1]):
        e = plan.emitters[i]
        if e.kind >= 0:
            for b in range(0, e.n, BLOCK):
                n = min(BLOCK, e.n - b)
                count, random = work.count[me, :n], work.random[me, :n]
                counts(plan, count, random, e, b, t)
                for j in range(n):
                    for _ in range(int(count[j])):
                        memory[found] = e.first + b + j
                        found += 1
        else:
            k = work.cursor[i]
            while k < e.stop and plan.given_step[k] == t:
                memory[found] = plan.given_sender[k]
                found += 1
                k += 1
            work.cursor[i] = k
    return found


@jit(_nrt=False)
def gather(work: Any, me: Any, threads: Any, slot: Any) -> Any:
    """Copy the lists that all threads made in one step into one, in the order of senders; returns its length."""
    n = 0
    for q in range(threads):
        for k in range(work.found[slot, q * LANE]):
            work.all[me, n] = work.fired[slot, q, k]
            n += 1
    for q in range(threads):
        for k in range(work.sent[slot, q * LANE]):
            work.all[me, n] = work.emitted[slot, q, k]
            n += 1
    return n


@jit(_nrt=False)
def leaving(senders: Any, segment: Any) -> Any:
    """How many synapses the listed senders have."""
    events: Any = 0
    for i in senders:
        events += np.int64(segment[i, segment.shape[1] - 1]) - np.int64(segment[i, 0])
    return events


@jit(_nrt=False, pipeline_class=NoAlias)
def add_same(row: Any, target: Any, weight: Any) -> None:
    for e in range(target.size):
        row[target[e]] += weight


@jit(_nrt=False, pipeline_class=NoAlias)
def add_each(row: Any, target: Any, weight: Any) -> None:
    for e in range(target.size):
        row[target[e]] += weight[e]


@jit(_nrt=False, pipeline_class=NoAlias)
def add_packed(row: Any, packed: Any) -> None:
    for e in range(packed.size):
        z = packed[e]
        row[z & 65535] += z >> 16


@jit(_nrt=False)
def add_runs(plan: Any, work: Any, me: Any, row: Any, n: Any) -> None:
    """Add the first n runs of synapses that this thread has listed to a row of its ring."""
    begin, end = work.begin[me], work.end[me]
    for k in range(n):
        if k + AHEAD < n:
            a, b = np.int64(begin[k + AHEAD]), np.int64(end[k + AHEAD])
            if plan.kind == PACKED:
                for e in range(a, b, 16):
                    prefetch(plan.packed, e)
            else:
                for e in range(a, b, 32):
                    prefetch(plan.target, e)
                if plan.kind == FULL:
                    for e in range(a, b, 16):
                        prefetch(plan.weight, e)
        a, b = np.int64(begin[k]), np.int64(end[k])
        if plan.kind == ROW:
            add_same(row, plan.target[a: b], plan.weight[work.sender[me, k]])
        elif plan.kind == FULL:
            add_each(row, plan.target[a: b], plan.weight[a: b])
        else:
            add_packed(row, plan.packed[a: b])


@jit(_nrt=False)
def list_runs(plan: Any, work: Any, me: Any, row: Any, key: Any, end_key: Any, senders: Any, n: Any) -> Any:
    """List where the synapses of the senders with one delay lie, behind n that are listed; returns how many are."""
    begin, end = work.begin[me], work.end[me]
    for i in senders:
        a, b = plan.segment[i, key], plan.segment[i, end_key]
        if a < b:
            begin[n], end[n], work.sender[me, n] = a, b, i
            n += 1
            if n == RUNS:
                add_runs(plan, work, me, row, n)
                n = 0
    return n


@jit(_nrt=False)
def deliver(plan: Any, work: Any, me: Any, t: Any) -> None:
    """Add to the row of step t + 1 all that reaches this thread's parts in it: of each delay, what was sent so long before."""
    columns, slots, threads = plan.delay.size, work.fired.shape[0], work.fired.shape[1]
    first, last = plan.thread_part[me], plan.thread_part[me + 1]
    together = max(1, last - first) if plan.shared else 1
    for part in range(first, last, together):  # with `while`, small networks were measured to take half as long again
        at = plan.ring_at[part] + ((t + 1) % plan.ring_rows) * plan.width[part]
        row, n = work.ring[at: at + plan.width[part]], 0
        for c in range(columns - 1, -1, -1):
            sent = t + 1 - plan.delay[c]
            if sent >= 0:
                key, slot = part * plan.key_part + c * plan.key_column, sent % slots
                end_key = key + together
                for q in range(threads):
                    n = list_runs(plan, work, me, row, key, end_key, work.fired[slot, q, : work.found[slot, q * LANE]], n)
                for q in range(threads if plan.emitters.size else 0):
                    n = list_runs(plan, work, me, row, key, end_key, work.emitted[slot, q, : work.sent[slot, q * LANE]], n)
        add_runs(plan, work, me, row, n)


@jit(nogil=True, _nrt=False)
def advance(plan: Any, work: Any, plastic: Any, kept: Any, me: int, threads: int, begin: int, steps: int, room: int) -> None:
    """Run the steps begin .. begin + steps - 1, or fewer where the room for spikes may run out, and write down how many."""
    rounds, stop = 0, 0
    if work.sync[me * LANE + 2] >= 0:
        return
    for now in range(steps):
        t = begin + now
        slot = t % work.fired.shape[0]
        found = update(plan, work, plastic, kept, me, t, now, work.fired[slot, me])
        sent = emit(plan, work, me, t, work.emitted[slot, me])
        work.found[slot, me * LANE], work.sent[slot, me * LANE] = found, sent
        if threads == 1:
            for q in range(1, work.fired.shape[1]):
                work.found[slot, q * LANE], work.sent[slot, q * LANE] = 0, 0
        kept.events[me * LANE] += leaving(work.fired[slot, me, :found], plan.segment)
        kept.events[me * LANE] += leaving(work.emitted[slot, me, :sent], plan.segment)
        for i in range(plan.thread_trace[me], plan.thread_trace[me + 1]):
            kept.trace[now, i] = work.state[plan.trace_index[i]]
        if (t + 1) % plan.together == 0:
            most = work.fired.shape[2] * plan.together
            full = plastic.spikes[me * LANE] + most * plastic.records.size > plastic.pending.shape[1]
            if full or kept.kept[me * LANE] + most > room:
                work.sync[me * LANE + 1] = t
            rounds += 1
            stop = meet(work, me, threads, rounds, t, plan.yield_)
        deliver(plan, work, me, t)
        if plastic.records.size:
            senders = work.all[me, : gather(work, me, threads, slot)]
            kept.events[me * LANE] += deliver_plastic(plan, work, plastic, me, senders, t)
        if stop:
            work.sync[me * LANE + 2] = now + 1
            return
    work.sync[me * LANE + 2] = steps


@jit(nogil=True, _nrt=False)
def count_steps(plan: Any, emitter: Any, begin: int, steps: int, random: Any, count: Any) -> None:
    """count[step, neuron]: the Poisson counts of a source, for looking at them."""
    for t in range(steps):
        for b in range(0, emitter.n, BLOCK):
            n = min(BLOCK, emitter.n - b)
            counts(plan, count[t, b: b + n], random[:n], emitter, b, begin + t)
