"""The sparse linear layer gives what the dense one gives, whatever the values, and the same bits for any threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import snnsim.nn as nn
from snnsim.nn import sparse

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def draw(count: int, inputs: int, share: float, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    x = (rng.random((count, inputs)) < share) * rng.normal(1.0, 0.5, (count, inputs))
    return torch.from_numpy(x).to(dtype)


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0.0, atol=TOLERANCE[b.dtype] * max(1.0, float(b.abs().max())))


def both(x: torch.Tensor, outputs: int, bias: bool, seed: int = 0) -> None:
    """Forward and gradients of the sparse product against torch's own."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, x.shape[1], generator=g, dtype=x.dtype)
    offset = torch.randn(outputs, generator=g, dtype=x.dtype) if bias else None
    given = sparse.found(x)
    assert given is not None
    results = []
    for taken in (given, None):
        leaves = [t.clone().requires_grad_() for t in (x, weight, *(() if offset is None else (offset,)))]
        if taken is None:
            y = functional.linear(*leaves)
        else:
            y = sparse._Linear.apply(leaves[0], taken, leaves[1], leaves[2] if bias else None)  # type: ignore[no-untyped-call]
        seeds = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
        results.append([y.detach(), *torch.autograd.grad(y, leaves, seeds)])
    for a, b in zip(*results, strict=True):
        close(a, b)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.floats(0.0, 0.2), st.booleans(),
       st.sampled_from([torch.float32, torch.float64]), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_sparse_equals_dense(count: int, inputs: int, outputs: int, share: float, bias: bool, dtype: torch.dtype,
                             seed: int) -> None:
    x = draw(count, inputs, share, dtype, seed)
    if np.count_nonzero(x.numpy()) <= sparse.SHARE * x.numel():
        both(x, outputs, bias, seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_many_rows_and_blocks(dtype: torch.dtype) -> None:
    both(draw(5003, 129, 0.1, dtype), 65, True)


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0.0, 0.25), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_found_keeps_every_value_in_order(count: int, inputs: int, share: float, seed: int) -> None:
    x = draw(count, inputs, share, torch.float32, seed)
    kept = sparse.found(x)
    r, c = np.nonzero(x.numpy())
    if len(r) > sparse.SHARE * x.numel():
        assert kept is None
        return
    assert kept is not None and len(kept) == count
    assert np.array_equal(np.repeat(np.arange(count), np.diff(kept.indptr)), r)
    assert np.array_equal(kept.indices, c) and np.array_equal(kept.values, x.numpy()[r, c])


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_part_writes_nothing_of_another_in_whatever_order_they_run(count: int, parts: int, silent: int, seed: int) -> None:
    x = draw(count, 17, 0.2, torch.float32, seed).numpy()
    x[np.random.default_rng(seed).integers(0, count, silent)] = 0.0
    r, c = np.nonzero(x)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(x, axis=1))])
    indices, values = np.empty(len(c) + 1, np.int32), np.empty(len(c) + 1, np.float32)
    for k in reversed(range(parts)):
        sparse._fill(k, parts, x, indptr, indices, values)
    assert np.array_equal(indices[:-1], c) and np.array_equal(values[:-1], x[r, c])


def test_not_a_number_is_found() -> None:
    x = torch.zeros(50, 40)
    x[3, 7] = torch.nan
    kept = sparse.found(x)
    assert kept is not None and kept.indices.tolist() == [7]


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_the_layer_equals_torch_on_either_side_of_the_share(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(40 * 30, 100, share, torch.float32).view(40, 30, 100).requires_grad_()
    layer, results, ways = nn.Linear(100, 90), [], []
    monkeypatch.setattr(sparse, "found", lambda x, found=sparse.found: ways.append(found(x)) or ways[-1])
    for apply in (layer, lambda x: functional.linear(x, layer.weight, layer.bias)):
        y = apply(x)
        results.append([y.detach(), *torch.autograd.grad((y * y).sum(), [x, layer.weight, layer.bias])])
    for a, b in zip(*results, strict=True):
        close(a, b)
    assert len(ways) == 1 and (ways[0] is None) == (share > sparse.SHARE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    x, weight = draw(3001, 211, 0.1, dtype), torch.randn(67, 211, dtype=dtype, generator=torch.Generator().manual_seed(0))
    kept, results = sparse.found(x), []
    assert kept is not None
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        again = sparse.found(x)
        assert again is not None and np.array_equal(again.indices, kept.indices)
        w, b = weight.clone().requires_grad_(), torch.ones(67, dtype=dtype, requires_grad=True)
        y = sparse.linear(kept, w, b)
        results.append([y.detach(), *torch.autograd.grad(y.square().sum(), [w, b])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
