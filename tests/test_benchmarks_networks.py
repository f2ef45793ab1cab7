"""The benchmarks' networks: their published numbers, their scaling, and that they are saved and loaded as they are; and what
is refused where simulators are compared on them."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from benchmarks import peer_shared, simulators
from benchmarks.networks import COLUMN, DT, PSC, TAU_SYN, brunel, coba, compensation, cuba, full_indegrees, microcircuit
from snnsim.connect import FixedIndegree, OneToOne
from snnsim.distributions import Normal
from snnsim.engine import Simulation, estimate
from snnsim.network import Network, Population, Synapses
from snnsim.network_file import load_network, save_network
from snnsim.sources import Poisson


def neurons(network: Network) -> list[Population]:
    return [p for p in network.populations if p.rule is not None]


def drawn(network: Network) -> list[Synapses]:
    """The synapses between neurons: not those of the noise."""
    return [s for s in network.synapses if network.population(s.source).rule is not None]


def totals(network: Network) -> dict[tuple[str, str], float]:
    """Expected synapses by target and source."""
    size = {p.name: p.size for p in network.populations}
    return {(s.target, s.source): s.connect.expected(size[s.source], size[s.target], s.source == s.target)
            for s in drawn(network)}


def indegrees(network: Network) -> dict[tuple[str, str], float]:
    return {(t, s): total / network.population(t).size for (t, s), total in totals(network).items()}


def rate(network: Network, population: str) -> float:
    """Hz of the noise that a neuron gets."""
    [noise] = [s for s in network.synapses if s.target == population and isinstance(s.connect, OneToOne)]
    source = network.population(noise.source).source
    assert isinstance(source, Poisson)
    return float(np.asarray(source.rate))


def normal(synapses: Synapses) -> Normal:
    assert isinstance(synapses.weight, Normal)
    return synapses.weight


def test_brunel_has_its_inputs_whatever_its_size() -> None:
    for n in (1000, 12_500):
        network = brunel(n)
        assert [p.size for p in neurons(network)] == [0.8 * n, 0.2 * n]
        assert indegrees(network) == {("E", "E"): 1000, ("I", "E"): 1000, ("E", "I"): 250, ("I", "I"): 250}
        assert {(s.source, s.weight, s.delay) for s in drawn(network)} == {("E", 0.1, 1.5), ("I", -0.5, 1.5)}
        assert all(isinstance(s.connect, FixedIndegree) for s in drawn(network))
    assert sum(totals(brunel()).values()) == 15_625_000


def test_brunels_external_input_is_eta_times_what_reaches_the_threshold() -> None:
    assert [rate(brunel(eta=eta), "E") for eta in (1.0, 2.0)] == pytest.approx([10_000.0, 20_000.0])
    assert rate(brunel(eta=1.0, j=0.2), "I") * 0.2 * 20e-3 == pytest.approx(20.0)  # rate J tau = theta


@pytest.mark.parametrize("build", [cuba, coba])
def test_vogels_abbott_has_80_inputs_a_neuron(build: Any) -> None:
    for n in (500, 4000):
        network = build(n)
        assert [p.size for p in neurons(network)] == [0.8 * n, 0.2 * n]
        assert sum(totals(network).values()) == pytest.approx(80 * n)
        assert indegrees(network) == pytest.approx({("E", "E"): 64, ("I", "E"): 64, ("E", "I"): 16, ("I", "I"): 16})


def test_weights_of_vogels_abbott() -> None:
    assert {(s.source, s.receptor, s.weight) for s in cuba().synapses} == {("E", "ex", 16.2), ("I", "inh", -90.0)}
    assert {(s.source, s.receptor, s.weight) for s in coba().synapses} == {("E", "ex", 6.0), ("I", "inh", 67.0)}


def test_the_microcircuit_has_its_published_numbers() -> None:
    network = microcircuit()
    assert [p.name for p in neurons(network)] == ["L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I"]
    assert sum(p.size for p in neurons(network)) == 77_169
    assert sum(totals(network).values()) == 298_880_968
    assert rate(network, "L6E") == 8.0 * 2900
    assert {s.steps(DT) for s in drawn(network)} == {(1, 63)}


def test_weights_of_the_microcircuit_keep_their_signs() -> None:
    weights = {(s.target, s.source): normal(s) for s in drawn(microcircuit())}
    for (_, source), w in weights.items():
        assert (w.low, w.high) == ((0.0, math.inf) if source.endswith("E") else (-math.inf, 0.0))
        assert w.std == pytest.approx(0.1 * abs(w.mean))
    assert {round(w.mean, 6) for w in weights.values()} == {87.8, 175.6, -351.2}
    assert [pair for pair, w in weights.items() if round(w.mean, 6) == 175.6] == [("L23E", "L4E")]


@pytest.mark.parametrize("scale", [0.05, 0.2])
def test_fewer_neurons_keep_their_inputs(scale: float) -> None:
    small, full = indegrees(microcircuit(scale, kscale=1.0)), indegrees(microcircuit())
    assert set(small) <= set(full)  # a handful of synapses may round to none
    for pair, k in full.items():
        target = microcircuit(scale, kscale=1.0).population(pair[0])
        assert small.get(pair, 0.0) == pytest.approx(k, abs=0.5 / target.size + 1e-9)


def test_fewer_inputs_are_stronger_and_leave_the_mean_input_alone() -> None:
    k = 0.2
    small, full = microcircuit(1.0, kscale=k), microcircuit()
    for pair, indegree in indegrees(full).items():
        assert indegrees(small)[pair] == pytest.approx(k * indegree, abs=1e-3)
    mean = []  # pA of each network, at the rates of full scale
    for network, share, drive in ((full, 1.0, compensation(1.0)), (small, k, compensation(k))):
        incoming = dict.fromkeys(COLUMN, 0.0)
        for s, indegree in zip(drawn(network), indegrees(network).values(), strict=True):
            incoming[s.target] += normal(s).mean * indegree * COLUMN[s.source][2]
        for name, (_, inputs, *_) in COLUMN.items():
            incoming[name] += PSC / math.sqrt(share) * rate(network, name)
            assert rate(network, name) == pytest.approx(8.0 * inputs * share)
        mean.append([1e-3 * TAU_SYN * x + d for x, d in zip(incoming.values(), drive, strict=True)])
    assert mean[1] == pytest.approx(mean[0], abs=1e-2)


def test_nothing_is_made_up_for_where_all_inputs_are_there() -> None:
    assert compensation(1.0) == [0.0] * 8
    assert min(compensation(0.2)) > 20.0
    rest = [float(np.asarray(p.parameters["rest"])) for p in neurons(microcircuit(0.1, kscale=1.0))]
    assert rest == pytest.approx([-65.0 * (1.0 - math.exp(-DT / 10.0))] * 8)


@pytest.mark.parametrize(("scale", "kscale"), [(1.0, 1.0), (0.1, 0.1), (0.2, 0.5)])
def test_the_peers_simulate_the_same_microcircuit(scale: float, kscale: float) -> None:
    c, network = peer_shared.column(scale, kscale), microcircuit(scale, kscale)
    assert [p.size for p in neurons(network)] == c.neurons.tolist()
    assert c.drive.tolist() == pytest.approx(compensation(kscale))
    assert (c.external * 8.0).tolist() == pytest.approx([rate(network, name) for name in COLUMN])
    assert c.totals.sum() == sum(totals(network).values())
    for s in drawn(network):
        at = list(COLUMN).index(s.target), list(COLUMN).index(s.source)
        assert c.totals[at] == totals(network)[s.target, s.source]
        assert c.weights[at] == pytest.approx(normal(s).mean)
    assert full_indegrees()[0, 0] == indegrees(microcircuit())["L23E", "L23E"]


def plain(value: Any) -> Any:
    """A network as nested tuples that compare by value."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if not callable(getattr(value, f.name))]
        return type(value).__name__, tuple((name, plain(getattr(value, name))) for name in names)
    if isinstance(value, dict):
        return tuple((k, plain(v)) for k, v in value.items())
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return np.asarray(value).tolist() if isinstance(value, (np.ndarray, np.generic)) else value


