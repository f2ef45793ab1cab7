"""The engine beyond equality: what it reports, records, refuses, and that nothing depends on how it is run."""

import numpy as np
import pytest

from snnsim import datasets, engine
from snnsim.distributions import Normal
from snnsim.engine import running
from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import IF, LI, LIF, AdaptiveLIF, CubaLIF
from snnsim.rule import Rule
from tests import oracle

RNG = np.random.default_rng(0)


def lif(name, shape, decay=0.5, theta=1.0, reset="soft"):
    return Population(name, shape, LIF(reset=reset).rule, {"decay": decay, "theta": theta})


def li(name, n, decay=0.5):
    return Population(name, (n,), LI().rule, {"decay": decay})


def same(network, dense, **options):
    """The engine's result, after checking it against the oracle; dense: [T, *input]."""
    expected, found = oracle.run(network, dense), engine.run(network, dense, **options)
    for p in network.populations[1:]:
        np.testing.assert_array_equal(found.spikes[p.name].dense()[:, 0], expected.spikes[p.name])
    assert found.prediction == expected.prediction
    return found


def small(dtype=np.float64, **kwargs):
    """8 -> 20 -> 3, arbitrary values."""
    rng = np.random.default_rng(1)
    return Network((Population("in", (2, 2, 2)), Population.of("a", (20,), LIF(tau=9.0), 1.0, dtype),
                    Population.of("out", (3,), LI(), 1.0, dtype)),
                   (Projection("in", "a", (Dense(rng.normal(0.3, 0.6, (20, 8)).astype(dtype)),)),
                    Projection("a", "out", (Dense(rng.normal(size=(3, 20)).astype(dtype)),))), **kwargs)


def test_every_default_neuron_in_float32():
    for neuron in (IF(), IF(reset="hard"), LIF(), LIF(reset="hard"), LIF(reset="none"), CubaLIF(), CubaLIF(reset="hard"),
                   AdaptiveLIF()):
        weight = RNG.normal(0.1, 0.5, (40, 12)).astype(np.float32)
        net = Network((Population("in", (12,)), Population.of("a", (40,), neuron, 1.0, np.float32)),
                      (Projection("in", "a", (Sparse(*csr(weight)),)),))
        assert net.dtype == np.float32
        dense = (RNG.random((200, 6, 12)) < 0.02).astype(np.float32)
        clock = engine.run(net, dense, mode="clock")
        event = engine.run(net, dense, exact=True)
        assert clock.scores.dtype == np.float32
        assert len(clock.spikes["a"]) > 0
        np.testing.assert_array_equal(event.spikes["a"].dense(), clock.spikes["a"].dense())
        np.testing.assert_array_equal(event.scores, clock.scores)


def csr(weight):
    outputs, inputs = weight.shape
    return np.arange(inputs + 1) * outputs, np.tile(np.arange(outputs), inputs), weight.T.ravel(), weight.shape


def test_exact_equals_the_clock_in_every_bit_and_a_leap_nearly():
    net = small(np.float32)
    sparse = Network((net.populations[0], net.populations[1], li("out", 3)),
                     (Projection("in", "a", (Sparse(*csr(RNG.normal(size=(20, 8)).astype(np.float32))),)),
                      net.projections[1]))
    dense = np.zeros((2000, 2, 2, 2), np.float32)
    dense[::137, 0] = 1
    for network in (net, sparse):
        clock, exact = (engine.run(network, dense, **o) for o in ({"mode": "clock"}, {"exact": True}))
        leapt = engine.run(network, dense)
        np.testing.assert_array_equal(exact.scores, clock.scores)
        np.testing.assert_allclose(leapt.scores, clock.scores, atol=1e-4)
        assert leapt.updates == exact.updates < 0.2 < clock.updates == 1.0


def conductance(v: float, ge: float, gi: float, decay: float, theta: float) -> float:
    return decay * v + ge * (1.0 - v) - gi * v


def margin(v: float, decay: float, theta: float) -> float:
    return v - theta


def reset(v: float, s: float, decay: float, theta: float) -> float:
    return v * (1.0 - s)


TWO = Rule("two_receptors", conductance, margin, reset, inputs=("ge", "gi"))


@pytest.mark.parametrize("mode", ["event", "clock"])
@pytest.mark.parametrize("neuron", [IF(), LIF(tau=2.0, decay="euler", reset="hard"),
                                    CubaLIF(tau=4.0, tau_syn=2.0, decay="euler")], ids=lambda n: n.rule.name)
