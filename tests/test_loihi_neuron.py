"""Loihi's neuron as a rule: the integers of Lava's fixed-point model, in float32, in training and in the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim import engine
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LoihiLIF
from snnsim.nn.eager import eager
from snnsim.nn.fused import Loop
from snnsim.rule import call
from tests.test_gradients import compare

INT24 = 2**23


def integers(neuron: LoihiLIF, x: np.ndarray[Any, Any], u: Any = 0, v: Any = 0) -> tuple[np.ndarray[Any, Any], ...]:
    """Spikes, u and v of all steps, written down from the definition on Python's whole numbers."""
    du, dv, vth, bias = (np.asarray(getattr(neuron, n), np.int64) for n in ("du", "dv", "vth", "bias"))
    u, v, out = np.broadcast_to(u, x.shape[1:]).astype(np.int64), np.broadcast_to(v, x.shape[1:]).astype(np.int64), []
    for a in x.astype(np.int64):
        u = np.sign(u) * ((np.abs(u) * (4096 - (du + 1))) >> 12) + a
        u = np.where(u > INT24, u - 2 * INT24, u)
        u = np.where(u <= -INT24, u + 2 * INT24, u)
        v = np.clip(np.sign(v) * ((np.abs(v) * (4096 - dv)) >> 12) + u + bias, 1 - INT24, INT24 - 1)
        s = v > vth << 6
        out.append((s.astype(np.int64), u, v))
        if neuron.reset != "none":
            v = np.where(s, v - (vth << 6) if neuron.reset == "soft" else 0, v)
    return tuple(np.stack(o) for o in zip(*out, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["hard", "soft", "none"]), st.sampled_from([6, 14, 20, 23]))
def test_float32_computes_the_integers(seed: int, reset: Any, bits: int) -> None:
    rng = np.random.default_rng(seed)
    neuron = LoihiLIF(rng.integers(0, 4096, 50), rng.integers(0, 4097, 50), rng.integers(0, 2**17, 50) >> (23 - bits),
                      rng.integers(-2**(bits - 6), 2**(bits - 6), 50), reset, scale=0.37)
    x = 64 * rng.integers(-2**(bits - 6), 2**(bits - 6), (40, 50)) * (rng.random((40, 50)) < 0.3)
    spikes, currents, membranes = integers(neuron, x)
    parameters = [p.astype(np.float32) for p in neuron.step_parameters(1.0).values()]
    state = [np.zeros(50, np.float32)] * 2
    for t in range(40):
        state = call(neuron.rule.charge, *state, x[t].astype(np.float32), *parameters)
        np.testing.assert_array_equal(state, (currents[t], membranes[t]))
        if neuron.rule.margin is not None and neuron.rule.reset is not None:
            s = neuron.rule.margin(*state, *parameters) >= 0.0
            np.testing.assert_array_equal(s, spikes[t])
            state = call(neuron.rule.reset, *state, s.astype(np.float32), *parameters)


def test_it_trains_in_fused_loops_as_in_autograd() -> None:
    neuron = LoihiLIF(1000, 300, 2, 1, "soft", scale=1 / 128)
    compare(neuron.rule(**neuron.step_parameters(1.0)), 37, (1, 19))


def test_its_gradient_is_that_of_what_it_rounds() -> None:
    neuron = LoihiLIF(1000, 300, 2000, 0, "none")
    values = [torch.tensor(float(p)) for p in neuron.step_parameters(1.0).values()]
    x = torch.zeros(6, 1, 1)
    x[0] = 64000.0
    x.requires_grad_()
    for run in (eager, lambda r, s, *a: Loop(r, s)(*a)):
        out, _ = run(neuron.rule, nn.SURROGATES["atan"].slope, [x], [torch.zeros(1, 1)] * 2, values)
        (g,) = torch.autograd.grad(out[-1].sum(), x)
        expected = sum((3095 / 4096)**k * (3796 / 4096)**(5 - k) for k in range(6))
        assert float(g[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_engine_and_nn_give_the_integers(reset: Any) -> None:
    rng = np.random.default_rng(1)
    neuron = LoihiLIF(2000, 200, 700, rng.integers(-300, 300, 23), reset, scale=1 / 44800)
    weight = 64.0 * rng.integers(-128, 128, (23, 17))
    events = rng.poisson(0.2, (80, 17)).astype(np.float32)
    spikes, *_ = integers(neuron, events @ weight.T)
    assert 20 < spikes.sum() < spikes.size / 2
    population = Population.of("loihi", 23, neuron, 1.0, np.float32)
    network = Network((Population("in", (17,)), population), (Projection("in", "loihi", (Dense(weight.astype("f")),)),))
    for mode in ("event", "clock"):
        found = engine.run(network, events, mode=mode).spikes["loihi"].dense()[:, 0]
        np.testing.assert_array_equal(found, spikes)
    out, _ = nn.Neuron(neuron, dt=1.0)(torch.tensor(events @ weight.T).float()[:, None])
    np.testing.assert_array_equal(out[:, 0].detach(), spikes)


@pytest.mark.parametrize(("name", "value", "said"), [
    ("du", 4096, r"du must be whole numbers in 0 \.\. 4095, got 4096"), ("dv", -1, r"dv must be whole numbers in 0 \.\. 4096"),
    ("vth", 2**17, "vth must be whole numbers"), ("bias", 0.5, "bias must be whole numbers"), ("scale", 0.0, "scale must"),
    ("reset", "zero", "reset must be one of"), ("dv", np.nan, "dv must be finite")])
def test_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LoihiLIF(**{name: value})
