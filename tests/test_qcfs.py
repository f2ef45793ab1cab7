"""Card 9: QCFS, and the conversion of a trained net without spikes into one with integrate-and-fire neurons."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, load_network, lower, save_network
from snnsim.hardware import nir
from snnsim.network import TimeBase
from snnsim.neurons import integrate
from snnsim.train import build
from tests import oracle
from tests.digit_images import digits


@pytest.mark.parametrize("levels", [1, 3, 4, 8, 64])
@pytest.mark.parametrize("clip", [0.5, 2.0])
def test_card9_a_constant_input_gives_the_activation_exactly(levels: int, clip: float) -> None:
    """T = L: the mean of the output is h(I), bit for bit, also where h jumps: multiples of 2^-20 add up exactly."""
    rng = np.random.default_rng(levels)
    steps = torch.from_numpy(np.concatenate([
        rng.integers(-2**20, 2**22, 3900), np.arange(-101, 99, 2) * 2**20 // (2 * levels)]) * 2.0**-20 * clip).reshape(1, -1)
    neurons = nn.Neuron(integrate.RULES["soft"](theta=clip), dt=1.0)
    start = (torch.full_like(steps, 0.5 * clip),)
    spikes, _ = neurons(steps.expand(levels, *steps.shape), start)
    with torch.no_grad():
        expected = nn.QCFS(levels, clip).double()(steps)
    assert steps.numel() == 4000 and len(expected.unique()) == levels + 1
    assert torch.equal(spikes.sum(0) * clip / levels, expected)


def test_card9_gradients_of_the_activation() -> None:
    """Those of the card; by c also finite differences of the mean over the steps of the staircase, where floor is x."""
    x = torch.linspace(-1.0, 4.0, 1001, dtype=torch.float64, requires_grad=True)
    layer = nn.QCFS(4, 2.5).double()
    h = layer(x)
    g = torch.linspace(0.5, 1.5, 1001, dtype=torch.float64)
    by_x, by_c = torch.autograd.grad(h, [x, layer.clip], g)
    v, c = x.detach(), 2.5
    inside = (v > 0) & (v < c)
    assert torch.equal(by_x, g * inside)
    torch.testing.assert_close(by_c, (g * (h / c - v / c * inside)).sum(), rtol=1e-12, atol=0.0)

    def straight(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """The same with torch's own operations, and a floor that passes the gradient."""
        scaled = (x / c).clamp(0.0, 1.0) * 4
        return c * (scaled + ((scaled + 0.5).floor() - scaled).detach()) / 4

    w = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    got = torch.autograd.grad(layer(w), [w, layer.clip], torch.cos(w.detach()))
    expected = torch.autograd.grad(straight(w, layer.clip), [w, layer.clip], torch.cos(w.detach()))
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(w), straight(w, layer.clip), rtol=1e-14, atol=1e-14)


