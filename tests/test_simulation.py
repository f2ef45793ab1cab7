"""A simulation of populations equals the oracle, for any number of threads and any chunking."""

import gc
import os
import resource
import signal
import threading
from dataclasses import replace
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim
from benchmarks.networks import brunel
from snnsim import (
    AllToAll,
    Bernoulli,
    Dense,
    FixedIndegree,
    FixedOutdegree,
    FixedTotal,
    Network,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Projection,
    SpikeTimes,
    StepCurrent,
    Synapses,
    TimeBase,
    Uniform,
    engine,
)
from snnsim.engine import Simulation, connections, source_output
from snnsim.engine import layout as engine_layout
from snnsim.neurons import LIF, CondExp, PscExp
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


def agrees(network, threads, pieces, most_shared):
    """most_shared: neurons of networks that are laid out as small ones."""
    with patch.object(engine_layout, "MOST_SHARED", most_shared):
        _agrees(network, threads, pieces)


def _agrees(network, threads, pieces):
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
@given(networks(), st.sampled_from([1, 2, 3]), st.sampled_from([(60,), (1, 59), (7, 20, 33)]),
       st.sampled_from([0, 1000]))
def test_equals_the_oracle(network, threads, pieces, most_shared):
    agrees(network, threads, pieces, most_shared)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(networks(), st.sampled_from([1, 2, 3, 4, 8]), st.sampled_from([(60,), (1, 59), (7, 20, 33)]),
       st.sampled_from([0, 1000]))
def test_equals_the_oracle_on_many_networks(network, threads, pieces, most_shared):
    agrees(network, threads, pieces, most_shared)


def small(**changes):
    """Two populations with drawn weights and delays, noise, and enough of everything to fire."""
    neuron = PscExp(drive=300.0)
    populations = (Population.of("E", 400, neuron, 0.1, initial={"v": Normal(-58.0, 5.0)}),
                   Population.of("I", 101, neuron, 0.1, initial={"v": Normal(-58.0, 5.0)}),
                   Population("noise", (400,), source=Poisson(9000.0)), Population("few", (3,), source=Poisson(50.0)),
                   Population("given", (2,), source=SpikeTimes([0.0, 1.0, 1.0, 31.25, 40.0], [0, 1, 1, 0, 1])),
                   Population("current", (1,), source=StepCurrent([5.0, 35.0], [200.0, -50.0])))
    rise = Normal(1.5, 0.75, 0.1, 4.0)
    synapses = (Synapses("noise", "E", OneToOne(), 87.8, 0.1), Synapses("few", "I", Bernoulli(0.5), 900.0, rise),
                Synapses("given", "E", FixedOutdegree(20), 500.0, 0.3), Synapses("current", "I", AllToAll(), 1.0, 0.1),
                Synapses("E", "E", FixedIndegree(40), Normal(80.0, 8.0, low=0.0), rise),
                Synapses("E", "I", FixedTotal(8000), Uniform(60.0, 100.0), rise),
                Synapses("I", "E", Bernoulli(0.2), Normal(-300.0, 30.0, high=0.0), Uniform(0.1, 1.0)),
                Synapses("I", "I", AllToAll(False), -100.0, 0.8))
    return Network(populations, synapses=synapses, time=TimeBase(0.1), seed=3, **changes)


@pytest.mark.usefixtures("most_shared")
@pytest.mark.parametrize("precision", ["single", "double", "packed"])
def test_spikes_do_not_depend_on_threads_chunks_or_what_is_recorded(precision):
    def digest(threads, pieces, **options):
        simulation = Simulation(small(), threads=threads, precision=precision, **options)
        recordings = [simulation.run(ms) for ms in pieces]
        assert all(len(r.spikes["E"]) > 100 for r in recordings[-1:])
        step = np.concatenate([r.spikes["E"].step for r in recordings])
        return hash((step.tobytes(), np.concatenate([r.spikes["E"].neuron for r in recordings]).tobytes(),
                     sum(int(r.counts["I"].sum()) for r in recordings)))

    wanted = digest(1, [60.0])
    assert {digest(n, [60.0]) for n in (2, 3, 4, 8)} == {wanted}
    assert digest(2, [0.1, 20.0, 39.9]) == wanted
    assert digest(1, [60.0], record=["E"], traces={"I": ("v", [0, 100])}) == wanted


