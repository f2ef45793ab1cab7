"""Buffers come filled with NaN, so that nothing is read before it is written."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch


def poison(*modules: str) -> Any:
    """A fixture of every test in its file: what these modules of snnsim.nn take from the pool holds NaN, or -1. The number of
    threads is afterwards what it was."""
    @pytest.fixture(autouse=True)
    def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        def take(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.full(tuple(shape), torch.nan if dtype.is_floating_point else -1, dtype=dtype)

        for module in modules:
            monkeypatch.setattr(f"snnsim.nn.{module}.take", take)
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)

    return poisoned
