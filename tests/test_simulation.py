"""A simulation of populations equals the oracle, for any number of threads and any chunking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.engine import Simulation, connections, source_output
from tests import oracle
from tests.population_networks import networks

STEPS = 60


def expected(network):
    joined = []
    for s in network.synapses:
        c = connections(network, s)
        joined.append((c.source, c.target, c.weight, c.delay))
    sent = {p.name: source_output(network, p.name, STEPS) for p in network.populations if p.source is not None}
    return oracle.simulate(network, joined, sent, STEPS), joined


def agrees(network, threads, pieces):
    wanted, _ = expected(network)
    ruled = [p for p in network.populations if p.rule is not None]
    simulation = Simulation(network, threads=threads, precision="double",
                            traces={p.name: (p.rule.states[-1], range(p.size)) for p in ruled})
    recordings = [simulation.run(n * network.time.dt) for n in pieces]
    for p in ruled:
        dense = np.zeros((STEPS, p.size))
        for r in recordings:
            dense[r.spikes[p.name].step, r.spikes[p.name].neuron] += 1
        np.testing.assert_array_equal(dense, wanted.spikes[p.name])
        traces = np.concatenate([r.traces[p.name].values for r in recordings])
        np.testing.assert_array_equal(traces, wanted.output[p.name])
        counts = np.concatenate([r.counts[p.name] for r in recordings])
        np.testing.assert_array_equal(counts, wanted.spikes[p.name].sum(1))


@settings(max_examples=100, deadline=None)
@given(networks(), st.sampled_from([1, 2, 3]), st.sampled_from([(60,), (1, 59), (7, 20, 33)]))
def test_equals_the_oracle(network, threads, pieces):
    agrees(network, threads, pieces)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(networks(), st.sampled_from([1, 2, 3, 4, 8]), st.sampled_from([(60,), (1, 59), (7, 20, 33)]))
def test_equals_the_oracle_on_many_networks(network, threads, pieces):
    agrees(network, threads, pieces)
