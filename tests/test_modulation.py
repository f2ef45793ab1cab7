"""Slower rules at group level equal the plain stepper."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim
from snnsim import AllToAll, FixedIndegree, Modulation, Network, OneToOne, Poisson, Population, Synapses, TimeBase
from snnsim.engine import Simulation, connections, source_output
from snnsim.neurons import LI, LIF, CubaLIF
from snnsim.rule import Fixed
from tests import oracle


def modulated(seed, groups=3, period=4.0, gain=0.125, slow=None):
    """Two populations of exact sums; the activity of groups of the first moves thresholds of both, and a decay."""
    rng = np.random.default_rng(seed)
    fast = LIF(reset="soft").rule
    populations = (Population("a", (24,), fast, {"decay": 0.5, "theta": 1.0}),
                   Population("b", (3, 2, 2), fast, {"decay": 0.5, "theta": rng.integers(4, 12, (3, 2, 2)) / 8.0}),
                   Population("noise", (24,), source=Poisson(400.0)))
    synapses = (Synapses("noise", "a", OneToOne(), 1.0, 0.5), Synapses("a", "b", FixedIndegree(4), 0.25, 1.0),
                Synapses("b", "a", AllToAll(), -0.125, 1.5))
    slow = slow or Fixed(LI().rule, {"decay": 0.5})
    here, there = rng.integers(-1, groups, 24), rng.integers(-1, groups, 12)
    modulations = (Modulation("a", "a", "theta", slow, here, here, period, gain),
                   Modulation("a", "b", "theta", slow, here, there, 2 * period, gain),
                   Modulation("b", "b", "theta", slow, there, there, period, gain / 2),
                   Modulation("b", "a", "decay", slow, there, here, period, -2.0**-7))
    return Network(populations, synapses=synapses, time=TimeBase(0.5), seed=seed, modulations=modulations)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.5, 4.0, 30.0]), st.sampled_from([1, 2, 3]),
       st.sampled_from([(80,), (1, 30, 49)]))
def test_equals_the_plain_stepper(seed, groups, period, threads, pieces):
    network = modulated(seed, groups, period)
    steps = sum(pieces)
    joined = [(c.source, c.target, c.weight, c.delay) for c in (connections(network, s) for s in network.synapses)]
    wanted = oracle.simulate(network, joined, {"noise": source_output(network, "noise", steps)}, steps)
    simulation = Simulation(network, threads=threads, precision="double", record=["b"], traces={"a": ("v", range(24))})
    recordings = [simulation.run(n * 0.5) for n in pieces]
    np.testing.assert_array_equal(np.concatenate([r.traces["a"].values for r in recordings]), wanted.output["a"])
    step, neuron = np.nonzero(wanted.spikes["b"])
    np.testing.assert_array_equal(np.concatenate([r.spikes["b"].step for r in recordings]), step)
    np.testing.assert_array_equal(np.concatenate([r.spikes["b"].neuron for r in recordings]), neuron)


def test_a_modulated_simulation_is_saved_in_the_middle_of_a_period_and_goes_on(tmp_path):
    network = modulated(3, slow=CubaLIF(tau=50.0, tau_syn=10.0, theta=4.0))
    simulation = Simulation(network, threads=1)
    simulation.run(21.5)
    simulation.save(tmp_path / "s.h5")
    loaded = Simulation.load(tmp_path / "s.h5", threads=2)
    assert loaded.run(40.0).digest() == simulation.run(40.0).digest()
    snnsim.save_network(network, tmp_path / "n.h5")
    again = Simulation(snnsim.load_network(tmp_path / "n.h5"), threads=1)
    assert again.run(61.5).digest() == Simulation(network, threads=1).run(61.5).digest()


def test_activity_raises_the_threshold_and_so_limits_itself():
    network = modulated(5, gain=1.0)
    inside = np.asarray(network.modulations[0].source_group) >= 0
    free, held = (np.bincount(Simulation(replace(network, modulations=m), threads=1).run(400.0).spikes["a"].neuron,
                              minlength=24) for m in ((), network.modulations[:1]))
    assert held[inside].sum() < 0.6 * free[inside].sum() and held[~inside].sum() > 0.9 * free[~inside].sum()


@pytest.mark.parametrize(("change", "sentence"), [
    ({"period": 4.2}, "period of modulation a->b.theta must be a whole number of steps of 0.5 ms, got 4.2"),
    ({"period": 0.0}, "period of modulation a->b.theta must be above 0"),
    ({"parameter": "tau"}, "parameter of modulation a->b.tau must be one of 'decay', 'theta', got 'tau'"),
    ({"source_group": [0, 1]}, "modulation a->b.theta: 2 group numbers for 24 neurons of 'a'"),
    ({"target_group": [-2] * 12}, "target_group of modulation a->b.theta must be a list of group numbers"),
    ({"source": "noise"}, "'noise' is not a population with a rule"),
    ({"gain": np.nan}, "gain of modulation a->b.theta must be finite"),
])
def test_impossible_modulations_are_refused(change, sentence):
    network = modulated(1)
    given_ = {"source": "a", "target": "b", "parameter": "theta", "neuron": LI(), "source_group": [0] * 24,
              "target_group": [0] * 12, "period": 4.0, "gain": 1.0, **change}
    with pytest.raises(ValueError, match=sentence):
        Network(network.populations, synapses=network.synapses, time=network.time, modulations=[Modulation(**given_)])
