"""The rules of SpikingJelly and snnTorch in every consumer: fused loops and the engine equal the rule itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snnsim import Dense, Network, Population, Projection, TimeBase, engine
from snnsim.neurons import late, leak
from snnsim.neurons.standard import standard
from snnsim.rule import Neuron, Rule
from tests import oracle
from tests.test_gradients import compare, poisoned  # noqa: F401

RULES = [*leak.BY_TAU.values(), *leak.BY_RATE.values(), *late.LEAKY.values(), *late.SYNAPTIC.values(), *late.LAPICQUE.values()]
VALUES = {"tau": 2.0, "rate": 0.25, "decay": 0.5, "keep": 0.5, "gain": 0.5, "theta": 1.0}
OWN = [late.LEAKY["late_soft"], late.LEAKY["late_hard"], late.LEAKY["soft"], late.LAPICQUE["late_soft"],
       late.LAPICQUE["late_hard"],
       *(r for name, r in late.SYNAPTIC.items() if name != "hard")]  # equal to none of the standard rules
QUICK = ("leaky_late_soft", "leaky_soft")


def neuron(rule: Rule) -> Neuron:
    return rule(**{p: VALUES[p] for p in rule.parameters})


def some(*names: str) -> list[object]:
    """A few at once, more slowly; all of them run in the fused loops beside the frameworks themselves."""
    return [pytest.param(r, id=r.name, marks=[] if r.name in QUICK else [pytest.mark.slow])
            for r in RULES if r.name in (*QUICK, *names)]


@pytest.mark.parametrize("rule", some("lif_rate_shared_soft", "synaptic_soft"))
def test_gradients_equal_autograd(rule: Rule) -> None:
    for steps, n in ((1, 1), (2, 31), (257, 33), (2, 1023)):
        compare(neuron(rule), steps, (1, n))
    if rule.name == QUICK[0]:
        compare(neuron(rule), 33, (2, 31), torch.float32)
        compare(neuron(rule), 20, (2, 5, 3), parameter_shape=(5, 1))


def network(rule: Rule, bias: bool) -> Network:
    rng = np.random.default_rng(0)
    weights = rng.integers(-6, 13, (30, 8)) / 8.0
    return Network((Population("in", (8,)), Population.of("out", (30,), neuron(rule), dt=1.0)),
                   (Projection("in", "out", (Dense(weights),), rng.integers(-2, 5, 30) / 8.0 if bias else None),),
                   TimeBase(1.0), readout="count")


@pytest.mark.parametrize("rule", some("lif_tau_shared_hard", "leaky_late_hard", "synaptic_late_hard", "lapicque_late_soft"))
def test_event_by_event_equals_the_oracle(rule: Rule) -> None:
    """Multiples of 1/8 in float64; silence in between, in which neurons sleep, and must wake as they would have been."""
    for bias in (False, True):
        net = network(rule, bias)
        counts = np.random.default_rng(1).poisson(0.4, (24, 8)).astype(np.float64)
        counts[8:16] = 0.0
        counts[16] = 4.0
        expected = oracle.run(net, counts).spikes["out"]
        assert 0 < expected.sum() < expected.size
        for options in ({}, {"exact": True}, {"mode": "clock"}):
            np.testing.assert_array_equal(engine.run(net, counts, **options).spikes["out"].dense()[:, 0], expected)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_standard_rules_spike_the_same(rule: Rule) -> None:
    """By the oracle, with the gain in the weights; the membranes meet the threshold often."""
    net = network(rule, False)
    p = net.populations[1]
    found = standard(rule, {k: np.asarray(v) for k, v in p.parameters.items()}, np.float64)
    assert (found.rule is rule) == (rule in OWN)
    weight = np.asarray(net.projections[0].maps[0].arrays()["weight"]) * found.gain
    other = Network((net.populations[0], Population("out", (30,), found.rule, found.parameters)),
                    (Projection("in", "out", (Dense(weight),)),), TimeBase(1.0), readout="count")
    counts = np.random.default_rng(1).poisson(0.4, (20, 8)).astype(np.float64)
    np.testing.assert_array_equal(oracle.run(other, counts).spikes["out"], oracle.run(net, counts).spikes["out"])
