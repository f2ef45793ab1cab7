"""Training with a penalty: its schedule, in chunks, resumed, in several processes, and from a recipe."""

from __future__ import annotations

import re
import sys

import pytest
import torch

import snnsim.nn as nn
from snnsim.datasets import split
from snnsim.train import fit
from snnsim.train.build import build
from snnsim.train.checkpoint import read
from snnsim.train.gradients import backpropagate
from snnsim.train.recipe import Recipe, TrainRecipe
from snnsim.train.schedule import SCHEDULES, strength
from tests.test_penalty import close, input_of, net_of
from tests.test_train import OPTIONS, Stop, assert_equal, sides, small_net, weights
from tests.together import together

STEADY = {**OPTIONS, "penalty_schedule": "constant", "penalty": 0.5}
LABEL = torch.tensor([0, 3, 1])


def penalised_net(seed=0):
    net = small_net(seed)
    nn.set_penalty(net, nn.RMP(2))
    return net


def test_card3_schedules():
    assert set(SCHEDULES) == {"up-down", "linear-up", "constant"}
    assert (TrainRecipe().penalty_schedule, strength("up-down", None, 0.5)) == ("up-down", 0.1)
    for name, values in (("up-down", (0.0, 0.5, 1.0, 0.5, 0.0)), ("linear-up", (0.0, 0.25, 0.5, 0.75, 1.0)),
                         ("constant", (1.0,) * 5)):
        assert [strength(name, 4.0, done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)] == [4.0 * v for v in values]
    with pytest.raises(ValueError, match="train.penalty_schedule must be one of 'up-down', 'linear-up', 'constant', got 'up'"):
        TrainRecipe(penalty_schedule="up")
    with pytest.raises(ValueError, match=re.escape("train.penalty must be at least 0, got -1.0")):
        TrainRecipe(penalty=-1.0)


def gradients(net, penalty, **options):
    net.zero_grad()
    loss, _, total = backpropagate(net, input_of(), LABEL, TrainRecipe(**options), 0.5, penalty)
    return loss, {"total": torch.tensor(total, dtype=torch.float64),
                  **{k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None}}


def test_chunks_add_up_to_the_whole():
    net = net_of(penalty=nn.RMP(2))
    loss, want = gradients(net, 3.0)
    assert float(want["total"]) > 0.0
    for options in ({"checkpoint_steps": 5}, {"checkpoint_steps": 23}, {"truncate_steps": 23}, {"truncate_steps": 100}):
        again, got = gradients(net, 3.0, **options)
        assert again == pytest.approx(loss, rel=1e-12)
        close(got, want)
    _, without = gradients(net, 0.0)
    assert max(float((without[k] - want[k]).abs().max()) for k in want if k != "total") > 1e-3


def test_truncated_gradients_leave_out_what_crosses_a_chunk():
    net = net_of(penalty=nn.RMP(2))
    _, got = gradients(net, 3.0, truncate_steps=5)
    net.zero_grad()
    x, state, outputs, costs = input_of(), None, [], []
    for chunk in x.split(5):
        with nn.penalties() as found:
            out, state = net(chunk, state)
        state = tuple(tuple(v.detach() for v in s) for s in state)
        outputs.append(out)
        costs.append(found.total() * len(chunk) / len(x))
    total = torch.stack(costs).sum()
    loss = torch.nn.functional.cross_entropy(torch.cat(outputs).mean(0), LABEL)
    (0.5 * (loss + 3.0 * total)).backward()
    close(got, {"total": total.detach(), **{k: p.grad for k, p in net.named_parameters() if p.grad is not None}})
    with nn.penalties() as found:  # the open one gets the value, once
        nn.truncated(net, x, 5, lambda out: out.mean())
    assert float(found.total()) == pytest.approx(float(total.detach()), rel=1e-12)