def distant(later):
    """The same with all delays some ms longer, so that threads need not wait for each other in each step."""

    def moved(delay):
        return replace(delay, mean=delay.mean + later, low=delay.low + later, high=delay.high + later) if isinstance(
            delay, Normal) else replace(delay, low=delay.low + later, high=delay.high + later) if isinstance(
            delay, Uniform) else delay + later

    network = small()
    return replace(network, synapses=tuple(s if s.source in ("noise", "current") else replace(s, delay=moved(s.delay))
                                           for s in network.synapses))


@pytest.mark.usefixtures("most_shared")
@pytest.mark.parametrize("later", [0.6, 2.5])
def test_threads_that_seldom_meet_and_saves_between_their_meetings(tmp_path, later):
    network = distant(later)
    wanted = Simulation(network, threads=1).run(60.0)
    assert len(wanted.spikes["E"]) > 1000
    for threads, before in ((2, 0.1), (3, 7.7), (8, 20.5)):
        simulation = Simulation(network, threads=threads)
        simulation.run(before)
        simulation.save(tmp_path / "s.h5")
        for s in (simulation, Simulation.load(tmp_path / "s.h5", threads=threads - 1)):
            after = s.run(60.0 - before)
            for name, train in wanted.spikes.items():
                late = train.step >= after.start
                assert np.array_equal(after.spikes[name].step, train.step[late])
                assert np.array_equal(after.spikes[name].neuron, train.neuron[late])


def test_packed_sums_do_not_overflow_where_everything_arrives_at_once():
    """100,000 inputs of full weight in one step: 1e5 x 32767 would pass 32 bits."""
    neuron = LIF(tau=0.01, theta=1e6)
    network = Network((Population("s", (100_000,), source=SpikeTimes(np.zeros(100_000), np.arange(100_000))),
                       Population.of("a", 1, neuron, 0.1)), time=TimeBase(0.1), synapses=[
        Synapses("s", "a", AllToAll(), np.concatenate([np.ones(99_999), [0.5]])[None, :], 0.1)])
    found = Simulation(network, threads=1, precision="packed", traces={"a": ("v", [0])}).run(0.3).traces["a"].values
    assert found[1, 0] == pytest.approx(99_999.5, rel=1e-3)


def test_the_seed_changes_the_spikes_and_nothing_else_does():
    first, again = (Simulation(small(), threads=2).run(40.0).digest() for _ in range(2))
    assert first == again != Simulation(replace(small(), seed=4), threads=2).run(40.0).digest()


@pytest.mark.usefixtures("most_shared")
@pytest.mark.parametrize("precision", ["single", "double", "packed"])
def test_a_saved_simulation_goes_on_bit_for_bit(tmp_path, precision):
    simulation = Simulation(small(), threads=2, precision=precision)
    simulation.run(17.3)
    simulation.save(tmp_path / "under way.h5")
    wanted = simulation.run(30.0)
    loaded = Simulation.load(tmp_path / "under way.h5", threads=3)
    assert loaded.time == pytest.approx(17.3) and loaded.precision == precision
    assert loaded.run(30.0).digest() == wanted.digest()
    for name in ("v", "i", "ref"):
        np.testing.assert_array_equal(loaded.state("E", name), simulation.state("E", name))


def test_a_simulation_saved_before_its_first_step_starts_there(tmp_path):
    simulation = Simulation(small(), threads=2)
    simulation.save(tmp_path / "s.h5")
    assert Simulation.load(tmp_path / "s.h5", threads=1).run(20.0).digest() == simulation.run(20.0).digest()


