"""The linear layer, y = W x + b for many rows x, on rows that are mostly zeros: events, and the spikes of a layer before.

Rows are kept without their zeros (CSR), and the work is in proportion to what is left. Each sum runs over its events
in their order, so results are the same bits for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from snnsim.kernel import NoAlias, jit
from snnsim.nn import threads
from snnsim.nn.compiling import uncompiled
from snnsim.nn.pool import take

Array = NDArray[Any]

SHARE = 0.25  # of values that are not zero; up to it the sparse product is the faster one (`python -m benchmarks sparse`)
OUTPUTS = 32  # with fewer, finding the zeros takes longer than the product
SMALL = 1 << 18  # products; below it torch is done before we have begun
BLOCK = 1 << 16  # values of a gradient that stay in the second-level cache while their rows are gone through
ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


@dataclass(frozen=True, eq=False)
class Rows:
    """Row r holds values[e] at column indices[e] for indptr[r] <= e < indptr[r + 1]; repeated columns add up."""

    indptr: Array
    indices: Array
    values: Array

    def __len__(self) -> int:
        return len(self.indptr) - 1


def found(x: torch.Tensor) -> Rows | None:
    """The tensor [rows, columns] without its zeros, or None when more than SHARE of it is not zero."""
    array, n = x.detach().contiguous().numpy(), threads.count(len(x), x.numel())
    indptr = np.zeros(len(x) + 1, np.int64)
    threads.run(_count, n, array, indptr)
    np.cumsum(indptr, out=indptr)
    events = int(indptr[-1])
    if events > SHARE * x.numel():
        return None
    # one more than needed: `_fill` writes each value before it knows whether it counts
    indices, values = take((events + 1,), torch.int32).numpy(), take((events + 1,), x.dtype).numpy()
    threads.run(_fill, n, array, indptr, indices, values)
    return Rows(indptr, indices[:-1], values[:-1])


@uncompiled
def linear(x: torch.Tensor | Rows, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """y = x W^T + b, [rows, outputs], for x [rows, inputs] and weight [outputs, inputs].

    A tensor that holds few enough values other than zero is taken without its zeros, which gives the same up to the
    order of the sums, where the weights are finite: of an infinite weight and a zero torch's sum is NaN. Which way is taken
    depends on sizes, types and values, never on threads. Gradients are not differentiated again where it is ours.
    """
    if isinstance(x, Rows):
        return _Linear.apply(None, x, weight, bias)  # type: ignore[no-untyped-call, no-any-return]
    if not _ours(x, weight):
        return functional.linear(x, weight, bias)
    rows = found(x) if len(weight) >= OUTPUTS else None
    return _Linear.apply(x, rows, weight, bias)  # type: ignore[no-untyped-call, no-any-return]


def _ours(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return (x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64) and x.device.type == "cpu"
            and x.numel() * len(weight) >= SMALL and not torch.is_autocast_enabled("cpu"))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor | None, rows: Rows | None, weight: torch.Tensor,
                bias: torch.Tensor | None) -> torch.Tensor:
        ctx.rows = rows
        ctx.save_for_backward(weight, None if rows else x)
        if rows is None:
            assert x is not None
            return _product(x, weight, bias)
        outputs, inputs = weight.shape
        by_input = take((inputs, outputs), weight.dtype).copy_(weight.detach().t())
        y = take((len(rows), outputs), weight.dtype)
        threads.run(_linear, threads.count(len(rows), y.numel() + len(rows.indices) * outputs), rows.indptr, rows.indices,
                    rows.values, by_input.numpy(), bias_array(bias, weight), y.numpy())
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, x = ctx.saved_tensors
        rows: Rows | None = ctx.rows
        g = g.contiguous()
        g_x = _product(g, weight.t().contiguous(), None) if ctx.needs_input_grad[0] else None
        g_weight = g_bias = None
        if ctx.needs_input_grad[2]:
            g_weight = torch.mm(g.t(), x) if rows is None else gradient(rows, g, weight.shape[1])
        if ctx.needs_input_grad[3]:
            g_bias = column_sums(g)
        return g_x, None, g_weight, g_bias


def column_sums(g: torch.Tensor) -> torch.Tensor:
    """The sum of each column of g [rows, outputs], formed in float64."""
    sums = np.zeros(g.shape[1])
    threads.run(_add_rows, threads.count(g.shape[1], g.numel()), g.numpy(), sums)
    return torch.from_numpy(sums).to(g.dtype)


def gradient(rows: Rows, g: torch.Tensor, inputs: int) -> torch.Tensor:
    """The sum over rows r of the outer product of g[r] and row r: [outputs, inputs], for g [rows, outputs]."""
    outputs = g.shape[1]
    by_input = take((inputs, outputs), g.dtype)
    threads.run(_gradient, threads.count(inputs, len(rows.indices) * outputs), max(64, BLOCK // outputs), rows.indptr,
                rows.indices, rows.values, g.numpy(), by_input.numpy())
    return take((outputs, inputs), g.dtype).copy_(by_input.t())


def bias_array(bias: torch.Tensor | None, weight: torch.Tensor) -> Array:
    """The bias, or zeros, one for each output."""
    array: Array = (weight.new_zeros(len(weight)) if bias is None else bias).detach().numpy()
    return array


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W^T + b. oneDNN's product takes half the time of the one that torch calls where the processor is not Intel's."""
    if ONEDNN is None or x.dtype != torch.float32:
        return functional.linear(x, weight, bias)
    product: torch.Tensor = ONEDNN(x.detach(), weight.detach(), None if bias is None else bias.detach(), "none", [], "")
    return product