@cache
def trained(quantised: bool) -> torch.nn.Sequential:
    """A perceptron of three layers of weights: QCFS in our Sequential, or ReLU in torch's."""
    torch.manual_seed(0)
    x, y, _, _ = digits()

    def activation() -> torch.nn.Module:
        return nn.QCFS(8, 2.0) if quantised else torch.nn.ReLU()

    layers: Any = nn if quantised else torch.nn
    net = layers.Sequential(layers.Linear(64, 96, bias=False), layers.BatchNorm1d(96), activation(), layers.Linear(96, 64),
                            activation(), layers.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(25):
        for part in torch.randperm(len(x)).split(64):
            out = net(x[part][None])[0][0] if quantised else net(x[part])
            loss = torch.nn.functional.cross_entropy(out, y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def right(scores: torch.Tensor) -> float:
    return float((scores.argmax(1) == digits()[3]).double().mean())


@pytest.mark.parametrize("quantised", [True, False], ids=["qcfs", "relu"])
def test_card9_a_perceptron_keeps_its_accuracy(quantised: bool) -> None:
    net, (x, _, test, _) = trained(quantised), digits()
    spiking = nn.to_spiking(net) if quantised else nn.to_spiking(net, x, percentile=99.9)
    with torch.no_grad():
        before = right(net(test[None])[0][0] if quantised else net(test))
        after = [right(spiking(test.expand(steps, *test.shape))[0].mean(0)) for steps in (4, 8, 16, 32, 64)]
    assert before > 0.95
    assert abs(before - after[-1]) < 0.005
    assert all(later >= earlier - 0.01 for earlier, later in pairwise(after)), after  # 0.01: three of 360 digits


def test_a_converted_net_is_lowered_and_runs_on_images() -> None:
    test = digits()[2][:40]
    spiking = nn.to_spiking(trained(True))
    steps = 16
    network = lower(spiking, time=TimeBase(1.0, steps), input_shape=(64,))
    images = test.expand(steps, *test.shape)
    with torch.no_grad():
        scores = spiking(images)[0].mean(0)
    for mode in ("event", "clock"):
        found = engine.run(network, images.numpy(), mode=mode)  # real numbers, not counts
        np.testing.assert_array_equal(found.prediction, scores.argmax(1))
        # a folded batch norm rounds, and a spike may move: few do
        assert np.mean(np.abs(found.scores - scores.numpy()) > 1e-4 * np.abs(scores.numpy()).max()) < 0.05
    assert [p.initial["v"] for p in network.populations[1:-1]] == [
        pytest.approx(float(p.parameters["theta"]) / 2) for p in network.populations[1:-1]]


def conv_net(dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    """Convolution, pool and linear layers with weights that are multiples of 1/8."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3, padding=1), nn.QCFS(4, 2.0), torch.nn.AvgPool2d(2), torch.nn.Flatten(),
                              torch.nn.Sequential(torch.nn.Linear(48, 6), nn.QCFS(4, 0.5), torch.nn.Dropout(0.5)),
                              torch.nn.Linear(6, 3)).to(dtype)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim:
                p.copy_(torch.round(p * 16) / 8)
    return net.eval()


def test_a_convolutional_net_is_converted_exactly() -> None:
    """Each layer's spikes are those of the neurons that the card describes, with c out of the weights again."""
    net = conv_net()
    x = torch.randint(-8, 17, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0)).double() / 8
    spiking = nn.to_spiking(net)
    steps = 6
    state, total = [torch.tensor(0.0)] * 2, torch.zeros(5, 3)
    with torch.no_grad():
        out, _ = spiking(x.expand(steps, *x.shape))
        v1, v2 = torch.full((5, 3, 8, 8), 1.0, dtype=x.dtype), torch.full((5, 6), 0.25, dtype=x.dtype)
        for t in range(steps):
            v1 = v1 + net[0](x)
            o1 = 2.0 * (v1 >= 2.0)
            v1 = v1 - o1
            v2 = v2 + net[4][0](net[3](net[2](o1.double())))
            o2 = 0.5 * (v2 >= 0.5)
            v2 = v2 - o2
            assert torch.equal(out[t], net[5](o2.double()))
            state, total = [o1, o2], total + out[t]
    assert state[0].any() and state[1].any() and total.any()
    network = lower(spiking, time=TimeBase(1.0, steps), input_shape=(1, 8, 8))
    x = x.abs()  # the engine takes no negative input
    with torch.no_grad():
        out, _ = spiking(x.expand(steps, *x.shape))
    found = engine.run(network, x.expand(steps, *x.shape).numpy(), record=[network.output])
    np.testing.assert_array_equal(found.membranes[network.output], out.numpy())
    np.testing.assert_array_equal(oracle.run(network, x[:1].expand(steps, 1, 8, 8).numpy()).output[network.output],
                                  out[:, 0].numpy())


@pytest.mark.parametrize("percentile", [100.0, 80.0, 99.9])
def test_the_clip_of_a_relu_is_read_from_data(percentile: float) -> None:
    """The smallest value that so many percent do not exceed, in a net of torch's and in one of ours, with dropout off."""
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Dropout(0.5), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    same = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), torch.nn.ReLU(), nn.Linear(8, 3))
    same.load_state_dict(net.state_dict())
    x = torch.randn(50, 5)
    values = np.sort(net[0](x).relu().detach().numpy().ravel())
    rank = int(np.ceil(percentile / 100 * values.size))
    for spiking in (nn.to_spiking(net, x, percentile=percentile), nn.to_spiking(same, x[None], percentile=percentile)):
        assert float(spiking[1].step_parameters()["theta"]) == pytest.approx(values[rank - 1], rel=1e-6)
    assert net.training and same[1].training


