"""A linear layer whose synapses have delays, as kernels: each synapse is a short run of taps in time.

    y[t, b, i] = sum_j sum_m taps[i, j, m] x[t - first[i, j] - m, b, j],    x = 0 before the first step

Spikes are taken one by one: each adds a run of taps to the output's run in time, and each reads one of the gradient; threads
own outputs, never parts of a sum. What is dense (an input with few zeros, the gradient of the input) goes through the
frequencies of time (`snnsim.nn.spectrum`), whose cost does not depend on taps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from snnsim.kernel import jit
from snnsim.nn import sparse, threads
from snnsim.nn.pool import take
from snnsim.nn.spectrum import convolve

Array = NDArray[Any]

WIDTH = 8  # taps that a kernel takes at once: a run is a multiple of it
SPAN = 32  # taps that wait in registers
OUTPUTS = 16  # outputs that are written together: a cache line of float32
TILE = 8192  # values of one output over the time of some samples: half of what the first-level cache holds


def run(x: torch.Tensor | sparse.Rows, shape: tuple[int, int, int], first: torch.Tensor, taps: torch.Tensor,
        bias: torch.Tensor | None) -> torch.Tensor:
    """y + bias, [T, B, outputs]. x: [T, B, inputs], or its rows t B + b without their zeros; shape: (T, B, inputs);
    first: int32 [outputs, inputs]; taps: [outputs, inputs, a multiple of WIDTH]; bias: [outputs]. All on the CPU."""
    if isinstance(x, sparse.Rows):
        return _Taps.apply(None, x, shape, first, taps, bias)  # type: ignore[no-untyped-call, no-any-return]
    flat = x.flatten(0, 1)
    return _Taps.apply(flat, sparse.found(flat), shape, first, taps, bias)  # type: ignore[no-untyped-call, no-any-return]


class _Taps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor | None, rows: sparse.Rows | None, shape: tuple[int, int, int], first: torch.Tensor,
                taps: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        steps, samples, _ = shape
        outputs = len(taps)
        taps = taps.contiguous()
        order = None
        if rows is None:
            assert x is not None
            y = convolve(x.detach().view(shape), dense(first.t(), taps.detach().transpose(0, 1)))
            y = y if bias is None else y.add_(bias.detach())
        else:
            y = take((steps, samples, outputs), taps.dtype)
            order = Order(rows, shape, first, taps)
            order.forward(first, taps.detach(), sparse.bias_array(bias, taps), y)
        ctx.shape, ctx.order = shape, order
        ctx.save_for_backward(None if rows else x, first, taps)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, first, taps = ctx.saved_tensors
        g = g.contiguous()
        g_x = g_taps = g_bias = None
        if ctx.needs_input_grad[0]:
            g_x = convolve(g, dense(first, taps), back=True).flatten(0, 1)
        if ctx.needs_input_grad[4]:
            order = ctx.order or Order(every(x), ctx.shape, first, taps)
            g_taps = take(taps.shape, g.dtype)
            threads.run(_gather, threads.count(-(-len(taps) // OUTPUTS), g.numel()), *order.arrays, first.numpy(), g.numpy(),
                        g_taps.numpy(), order.size, order.stride)
        if ctx.needs_input_grad[5]:
            g_bias = sparse.column_sums(g.flatten(0, 1))
        return g_x, None, None, None, g_taps, g_bias


def dense(first: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """The taps at their steps: [longest, ...] from first [...] and taps [..., width]; differentiable."""
    width = taps.shape[-1]
    at = first.long() + torch.arange(width, device=first.device).view(-1, *[1] * first.ndim)
    return taps.new_zeros(int(first.max()) + width, *first.shape).scatter(0, at, taps.movedim(-1, 0))


def every(x: torch.Tensor) -> sparse.Rows:
    """The tensor [rows, columns] as rows that list all their values."""
    n, columns = x.shape
    indices = np.tile(np.arange(columns, dtype=np.int32), n)
    return sparse.Rows(np.arange(n + 1, dtype=np.int64) * columns, indices, x.detach().contiguous().numpy().ravel())


class Order:
    """Events by block of samples, source, step and sample.

    place: where an event stands in a row that holds the steps of a block's samples one after another, `stride` a sample:
    as many as there are steps, and as many more as the taps of the last step reach.
    """

    def __init__(self, rows: sparse.Rows, shape: tuple[int, int, int], first: torch.Tensor, taps: torch.Tensor) -> None:
        steps, samples, inputs = shape
        self.rows, self.reach = rows, int(first.max()) + taps.shape[2]
        self.stride = steps + self.reach - 1
        self.size = min(samples, max(1, TILE // self.stride))
        self.blocks = -(-samples // self.size)
        counts = np.diff(rows.indptr).reshape(steps, samples).sum(0)
        starts = np.add.reduceat(counts, np.arange(0, samples, self.size))
        starts = np.cumsum(starts) - starts
        at = np.zeros((self.blocks, inputs + 1), np.int64)
        place, amount = np.empty(len(rows.indices), np.int64), np.empty(len(rows.indices), taps.detach().numpy().dtype)
        threads.run(_order, threads.count(self.blocks, len(rows.indices)), rows.indptr, rows.indices, rows.values, samples,
                    self.size, self.stride, starts, at, place, amount)
        self.arrays = at, place, amount

    def forward(self, first: torch.Tensor, taps: torch.Tensor, bias: Array, y: torch.Tensor) -> None:
        _, samples, outputs = y.shape
        many = threads.count(self.blocks * -(-outputs // OUTPUTS), len(self.rows.indices) * taps[0].numel())
        if taps.shape[2] <= WIDTH * -(-self.reach // SPAN):  # fewer vectors an event, though they are stored
            threads.run(_scatter, many, *self.arrays, first.numpy(), taps.numpy(), bias, y.numpy(), self.size, self.stride)
            return
        indptr = np.zeros(len(self.rows.indptr), np.int64)
        columns, amount = np.empty(len(self.rows.indices), np.int32), np.empty(len(self.rows.indices), taps.numpy().dtype)
        _by_sample(self.rows.indptr, self.rows.indices, self.rows.values, samples, indptr, columns, amount)
        threads.run(_sweep, many, indptr, columns, amount, first.numpy(), taps.numpy(), bias, y.numpy(), self.size, self.reach)


@jit(nogil=True)
def _order(k: int, of: int, indptr: Array, indices: Array, values: Array, samples: int, size: int, stride: int, starts: Array,
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
        for t in range(steps):
            for b in range(low, high):
                for e in range(indptr[t * samples + b], indptr[t * samples + b + 1]):
                    to = cursor[indices[e]]
                    cursor[indices[e]] = to + 1
                    place[to] = (b - low) * stride + t
                    amount[to] = values[e]


def _run_at(context: Any, builder: Any, array: Any, value: Any, index: Any, width: int) -> tuple[Any, int]:
    """A pointer to `width` numbers of an array from an index on, and their alignment."""
    data = context.make_array(array)(context, builder, value).data
    vector = ir.VectorType(context.get_value_type(array.dtype), width)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer()), array.dtype.bitwidth // 8


def _number_at(context: Any, builder: Any, array: Any, value: Any, index: Any) -> Any:
    return builder.load(builder.gep(context.make_array(array)(context, builder, value).data, [index]))


def _times(builder: Any, factor: Any, run: Any) -> Any:
    """factor * run, element by element."""
    lanes = ir.VectorType(ir.IntType(32), run.type.count)
    none = ir.Constant(run.type, ir.Undefined)
    one = builder.insert_element(none, factor, ir.Constant(ir.IntType(32), 0))
    return builder.fmul(builder.shuffle_vector(one, none, ir.Constant(lanes, None)), run)


@intrinsic
def add_runs(_: Any, run: Any, q: Any, row: Any, shift: Any, place: Any, amount: Any, start: Any, stop: Any) -> Any:
    """row[place[e] + shift + m] += amount[e] run[q + m] for e from start to stop and m < WIDTH: a vector an event."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of = signature.args
        at, align = _run_at(context, builder, types_of[0], args[0], args[1], WIDTH)
        values = builder.load(at, align=align)
        with cgutils.for_range(builder, args[7], start=args[6]) as loop:
            here = builder.add(_number_at(context, builder, types_of[4], args[4], loop.index), args[3])
            to, _ = _run_at(context, builder, types_of[2], args[2], here, WIDTH)
            more = _times(builder, _number_at(context, builder, types_of[5], args[5], loop.index), values)
            builder.store(builder.fadd(builder.load(to, align=align), more), to, align=align)
        return context.get_dummy_value()

    return types.void(run, q, row, shift, place, amount, start, stop), codegen


