"""A rule may use log: traced, differentiated, stored, and computed alike by oracle, fused loops, Triton and engine."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine
from snnsim.connect import AllToAll
from snnsim.engine import Simulation
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection, Synapses, TimeBase
from snnsim.nn import cuda
from snnsim.nn.fused import Loop
from snnsim.rule import Rule, derive, log, rule_from_json, rule_to_json, where
from tests import oracle
from tests.test_gradients import TOLERANCE, compare, tensors


def charge(v: float, x: float, decay: float, theta: float) -> float:
    return decay * v + log(1.0 + where(x > 0.0, x, 0.0)) - 0.25 * where(x < 0.0, -x, 0.0)


def margin(v: float, decay: float, theta: float) -> float:
    return v - theta


def reset(v: float, s: float, decay: float, theta: float) -> float:
    return v - s * theta


WEBER = Rule("weber", charge, margin, reset)(decay=0.9, theta=0.6)


def test_on_floats_arrays_tensors_and_symbols() -> None:
    assert float(log(2.0)) == np.log(2.0) and log(np.ones(3)).tolist() == [0.0] * 3
    assert torch.equal(log(torch.ones(2)), torch.zeros(2)) and log(np.float32(2.0)).dtype == np.float32
    text = derive(WEBER.rule, lambda m, w: 1.0 + 0.0 * m)
    assert any("np.log(" in line for line in text.forward.lines)
    again = rule_from_json(rule_to_json(WEBER.rule))
    assert derive(again, nn.SURROGATES["atan"].slope) == derive(WEBER.rule, nn.SURROGATES["atan"].slope)
    assert again.charge(0.5, 1.0, 0.9, 0.6) == pytest.approx(0.45 + np.log(2.0))
    with pytest.raises(ValueError, match="calls a value 'np', a name that its kernels use"):
        nn.Neuron(Rule("named", lambda np, x, decay: decay * np + x)(decay=0.9), dt=1.0)(torch.ones(2, 1, 3))


def test_fused_loops_equal_autograd() -> None:
    for steps, n in ((1, 1), (57, 33)):
        compare(WEBER, steps, (1, n))


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_triton_equals_the_fused_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    slope = nn.SURROGATES["atan"].slope
    inputs, states, parameters = tensors(WEBER, 19, (1, 33), (), torch.float64)
    results = []
    for kind in (cuda.Loop, Loop):
        out, end = kind(WEBER.rule, slope)(inputs, states, parameters)
        leaves = [*inputs, *states, *parameters]
        results.append([out.detach(), end[0].detach(), *torch.autograd.grad(out.sum() + end[0].sum(), leaves)])
    assert torch.equal(results[0][0], results[1][0]) and results[0][0].any()
    for a, b in zip(*results, strict=True):
        assert float((a - b).abs().max()) <= TOLERANCE[torch.float64] * float(b.abs().max())


def test_the_engine_equals_the_oracle() -> None:
    rng = np.random.default_rng(0)
    hidden = Population.of("hidden", (20,), WEBER, 1.0)
    network = Network((Population("in", (8,)), hidden), (Projection("in", "hidden", (Dense(rng.normal(0.4, 0.6, (20, 8))),)),))
    events = rng.poisson(0.3, (60, 8)).astype(np.float64)
    wanted = oracle.run(network, events).spikes["hidden"]
    for options in ({}, {"mode": "clock"}):
        found = engine.run(network, events, **options).spikes["hidden"].dense()[:, 0]
        np.testing.assert_array_equal(found, wanted)
    assert 0 < wanted.sum() < wanted.size


@pytest.mark.slow
def test_a_simulation_equals_the_oracle() -> None:
    alone = Network((Population.of("a", (5,), WEBER, 1.0, initial={"v": 3.0}),), time=TimeBase(1.0),
                    synapses=(Synapses("a", "a", AllToAll(), 0.5, 1.0),))
    simulated = Simulation(alone, precision="double", record=["a"]).run(12.0).spikes["a"]
    joined = [tuple(np.array(a) for a in zip(*[(i, j, 0.5, 1) for i in range(5) for j in range(5)], strict=True))]
    expected = oracle.simulate(alone, joined, {}, 12).spikes["a"]
    assert len(simulated.step) == expected.sum() > 5
