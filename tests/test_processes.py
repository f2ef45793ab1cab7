"""Several processes train as one does: the same samples, batches, statistics, masks and steps; resumed, interrupted, uneven."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim.datasets import EventDataset, make_events, split, write_nmnist
from snnsim.network import TimeBase
from snnsim.neurons import LIF
from snnsim.nn.processes import computing
from snnsim.train import evaluate, fit
from snnsim.train.checkpoint import read
from snnsim.train.evaluation import bin_batch
from snnsim.train.loop import Run
from snnsim.train.processes import part, wait
from tests.test_cli import snnsim
from tests.test_train import OPTIONS, Stop, sides, small_net
from tests.together import together

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forkserver")
ONE = {"epochs": 1, "batch_size": 64, "average": 0.0}  # all samples in one step


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 9))
def test_every_sample_belongs_to_one_process_once_an_epoch(samples, size, processes):
    order = np.random.default_rng(0).permutation(samples)
    for start in range(0, samples, size):
        batch = order[start: start + size]  # of one process
        parts = [part(len(batch), (k, processes)) for k in range(processes)]
        assert np.array_equal(np.concatenate([batch[p.first: p.last] for p in parts]), batch)
        assert sum(p.weight for p in parts) == pytest.approx(1.0) and all(p.whole == len(batch) for p in parts)
        counts = [p.last - p.first for p in parts]
        assert max(counts) - min(counts) <= 1
        for p in parts:  # who has no sample computes one of the batch's, which does not count
            assert len(batch[p.samples]) == max(1, p.last - p.first) and (p.weight > 0.0) == (p.last > p.first)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_part_keeps_its_samples_of_the_masks_of_the_whole_batch(channels_last):
    x = torch.ones(3, 7, 4, 5, 6)
    x = x.movedim(2, 4).contiguous().movedim(4, 2) if channels_last else x
    drop = nn.Dropout(0.4)
    torch.manual_seed(3)
    whole = drop(x)
    for k in range(9):
        mine, got = part(7, (k, 9)), None
        torch.manual_seed(3)
        with computing(mine):
            got = drop(x[:, mine.samples])
        assert torch.equal(got, whole[:, mine.samples])


class Recording:
    """A store that notes which recordings are read."""

    def __init__(self, store):
        self.store, self.read = store, []

    def __len__(self):
        return len(self.store)

    def source(self, number):
        return self.store.source(number)

    def events(self, number):
        self.read.append(number)
        return self.store.events(number)


def train(number, path, samples, options, net=small_net):
    data, held = split(sides(samples), 0.3)
    fit(net(seed=number), data, validation=held, checkpoint=path, **{**OPTIONS, **options})  # the first one's weights count


def alone(path, samples, options, net=small_net):
    train(0, path, samples, options, net)
    return read(path)


def assert_close(one, two, tolerance=1e-6):
    assert one.keys() == two.keys()
    for k in one:
        assert float((one[k] - two[k]).abs().max()) <= tolerance, k


@pytest.mark.parametrize(("samples", "processes"), [(50, 2), (4, 4)])
def test_one_step_gives_the_weights_of_one_process(tmp_path, samples, processes):
    """Batch norm and dropout included; 35 samples do not divide by 2, and of 4 processes one has none of 3."""
    expected, told = alone(tmp_path / "one", samples, ONE)
    assert together(processes, train, tmp_path / "many", samples, ONE, folder=tmp_path) == [""] * processes
    got, said = read(tmp_path / "many")
    assert_close(got, expected)
    assert said["history"]["epochs"][0]["loss"] == pytest.approx(told["history"]["epochs"][0]["loss"], rel=1e-6)
    assert said["step"] == 1 and said["history"]["epochs"][0]["accuracy"] == told["history"]["epochs"][0]["accuracy"]
    assert float((expected["net.0.weight"] - small_net(seed=0).state_dict()["0.weight"]).abs().max()) > 1e-4


def test_epochs_end_with_the_accuracy_of_one_process(tmp_path):
    """Batches of 8, the last of 3, which do not divide by 3."""
    _, told = alone(tmp_path / "one", 50, {})
    assert together(3, train, tmp_path / "many", 50, {}, folder=tmp_path) == [""] * 3
    _, said = read(tmp_path / "many")
    assert told["history"]["epochs"][-1]["validation_accuracy"] > 0.8
    for a, b in zip(said["history"]["epochs"], told["history"]["epochs"], strict=True):
        assert (a["accuracy"], a["validation_accuracy"]) == (b["accuracy"], b["validation_accuracy"])
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-4)
    assert said["history"]["chosen"] == told["history"]["chosen"]


def reads(number, folder):
    data = sides(23)
    store = Recording(data.store)
    data = EventDataset(data.name, data.sensor, data.classes, data.labels, store)
    plain = Run.train_epoch

    def train_epoch(self, *arguments):
        store.read.clear()
        plain(self, *arguments)
        np.save(folder / f"read-{number}.npy", np.array(store.read))

    Run.train_epoch = train_epoch
    fit(small_net(), data, steps=10, **{**OPTIONS, "epochs": 1, "batch_size": 5})


def test_each_process_reads_its_own_samples_alone(tmp_path):
    assert together(2, reads, tmp_path, folder=tmp_path) == [""] * 2
    mine = [np.load(tmp_path / f"read-{k}.npy").tolist() for k in range(2)]
    assert sorted(mine[0] + mine[1]) == list(range(23)) and abs(len(mine[0]) - len(mine[1])) <= 5


def stopped(number, path, after):
    plain, done = Run.update, 0

    def update(self, *arguments):
        nonlocal done
        if done == after:
            raise Stop
        plain(self, *arguments)
        done += 1

    Run.update = update
    try:
        data, held = split(sides(50), 0.3)
        fit(small_net(), data, validation=held, checkpoint=path, checkpoint_seconds=0.0, **OPTIONS)
    except Stop:
        return
    finally:
        Run.update = plain
    raise AssertionError("it did not stop")


@pytest.mark.parametrize("after", [12, pytest.param(3, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_with_as_many_processes_and_with_others(tmp_path, after):
    path = tmp_path / "run"
    assert together(2, train, tmp_path / "whole", 50, {}, folder=tmp_path) == [""] * 2
    whole, _ = read(tmp_path / "whole")
    assert together(2, stopped, path, after, folder=tmp_path) == [""] * 2
    saved = path.read_bytes()
    assert read(path)[1]["step"] == after
    assert together(2, train, path, 50, {}, folder=tmp_path) == [""] * 2
    for name, value in read(path)[0].items():
        assert torch.equal(value, whole[name]), name
    path.write_bytes(saved)
    tensors, told = alone(path, 50, {})
    assert told["step"] == 20 and told["history"]["epochs"][-1]["validation_accuracy"] > 0.8
    assert_close({k: v for k, v in tensors.items() if k.startswith("net.")},
                 {k: v for k, v in whole.items() if k.startswith("net.")}, 1e-4)


def evaluated(number, folder):
    data = sides(29)
    net = small_net(seed=5)
    with torch.no_grad():
        net[0].weight.mul_(6.0)
    nn.set_dt(net, 2.0)
    e = evaluate(net, data, TimeBase(2.0, 10), batch_size=4, shared=True)
    np.savez(folder / f"evaluation-{number}.npz", loss=e.loss, predictions=e.predictions, labels=e.labels, rates=e.rates)


def test_a_shared_evaluation_is_that_of_one_process(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    evaluated(9, tmp_path)
    torch.set_num_threads(threads)
    assert together(3, evaluated, tmp_path, folder=tmp_path) == [""] * 3
    expected = np.load(tmp_path / "evaluation-9.npz")
    for k in range(3):
        got = np.load(tmp_path / f"evaluation-{k}.npz")
        assert all(np.array_equal(got[name], expected[name]) for name in expected.files)
    assert len(np.unique(expected["predictions"])) == 2 and expected["rates"][0] > 0.0


def norms(number, path, processes):
    for make, shape in ((nn.BatchNorm1d, (3, 3, 5)), (nn.BatchNorm2d, (3, 3, 5, 4, 2))):
        for options in ({}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}):
            norm = make(5, **options).double()
            torch.manual_seed(0)
            x, g = torch.randn(2, *shape, dtype=torch.float64)
            p = part(3, (number, processes))
            mine = (50.0 + 3.0 * x[:, p.samples]).requires_grad_()
            for _ in range(2):
                with computing(p):
                    y = norm(mine) if processes > 1 else make.__base__.forward(norm, mine.flatten(0, 1)).view_as(mine)
                    ((p.weight > 0.0) * (y * g[:, p.samples]).sum()).backward()
            name = f"{make.__name__}-{'-'.join(options)}"
            values = [mine.grad, y, *[q.grad for q in norm.parameters()], *norm.buffers()]
            np.savez(f"{path}-{name}-{number}.npz", *[v.detach().numpy() for v in values])


def test_batch_norm_has_the_statistics_of_all_samples(tmp_path):
    norms(0, tmp_path / "one", 1)
    for processes in (2, 4):  # of 4 one has no sample
        assert together(processes, norms, tmp_path / f"many{processes}", processes, folder=tmp_path) == [""] * processes
        for file in tmp_path.glob("one-*.npz"):
            want = np.load(file)
            each = [np.load(tmp_path / f"many{processes}-{file.stem[4:-2]}-{k}.npz") for k in range(processes)]
            parts = [part(3, (k, processes)) for k in range(processes)]
            for name in want.files:
                got = [e[name] for e in each]
                if want[name].shape[:2] == (3, 3):
                    got = np.concatenate([a[:, : p.last - p.first] for a, p in zip(got, parts, strict=True)], 1)
                elif "affine" not in file.stem and name in ("arr_2", "arr_3"):
                    got = np.sum(got, 0)  # gradients of weight and bias
                else:
                    assert all(np.array_equal(a, got[0]) for a in got)
                    got = got[0]
                np.testing.assert_allclose(got, want[name], rtol=1e-10, atol=1e-10, err_msg=f"{file.stem} {name}")


def plain_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4),
                        nn.Neuron(LIF(), learn=("decay",)), nn.Flatten(), nn.Linear(36, 2), nn.Readout())
    nn.set_dt(net, 2.0)
    return net


def wrapped(number, folder, processes, sparse):
    data, net = sides(12), plain_net()
    model = net if processes == 1 else torch.nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        mine = range(12)[number::processes]
        batch = bin_batch([data[i].events for i in mine], data, TimeBase(2.0, 10))
        optimizer.zero_grad()
        out, state = model(batch if sparse else torch.from_numpy(batch.dense()))
        assert out.shape == (10, 12 // processes, 2) and len(state) == 2
        torch.nn.functional.cross_entropy(out.mean(0), torch.tensor([data[i].label for i in mine])).backward()
        optimizer.step()
    np.savez(folder / f"ddp-{number}-{processes}.npz", **{k: v.numpy() for k, v in net.state_dict().items()},
             **{f"{k}.grad": v.grad.numpy() for k, v in net.named_parameters()})


@pytest.mark.parametrize("sparse", [False, True])
def test_distributed_data_parallel_gives_the_gradients_of_the_joined_batch(tmp_path, sparse):
    wrapped(0, tmp_path, 1, sparse)
    assert together(2, wrapped, tmp_path, 2, sparse, folder=tmp_path) == [""] * 2
    want = np.load(tmp_path / "ddp-0-1.npz")
    for k in range(2):
        got = np.load(tmp_path / f"ddp-{k}-2.npz")
        for name in want.files:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-6, err_msg=name)


def differing(number, folder, what):
    options = {**OPTIONS, "learning_rate": 0.01 + number} if what == "options" else OPTIONS
    net = small_net() if what != "net" or number == 0 else plain_net()
    path = folder / str(number) if what == "checkpoint" else folder / "run"
    fit(net, sides(20 + (number if what == "data" else 0)), checkpoint=path, **options)


@pytest.mark.parametrize(("what", "sentence"), [
    ("options", "the processes of this run differ in their options or data: start all with the same"),
    ("data", "differ in their options or data"), ("net", "differ in the shapes of their weights: build the same net in each"),
    ("checkpoint", "differ in the checkpoint that they read: put it where all can read it")])
def test_processes_that_differ_are_refused(tmp_path, what, sentence):
    if what == "checkpoint":
        fit(small_net(), sides(20), checkpoint=tmp_path / "0", **OPTIONS)
    errors = together(2, differing, tmp_path, what, folder=tmp_path)
    assert all(e.startswith("ValueError: ") and sentence in e for e in errors)


def ending(number):
    if number == 0:
        os._exit(0)
    wait()


def test_a_process_that_is_gone_is_an_error_in_the_others(tmp_path):
    with pytest.raises(FileNotFoundError):
        together(2, ending, folder=tmp_path)
    error = (tmp_path / "group-0" / "error-1").read_text()
    assert error.startswith("ConnectionError: another process of this run has ended, or cannot be reached")


RECIPE = """
[data]
name = "nmnist"
dt = 20.0
validation = 0.2
[[layer]]
kind = "sum_pool2d"
kernel = 2
[[layer]]
kind = "conv2d"
inputs = 2
outputs = 4
kernel = 3
stride = 2
bias = false
[[layer]]
kind = "batch_norm2d"
channels = 4
[[layer]]
kind = "neuron"
[[layer]]
kind = "flatten"
[[layer]]
kind = "dropout"
share = 0.2
[[layer]]
kind = "linear"
inputs = 256
outputs = 10
[[layer]]
kind = "readout"
[train]
epochs = 2
batch_size = 7
learning_rate = 2e-2
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder in N-MNIST's form, in which every digit fires in columns of its own; a recipe; a run of one process."""
    root, rng = tmp_path_factory.mktemp("processes"), np.random.default_rng(0)
    for kind, each in (("Train", 5), ("Test", 2)):
        for digit in range(10):
            (root / kind / str(digit)).mkdir(parents=True)
            for i in range(each):
                events = make_events(np.sort(rng.integers(0, 100_000, 150)), 3 * digit + 2 + rng.integers(0, 4, 150),
                                     rng.integers(0, 34, 150), rng.integers(0, 2, 150))
                write_nmnist(root / kind / str(digit) / f"{i}.bin", events)
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    snnsim("train", root / "recipe.toml", "--data", root, "--out", root / "one")
    return root