def test_states_start_where_the_population_says(neuron, mode):
    """A value for each neuron, in the order of a convolution's targets; anew for each sample; above the threshold at rest."""
    rng = np.random.default_rng(3)
    rule, start = neuron.rule, {"v": rng.integers(-8, 24, (3, 4, 5)) / 8}
    values = neuron.step_parameters(1.0)
    net = Network((Population("in", (2, 6, 7)), Population("a", (3, 4, 5), rule, values, start),
                   Population("out", (4,), LI().rule, {"decay": 0.5}, {"v": 0.75})),
                  (Projection("in", "a", (Conv2d(rng.integers(-4, 9, (3, 2, 3, 3)) / 8),)),
                   Projection("a", "out", (Dense(rng.integers(-4, 5, (4, 60)) / 8),))))
    dense = (rng.random((9, 3, 2, 6, 7)) < 0.03).astype(float)
    dense[:3] = 0
    found = engine.run(net, dense, mode=mode, threads=1, record=["out"])
    for b in range(3):
        expected = oracle.run(net, dense[:, b])
        np.testing.assert_array_equal(found.spikes["a"].dense()[:, b], expected.spikes["a"])
        np.testing.assert_array_equal(found.membranes["out"][:, b], expected.output["out"])
    assert found.spikes["a"].dense()[0].any() and not found.spikes["a"].dense()[0].all()


def test_states_that_are_drawn_are_refused():
    net = Network((Population("in", (2,)), Population("a", (3,), IF().rule, {"theta": 1.0}, {"v": Normal(0.0, 1.0)})),
                  (Projection("in", "a", (Dense(np.ones((3, 2))),)),), readout="count")
    with pytest.raises(ValueError, match="this one has drawn initial states of 'a': simulate it with"):
        engine.run(net, np.ones((2, 2)))


def test_two_receptors_and_projections_of_one_name():
    net = Network((Population("in", (9,)), Population("a", (40,), TWO, {"decay": 0.5, "theta": 0.75}), li("out", 2)),
                  (Projection("in", "a", (Dense(RNG.integers(0, 5, (40, 9)) / 8),), receptor="ge"),
                   Projection("in", "a", (Dense(RNG.integers(0, 3, (40, 9)) / 8),), 0.125, 2, "gi"),
                   Projection("a", "out", (Dense(RNG.integers(-8, 9, (2, 40)) / 8),))))
    dense = (RNG.random((8, 9)) < 0.3).astype(float)
    found = same(net, dense)
    assert len(found.spikes["a"]) > 0
    assert found.synaptic_events["in->a"] == 40 * (dense.sum() + dense[:-2].sum())
    assert found.ticked == 1.0


def test_loops_with_delay_are_deterministic():
    weight = RNG.integers(-4, 6, (30, 30)) / 16
    net = Network((Population("in", (4,)), lif("a", (30,), 0.75), lif("b", (30,), 0.875, reset="hard")),
                  (Projection("in", "a", (Dense(RNG.integers(0, 8, (30, 4)) / 8),)),
                   Projection("a", "a", (Dense(weight),), delay=1),
                   Projection("a", "b", (Dense(weight.T),), delay=2), Projection("b", "a", (Dense(weight),), delay=3)),
                  readout="count")
    dense = (RNG.random((14, 6, 4)) < 0.5).astype(float)
    one = engine.run(net, dense, threads=1)
    assert len(one.spikes["b"]) > 20
    for b in range(6):
        np.testing.assert_array_equal(one.spikes["b"].dense()[:, b], oracle.run(net, dense[:, b]).spikes["b"])
    for threads in (1, 2, 3, 4, 9):
        again = engine.run(net, dense, threads=threads)
        for name in "ab":
            for field in ("step", "sample", "neuron"):
                np.testing.assert_array_equal(getattr(again.spikes[name], field), getattr(one.spikes[name], field))


