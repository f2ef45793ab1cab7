"""SANA-FE's model of Loihi beside our executor: the same spikes; and its energy and time lie in our ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.sanafe import Resets, random_net
from snnsim.hardware import energy, integer
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.mapping import LoihiLimits, place
from snnsim.interop.sanafe_tool import SanafeResult, interpreter, run_sanafe
from snnsim.maps import Conv2d, Dense

slow = [pytest.mark.slow]  # SANA-FE takes seconds to set up its chip


def run(*arguments: Any, **options: Any) -> SanafeResult:
    try:
        return run_sanafe(*arguments, **options)
    except ImportError as e:
        pytest.skip(str(e))


@pytest.mark.parametrize(("seed", "resets", "dv"), [
    pytest.param(seed, (reset, reset), dv, marks=slow) for reset in ("soft", "hard")
    for seed, dv in ((1, 0), (2, 0), (3, 2048), (4, 4096))])
def test_spikes_are_those_of_sanafe_and_its_energy_lies_in_our_range(seed: int, resets: Resets, dv: int) -> None:
    net, counts = random_net(seed, resets, dv)
    mapping = place(net, LoihiLimits(neurons_per_core=20), share=False)
    theirs, ours = run(net, counts, mapping), integer.run(net, counts, overflow="raise")
    total = 0
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(spikes, ours.spikes[name])
        total += int(spikes.sum())
    assert total > 20
    for b in range(2):
        report = energy.estimate(net, counts[:, b], mapping)
        spent = report["Loihi 1"]
        assert spent.total.low <= theirs.energy["total"][b] <= spent.total.high
        assert spent.terms["synapses"].low <= theirs.energy["synapse"][b] <= spent.terms["synapses"].high * (1 + 1e-9)
        assert report.latency.low <= theirs.time[b] <= report.latency.high


def general_net(seed: int) -> tuple[IntegerNetwork, Any]:
    """A convolution with strides and padding, a dense layer that feeds itself, a readout; each neuron has a leak, a threshold
    and a bias of its own, and one sum is shifted down."""
    rng = np.random.default_rng(seed)
    resets = ("soft", "hard") if seed % 2 else ("hard", "soft")
    stride, padding, kernel = (tuple(rng.integers(low, 4, 2).tolist()) for low in (1, 0, 2))

    def weights(unit: int, *shape: int) -> Any:
        return unit * rng.integers(-25, 40, shape).astype(float)
    conv = Conv2d(weights(2, 3, 2, *kernel), stride, padding)
    shape = conv.output_shape((2, 7, 6))

    def population(name: str, shape: Any, reset: Any) -> IntegerPopulation:
        return IntegerPopulation(name, shape, reset, dv=rng.integers(0, 4097, shape), vth=rng.integers(40, 150, shape),
                                 bias=rng.integers(-300, 600, shape), bias_exponent=int(rng.integers(0, 5)))

    populations = (IntegerPopulation("in", (2, 7, 6), None), population("c", shape, resets[0]),
                   population("d", (5,), resets[1]), population("out", (3,), "none"))
    projections = (IntegerProjection("in", "c", conv),
                   IntegerProjection("c", "d", Dense(weights(4, 5, int(np.prod(shape)))), -2),
                   IntegerProjection("d", "d", Dense(weights(2, 5, 5)), 1),
                   IntegerProjection("d", "out", Dense(weights(2, 3, 5))))
    return (IntegerNetwork(populations, projections, output="out", latency=3, readout="membrane"),
            (rng.random((60, 2, 2, 7, 6)) < 0.2).astype(int))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=slow) for seed in (1, 2, 3))])
def test_any_leak_bias_and_threshold_and_convolutions_spike_in_sanafe_as_here(seed: int) -> None:
    net, counts = general_net(seed)
    theirs, ours = run(net, counts), integer.run(net, counts)
    assert set(theirs.spikes) == {"c", "d"}
    for name, spikes in theirs.spikes.items():
        assert spikes.sum() > 20
        np.testing.assert_array_equal(spikes, ours.spikes[name])
    for b in range(2):
        spent = energy.estimate(net, counts[:, b])["Loihi 1"]
        assert spent.total.low <= theirs.energy["total"][b] <= spent.total.high


def test_what_sanafe_computes_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net, counts = random_net(0, ("soft", "soft"))

    def with_neurons(**options: Any) -> IntegerNetwork:
        other = IntegerPopulation("a", net.population("a").shape, "soft", **options)
        return IntegerNetwork([other if p.name == "a" else p for p in net.populations], net.projections, readout="membrane")

    def with_synapses(i: int, exponent: int = 0, delay: int = 1, unit: float = 2.0) -> IntegerNetwork:
        q = net.projections[i]
        other = IntegerProjection(q.source, q.target, Dense(np.full(q.mantissas.shape, unit)), exponent, delay=delay)
        return IntegerNetwork(net.populations, [other if k == i else p for k, p in enumerate(net.projections)],
                              readout="membrane")

    with pytest.raises(ValueError, match="population 'a': SANA-FE's current has no memory .*du of 4095, got 5"):
        run_sanafe(with_neurons(du=5), counts)
    with pytest.raises(ValueError, match="projection in->a: SANA-FE is given delays of 1 step, got 3"):
        run_sanafe(with_synapses(0, delay=3), counts)
    with pytest.raises(ValueError, match="projection a->b: .*with exponent -2 all mantissas must be multiples of 4"):
        run_sanafe(with_synapses(1, exponent=-2), counts)
    with pytest.raises(OverflowError, match="population 'b', neuron .*: v passes 24 bits"):
        run_sanafe(with_synapses(1, exponent=9, unit=-4.0), counts)
    with pytest.raises(ValueError, match="counts must be whole numbers from 0 to 1"):
        run_sanafe(net, 2 * counts)
    monkeypatch.setattr("snnsim.interop.sanafe_tool.LARGEST", 5)
    with pytest.raises(ValueError, match="projection in->a: SANA-FE is given at most 5 synapses, .* got "):
        run_sanafe(net, counts)


def test_sanafe_that_is_not_there_is_named(tmp_path: Any) -> None:
    net, counts = random_net(0, ("soft", "soft"))
    import sys
    if str(interpreter()) == sys.executable:
        with pytest.raises(ImportError, match="SANA-FE cannot be imported by .*: make peers-sanafe"):
            run_sanafe(net, counts)
    else:
        with pytest.raises(ImportError, match="SANA-FE cannot be imported by .*: make peers-sanafe"):
            run_sanafe(net, counts, python=sys.executable)
