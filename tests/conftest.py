"""What holds for every test."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: see snnsim.cli.app.main


@pytest.fixture(params=[0, 50_000])
def most_shared(request, monkeypatch):
    """Networks laid out as large ones, whose parts have rows of their own, and as small ones, which have one row."""
    from snnsim.engine import layout

    monkeypatch.setattr(layout, "MOST_SHARED", request.param)
