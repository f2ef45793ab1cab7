"""Training for pulse logic: whole weights and thresholds, what they cost, and equal spikes in training and pulses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import snnsim.nn as nn
from snnsim import engine
from snnsim.cli.training import train_seed
from snnsim.datasets import load
from snnsim.hardware import sfq
from snnsim.lowering import lower
from snnsim.network import TimeBase
from snnsim.network_file import load_network, save_network
from snnsim.neurons import IF, Counter
from snnsim.train import build, evaluate, fit, load_recipe, prepare
from tests import oracle
from tests.sfq_nets import stepped
from tests.test_train import OPTIONS, sides


def small(levels: int = 1, leak: int | None = 2, reset: Any = "soft", bits: int = 6, inputs: int = 12) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.PulsedLinear(inputs, 9, levels=levels),
        nn.PulsedNeuron(Counter(2 * levels, leak, reset, bits, 0.5 / levels), shape=(9,)),
        nn.PulsedLinear(9, 4, levels=levels), nn.PulsedNeuron(Counter(levels, leak, reset, bits, 1 / levels)), nn.Counts(8.0))


@pytest.mark.parametrize(("levels", "leak", "reset", "bits"), [
    (1, 2, "soft", 6), (3, None, "hard", 8), (2, 0, "soft", 5), (7, 1, "hard", 5), (1, 3, "soft", 3)])
def test_training_evaluation_oracle_engine_and_pulses_agree(levels: int, leak: int | None, reset: Any, bits: int) -> None:
    torch.manual_seed(levels)
    net = small(levels, leak, reset, bits)
    net.time, net.input_shape = TimeBase(5.0), (1, 3, 4)
    nn.set_dt(net, 5.0)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.PulsedNeuron):
                m.get_parameter("raw_theta").uniform_(-1.0, 0.5)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (20, 5, 1, 3, 4)).astype(np.float32))
    trained = net(x)[0].detach()
    assert torch.equal(net.eval()(x)[0], trained) and trained.any()
    network = lower(net)
    found = sfq.of_network(network, burst=2)
    run, engined = sfq.run(found, x.numpy()), engine.run(network, x.numpy())
    assert run.losses == run.cut == 0
    np.testing.assert_array_equal(run.spikes[found.layers[-1].name], trained.numpy() / 8.0)
    for b in range(5):
        steps, plain = oracle.run(network, x[:, b].numpy()), stepped(found, x[:, b].flatten(1).numpy().astype(int))
        for layer in found.layers:
            np.testing.assert_array_equal(run.spikes[layer.name][:, b], steps.spikes[layer.name])
            np.testing.assert_array_equal(run.spikes[layer.name][:, b], plain[layer.name])
            np.testing.assert_array_equal(engined.spikes[layer.name].dense()[:, b], plain[layer.name])
    assert [int(np.abs(layer.weight).max()) <= levels for layer in found.layers] == [True, True]


def test_weights_and_thresholds_are_whole_and_learn_through_their_rounding() -> None:
    torch.manual_seed(0)
    net = small(levels=3)
    nn.set_dt(net, 1.0)
    first, neuron = net[1], net[2]
    raw = first.parametrizations.weight.original
    assert set(first.weight.detach().unique().tolist()) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    (g,) = torch.autograd.grad(first.weight.sum(), raw)
    assert torch.equal(g, torch.full_like(g, 3.0 * 12**0.5))
    out, _ = net(torch.rand(10, 4, 12).round())
    cross_entropy(out.mean(0), torch.arange(4)).backward()
    for p in net.parameters():
        assert p.grad is not None and bool(p.grad.any()) and bool(p.grad.isfinite().all())
    with torch.no_grad():
        raw[0], raw[1] = 1.0, -1.0
    first.after_step()
    assert first.weight[:2].detach().tolist() == [[3.0] * 12, [-3.0] * 12]
    assert float(raw.detach().abs().max()) == pytest.approx(12**-0.5)
    for raw_theta, theta in ((-9.0, 1.0), (0.1, 7.0), (9.0, 31.0)):
        with torch.no_grad():
            neuron.get_parameter("raw_theta").fill_(raw_theta)
        assert neuron.step_parameters()["theta"].tolist() == [theta] * 9


def test_the_cost_is_that_of_pulses_and_thresholds() -> None:
    net = nn.Sequential(nn.PulsedLinear(4, 3, levels=2, cost=0.5),
                        nn.PulsedNeuron(Counter(5, scale=0.2), shape=(3,), cost=0.25), nn.PulsedLinear(3, 2),
                        nn.PulsedNeuron(Counter(2)))
    nn.set_dt(net, 1.0)
    cost = nn.pulse_cost(net)
    assert cost is not None and float(cost.detach()) == 0.5 * float(net[0].weight.detach().abs().sum()) + 0.25 * 15.0
    cost.backward()
    raw = net[1].get_parameter("raw_theta")
    assert torch.equal(raw.grad, torch.full((3,), 0.25 * 5.0)) and net[2].parametrizations.weight.original.grad is None
    assert nn.pulse_cost(small()) is None


@pytest.mark.parametrize("truncate", [0, 4])
def test_fit_makes_what_costs_smaller(truncate: int) -> None:
    totals, thresholds = [], []
    for cost in (0.0, 0.02):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.PulsedLinear(128, 6, levels=3, cost=cost),
                            nn.PulsedNeuron(Counter(20, scale=0.05), shape=(6,), cost=cost), nn.PulsedLinear(6, 2),
                            nn.PulsedNeuron(Counter(1)), nn.Counts())
        fit(net, sides(40), **{**OPTIONS, "epochs": 3, "truncate_steps": truncate})
        totals.append(float(net[1].weight.detach().abs().sum()))
        thresholds.append(float(net[2].step_parameters()["theta"].detach().sum()))
    assert totals[1] < 0.8 * totals[0] and thresholds[1] < thresholds[0]


def test_a_net_learns_and_runs_pulse_by_pulse_as_it_was_trained(tmp_path: Any) -> None:
    torch.manual_seed(0)
    net, test = small(leak=None, inputs=128), sides(40)
    with torch.no_grad():
        net[3] = nn.PulsedLinear(9, 2)
        net[4] = nn.PulsedNeuron(Counter(1))
    fit(net, sides(60), clip=True, **{**OPTIONS, "epochs": 6})
    found = evaluate(net, test, net.time)
    save_network(lower(net), tmp_path / "net.h5")
    network = sfq.of_network(load_network(tmp_path / "net.h5"))
    assert network.shape == test.sensor.shape and network.time == net.time and network.classes == test.classes
    run = sfq.run(network, [r.events for r in test])
    assert run.cut == run.losses == 0 and found.accuracy > 0.9
    np.testing.assert_array_equal(run.prediction, found.predictions)


@pytest.mark.parametrize(("make", "error", "sentence"), [
    (lambda: nn.PulsedLinear(2, 2, levels=0), ValueError, r"levels must be whole numbers in 1 \.\. 127, got 0"),
    (lambda: nn.PulsedLinear(2, 2, cost=-1.0), ValueError, "cost must be"),
    (lambda: nn.PulsedNeuron(IF()), TypeError, "PulsedNeuron takes a Counter, got IF"),
    (lambda: nn.PulsedNeuron(Counter(), cost=float("nan")), ValueError, "cost must be"),
    (lambda: nn.Counts(0.0), ValueError, "gain must be above 0"),
    (lambda: build([{"kind": "counter", "theta": 0.5}]), ValueError, r"layer 0 \(counter\): theta must be whole numbers"),
    (lambda: build([{"kind": "pulsed_linear", "inputs": 2, "outputs": 2, "bias": True}]), ValueError,
     r"layer 0 \(pulsed_linear\)"),
])
def test_what_is_refused(make: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize("recipe", ["sfq/digits", "sfq/digits-levels"])
def test_a_recipe_builds_a_net_of_pulses(recipe: str) -> None:
    plan = load_recipe(recipe)
    train, _ = load(plan.data.name, **plan.data.options)
    net = build(plan.layers)
    prepare(net, train, TimeBase(plan.data.dt, None, plan.data.clip))
    network = sfq.of_network(lower(net))
    assert (network.inputs, network.layers[0].size, network.layers[1].size) == (64, 32, 10)
    assert network.time.clip and network.burst == 1 and network.classes == train.classes


def test_a_run_is_read_as_pulses_with_its_samples(tmp_path: Any) -> None:
    plan = load_recipe("sfq/digits")
    train, test = load(plan.data.name, **plan.data.options)
    done = train_seed(plan, 0, tmp_path, (train[:60], test[:40]), epochs=1, progress=False)
    network, samples = sfq.of_run(tmp_path)
    assert samples.sensor == test.sensor and len(samples) == len(test)
    run = sfq.run(network, [r.events for r in samples[:40]])
    np.testing.assert_array_equal(run.prediction, done.evaluation.predictions)
    assert run.losses == run.cut == 0
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ValueError, match=r"training.json is not a training.json of snnsim, or it is damaged: KeyError"):
        sfq.of_run(tmp_path)
    (tmp_path / "training.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*training.json: `snnsim train` writes it into the folder"):
        sfq.of_run(tmp_path)


@pytest.mark.slow
def test_the_digits_recipe_is_close_to_floats_and_exact_pulse_by_pulse() -> None:
    accuracy = {}
    for recipe in ("sfq/digits", "sfq/digits-float"):
        plan = load_recipe(recipe)
        train, test = (s.load(False) for s in load(plan.data.name, **plan.data.options))
        torch.manual_seed(0)
        net = build(plan.layers)
        fit(net, train, dt=plan.data.dt, clip=plan.data.clip, progress=False, epochs=8, batch_size=plan.train.batch_size,
            learning_rate=plan.train.learning_rate, weight_decay=plan.train.weight_decay)
        found = evaluate(net, test, net.time)
        accuracy[recipe] = found.accuracy
        if recipe == "sfq/digits":
            network = sfq.of_network(lower(net))
            run = sfq.run(network, [r.events for r in test])
            np.testing.assert_array_equal(run.prediction, found.predictions)
            assert run.losses == run.cut == 0
    assert accuracy["sfq/digits"] > accuracy["sfq/digits-float"] - 0.06 > 0.7
