"""tdBN, BNTT and TEBN (card 2, and those beside it): what they compute, and what a Network can hold of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.network import TimeBase
from snnsim.neurons import IF
from snnsim.train import build

TIME = TimeBase(1.0)
SHAPES = [(5, 4, 7), (3, 4, 5, 4, 3)]
NORMS: dict[str, Any] = {
    "tdbn": lambda shape: (nn.TdBN1d if len(shape) == 3 else nn.TdBN2d)(shape[2], theta=0.5, alpha=0.7),
    "bntt": lambda shape: (nn.BNTT1d if len(shape) == 3 else nn.BNTT2d)(shape[2], shape[0]),
    "tebn": lambda shape: (nn.TEBN1d if len(shape) == 3 else nn.TEBN2d)(shape[2], shape[0])}


def drive(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.3 + torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(name: str, shape: tuple[int, ...]) -> Any:
    norm = NORMS[name](shape).double()
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64))
    return norm


def naive(name: str, norm: Any, x: torch.Tensor) -> torch.Tensor:
    """The equations, in plain operations."""
    over = (1, *range(3, x.ndim)) if name == "bntt" else (0, 1, *range(3, x.ndim))
    wide = lambda p: p.view(*p.shape, *[1] * (x.ndim - 3))  # noqa: E731
    y = (x - x.mean(over, keepdim=True)) / torch.sqrt(x.var(over, unbiased=False, keepdim=True) + norm.eps)
    if name == "bntt":
        return y * wide(norm.weight.view(len(x), 1, -1))
    if name == "tdbn":
        return y * wide(norm.weight) * 0.35 + wide(norm.bias)
    return (y * wide(norm.weight) + wide(norm.bias)) * norm.factor.view(-1, *[1] * (x.ndim - 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(NORMS))
def test_training_is_the_equation(name: str, shape: tuple[int, ...]) -> None:
    norm, xs = made(name, shape), [drive(*shape).requires_grad_() for _ in range(2)]
    outs = [norm(xs[0]), naive(name, norm, xs[1])]
    torch.testing.assert_close(*outs, rtol=1e-12, atol=1e-12)
    g = drive(*shape, seed=3)
    got, want = (torch.autograd.grad(o, [x, *norm.parameters()], g) for o, x in zip(outs, xs, strict=True))
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
    over, x = ((1, 3, 4) if name == "bntt" else (0, 1, 3, 4))[:None if len(shape) == 5 else -2], xs[0].detach()
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean(over).flatten(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * x.var(over).flatten(), rtol=1e-12, atol=1e-12)
    assert int(norm.num_batches_tracked) == 1
    whole = norm.eval()(x)  # with statistics that are those of no batch
    assert not torch.allclose(whole, outs[0]) and torch.equal(whole, copy.deepcopy(norm)(x))


@pytest.mark.parametrize("name", ["TdBN", "TEBN"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_they_are_spikingjellys(name: str, shape: tuple[int, ...]) -> None:
    """Where SpikingJelly 2.0 has the same: its tdBN begins with gamma = alpha theta, which here multiplies gamma."""
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    d = f"{1 if len(shape) == 3 else 2}d"
    if name == "TdBN":
        own, theirs = made("tdbn", shape), getattr(layer, f"ThresholdDependentBatchNorm{d}")(0.7, 0.5, shape[2]).double()
        theirs.weight.data.copy_(own.gamma)
    else:
        own, theirs = made("tebn", shape), getattr(layer, f"TemporalEffectiveBatchNorm{d}")(shape[0], shape[2]).double()
        theirs.weight.data.copy_(own.weight)
        theirs.scale.data.copy_(own.factor)
    theirs.bias.data.copy_(own.bias)
    for training in (True, True, False):
        own.train(training), theirs.train(training)
        torch.testing.assert_close(own(drive(*shape)), theirs(drive(*shape)), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(own.running_var, theirs.running_var, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["bntt", "tebn"])
def test_other_numbers_of_steps_are_refused(name: str) -> None:
    norm = made(name, (5, 4, 7))
    for steps in (4, 6):
        with pytest.raises(ValueError, match=f"{type(norm).__name__} was made for 5 steps, and the input has {steps}: give "
                                             "steps=5 to fit, or make the layer for as many"):
            norm(drive(steps, 4, 7))
    with pytest.raises(ValueError, match="takes its statistics over all steps"):
        nn.checkpointed(nn.Sequential(norm), drive(5, 4, 7), 2)


def test_arguments() -> None:
    with pytest.raises(ValueError, match="steps must be a positive whole number, got 0"):
        nn.BNTT1d(3, 0)
    with pytest.raises(ValueError, match="theta must be above 0"):
        nn.TdBN1d(3, theta=0.0)
    with pytest.raises(ValueError, match="affine must be left True"):
        nn.TdBN2d(3, affine=False)
    with pytest.raises(ValueError, match="BNTT1d of 3 features got \\(2, 2, 4\\)"):
        nn.BNTT1d(3, 2)(torch.zeros(2, 2, 4))
    net = build([{"kind": k, "features": 3, **o} for k, o in (
        ("td_bn1d", {"theta": 0.5}), ("bntt1d", {"steps": 4}), ("tebn1d", {"steps": 4}))]
        + [{"kind": k, "channels": 3, **o} for k, o in (("td_bn2d", {}), ("bntt2d", {"steps": 4}), ("tebn2d", {"steps": 4}))])
    assert [type(m).__name__ for m in net] == ["TdBN1d", "BNTT1d", "TEBN1d", "TdBN2d", "BNTT2d", "TEBN2d"]
    assert net[1].num_features == 12 and net[1].bias is None and net[2].factor.shape == (4,) and net[0].theta == 0.5


# lowering

def net_of(name: str, alike: bool) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    conv, flat = made(name, (6, 4, 5, 4, 3)), made(name, (6, 4, 9))
    net = nn.Sequential(nn.Conv2d(2, 5, 3, bias=False), conv, nn.Neuron(IF(theta=0.2)), nn.Flatten(), nn.Linear(180, 9), flat,
                        nn.Neuron(IF(theta=0.2, reset="hard"))).double()
    x = (torch.rand(6, 4, 2, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.2).double()
    nn.set_dt(net, 1.0)
    for _ in range(3):
        net(x)
    with torch.no_grad():
        for norm in (conv, flat):
            if alike and name == "bntt":
                for p in (norm.weight, norm.running_mean, norm.running_var):
                    p.copy_(p.view(6, -1)[:1].expand(6, -1).reshape(-1))
            if alike and name == "tebn":
                norm.factor.fill_(0.8)
    return net.eval(), x


@pytest.mark.parametrize("name", sorted(NORMS))
def test_what_does_not_differ_from_step_to_step_is_folded(name: str) -> None:
    net, x = net_of(name, True)
    network = lower(net, time=TIME, input_shape=(2, 8, 8))
    spikes = [s := x] + [s := (m(s)[0] if isinstance(m, nn.Neuron) else m(s)) for m in net]
    result = engine.run(network, x.numpy())
    for p, want in zip(network.populations[1:], (spikes[3], spikes[7]), strict=True):
        assert 0.01 < float(want.detach().mean()) < 0.9
        assert np.array_equal(result.spikes[p.name].dense(), want.detach().numpy())


@pytest.mark.parametrize("name", ["bntt", "tebn"])
def test_what_differs_is_refused_or_averaged_and_noted(name: str) -> None:
    net, x = net_of(name, False)
    with pytest.raises(ValueError, match=r"layer 1 \(\w+2d\) cannot be lowered: it differs from step to step, and a Network is "
                                         "the same at every step. Train with BatchNorm1d, BatchNorm2d or TdBN, or take its"):
        lower(net, time=TIME, input_shape=(2, 8, 8))
    network = lower(net, time=TIME, input_shape=(2, 8, 8), average_steps=True)
    assert network.notes[0].endswith("2d) replaced by its mean over 6 steps: what it does at each of them is lost")
    with torch.no_grad():  # of one input, what the norm makes of it on the mean over the steps
        before = net[0](x[:1]).expand(6, -1, -1, -1, -1)
        wanted = net[1](before).mean(0)[0].numpy()
    conv = network.projections[0]
    np.testing.assert_allclose(conv.maps[0].apply(x[0, 0].numpy()) + np.asarray(conv.bias), wanted, rtol=1e-9, atol=1e-9)
