"""Pools in channels-last memory equal torch's, forward and backward, and the layout stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

import snnsim.nn as nn
from snnsim.nn.pooling import pool2d


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("kernel", "stride"), [((2, 2), (2, 2)), ((3, 2), (2, 3)), ((2, 3), (1, 1)), ((1, 2), (4, 2))])
@pytest.mark.parametrize("mean", [False, True])
def test_equals_torch(kernel: tuple[int, int], stride: tuple[int, int], mean: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 7, 13, 11, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    divisor = kernel[0] * kernel[1] if mean else 1
    results = []
    for pool in (pool2d(x, kernel, stride, divisor), functional.avg_pool2d(x, kernel, stride, divisor_override=divisor)):
        results.append((pool, torch.autograd.grad((pool * pool).sum(), x)[0]))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(*(r[1] for r in results), rtol=1e-6 if dtype is torch.float32 else 1e-14, atol=1e-6)
    assert results[0][0].is_contiguous(memory_format=torch.channels_last)


def test_same_bits_for_any_number_of_threads() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 30, 16, 34, 34).movedim(2, 4).contiguous().movedim(4, 2).requires_grad_()
    results = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        y = nn.AvgPool2d(3, 2)(x)
        results.append((y, torch.autograd.grad(y.square().sum(), x)[0]))
    for y, g in results[1:]:
        assert torch.equal(y, results[0][0]) and torch.equal(g, results[0][1])