@intrinsic
def sum_runs(_: Any, run: Any, q: Any, row: Any, shift: Any, place: Any, amount: Any, start: Any, stop: Any) -> Any:
    """run[q + m] += amount[e] row[place[e] + shift + m] for e from start to stop and m < WIDTH, in one register."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of = signature.args
        to, align = _run_at(context, builder, types_of[0], args[0], args[1], WIDTH)
        total = cgutils.alloca_once_value(builder, builder.load(to, align=align))
        with cgutils.for_range(builder, args[7], start=args[6]) as loop:
            here = builder.add(_number_at(context, builder, types_of[4], args[4], loop.index), args[3])
            at, _ = _run_at(context, builder, types_of[2], args[2], here, WIDTH)
            more = _times(builder, _number_at(context, builder, types_of[5], args[5], loop.index),
                          builder.load(at, align=align))
            builder.store(builder.fadd(builder.load(total), more), total)
        builder.store(builder.load(total), to, align=align)
        return context.get_dummy_value()

    return types.void(run, q, row, shift, place, amount, start, stop), codegen


@intrinsic
def sweep(_: Any, line: Any, runs: Any, first: Any, indptr: Any, indices: Any, amount: Any, start: Any, stop: Any) -> Any:
    """line[first + r] = the taps due at step r of the rows start .. stop - 1, the run of each event's source begun at its step.

    What is still due is a run of SPAN numbers in registers, which moves on by one a step: nothing is stored but the sum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        types_of = signature.args
        word, number = ir.IntType(64), context.get_value_type(types_of[0].dtype)
        vector = ir.VectorType(number, SPAN)
        none = ir.Constant(vector, None)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), SPAN), list(range(1, SPAN + 1)))
        due = cgutils.alloca_once_value(builder, none)
        with cgutils.for_range(builder, args[7], start=args[6]) as rows:
            low = _number_at(context, builder, types_of[3], args[3], rows.index)
            high = _number_at(context, builder, types_of[3], args[3], builder.add(rows.index, word(1)))
            with cgutils.for_range(builder, high, start=low) as loop:
                j = builder.sext(_number_at(context, builder, types_of[4], args[4], loop.index), word)
                at, align = _run_at(context, builder, types_of[1], args[1], builder.mul(j, word(SPAN)), SPAN)
                more = _times(builder, _number_at(context, builder, types_of[5], args[5], loop.index),
                              builder.load(at, align=align))
                builder.store(builder.fadd(builder.load(due), more), due)
            here = builder.add(args[2], builder.sub(rows.index, args[6]))
            to = builder.gep(context.make_array(types_of[0])(context, builder, args[0]).data, [here])
            held = builder.load(due)
            now = builder.extract_element(held, ir.Constant(ir.IntType(32), 0))
            builder.store(builder.fadd(builder.load(to), now), to)
            builder.store(builder.shuffle_vector(held, none, lanes), due)
        return context.get_dummy_value()

    return types.void(line, runs, first, indptr, indices, amount, start, stop), codegen