NETWORKS = {"brunel": brunel(), "cuba": cuba(seed=3), "coba": coba(), "microcircuit": microcircuit(),
            "small microcircuit": microcircuit(0.1, seed=2**40)}


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_loaded_they_are_equal(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    save_network(network, tmp_path / "network.h5")
    loaded = load_network(tmp_path / "network.h5")
    assert plain(loaded) == plain(network)
    assert repr(loaded) == repr(network)


def test_a_seed_is_the_networks() -> None:
    assert [build(seed=7).seed for build in (brunel, cuba, coba, microcircuit)] == [7] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("network", "low", "high"), [
    (brunel(2000), 20.0, 60.0), (cuba(), 4.5, 6.5), (coba(seed=4), 16.0, 22.0), (microcircuit(0.05), 1.0, 5.0)])
def test_they_fire_at_their_rates(network: Network, low: float, high: float) -> None:
    simulation = Simulation(network, threads=1)
    simulation.run(100.0)
    recording = simulation.run(400.0)
    spikes = sum(recording.rate(p.name) * p.size for p in neurons(network))
    assert low < spikes / sum(p.size for p in neurons(network)) < high


@pytest.mark.slow
def test_the_microcircuit_at_full_scale_fires_at_the_published_rates() -> None:
    network = microcircuit()
    need = estimate(network, precision="packed")
    if need.available is not None and need.bytes > need.available:
        pytest.skip(f"the network is too large for this machine: {need}")
    simulation = Simulation(network, precision="packed", record=[])
    assert simulation.synapses == 298_880_968
    simulation.run(100.0)
    recording = simulation.run(1500.0)
    for name, (_, _, published, _, _) in COLUMN.items():
        assert recording.rate(name) == pytest.approx(published, rel=0.05), name


