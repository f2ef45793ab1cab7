"""The kernel: all steps and all populations of some samples in one call, for any network.

A plan describes the network as flat arrays, so one compiled loop runs every network; what a neuron does is a kernel
of its own, printed from its rule and called by address.

A population's neurons stand in an inner order, cut into sites of 2**shift neighbours that are updated together. At
each step the flagged sites are updated: those that spikes touched, and those that may fire in silence. A byte for
each site and a byte for each 64 sites make finding them cheap, sorted and free of repeats, so that sums are formed
in the same order however many sites sleep.

The spikes of a population lie one after another as (sample, step, neuron); `ends` says where a step's spikes stop.
A projection with a delay reads them there: the record is the ring buffer. Where each synapse has a delay of its own, a
spike is added to a ring of the inputs to come, once, whatever the delays are.

Every kernel called here stands in this file, because Numba's cache sees only the file of the caller. `_nrt=False`
leaves out Numba's reference counts: nothing is allocated here, and counting the arrays of Plan and Work at each call
made the loop five times slower.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from snnsim.kernel import NoAlias, jit

DENSE, CONV, POOL, SPARSE, DELAYED = range(5)
NO_VALUES = 1  # of Events.unit: every listed event counts once, `value` is empty


class Plan(NamedTuple):
    """What does not change while the network runs; records are described in `plan.py`."""

    populations: Any  # POPULATION records, the input first
    projections: Any  # PROJECTION records, those into one population together, populations in order of update
    stages: Any  # STAGE records: the maps of a chain, one after another
    order: Any  # int64, populations in order of update, without the input
    weight: Any  # all weights
    indptr: Any  # int64, CSR rows of sparse maps
    target: Any  # int32, their targets
    parameter: Any  # [parameters, N] of each population
    rest: Any  # x without spikes: the summed biases
    start: Any  # the states before the first step, as Work.state
    awake: Any  # uint8 per site: flagged before the first step
    awake_block: Any


class Work(NamedTuple):
    """What one thread writes while it runs."""

    x: Any  # [receptors, N] of each population
    state: Any  # [states, N] of each population
    y: Any  # between the maps of a chain; zero between steps
    last: Any  # int64 per site: the step up to which its states hold
    flag: Any  # uint8 per site
    flag_words: Any  # the same memory, 8 at a time
    block: Any  # uint8 per 64 sites
    block_words: Any
    active: Any  # int32, the sites to update
    fired: Any  # uint8 per neuron of a site
    index: Any  # int32, what a map of a chain gave
    value: Any
    ring: Any  # [slots, N] of each projection whose synapses have delays: what arrives at step t is row t mod slots
    due: Any  # uint8 [slots]: whether anything does
    call: Any  # int64 [populations, 15]: the arguments of their kernels


class Record(NamedTuple):
    """What the run leaves behind, for this thread's samples."""

    spikes: Any  # int32: `room` entries for each population
    start: Any  # int64 per population: where its entries begin
    ends: Any  # int64 [populations, samples, T + 1]
    score: Any  # [samples, outputs]
    membrane: Any  # [T, samples, neurons of the recorded populations]
    operations: Any  # int64 per projection
    updates: Any  # int64 per population
    cursor: Any  # int64 [2]: sample and step to go on from


class Events(NamedTuple):
    """Input as CSR rows t * batch + b."""

    indptr: Any
    index: Any
    value: Any
    unit: int
    steps: int
    batch: int


@intrinsic
def invoke(_: Any, address: Any, arguments: Any) -> Any:
    """Call the C function at an address with a tuple of int64; its result is an int64."""

    def codegen(_: Any, builder: Any, __: Any, args: Any) -> Any:
        word = ir.IntType(64)
        function = ir.FunctionType(word, [word] * len(arguments))
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), cgutils.unpack_tuple(builder, args[1]))

    return types.int64(address, arguments), codegen


@jit(_nrt=False, pipeline_class=NoAlias)
def fill(x: Any, values: Any) -> None:
    for j in range(x.size):
        x[j] = values[j]


@jit(_nrt=False, pipeline_class=NoAlias)
def add_row(x: Any, row: Any) -> None:
    for j in range(x.size):
        x[j] += row[j]


@jit(_nrt=False, pipeline_class=NoAlias)
def add_scaled(x: Any, row: Any, value: Any) -> None:
    for j in range(x.size):
        x[j] += row[j] * value