def test_a_recipe_builds_the_activation() -> None:
    net = build([{"kind": "linear", "inputs": 8, "outputs": 4}, {"kind": "qcfs", "levels": 4, "clip": 2.0},
                 {"kind": "linear", "inputs": 4, "outputs": 2}])
    assert isinstance(net[1], nn.QCFS) and (net[1].levels, float(net[1].clip.detach())) == (4, 2.0)
    assert [type(m).__name__ for m in nn.to_spiking(net)] == ["Linear", "Neuron", "Linear", "Neuron"]


def test_initial_states_are_stored_and_not_exported(tmp_path: Any) -> None:
    network = lower(nn.to_spiking(conv_net()), time=TimeBase(1.0, 4), input_shape=(1, 8, 8))
    save_network(network, tmp_path / "net.h5")
    again = load_network(tmp_path / "net.h5")
    x = np.abs(np.random.default_rng(0).normal(size=(4, 1, 8, 8)))
    np.testing.assert_array_equal(engine.run(again, x).scores, engine.run(network, x).scores)
    with pytest.raises(ValueError, match="NIR export takes networks whose states start at 0; those of 'if_soft_1' start"):
        nir.export(network, tmp_path / "net.nir", allow_lossy=True)


L = torch.nn.Linear


@pytest.mark.parametrize(("layers", "sentence"), [
    ((L(4, 3), torch.nn.ReLU(), L(3, 2)), r"layer 1 \(ReLU\): a ReLU has no clip of its own: give data"),
    ((L(4, 3), nn.QCFS()), r"must end in a Linear or Conv2d layer.*it ends in layer 1 \(QCFS\)"),
    ((torch.nn.Flatten(),), "must end in a Linear or Conv2d layer"),
    ((nn.QCFS(), L(4, 3)), r"layer 0 \(QCFS\) cannot be converted: no Linear or Conv2d layer stands before it"),
    ((L(4, 3), nn.QCFS(), torch.nn.BatchNorm1d(3), L(3, 2)), r"layer 2 \(BatchNorm1d\) cannot be converted: a batch norm must"),
    ((torch.nn.Conv2d(1, 2, 3), torch.nn.MaxPool2d(2)), r"layer 1 \(MaxPool2d\) cannot.*train with AvgPool2d"),
    ((torch.nn.Conv2d(1, 2, 3), torch.nn.AvgPool2d(2, ceil_mode=True)), "its padding, ceil_mode and divisor_override"),
    ((L(4, 3), torch.nn.Tanh()), r"layer 1 \(Tanh\) cannot be converted: it must be Linear, Conv2d")])
def test_what_cannot_be_converted_is_refused(layers: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.to_spiking(torch.nn.Sequential(*layers))


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match=r"to_spiking takes a torch.nn.Sequential, got Linear"):
        nn.to_spiking(L(4, 3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="percentile must be at most 100, got 101"):
        nn.to_spiking(conv_net(), percentile=101)
    with pytest.raises(ValueError, match="levels must be a positive whole number, got 0"):
        nn.QCFS(0)
    with pytest.raises(ValueError, match=r"clip must be above 0, got 0\.0"):
        nn.QCFS(4, 0.0)
    layer = nn.QCFS()
    torch.nn.init.constant_(layer.clip, -1.0)
    with pytest.raises(ValueError, match="the clip of QCFS must stay above 0, it has become -1: lower the learning rate"):
        layer(torch.ones(3))
    with pytest.raises(ValueError, match="gives no positive value for the data at percentile 100"):
        nn.to_spiking(torch.nn.Sequential(L(4, 3, bias=False), torch.nn.ReLU(), L(3, 2)), torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"layer 1 \(QCFS\) cannot be lowered.*to_spiking makes neurons of it"):
        lower(nn.Sequential(nn.Linear(4, 3), nn.QCFS(), nn.Linear(3, 2), nn.Readout()), time=TimeBase(), input_shape=(4,))
