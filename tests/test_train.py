"""Training learns, repeats itself, survives a kill at any moment, and continues bit for bit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.datasets import Augment, EventDataset, Recording, Sensor, make_events, split
from snnsim.network import TimeBase
from snnsim.neurons import LIF
from snnsim.train import Recipe, TrainRecipe, build, evaluate, fit, hidden_layers, load_recipe, prepare, recipe_names
from snnsim.train.checkpoint import read, write
from snnsim.train.loop import Run

SENSOR = Sensor(8, 8)


def sides(count, seed=0):
    """Recordings of two classes: events on the left, events on the right."""
    rng, recordings = np.random.default_rng(seed), []
    for i in range(count):
        n = int(rng.integers(20, 60))
        events = make_events(np.sort(rng.integers(0, 20_000, n)), rng.integers(0, 5, n) + 3 * (i % 2),
                             rng.integers(0, 8, n), rng.integers(0, 2, n))
        recordings.append(Recording(events, i % 2, SENSOR, str(i)))
    return EventDataset.of(recordings, ("left", "right"), "sides")


def small_net(seed=0, dropout=0.2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.Neuron(LIF(tau=20.0)),
                         nn.Flatten(), nn.Dropout(dropout), nn.Linear(36, 2), nn.Readout())


OPTIONS = {"dt": 2.0, "epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "average": 0.9, "augment": Augment(shift=1)}


def weights(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def assert_equal(one, two):
    assert one.keys() == two.keys()
    for k in one:
        assert torch.equal(one[k], two[k]), k


def test_training_learns_and_is_repeatable():
    train, held = split(sides(60), 0.3)
    nets = [small_net(), small_net()]
    histories = [fit(n, train, validation=held, **OPTIONS) for n in nets]
    assert_equal(weights(nets[0]), weights(nets[1]))
    assert histories[0].best.validation_accuracy > 0.9
    assert len(histories[0].epochs) == 4 and len(histories[0].best.rates) == len(hidden_layers(nets[0])) == 1
    assert histories[0].best.rates[0] > 0
    e = evaluate(nets[0], held, nets[0].time)
    assert e.accuracy == histories[0].best.validation_accuracy
    assert e.confusion(2).sum() == len(held)


def test_the_best_epoch_on_validation_is_kept():
    train, held = split(sides(40), 0.4)
    net = small_net()
    history = fit(net, train, validation=held, **{**OPTIONS, "average": 0.0, "learning_rate": 0.05})
    best = min(history.epochs, key=lambda e: e.validation_loss)
    assert history.best == best
    assert evaluate(net, held, net.time).loss == pytest.approx(best.validation_loss, rel=1e-6)
    with pytest.raises(ValueError, match="^there is nothing to evaluate: the data set is empty$"):
        evaluate(net, held[:0], net.time)


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 7, 12, 17])
def test_a_stopped_run_continues_bit_for_bit(tmp_path, monkeypatch, after):
    """A run that stops after so many batches, mid-epoch too, ends with the weights of one that never stopped."""
    train, held = split(sides(50), 0.3)
    whole = small_net()
    expected = fit(whole, train, validation=held, **OPTIONS)
    path, net, done = tmp_path / "run.safetensors", small_net(), 0
    plain = Run.update

    def update(self, *arguments):
        nonlocal done
        if done == after:
            raise Stop
        plain(self, *arguments)
        done += 1

    monkeypatch.setattr(Run, "update", update)
    with pytest.raises(Stop):
        fit(net, train, validation=held, checkpoint=path, checkpoint_seconds=0.0, **OPTIONS)
    monkeypatch.setattr(Run, "update", plain)
    again = small_net(seed=9)
    history = fit(again, train, validation=held, checkpoint=path, **OPTIONS)
    assert_equal(weights(again), weights(whole))
    plain_rows = lambda h: [(e.loss, e.accuracy, e.validation_loss, e.rates) for e in h.epochs]  # noqa: E731
    assert plain_rows(history) == plain_rows(expected)


CHILD = """
import sys
from tests.test_train import OPTIONS, sides, small_net
from snnsim.datasets import split
from snnsim.train import fit
train, held = split(sides(50), 0.3)
fit(small_net(), train, validation=held, checkpoint=sys.argv[1], checkpoint_seconds=0.0, **{**OPTIONS, "epochs": 1000})
"""


def written(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.slow
def test_every_kill_leaves_a_checkpoint_that_loads(tmp_path):
    path, rng = tmp_path / "run.safetensors", random.Random(0)
    last = -1
    for _ in range(20):
        before = written(path)
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], cwd=Path(__file__).parents[1])
        while written(path) == before and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.5))  # it saves after every batch, so many kills hit a save
        assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        _, data = read(path)
        assert data["step"] > last
        last = data["step"]
    net, train = small_net(), split(sides(50), 0.3)[0]
    prepare(net, train, TimeBase(**data["time"]))
    Run(net, TrainRecipe(**data["recipe"]), net.time, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path, train = tmp_path / "run.safetensors", sides(20)
    fit(small_net(), train, checkpoint=path, **{**OPTIONS, "epochs": 1})
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        fit(small_net(), train, checkpoint=path, **{**OPTIONS, "epochs": 2})
    other = nn.Sequential(nn.Flatten(), nn.Linear(128, 2), nn.Readout())
    with pytest.raises(ValueError, match="belongs to another net"):
        fit(other, train, checkpoint=path, **{**OPTIONS, "epochs": 1})


def test_broken_checkpoints_are_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        read(path)
    write(path, {"a": torch.arange(5.0)}, {"x": 1})
    tensors, data = read(path)
    assert data == {"x": 1} and torch.equal(tensors["a"], torch.arange(5.0))
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="c.safetensors"):
            read(path)
    import safetensors.torch

    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not one of snnsim"):
        read(path)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"epochs": 0}, "train.epochs must be a positive"), ({"learning_rate": -1.0}, "learning_rate must be above 0"),
    ({"average": 1.0}, "average must be below 1"), ({"lr": 1.0}, "unknown option of fit"),
    ({"dt": 0.0}, "dt must be above 0"),
    ({"learning_rate": 1e30, "average": 0.0}, "the loss is (nan|inf)|must be finite|NaN")])
def test_impossible_options_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(small_net(), sides(20), **{**OPTIONS, **change})


def test_an_empty_training_set_is_refused():
    with pytest.raises(ValueError, match="training set is empty"):
        fit(small_net(), sides(4)[:0], **OPTIONS)


@pytest.mark.parametrize("name", recipe_names())
def test_the_recipes_that_come_along_build(name):
    recipe = load_recipe(name)
    net = build(recipe.layers)
    assert recipe.data.dt <= 10.0
    assert sum(isinstance(m, nn.Neuron) for m in net.modules()) >= 2
    Augment(**recipe.data.augment)


def test_recurrent_layers_and_pools_of_a_recipe():
    torch.manual_seed(0)
    net = build([{"kind": "avg_pool2d", "kernel": 2}, {"kind": "max_pool2d", "kernel": 2, "stride": 1}, {"kind": "flatten"},
                 {"kind": "linear", "inputs": 18, "outputs": 6},
                 {"kind": "recurrent", "features": 6, "bias": True, "model": "adaptive", "tau": 10.0, "surrogate": "triangle",
                  "width": 0.5, "detach_reset": True},
                 {"kind": "linear", "inputs": 6, "outputs": 2}, {"kind": "recurrent", "features": 2, "model": "lif"}])
    first, last = net[4], net[6]
    assert [type(m) for m in net[:2]] == [nn.AvgPool2d, nn.MaxPool2d] and type(first) is type(last) is nn.Recurrent
    assert net[0].kernel == (2, 2) and net[1].stride == 1 and (first.features, last.features) == (6, 2)
    assert first.bias is not None and last.bias is None and first.rule.name.startswith("adaptive")
    assert first.detach_reset and first.surrogate.width == 0.5 and not last.detach_reset
    history = fit(net, sides(12), **{**OPTIONS, "epochs": 1})
    assert hidden_layers(net) == ["4", "6"] and len(history.best.rates) == 2
    with torch.no_grad():
        first.bias.fill_(2.0)
    evaluation = evaluate(net, sides(12), net.time)
    assert evaluation.rates[0] > history.best.rates[0] and 0 < evaluation.rates[0] < 1


@pytest.mark.parametrize(("change", "sentence"), [
    ({"trian": {}}, "unknown 'trian'; allowed are data, defaults, layer, train"), ({"data": {}}, r"\[data\] needs a name"),
    ({"layer": []}, r"there is no \[\[layer\]\]"), ({"train": {"epoch": 3}}, r"\[train\]: unknown 'epoch'"),
    ({"data": {"name": "x", "validation": 1.5}}, "data.validation must be below 1"),
    ({"data": {"name": "x", "dt": -1}}, "dt must be above 0")])
def test_a_recipe_with_mistakes_is_refused(change, sentence):
    good = {"data": {"name": "x"}, "layer": [{"kind": "flatten"}]}
    with pytest.raises(ValueError, match=sentence):
        Recipe.from_dict({**good, **change})


@pytest.mark.parametrize(("layer", "sentence"), [
    ({"kind": "dense"}, "layer 0: kind must be one of"),
    ({"kind": "linear", "inputs": 3}, r"layer 0 \(linear\): .*outputs"),
    ({"kind": "neuron", "tau": -1.0}, r"layer 0 \(neuron\): tau must be above 0"),
    ({"kind": "neuron", "model": "hh"}, "model must be one of"),
    ({"kind": "recurrent"}, r"layer 0 \(recurrent\): .*features"),
    ({"kind": "recurrent", "features": 0}, r"layer 0 \(recurrent\): features must be a positive whole number, got 0"),
    ({"kind": "recurrent", "features": 4, "model": "hh"}, r"layer 0 \(recurrent\): model must be one of lif, if,"),
    ({"kind": "avg_pool2d", "kernel": 0}, r"layer 0 \(avg_pool2d\): kernel must be a whole number or two, at least 1, got 0")])
def test_a_layer_with_mistakes_is_refused(layer, sentence):
    with pytest.raises(ValueError, match=sentence):
        build([layer])


def test_missing_and_broken_recipes(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no recipe 'nothing'"):
        load_recipe("nothing")
    (tmp_path / "r.toml").write_text("[data", encoding="utf-8")
    with pytest.raises(ValueError, match="is not valid TOML"):
        load_recipe(tmp_path / "r.toml")


def test_a_step_gives_the_same_weights_on_any_number_of_threads():
    """To 1e-6: torch's own convolutions and matrix products are not the same bits."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(2, 16, 3, bias=False), nn.BatchNorm2d(16), nn.Neuron(LIF()), nn.AvgPool2d(2),
                                nn.Conv2d(16, 8, 3), nn.Neuron(LIF(), learn=("decay",)), nn.Flatten(), nn.Linear(8, 96),
                                nn.Neuron(LIF()), nn.Linear(96, 64), nn.Recurrent(LIF(), 64), nn.Linear(64, 2), nn.Readout())
            fit(net, sides(64), dt=0.2, epochs=1, batch_size=64, learning_rate=1e-3, progress=False)
            found.append(weights(net))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, rtol=0.0, atol=1e-6, msg=name)
