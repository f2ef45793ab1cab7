"""The encoding that Sinabs reads: soft resets, tau in steps, weights as they are."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from snnsim import engine, interop
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Dense, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import IF, LI, LIF, CubaLIF
from tests.test_interop import AT_THRESHOLD, F, needs, neurons, tie
from tests.test_nir import assert_same, dense, layers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_encoding_of_sinabs_survives_and_is_read_as_sinabs_reads_it(tmp_path, dtype):
    rng = np.random.default_rng(7)

    def weight(*shape):
        return rng.normal(size=shape).astype(dtype)

    network = Network(
        (Population("in", (2, 8, 8)), Population.of("conv", (3, 4, 4), LIF(tau=7.3), 1.0, dtype),
         Population.of("if", (12,), IF(), 1.0, dtype), Population.of("out", (2,), LI(tau=3.3), 1.0, dtype)),
        (Projection("in", "conv", (SumPool2d(2), Conv2d(weight(3, 2, 3, 3), 1, 1)), weight(3, 1, 1)),
         Projection("conv", "if", (Dense(weight(12, 48)),)), Projection("if", "if", (Dense(weight(12, 12)),), delay=1),
         Projection("if", "out", (Dense(weight(2, 12)),), weight(2))))
    report = nir.export(network, tmp_path / "a.nir", encoding="sinabs")
    assert report.firing == ">=" and not report.lossy
    assert_same(network, nir.read(tmp_path / "a.nir"))
    nir.export(nir.read(tmp_path / "a.nir"), tmp_path / "b.nir", encoding="sinabs")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
    plain = nir.read(tmp_path / "a.nir", plain=True, written_by="sinabs", reset="soft", dt=1.0)
    assert [p.shape for p in plain.populations] == [p.shape for p in network.populations]
    for p, q in zip(network.populations[1:], plain.populations[1:], strict=True):
        assert np.asarray(q.parameters["decay"]) == pytest.approx(np.asarray(p.parameters.get("decay", 1.0)), rel=1e-7)
        assert np.all(np.asarray(q.parameters.get("theta", 1.0)) == np.asarray(p.parameters.get("theta", 1.0)))


def test_time_constants_for_sinabs_give_back_every_decay_from_a_half_on(tmp_path):
    decay = np.r_[0.0, 1.0, np.random.default_rng(0).uniform(0.5, 1.0, 5000)].astype(np.float32)
    values = {"decay": decay, "theta": np.float32(1.0)}
    network = Network((Population("in", (1,)), Population("a", decay.shape, LIF().rule, values)),
                      (Projection("in", "a", (Dense(np.ones((len(decay), 1), np.float32)),)),), readout="count")
    nir.export(network, tmp_path / "a.nir", encoding="sinabs")
    with h5py.File(tmp_path / "a.nir") as f:
        tau = f["node/nodes/a/tau"][()]
    # in float32, as Sinabs computes it, up to the rounding of exp
    assert np.array_equal(np.exp((np.float32(-1) / tau).astype(np.float64)).astype(np.float32), decay)


@pytest.mark.parametrize(("network", "options", "sentence"), [
    (lambda: dense(), {}, r"population 'hidden' has rule lif_hard: Sinabs has no hard reset \(to zero\), it will subtract the "
                          r"threshold. Export with allow_lossy=True to .*, or train with reset='soft'"),
    (lambda: dense(CubaLIF()), {}, "population 'hidden' has rule cuba_soft: Sinabs leaves a CubaLIF node out without a word"),
    (lambda: dense(LIF(), theta=np.float32(-1.0)), {},
     "population 'hidden': theta must be above 0 for Sinabs, which divides by it, got -1"),
    (lambda: dense(LIF()), {"firing": ">"}, "firing must be '>=' for encoding='sinabs'"),
    (lambda: replace(dense(LIF()), projections=(dense().projections[0], replace(dense().projections[1], delay=1))), {},
     "projection hidden->out has a delay, and Sinabs leaves a Delay node out without a word: export with encoding='unit_r'"),
    (lambda: layers((1, 4, 4), (Conv2d(np.ones((1, 1, 3, 3))),), decay=np.array([[[0.5, 0.5], [0.5, 0.75]]]), target=(1, 2, 2)),
     {"allow_lossy": True}, "population 'hidden': tau differs within a channel, of which Sinabs reads one number")])
def test_what_sinabs_cannot_hold_is_refused(tmp_path, network, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        nir.export(network(), tmp_path / "a.nir", encoding="sinabs", **options)


def soft(theta=1.5, weight=1.0):
    neuron = neurons("out", (1,), LIF(), decay=0.5, theta=theta)
    return Network((Population("in", (1,)), neuron), (Projection("in", "out", (Dense(np.full((1, 1), weight, F)),)),),
                   readout="count")


@needs("sinabs")
def test_sinabs_fires_at_its_threshold_and_several_times_where_a_membrane_reaches_several(tmp_path):
    nir.export(soft(), tmp_path / "net.nir", encoding="sinabs")
    nir.export(soft(weight=4.0), tmp_path / "large.nir", encoding="sinabs")
    once, many = interop.run_nirs([(tmp_path / f"{n}.nir", AT_THRESHOLD) for n in ("net", "large")], "sinabs")
    ours = engine.run(soft(), AT_THRESHOLD).spikes["out"].dense()
    assert once["out"].ravel().tolist() == ours.ravel().tolist() == [0, 1, 0, 0, 0, 0]
    assert many["out"].max() == 3
    match = interop.verify_nir(tmp_path / "large.nir", soft(weight=4.0), AT_THRESHOLD, "sinabs")
    assert not match.exact and "where a membrane reaches n thresholds Sinabs fires n times" in str(match)


def test_only_the_tools_that_read_an_encoding_are_asked_for_a_proof(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(interop.proof, "beside", lambda *given: asked.append(given[-1]))
    for way in ("unit_r", "tau_over_dt", "sinabs"):
        network = soft() if way == "sinabs" else tie()
        nir.export(network, tmp_path / f"{way}.nir", encoding=way)
        interop.prove(tmp_path / f"{way}.nir", network, AT_THRESHOLD)
    assert asked == ["snntorch", "spikingjelly", "norse", "snntorch", "spikingjelly", "sinabs"]
