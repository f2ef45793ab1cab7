"""The training benchmarks: every tool is given the same work and computes the same, or there is no number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import typer

import snnsim.nn as nn
from benchmarks import common, neuron, peer_work, training, training_memory, training_threads
from benchmarks.training import EQUATIONS, PLAIN, Ours

TINY = {"ff": (12, 5), "rec": (12, 5), "conv": (6, 2)}  # steps, batch: every layer fires
SLOW = [("ff", "spyx"), ("rec", "spikingjelly"), ("rec", "spikingjelly-linear"), ("rec", "spyx"), ("rec", "snntorch"),
        ("conv", "spyx"), ("conv", "snntorch")]
PAIRS = [pytest.param(net, peer, marks=[pytest.mark.slow] * ((net, peer) in SLOW)) for net, peers in training.PEERS.items()
         for peer in peers]


def first_of(peer: str, net: str) -> dict[str, Any]:
    if not training.installed(peer):
        pytest.skip(f"{peer} is not installed")
    process = training.beside(peer, "time", net, *TINY[net], 1)
    try:
        assert process.run()["seconds"] > 0.0
    finally:
        process.close()
    return process.about


@pytest.mark.parametrize(("net", "peer"), PAIRS)
def test_a_peer_computes_the_same_and_a_wrong_equation_is_noticed(net: str, peer: str) -> None:
    its, task = first_of(peer, net), peer_work.draw(net, *TINY[net])
    own = EQUATIONS[peer.partition("-")[0]]
    found = training.agree(net, peer, Ours(net, task, own).first(), its)
    assert max(found.values()) < 1e-4
    for other in EQUATIONS.values():
        if other != own:
            with pytest.raises(typer.Exit):
                training.agree(net, peer, Ours(net, task, other).first(), its)


@pytest.mark.parametrize("net", peer_work.SHAPES)
def test_events_and_the_dense_tensor_train_alike(net: str) -> None:
    task = peer_work.draw(net, *TINY[net])
    sparse, dense = Ours(net, task), Ours(net, task, dense=True)
    training.agree(net, "dense", sparse.first(), dense.first())
    assert min(sparse.first()["counts"]) > 0
    before = sparse.first()["loss"]
    for ours in (sparse, dense):
        ours.step()
    for a, b in zip(sparse.module.parameters(), dense.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert sparse.first()["loss"] != before


@pytest.mark.parametrize("net", peer_work.SHAPES)
def test_weights_are_the_same_for_any_steps_and_batch(net: str) -> None:
    small, whole = peer_work.draw(net, 3, 2), peer_work.draw(net)
    assert all(map(np.array_equal, small.weights, whole.weights))
    assert whole.x.shape[:2] == (peer_work.STEPS[net], peer_work.BATCH[net]) and set(np.unique(whole.x)) == {0.0, 1.0}
    assert whole.x.mean() == pytest.approx(peer_work.DENSITY[net], rel=0.01)


def test_a_late_reset_is_what_it_says() -> None:
    """The rule by which ours computes what snnTorch and Spyx compute, against their equation in NumPy."""
    x = peer_work.current(40, 3, 7)
    h, s, spikes = np.zeros((3, 7)), np.zeros((3, 7)), []
    for t in range(len(x)):
        h = peer_work.DECAY * h + x[t] - s * peer_work.THETA
        s = (h >= peer_work.THETA).astype(float)
        spikes.append(s)
    layer = nn.Neuron(EQUATIONS["spyx"].neuron, dt=1.0)
    assert np.array_equal(layer(torch.from_numpy(x).double())[0].numpy(), spikes)


@pytest.mark.parametrize("peer", ["spikingjelly", "snntorch", pytest.param("spyx", marks=pytest.mark.slow)])
def test_a_peers_neuron_is_ours(peer: str) -> None:
    if not training.installed(peer):
        pytest.skip(f"{peer} is not installed")
    shape = (30, 3, 33)
    process = neuron.beside(peer, "both", shape, 1)
    process.close()
    neuron.agree(peer, shape, neuron.Ours(shape, EQUATIONS[peer]).first(), process.about)
    for other in EQUATIONS.values():
        if other != EQUATIONS[peer]:
            with pytest.raises(typer.Exit):
                neuron.agree(peer, shape, neuron.Ours(shape, other).first(), process.about)


@pytest.mark.parametrize(("what", "value", "sentence"), [
    ("counts", [1000.0, 2004.0], "train-ff: snnsim and x disagree on counts: [1000.0, 2000.0] and [1000.0, 2004.0]"),
    ("loss", 3.001, "train-ff: snnsim and x disagree on loss: [3.0] and [3.001]"),
    ("gradients", [1.0, 2.01], "train-ff: snnsim and x disagree on gradients: [1.0, 2.0] and [1.0, 2.01]"),
    ("gradients", [1.0], "train-ff: snnsim and x disagree on gradients: [1.0, 2.0] and [1.0]"),
    ("loss", float("nan"), "train-ff: snnsim and x disagree on loss: [3.0] and [nan]")])
def test_no_number_where_they_disagree(what: str, value: Any, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    ours = {"counts": [1000.0, 2000.0], "loss": 3.0, "gradients": [1.0, 2.0]}
    training.agree("ff", "x", ours, ours | {"counts": [1000.0, 2002.0]})  # ties
    with pytest.raises(typer.Exit):
        training.agree("ff", "x", ours, ours | {what: value})
    assert sentence in capsys.readouterr().err


def test_peers_are_named_with_commas_or_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    peers = ("a", "b", "c")
    assert common.asked(None, peers) == []
    assert common.asked(["a,b"], peers) == common.asked(["a", "b"], peers) == common.asked(["a, b", "b"], peers) == ["a", "b"]
    with pytest.raises(typer.Exit):
        common.asked(["a,norse"], peers)
    assert capsys.readouterr().err == "refused: --against must be one of a, b, c, got 'norse'\n"


def test_a_peer_that_is_wanted_and_missing_is_refused(monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(training, "interpreter", lambda package, venv: "python" if venv == "torch" else None)
    assert training.chosen(training.PEERS["rec"], None) == ["spikingjelly", "spikingjelly-linear", "snntorch"]
    with pytest.raises(typer.Exit):
        training.chosen(training.PEERS["rec"], ["snntorch,spyx"])
    assert capsys.readouterr().err == "refused: spyx is not installed: `make peers-jax` installs it\n"


def test_rows_of_a_net_without_peers() -> None:
    rows = training.measure("ff", [], 1, steps=4, batch=3, rounds=2)
    assert [(r["engine"], r["input"], r["equation"]) for r in rows] == [
        ("snnsim", "events", PLAIN.name), ("snnsim dense", "dense", PLAIN.name)]
    assert rows[0]["ratio"] == rows[0]["ratio_of_minima"] == 1.0 and all(r["runs"] == 2 for r in rows)


def test_more_threads_train_the_same_weights() -> None:
    before = torch.get_num_threads()
    try:
        rows = training_threads.whole("ff", 2, *TINY["ff"], rounds=2)
    finally:
        torch.set_num_threads(before)
    assert [(r["work"], r["threads"]) for r in rows] == [("ff", 1), ("ff", 2)] and rows[0]["faster"] == 1.0


@pytest.mark.slow
def test_memory_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_memory, "BATCH", 64)
    rows = [training_memory.ours_of(t, 64, 1) for t in (100, 400)]
    inputs = 4 * 64 * training_memory.NEURONS * 300 / 2**20  # MB that the longer one saves at least
    # whole peaks: a step of a few MB may fit into what building the net has left free
    assert rows[1]["peak_mb"] - rows[0]["peak_mb"] > inputs
    assert all(r["imported_mb"] < r["warmed_mb"] <= r["peak_mb"] for r in rows)