@pytest.mark.parametrize(("mine", "sentence"), [
    (4.4, "E fires at 4.4 Hz in snnsim and at 5 Hz in nest, more than 10% apart"),
    (5.6, "E fires at 5.6 Hz in snnsim and at 5 Hz in nest, more than 10% apart"),
    (0.0, "E fires at 0 Hz in snnsim and at 5 Hz in nest"), (math.nan, "E fires at nan Hz in snnsim")])
def test_no_number_where_the_rates_differ(mine: float, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    ours, peer = {"rates_hz": [mine, 2.0]}, {"tool": "nest", "rates_hz": [5.0, 2.1]}
    simulators._agree(["E", "I"], {"rates_hz": [5.4, 2.0]}, peer)
    with pytest.raises(typer.Exit):
        simulators._agree(["E", "I"], ours, peer)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("workload", "scale", "against", "sentence"), [
    ("cuba", 1.0, "neuron", "--against must be one of nest, brian2, floor, got 'neuron'"),
    ("coba", 1.0, "floor", "there is no bare loop for coba, only for brunel, cuba, microcircuit"),
    ("microcircuit", 0.5, "nest", "nest is run on the microcircuit up to --scale 0.2, got 0.5"),
    ("brunel", 1.0, "brian2", "brian2 is not installed: `make peers-brian` installs it")])
def test_what_cannot_be_run_is_refused(workload: str, scale: float, against: str, sentence: str,
                                       capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulators, "peer_python", lambda venv: Path("python") if venv == "nest" else None)
    with pytest.raises(typer.Exit):
        simulators._chosen(workload, scale, [against])
    assert capsys.readouterr().err == f"refused: {sentence}\n"


def test_without_a_wish_every_peer_that_can_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulators, "peer_python", lambda venv: Path("python"))
    assert simulators._chosen("coba", 1.0, None) == ["nest", "brian2"]
    assert simulators._chosen("microcircuit", 0.2, None) == ["nest", "brian2", "floor"]
    assert simulators._chosen("microcircuit", 1.0, None) == ["floor"]


def test_statistics_of_spikes() -> None:
    regular, irregular = np.arange(0.0, 100.0, 10.0), np.array([0.0, 1.0, 4.0, 5.0, 8.0])
    found = peer_shared.statistics([0] * 10 + [3] * 5 + [2], [*regular, *irregular, 7.0], [2, 3], 100.0)
    assert found == {"spikes": 16, "rates_hz": [50.0, 20.0], "cv": 0.25}  # of 0 and of 1/2: intervals 1, 3, 1, 3
    assert peer_shared.statistics([], [], [2, 3], 100.0) == {"spikes": 0, "rates_hz": [0.0, 0.0], "cv": None}
