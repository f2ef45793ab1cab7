"""Synapses that change equal the plain stepper and the analytic curves, for any number of threads."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim
from snnsim import (
    STDP,
    AllToAll,
    FixedIndegree,
    Network,
    Normal,
    OneToOne,
    Pairs,
    Poisson,
    Population,
    SpikeTimes,
    Synapses,
    TimeBase,
    TsodyksMarkram,
    Uniform,
)
from snnsim.engine import Simulation, connections, source_output
from snnsim.neurons import LIF, PscExp
from tests import oracle


def learning(seed, plasticity, delay, connect=None):
    """Noise into two small populations that excite each other through plastic synapses, beside fixed ones."""
    neuron = PscExp(drive=320.0)
    rng = np.random.default_rng(seed)
    populations = (Population.of("E", 31, neuron, 0.1, initial={"v": rng.uniform(-65.0, -50.0, 31)}),
                   Population.of("I", 9, neuron, 0.1, initial={"v": rng.uniform(-65.0, -50.0, 9)}),
                   Population("noise", (31,), source=Poisson(9000.0)), Population("few", (5,), source=Poisson(300.0)))
    connect = connect or FixedIndegree(7)
    synapses = (Synapses("noise", "E", OneToOne(), 87.8, 0.1), Synapses("I", "E", AllToAll(), -50.0, 1.0),
                Synapses("E", "E", connect, Uniform(20.0, 80.0), delay, plasticity=plasticity),
                Synapses("E", "I", FixedIndegree(12), Uniform(20.0, 80.0), delay, plasticity=plasticity),
                Synapses("few", "I", AllToAll(), 50.0, 0.5, plasticity=plasticity))
    return Network(populations, synapses=synapses, time=TimeBase(0.1), seed=seed)


STDPS = st.builds(STDP, a_plus=st.sampled_from([0.5, 2.0, -1.0]), a_minus=st.sampled_from([0.6, 3.0]),
                  w_max=st.just(100.0), w_min=st.sampled_from([0.0, 10.0]), tau_plus=st.sampled_from([5.0, 20.0]),
                  tau_minus=st.sampled_from([5.0, 30.0]))
SOFT = st.builds(STDP, a_plus=st.just(0.05), a_minus=st.just(0.06), w_max=st.just(100.0), multiplicative=st.just(True))
SHORT = st.builds(TsodyksMarkram, U=st.sampled_from([0.2, 0.5, 1.0]), tau_rec=st.sampled_from([20.0, 300.0]),
                  tau_facil=st.sampled_from([0.0, 100.0]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.one_of(STDPS, SOFT, SHORT), st.sampled_from([1, 2, 3]),
       st.sampled_from([0.1, 1.7, Uniform(0.1, 3.0)]), st.sampled_from([(1200,), (1, 500, 699)]))
def test_equals_the_plain_stepper(seed, plasticity, threads, delay, pieces):
    network = learning(seed, plasticity, delay)
    steps = sum(pieces)
    joined = [(c.source, c.target, c.weight, c.delay) for c in (connections(network, s) for s in network.synapses)]
    sent = {p.name: source_output(network, p.name, steps) for p in network.populations if p.source is not None}
    wanted = oracle.simulate(network, joined, sent, steps)
    simulation = Simulation(network, threads=threads, precision="double")
    recordings = [simulation.run(n * 0.1) for n in pieces]
    for name in ("E", "I"):
        fired = np.concatenate([r.spikes[name].step * 100 + r.spikes[name].neuron for r in recordings])
        step, neuron = np.nonzero(wanted.spikes[name])
        np.testing.assert_array_equal(fired, step * 100 + neuron)
    for s, j in zip(network.synapses[2:], joined[2:], strict=True):
        found = simulation.connections(s)
        np.testing.assert_array_equal(found.target, j[1])
        np.testing.assert_allclose(found.weight, j[2], rtol=1e-9)


def pair(plasticity, pre, post, weight=5.0, delay=1.0):
    """One synapse between two neurons that fire when they are told to."""
    neuron = LIF(tau=0.01, theta=1.0)
    populations = (Population.of("a", 1, neuron, 0.1), Population.of("b", 1, neuron, 0.1),
                   Population("pre", (1,), source=SpikeTimes(pre)), Population("post", (1,), source=SpikeTimes(post)))
    changing = Synapses("a", "b", Pairs([0], [0]), weight * 1e-3, delay, plasticity=plasticity)
    network = Network(populations, synapses=(
        Synapses("pre", "a", AllToAll(), 2.0, 0.1), Synapses("post", "b", AllToAll(), 2.0, 0.1), changing),
        time=TimeBase(0.1))
    return network, changing


@pytest.mark.parametrize("lag", [-60.0, -20.0, -5.0, -0.1, 0.0, 0.1, 5.0, 20.0, 60.0])
def test_the_window_of_a_pair_is_the_analytic_curve(lag):
    """lag: how long after the source's spike the target's reaches the synapse, ms."""
    rule = STDP(a_plus=1e-4, a_minus=1.2e-4, w_max=1.0, tau_plus=17.0, tau_minus=34.0)
    network, changing = pair(rule, [100.0], [100.0 + lag - 1.0])
    simulation = Simulation(network, threads=1, precision="double")
    simulation.run(300.0)
    change = simulation.connections(changing).weight[0] - 5e-3
    wanted = 1e-4 * np.exp(-lag / 17.0) if lag > 0 else -1.2e-4 * np.exp(lag / 34.0) if lag < 0 else 0.0
    assert change == pytest.approx(wanted, rel=1e-9, abs=1e-15)


def test_depression_of_a_regular_train_reaches_its_fixed_point():
    """r* = (1 - e) / (1 - (1 - U) e) with e = exp(-T / tau_rec)."""
    rule = TsodyksMarkram(U=0.4, tau_rec=120.0)
    network, _ = pair(rule, np.arange(1, 100) * 25.0, [], weight=500.0)
    trace = Simulation(network, threads=1, precision="double", traces={"b": ("v", [0])}).run(2490.0).traces["b"].values[:, 0]
    peaks = trace[trace > 0.01]
    e = np.exp(-25.0 / 120.0)
    assert peaks[0] == pytest.approx(0.5 * 0.4) and peaks[-1] == pytest.approx(0.5 * 0.4 * (1 - e) / (1 - 0.6 * e), rel=1e-9)


@pytest.mark.usefixtures("most_shared")
@pytest.mark.parametrize("plasticity", [STDP(0.5, 0.6, 100.0), TsodyksMarkram(0.3, 100.0, 50.0)])
def test_spikes_and_weights_do_not_depend_on_threads_and_survive_a_save(tmp_path, plasticity):
    network = learning(5, plasticity, Uniform(0.1, 3.0))
    changing = network.synapses[2]
    found = []
    for threads, pieces in ((1, (90.0,)), (2, (90.0,)), (3, (0.3, 49.7, 40.0)), (8, (90.0,))):
        simulation = Simulation(network, threads=threads)
        digests = [simulation.run(ms) for ms in pieces]
        found.append((sum(int(r.counts["E"].sum()) for r in digests), simulation.connections(changing).weight.tobytes()))
    assert len(set(found)) == 1 and found[0][0] > 50
    simulation = Simulation(network, threads=2)
    simulation.run(41.3)
    simulation.save(tmp_path / "s.h5")
    loaded = Simulation.load(tmp_path / "s.h5", threads=3)
    again = loaded.network.synapses[2]
    assert loaded.run(48.7).digest() == simulation.run(48.7).digest()
    assert loaded.connections(again).weight.tobytes() == simulation.connections(changing).weight.tobytes() == found[0][1]


def test_room_for_remembered_spikes_grows():
    network = learning(1, STDP(0.5, 0.6, 100.0), 1.0)
    simulation, tight = Simulation(network, threads=2), Simulation(network, threads=2)
    tight._plastic = snnsim.engine.plan_plastic.with_room(tight._plastic._replace(
        spike_step=tight._plastic.spike_step[:, :90].copy(), spike_trace=tight._plastic.spike_trace[:, :90].copy(),
        spike_before=tight._plastic.spike_before[:, :90].copy(), pending=tight._plastic.pending[:, :90].copy()), 90)
    assert tight.run(80.0).digest() == simulation.run(80.0).digest()
    assert tight._plastic.pending.shape[1] > 90


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: STDP(np.nan, 1.0, 1.0), "a_plus of STDP must be finite"),
    (lambda: STDP(1.0, 1.0, 0.0), "w_max of STDP must be above 0"),
    (lambda: STDP(1.0, 1.0, 1.0, tau_plus=0.0), "tau_plus of STDP must be above 0"),
    (lambda: TsodyksMarkram(U=1.5), "U of TsodyksMarkram must be at most 1, got 1.5"),
    (lambda: TsodyksMarkram(U=0.0), "U of TsodyksMarkram must be above 0"),
    (lambda: learning(1, STDP(0.1, 0.1, w_max=50.0), 1.0), "must start within w_min .. w_max of its STDP"),
    (lambda: Simulation(learning(1, STDP(0.1, 0.1, 100.0), 1.0), precision="packed"), "plastic synapses need precision"),
    (lambda: replace(learning(1, None, 1.0).synapses[2], weight=Normal(1.0, 1.0), plasticity=4), "plasticity of synapses E->E"),
])
def test_impossible_plasticity_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