def test_a_damaged_save_is_refused_with_its_name(tmp_path):
    path = tmp_path / "s.h5"
    Simulation(small(), threads=1).save(path)
    with h5py.File(path, "a") as f:
        del f["states/0/v"]
        f["states/0/v"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"s\.h5 is damaged: it holds float64 \(3,\) where float32 \(400,\) belong"):
        Simulation.load(path, threads=1)
    simulation = Simulation(small(), threads=1)
    simulation.run(5.0)
    for name, values in (("sender", 10**6), ("sender", -1), ("count", -1), ("count", 10**6)):
        simulation.save(path)
        with h5py.File(path, "a") as f:
            f["sent"][name][:] = values
        with pytest.raises(ValueError, match=r"s\.h5 is damaged: its lists of spikes under way do not fit"):
            Simulation.load(path, threads=1)
    snnsim.save_network(small(), path)
    with pytest.raises(ValueError, match=r"s\.h5 is not a saved simulation of snnsim .* its format is 'snnsim network'"):
        Simulation.load(path, threads=1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"s\.h5 is not a saved simulation of snnsim"):
        Simulation.load(path, threads=1)


def test_an_interrupt_leaves_the_simulation_between_two_steps():
    simulation, whole = Simulation(small(), threads=2), Simulation(small(), threads=2)
    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        simulation.run(1e6)
    timer.join()
    done = simulation.time
    assert done > 0
    whole.run(done)
    assert simulation.run(30.0).digest() == whole.run(30.0).digest()


def test_initial_states_broadcast_to_the_shape():
    p = Population.of("a", (2, 1, 3), LIF(), 1.0, initial={"v": np.array([0.1, 0.2, 0.3])})
    simulation = Simulation(Network((p,), synapses=[Synapses("a", "a", OneToOne())]), threads=1)
    np.testing.assert_allclose(simulation.state("a", "v"), [0.1, 0.2, 0.3] * 2, rtol=1e-6)


def test_room_for_spikes_grows():
    """Every neuron fires at every step: far more spikes than fit at first."""
    neuron = LIF(tau=10.0, theta=0.5)
    network = Network((Population.of("a", 300, neuron, 1.0), Population("c", (1,), source=StepCurrent([0.0], [1.0]))),
                      synapses=(Synapses("c", "a", AllToAll()),))
    simulation = Simulation(network, threads=2)
    simulation._room = 2 * simulation._work.fired.shape[2] * simulation._layout.together
    recording = simulation.run(1000.0)
    assert len(recording.spikes["a"]) == 999 * 300 == recording.counts["a"].sum()
    assert np.array_equal(recording.spikes["a"].step, np.repeat(np.arange(1, 1000), 300))


BAD = {
    "threads must be a positive whole number or None, got 0": lambda: Simulation(small(), threads=0),
    "precision must be one of": lambda: Simulation(small(), precision="half"),
    "record must be one of 'E', 'I', got 'noise'": lambda: Simulation(small(), record=["noise"]),
    "state of traces of 'E' must be one of 'ref', 'i', 'v', got 'u'": lambda: Simulation(small(), traces={"E": ("u", [0])}),
    r"neurons of traces of 'E' must be a list of numbers in 0 .. 399": lambda: Simulation(small(), traces={"E": ("v", [400])}),
    "duration must be a whole number of steps of 0.1 ms, got 0.05": lambda: Simulation(small(), threads=1).run(0.05),
    "duration must be above 0": lambda: Simulation(small(), threads=1).run(-1.0),
    "delay of synapses E->I must be at least one step": lambda: joined(delay=0.0),
    r"delay of synapses E->I must be at least one step \(0.1 ms\), got -1 ms": lambda: joined(delay=-1.0),
    "delay of synapses E->I has no upper bound": lambda: joined(delay=Normal(1.0, 0.1, low=0.1)),
    "the longest is 10000 steps": lambda: joined(delay=2000.0),
    "probability of Bernoulli must lie from 0 to 1, got 1.5": lambda: joined(connect=Bernoulli(1.5)),
    "FixedIndegree wants 401 different sources, but there are only 400":
        lambda: joined(connect=FixedIndegree(401, multiple=False)),
    "OneToOne joins populations of one size, got 400 sources and 101 targets": lambda: joined(connect=OneToOne()),
    "weight of synapses E->I is an array, but Bernoulli draws the pairs": lambda: joined(weight=np.ones(3)),
    r"weight of synapses E->I has shape \(3,\), must be \(101, 400\)": lambda: joined(connect=AllToAll(), weight=np.ones(3)),
    "weight of synapses E->I must be finite": lambda: joined(weight=np.nan),
    "receptor 'g' is not one of": lambda: joined(receptor="g"),
    "there is no population 'X'": lambda: joined(source="X"),
    "ends at a source": lambda: joined(target="noise"),
    "low of Normal must be below high": lambda: Normal(0.0, 1.0, low=1.0, high=1.0),
    "hardly ever falls in 9 .. 10": lambda: Normal(0.0, 1.0, low=9.0, high=10.0),
    "rate of Poisson must be at least 0": lambda: Poisson(-1.0),
    "neuron of SpikeTimes must lie in 0 .. 0, got 0 .. 1":
        lambda: Population("s", (1,), source=SpikeTimes([1.0, 2.0], [0, 1])),
    "times of StepCurrent must be a rising list": lambda: StepCurrent([1.0, 1.0], [0.0, 0.0]),
    "positive sizes": lambda: Population("s", (0,), source=Poisson(1.0)),
    "initial 'v' of population 'E' must be finite": lambda: Population.of("E", 3, PscExp(), 0.1, initial={"v": np.inf}),
    "a conductance, got -1": lambda: Network(
        (Population.of("E", 3, CondExp(), 0.1),), synapses=[Synapses("E", "E", AllToAll(), -1.0, 1.0, "ex")]),
    "spikes of a neuron in a step of 0.1 ms; at most 10000": lambda: Simulation(Network(
        (Population.of("E", 3, PscExp(), 0.1), Population("n", (3,), source=Poisson(2e8))),
        synapses=[Synapses("n", "E", OneToOne())], time=TimeBase(0.1))),
    "this one has projections: run it with snnsim.engine.run": lambda: Simulation(Network(
        (Population("i", (1,)), Population.of("E", 1, LIF(), 1.0)), [Projection("i", "E", (Dense([[1.0]]),))])),
    "the network has 1,000,000,000,000 neurons; at most 2,147,483,647 can be numbered": lambda: Simulation(Network(
        (Population.of("E", 10**12, PscExp(), 0.1),), synapses=[Synapses("E", "E", FixedOutdegree(1))])),
    "engine.run takes networks of projections": lambda: engine.run(small(), np.zeros((3, 4))),
}


