"""Nets trained on real recordings, in whole numbers: Lava gives the executor's spikes, u and v."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from snnsim import datasets, interop, lower
from snnsim.hardware import integer
from snnsim.hardware.loihi import process
from snnsim.interop.proof import counts_of
from snnsim.train import build, fit, load_recipe, whole_net
from tests.test_lava import PYTHON, needs_lava

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.slow
@needs_lava
@pytest.mark.parametrize(("recipe", "folder"), [("nmnist", "nmnist"), ("methods/speakers", "fsdd")])
def test_a_net_trained_on_real_recordings_spikes_alike_in_lava(recipe: str, folder: str, tmp_path: Path) -> None:
    if not (DATA / folder).exists():
        pytest.skip(f"needs ../shared/data/{folder} beside the checkout")
    known = load_recipe(recipe)
    train, test = datasets.load(known.data.name, DATA / folder, **known.data.options)
    few = train[np.random.default_rng(0).permutation(len(train))[:256].tolist()]
    torch.manual_seed(0)
    net = build(known.layers)
    options = {"dt": known.data.dt, "steps": known.data.steps, "progress": False}
    fit(net, few, epochs=2, learning_rate=3e-3, **options)
    whole = whole_net(lower(net), bits=4)
    fit(whole, few, epochs=1, learning_rate=5e-4, **options)
    network = lower(whole)
    process.write(integer.quantize(network, bits=4), tmp_path / "net.json")
    samples = [test[i].events for i in range(0, len(test), len(test) // 3)][:3]
    [report] = interop.verify_lava([(tmp_path / "net.json", counts_of(network, samples).astype(int))], python=PYTHON)
    assert report.exact and not any(o["sums"] for o in report.overflows.values()), str(report)
    assert all(x.expected > 100 for x in report.layers[:-1])
