"""A lowered net does what the net does; what cannot be lowered is refused by name."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim import lower
from snnsim.network import TimeBase
from snnsim.neurons import IF, LIF, AdaptiveLIF, CubaLIF
from tests import oracle

TIME = TimeBase(1.0)
NEURONS = {"if_soft": IF(), "if_hard": IF(reset="hard"), "lif_soft": LIF(tau=2.0, decay="euler"),
           "lif_hard": LIF(tau=2.0, reset="hard", decay="euler"), "lif_none": LIF(tau=2.0, reset="none", decay="euler"),
           "cuba": CubaLIF(tau=4.0, tau_syn=2.0, decay="euler"),
           "cuba_hard": CubaLIF(tau=4.0, tau_syn=2.0, decay="euler", reset="hard")}


def dyadic_(net, seed):
    """Give every weight a multiple of 1/8, so that float64 sums are exact in any order."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.from_numpy(rng.integers(-8, 12, tuple(p.shape)) / 8.0))


def both(net, shape, counts):
    """The net's outputs [T, B, ...] as numpy, and the oracle's runs of the lowered network, sample by sample."""
    network = lower(net, time=TIME, input_shape=shape)
    with torch.no_grad():
        out, _ = net(torch.from_numpy(counts))
    return network, out.numpy(), [oracle.run(network, counts[:, b]) for b in range(counts.shape[1])]


@st.composite
def nets(draw):
    """A random Sequential of convolutions, pools, linear and neuron layers on a small sensor, with its input shape."""
    shape, layers = (draw(st.integers(1, 2)), draw(st.integers(5, 8)), draw(st.integers(5, 8))), []
    size = shape
    neuron = st.sampled_from(sorted(NEURONS)).map(NEURONS.__getitem__)
    for _ in range(draw(st.integers(0, 2))):
        if min(size[1:]) < 3:
            break
        if draw(st.booleans()):
            layers.append(nn.SumPool2d(2))
            size = (size[0], size[1] // 2, size[2] // 2)
        kernel, stride, padding = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
        if min(size[1:]) + 2 * padding < kernel:
            break
        out = draw(st.integers(1, 3))
        layers += [nn.Conv2d(size[0], out, kernel, stride=stride, padding=padding, bias=draw(st.booleans())),
                   nn.Neuron(draw(neuron))]
        size = (out, *((n + 2 * padding - kernel) // stride + 1 for n in size[1:]))
    layers.append(nn.Flatten())
    features = int(np.prod(size))
    for _ in range(draw(st.integers(0, 1))):
        layers += [nn.Linear(features, 5, bias=draw(st.booleans())), nn.Neuron(draw(neuron)), nn.Dropout(0.5)]
        features = 5
    layers += [nn.Linear(features, 3), draw(st.sampled_from([nn.Readout(tau=2.0), nn.Neuron(LIF(tau=2.0, decay="euler"))]))]
    net = nn.Sequential(*layers).double().eval()
    nn.set_dt(net, 1.0)
    dyadic_(net, draw(st.integers(0, 2**31)))
    return net, shape


def check_nn_against_oracle(net_shape, seed):
    net, shape = net_shape
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.3, (8, 3, *shape)).astype(np.float64)
    network, out, runs = both(net, shape, counts)
    firing = network.populations[-1].rule.fires
    for b, run in enumerate(runs):
        expected = (run.spikes if firing else run.output)[network.output]
        if firing or network.populations[-1].rule.name != "li":
            np.testing.assert_array_equal(out[:, b], expected)
        else:  # exp(-dt / tau) of the readout is not dyadic
            np.testing.assert_allclose(out[:, b], expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(nets(), st.integers(0, 2**31))
def test_nn_equals_the_oracle_on_its_lowered_network(net_shape, seed):
    check_nn_against_oracle(net_shape, seed)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(nets(), st.integers(0, 2**31))
def test_nn_equals_the_oracle_on_500_nets(net_shape, seed):
    check_nn_against_oracle(net_shape, seed)


def test_batch_norms_are_folded():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Neuron(LIF(tau=5.0)), nn.SumPool2d(2),
                        nn.Flatten(), nn.Linear(16, 6, bias=False), nn.BatchNorm1d(6), nn.Neuron(AdaptiveLIF(tau=5.0)),
                        nn.Linear(6, 3), nn.Readout()).double()
    nn.set_dt(net, 1.0)
    counts = np.random.default_rng(0).poisson(0.5, (20, 3, 2, 8, 8)).astype(np.float64)
    for _ in range(5):
        net(torch.from_numpy(counts))  # the running statistics move away from 0 and 1
    net.eval()
    network, out, runs = both(net, (2, 8, 8), counts)
    for b, run in enumerate(runs):
        np.testing.assert_allclose(out[:, b], run.output[network.output], rtol=1e-9, atol=1e-12)
        assert all(run.spikes[p.name].sum() > 0 for p in network.populations[1:-1])
    assert [n.split(":")[0] for n in network.notes] == [
        "layer 1 (BatchNorm2d) folded into layer 0 (Conv2d)", "layer 6 (BatchNorm1d) folded into layer 5 (Linear)"]


def test_lowering_keeps_dtype_classes_and_time():
    net = nn.Sequential(nn.Linear(4, 2), nn.Readout())
    nn.set_dt(net, 3.0)
    network = lower(net, time=TimeBase(3.0, 7, True), input_shape=(4,), classes=("a", "b"))
    assert network.dtype == np.float32
    assert (network.time, network.classes, network.readout) == (TimeBase(3.0, 7, True), ("a", "b"), "membrane")


LINEAR, READ = nn.Linear(8, 3), nn.Readout()


@pytest.mark.parametrize(("layers", "sentence"), [
    ((nn.Linear(7, 3), READ), r"layer 0 \(Linear\): Dense takes 7 inputs"),
    ((torch.nn.ReLU(), LINEAR, READ), r"layer 0 \(ReLU\) cannot be lowered"),
    ((LINEAR,), "must end in a layer of neurons"), ((READ,), "no linear layer stands before it"),
    ((nn.BatchNorm1d(8), LINEAR, READ), "must follow a Linear or Conv2d"),
    ((LINEAR, nn.Linear(3, 3), READ), "follows a bias inside a chain"),
    ((LINEAR, nn.Neuron(LIF()), nn.Linear(3, 2), READ, nn.Linear(2, 2), nn.Neuron(LIF())), "never fires")])
def test_what_cannot_be_lowered_is_refused(layers, sentence):
    net = nn.Sequential(*layers)
    nn.set_dt(net, 1.0)
    with pytest.raises(ValueError, match=sentence):
        lower(net, time=TIME, input_shape=(8,))


def test_lowering_needs_to_know_the_input():
    with pytest.raises(ValueError, match="lower needs time="):
        lower(nn.Sequential(LINEAR, READ))
    with pytest.raises(TypeError, match="takes an snnsim.nn.Sequential, got Linear"):
        lower(LINEAR)