def joined(**changes):
    s = Synapses(**{"source": "E", "target": "I", "connect": Bernoulli(0.1), **changes})
    return Network(small().populations, synapses=(s,), time=TimeBase(0.1))


@pytest.mark.parametrize("sentence", BAD)
def test_impossible_networks_are_refused(sentence):
    with pytest.raises(ValueError, match=sentence):
        BAD[sentence]()


def test_more_synapses_than_memory_are_refused_before_anything_is_built():
    large = Network((Population.of("E", 1_000_000, PscExp(), 0.1),), synapses=[
        Synapses("E", "E", FixedOutdegree(100_000), Normal(1.0, 0.1), 1.0)], time=TimeBase(0.1))
    with pytest.raises(MemoryError, match=r"needs about \d+\.\d GiB for 100,000,000,000 synapses, but \d+\.\d GiB are free"):
        Simulation(large)
    assert engine.estimate(large).bytes > 6e11


def test_networks_of_synapses_are_saved_and_loaded_equal(tmp_path):
    network = small()
    snnsim.save_network(network, tmp_path / "n.h5")
    loaded = snnsim.load_network(tmp_path / "n.h5")
    assert Simulation(loaded, threads=2).run(30.0).digest() == Simulation(network, threads=1).run(30.0).digest()
    assert repr(loaded) == repr(network)


def test_cycles_leave_nothing_behind():
    network = Network(small().populations[:2], synapses=[Synapses("E", "I", FixedTotal(50))], time=TimeBase(0.1))

    def cycles(n):
        for _ in range(n):
            Simulation(network, threads=2).run(0.2)
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(os.listdir("/proc/self/fd"))

    before = cycles(50)
    after = cycles(200)
    assert after[0] - before[0] < 5 * 1024 and after[1] <= before[1]


@pytest.mark.slow
def test_a_thousand_million_synaptic_events_leave_nothing_behind():
    """A balanced network that sends some 5e8 synaptic events in each second of its time."""
    simulation = Simulation(brunel(), threads=2, record=[])
    events = simulation.run(1000.0).synaptic_events
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        events += simulation.run(1000.0).synaptic_events
    assert events > 1e9
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5 * 1024