def torchrun(processes, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "snnsim",
         *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does(digits):
    """Batches of 7, the last of 5; what is printed and written is there once."""
    out = digits / "two"
    ended = torchrun(2, "train", digits / "recipe.toml", "--data", digits, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("50 recordings to train on") == ended.stdout.count("seed 0:") == 1
    one, two = [read(folder / "seed-0" / "checkpoint.safetensors") for folder in (digits / "one", out)]
    assert one[1]["step"] == two[1]["step"] == 12
    assert_close(two[0], one[0], 1e-5)
    told, said = [json.loads((folder / "seed-0" / "training.json").read_text()) for folder in (digits / "one", out)]
    assert said["test"]["predictions"] == told["test"]["predictions"] and said["test"]["accuracy"] > 0.5
    assert [p.name for p in sorted((out / "seed-0").iterdir())] == ["checkpoint.safetensors", "network.h5", "training.json"]


@pytest.mark.slow
def test_torchrun_goes_on_from_the_checkpoint_of_one_process(digits):
    ended = torchrun(3, "train", digits / "recipe.toml", "--data", digits, "--out", digits / "one")
    assert ended.returncode == 0, ended.stderr
    assert "seed 0: continuing from" in ended.stdout


@pytest.mark.slow
def test_an_error_in_one_process_ends_all_and_is_told_once(digits):
    bad = digits / "Train" / "3" / "2.bin"
    held = bad.read_bytes()
    bad.write_bytes(held[:-3])
    try:
        ended = torchrun(2, "train", digits / "recipe.toml", "--data", digits, "--out", digits / "bad")
    finally:
        bad.write_bytes(held)
    assert ended.returncode == 1 and ended.stderr.count("error: ") == ended.stderr.count(str(bad)) == 1, ended.stderr
    ended = torchrun(2, "train", "nothing")
    assert ended.returncode == 1 and ended.stderr.count("error: there is no recipe 'nothing'") == 1, ended.stderr
