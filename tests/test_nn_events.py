"""Sparse events into the first layer give what dense tensors give, for any number of threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.datasets import EventBatch
from snnsim.neurons import LIF
from snnsim.nn.events import Events, checked, dense


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def batch(shape: tuple[int, ...], share: float = 0.1, seed: int = 0) -> tuple[EventBatch, torch.Tensor]:
    rng = np.random.default_rng(seed)
    counts = ((rng.random(shape) < share) * rng.integers(1, 4, shape)).astype(np.float32)
    counts[0] = 0.0
    return EventBatch.from_dense(counts), torch.from_numpy(counts)


LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(2 * 21 * 18, 50)),
    "linear without bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(2 * 21 * 18, 7, bias=False)),
    "conv": lambda: nn.Conv2d(2, 16, 5, stride=2), "conv padded": lambda: nn.Conv2d(2, 7, (3, 4), (2, 3), (2, 1), bias=False),
    "conv of 1": lambda: nn.Conv2d(2, 3, 1, stride=3), "conv same": lambda: nn.Conv2d(2, 3, 3, padding="same"),
    "conv dilated": lambda: nn.Conv2d(2, 4, 3, dilation=2), "conv grouped": lambda: nn.Conv2d(2, 4, 3, groups=2),
    "pool, conv": lambda: nn.Sequential(nn.SumPool2d(2), nn.Conv2d(2, 7, 3)),
    "pool, linear": lambda: nn.Sequential(nn.SumPool2d((3, 2), (2, 2)), nn.Flatten(), nn.Linear(2 * 10 * 9, 5)),
    "pool of few": lambda: nn.Sequential(nn.SumPool2d(2, 5), nn.Flatten(), nn.Linear(2 * 4 * 4, 5)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_events_give_what_a_tensor_gives(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]().to(dtype)
    events, x = batch((6, 3, 2, 21, 18))
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    results = []
    for threads, given in ((1, events), (2, events), (4, events), (1, x.to(dtype))):
        torch.set_num_threads(threads)
        layer.zero_grad()
        out = layer(given)
        out = out[0] if isinstance(out, tuple) else out
        out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype))
        results.append([out.detach(), *[p.grad.clone() for p in layer.parameters() if p.grad is not None]])
    for other in results[1:3]:
        assert name in ("conv same", "conv dilated", "conv grouped") or all(map(torch.equal, results[0], other))
    for got, wanted in zip(results[0], results[3], strict=True):
        assert float((got - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


def test_many_threads_share_the_work() -> None:
    events, _ = batch((40, 8, 2, 34, 34))
    conv, linear = nn.Conv2d(2, 16, 5, stride=2), nn.Linear(2 * 34 * 34, 100)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        conv.zero_grad()
        linear.zero_grad()
        a, b = conv(events), linear(events)
        (a.square().sum() + b.square().sum()).backward()
        results.append((a, b, conv.weight.grad.clone(), linear.weight.grad.clone()))
    for other in results[1:]:
        assert all(torch.equal(p, q) for p, q in zip(results[0], other, strict=True))


def test_a_whole_net_on_events() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Neuron(LIF(theta=0.3)), nn.Flatten(), nn.Linear(4 * 6 * 6, 3), nn.Readout())
    nn.set_dt(net, 1.0)
    events, x = batch((9, 2, 2, 8, 8), 0.3)
    torch.testing.assert_close(net(events)[0], net(x)[0])


def test_layers_that_are_not_linear_take_the_tensor_of_the_events() -> None:
    events, x = batch((4, 3, 2, 5, 6), 0.4)
    assert torch.equal(nn.Neuron(LIF(), dt=1.0)(events)[0], nn.Neuron(LIF(), dt=1.0)(x)[0])
    assert torch.equal(nn.BatchNorm2d(2)(events), nn.BatchNorm2d(2)(x))
    assert torch.equal(nn.Dropout().eval()(events), x)


def test_dense() -> None:
    events, x = batch((4, 3, 2, 5, 6))
    assert torch.equal(dense(events), x)
    pooled = nn.SumPool2d(2)(events)
    assert isinstance(pooled, Events) and torch.equal(dense(pooled), nn.SumPool2d(2)(x))


GOOD = Events(np.array([0, 1, 2]), np.array([0, 3], np.int32), np.ones(2, np.float32), (1, 2, 1, 2, 2))


@pytest.mark.parametrize(("bad", "sentence"), [
    ({"shape": (2,)}, "has the shape (T, B, ...)"), ({"indptr": np.array([0, 2])}, "indptr of a batch of events must rise"),
    ({"indptr": np.array([0, 3, 2])}, "indptr of a batch of events must rise"),
    ({"indptr": np.array([0, 1, 3])}, "needs 3 indices and values"), ({"values": np.ones(1, np.float32)}, "(2,) and (1,)"),
    ({"indices": np.array([0, 4], np.int32)}, "indices of a batch of events must lie from 0 to 3, got 0 to 4"),
    ({"indices": np.array([-1, 3], np.int32)}, "got -1 to 3"),
    ({"values": np.array([1.0, np.nan], np.float32)}, "the input holds NaN or infinity")])
def test_a_broken_batch_is_refused(bad: dict[str, object], sentence: str) -> None:
    checked(GOOD)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nn.Conv2d(1, 1, 1)(replace(GOOD, **bad))


@pytest.mark.parametrize(("layer", "sentence"), [
    (nn.Linear(5, 1), "Linear takes 5 inputs, got events of shape (1, 2, 1, 2, 2)"),
    (nn.Conv2d(2, 1, 1), "Conv2d takes 2 channels"), (nn.Conv2d(1, 1, 3), "kernel 3x3 is larger than the padded input"),
    (nn.SumPool2d(3), "does not fit events of shape"), (nn.BatchNorm1d(4), "BatchNorm1d takes a tensor [T, B, N]")])
def test_layers_refuse_events_that_do_not_fit(layer: torch.nn.Module, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        layer(GOOD)
