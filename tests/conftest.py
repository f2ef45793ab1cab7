"""What holds for every test."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: see snnsim.cli.app.main


@pytest.fixture
def one_thread():
    """Training of small nets, which threads only slow down where others want the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[0, 50_000])
def most_shared(request, monkeypatch):
    """Networks laid out as large ones, whose parts have rows of their own, and as small ones, which have one row."""
    from snnsim.engine import layout

    monkeypatch.setattr(layout, "MOST_SHARED", request.param)
