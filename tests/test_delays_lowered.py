"""Delays of synapses in a Network: the engine against the oracle and the net, stored, lowered, refused. Card 4."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim import Delayed, Dense, Network, Population, Projection, TimeBase, engine, lower
from snnsim.hardware import nir
from snnsim.network_file import load_network, save_network
from snnsim.neurons import LI, LIF
from tests import networks, oracle


@st.composite
def delayed_networks(draw):
    """A network of exact arithmetic, some of whose dense maps have delays."""
    network = draw(networks.networks())
    rng = draw(networks.generators())

    def late(m, last):
        if not (last and isinstance(m, Dense) and draw(st.booleans())):
            return m
        shape = np.shape(m.weight)
        weight = np.asarray(m.weight) * (rng.random(shape) < draw(st.sampled_from((1.0, 0.5))))
        return Delayed(weight, rng.integers(0, draw(st.sampled_from((1, 2, 5, 30))), shape))

    projections = [Projection(q.source, q.target, tuple(late(m, i == len(q.maps) - 1) for i, m in enumerate(q.maps)), q.bias,
                              q.delay, q.receptor) for q in network.projections]
    return Network(network.populations, tuple(projections), network.time, network.output, network.readout)


def assert_equal(network, dense):
    """dense: [T, B, *input]. Event by event and step by step, on any number of threads: the oracle's spikes and membranes."""
    names = [p.name for p in network.populations[1:]]
    expected = [oracle.run(network, dense[:, b]) for b in range(dense.shape[1])]
    for options in ({}, {"mode": "clock"}, {"threads": 2}, {"exact": True}, {"record": names}):
        found = engine.run(network, dense, **options)
        for name in names:
            np.testing.assert_array_equal(found.spikes[name].dense(), np.stack([e.spikes[name] for e in expected], 1))
        np.testing.assert_array_equal(found.prediction, [e.prediction for e in expected])
    for name in names:
        np.testing.assert_array_equal(found.membranes[name], np.stack([e.output[name] for e in expected], 1))
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_card4_rings_of_delays_equal_the_dense_evaluation(data):
    network = data.draw(delayed_networks())
    assert_equal(network, data.draw(networks.counts(network)))


