"""Kernels of a layer with delays (`snnsim.nn.taps`): events to runs of taps in time and back, and values with a few taps.

Runs are vectors of explicit width, since a loop over a few taps that start anywhere is not vectorised by itself. Threads own
outputs, never parts of a sum, so that results are the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from snnsim.kernel import jit

Array = NDArray[Any]

WIDTH = 8  # taps that a kernel takes at once: a run is one tap, or a multiple of it
SPAN = 32  # taps that wait in registers
OUTPUTS = 32  # outputs that are written together: two cache lines of float32
ABREAST = 4  # outputs whose sums are formed at once
LANES = 16 if "avx512f" in binding.get_host_cpu_features() else 8  # samples side by side
NEAR = 6  # taps of a kernel that is narrow
STEPS = 10  # steps whose sums wait in registers


def _run_at(context: Any, builder: Any, array: Any, value: Any, index: Any, width: int) -> tuple[Any, int]:
    """A pointer to `width` numbers of an array from an index on, and their alignment."""
    data = context.make_array(array)(context, builder, value).data
    vector = ir.VectorType(context.get_value_type(array.dtype), width)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer()), array.dtype.bitwidth // 8


def _number_at(context: Any, builder: Any, array: Any, value: Any, index: Any) -> Any:
    return builder.load(builder.gep(context.make_array(array)(context, builder, value).data, [index]))


def _times(builder: Any, factor: Any, run: Any) -> Any:
    """factor * run, element by element; a processor that multiplies and adds at once may do so with what is added next."""
    lanes = ir.VectorType(ir.IntType(32), run.type.count)
    none = ir.Constant(run.type, ir.Undefined)
    one = builder.insert_element(none, factor, ir.Constant(ir.IntType(32), 0))
    return builder.fmul(builder.shuffle_vector(one, none, ir.Constant(lanes, None)), run, flags=("contract",))


def _abreast(width: int, back: bool) -> Any:
    """An intrinsic for several outputs at once, k = 0 .. n - 1, over the events e from start to stop, with m < width:

        line[begin[k] + place[e] + m] += amount[e] run[at[k] + m]     the runs wait in registers
        run[at[k] + m] += amount[e] line[begin[k] + place[e] + m]     where `back`: the sums do

    at and begin: tuples of n numbers. An event is read once for all of them, and n sums need not wait for each other.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of = signature.args
        at, begin = (cgutils.unpack_tuple(builder, args[i]) for i in (1, 3))
        runs = [_run_at(context, builder, types_of[0], args[0], k, width) for k in at]
        align = runs[0][1]
        held = [builder.load(run, align=align) for run, _ in runs]
        sums = [cgutils.alloca_once_value(builder, run) for run in held] if back else []
        lines = [builder.gep(context.make_array(types_of[2])(context, builder, args[2]).data, [k]) for k in begin]
        with cgutils.for_range(builder, args[7], start=args[6]) as loop:
            place = _number_at(context, builder, types_of[4], args[4], loop.index)
            amount = _number_at(context, builder, types_of[5], args[5], loop.index)
            for k, line in enumerate(lines):
                here = builder.bitcast(builder.gep(line, [place]), held[k].type.as_pointer())
                there = builder.load(here, align=align)
                total, to = (builder.load(sums[k]), sums[k]) if back else (there, here)
                more = builder.fadd(total, _times(builder, amount, there if back else held[k]), flags=("contract",))
                builder.store(more, to, align=None if back else align)
        for (run, _), total in zip(runs, sums, strict=False):
            builder.store(builder.load(total), run, align=align)
        return context.get_dummy_value()

    def typed(_: Any, run: Any, at: Any, line: Any, begin: Any, place: Any, amount: Any, start: Any, stop: Any) -> Any:
        return types.void(run, at, line, begin, place, amount, start, stop), codegen

    return intrinsic(typed)


add_runs, add_two, add_one = _abreast(WIDTH, False), _abreast(2 * WIDTH, False), _abreast(1, False)
sum_runs, sum_two, sum_one = _abreast(WIDTH, True), _abreast(2 * WIDTH, True), _abreast(1, True)


