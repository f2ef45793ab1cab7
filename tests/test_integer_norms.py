"""Norms of membranes in whole numbers: neurons that fire at rest, below their threshold, always or never."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.hardware import integer
from snnsim.hardware.integer import IntegerNetwork
from snnsim.hardware.loihi import netx, process
from snnsim.maps import Conv2d, Dense, Map
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import IF, LIF, CubaLIF
from snnsim.neurons.folded import folded
from tests.digit_images import digits

Array = np.ndarray[Any, Any]


def folded_net(neuron: Any, conv: bool = False, per: str = "channel", signs: bool = True) -> tuple[Network, Array]:
    """One population of 11 channels or neurons with drawn thresholds, one that fires always, one never; and counts."""
    rng, n = np.random.default_rng(0), 11
    shape = (n, 3, 4) if conv else (n,)
    own = shape if per == "element" else (n, 1, 1) if conv else (n,)
    threshold, constant = rng.normal(0.0, 0.7, own), np.zeros(own)
    sign = rng.choice([-1.0, 1.0], own) if signs else np.ones(own)
    if per == "channel":
        constant[3], constant[7] = 1.0, -1.0
        sign[[3, 7]] = 0.0
    m: Map = Conv2d(rng.normal(0.0, 0.4, (n, 2, 2, 2))) if conv else Dense(rng.normal(0.0, 0.4, (n, 9)))
    h = Population("h", shape, folded(neuron.rule), {**neuron.step_parameters(1.0), "threshold": threshold, "sign": sign,
                                                     "constant": constant})
    bias = rng.normal(0.0, 0.1, (n, 1, 1) if conv else n)
    network = Network((Population("in", (2, 4, 5) if conv else (9,)), h), (Projection("in", "h", (m,), bias),), readout="count")
    return network, rng.poisson(0.2, (60, 3, *network.input.shape))


def same_in_the_engine(model: IntegerNetwork, counts: Array) -> integer.IntegerResult:
    names = [p.name for p in model.populations[1:]]
    padded = np.concatenate([counts, np.zeros((model.latency, *counts.shape[1:]), int)]).astype(np.float32)
    ours, theirs = integer.run(model, counts, record=names), engine.run(model.network(), padded, record=names)
    for name in names:
        np.testing.assert_array_equal(ours.v[name], theirs.membranes[name])
    for name, spikes in ours.spikes.items():
        np.testing.assert_array_equal(spikes, theirs.spikes[name].dense())
    assert not any(found["sums"] or found["u"] for found in ours.overflows.values())  # v may stop far below
    return ours


@pytest.mark.parametrize(("neuron", "conv", "per"), [
    (LIF(tau=4.0, reset="hard"), False, "channel"), (LIF(tau=4.0, reset="hard"), True, "channel"),
    (IF(reset="hard"), True, "channel"), (LIF(tau=4.0, reset="hard"), True, "element")], ids=str)
def test_hard_resets_decide_as_floats_do(neuron: Any, conv: bool, per: str) -> None:
    network, counts = folded_net(neuron, conv, per, signs=per == "channel")
    model = integer.quantize(network)
    found = same_in_the_engine(model, counts).spikes["h"][1:]
    wanted = engine.run(network, counts.astype(float)).spikes["h"].dense()
    assert 0.2 < wanted.mean() < 0.7 and np.mean(found != wanted) < 0.01
    assert network.populations[1].spontaneous.any() and np.ptp(model.populations[1].start) > 0
    assert [q.bits for q in model.projections if q.source == q.target] == [8]
    if per == "channel":
        assert (found[:, :, 3] == 1).all() and (found[:, :, 7] == 0).all()
        assert all(how in model.notes[-1] for how in ("as their negatives", "lifted", "to fire always", "never to fire"))
    again = integer.run(integer.quantize(model.network()), counts)  # as it is, without the step that is already in its delays
    np.testing.assert_array_equal(again.spikes["h"][1:], found[:59])


def test_a_soft_reset_subtracts_another_number() -> None:
    network, counts = folded_net(LIF(tau=4.0), signs=False)
    model = integer.quantize(network)
    assert [q.name for q in model.projections] == ["in->h"]  # a lift and a bias are all that it takes
    found = same_in_the_engine(model, counts).spikes["h"][1:]
    wanted = engine.run(network, counts.astype(float)).spikes["h"].dense()
    late = slice(30, None)  # those that fire at rest do so a step before the input, which a leak forgets
    assert 0.2 < wanted.mean() < 0.7 and np.mean(found[late] != wanted[late]) < 0.02


def test_a_trained_net_keeps_its_decisions() -> None:
    torch.manual_seed(0)
    images, labels, held_out, wanted = digits()
    neuron = LIF(tau=4.0, reset="hard")
    first, second = nn.MPBN(neuron, 40), nn.MPBN(neuron, 30)
    net = nn.Sequential(nn.Linear(64, 40, bias=False), first, nn.Linear(40, 30, bias=False), second, nn.Linear(30, 10),
                        nn.Readout(tau=20.0))
    nn.set_dt(net, 1.0)
    with torch.no_grad():  # norms with both signs, which training starts from
        for m in (first, second):
            m.weight[::3] *= -1.0
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)

    def spikes(x: torch.Tensor, seed: int) -> torch.Tensor:
        return (torch.rand(16, *x.shape, generator=torch.Generator().manual_seed(seed)) < 0.6 * x).float()

    for epoch in range(6):
        for at in torch.randperm(len(images)).split(240):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(spikes(images[at], epoch))[0].mean(0), labels[at]).backward()
            optimiser.step()
    net.eval()
    network, counts = lower(net, time=TimeBase(1.0), input_shape=(64,)), spikes(held_out, 100).numpy()
    signs = np.concatenate([np.ravel(p.parameters["sign"]) for p in network.populations[1:3]])
    awake = sum(int(p.spontaneous.sum()) for p in network.populations[1:3])
    model = integer.quantize(network)
    found, floats = same_in_the_engine(model, counts.astype(int)), engine.run(network, counts)
    right = [float(np.mean(r.prediction == wanted.numpy())) for r in (found, floats)]
    assert (signs < 0).sum() > 10 and awake > 3 and any(q.source == q.target for q in model.projections)
    assert right[1] > 0.85 and right[0] > right[1] - 0.02 and np.mean(found.prediction == floats.prediction) > 0.94
    for late, p in enumerate(model.populations[1:3], 1):
        missed = (found.spikes[p.name][late: late + 16] != floats.spikes[p.name].dense()).mean((0, 1))
        lifted = p.start != 0  # what differs is what 8 bits of a weight leave: the lift adds nothing to it
        assert 0 < lifted.sum() < lifted.size and missed[lifted].mean() < 1.2 * missed[~lifted].mean() < 0.05


def test_files_hold_the_start_or_refuse_it(tmp_path: Any) -> None:
    model = integer.quantize(folded_net(IF(reset="hard"))[0])
    process.write(model, tmp_path / "net.json")
    np.testing.assert_array_equal(process.read(tmp_path / "net.json").populations[1].start, model.populations[1].start)
    with pytest.raises(ValueError, match=r"population 'h' starts at v = -?\d+: lava-dl's neurons start at 0"):
        netx.write(replace(model, projections=model.projections[:1]), tmp_path / "net.net")


def cuba(theta: float) -> Network:
    return Network((Population("in", (2,)), Population("h", (1,), CubaLIF(tau=9.0, tau_syn=3.0, reset="hard").rule,
                                                       {"decay": 0.9, "keep": 0.7, "theta": theta})),
                   (Projection("in", "h", (Dense([[1.0, -0.5]]),)),))


def started(model: Network, **initial: float) -> Network:
    return Network((model.populations[0], replace(model.populations[1], initial=initial)), model.projections, readout="count")


@pytest.mark.parametrize(("network", "said"), [
    (lambda: folded_net(LIF(tau=4.0))[0], r"population 'h' has a soft reset, and \d of its neurons fire below their threshold"),
    (lambda: folded_net(IF(reset="hard"), True, "element")[0], "projection in->h: the thresholds of its targets differ within"),
    (lambda: replace(folded_net(IF(reset="hard"))[0], readout="membrane"), "population 'h' is read by its membranes"),
    (lambda: cuba(-0.1), "population 'h' has a threshold of -0.1: .* above 0, as its currents last longer"),
    (lambda: started(folded_net(IF(reset="hard"))[0], v=0.5), "quantize takes networks whose states start at 0; those of 'h'"),
    (lambda: started(integer.quantize(folded_net(IF(reset="hard"))[0]).network(), u=64.0), "its u starts elsewhere than at 0")])
def test_what_no_lift_holds_is_refused(network: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        integer.quantize(network())