def net(learn=True, dtype=torch.float64):
    """Two layers with delays and one without, their weights multiples of 1/8."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.DelayLinear(12, 30, 25, learn=learn), nn.Neuron(LIF(tau=20.0, theta=1.0)), nn.Dropout(0.3),
                         nn.Delay(30, 8, learn=learn), nn.Linear(30, 20), nn.Neuron(LIF(tau=20.0, theta=1.0)),
                         nn.DelayLinear(20, 4, 9, bias=False, learn=learn), nn.Readout(tau=20.0)).to(dtype).eval()
    nn.set_dt(made, 1.0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "weight" in name or "bias" in name:
                parameter.copy_((parameter * 24).round() / 8)
        for module in made.modules():
            if "decay" in dict(module.named_parameters()) or "decay" in dict(module.named_buffers()):
                module.decay.fill_(0.5)
    return made


def spikes(T, B, N, share=0.1):
    return (np.random.default_rng(T).random((T, B, N)) < share).astype(np.float64)


@pytest.mark.parametrize("learn", [True, False])
def test_card4_a_lowered_net_fires_as_the_net_does(learn):
    layers = net(learn)
    network, x = lower(layers, time=TimeBase(1.0), input_shape=(12,)), spikes(60, 5, 12)
    first, second, third = (q.maps[-1] for q in network.projections)
    assert all(isinstance(m, Delayed) for m in (first, second, third))
    assert np.array_equal(first.delay, layers[0].delay.detach().round().numpy())
    assert np.array_equal(second.delay, np.tile(layers[3].delay.detach().round().numpy(), (20, 1)))
    assert [n for n in network.notes if "rounded" in n] == (
        [f"layer {i} (DelayLinear): delays rounded to whole steps, as in evaluation" for i in "06"] if learn else [])
    found = assert_equal(network, x)
    out, h = torch.from_numpy(x), []
    for layer in layers:
        out = layer(out)
        out = out[0] if isinstance(out, tuple) else out
        h.append(out.detach().numpy())
    for at, name in ((1, "lif_soft_1"), (5, "lif_soft_5")):
        name = next(p.name for p in network.populations if p.name.endswith(name[-2:]))
        assert h[at].any() and np.array_equal(found.spikes[name].dense(), h[at])
    assert np.allclose(found.membranes[network.output], h[-1], atol=1e-12)


def test_a_batch_norm_after_delays_is_folded():
    torch.manual_seed(1)
    layers = nn.Sequential(nn.DelayLinear(6, 9, 7, bias=False), nn.BatchNorm1d(9), nn.Neuron(LIF(tau=10.0)), nn.Linear(9, 3),
                           nn.Readout()).double()
    nn.set_dt(layers, 1.0)
    x = spikes(40, 8, 6, 0.3)
    layers(torch.from_numpy(x))
    layers.eval()
    network = lower(layers, time=TimeBase(1.0), input_shape=(6,))
    found, expected = engine.run(network, x), layers(torch.from_numpy(x))[0].mean(0).detach().numpy()
    assert found.spikes[network.populations[1].name].dense().any() and np.allclose(found.scores, expected, atol=1e-9)


def test_the_work_goes_with_spikes_and_not_with_delays():
    rng, work = np.random.default_rng(0), []
    weight = rng.integers(1, 8, (40, 30)) / 8
    for longest in (1, 300):
        delay = rng.integers(0, longest, (40, 30))
        network = Network((Population("in", (30,)), Population("out", (40,), LIF().rule, {"decay": 0.5, "theta": 1.0})), (
            Projection("in", "out", (Delayed(weight, delay),)),), output="out", readout="count")
        x = np.zeros((400, 1, 30))
        x[3, 0, :7] = 1
        work.append(assert_equal(network, x).synaptic_events)
    assert work[0] == work[1] == {"in->out": 7 * 40}


def test_synapses_of_weight_0_cost_nothing():
    weight = np.zeros((5, 3))
    weight[1, 2] = 2.0
    network = Network((Population("in", (3,)), Population("out", (5,), LIF().rule, {"decay": 0.5, "theta": 1.0})), (
        Projection("in", "out", (Delayed(weight, np.full((5, 3), 4)),)),), output="out", readout="count")
    x = np.ones((2, 3))
    x = np.concatenate([x, np.zeros((6, 3))])
    found = engine.run(network, x)
    assert found.synaptic_events == {"in->out": 2} and found.counts["out"] == [2]
    assert found.spikes["out"].step.tolist() == [4, 5]


def test_delays_are_stored(tmp_path):
    network = lower(net(), time=TimeBase(1.0), input_shape=(12,))
    save_network(network, tmp_path / "net.h5")
    read = load_network(tmp_path / "net.h5")
    for a, b in zip(network.projections, read.projections, strict=True):
        assert np.array_equal(a.maps[-1].delay, b.maps[-1].delay) and b.maps[-1].delay.dtype == np.int32
    x = spikes(50, 2, 12)
    assert np.array_equal(engine.run(read, x).scores, engine.run(network, x).scores)
    assert "Delayed(30, 12) by up to 24 steps" in repr(network).replace("23 steps", "24 steps")


def test_nir_holds_delays_of_synapses_as_branches(tmp_path):
    """One Delay and Linear for each of the 24 delays that occur; they are read back bit for bit."""
    network = lower(net(), time=TimeBase(1.0), input_shape=(12,))
    report = nir.export(network, tmp_path / "net.nir", allow_lossy=True)
    assert report.nodes > 24 and any("has a delay: a Delay node" in text for text in report.kept)
    again = nir.read(tmp_path / "net.nir")
    for q, r in zip(network.projections, again.projections, strict=True):
        for m, n in zip(q.maps, r.maps, strict=True):
            assert {k: a.tobytes() for k, a in m.arrays().items()} == {k: a.tobytes() for k, a in n.arrays().items()}


@pytest.mark.parametrize(("layers", "message"), [
    ((nn.Delay(4, 3), nn.Neuron(LIF())), r"layer 1 \(Neuron\) cannot be lowered after layer 0 \(Delay\): delays of axons must"),
    ((nn.Delay(3, 3), nn.Linear(4, 2)), r"layer 0 \(Delay\) has 3 delays, but \(4,\) channels reach it"),
    ((nn.DelayLinear(4, 3, 3, bias=False), nn.Linear(3, 2), nn.Readout()),
     r"layer 1 \(Linear\) cannot be lowered after layer 0 \(DelayLinear\): neurons must stand behind")])
def test_what_cannot_be_lowered_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        lower(nn.Sequential(*layers), time=TimeBase(1.0), input_shape=(4,))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Delayed(np.ones((2, 3)), np.zeros((2, 3))), "delay of Delayed must be whole numbers"),
    (lambda: Delayed(np.ones((2, 3)), np.zeros((3, 2), int)), r"of the weight's shape \(2, 3\), got int64 of shape \(3, 2\)"),
    (lambda: Delayed(np.ones((1, 1)), np.full((1, 1), -1)), r"must lie in 0 .. 10000 steps, got -1 .. -1"),
    (lambda: Delayed(np.ones((1, 2)), np.full((1, 2), 3)).apply(np.ones((3, 2))), "takes the inputs of 4 steps, got 3"),
    (lambda: Network((Population("in", (2,)), Population("out", (2,), LI().rule, {"decay": 0.5})), (Projection("in", "out", (
        Delayed(np.ones((2, 2)), np.ones((2, 2), int)), Dense(np.ones((2, 2))))),)),
     "projection in->out, map 0: Delayed must be the last map of a chain")])
def test_bad_delays_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
