"""Batch norm is torch's, with sums that do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import snnsim.nn as nn


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def step(norm: Any, x: torch.Tensor, own: bool) -> list[torch.Tensor]:
    """Two steps of training: out, every gradient and buffer of the second."""
    x = x.detach().requires_grad_()
    for _ in range(2):
        norm.zero_grad()
        x.grad = None
        y = norm(x) if own else type(norm).__base__.forward(norm, x.flatten(0, 1)).view_as(x)
        y.backward(torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(x.dtype))
    assert x.grad is not None
    return [y.detach(), x.grad, *[p.grad for p in norm.parameters()], *norm.buffers()]


def values(shape: tuple[int, ...], last: bool, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3.0 + 50.0).to(dtype)
    return x.movedim(2, -1).contiguous().movedim(-1, 2) if last else x


def made(shape: tuple[int, ...], dtype: torch.dtype, **options: Any) -> Any:
    torch.manual_seed(2)
    norm = (nn.BatchNorm1d if len(shape) == 3 else nn.BatchNorm2d)(shape[2], **options).to(dtype)
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.linspace(0.5, 2.0, len(p)))
    return norm


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False},
                                     {"eps": 0.1}], ids=str)
@pytest.mark.parametrize("shape", [(1, 2, 1), (2, 1, 33), (7, 5, 31), (257, 3, 1), (3, 2, 5, 4, 7), (1, 1, 33, 1, 2)], ids=str)
def test_it_is_torchs(shape: tuple[int, ...], options: dict[str, Any], last: bool) -> None:
    # torch gets contiguous ones: its gradient of (1, 33, 1, 2) with channels last, of which strides do not tell, is wrong
    got, want = [step(made(shape, torch.float64, **options), values(shape, last and own), own) for own in (True, False)]
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_float32_is_as_close_as_its_values() -> None:
    shape = (40, 8, 6, 9, 11)
    x = values(shape, True, torch.float32)
    got, want = step(made(shape, torch.float32), x, True), step(made(shape, torch.float64), x.double(), False)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-5, atol=1e-5 * float(b.abs().max()))


@pytest.mark.parametrize("shape", [(40, 16, 33), (20, 16, 8, 31, 30)], ids=str)
def test_same_bits_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    results = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        results.append(step(made(shape, torch.float32), values(shape, True, torch.float32), True))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_halves_are_computed_in_float32() -> None:
    x = values((5, 4, 3), False, torch.float32).bfloat16()
    norm = made((5, 4, 3), torch.float32)
    assert norm(x).dtype == torch.bfloat16
    torch.testing.assert_close(norm(x).float(), norm(x.float()), rtol=1e-2, atol=1e-2)


def test_what_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="batch norm of 3 channels got 4"):
        nn.BatchNorm1d(3)(torch.zeros(2, 2, 4))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training, got 1"):
        nn.BatchNorm1d(3)(torch.zeros(1, 1, 3))