@jit(nogil=True)
def _by_sample(indptr: Array, indices: Array, values: Array, samples: int, out: Array, columns: Array, amount: Array) -> None:
    """Rows t B + b as rows b T + t."""
    steps, n = (len(indptr) - 1) // samples, 0
    for b in range(samples):
        for t in range(steps):
            for e in range(indptr[t * samples + b], indptr[t * samples + b + 1]):
                columns[n], amount[n] = indices[e], values[e]
                n += 1
            out[b * steps + t + 1] = n


@jit(nogil=True)
def _sweep(k: int, of: int, indptr: Array, indices: Array, amount: Array, first: Array, taps: Array, bias: Array, y: Array,
           size: int, reach: int) -> None:
    """Forward where delays are short: all taps of an event's synapse, to an output that waits in registers."""
    steps, samples, outputs = y.shape
    groups, width = (outputs + OUTPUTS - 1) // OUTPUTS, taps.shape[2]
    blocks = (samples + size - 1) // size
    stride = steps + SPAN * ((reach + SPAN - 1) // SPAN)
    tile, runs = np.empty((OUTPUTS, size * stride), y.dtype), np.empty(taps.shape[1] * SPAN, y.dtype)
    for task in range(k * groups * blocks // of, (k + 1) * groups * blocks // of):
        block, low = task // groups * size, task % groups * OUTPUTS
        high, after = min(low + OUTPUTS, outputs), min(block + size, samples)
        tile[:] = 0
        for i in range(low, high):
            for span in range(0, reach, SPAN):
                runs[:] = 0
                for j in range(taps.shape[1]):
                    for m in range(max(0, span - first[i, j]), min(width, span + SPAN - first[i, j])):
                        runs[j * SPAN + first[i, j] + m - span] = taps[i, j, m]
                for b in range(block, after):
                    sweep(tile[i - low], runs, (b - block) * stride + span, indptr, indices, amount, b * steps,  # type: ignore[call-arg]
                          (b + 1) * steps)
        for b in range(block, after):
            for t in range(steps):
                p, row = (b - block) * stride + t, y[t, b, low:high]
                for i in range(row.size):
                    row[i] = tile[i, p] + bias[low + i]


@jit(nogil=True)
def _scatter(k: int, of: int, at: Array, place: Array, amount: Array, first: Array, taps: Array, bias: Array, y: Array,
             size: int, stride: int) -> None:
    """Forward where delays are long and taps few: tile after tile of outputs and samples, with time innermost."""
    steps, samples, outputs = y.shape
    groups = (outputs + OUTPUTS - 1) // OUTPUTS
    tasks = groups * len(at)
    tile = np.empty((OUTPUTS, size * stride), y.dtype)
    for task in range(k * tasks // of, (k + 1) * tasks // of):
        block, low = task // groups, task % groups * OUTPUTS
        high = min(low + OUTPUTS, outputs)
        tile[:] = 0
        for i in range(low, high):
            for j in range(taps.shape[1]):
                for q in range(0, taps.shape[2], WIDTH):
                    add_runs(taps[i, j], q, tile[i - low], first[i, j] + q, place, amount, at[block, j], at[block, j + 1])  # type: ignore[call-arg]
        for b in range(block * size, min((block + 1) * size, samples)):
            for t in range(steps):
                p, row = (b - block * size) * stride + t, y[t, b, low:high]
                for i in range(row.size):
                    row[i] = tile[i, p] + bias[low + i]


@jit(nogil=True)
def _gather(k: int, of: int, at: Array, place: Array, amount: Array, first: Array, g: Array, g_taps: Array, size: int,
            stride: int) -> None:
    """The gradient of the taps: every event reads a run of its outputs' gradients."""
    steps, samples, outputs = g.shape
    groups = (outputs + OUTPUTS - 1) // OUTPUTS
    tile = np.zeros((OUTPUTS, size * stride), g.dtype)
    for group in range(k * groups // of, (k + 1) * groups // of):
        low, high = group * OUTPUTS, min((group + 1) * OUTPUTS, outputs)
        g_taps[low: high] = 0
        for block in range(len(at)):
            for b in range(block * size, min((block + 1) * size, samples)):
                for t in range(steps):
                    p, row = (b - block * size) * stride + t, g[t, b, low:high]
                    for i in range(row.size):
                        tile[i, p] = row[i]
            for i in range(low, high):
                for j in range(g_taps.shape[1]):
                    for q in range(0, g_taps.shape[2], WIDTH):
                        sum_runs(g_taps[i, j], q, tile[i - low], first[i, j] + q, place, amount, at[block, j],  # type: ignore[call-arg]
                                 at[block, j + 1])