def _rows(width: int) -> Any:
    """An intrinsic: for e from start to stop and s < STEPS LANES, the sums in registers and each value loaded once,

        total[at + s] += sum_m factor[e of + m] rows[base + ((e - start) stride + row[e] + m) LANES + s],   m < width
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of, word = signature.args, ir.IntType(64)
        runs = [_run_at(context, builder, types_of[0], args[0], builder.add(args[1], word(r * LANES)), LANES)
                for r in range(STEPS)]
        align = runs[0][1]
        sums = [cgutils.alloca_once_value(builder, builder.load(to, align=align)) for to, _ in runs]
        with cgutils.for_range(builder, args[9], start=args[8]) as loop:
            step = builder.sext(_number_at(context, builder, types_of[5], args[5], loop.index), word)
            here = builder.add(builder.mul(builder.sub(loop.index, args[8]), args[4]), step)
            here = builder.add(args[3], builder.mul(here, word(LANES)))
            taps = builder.mul(loop.index, args[7])
            amounts = [_number_at(context, builder, types_of[6], args[6], builder.add(taps, word(m))) for m in range(width)]
            for r in range(STEPS + width - 1):
                at, _ = _run_at(context, builder, types_of[2], args[2], builder.add(here, word(r * LANES)), LANES)
                run = builder.load(at, align=align)
                for m in range(max(0, r - STEPS + 1), min(width, r + 1)):
                    total = builder.fadd(builder.load(sums[r - m]), _times(builder, amounts[m], run), flags=("contract",))
                    builder.store(total, sums[r - m])
        for (to, _), total in zip(runs, sums, strict=True):
            builder.store(builder.load(total), to, align=align)
        return context.get_dummy_value()

    def typed(_: Any, total: Any, at: Any, rows: Any, base: Any, stride: Any, row: Any, factor: Any, of: Any, start: Any,
              stop: Any) -> Any:
        return types.void(total, at, rows, base, stride, row, factor, of, start, stop), codegen

    return intrinsic(typed)


add_rows, add_near = _rows(1), _rows(NEAR)


@intrinsic
def turn(_: Any, to: Any, at: Any, step: Any, source: Any, start: Any, stride: Any) -> Any:
    """to[at + c step + r] = source[start + r stride + c] for r and c < LANES: neighbours trade halves, quarters, ..."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of, word = signature.args, ir.IntType(64)

        def run_at(i: int, first: Any, step: Any, r: int) -> tuple[Any, int]:
            return _run_at(context, builder, types_of[i], args[i], builder.add(first, builder.mul(step, word(r))), LANES)

        rows = []
        for r in range(LANES):
            run, align = run_at(3, args[4], args[5], r)
            rows.append(builder.load(run, align=align))
        lanes = ir.VectorType(ir.IntType(32), LANES)
        apart = LANES // 2
        while apart:
            low = [k if not k & apart else LANES + k - apart for k in range(LANES)]
            high = [k + apart if not k & apart else LANES + k for k in range(LANES)]
            for r in range(LANES):
                if not r & apart:
                    pair = rows[r], rows[r + apart]
                    rows[r], rows[r + apart] = (builder.shuffle_vector(*pair, ir.Constant(lanes, m)) for m in (low, high))
            apart //= 2
        for r, held in enumerate(rows):
            run, align = run_at(0, args[1], args[2], r)
            builder.store(held, run, align=align)
        return context.get_dummy_value()

    return types.void(to, at, step, source, start, stride), codegen