def test_fit_lowers_it_and_says_how_much():
    train, held = split(sides(60), 0.3)
    nets = [penalised_net(), penalised_net(), small_net()]
    paid, unpaid, plain = [fit(net, train, validation=held, **{**STEADY, "penalty": k})
                           for net, k in zip(nets, (2.0, 0.0, None), strict=True)]
    assert all(e.penalty > 0.0 for e in paid.epochs + unpaid.epochs) and all(e.penalty == 0.0 for e in plain.epochs)
    assert paid.epochs[-1].penalty < 0.8 * unpaid.epochs[-1].penalty
    assert_equal(weights(nets[1]), weights(nets[2]))  # times 0, it changes nothing
    assert paid.best.validation_accuracy > 0.9
    with pytest.raises(ValueError, match="penalty=0.1 counts nothing, as no layer has a penalty: call snnsim.nn.set_penalty"):
        fit(small_net(), train, dt=2.0, penalty=0.1)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    train, held = split(sides(30), 0.3)
    options = {**OPTIONS, "epochs": 2}
    expected = fit(penalised_net(), train, validation=held, checkpoint=tmp_path / "whole.safetensors", **options)
    path, calls = tmp_path / "run.safetensors", [0]

    def stop(*given, **named):
        calls[0] += 1
        if calls[0] == 5:  # in the second epoch
            raise Stop
        return backpropagate(*given, **named)

    monkeypatch.setattr("snnsim.train.loop.backpropagate", stop)
    with pytest.raises(Stop):
        fit(penalised_net(), train, validation=held, checkpoint=path, checkpoint_seconds=0.0, **options)
    monkeypatch.undo()
    history = fit(penalised_net(), train, validation=held, checkpoint=path, **options)
    assert [e.penalty for e in history.epochs] == [e.penalty for e in expected.epochs]
    assert_equal(read(path)[0], read(tmp_path / "whole.safetensors")[0])


def test_parts_of_a_batch_add_up_to_the_whole():
    net, label = net_of(penalty=nn.RMP(2)), torch.tensor([0, 3, 1, 4, 2])
    parts = []
    for samples in (slice(0, 5), slice(0, 2), slice(2, 5)):
        net.zero_grad()
        count = len(label[samples])
        loss, _, total = backpropagate(net, input_of(samples=5)[:, samples], label[samples], TrainRecipe(), count / 5, 3.0)
        parts.append({"total": torch.tensor([loss, total], dtype=torch.float64) * count / 5,
                      **{k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None}})
    close({k: parts[1][k] + parts[2][k] for k in parts[1]}, parts[0])


def train_part(number, path):
    data, held = split(sides(50), 0.3)
    fit(penalised_net(number), data, validation=held, checkpoint=path, **{**STEADY, "epochs": 1, "batch_size": 64,
                                                                         "average": 0.0})


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forkserver")
def test_a_batch_split_over_processes_has_the_loss_of_one(tmp_path):
    """35 samples: 17 and 18."""
    train_part(0, tmp_path / "one")
    assert together(2, train_part, tmp_path / "two", folder=tmp_path) == ["", ""]
    (one, told), (two, said) = read(tmp_path / "one"), read(tmp_path / "two")
    for key in ("penalty", "loss"):
        value = told["history"]["epochs"][0][key]
        assert said["history"]["epochs"][0][key] == pytest.approx(value, rel=1e-6) and value > 0.0
    assert all(float((one[k] - two[k]).abs().max()) <= 1e-6 for k in one)


def distributed(number, folder):
    net = torch.nn.parallel.DistributedDataParallel(net_of(penalty=nn.RMP(2)))
    part = slice(2 * number, 2 * number + 2)
    with nn.penalties() as found:
        out, _ = net(input_of(samples=4)[:, part])
    (out.mean(0).square().mean() + found.total()).backward()
    torch.save({k: p.grad for k, p in net.module.named_parameters()}, folder / f"{number}.pt")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forkserver")
def test_in_distributed_data_parallel(tmp_path):
    assert together(2, distributed, tmp_path, folder=tmp_path) == ["", ""]
    net = net_of(penalty=nn.RMP(2))
    with nn.penalties() as found:
        out, _ = net(input_of(samples=4))
    (out.mean(0).square().mean() + found.total()).backward()
    for number in range(2):
        got = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        for k, p in net.named_parameters():
            torch.testing.assert_close(got[k], p.grad, rtol=0.0, atol=1e-12 * float(p.grad.abs().max()))


def test_a_recipe_says_which_layers_pay():
    layers = [{"kind": "linear", "inputs": 4, "outputs": 3}, {"kind": "neuron", "theta": 0.5, "rmp": 2},
              {"kind": "recurrent", "features": 3, "model": "mpr", "rmp": 1}, {"kind": "neuron"}, {"kind": "readout"}]
    net = build(layers)
    assert [m.penalty for m in net if isinstance(m, nn.Neuron)] == [nn.RMP(2), nn.RMP(1), None, None]
    with pytest.raises(ValueError, match="layer 0 .neuron.: p must be one of 1, 2, got 3"):
        build([{"kind": "neuron", "rmp": 3}])
    with pytest.raises(ValueError, match="layer 0 .readout.: .*unexpected keyword argument 'rmp'"):
        build([{"kind": "readout", "rmp": 2}])
    recipe = Recipe.from_dict({"data": {"name": "digits-events"}, "layer": layers,
                               "train": {"penalty": 0.2, "penalty_schedule": "linear-up"}})
    assert (recipe.train.penalty, recipe.train.penalty_schedule) == (0.2, "linear-up")
