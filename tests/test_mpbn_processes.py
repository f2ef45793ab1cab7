"""The statistics of a membrane's norm are those of all processes (card 2): two do what one does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from snnsim.neurons import LIF
from snnsim.nn.processes import computing
from snnsim.train.processes import part
from tests.test_mpbn import drive, made
from tests.together import together

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="forkserver"), pytest.mark.slow]


def trained(samples: slice) -> dict[str, torch.Tensor]:
    """One step of training on these of five samples; the spikes and their gradients weigh the same everywhere."""
    m = made(LIF(tau=4.0), 7)
    x = drive(6, 5, 7)[:, samples].clone().requires_grad_()
    out, (end,) = m(x)
    weights = drive(6, 5, 7, seed=9)[:, samples]
    grads = torch.autograd.grad((out * weights).sum() + end.sum(), [x, m.weight, m.bias])
    return {"out": out.detach(), **dict(zip(("x", "weight", "bias"), grads, strict=True)),
            "mean": m.running_mean, "var": m.running_var}


def child(number: int, folder: str) -> None:
    mine = part(5, (number, 2))
    with computing(mine):
        torch.save(trained(mine.samples), Path(folder, f"{number}.pt"))


def test_card2_statistics_are_those_of_all_processes(tmp_path: Path) -> None:
    assert together(2, child, str(tmp_path), folder=tmp_path) == ["", ""]
    whole, (first, second) = trained(slice(None)), (torch.load(tmp_path / f"{k}.pt", weights_only=True) for k in range(2))
    assert len(first["out"][0]) == 2 and len(second["out"][0]) == 3
    for name, dim in (("out", 1), ("x", 1)):
        torch.testing.assert_close(torch.cat([first[name], second[name]], dim), whole[name], rtol=1e-11, atol=1e-11)
    for name in ("weight", "bias"):
        torch.testing.assert_close(first[name] + second[name], whole[name], rtol=1e-11, atol=1e-11)
    for name in ("mean", "var"):
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], whole[name], rtol=1e-12, atol=1e-12)
