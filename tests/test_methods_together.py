"""Methods that meet: a layer of one among what serves all layers, such as penalties, membranes, autocast and recipes."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import TimeBase, datasets, lower
from snnsim.cli.training import train_seed
from snnsim.neurons import AMLIF, LIF
from snnsim.train import Recipe, build, fit, forecast
from tests.test_delays_training import recordings


@pytest.mark.parametrize("layer", [nn.HoyerSpike(6), nn.MPBN(LIF(), 6)], ids=["HoyerSpike", "MPBN"])
def test_a_penalty_is_refused_where_none_is_computed(layer: nn.Neuron) -> None:
    net = nn.Sequential(nn.Linear(6, 6), layer, nn.Linear(6, 2), nn.Readout())
    with pytest.raises(ValueError, match=f"layer 1 \\({type(layer).__name__}\\): {type(layer).__name__} takes no penalty"):
        nn.set_penalty(net, nn.RMP(2))
    nn.set_penalty(net, None)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [4, 5])  # as many columns as channels, and not
def test_membranes_of_images_are_those_that_a_hoyer_layer_decides_on(training: bool, size: int) -> None:
    torch.manual_seed(0)
    layer, x = nn.HoyerSpike(4, leak=0.5).train(training), torch.rand(6, 3, 4, size, size)
    layer.extremum.uniform_(0.2, 0.9)
    fixed = layer.extremum.clone()
    out = layer(x)[0].detach()
    layer.extremum.copy_(fixed)
    found = nn.membranes(layer, x)[""]
    clipped = found.clamp(0.0, 1.0).double()
    each = (clipped.square().sum((1, 3, 4)) / clipped.sum((1, 3, 4))).float()
    theta = (each if training else fixed.expand(6, 4)).view(6, 1, 4, 1, 1)
    assert found.shape == x.shape and 0.1 < out.mean() < 0.9 and torch.equal((found >= theta).float(), out)
    torch.testing.assert_close(found[1:], 0.5 * (found - theta * out)[:-1] + x[1:])


def test_membranes_of_territories_have_the_neurons_shape() -> None:
    torch.manual_seed(0)
    layer = nn.Astrocytes(AMLIF(territory=True, mode="current"), nn.territories((2, 4, 4), 2), dt=1.0)
    x = torch.rand(7, 3, 2, 4, 4)
    found = nn.membranes(layer, x)[""]
    assert found.shape == x.shape and torch.equal((found >= 1.0).float(), layer(x)[0])


def test_a_branch_elm_takes_half_precision_and_refuses_to_be_in_it() -> None:
    layer, before = nn.ELM(6, 2, 3, routing=nn.branch_windows(6, 2, 4), dt=1.0), torch.nn.Linear(6, 6)
    x = torch.rand(8, 3, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = layer(before(x))
    np.testing.assert_allclose(out.detach().float(), layer(before(x))[0].detach(), atol=0.05)
    with pytest.raises(ValueError, match="ELM computes in float32 or float64 on the CPU, and its parameters are torch.bfl"):
        layer.bfloat16()(x.bfloat16())


def test_qcfs_takes_events() -> None:
    events = datasets.make_events([0, 1500, 1600], [1, 2, 2], [0, 0, 0], [0, 0, 0])
    batch = datasets.bin_events([events], datasets.Sensor(1, 4, 1), 1.0, steps=3)
    assert torch.equal(nn.QCFS(levels=4, clip=4.0)(batch), nn.events.dense(batch))


@pytest.mark.parametrize("kind", ["neuron", "mpbn"])
def test_time_constants_of_a_recipe_go_with_the_channels_of_a_convolution(kind: str) -> None:
    """Not with its columns, of which there may be as many."""
    table = {"spacing": "log", "low": 5.0, "high": 500.0}
    net = build([{"kind": "conv2d", "inputs": 2, "outputs": 4, "kernel": 1}, {"kind": kind, "features": 4, "tau": table}])
    net[1].set_dt(1.0)
    assert net[1].step_parameters()["decay"].shape == (4, 1, 1)
    flat = build([{"kind": "conv2d", "inputs": 2, "outputs": 4, "kernel": 1}, {"kind": "flatten"},
                  {"kind": "astrocytes", "neurons": 36, "size": 3, "tau": table}])
    flat[2].set_dt(1.0)
    assert flat[2].step_parameters()["decay"].shape == (36,)


@pytest.mark.parametrize(("layer", "sentence"), [
    ({"kind": "elm", "inputs": 3, "outputs": 2, "memories": 4, "synapses": 7}, "synapses is of branches: give branches, too"),
    ({"kind": "elm", "inputs": 4, "outputs": 2, "memories": 4, "interleave": True}, "interleave is of branches: give branches"),
    ({"kind": "astrocytes", "neurons": 4, "size": 2, "model": "lif"}, "model cannot be chosen"),
    ({"kind": "td_bn1d", "features": -4}, "negative dimension")])
def test_keys_of_a_recipe_that_count_nothing_are_refused(layer: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"layer 0 \({layer['kind']}\): .*{sentence}"):
        build([layer])


@pytest.mark.parametrize("norm", [nn.MPBN(LIF(), 6), nn.BNTT1d(6, 20)], ids=["MPBN", "BNTT"])
def test_a_norm_of_two_samples_can_be_forecast_and_trained(norm: torch.nn.Module) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), norm, nn.Linear(6, 2), nn.Readout())
    assert forecast(net, recordings(), dt=1.0, steps=20, batch_size=2).samples == 2
    history = fit(net, recordings(), dt=1.0, steps=20, batch_size=3, epochs=1, progress=False)
    assert len(history.epochs) == 1


@pytest.mark.parametrize("norm", [nn.MPBN(LIF(), 6), nn.BNTT1d(6, 20)], ids=["MPBN", "BNTT"])
def test_a_last_batch_of_one_is_refused_before_anything_is_trained(norm: torch.nn.Module) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), norm, nn.Linear(6, 2), nn.Readout())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match="with batch_size=11 the last batch of 12 recordings has only one: layer 2"):
        fit(net, recordings(), dt=1.0, steps=20, batch_size=11, epochs=1, progress=False)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def recipe(norm: str = "batch_norm1d", **neuron: object) -> Recipe:
    steps = {"steps": 20} if norm in ("bntt1d", "tebn1d") else {}
    return Recipe.from_dict({
        "data": {"name": "digits-events", "dt": 1.0, "steps": 20, "validation": 0.0}, "train": {"epochs": 1, "batch_size": 4},
        "layer": [{"kind": "flatten"}, {"kind": "linear", "inputs": 4, "outputs": 6}, {"kind": norm, "features": 6, **steps},
                  {"kind": "neuron", **neuron}, {"kind": "linear", "inputs": 6, "outputs": 2}, {"kind": "readout"}]})


def test_a_checkpoint_of_another_recipe_is_not_continued(tmp_path: Path) -> None:
    """Nets of the same weights that are other nets, such as soft reset and the rectifier, and other data."""
    data, first = (recordings(), recordings()), recipe(reset="soft")
    train_seed(first, 0, tmp_path, data, progress=False)
    train_seed(first, 0, tmp_path, data, progress=False)  # the same goes on
    with pytest.raises(ValueError, match="belongs to a run with another net: delete it"):
        train_seed(recipe(model="mpr"), 0, tmp_path, data, progress=False)
    with pytest.raises(ValueError, match="belongs to a run with another data: delete it"):
        train_seed(replace(first, data=replace(first.data, options={"speaker": "theo"})), 0, tmp_path, data, progress=False)
    train_seed(recipe(model="mpr"), 0, tmp_path, data, restart=True, progress=False)


@pytest.mark.parametrize("norm", ["bntt1d", "tebn1d"])
def test_a_norm_that_cannot_be_lowered_once_trained_is_refused_before(norm: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layer 2 .* cannot be lowered once it is trained, as it differs from step to step"):
        train_seed(recipe(norm), 0, tmp_path, (recordings(), recordings()), progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", [nn.DelayLinear(6, 4, 8), nn.Delay(6, 8)], ids=["DelayLinear", "Delay"])
def test_delays_that_are_no_numbers_are_refused(layer: nn.DelayLinear | nn.Delay, training: bool) -> None:
    """A kernel would take them for places in memory."""
    layer.train(training).delay.data.view(-1)[2] = float("nan")
    with pytest.raises(ValueError, match="the delays hold NaN or infinity"):
        layer((torch.rand(15, 2, 6) < 0.15).float())


def test_a_delay_at_the_end_of_a_net_is_not_left_out() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Neuron(LIF(), dt=1.0), nn.Delay(4, 3))
    with pytest.raises(ValueError, match=r"the net ends in layer 2 \(Delay\), which cannot be lowered there: delays of axons"):
        lower(net, time=TimeBase(1.0), input_shape=(6,))


def test_an_annealed_surrogate_goes_to_another_process() -> None:
    """As spawned ones take their net: pickled."""
    layer = nn.Neuron(LIF(), surrogate="reste_annealed", width=0.7)
    other = pickle.loads(pickle.dumps(layer))  # noqa: S301  # our own, made a moment ago
    for epoch in range(3):
        layer.anneal(epoch, 3)
        other.anneal(epoch, 3)
        assert other.surrogate.width == 0.7 and other.surrogate.slope(0.3, 0.7) == layer.surrogate.slope(0.3, 0.7)


def test_binary_weights_are_binary_in_evaluation_and_in_a_network_whatever_the_stage() -> None:
    """`fit` may keep an epoch of the first stage, and may be told of too few epochs to leave it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.biper(nn.Linear(5, 4)), nn.Readout(dt=1.0))
    scale = net[0].parametrizations.weight[0].scale.detach()[:, None].expand(4, 5)
    assert not torch.allclose(net[0].weight.abs(), scale)
    network = lower(net, time=TimeBase(1.0), input_shape=(5,))
    assert all(m.training for m in net.modules())
    net.eval()
    assert torch.equal(net[0].weight.abs(), scale)
    np.testing.assert_array_equal(network.projections[0].maps[0].weight, net[0].weight.detach())


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="switch must be a share of the epochs, at most 1, got 2.0"):
        nn.biper(nn.Linear(3, 3), switch=2.0)
    with pytest.raises(ValueError, match="momentum must lie from 0 to 1, or be None, got 3.0"):
        nn.MPBN(LIF(), 4, momentum=3.0)