@intrinsic
def sweep(_: Any, line: Any, begin: Any, runs: Any, indptr: Any, indices: Any, amount: Any, start: Any, stop: Any) -> Any:
    """line[begin[k] + r] += the taps due at step r of the rows start .. stop - 1, for several outputs k at once: the run of
    each event's source, runs[(source n + k) SPAN + m], begun at its step.

    What is still due is a run of SPAN numbers in registers, which moves on by one a step: nothing is stored but the sum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of = signature.args
        word, number = ir.IntType(64), context.get_value_type(types_of[0].dtype)
        vector, lane = ir.VectorType(number, SPAN), ir.IntType(32)
        none, lanes = ir.Constant(vector, None), ir.Constant(ir.VectorType(lane, SPAN), list(range(1, SPAN + 1)))
        begins = cgutils.unpack_tuple(builder, args[1])
        due = [cgutils.alloca_once_value(builder, none) for _ in begins]
        data = context.make_array(types_of[0])(context, builder, args[0]).data
        with cgutils.for_range(builder, args[7], start=args[6]) as rows:
            low = _number_at(context, builder, types_of[3], args[3], rows.index)
            high = _number_at(context, builder, types_of[3], args[3], builder.add(rows.index, word(1)))
            with cgutils.for_range(builder, high, start=low) as loop:
                j = builder.sext(_number_at(context, builder, types_of[4], args[4], loop.index), word)
                event = _number_at(context, builder, types_of[5], args[5], loop.index)
                for k, held in enumerate(due):
                    here = builder.mul(builder.add(builder.mul(j, word(len(due))), word(k)), word(SPAN))
                    at, align = _run_at(context, builder, types_of[2], args[2], here, SPAN)
                    more = _times(builder, event, builder.load(at, align=align))
                    builder.store(builder.fadd(builder.load(held), more, flags=("contract",)), held)
            for first, held in zip(begins, due, strict=True):
                to = builder.gep(data, [builder.add(first, builder.sub(rows.index, args[6]))])
                now = builder.load(held)
                builder.store(builder.fadd(builder.load(to), builder.extract_element(now, lane(0))), to)
                builder.store(builder.shuffle_vector(now, none, lanes), held)
        return context.get_dummy_value()

    return types.void(line, begin, runs, indptr, indices, amount, start, stop), codegen


@jit(nogil=True)
def aligned(size: int, dtype: Any) -> Array:
    """An array without content that begins a cache line: a vector that lies in two takes twice as long."""
    a = np.empty(size + 16, dtype)
    return a[-(a.ctypes.data // a.itemsize) % (64 // a.itemsize):]


@jit(nogil=True)
def turned(to: Array, at: int, step: int, source: Array, start: int, stride: int, n: int, m: int) -> None:
    """to[at + c step + r] = source[start + r stride + c] for r < n and c < m; the last blocks overlap those before."""
    if n < LANES or m < LANES:
        for r in range(n):
            for c in range(m):
                to[at + c * step + r] = source[start + r * stride + c]
        return
    for k in range(0, n, LANES):
        r = min(k, n - LANES)
        for q in range(0, m, LANES):
            c = min(q, m - LANES)
            turn(to, at + c * step + r, step, source, start + r * stride + c, stride)  # type: ignore[call-arg]


@jit(nogil=True)
def written(y: Array, tile: Array, line: int, stride: int, start: int, stop: int, low: int, high: int) -> None:
    """y[t, b, i] = tile[(i - low) line + (b - start) stride + t] for samples from start to stop and outputs from low to high.
    All samples of a few steps, then of the next: steps lie pages apart."""
    steps, samples, outputs = y.shape
    flat, many = y.ravel(), min(steps, LANES)
    for t in range(0, steps, LANES):
        begin = min(t, steps - many)
        for b in range(start, stop):
            turned(flat, (begin * samples + b) * outputs + low, samples * outputs, tile, (b - start) * stride + begin, line,
                   high - low, many)


@jit(nogil=True)
def order(k: int, of: int, indptr: Array, indices: Array, values: Array, samples: int, size: int, stride: int, starts: Array,
           at: Array, place: Array, amount: Array) -> None:
    steps = (len(indptr) - 1) // samples
    cursor = np.empty(at.shape[1], np.int64)
    for block in range(k * len(at) // of, (k + 1) * len(at) // of):
        low, high = block * size, min((block + 1) * size, samples)
        for t in range(steps):
            for e in range(indptr[t * samples + low], indptr[t * samples + high]):
                at[block, indices[e] + 1] += 1
        at[block, 0] = starts[block]
        for j in range(at.shape[1] - 1):
            at[block, j + 1] += at[block, j]
        cursor[:] = at[block]
        for phase in range(WIDTH):  # so that runs which overlap are far apart: loading what was just stored in part is slow
            for t in range(phase, steps, WIDTH):
                for b in range(low, high):
                    for e in range(indptr[t * samples + b], indptr[t * samples + b + 1]):
                        to = cursor[indices[e]]
                        cursor[indices[e]] = to + 1
                        place[to] = (b - low) * stride + t
                        amount[to] = values[e]


@jit(nogil=True)
def by_sample(indptr: Array, indices: Array, values: Array, samples: int, out: Array, columns: Array, amount: Array) -> None:
    """Rows t B + b as rows b T + t."""
    steps, n = (len(indptr) - 1) // samples, 0
    for b in range(samples):
        for t in range(steps):
            for e in range(indptr[t * samples + b], indptr[t * samples + b + 1]):
                columns[n], amount[n] = indices[e], values[e]
                n += 1
            out[b * steps + t + 1] = n


@jit(nogil=True)
def swept(k: int, of: int, indptr: Array, indices: Array, amount: Array, first: Array, taps: Array, bias: Array, y: Array,
          size: int, reach: int) -> None:
    """Forward where delays are short: all taps of an event's synapse, to outputs that wait in registers."""
    steps, samples, outputs = y.shape
    inputs, width = taps.shape[1:]
    groups, blocks = (outputs + OUTPUTS - 1) // OUTPUTS, (samples + size - 1) // size
    stride = steps + SPAN * ((reach + SPAN - 1) // SPAN)
    line = size * stride
    tile, runs = np.empty(OUTPUTS * line, y.dtype), aligned(inputs * ABREAST * SPAN, y.dtype)
    for task in range(k * groups * blocks // of, (k + 1) * groups * blocks // of):
        block, low = task // groups * size, task % groups * OUTPUTS
        high, after = min(low + OUTPUTS, outputs), min(block + size, samples)
        for i in range(low, high):
            tile[(i - low) * line: (i - low + 1) * line] = bias[i]
        for i in range(low, high, ABREAST):
            for span in range(0, reach, SPAN):
                runs[:] = 0
                for j in range(inputs):
                    for p in range(ABREAST):
                        for m in range(max(0, span - first[i + p, j]), min(width, span + SPAN - first[i + p, j])):
                            runs[(j * ABREAST + p) * SPAN + first[i + p, j] + m - span] = taps[i + p, j, m]
                for b in range(block, after):
                    at = (i - low) * line + (b - block) * stride + span
                    sweep(tile, (at, at + line, at + 2 * line, at + 3 * line), runs, indptr,  # type: ignore[call-arg]
                          indices, amount, b * steps, (b + 1) * steps)
        written(y, tile, line, stride, block, after, low, high)


@jit(nogil=True)
def four(i: int, j: int, q: int, low: int, line: int, first: Array, width: int) -> Any:
    """Where the taps of the synapses from j to ABREAST outputs from i on stand, and where their lines begin."""
    inputs, runs, lines = first.shape[1], (i * first.shape[1] + j) * width + q, (i - low) * line + q
    return ((runs, runs + inputs * width, runs + 2 * inputs * width, runs + 3 * inputs * width),
            (lines + first[i, j], lines + line + first[i + 1, j], lines + 2 * line + first[i + 2, j],
             lines + 3 * line + first[i + 3, j]))


@jit(nogil=True)
def forward(k: int, of: int, at: Array, place: Array, amount: Array, first: Array, taps: Array, bias: Array, y: Array,
            size: int, stride: int) -> None:
    """Forward where delays are long and taps few: tile after tile of outputs and samples, with time innermost."""
    _, samples, outputs = y.shape
    inputs, width = taps.shape[1:]
    lanes = 1 if width == 1 else 2 * WIDTH if width % (2 * WIDTH) == 0 else WIDTH
    groups, line = (outputs + OUTPUTS - 1) // OUTPUTS, size * stride
    tasks, runs, tile = groups * len(at), taps.ravel(), np.empty(OUTPUTS * line, y.dtype)
    for task in range(k * tasks // of, (k + 1) * tasks // of):
        block, low = task // groups, task % groups * OUTPUTS
        high = min(low + OUTPUTS, outputs)
        for i in range(low, high):
            tile[(i - low) * line: (i - low + 1) * line] = bias[i]
        for i in range(low, high, ABREAST):
            for j in range(inputs):
                start, stop = at[block, j], at[block, j + 1]
                for q in range(0, width, lanes):
                    these, lines = four(i, j, q, low, line, first, width)
                    if lanes == 1:
                        add_one(runs, these, tile, lines, place, amount, start, stop)
                    elif lanes == WIDTH:
                        add_runs(runs, these, tile, lines, place, amount, start, stop)
                    else:
                        add_two(runs, these, tile, lines, place, amount, start, stop)
        written(y, tile, line, stride, block * size, min((block + 1) * size, samples), low, high)


@jit(nogil=True)
def gradient(k: int, of: int, at: Array, place: Array, amount: Array, first: Array, g: Array, g_taps: Array, size: int,
             stride: int) -> None:
    """The gradient of the taps: every event reads a run of its outputs' gradients."""
    steps, samples, outputs = g.shape
    inputs, width = g_taps.shape[1:]
    lanes = 1 if width == 1 else 2 * WIDTH if width % (2 * WIDTH) == 0 else WIDTH
    groups, line = (outputs + OUTPUTS - 1) // OUTPUTS, size * stride
    runs, flat, tile = g_taps.ravel(), g.ravel(), np.zeros(OUTPUTS * line, g.dtype)
    for group in range(k * groups // of, (k + 1) * groups // of):
        low, high = group * OUTPUTS, min((group + 1) * OUTPUTS, outputs)
        g_taps[low: low + OUTPUTS] = 0
        for block in range(len(at)):
            for b in range(block * size, min((block + 1) * size, samples)):
                turned(tile, (b - block * size) * stride, line, flat, b * outputs + low, samples * outputs, steps, high - low)
            for i in range(low, high, ABREAST):
                for j in range(inputs):
                    start, stop = at[block, j], at[block, j + 1]
                    for q in range(0, width, lanes):
                        these, lines = four(i, j, q, low, line, first, width)
                        if lanes == 1:
                            sum_one(runs, these, tile, lines, place, amount, start, stop)
                        elif lanes == WIDTH:
                            sum_runs(runs, these, tile, lines, place, amount, start, stop)
                        else:
                            sum_two(runs, these, tile, lines, place, amount, start, stop)


@jit(nogil=True)
def slid(k: int, of: int, x: Array, lead: int, reach: int, row: Array, factor: Array, y: Array, part: int,
         sources: int) -> None:
    """y[t, b, a] = sum_cm factor[a, c, m] x[t - lead + row[a, c] + m, b, c], with zeros around x: one tap a synapse, or NEAR,
    for values that are mostly not zero. row + m: at most `reach`. Samples stand side by side, LANES of them and `part` steps
    at a time."""
    steps, samples, channels = x.shape
    outputs, width, parts = y.shape[2], factor.shape[2], (steps + part - 1) // part
    height = (part + reach) | 1  # odd, in cache lines: rows of many sources would else stand in the same few places
    tasks = (samples + LANES - 1) // LANES * parts
    flat_x, flat_y, rows, factors = x.ravel(), y.ravel(), row.ravel(), factor.ravel()
    held, total = aligned(channels * height * LANES, x.dtype), aligned(outputs * STEPS * LANES, x.dtype)
    held[:] = 0
    for task in range(k * tasks // of, (k + 1) * tasks // of):
        b, begin = task // parts * LANES, task % parts * part
        many, last = min(LANES, samples - b), min(begin + part, steps)
        for r in range(min(height, last - begin + STEPS + reach)):
            t = begin - lead + r
            if 0 <= t < steps:
                turned(held, r * LANES, height * LANES, flat_x, (t * samples + b) * channels, channels, many, channels)
            else:
                for c in range(channels):
                    held[(c * height + r) * LANES: (c * height + r + 1) * LANES] = 0
        for t in range(begin, last, STEPS):
            total[:] = 0
            for c in range(0, channels, sources):
                for a in range(outputs):
                    start, stop = a * channels + c, a * channels + min(c + sources, channels)
                    to, base = a * STEPS * LANES, (c * height + t - begin) * LANES
                    if width == 1:
                        add_rows(total, to, held, base, height, rows, factors, width, start, stop)
                    else:
                        add_near(total, to, held, base, height, rows, factors, width, start, stop)
            for s in range(min(STEPS, last - t)):
                turned(flat_y, ((t + s) * samples + b) * outputs, outputs, total, s * LANES, STEPS * LANES, outputs, many)
