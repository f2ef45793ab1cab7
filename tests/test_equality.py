"""One network, one answer: the oracle, event by event, clock by clock, on any number of threads."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim import engine
from snnsim.engine import running
from snnsim.maps import Dense, Sparse
from snnsim.network import Network, Population, Projection
from tests import oracle
from tests.networks import FIRING, STEPS, VALUES, counts, eighths, networks, sequential_networks

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def synaptic_events(network, spikes):
    """Of each projection, by brute force: every map with all weights 1, counted for every spike."""
    found = {}
    for q in network.projections:
        total = 0
        for t in range(max(0, len(spikes[q.source]) - q.delay)):
            s = spikes[q.source][t]
            for m in q.maps:
                reach = np.zeros(s.size)
                for i in np.flatnonzero(s):
                    one = np.zeros(s.size)
                    one[i] = 1
                    reach[i] = ones(m).apply(one.reshape(s.shape)).sum()
                total += int(reach[np.flatnonzero(s)].sum())
                s = m.apply(s)
        found[q.name] = found.get(q.name, 0) + total
    return found


def ones(m):
    arrays = {k: np.ones_like(v) for k, v in m.arrays().items() if k == "weight"}
    rest = {f: getattr(m, f) for f in m.__dataclass_fields__ if f not in arrays}
    return type(m)(**arrays, **rest)


def check(network, dense):
    """dense: [T, B, *input]. Every way to run it gives the oracle's spikes, scores and predictions."""
    expected = [oracle.run(network, dense[:, b]) for b in range(dense.shape[1])]
    names = [p.name for p in network.populations[1:]]
    out = network.output
    scores = np.stack([(e.output[out].mean(0) if network.readout == "membrane" else e.spikes[out].sum(0)).ravel()
                       for e in expected])
    for mode, threads, exact in itertools.product(("event", "clock"), (1, 2, 4), (False, True)):
        found = engine.run(network, dense, mode=mode, threads=threads, exact=exact)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.prediction, [e.prediction for e in expected])
        for name in names:
            fired = np.stack([e.spikes[name] for e in expected], 1)
            np.testing.assert_array_equal(found.spikes[name].dense(), fired)
            np.testing.assert_array_equal(found.counts[name], fired.sum((0, *range(2, fired.ndim))))
    recorded = engine.run(network, dense, record=names)
    for name in names:
        np.testing.assert_array_equal(recorded.membranes[name], np.stack([e.output[name] for e in expected], 1))
    alone = engine.run(network, dense[:, 0])
    assert alone.prediction == expected[0].prediction
    assert alone.synaptic_events == synaptic_events(network, expected[0].spikes)


@pytest.fixture(autouse=True)
def leap_soon(monkeypatch):
    monkeypatch.setattr(running, "LEAP_FROM", 2)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=QUIET, derandomize=True)
def test_engine_equals_oracle(data):
    network = data.draw(networks())
    check(network, data.draw(counts(network)))


@pytest.mark.parametrize("each", [False, True], ids=["alike", "each"])
@pytest.mark.parametrize("rule", FIRING, ids=lambda r: r.name)
def test_neurons_that_sleep_between_events(rule, each):
    """Few events and long silences, so that what a neuron keeps over a leap decides whether it fires."""
    calm = {**VALUES, "keep": (0.25, 0.5), "theta": (1.5, 2.0)}
    slept = fired = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = {p: rng.choice(calm[p], (20,) if each else ()) for p in rule.parameters}
        weight = eighths(rng, (20, 6))
        indptr, targets = np.arange(7) * 20, np.tile(np.arange(20), 6)
        nets = [Network((Population("in", (6,)), Population("a", (20,), rule, values)), (Projection("in", "a", (m,)),),
                        readout="count") for m in (Dense(weight), Sparse(indptr, targets, weight.T.ravel(), (20, 6)))]
        dense = np.zeros((STEPS, 2, 6))
        dense[[0, 4, 7, 8, 11]] = rng.random((5, 2, 6)) < 0.4
        for network in nets:
            check(network, dense)
            found = engine.run(network, dense)
            slept, fired = slept + (found.updates < 0.9), fired + len(found.spikes["a"])
    assert slept > 2
    assert fired > 50


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=QUIET, derandomize=True)
def test_engine_equals_oracle_on_chains_of_layers(data):
    network = data.draw(sequential_networks())
    check(network, data.draw(counts(network)))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=500, deadline=None, suppress_health_check=QUIET)
def test_engine_equals_oracle_on_many(data):
    network = data.draw(networks())
    check(network, data.draw(counts(network)))
