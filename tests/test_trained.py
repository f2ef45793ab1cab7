"""A net trained on real recordings gives the same spikes in torch and, lowered, in the engine."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snnsim import datasets, engine, lower
from snnsim.nn import Neuron
from snnsim.train import build, fit, load_recipe
from snnsim.train.evaluation import bin_batch

DATA = Path(__file__).parents[2] / "shared" / "data" / "nmnist"
TIE = 1e-4  # of the threshold 1: what float32 sums of some hundred terms of order 1 may differ by


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data/nmnist beside the checkout")
def test_torch_and_the_engine_agree_on_real_recordings_in_float32():
    """Every prediction equal, at least 99.99 % of the spikes, and what comes first apart is a tie at the threshold."""
    recipe = load_recipe("nmnist")
    train, test = datasets.load("nmnist", root=DATA, **recipe.data.options)
    torch.manual_seed(0)
    net = build(recipe.layers)
    fit(net, train.load(), dt=recipe.data.dt, epochs=4, learning_rate=3e-3)
    network = lower(net)
    assert network.dtype == np.float32
    batch = bin_batch([r.events for r in test], test, net.time)
    torch_spikes, logits = spikes_of(net, batch)
    layers = [p.name for p in network.populations[1:-1]]
    for mode in ("event", "clock"):
        result = engine.run(network, batch, mode=mode, record=layers)
        np.testing.assert_array_equal(result.prediction, logits.argmax(1))
        ours = {name: result.spikes[name].dense() for name in layers}
        total = sum(int(s.sum()) for s in torch_spikes)
        apart = {name: theirs != ours[name] for name, theirs in zip(layers, torch_spikes, strict=True)}
        different = sum(int(a.sum()) for a in apart.values())
        print(f"{mode}: {different} of {total} spikes differ")
        assert all(s.sum() > 0 for s in ours.values())
        assert different <= 1e-4 * total
        for sample in range(len(test)):
            first = min(((int(np.argmax(a[:, sample].reshape(len(a), -1).any(1))), depth, name)
                         for depth, (name, a) in enumerate(apart.items()) if a[:, sample].any()), default=None)
            if first is None:
                continue
            step, _, name = first  # the earliest step; the first layer of it, whose input was the same in both
            where = apart[name][step, sample]
            theta = network.population(name).parameters["theta"]
            margin = result.membranes[name][step, sample] + ours[name][step, sample] * theta - theta  # soft reset undone
            assert np.abs(margin[where]).max() < TIE


def spikes_of(net, batch):
    """The spikes [T, B, ...] of every hidden layer, and the readout's scores [B, classes]."""
    seen = []
    hooks = [m.register_forward_hook(lambda m, i, o: seen.append(o[0].numpy())) for m in net.modules()
             if isinstance(m, Neuron) and m.rule.fires]
    with torch.no_grad():
        out, _ = net(batch)
    for h in hooks:
        h.remove()
    return seen, out.mean(0)