@jit(nogil=True)
def _count(k: int, of: int, x: Array, counts: Array) -> None:
    for r in range(k * len(x) // of, (k + 1) * len(x) // of):
        row, n = x[r], 0
        for i in range(row.size):
            n += row[i] != 0
        counts[r + 1] = n


@jit(nogil=True)
def _fill(k: int, of: int, x: Array, indptr: Array, indices: Array, values: Array) -> None:
    after = (k + 1) * len(x) // of
    for r in range(k * len(x) // of, after):
        row, n = x[r], indptr[r]
        if indptr[r + 1] < indptr[after]:  # without a branch, and one too many, which a later row overwrites
            for i in range(row.size):
                indices[n], values[n] = i, row[i]
                n += row[i] != 0
        else:  # no value of this thread follows: what does belongs to another one
            for i in range(row.size):
                if row[i] != 0:
                    indices[n], values[n] = i, row[i]
                    n += 1


@jit(pipeline_class=NoAlias)
def _add(y: Array, a: Array, p: float) -> None:
    for i in range(y.size):
        y[i] += p * a[i]


@jit(pipeline_class=NoAlias)
def _add_four(y: Array, a: Array, b: Array, c: Array, d: Array, p: float, q: float, r: float, s: float) -> None:
    for i in range(y.size):  # as four calls of _add, bit for bit, with one pass over y
        y[i] = (((y[i] + p * a[i]) + q * b[i]) + r * c[i]) + s * d[i]


@jit(nogil=True)
def _sum(y: Array, of: Array, at: Array, by: Array, start: int, end: int) -> None:
    """y += by[e] of[at[e]] for e from start to end."""
    e = start
    while e + 4 <= end:
        _add_four(y, of[at[e]], of[at[e + 1]], of[at[e + 2]], of[at[e + 3]], by[e], by[e + 1], by[e + 2], by[e + 3])
        e += 4
    while e < end:
        _add(y, of[at[e]], by[e])
        e += 1


@jit(nogil=True)
def _linear(k: int, of: int, indptr: Array, indices: Array, values: Array, by_input: Array, bias: Array,
            y: Array) -> None:
    for r in range(k * len(y) // of, (k + 1) * len(y) // of):
        for o in range(y.shape[1]):
            y[r, o] = bias[o]
        _sum(y[r], by_input, indices, values, indptr[r], indptr[r + 1])


@jit(nogil=True)
def _gradient(k: int, of: int, block: int, indptr: Array, indices: Array, values: Array, g: Array, by_input: Array) -> None:
    """Block after block of rows, and in it column after column: neither weights nor rows pass through the cache twice."""
    first, after = k * len(by_input) // of, (k + 1) * len(by_input) // of
    by_input[first:after] = 0.0
    most = 0
    for low in range(0, len(g), block):
        most = max(most, indptr[min(low + block, len(g))] - indptr[low])
    at, rows, amounts = np.empty(after - first + 1, np.int64), np.empty(most, np.int32), np.empty(most, values.dtype)
    for low in range(0, len(g), block):
        high = min(low + block, len(g))
        at[:] = 0
        for e in range(indptr[low], indptr[high]):
            if first <= indices[e] < after:
                at[indices[e] - first + 1] += 1
        for i in range(after - first):
            at[i + 1] += at[i]
        for r in range(low, high):
            for e in range(indptr[r], indptr[r + 1]):
                if first <= indices[e] < after:
                    to = at[indices[e] - first]
                    at[indices[e] - first] = to + 1
                    rows[to], amounts[to] = r, values[e]
        start = 0
        for i in range(after - first):
            _sum(by_input[first + i], g, rows, amounts, start, at[i])
            start = at[i]


@jit(nogil=True)
def _add_rows(k: int, of: int, g: Array, total: Array) -> None:
    low, high = k * len(total) // of, (k + 1) * len(total) // of
    for r in range(len(g)):
        for o in range(low, high):
            total[o] += g[r, o]
