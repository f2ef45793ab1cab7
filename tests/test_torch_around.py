"""What torch users put around a net works, after a forward too: autocast, compile, copies, averages, checkpoints, loaders."""

import copy
import logging
import multiprocessing
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

import snnsim.nn as nn
from snnsim.datasets import EventBatch
from snnsim.network import TimeBase
from snnsim.neurons import LIF, AdaptiveLIF, CubaLIF
from snnsim.nn import threads
from snnsim.train import Collate
from snnsim.train.evaluation import batches
from tests.test_train import sides

HALVES = [torch.bfloat16, torch.float16]


def net_of(dropout=0.0, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.Neuron(CubaLIF(), learn=("decay", "theta")),
        nn.SumPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(16, 8), nn.Neuron(AdaptiveLIF(), learn=("beta",)),
        nn.Linear(8, 3), nn.Readout())
    nn.set_dt(net, 10.0)
    with torch.no_grad():
        net[0].weight *= 3.0
        net[6].weight *= 3.0
    return net


def input_of(sparse=False, seed=0, batch=3):
    x = (torch.rand((12, batch, 2, 10, 10), generator=torch.Generator().manual_seed(seed)) < 0.2).float()
    return EventBatch.from_dense(x.numpy()) if sparse else x


def gradients(net, x, run=None):
    """Out, and the gradients of a step, by name."""
    net.zero_grad()
    out, _ = (run or net)(x)
    out.mean(0).square().sum().backward()
    return {"out": out.detach(), **{k: p.grad.clone() for k, p in net.named_parameters()}}


