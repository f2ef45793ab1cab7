"""verify compares an artefact with its network spike by spike, and explains the first difference."""

import json

import h5py
import numpy as np
import pytest

from snnsim import engine, hardware
from snnsim.datasets import EventDataset, Recording, Sensor, make_events
from snnsim.hardware import nir
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import LI, LIF
from tests.test_nir import conv, dense

RNG = np.random.default_rng(2)


def counts(network, steps=25, batch=4, most=3):
    return RNG.integers(0, most, (steps, batch, *network.input.shape)).astype(float)


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("build", [dense, conv])
def test_an_export_is_exact_for_us(tmp_path, build, encoding):
    network = build()
    report = nir.export(network, tmp_path / "net.nir", encoding=encoding, allow_lossy=True)
    match = hardware.verify(tmp_path / "net.nir", network, counts(network))
    assert match.exact and match.share == 1.0 and match.samples == match.predictions_equal == 4
    assert match.score_difference == 0.0 and match.divergences == ()
    assert (match.lossy, match.kept) == (report.lossy, report.kept)
    assert sum(x.expected for x in match.layers) > 50
    assert all(x.missing == x.extra == 0 and x.expected == x.found == x.equal for x in match.layers)
    assert {x.name for x in match.layers} == {p.name for p in network.populations[1:] if p.rule.fires}
    for text in (*report.lossy, *report.kept, "run in snnsim: exact; 4 of 4 predictions equal"):
        assert text in str(match)
    assert json.loads(json.dumps(match.to_dict()))["exact"] is True


def one(theta=1.0, decay=0.5, weight=1.0, rule="hard", name="n"):
    return Network((Population("in", (2,)), Population(name, (2,), LIF(reset=rule).rule, {"decay": decay, "theta": theta})),
                   (Projection("in", name, (Dense(weight * np.eye(2)),)),), output=name, readout="count")


INPUT = np.array([[0, 0], [0, 0], [0, 1], [0, 1], [0, 0]], float)  # neuron 1: h = 0, 0, 1, ...


def test_the_first_difference_is_found_and_called_a_tie(tmp_path):
    """In the file the threshold lies one float above 1, so that h = 1 at step 2 no longer fires."""
    nir.export(one(theta=np.nextafter(1.0, 2.0)), tmp_path / "net.nir")
    match = hardware.verify(tmp_path / "net.nir", one(), INPUT[:, None])
    [layer], [first] = match.layers, match.divergences
    assert (layer.expected, layer.found, layer.equal, layer.missing, layer.extra) == (2, 1, 1, 1, 0)
    assert (first.sample, first.population, first.step, first.neuron, first.tie) == (0, "n", 2, 1, True)
    assert first.margin_expected == 0.0 and first.margin_found == pytest.approx(-2.2e-16, rel=0.1)
    assert not match.exact and layer.share == match.share == 0.5
    assert str(first) == "sample 0, n, step 2, neuron 1: a tie at the threshold: margin 0.0e+00"
    assert "50.0000 % of the spikes equal; 1 of 1 predictions equal" in str(match)
    assert "1 samples diverge, 1 of them at a tie; the first: sample 0, n, step 2, neuron 1" in str(match)


def test_a_difference_that_is_no_tie_is_not_called_one(tmp_path):
    nir.export(one(theta=1.25), tmp_path / "net.nir")
    silent = np.zeros((5, 1, 2))
    match = hardware.verify(tmp_path / "net.nir", one(), np.concatenate([silent, INPUT[:, None]], 1))
    [first] = match.divergences
    assert (first.sample, first.step, first.margin_expected, first.margin_found, first.tie) == (1, 2, 0.0, -0.25, False)
    assert "sample 1, n, step 2, neuron 1: no tie: margins 0 and -0.25" in str(match)


def test_the_margin_follows_delays_biases_and_chains(tmp_path):
    """The plain recomputation equals the engine's decision: at every first difference the signs are those of the spikes."""
    network = conv()
    changed = Network(network.populations, tuple(
        Projection(q.source, q.target, q.maps, (0.0 if q.bias is None else q.bias) + 1e-2, q.delay) if q.target in ("if", "5")
        else q for q in network.projections), network.time, network.output)
    nir.export(changed, tmp_path / "net.nir", allow_lossy=True)
    given = counts(network, steps=40, batch=6)
    match = hardware.verify(tmp_path / "net.nir", network, given)
    ours, theirs = ({n: s.dense() for n, s in engine.run(net, given).spikes.items()} for net in (network, changed))
    assert len(match.divergences) >= 3
    for d in match.divergences:
        assert d.population in ("if", "5")
        at = d.step, d.sample, *np.unravel_index(d.neuron, network.population(d.population).shape)
        assert (d.margin_expected >= 0) == ours[d.population][at]
        assert (d.margin_found >= 0) == theirs[d.population][at]
        before = np.s_[: d.step, d.sample]
        np.testing.assert_array_equal(ours[d.population][before], theirs[d.population][before])


def test_samples_may_be_recordings_event_arrays_or_a_data_set(tmp_path):
    sensor = Sensor(1, 2, 1)
    network = Network((Population("in", (1, 1, 2)), Population.of("out", (3,), LI(), 1.0)),
                      (Projection("in", "out", (Dense(RNG.normal(size=(3, 2))),)),), TimeBase(1.0, 10))
    nir.export(network, tmp_path / "net.nir")
    arrays = [make_events(np.sort(RNG.integers(0, 10_000, 20)), RNG.integers(0, 2, 20), np.zeros(20, int), np.zeros(20, int))
              for _ in range(3)]
    recordings = [Recording(a, 0, sensor, "here") for a in arrays]
    for samples in (arrays, recordings, EventDataset.of(recordings, ["a"])):
        match = hardware.verify(tmp_path / "net.nir", network, samples)
        assert match.exact and match.samples == 3 and match.layers == ()
    assert hardware.verify(tmp_path / "net.nir", network, recordings[0]).samples == 1
    assert hardware.verify(tmp_path / "net.nir", network, arrays[0]).samples == 1
    with pytest.raises(ValueError, match=r"samples must hold at least one sample, got none"):
        hardware.verify(tmp_path / "net.nir", network, [])
    with pytest.raises(ValueError, match=r"samples must be a data set, events or counts, got int"):
        hardware.verify(tmp_path / "net.nir", network, 3)


def test_a_plain_file_is_not_verified(tmp_path):
    nir.export(one(), tmp_path / "net.nir")
    with h5py.File(tmp_path / "net.nir", "r+") as f:
        del f["node/metadata"]
    with pytest.raises(ValueError, match=r"net.nir was not written by snnsim: read it with hardware.nir.read\(path, dt=\)"):
        hardware.verify(tmp_path / "net.nir", one(), INPUT)


def test_an_artefact_of_another_network_or_a_changed_one_is_refused(tmp_path):
    network = dense()
    nir.export(network, tmp_path / "net.nir")
    with pytest.raises(ValueError, match=r"it is an export of another network"):
        hardware.verify(tmp_path / "net.nir", one(), INPUT)
    with h5py.File(tmp_path / "net.nir", "r+") as f:
        f["node/nodes/hidden/tau"][0] *= 1.5
    with pytest.raises(ValueError, match=r"node 'hidden': tau is not what was exported: the file was changed"):
        hardware.verify(tmp_path / "net.nir", network, counts(network))
