"""Card 20: ReSTE and BiPer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.network import TimeBase
from snnsim.neurons import LIF
from snnsim.nn.surrogate import surrogate_of
from snnsim.train import build, fit
from tests.test_surrogate import reste_forward
from tests.test_train import sides


@pytest.mark.parametrize("o", [1.0, 1.5, 3.0, 5.0])
@pytest.mark.parametrize("t", [1.0, 1.5])
def test_card20_reste_is_the_derivative_of_its_forward(o: float, t: float) -> None:
    """Finite differences of f away from its three corners; the card's own numbers at the surrogate's own width."""
    surrogate = nn.reste(o, t)
    x, eps = torch.linspace(-2.0, 2.0, 4001, dtype=torch.float64) + 2e-4, 1e-6
    smooth = ((x.abs() - 0.1).abs() > 1e-4) & ((x.abs() - t).abs() > 1e-4) & (x.abs() > 1e-4)
    for w in (surrogate.width, 0.7):
        scaled = x * w / surrogate.width
        slope = (reste_forward(scaled + eps, w, o, t) - reste_forward(scaled - eps, w, o, t)) / (2 * eps)
        torch.testing.assert_close(surrogate.slope(scaled, w)[smooth], slope[smooth], rtol=1e-6, atol=1e-8)
    g = surrogate.slope(x, surrogate.width) * 2.0 * t ** (1 / o)  # the paper's, for a sign
    size = x.abs()
    paper = torch.where(size > 0.1, size ** ((1 - o) / o) / o, 0.1 ** (1 / o) / 0.1) * (size <= t)
    torch.testing.assert_close(g, paper, rtol=1e-12, atol=0.0)


def test_card20_the_slope_at_zero_is_that_of_the_card() -> None:
    surrogate = nn.reste(3.0)
    at_zero = float(surrogate.slope(torch.zeros(1, dtype=torch.float64), surrogate.width)) * 2.0 * 1.5 ** (1 / 3)
    assert at_zero == pytest.approx(4.64, abs=0.002)


def test_card20_o_of_one_is_the_straight_through_estimator() -> None:
    x = torch.linspace(-3.0, 3.0, 998, dtype=torch.float64)
    one, rectangle = nn.reste(1.0), nn.SURROGATES["rectangle"]
    assert one.width == 3.0
    for w in (0.5, 3.0):
        torch.testing.assert_close(one.slope(x, w), rectangle.slope(x, w), rtol=1e-15, atol=0.0)
    assert torch.equal(one.slope(x, 3.0) * 3.0, (x.abs() <= 1.5).double())  # slope 1 up to t


def test_card20_the_exponent_follows_its_schedule() -> None:
    assert nn.reste_exponent(0, 300) == 1.0 and nn.reste_exponent(300, 300) == pytest.approx(3.0)
    assert nn.reste_exponent(150, 300, 5.0) == pytest.approx(1.0 + 4.0 * (1.0 - np.cos(np.pi / 4)))
    neuron, x = nn.Neuron(LIF(), surrogate="reste_annealed"), torch.linspace(-2.0, 2.0, 99, dtype=torch.float64)
    for epoch in (0, 4, 8):
        neuron.anneal(epoch, 8)
        o = round(16 * nn.reste_exponent(epoch, 8)) / 16
        assert neuron.surrogate.slope is nn.reste(o).slope and neuron.surrogate.width == nn.reste(o).width
    narrow = surrogate_of("reste_annealed", 0.3).at(1.0)
    assert narrow.width == 0.3 and torch.equal(narrow.slope(x, 0.3), nn.reste(3.0).slope(x, 0.3))
    fixed = nn.Neuron(LIF(), surrogate="reste")
    fixed.anneal(1, 8)
    assert fixed.surrogate is nn.SURROGATES["reste"]


def test_card20_indicators() -> None:
    x = torch.tensor([-2.0, -0.5, 0.0, 0.25], dtype=torch.float64)
    f = np.array([-(1.5 ** (1 / 3)), -(0.5 ** (1 / 3)), 0.0, 0.25 ** (1 / 3)])
    expected = float(np.linalg.norm(np.array([-1.0, -1.0, 0.0, 1.0]) - f))
    assert nn.estimating_error(x, 3.0) == pytest.approx(expected) == nn.estimating_error(x.numpy(), 3.0)
    wide = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = [nn.estimating_error(wide, o) for o in (1.0, 2.0, 3.0, 10.0)]
    spread = [nn.gradient_stability(nn.reste(o).slope(wide, nn.reste(o).width)) for o in (1.0, 2.0, 3.0, 10.0)]
    assert errors == sorted(errors, reverse=True)  # a larger o is closer to the sign
    assert spread == sorted(spread)  # and its gradient less stable
    assert nn.gradient_stability(torch.tensor([1.0, -3.0])) == 1.0


@pytest.mark.parametrize(("options", "sentence"), [
    ((0.5,), r"o must be at least 1, got 0\.5"), ((3.0, 0.1), r"t must be above 0\.1, got 0\.1")])
def test_an_impossible_reste_is_refused(options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.reste(*options)


def test_card20_biper_is_the_triangle_of_width_one() -> None:
    """max(0, 2 - 2 |a|) is for a sign, which jumps by 2: half of it is for a spike."""
    a = torch.linspace(-2.0, 2.0, 401, dtype=torch.float64)
    surrogate = nn.SURROGATES["biper"]
    torch.testing.assert_close(2.0 * surrogate.slope(a, surrogate.width), (2.0 - 2.0 * a.abs()).clamp(min=0.0))


def test_card20_binary_weights_and_their_gradient() -> None:
    """sign(sin(w0 w)), and in both stages the derivative of sin(w0 w), by finite differences."""
    w = torch.linspace(-0.3, 0.3, 24, dtype=torch.float64).reshape(4, 6).requires_grad_()
    seed = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for switch, binary in ((0.0, True), (0.5, False)):
        layer = nn.BiPer(4, frequency=20.0, switch=switch).double()
        out = layer(w)
        wave = torch.sin(20.0 * w.detach())
        expected = (torch.where(wave >= 0, 1.0, -1.0) if binary else wave) * layer.scale[:, None]
        assert torch.equal(out, expected.to(out.dtype))
        by_w, by_scale = torch.autograd.grad(out, [w, layer.scale], seed)
        eps = 1e-6
        slope = (torch.sin(20.0 * (w.detach() + eps)) - torch.sin(20.0 * (w.detach() - eps))) / (2 * eps)
        torch.testing.assert_close(by_w, seed * slope * layer.scale.detach()[:, None], rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(by_scale, (seed * expected / layer.scale[:, None]).sum(1).detach(), rtol=1e-12, atol=1e-12)
    assert bool(nn.BiPer(1, switch=0.0)(torch.zeros(1, 1)) > 0.0)  # sign(0) is 1


def test_fit_goes_through_the_stages_and_lower_writes_binary_weights() -> None:
    torch.manual_seed(0)
    layers = [{"kind": "flatten"}, {"kind": "biper_linear", "inputs": 128, "outputs": 12},
              {"kind": "neuron", "tau": 10.0, "surrogate": "reste_annealed"}, {"kind": "linear", "inputs": 12, "outputs": 2},
              {"kind": "readout"}]
    net, seen = build(layers), []
    original = net[1].parametrizations.weight[0].forward
    net[1].parametrizations.weight[0].forward = lambda w: (seen.append(int(net[1].parametrizations.weight[0].stage)),
                                                           original(w))[1]
    data = sides(12)
    fit(net, data, dt=5.0, epochs=3, batch_size=12, progress=False)
    del net[1].parametrizations.weight[0].forward
    assert seen == sorted(seen) and {1, 2} == set(seen)
    assert net[2].surrogate.slope is nn.reste(round(16 * nn.reste_exponent(2, 3)) / 16).slope
    network = lower(net)
    weight = network.projections[0].maps[0].arrays()["weight"]
    scale = net[1].parametrizations.weight[0].scale.detach().numpy()
    np.testing.assert_array_equal(np.abs(weight), np.abs(scale)[:, None] * np.ones((1, 128), np.float32))
    assert (weight / scale[:, None] == 1.0).any() and (weight / scale[:, None] == -1.0).any()
    found = engine.run(network, [data[i].events for i in range(4)])
    assert found.prediction.shape == (4,)
    twin = build(layers)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin[1].weight, net[1].weight) and torch.equal(copy.deepcopy(net)[1].weight, net[1].weight)


def test_convolutions_are_binary_too() -> None:
    layer = nn.biper(nn.Conv2d(2, 3, 3), switch=0.0)
    x = torch.randn(2, 1, 2, 6, 6)
    expected = torch.nn.functional.conv2d(x.flatten(0, 1), layer.weight, layer.bias).reshape(2, 1, 3, 4, 4)
    torch.testing.assert_close(layer(x), expected)
    assert layer.weight.detach().abs().flatten(1).unique(dim=1).shape == (3, 1)
    network = lower(nn.Sequential(layer, nn.Neuron(LIF(), dt=1.0)), time=TimeBase(1.0), input_shape=(2, 6, 6))
    np.testing.assert_array_equal(network.projections[0].maps[0].arrays()["weight"], layer.weight.detach().numpy())


def test_a_layer_without_such_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"biper takes a layer with a Parameter weight \[outputs, ...\], .* got Flatten"):
        nn.biper(nn.Flatten())
    with pytest.raises(ValueError, match="frequency must be above 0"):
        nn.biper(nn.Linear(2, 2), frequency=0.0)
