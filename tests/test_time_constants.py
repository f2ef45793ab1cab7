"""Time constants that differ from neuron to neuron, and that are learned: parametric LIF."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import snnsim
import snnsim.nn as nn
from snnsim import engine
from snnsim.network import Population, TimeBase
from snnsim.neurons import LIF
from snnsim.neurons.leak import BY_RATE
from snnsim.neurons.time_constants import time_constants
from snnsim.nn.eager import eager
from snnsim.train import build, fit
from tests.test_train import sides


def test_spacings() -> None:
    log = time_constants(5, low=1.0, high=10_000.0)
    np.testing.assert_allclose(log, [1.0, 10.0, 100.0, 1000.0, 10_000.0])
    for spacing, mean in (("loguniform", 99.0 / np.log(100.0)), ("uniform", 50.5)):
        drawn = time_constants((40, 50), spacing=spacing, low=1.0, high=100.0, seed=1)
        assert drawn.shape == (40, 50) and drawn.min() >= 1.0 and drawn.max() <= 100.0
        assert drawn.mean() == pytest.approx(mean, rel=0.05)
        again, other = (time_constants((40, 50), spacing=spacing, low=1.0, high=100.0, seed=s) for s in (1, 2))
        assert np.array_equal(drawn, again) and not np.array_equal(drawn, other)
    gamma = time_constants(20_000, spacing="gamma", mean=20.0, order=3.0)
    assert gamma.mean() == pytest.approx(20.0, rel=0.02) and gamma.std() == pytest.approx(20.0 / 3.0**0.5, rel=0.03)
    bounded = time_constants(1000, spacing="gamma", mean=20.0, low=5.0, high=60.0)
    assert bounded.min() > 5.0 and bounded.max() <= 60.0


@pytest.mark.parametrize(("options", "sentence"), [
    ({"spacing": "linear"}, "spacing must be one of 'log', 'loguniform', 'uniform', 'gamma', got 'linear'"),
    ({"low": 1.0}, "spacing='log' needs low and high, in ms, got low=1.0, high=None"),
    ({"low": 5.0, "high": 1.0}, "high must be at least 5, got 1.0"),
    ({"low": 0.0, "high": 1.0}, "low must be above 0, got 0.0"),
    ({"spacing": "gamma"}, "spacing='gamma' needs mean, in ms, got mean=None"),
    ({"spacing": "gamma", "mean": 1.0, "low": 500.0}, "hardly ever falls in 500 .. inf: move low, high or mean"),
    ({"mean": 5.0}, "mean belongs to spacing='gamma', not to 'log'"),
    ({"low": 1.0, "high": 2.0, "seed": -1}, "seed must be a whole number, at least 0, got -1"),
])
def test_impossible_time_constants_are_refused(options, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        time_constants(4, **options)
    with pytest.raises(ValueError, match="shape must be positive whole numbers"):
        time_constants((4, 0), low=1.0, high=2.0)


def test_a_neuron_with_an_array_compares_hashes_and_refuses() -> None:
    array = time_constants(3, low=1.0, high=4.0)
    assert LIF(tau=array) == LIF(tau=[1.0, 2.0, 4.0]) != LIF(tau=4.0) and hash(LIF(tau=array)) == hash(LIF(tau=[1.0, 2.0, 4.0]))
    assert "<3 values, 1 .. 4>" in repr(LIF(tau=array))
    array[0] = -1.0  # the neuron holds its own
    np.testing.assert_allclose(LIF(tau=[1.0, np.inf]).step_parameters(1.0)["decay"], [np.exp(-1.0), 1.0])
    for bad, sentence in ((array, "tau must be above 0"), ([], "tau must hold at least one value"),
                          ([1.0, np.nan], "tau must be finite")):
        with pytest.raises(ValueError, match=sentence):
            LIF(tau=bad)
    layer = nn.Neuron(LIF(tau=[1.0, 2.0]), dt=1.0)
    with pytest.raises(ValueError, match=r"decay of shape \(2,\) does not fit neurons of shape \(3,\)"):
        layer(torch.zeros(1, 1, 3))


def test_each_neuron_forgets_at_its_own_speed() -> None:
    taus = time_constants(4, low=2.0, high=200.0)
    x = torch.zeros(50, 1, 4, dtype=torch.float64)
    x[0] = 0.5
    _, (v,) = nn.Neuron(LIF(tau=taus), dt=1.0)(x)
    np.testing.assert_allclose(v[0], 0.5 * np.exp(-49.0 / taus), rtol=1e-12)


def test_learned_lowered_saved_and_run_with_equal_spikes(tmp_path) -> None:
    torch.manual_seed(0)
    neurons = nn.Neuron(LIF(tau=time_constants(20, low=2.0, high=300.0)), learn=("decay",), shape=(20,))
    net = nn.Sequential(nn.Linear(12, 20), neurons, nn.Linear(20, 3), nn.Readout()).double()
    nn.set_dt(net, 1.0)
    x = (torch.rand(60, 4, 12, generator=torch.Generator().manual_seed(1)) < 0.3).double() * 2.0
    before = net[1].step_parameters()["decay"].detach().clone()
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x)[0].mean(0), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    moved = (net[1].step_parameters()["decay"].detach() - before).abs()
    assert (moved > 0).sum() > 15 and len(torch.unique(moved)) > 15
    network = snnsim.lower(net, time=TimeBase(1.0), input_shape=(12,))
    snnsim.save_network(network, tmp_path / "net.h5")
    loaded = snnsim.load_network(tmp_path / "net.h5")
    assert np.shape(loaded.populations[1].parameters["decay"]) == (20,)
    with torch.no_grad():
        spikes, _ = net[:2](x)
    assert spikes.sum() > 100
    for held in (network, loaded):
        np.testing.assert_array_equal(engine.run(held, x.numpy()).spikes[network.populations[1].name].dense(), spikes.numpy())


def test_populations_take_them_too() -> None:
    taus = time_constants(7, low=5.0, high=50.0)
    np.testing.assert_allclose(Population.of("a", 7, LIF(tau=taus), 0.1).parameters["decay"], np.exp(-0.1 / taus))


def test_parametric_lif_is_a_learned_decay() -> None:
    """Fang et al.: h = v - v sigmoid(w) + x, which is LIF with decay = 1 - sigmoid(w) = sigmoid(-w); raw is how far -w
    has moved: the same spikes, the same gradient of x, and that of w with its sign turned."""
    tau = 3.0
    x = (0.2 + 0.5 * torch.randn(80, 3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).requires_grad_()
    w = torch.tensor(-np.log(tau - 1.0), requires_grad=True)  # theirs starts at 1 / tau = sigmoid(w)
    theirs, _ = eager(BY_RATE["kept", "soft"], nn.SURROGATES["atan"].slope, [x], None,
                      [torch.sigmoid(w), torch.tensor(1.0, dtype=torch.float64)], width=nn.SURROGATES["atan"].width)
    layer = nn.Neuron(LIF(tau=tau, decay="euler"), learn=("decay",), dt=1.0).double()
    ours, _ = layer(x)
    assert torch.equal(ours, theirs) and 100 < ours.sum() < ours.numel() - 100
    seen = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    g_x, g_w = torch.autograd.grad((theirs * seen).sum(), [x, w])
    h_x, h_raw = torch.autograd.grad((ours * seen).sum(), [x, layer.raw_decay])
    torch.testing.assert_close([h_x, -h_raw], [g_x, g_w], rtol=1e-10, atol=1e-10)


def test_recipes_spread_time_constants_and_learn_them() -> None:
    table = {"spacing": "log", "low": 2.0, "high": 200.0}
    net = build([{"kind": "conv2d", "inputs": 2, "outputs": 3, "kernel": 3, "stride": 2},
                 {"kind": "neuron", "tau": table, "learn": ["decay"], "shape": [3, 1, 1]}, {"kind": "flatten"},
                 {"kind": "linear", "inputs": 27, "outputs": 8}, {"kind": "recurrent", "features": 8, "tau": table},
                 {"kind": "linear", "inputs": 8, "outputs": 8},
                 {"kind": "neuron", "model": "amlif", "tau": {"spacing": "gamma", "mean": 20.0, "seed": 3}, "eta": 0.3},
                 {"kind": "linear", "inputs": 8, "outputs": 2}, {"kind": "readout"}])
    assert np.shape(net[1].neuron.tau) == (3, 1, 1) and np.shape(net[4].neuron.tau) == (8,)
    np.testing.assert_allclose(net[6].neuron.tau, time_constants(8, spacing="gamma", mean=20.0, seed=3))
    assert fit(net, sides(8), dt=2.0, epochs=1, progress=False).epochs[0].loss > 0.0
    assert float(net[1].raw_decay.detach().abs().max()) > 0.0
    explicit = build([{"kind": "neuron", "tau": {**table, "shape": [4]}}])
    assert np.shape(explicit[0].neuron.tau) == (4,)
    with pytest.raises(ValueError, match=r"layer 0 \(neuron\): tau is a table, but no linear or conv2d layer stands before it"):
        build([{"kind": "neuron", "tau": table}])
    with pytest.raises(ValueError, match=r"layer 0 \(neuron\): spacing must be one of"):
        build([{"kind": "neuron", "tau": {**table, "shape": [4], "spacing": "lin"}}])