def test_spikes_are_sorted_and_named_in_c_order():
    net = Network((Population("in", (1, 6, 6)), lif("a", (3, 6, 6))),
                  (Projection("in", "a", (Conv2d(RNG.integers(0, 8, (3, 1, 3, 3)) / 8, 1, 1),)),), readout="count")
    dense = (RNG.random((5, 4, 1, 6, 6)) < 0.3).astype(float)
    spikes = engine.run(net, dense, threads=2).spikes["a"]
    keys = list(zip(spikes.sample.tolist(), spikes.step.tolist(), spikes.neuron.tolist(), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == len(spikes) == spikes.dense().sum() > 0
    for b in range(4):
        fired = oracle.run(net, dense[:, b]).spikes["a"]
        mine = spikes.sample == b
        np.testing.assert_array_equal(np.argwhere(fired.reshape(5, -1)),
                                      np.stack([spikes.step[mine], spikes.neuron[mine]], 1))


@pytest.mark.parametrize("channels", [1, 2, 16, 17, 40])
def test_a_flat_population_reached_in_two_shapes(channels):
    net = Network((Population("in", (2, 4, 4)), lif("a", (channels * 8,))),
                  (Projection("in", "a", (Conv2d(RNG.integers(-4, 9, (channels, 2, 1, 2)) / 8, (2, 1), (0, 0)), Dense(
                      RNG.integers(-1, 2, (channels * 8, channels * 6)) / 8))),
                   Projection("in", "a", (Conv2d(RNG.integers(-4, 9, (channels, 2, 3, 1)) / 8, (1, 1)),)),
                   Projection("in", "a", (Conv2d(RNG.integers(-4, 9, (channels * 2, 2, 2, 2)) / 8, 2),)),
                   Projection("in", "a", (SumPool2d(2), Dense(RNG.integers(-4, 5, (channels * 8, 8)) / 8)))), readout="count")
    assert len(same(net, (RNG.random((9, 2, 4, 4)) < 0.2).astype(float)).spikes["a"]) > 0


def test_room_for_spikes_grows_when_it_runs_out(monkeypatch):
    net = Network((Population("in", (3,)), lif("a", (50,)), lif("b", (70,))),
                  (Projection("in", "a", (Dense(np.ones((50, 3))),)),
                   Projection("a", "b", (Dense(np.ones((70, 50))),), delay=2)),
                  readout="count")
    dense = np.ones((40, 3, 3))
    calm = engine.run(net, np.zeros((40, 3, 3)))  # teaches the network that spikes are few
    assert len(calm.spikes["b"]) == 0
    monkeypatch.setattr(running, "ROOM", 0)
    busy = engine.run(net, dense, threads=1)
    assert len(busy.spikes["a"]) == 50 * 40 * 3
    np.testing.assert_array_equal(busy.spikes["b"].dense()[:, 1], oracle.run(net, dense[:, 1]).spikes["b"])


def test_membranes_are_recorded_where_asked():
    net = small()
    dense = RNG.integers(0, 2, (30, 4, 2, 2, 2)).astype(float)
    found = engine.run(net, dense, record=("out", "a"), threads=2)
    assert list(found.membranes) == ["out", "a"]
    for b in range(4):
        expected = oracle.run(net, dense[:, b]).output
        np.testing.assert_allclose(found.membranes["a"][:, b], expected["a"], atol=1e-12)
        np.testing.assert_allclose(found.membranes["out"][:, b], expected["out"], atol=1e-12)
    assert engine.run(net, dense).membranes == {}


def test_ticked_names_the_share_of_neurons_that_never_sleep():
    def net(bias=None, theta=1.0, readout="count"):
        return Network((Population("in", (4,)), lif("a", (30,)), lif("b", (10,), theta=theta)),
                       (Projection("in", "a", (Dense(np.ones((30, 4))),), bias),
                        Projection("a", "b", (Dense(np.ones((10, 30))),))),
                       readout=readout)

    silent = np.zeros((5, 4))
    for network, share in ((net(), 0.0), (net(bias=0.0), 0.0), (net(bias=-0.1), 0.75), (net(theta=0.0), 0.25),
                           (net(readout="membrane"), 0.25)):
        found = same(network, silent)
        assert found.ticked == found.updates == share
    assert engine.run(net(), silent, record=("a",)).ticked == 0.75
    assert engine.run(net(), silent, mode="clock").updates == 1.0


def test_cost_follows_events_where_neurons_may_sleep():
    n, row = 4096, np.arange(4096)
    net = Network((Population("in", (n,)), lif("a", (n,))),
                  (Projection("in", "a", (Sparse(np.arange(n + 1), row, np.full(n, 0.5), (n, n)),)),), readout="count")
    dense = np.zeros((1000, n))
    dense[::100, 7] = 1
    found = engine.run(net, dense)
    assert found.updates == 10 * 16 / (1000 * n)
    assert found.synaptic_events == {"in->a": 10}


def test_events_are_binned_by_the_time_base():
    events = datasets.make_events([0, 900, 1000, 5200, 5300], [0, 0, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 1, 1])
    net = small(time=TimeBase(dt=1.0, steps=8))
    dense = np.zeros((8, 2, 2, 2))
    dense[0, 0, 0, 0], dense[1, 1, 1, 1], dense[5, 1, 0, 1] = 2, 1, 2
    expected = engine.run(net, dense)
    alone, listed = engine.run(net, events), engine.run(net, [events, events[:2]])
    batch = engine.run(net, datasets.bin_events([events], datasets.Sensor(2, 2), 1.0, 8))
    assert isinstance(alone.prediction, int)
    assert listed.prediction.shape == (2,)
    assert batch.prediction.tolist() == [alone.prediction]
    for found in (alone, batch):
        np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(listed.scores[0], expected.scores[0])
    clipped = engine.run(small(time=TimeBase(dt=1.0, steps=8, clip=True)), events)
    np.testing.assert_array_equal(clipped.scores, engine.run(net, np.minimum(dense, 1)).scores)


def test_a_prepared_network_is_prepared_once():
    net = small()
    prepared = engine.prepare(net)
    assert engine.prepare(net) is prepared
    dense = np.ones((5, 2, 2, 2))
    np.testing.assert_array_equal(engine.run(prepared, dense).scores, engine.run(net, dense).scores)


class Batch:
    def __init__(self, **changes):
        self.indptr, self.indices, self.values = np.array([0, 1, 2]), np.array([0, 7], np.int32), np.ones(2, np.float32)
        self.shape = (2, 1, 2, 2, 2)
        self.__dict__.update(changes)


GOOD = np.ones((5, 2, 2, 2))
EVENTS = datasets.make_events([5, 3], [0, 0], [0, 0], [0, 0])


@pytest.mark.parametrize(("events", "options", "sentence"), [
    (GOOD, {"mode": "both"}, "mode must be one of 'event', 'clock', got 'both'"),
    (GOOD, {"threads": 0}, "threads must be a positive whole number or None, got 0"),
    (GOOD, {"threads": True}, "threads must be a positive whole number or None, got True"),
    (GOOD, {"record": ("in",)}, "record must be one of 'a', 'out', got 'in'"),
    (GOOD * np.nan, {}, "events must be finite and not negative"),
    (-GOOD, {}, "events must be finite and not negative"),
    (GOOD.astype(complex), {}, "events must be numbers, got dtype complex128"),
    (GOOD[0], {}, r"events has shape \(2, 2, 2\), must be \(steps, \*\(2, 2, 2\)\)"),
    (np.ones((5, 8)), {}, r"events has shape \(5, 8\), must be"),
    (GOOD[:0], {}, "at least one step and one sample"),
    (np.ones((5, 0, 2, 2, 2)), {}, "at least one step and one sample"),
    ("file.bin", {}, "events must be an event array with the fields t, x, y, p, a list of them"),
    ([], {}, "events must be an event array .* got list of 0"),
    ([GOOD], {}, "events must be an event array .* got list of 1"),
    (EVENTS, {}, "recording 0: event 1 has t = 3 after 5: times must not run backwards"),
    ([EVENTS[:1], datasets.make_events([1], [2], [0], [1])], {}, "recording 1: event 0 has x = 2, y = 0: outside the sensor"),
    (Batch(shape=(2, 1, 9)), {}, r"events has shape \(2, 1, 9\), must be \(steps, samples, \*\(2, 2, 2\)\)"),
    (Batch(shape=(2, 1)), {}, r"events has shape \(2, 1\), must be"),
    (Batch(indptr=np.array([0, 2])), {}, "indptr of events must rise from 0 to the number of indices"),
    (Batch(indptr=np.array([0, 3, 2])), {}, "indptr of events must rise from 0 to the number of indices"),
    (Batch(indices=np.array([0, 8])), {}, r"indices of events must lie in 0 .. 7, got 0 .. 8"),
    (Batch(indices=np.array([-1, 2])), {}, r"indices of events must lie in 0 .. 7, got -1 .. 2"),
    (Batch(values=np.ones(3)), {}, "values of events has shape"),
    (Batch(values=np.array([1, np.inf])), {}, "values of events must be finite and not negative")])
def test_what_does_not_fit_is_refused(events, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        engine.run(small(), events, **options)


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="network must be a Network, got str"):
        engine.run("net.h5", GOOD)
    net = Network((Population("in", (3, 2, 2)), li("out", 2)), (Projection("in", "out", (Dense(np.ones((2, 12))),)),))
    with pytest.raises(ValueError, match=r"events have at most 2 polarities, but the network's input has shape \(3, 2, 2\)"):
        engine.run(net, EVENTS[:1])

    class Strange(Map):
        def output_shape(self, shape): return shape
        def apply(self, s): return s
        def arrays(self): return {}

    with pytest.raises(TypeError, match="the engine has no kernel for the map Strange"):
        engine.run(Network((Population("in", (2,)), li("out", 2)), (Projection("in", "out", (Strange(),)),)), np.ones((3, 2)))
