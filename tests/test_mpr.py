"""The membrane potential rectifier: phi, what it leaves as it is (every spike) and what it changes (the gradient)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import LI, LIF, MPRLIF
from snnsim.neurons.mpr import RULES, margin, phi
from snnsim.nn.fused import Loop
from snnsim.train.build import build
from tests import oracle
from tests.test_recurrent import compare as compare_recurrent
from tests.theirs import dyadic_

DTYPES = [np.float32, np.float64]


def cards(u: np.ndarray) -> np.ndarray:
    """phi as the card writes it, piece by piece."""
    inner = np.tanh(3.0 * (u - 0.5)) / (2.0 * np.tanh(1.5)) + 0.5
    return np.where(u < 0.0, 1.0 - np.cbrt(1.0 - u), np.where(u > 1.0, np.cbrt(u), inner))


@pytest.mark.parametrize("dtype", DTYPES)
def test_card1_phi_is_monotone_with_three_fixed_points(dtype: type) -> None:
    u = np.concatenate([np.linspace(-30.0, 30.0, 60_001), np.linspace(-0.01, 1.01, 10_001)]).astype(dtype)
    u.sort()
    y = phi(u)
    assert y.dtype == dtype and np.all(np.diff(y) >= -2.0 * np.finfo(dtype).eps * np.abs(y[1:]))  # up to phi's own rounding
    np.testing.assert_allclose(y, cards(u.astype(np.float64)), rtol=4.0 * np.finfo(dtype).eps, atol=4.0 * np.finfo(dtype).eps)
    fixed = np.array([0.0, 0.5, 1.0], dtype)
    np.testing.assert_allclose(phi(fixed), fixed, rtol=0.0, atol=np.finfo(dtype).eps)
    assert phi(dtype(0.5)) == 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_card1_decisions_do_not_change(dtype: type) -> None:
    """A million potentials, and all the numbers next to the threshold."""
    u = np.random.default_rng(0).normal(0.5, 1.0, 10**6).astype(dtype)
    near = [dtype(0.5)]
    for _ in range(1000):
        near = [np.nextafter(near[0], dtype(0.0)), *near, np.nextafter(near[-1], dtype(1.0))]
    far = np.array([-np.finfo(dtype).max, -1e30, -1.0, -0.0, 0.0, 1.0, 1e30, np.finfo(dtype).max], dtype)
    u = np.concatenate([u, np.array(near, dtype), far])
    for values in (u, torch.from_numpy(u)):
        with np.errstate(all="raise"):
            assert int(((margin(values, 0.0) >= 0.0) != (values >= 0.5)).sum()) == 0
    x = torch.from_numpy(u).view(1, 1, -1)
    for reset in ("soft", "hard"):  # the fused loop, too: charge alone
        (one, _), (two, _) = nn.Neuron(MPRLIF(reset=reset), dt=1.0)(x), nn.Neuron(LIF(theta=0.5, reset=reset), dt=1.0)(x)
        assert torch.equal(one, two)


def test_card1_phi_takes_the_quantisation_error_of_a_normal_from_0145_to_00415() -> None:
    u = np.random.default_rng(0).normal(0.3, 0.6, 10**6)
    error = lambda v: float(np.mean(np.minimum(v**2, (1.0 - v) ** 2)))  # noqa: E731
    assert error(u) == pytest.approx(0.145, abs=1e-3) and error(phi(u)) == pytest.approx(0.0415, abs=3e-4)


def test_card1_soft_reset_conserves_charge() -> None:
    x = (torch.randint(-4, 9, (200, 3, 31), generator=torch.Generator().manual_seed(0)) / 8).double()
    out, (v,) = nn.Neuron(MPRLIF(tau=float("inf")), dt=1.0)(x)
    assert torch.equal(x.sum(0) - 0.5 * out.sum(0), v) and 0.1 < float(out.mean()) < 0.9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_card1_slope_of_phi_and_no_nan_anywhere(dtype: torch.dtype) -> None:
    """1/3 | 0.2995 ... 1.6572 ... 0.2995 | 1/3, by autograd and by the derived adjoint."""
    big = float(torch.finfo(dtype).max)
    u = torch.tensor([[[-big, -1e20, -7.0, -1e-30, 0.0, 1e-30, 0.25, 0.5, 0.75, 1.0, 1.0 + 1e-6, 8.0, 1e20, big]]], dtype=dtype)
    w = u[0, 0].double().numpy()
    outer = np.cbrt(0.5 + np.abs(w - 0.5)) / 3.0 / (0.5 + np.abs(w - 0.5))
    inner = 1.5 / np.cosh(3.0 * np.clip(w - 0.5, -0.6, 0.6)) ** 2 / np.tanh(1.5)
    wanted = np.where((u[0, 0] < 0.0) | (u[0, 0] > 1.0), outer, inner)
    wanted[3] = inner[3]  # too near to 0 for another distance to 1/2 than 0 has
    allowed = (8.0 + np.log1p(np.abs(w))) * torch.finfo(dtype).eps * wanted  # exp(log(w) / 3) rounds log(w) / 3 once
    given = u.clone().requires_grad_()
    (g,) = torch.autograd.grad(phi(given).sum(), given)
    assert np.all(np.abs(g[0, 0].numpy() - wanted) <= allowed)
    assert wanted[4] == pytest.approx(0.2995, abs=1e-4) and wanted[7] == pytest.approx(1.6572, abs=1e-4)
    loop = Loop(MPRLIF().rule, unit_slope, 1.0, True)
    again = u.clone().requires_grad_()
    out, _ = loop([again], None, [torch.tensor(0.9, dtype=dtype)])
    (g,) = torch.autograd.grad(out.sum(), again)
    assert np.all(np.abs(g[0, 0].numpy() - wanted) <= allowed)


def unit_slope(x: Any, w: Any) -> Any:
    return 0.0 * w + 1.0


def test_the_gradient_is_the_surrogate_at_phi_times_the_slope_of_phi() -> None:
    u = torch.linspace(-1.0, 2.0, 301, dtype=torch.float64).view(1, 1, -1).requires_grad_()
    layer = nn.Neuron(MPRLIF(), detach_reset=True, dt=1.0)
    (got,) = torch.autograd.grad(layer(u)[0].sum(), u)
    rectified = phi(u)
    (slope,) = torch.autograd.grad(rectified.sum(), u)
    wanted = nn.SURROGATES["atan"].slope(rectified.detach() - 0.5, 1.0) * slope
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=0.0)


def test_a_recurrent_layer_equals_the_eager_loop() -> None:
    compare_recurrent(MPRLIF(), 40, 9, 33)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_lowering_drops_phi_and_no_spike_changes(reset: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(32, 20), nn.Neuron(MPRLIF(tau=2.0, reset=reset, decay="euler")),
                        nn.Linear(20, 4), nn.Readout()).double()
    nn.set_dt(net, 1.0)
    dyadic_(net, low=-3, high=8)
    network = lower(net, time=TimeBase(1.0), input_shape=(2, 4, 4))
    hidden = network.populations[1]
    assert hidden.rule is LIF(reset=reset).rule and hidden.parameters["theta"] == 0.5
    assert f"layer 2 (Neuron): its rule mpr_{reset} written as lif_{reset}" in network.notes
    events = np.random.default_rng(0).poisson(0.3, (40, 2, 4, 4)).astype(np.float64)
    with torch.no_grad():
        spikes = net[2](net[1](net[0](torch.from_numpy(events)[:, None])))[0].numpy()[:, 0]
    assert 0 < spikes.sum() < spikes.size
    np.testing.assert_array_equal(oracle.run(network, events).spikes[hidden.name], spikes)
    np.testing.assert_array_equal(engine.run(network, events).spikes[hidden.name].dense()[:, 0], spikes)


def test_the_engine_runs_the_rule_itself_and_lets_it_sleep() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-4, 9, (20, 8)) / 16
    events = np.zeros((400, 8))
    events[::40] = rng.poisson(1.0, (10, 8))
    for dtype in (np.float64, np.float32):
        network = Network((Population("in", (8,)), Population.of("a", (20,), MPRLIF(tau=2.0, decay="euler"), 1.0, dtype),
                           Population.of("out", (3,), LI(), 1.0, dtype)),
                          (Projection("in", "a", (Dense(weight.astype(dtype)),)),
                           Projection("a", "out", (Dense(np.ones((3, 20), dtype)),))))
        wanted = oracle.run(network, events.astype(dtype)).spikes["a"]
        found = engine.run(network, events.astype(dtype), exact=True)
        np.testing.assert_array_equal(found.spikes["a"].dense()[:, 0], wanted)
        assert wanted.any() and found.updates < 0.2


def test_a_recipe_builds_it() -> None:
    net = build([{"kind": "neuron", "model": "mpr", "tau": 5.0, "reset": "hard"}])
    assert net[0].rule is RULES["hard"]
    with pytest.raises(ValueError, match="layer 0 .neuron.: reset must be one of 'soft', 'hard', got 'none'"):
        build([{"kind": "neuron", "model": "mpr", "reset": "none"}])