def assert_equal(one, two, tolerance=0.0):
    assert one.keys() == two.keys()
    for k in one:
        assert float((one[k] - two[k]).abs().max()) <= tolerance * float(two[k].abs().max()), k
        assert float(two[k].abs().max()) > 0.0, k


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_neurons_compute_halves_in_float32(dtype):
    x = (torch.randn(20, 3, 5, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    neuron = nn.Neuron(AdaptiveLIF(), learn=("theta",), dt=1.0)
    out, state = neuron(x)
    wide = x.detach().float().requires_grad_()
    expected, _ = neuron(wide)
    assert out.dtype == torch.float32 and all(v.dtype == torch.float32 for v in state) and torch.equal(out, expected)
    seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (g,) = torch.autograd.grad(out, x, seed)
    (want,) = torch.autograd.grad(expected, wide, seed)
    assert g.dtype == dtype and torch.equal(g, want.to(dtype)) and out.any()
    again, _ = neuron(x, state)
    assert again.dtype == torch.float32


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_autocast_and_a_scaled_step(dtype, sparse):
    """The halves' rounding moves a few spikes, so gradients agree in direction."""
    net, x = net_of(), input_of(sparse)
    wide = gradients(net, x)
    optimizer, scaler = torch.optim.SGD(net.parameters(), lr=0.1), torch.amp.GradScaler("cpu", init_scale=64.0)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    net.zero_grad()
    with torch.autocast("cpu", dtype=dtype):
        out, _ = net(x)
        loss = out.mean(0).square().sum()
    assert out.dtype == torch.float32 and out.any()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    for k, p in net.named_parameters():
        assert p.grad.dtype == torch.float32
        assert float(torch.nn.functional.cosine_similarity(p.grad.flatten(), wide[k].flatten(), 0)) > 0.9, k
    scaler.step(optimizer)
    scaler.update()
    assert all(not torch.equal(p, before[k]) for k, p in net.named_parameters())


def test_autocast_without_spikes_is_as_close_as_its_rounding():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(200, 16), nn.Readout(), nn.Linear(16, 3), nn.Readout())
    nn.set_dt(net, 10.0)
    wide = gradients(net, input_of())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = gradients(net, input_of())
    assert_equal(got, wide, 0.03)
    assert not torch.equal(got["1.weight"], wide["1.weight"])


# torch's own: its compiler warns of itself while it is imported, and where a graph breaks
QUIET = [pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"),
         pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor:UserWarning")]


def quiet(test):
    for mark in QUIET:
        test = mark(test)
    return test


@quiet
@pytest.mark.parametrize("backend", [
    pytest.param("eager", marks=pytest.mark.slow), "aot_eager", pytest.param("inductor", marks=[
        pytest.mark.slow, pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler")])])
def test_compile(backend, caplog):
    """Of tensors and of events, of other sizes later; nothing is logged, as where it gives up after compiling too often."""
    torch.compiler.reset()
    net, twin = net_of(), net_of()
    compiled = torch.compile(net, backend=backend)
    try:
        for seed, batch in enumerate((3, 3, 4)):
            for sparse in (False, True):
                x = input_of(sparse, seed, batch)
                got = gradients(net, x, compiled)
                assert_equal(got, gradients(twin, x), 1e-5 if backend != "inductor" else 1e-4)
        net.eval(), twin.eval()
        with torch.no_grad():
            assert torch.equal(compiled(x)[0] > 0, twin(x)[0] > 0)
    finally:
        torch.compiler.reset()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@quiet
def test_compile_of_one_layer_and_of_many():
    torch.compiler.reset()
    layers = [nn.Neuron(LIF(tau=10.0 + k), learn=("decay",), dt=1.0) for k in range(12)]
    deep = nn.Sequential(*[m for neuron in layers for m in (nn.Linear(5, 5), neuron)])
    x = torch.rand(9, 2, 5)
    assert torch.equal(torch.compile(layers[0], backend="aot_eager")(x)[0], layers[0](x)[0])
    assert torch.equal(torch.compile(deep, backend="aot_eager")(x)[0], deep(x)[0])
    torch.compiler.reset()


@pytest.mark.parametrize("sparse", [False, True])
def test_copies_of_a_net_that_has_run(sparse):
    net, x = net_of(), input_of(sparse)
    first = gradients(net, x)  # the batch norm's running statistics have moved
    net.eval()
    want = gradients(net, x)
    assert_equal(gradients(net, x), want)  # nothing is left of the last call
    out, _ = net(x)
    for twin in (copy.deepcopy(net), copy.deepcopy(copy.deepcopy(net))):
        assert_equal(gradients(twin, x), want)
        assert all(a is not b for a, b in zip(twin.parameters(), net.parameters(), strict=True))
    out.sum().backward()
    assert_equal(gradients(copy.deepcopy(net), x), want)
    fresh = net_of(seed=1).eval()
    assert fresh.load_state_dict(net.state_dict()).missing_keys == []
    assert_equal(gradients(fresh, x), want)
    assert not torch.equal(first["out"], want["out"])


def test_an_average_of_weights():
    net, x = net_of(), input_of()
    net(x)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    average.update_parameters(net)
    start = {k: v.clone() for k, v in average.module.state_dict().items()}
    gradients(net, x)
    optimizer.step()
    average.update_parameters(net)
    for k, v in average.module.state_dict().items():
        if v.is_floating_point():
            torch.testing.assert_close(v, 0.9 * start[k] + 0.1 * net.state_dict()[k])
    twin = net_of()
    twin.load_state_dict(average.module.state_dict())
    assert torch.equal(average.eval()(x)[0], twin.eval()(x)[0])


@pytest.mark.parametrize("sparse", [False, True])
def test_activation_checkpoints(sparse):
    """The forward is computed again in backward, dropout masks too; a net, and each of its layers of neurons."""
    x = input_of(sparse)
    results = []
    for run in (lambda net: net, lambda net: lambda x: checkpoint(net, x, use_reentrant=False), layer_by_layer):
        net = net_of(dropout=0.3)
        torch.manual_seed(5)
        results.append(gradients(net, x, run(net)))
    assert_equal(results[1], results[0])
    assert_equal(results[2], results[0])


def layer_by_layer(net):
    def run(x):
        for layer in net:
            x = checkpoint(layer, x, use_reentrant=False)
            x = x[0] if isinstance(layer, nn.Stateful) else x
        return x, ()

    return run


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", [
    pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")),
    pytest.param("spawn", marks=pytest.mark.slow)])
def test_batches_of_a_loaders_workers(method):
    data, time = sides(13), TimeBase(2.0, steps=10, clip=True)
    loader = DataLoader(data, batch_size=4, num_workers=1, collate_fn=Collate(time), multiprocessing_context=method)
    there, here = list(loader), list(batches(data, time, 4))
    assert len(there) == len(here) == 4
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 2), nn.Readout(dt=2.0))
    for (batch, labels), (expected, want) in zip(there, here, strict=True):
        assert isinstance(batch, EventBatch) and batch.shape == expected.shape and batch.dropped == expected.dropped
        for name in ("indptr", "indices", "values"):
            one, two = getattr(batch, name), getattr(expected, name)
            assert one.dtype == two.dtype and np.array_equal(one, two)
        assert labels.dtype == torch.int64 and np.array_equal(labels, want)
        assert torch.equal(net(batch)[0], net(expected)[0])


def test_recordings_of_two_sensors_are_not_one_batch():
    from snnsim.datasets import Recording, Sensor, make_events

    one, two = [Recording(make_events([0], [0], [0], [0]), 0, Sensor(s, s)) for s in (4, 5)]
    with pytest.raises(ValueError, match="a batch must be of one sensor, got Sensor"):
        Collate(TimeBase(1.0))([one, two])
    with pytest.raises(ValueError, match="got no recording"):
        Collate(TimeBase(1.0))([])


def step_in_child(connection, x):
    torch.set_num_threads(1)  # as a loader's worker does: OpenMP's threads are gone
    count = len(threads.run(lambda k, n: k, 3))
    connection.send((count, gradients(net_of(), x)["0.weight"].numpy()))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_kernels_run_in_a_forked_child_of_a_threaded_parent():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert threads.run(lambda k, n: (k, n), 3) == [(0, 3), (1, 3), (2, 3)]
        gradients(net_of(), input_of())
        torch.set_num_threads(1)
        want = gradients(net_of(), input_of())["0.weight"].numpy()
    finally:
        torch.set_num_threads(before)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=step_in_child, args=(there, input_of()))
    child.start()
    assert here.poll(60.0)
    count, got = here.recv()
    child.join(10.0)
    assert child.exitcode == 0 and count == 3 and np.array_equal(got, want)
