"""An astrocyte as the slow rule of a modulation: any population's parameter, by territory, equal to the plain stepper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snnsim
from snnsim import FixedIndegree, Modulation, Network, OneToOne, Poisson, Population, Synapses, TimeBase
from snnsim.engine import Simulation, connections, source_output
from snnsim.neurons import LIF, AdEx, Astrocyte, Izhikevich, PscExp
from snnsim.neurons.territory import territories
from snnsim.rule import Neuron
from tests import oracle

SIZES = (10, 10, 4)
# neuron, receptor, weights of the noise and of the recurrent synapses, what is moved and by how much
MOVED = {"lif": (LIF(tau=10.0), "x", 0.5, 0.125, "theta", 0.5), "adex": (AdEx(), "ex", 20.0, 2.0, "v_t", 8.0),
         "izhikevich": (Izhikevich(), "x", 12.0, 2.0, "drive", -4.0), "psc": (PscExp(), "x", 900.0, 60.0, "v_th", 10.0)}


def network(neuron: Neuron, receptor: str, noise: float, weight: float, parameter: str, gain: float) -> Network:
    groups = territories(24, 10)
    populations = (Population.of("a", 24, neuron, 0.5), Population("noise", (24,), source=Poisson(400.0)))
    synapses = (Synapses("noise", "a", OneToOne(), noise, 0.5, receptor),
                Synapses("a", "a", FixedIndegree(4), weight, 1.0, receptor))
    astrocyte = Astrocyte(tau=50.0, k=0.2, a0=20.0, size=SIZES)
    return Network(populations, synapses=synapses, time=TimeBase(0.5), seed=3, modulations=[
        Modulation("a", "a", parameter, astrocyte, groups, groups, 10.0, gain)])


@pytest.mark.parametrize("name", ["lif", "izhikevich", *[pytest.param(n, marks=pytest.mark.slow) for n in ("adex", "psc")]])
def test_card5_an_astrocyte_moves_a_parameter_of_any_rule(name: str, tmp_path) -> None:
    held, steps = network(*MOVED[name]), 600
    joined = [(c.source, c.target, c.weight, c.delay) for c in (connections(held, s) for s in held.synapses)]
    wanted = oracle.simulate(held, joined, {"noise": source_output(held, "noise", steps)}, steps)
    snnsim.save_network(held, tmp_path / "n.h5")
    for of in (held, snnsim.load_network(tmp_path / "n.h5")):
        last = MOVED[name][0].rule.states[-1]
        recording = Simulation(of, threads=2, precision="double", traces={"a": (last, range(24))}).run(steps * 0.5)
        step, neuron = np.nonzero(wanted.spikes["a"])
        np.testing.assert_array_equal(recording.spikes["a"].step, step)
        np.testing.assert_array_equal(recording.spikes["a"].neuron, neuron)
        np.testing.assert_allclose(recording.traces["a"].values, wanted.output["a"], rtol=1e-9, atol=1e-9)
    free = Simulation(replace(held, modulations=()), threads=1, precision="double").run(steps * 0.5)
    assert 0 < len(recording.spikes["a"].step) < 0.9 * len(free.spikes["a"].step)


def test_calcium_is_the_rate_of_the_territory_and_the_release_saturates() -> None:
    neuron, period = Astrocyte(tau=100.0, k=0.5, a0=10.0, size=[4.0, 8.0]), 20.0
    values = neuron.step_parameters(period)
    states = (np.zeros(2), np.full(2, neuron.initial["release"]))
    assert states[1][0] == pytest.approx(1.0 / (1.0 + np.exp(5.0)))
    for n in range(1, 200):
        states = neuron.rule.charge(*states, np.array([4.0, 8.0]), *values.values())
        if n == 5:  # tau after the start
            np.testing.assert_allclose(states[0], 50.0 * (1.0 - np.exp(-1.0)))
    np.testing.assert_allclose(states[0], 50.0)  # one spike a neuron in 20 ms is 50 Hz
    np.testing.assert_allclose(states[1], 1.0 / (1.0 + np.exp(-20.0)))


@pytest.mark.parametrize(("options", "sentence"), [
    ({"tau": 0.0}, "tau must be above 0, got 0.0"), ({"k": -1.0}, "k must be above 0, got -1.0"),
    ({"a0": np.nan}, "a0 must be finite"), ({"size": [3, 0]}, "size must be above 0"),
    ({"tau": [1.0, 2.0]}, "tau must be one number, got"),
])
def test_impossible_astrocytes_are_refused(options, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Astrocyte(**options)