@jit(_nrt=False, pipeline_class=NoAlias)
def add_four(x: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    for j in range(x.size):
        x[j] = (((x[j] + a[j]) + b[j]) + c[j]) + d[j]


@jit(_nrt=False, pipeline_class=NoAlias)
def add_eight(x: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> None:
    for j in range(x.size):
        x[j] = (((((((x[j] + a[j]) + b[j]) + c[j]) + d[j]) + e[j]) + f[j]) + g[j]) + h[j]


@jit(_nrt=False)
def dense(weight: Any, index: Any, value: Any, unit: Any, x: Any) -> None:
    """Add the rows of the listed sources to x, in their order; several rows a pass, so that x stays in registers."""
    n = x.size
    rows = weight.reshape(weight.size // n, n)
    i, m = 0, index.size
    if unit:
        while i + 8 <= m:
            add_eight(x, rows[index[i]], rows[index[i + 1]], rows[index[i + 2]], rows[index[i + 3]],
                      rows[index[i + 4]], rows[index[i + 5]], rows[index[i + 6]], rows[index[i + 7]])
            i += 8
        if i + 4 <= m:
            add_four(x, rows[index[i]], rows[index[i + 1]], rows[index[i + 2]], rows[index[i + 3]])
            i += 4
        while i < m:
            add_row(x, rows[index[i]])
            i += 1
    else:
        for i in range(m):
            add_scaled(x, rows[index[i]], value[i])


@jit(_nrt=False)
def mark(first: Any, last: Any, shift: Any, flag: Any, block: Any) -> None:
    """Flag the sites of the neurons first .. last."""
    for site in range(first >> shift, (last >> shift) + 1):
        flag[site] = 1
        block[site >> 6] = 1


@jit(_nrt=False)
def place(i: Any, stage: Any) -> Any:
    """Channel, row and column of a source in its inner order."""
    if stage.channels_last:
        pixel = i // stage.channels
        return i % stage.channels, pixel // stage.width, pixel % stage.width
    plane = stage.height * stage.width
    return i // plane, i % plane // stage.width, i % stage.width


@jit(_nrt=False)
def window(at: Any, kernel: Any, stride: Any, outputs: Any) -> Any:
    """The first and last output whose window of the padded input holds position `at`."""
    return max(0, (at - kernel + stride) // stride), min(at // stride, outputs - 1)


@jit(_nrt=False)
def conv(stage: Any, weight: Any, index: Any, value: Any, unit: Any, x: Any, shift: Any, flag: Any, block: Any) -> int:
    """Scatter through a convolution. Outputs are channels-last, and a kernel row is stored by column phase, backwards:
    all targets of a source in one output row are then one run of x and one run of weights."""
    operations = 0
    for m in range(index.size):
        c, row, column = place(index[m], stage)
        row += stage.pad_y
        column += stage.pad_x
        i0, i1 = window(row, stage.kernel_y, stage.stride_y, stage.out_height)
        j0, j1 = window(column, stage.kernel_x, stage.stride_x, stage.out_width)
        if j1 < j0:
            continue
        n = (j1 - j0 + 1) * stage.out_channels
        slot = stage.phases - 1 - (column // stage.stride_x - j0)
        for i in range(i0, i1 + 1):
            line = (c * stage.kernel_y + row - i * stage.stride_y) * stage.stride_x + column % stage.stride_x
            w = (line * stage.phases + slot) * stage.out_channels
            a = (i * stage.out_width + j0) * stage.out_channels
            if unit:
                add_row(x[a: a + n], weight[w: w + n])
            else:
                add_scaled(x[a: a + n], weight[w: w + n], value[m])
            mark(a, a + n - 1, shift, flag, block)
            operations += n
    return operations


@jit(_nrt=False)
def pool(stage: Any, index: Any, value: Any, unit: Any, x: Any, shift: Any, flag: Any, block: Any) -> int:
    """Scatter through sums over windows, which may overlap or leave gaps."""
    operations = 0
    for m in range(index.size):
        c, row, column = place(index[m], stage)
        i0, i1 = window(row, stage.kernel_y, stage.stride_y, stage.out_height)
        j0, j1 = window(column, stage.kernel_x, stage.stride_x, stage.out_width)
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                a = (i * stage.out_width + j) * stage.out_channels + c
                if unit:
                    x[a] += x.dtype.type(1.0)
                else:
                    x[a] += value[m]
                mark(a, a, shift, flag, block)
                operations += 1
    return operations


@jit(_nrt=False)
def sparse(weight: Any, indptr: Any, target: Any, index: Any, value: Any, unit: Any, x: Any, shift: Any, flag: Any,
           block: Any) -> int:
    """Scatter the CSR rows of the listed sources."""
    operations = 0
    for m in range(index.size):
        a, b = indptr[index[m]], indptr[index[m] + 1]
        for k in range(a, b):
            i = int(target[k])
            if unit:
                x[i] += weight[k]
            else:
                x[i] += weight[k] * value[m]
            mark(i, i, shift, flag, block)
        operations += b - a
    return operations


@jit(_nrt=False)
def later(weight: Any, synapses: int, indptr: Any, target: Any, index: Any, value: Any, unit: Any, size: Any, slots: Any,
          t: Any, ring: Any, due: Any) -> int:
    """Add the synapses of the listed sources to the rows of the steps at which they arrive. target: targets, then delays."""
    operations, now = 0, t % slots
    for m in range(index.size):
        a, b = indptr[index[m]], indptr[index[m] + 1]
        for k in range(a, b):
            slot = now + int(target[synapses + k])
            if slot >= slots:
                slot -= slots
            if unit:
                ring[slot * size + target[k]] += weight[k]
            else:
                ring[slot * size + target[k]] += weight[k] * value[m]
            due[slot] = 1
        operations += b - a
    return operations


@jit(_nrt=False)
def arrive(size: Any, slot: Any, x: Any, ring: Any, due: Any, shift: Any, flag: Any, block: Any) -> None:
    """Add what arrives now to x, and empty its row of the ring."""
    if due[slot]:
        due[slot] = 0
        row = ring[slot * size: (slot + 1) * size]
        add_row(x, row)
        for i in range(size):
            row[i] = 0
        mark(0, size - 1, shift, flag, block)


@jit(_nrt=False, inline="always")
def scatter(plan: Any, stage: Any, index: Any, value: Any, unit: Any, x: Any, shift: Any, flag: Any, block: Any) -> Any:
    """Add one map of the listed sources to x, flag the sites it touched, and count its synaptic operations."""
    weight = plan.weight[stage.weight: stage.weight + stage.weights]
    if stage.kind == DENSE:
        dense(weight, index, value, unit, x)
        mark(0, x.size - 1, shift, flag, block)
        return index.size * x.size
    if stage.kind == CONV:
        return conv(stage, weight, index, value, unit, x, shift, flag, block)
    if stage.kind == POOL:
        return pool(stage, index, value, unit, x, shift, flag, block)
    return sparse(weight, plan.indptr[stage.row:], plan.target[stage.target:], index, value, unit, x, shift, flag, block)


@jit(_nrt=False)
def collect(sites: Any, flag: Any, words: Any, block: Any, block_words: Any, active: Any) -> int:
    """List the flagged sites in rising order, and clear their flags."""
    if sites == 1:
        active[0] = 0
        n = int(flag[0])
        flag[0] = 0
        return n
    n = 0
    for i in range((sites + 511) >> 9):
        if block_words[i] != 0:
            for j in range(8 * i, 8 * i + 8):
                if block[j] != 0:
                    block[j] = 0
                    for k in range(8 * j, 8 * j + 8):
                        if words[k] != 0:
                            for site in range(8 * k, 8 * k + 8):
                                if flag[site] != 0:
                                    flag[site] = 0
                                    active[n] = site
                                    n += 1
    return n


@jit(_nrt=False, inline="always")
def through(plan: Any, work: Any, projection: Any, index: Any, value: Any, unit: Any, t: Any) -> int:
    """Send the listed sources through a projection's chain of maps into x of its target."""
    operations = 0
    p = plan.populations[projection.target]
    for k in range(projection.first, projection.stop):
        stage = plan.stages[k]
        if stage.kind == DELAYED:
            operations += later(plan.weight[stage.weight:], stage.weights, plan.indptr[stage.row:], plan.target[stage.target:],
                                index, value, unit, p.size, projection.slots, t, work.ring[projection.ring:],
                                work.due[projection.due:])
            break
        last = k + 1 == projection.stop
        at, size, shift = (projection.x, p.size, p.shift) if last else (stage.y, stage.outputs, stage.shift)
        site, block = (p.site, p.block) if last else (stage.site, stage.block)
        y = work.x[at: at + size] if last else work.y[at: at + size]
        operations += scatter(plan, stage, index, value, unit, y, shift, work.flag[site:], work.block[block:])
        if last:
            break
        n = 0
        for a in range(collect(((size - 1) >> shift) + 1, work.flag[site:], work.flag_words[site >> 3:],
                               work.block[block:], work.block_words[block >> 3:], work.active)):
            low = work.active[a] << shift
            for i in range(low, min(low + (1 << shift), size)):
                if y[i] != 0:
                    work.index[n], work.value[n] = i, y[i]
                    y[i] = 0
                    n += 1
        index, value, unit = work.index[:n], work.value[:n], 0
    return operations


@jit(_nrt=False, inline="always")
def receive(plan: Any, work: Any, record: Any, events: Any, p: Any, b: Any, column: Any, t: Any) -> None:
    """Deliver to population p what its sources sent so many steps ago."""
    for q in range(p.first, p.stop):
        projection = plan.projections[q]
        sent = t - projection.delay
        if sent < 0:
            continue
        if projection.source == 0:
            row = sent * events.batch + b
            low, high = events.indptr[row], events.indptr[row + 1]
            index = events.index[low: high]
            value = events.value[:0] if events.unit else events.value[low: high]
            unit = events.unit
        else:
            at = record.start[projection.source]
            low, high = record.ends[projection.source, column, sent], record.ends[projection.source, column, sent + 1]
            index, value, unit = record.spikes[at + low: at + high], work.value[:0], NO_VALUES
        if index.size:
            record.operations[q] += through(plan, work, projection, index, value, unit, t)
        if projection.slots:
            arrive(p.size, t % projection.slots, work.x[projection.x: projection.x + p.size], work.ring[projection.ring:],
                   work.due[projection.due:], p.shift, work.flag[p.site:], work.block[p.block:])


@jit(_nrt=False, inline="always")
def update(work: Any, p: Any, spikes: Any, t: Any) -> Any:
    """Charge, fire and reset the flagged sites of population p (all of them where it is ticked), list its spikes."""
    s, b = p.site, p.block
    n = collect(p.sites, work.flag[s:], work.flag_words[s >> 3:], work.block[b:], work.block_words[b >> 3:], work.active)
    if p.ticked:
        n = 1
    if n == 0:
        return 0
    return invoke(p.step, (  # type: ignore[call-arg]
        work.call[p.number].ctypes.data, n, t, spikes.ctypes.data))


@jit(_nrt=False)
def bind(plan: Any, work: Any, record: Any, leap_from: Any) -> None:
    """Write down for each population what its kernel takes: sizes, and the addresses of its arrays."""
    real = work.x.itemsize
    for i in plan.order:
        p, call = plan.populations[i], work.call[i]
        call[0], call[1], call[2], call[14] = p.size, p.shift, leap_from, p.alike
        call[3] = work.x.ctypes.data + real * p.x
        call[4] = plan.rest.ctypes.data + real * p.x
        call[5] = work.state.ctypes.data + real * p.state
        call[6] = plan.parameter.ctypes.data + real * p.parameter
        call[7], call[8] = work.active.ctypes.data, work.last.ctypes.data + 8 * p.site
        call[9] = record.updates.ctypes.data + 8 * i
        call[10], call[11] = work.flag.ctypes.data + p.site, work.block.ctypes.data + p.block
        call[12], call[13] = work.fired.ctypes.data, work.index.ctypes.data


@jit(_nrt=False)
def wake(plan: Any, work: Any) -> None:
    """The state before a sample's first step."""
    fill(work.x, plan.rest)
    fill(work.flag, plan.awake)
    fill(work.block, plan.awake_block)
    fill(work.state, plan.start)
    for i in range(work.last.size):
        work.last[i] = -1
    for i in range(work.ring.size):
        work.ring[i] = 0
    for i in range(work.due.size):
        work.due[i] = 0


@jit(nogil=True, _nrt=False)
def run_samples(plan: Any, work: Any, record: Any, events: Any, first: int, stop: int, room: int, leap_from: int,
                output: int, by_count: int) -> bool:
    """Run the samples first .. stop - 1 from where the cursor stands.

    Returns True when all are done, False when a step might need more room for spikes: then the caller gives more, and
    calls again.
    """
    bind(plan, work, record, leap_from)
    b, t = record.cursor
    while b < stop:
        column = b - first
        if t == 0:
            wake(plan, work)
        for now in range(t, events.steps):
            for i in plan.order:
                if record.ends[i, column, now] + plan.populations[i].size + 8 > room:
                    record.cursor[0], record.cursor[1] = b, now
                    return False
            for i in plan.order:
                p = plan.populations[i]
                receive(plan, work, record, events, p, b, column, now)
                end = record.ends[i, column, now]
                at = record.start[i] + end
                n = update(work, p, record.spikes[at:], now)
                record.ends[i, column, now + 1] = end + n
                v = work.state[p.state + (p.states - 1) * p.size: p.state + p.states * p.size]
                if p.recorded >= 0:
                    fill(record.membrane[now, column, p.recorded: p.recorded + p.size], v)
                if i == output:
                    if by_count:
                        for k in range(at, at + n):
                            record.score[column, record.spikes[k]] += 1
                    else:
                        add_row(record.score[column], v)
        b, t = b + 1, 0
        if b < stop:
            for i in plan.order:
                record.ends[i, b - first, 0] = record.ends[i, column, events.steps]
    record.cursor[0], record.cursor[1] = b, 0
    return True
