"""The network of single flux quanta: its definition in whole numbers, the oracle, the engine, files, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import engine
from snnsim.hardware import sfq
from snnsim.hardware.sfq import SFQLayer, SFQNetwork, of_network
from snnsim.hardware.sfq.xor import CASES, NETS, xor, xor_pulses
from snnsim.maps import Dense, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.network_file import load_network, save_network
from snnsim.neurons import IF, Counter
from snnsim.rule import call
from tests import oracle
from tests.sfq_nets import random_net, stepped
from tests.test_gradients import compare


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["soft", "hard"]), st.sampled_from([None, 0, 1, 3, 15]), st.integers(2, 16))
def test_float32_computes_the_counter(seed: int, reset: Any, leak: int | None, bits: int) -> None:
    rng = np.random.default_rng(seed)
    neuron = Counter(rng.integers(1, 2 ** (bits - 1), 50), leak, reset, bits, scale=0.37)
    x = rng.integers(-2**bits, 2**bits, (30, 50))
    parameters = [p.astype(np.float32) for p in neuron.step_parameters(1.0).values()]
    v, state = np.zeros(50, np.int64), [np.zeros(50, np.float32)]
    for row in x:
        h = np.clip(v - (v >> leak if leak is not None else 0) + row, -2 ** (bits - 1), 2 ** (bits - 1) - 1)
        state = call(neuron.rule.charge, *state, row.astype(np.float32), *parameters)
        np.testing.assert_array_equal(state[0], h)
        assert neuron.rule.margin is not None and neuron.rule.reset is not None
        s = neuron.rule.margin(*state, *parameters) >= 0.0
        np.testing.assert_array_equal(s, h >= np.asarray(neuron.theta))
        v = np.where(s, h - np.asarray(neuron.theta, np.int64) if reset == "soft" else 0, h)
        state = call(neuron.rule.reset, *state, s.astype(np.float32), *parameters)
        np.testing.assert_array_equal(state[0], v)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_the_counter_trains_in_fused_loops_as_in_autograd(reset: Any) -> None:
    neuron = Counter(3, 3, reset, 6, scale=1 / 3)
    compare(neuron.rule(**neuron.step_parameters(1.0)), 37, (1, 19))


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Counter(0), "theta must be whole numbers in 1 .. 127, got 0"),
    (lambda: Counter(128), "theta must be whole numbers in 1 .. 127, got 128"),
    (lambda: Counter(1.5), "theta must be whole numbers in 1 .. 127, got 1.5"),
    (lambda: Counter(leak=16), "leak must be whole numbers in 0 .. 15, got 16"),
    (lambda: Counter(bits=1), "bits must be whole numbers in 2 .. 16, got 1"),
    (lambda: Counter(reset="none"), "reset must be one of"),
    (lambda: Counter(scale=0.0), "scale must be"),
    (lambda: SFQLayer("h", [[1, 128]]), "weight of layer 'h' must be whole numbers in -127 .. 127, got"),
    (lambda: SFQLayer("h", [[0.5]]), "weight of layer 'h' must be whole numbers in -127 .. 127, got"),
    (lambda: SFQLayer("h", [[np.nan]]), "weight of layer 'h' must be finite"),
    (lambda: SFQLayer("h", [1, 2]), r"weight of layer 'h' must be \[neurons, sources\], got the shape \(2,\)"),
    (lambda: SFQLayer("h", np.zeros((0, 2))), r"weight of layer 'h' must be \[neurons, sources\], got the shape \(0, 2\)"),
    (lambda: SFQLayer("h", [[1]], 0), "layer 'h': theta must be whole numbers in 1 .. 127, got 0"),
    (lambda: SFQLayer("h", [[1]], [1, 2]), "threshold of layer 'h' must be one number or one for each of its 1 neurons"),
    (lambda: SFQLayer("h", [[1]], leak=-1), "layer 'h': leak must be whole numbers in 0 .. 15, got -1"),
    (lambda: SFQNetwork(()), "an SFQ network needs at least one layer"),
    (lambda: SFQNetwork((SFQLayer("input", [[1]]),)), "names of layers must differ, and from 'input', got"),
    (lambda: SFQNetwork((SFQLayer("a", [[1]]), SFQLayer("b", [[1, 1]]))),
     "layer 'b' has weights for 2 sources, layer 'a' has 1 neurons"),
    (lambda: SFQNetwork((SFQLayer("a", [[1]]),), burst=256), "burst must be whole numbers in 1 .. 255, got 256"),
    (lambda: SFQNetwork((SFQLayer("a", [[1]]),), classes=("x", "y")), "classes must be 1 names, one an output, got 2"),
    (lambda: SFQNetwork((SFQLayer("a", [[1, 1]]),), shape=(1, 1, 3)),
     r"shape must be \(N,\) or \(channels, height, width\) of the 2 inputs, got \(1, 1, 3\)"),
    (lambda: xor("D"), "name must be one of"),
    (lambda: xor_pulses("A", [[0, 2]]), r"x must be bits \[T, 2\], got"),
])
def test_what_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def one_layer(neuron: Any, *maps: Any, inputs: Any = (2,), bias: Any = None, delay: int = 0, readout: Any = "count") -> Network:
    output = Population.of("out", 1, neuron, 1.0)
    return Network((Population("input", inputs), output), (Projection("input", "out", maps, bias, delay),), TimeBase(), "out",
                   readout)


W = Dense([[1.0, 2.0]])


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: one_layer(IF(), W), "population 'out' has rule 'if_soft'; pulses are counted by neurons.Counter: train with it"),
    (lambda: one_layer(Counter(), W, readout="membrane"), "the readout is 'membrane': pulses are counted, readout='count'"),
    (lambda: one_layer(Counter(), W, delay=1),
     "population 'out' must have one projection, without delay, from 'input': it has one from 'input' with delay 1"),
    (lambda: one_layer(Counter(), W, bias=[1.0]), "projection input->out has a bias, which would be pulses at every tick"),
    (lambda: one_layer(Counter(), SumPool2d((1, 2)), inputs=(1, 1, 2)), "projection input->out is .*: pulses need one Dense"),
    (lambda: one_layer(Counter(), Dense([[1.0, 0.5]])), "weight of layer 'out' must be whole numbers in -127 .. 127"),
])
def test_what_a_network_cannot_be_made_of(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        of_network(make())


def same(a: SFQNetwork, b: SFQNetwork) -> None:
    assert (a.burst, a.time, a.classes, a.shape) == (b.burst, b.time, b.classes, b.shape)
    for x, y in zip(a.layers, b.layers, strict=True):
        assert (x.name, x.leak, x.reset, x.bits) == (y.name, y.leak, y.reset, y.bits)
        np.testing.assert_array_equal(x.weight, y.weight)
        np.testing.assert_array_equal(x.threshold, y.threshold)


def test_it_comes_back_from_a_network_and_its_file(tmp_path: Any) -> None:
    rng = np.random.default_rng(3)
    for i in range(20):
        network = random_net(rng)
        network = replace(network, classes=[f"c{k}" for k in range(network.layers[-1].size)], time=TimeBase(2.0, 7, True),
                          shape=(1, 1, network.inputs))
        same(of_network(network.network(), burst=network.burst), network)
        save_network(network.network(), tmp_path / f"{i}.h5")
        same(of_network(load_network(tmp_path / f"{i}.h5"), burst=network.burst), network)


def agrees(seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        network = random_net(rng)
        x = rng.integers(0, network.burst + 1, (int(rng.integers(1, 9)), network.inputs))
        expected, found = stepped(network, x), oracle.run(network.network(), x)
        engined, pulsed = engine.run(network.network(), x, threads=1), sfq.run(network, x, threads=1)
        assert pulsed.losses == pulsed.cut == 0
        assert int(pulsed.prediction) == found.prediction == engined.prediction
        for name, spikes in expected.items():
            np.testing.assert_array_equal(found.spikes[name], spikes, err_msg=f"oracle, net {seed}")
            np.testing.assert_array_equal(engined.spikes[name].dense()[:, 0], spikes, err_msg=f"engine, net {seed}")
            np.testing.assert_array_equal(pulsed.spikes[name][:, 0], spikes, err_msg=f"pulses, net {seed}")


def test_oracle_engine_and_pulses_are_the_whole_numbers() -> None:
    agrees(range(200))


@pytest.mark.slow
def test_oracle_engine_and_pulses_are_the_whole_numbers_in_a_thousand_nets() -> None:
    agrees(range(200, 1000))


@pytest.mark.parametrize("name", NETS)
def test_xor_in_whole_numbers_in_every_order_of_windows(name: str) -> None:
    """The truth table, in each of the orders of its windows, and as one long train of windows: no window knows another."""
    network = xor(name)
    for order in itertools.permutations(CASES):
        x = np.array(order)
        for y in (stepped(network, xor_pulses(name, x))["y"], oracle.run(network.network(), xor_pulses(name, x)).spikes["y"]):
            np.testing.assert_array_equal(y[:, 0], x[:, 0] ^ x[:, 1])
    x = np.random.default_rng(0).integers(0, 2, (500, 2))
    np.testing.assert_array_equal(stepped(network, xor_pulses(name, x))["y"][:, 0], x[:, 0] ^ x[:, 1])


def test_it_says_what_it_is() -> None:
    assert repr(xor("A")) == ("SFQNetwork(inputs=2, burst=1, dt=1 ms)\n"
                              "  hidden: 2 counters of 3 bits, soft reset, leak 0, thresholds 1 .. 2, 4 synapses of 1 .. 1\n"
                              "  y: 1 counters of 3 bits, soft reset, leak 0, thresholds 1 .. 1, 2 synapses of -2 .. 1")
    assert xor("C").synapses == 6
