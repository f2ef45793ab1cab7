"""Card 14: thresholds at the Hoyer extremum, the Hoyer loss, and nets of one step."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.network import TimeBase
from snnsim.nn.processes import Part, add_up, computing
from snnsim.train import build
from snnsim.train.gradients import backpropagate
from snnsim.train.recipe import TrainRecipe
from tests import oracle
from tests.digit_images import digits
from tests.together import together


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_loss(z: torch.Tensor) -> torch.Tensor:
    clipped = z.clamp(0.0, 1.0)
    return clipped.sum() ** 2 / clipped.square().sum()


def test_card14_gradient_identity() -> None:
    z = normal(3, 7, 5, 2, 3).requires_grad_()
    loss = nn.hoyer_loss(z)
    (got,) = torch.autograd.grad(loss, z)
    (expected,) = torch.autograd.grad(plain_loss(z), z)
    torch.testing.assert_close(loss, plain_loss(z), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-15)
    clipped = z.detach().clamp(0.0, 1.0)
    extremum = clipped.square().sum() / clipped.sum()
    inside = (z.detach() > 0.0) & (z.detach() < 1.0)
    formula = 2.0 / extremum * (1.0 - z.detach() / extremum)
    torch.testing.assert_close(got[inside], formula[inside], rtol=1e-10, atol=1e-13)
    # it is minimised: below the extremum it pushes down, above it up
    assert bool((got[inside & (z < extremum)] > 0).all()) and bool((got[inside & (z > extremum)] < 0).all())
    at = torch.tensor([0.2, 0.6, 0.5], dtype=torch.float64, requires_grad=True)  # the extremum of these is 0.5
    (g,) = torch.autograd.grad(nn.hoyer_loss(at), at)
    assert abs(float(g[2])) < 1e-15 < float(g[0]) and float(g[1]) < 0.0


def test_the_loss_of_silence_is_zero() -> None:
    z = (-normal(4, 3).abs()).requires_grad_()
    loss = nn.hoyer_loss(z)
    loss.backward()
    assert loss == 0.0 and z.grad is not None and not z.grad.any()
    before = z.detach().clone()
    nn.hoyer_loss(z)
    assert torch.equal(z, before)


@pytest.mark.parametrize("threshold", [1.0, 0.4, -0.7])
def test_spikes_and_gradients_of_a_layer(threshold: float) -> None:
    layer = nn.HoyerSpike(5).double()
    with torch.no_grad():
        layer.threshold.fill_(threshold)
    x = normal(1, 31, 5, 3, 2).requires_grad_()
    out, (v,) = layer(x)
    z = x.detach() / abs(threshold)
    clipped = z.clamp(0.0, 1.0)
    e = (clipped.square().sum((0, 1, 3, 4)) / clipped.sum((0, 1, 3, 4))).reshape(5, 1, 1)
    assert torch.equal(out, (z >= e).double()) and 0.05 < float(out.detach().mean()) < 0.5
    torch.testing.assert_close(layer.extremum, e.flatten(), rtol=1e-14, atol=0.0)
    assert torch.equal(v, (x * (1 - out))[-1])
    g = normal(1, 31, 5, 3, 2, seed=1)
    by_x, by_threshold = torch.autograd.grad(out, [x, layer.threshold], g)
    by_z = g * 0.5 * ((z > 0.0) & (z <= 2.0))
    torch.testing.assert_close(by_x, by_z / abs(threshold), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(by_threshold, (by_z * -z / threshold).sum(), rtol=1e-12, atol=0.0)


def test_extremum_of_a_channel_of_a_layer_and_of_silence() -> None:
    x = normal(1, 20, 4).abs()
    x[:, :, 2] *= -1.0
    of_channels, of_layer = nn.HoyerSpike(4).double(), nn.HoyerSpike(4, per="layer").double()
    of_channels(x)
    of_layer(x)
    clipped = x.clamp(0.0, 1.0)
    s1, s2 = clipped.sum((0, 1)), clipped.square().sum((0, 1))
    assert of_channels.extremum[2] == 1.0  # a silent channel
    others = [0, 1, 3]
    torch.testing.assert_close(of_channels.extremum[others], s2[others] / s1[others], rtol=1e-14, atol=0.0)
    torch.testing.assert_close(of_layer.extremum, s2.sum() / s1.sum(), rtol=1e-14, atol=0.0)


def test_evaluation_takes_the_running_mean_of_training() -> None:
    layer = nn.HoyerSpike(3).double()
    x = normal(1, 40, 3)
    assert torch.equal(layer.eval()(x)[0], (x >= 1.0).double())  # the plain threshold before any training
    layer.train()
    layer(x)
    first = layer.extremum.clone()  # the first batch replaces what it started at
    layer(0.5 * x)
    second = nn.HoyerSpike(3).double()
    second(0.5 * x)
    torch.testing.assert_close(layer.extremum, 0.9 * first + 0.1 * second.extremum, rtol=1e-14, atol=0.0)
    kept = layer.extremum.clone()
    out, _ = layer.eval()(x)
    assert torch.equal(layer.extremum, kept) and torch.equal(out, (x >= kept).double())
    assert torch.equal(copy.deepcopy(layer)(x)[0], out)


def test_losses_are_collected_in_training_alone() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.HoyerSpike(5, weight=0.5), nn.Linear(5, 4), nn.HoyerSpike(4, weight=0.0))
    x = normal(1, 9, 6).float()
    with nn.collected() as penalties:
        net(x)
        with nn.collected() as inner:
            net(x)
        net.eval()(x)
    assert len(penalties) == len(inner) == 1  # the second has no weight
    z = net[0](x)
    torch.testing.assert_close(penalties[0], 0.5 * plain_loss(z.double()).float(), rtol=1e-5, atol=0.0)
    penalties[0].backward()
    assert net[0].weight.grad is not None and net[0].weight.grad.any() and net[1].threshold.grad is not None


def test_training_adds_the_losses_of_the_layers() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.HoyerSpike(5, weight=0.1), nn.Linear(5, 4), nn.Readout(dt=1.0))
    x, label, twin = normal(1, 9, 6).float(), torch.arange(9) % 4, copy.deepcopy(net)
    loss, scores, _ = backpropagate(net, x, label, TrainRecipe(), 0.5)
    with nn.collected() as penalties:
        out, _ = twin(x)
    plain = torch.nn.functional.cross_entropy(out.mean(0), label)
    (0.5 * (plain + penalties[0])).backward()
    assert loss == float(plain.detach()) and torch.equal(scores, out.detach().mean(0))
    assert penalties[0] > 0.1
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert a.grad is not None and torch.equal(a.grad, b.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [1, 5])
def test_neurons_with_a_membrane(steps: int) -> None:
    """The eager loop of the card, with autograd, against the layer: an E of each step in training."""
    layer = nn.HoyerSpike(4, leak=0.75, threshold=0.5).double()
    x = (0.3 * normal(steps, 11, 4)).requires_grad_()
    start = 0.2 * normal(11, 4, seed=3)
    out, (v,) = layer(x, (start,))
    mem, extrema, spikes = start, [], []
    for t in range(steps):
        h = 0.75 * mem + x.detach()[t]
        c = (h / 0.5).clamp(0.0, 1.0)
        extrema.append(c.square().sum(0) / c.sum(0))
        spikes.append((h >= 0.5 * extrema[-1]).double())
        mem = h - 0.5 * extrema[-1] * spikes[-1]
    assert torch.equal(out.detach(), torch.stack(spikes)) and out.any()
    torch.testing.assert_close(v.detach(), mem, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(layer.extremum, torch.stack(extrema).mean(0), rtol=1e-13, atol=0.0)
    out.sum().backward()
    assert layer.leak is not None and layer.leak.grad is not None and layer.leak.grad != 0.0
    with torch.no_grad():
        h = 0.75 * start + x[0]
        c = 0.5 * ((h / 0.5 > 0.0) & (h / 0.5 <= 2.0)) / 0.5
    if steps == 1:
        torch.testing.assert_close(layer.leak.grad, (c * start).sum(), rtol=1e-12, atol=0.0)


def eighths(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights that are multiples of 1/8, so that sums are exact; trained statistics of each Hoyer layer."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.HoyerSpike):
                m.extremum.copy_(torch.as_tensor(rng.integers(2, 8, tuple(m.extremum.shape)) / 8.0))
                m.threshold.fill_(-0.75)
            elif isinstance(m, (nn.Linear, nn.Conv2d)):
                m.weight.copy_(torch.from_numpy(rng.integers(-6, 7, tuple(m.weight.shape)) / 8.0))
    return net


@pytest.mark.parametrize("leak", [None, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_lowered_layer_has_the_same_spikes(leak: float | None, dtype: torch.dtype) -> None:
    net = eighths(nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.SumPool2d(2), nn.HoyerSpike(4, leak=leak), nn.Flatten(),
        nn.Linear(36, 9, bias=False), nn.HoyerSpike(9, leak=leak), nn.Linear(9, 5, bias=False),
        nn.HoyerSpike(5, per="layer"))).to(dtype).eval()
    network = lower(net, time=TimeBase(1.0), input_shape=(2, 6, 6))
    counts = np.random.default_rng(0).poisson(0.2, (6, 3, 2, 6, 6)).astype(np.float64)
    with torch.no_grad():
        out, _ = net(torch.from_numpy(counts).to(dtype))
    rule = "lif_hard" if leak is None else "lif_soft"
    assert [p.rule.name for p in network.populations[1:]] == [rule, rule, "lif_hard"]  # type: ignore[union-attr]
    for mode in ("event", "clock"):
        found = engine.run(network, counts, mode=mode)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.spikes[network.output].dense(), out.numpy())
    np.testing.assert_array_equal(oracle.run(network, counts[:, 0]).spikes[network.output], out[:, 0].numpy())
    assert 0.05 < float(out.mean()) < 0.95


def test_pools_and_batch_norms_before_a_layer_are_lowered() -> None:
    """conv -> pool -> batch norm -> spikes, with a sum; with a maximum it is refused."""
    def made(pool: torch.nn.Module) -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), pool, nn.BatchNorm2d(4), nn.HoyerSpike(4), nn.Flatten(),
                             nn.Linear(36, 6), nn.BatchNorm1d(6), nn.HoyerSpike(6), nn.Linear(6, 3),
                             nn.Readout(dt=1.0)).double()

    counts = np.random.default_rng(0).poisson(0.4, (1, 12, 2, 8, 8)).astype(np.float64)
    for pool in (nn.SumPool2d(2), nn.AvgPool2d(2)):
        net = made(pool)
        for _ in range(4):
            net(torch.from_numpy(counts))
        network = lower(net.eval(), time=TimeBase(1.0), input_shape=(2, 8, 8))
        with torch.no_grad():
            out, _ = net(torch.from_numpy(counts))
        found = engine.run(network, counts)
        np.testing.assert_allclose(found.scores, out.mean(0).numpy(), rtol=1e-9, atol=1e-12)
        assert found.spikes[network.populations[1].name].dense().any()
        assert network.notes[-2].startswith("layer 2 (BatchNorm2d) folded into layer 0 (Conv2d)")
    with pytest.raises(ValueError, match=r"layer 1 \(MaxPool2d\) cannot be lowered"):
        lower(made(nn.MaxPool2d(2)).eval(), time=TimeBase(1.0), input_shape=(2, 8, 8))


def batch_of_two(number: int, folder: str) -> None:
    """One process's part: 5 samples of 8, or 3. Its spikes, E, and what adds up to the whole gradient."""
    x = normal(1, 8, 4, 3)
    part = Part(0, 5, 8) if number == 0 else Part(5, 8, 8)
    out, extremum, gradients = step(x, part)
    torch.save({"out": out, "extremum": extremum, "gradients": [add_up(g) for g in gradients]}, Path(folder, f"{number}.pt"))


def step(x: torch.Tensor, part: Part) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    layer = nn.HoyerSpike(4, weight=0.1).double()
    gain = torch.ones(4, 1, dtype=torch.float64, requires_grad=True)
    with computing(part), nn.collected() as penalties:
        out, _ = layer(x[:, part.samples] * gain)
    (part.weight * (out.mean() + penalties[0])).backward()
    assert gain.grad is not None and layer.threshold.grad is not None
    return out.detach(), layer.extremum, [gain.grad, layer.threshold.grad]


def test_statistics_are_those_of_all_processes(tmp_path: Path) -> None:
    assert together(2, batch_of_two, str(tmp_path), folder=tmp_path) == ["", ""]
    out, extremum, gradients = step(normal(1, 8, 4, 3), Part(0, 8, 8))
    parts = [torch.load(tmp_path / f"{k}.pt") for k in (0, 1)]
    assert torch.equal(torch.cat([p["out"] for p in parts], 1), out)
    for p in parts:
        torch.testing.assert_close(p["extremum"], extremum, rtol=1e-14, atol=0.0)
        torch.testing.assert_close(p["gradients"], gradients, rtol=1e-11, atol=1e-13)


def test_what_it_cannot_do_is_refused() -> None:
    layer = nn.HoyerSpike(3)
    net = nn.Sequential(nn.Linear(3, 3), layer)
    with pytest.raises(ValueError, match="takes its statistics over all steps"):
        nn.checkpointed(net, torch.zeros(4, 2, 3), 2)
    with pytest.raises(ValueError, match=r"x must be \[T, B, 3, ...\], got \(1, 2, 4\)"):
        layer(torch.zeros(1, 2, 4))
    with pytest.raises(ValueError, match="NaN or infinity"):
        layer(torch.full((1, 2, 3), torch.nan))
    with pytest.raises(ValueError, match="state must be a tuple of 1 tensors"):
        layer(torch.zeros(1, 2, 3), (torch.zeros(2, 4),))
    torch.nn.init.zeros_(layer.threshold)
    with pytest.raises(ValueError, match="threshold has become 0: lower the learning rate"):
        layer(torch.zeros(1, 2, 3))


@pytest.mark.parametrize(("options", "sentence"), [
    ({"features": 0}, "features must be a positive whole number, got 0"),
    ({"features": 3, "per": "pixel"}, "per must be one of 'channel', 'layer', got 'pixel'"),
    ({"features": 3, "weight": -1.0}, "weight must be at least 0"),
    ({"features": 3, "leak": 1.5}, "leak must lie from 0 to 1, got 1.5"),
    ({"features": 3, "momentum": 2.0}, "momentum must lie from 0 to 1, got 2.0"),
    ({"features": 3, "threshold": 0.0}, "threshold must be above 0")])
def test_impossible_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.HoyerSpike(**options)


def test_a_recipe_builds_it() -> None:
    net = build([{"kind": "linear", "inputs": 8, "outputs": 4}, {"kind": "hoyer", "features": 4, "per": "layer", "leak": 1.0},
                 {"kind": "linear", "inputs": 4, "outputs": 2}, {"kind": "readout"}])
    assert isinstance(net[1], nn.HoyerSpike) and net[1].per == "layer" and net[1].leak is not None


@cache
def trained(seed: int, weight: float) -> tuple[nn.Sequential, list[float]]:
    """A net of one step and two hidden layers; the share of |z - E| < 0.05 after 5, 10 and 15 epochs."""
    torch.manual_seed(seed)
    x, y, test, _ = digits()
    net = nn.Sequential(nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.HoyerSpike(64, weight=weight),
                        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.HoyerSpike(64, weight=weight), nn.Linear(64, 10))
    optimizer, shares = torch.optim.Adam(net.parameters(), 3e-3), []
    for epoch in range(15):
        net.train()
        for part in torch.randperm(len(x)).split(64):
            with nn.collected() as penalties:
                out, _ = net(x[part][None])
            loss = torch.nn.functional.cross_entropy(out[0], y[part]) + sum(penalties)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 5 == 4:
            margins = torch.cat([(z - e).flatten() for z, e in normalised(net.eval(), test)])
            shares.append(float((margins.abs() < 0.05).double().mean()))
    return net.eval(), shares


def normalised(net: nn.Sequential, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """z and E of each Hoyer layer."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    hooks = [m.register_forward_pre_hook(lambda m, given: found.append((given[0] / m.threshold.abs(), m.extremum)))
             for m in net if isinstance(m, nn.HoyerSpike)]
    with torch.no_grad():
        net(x[None])
    for hook in hooks:
        hook.remove()
    return found


def accuracy(net: nn.Sequential, noise: float = 0.0, seed: int = 0) -> float:
    """On the images apart, with normal noise of this deviation on z."""
    g = torch.Generator().manual_seed(seed)
    hooks = [m.register_forward_pre_hook(lambda m, given: (given[0] + noise * m.threshold.detach().abs() * torch.randn(
        given[0].shape, generator=g),)) for m in net if isinstance(m, nn.HoyerSpike)]
    with torch.no_grad():
        out = net(digits()[2][None])[0][0]
    for hook in hooks:
        hook.remove()
    return float((out.argmax(1) == digits()[3]).double().mean())


@pytest.mark.slow
def test_card14_fewer_activations_lie_near_the_threshold() -> None:
    for seed in (0, 1):
        (_, plain), (_, hoyer) = trained(seed, 0.0), trained(seed, 1e-4)
        assert hoyer[-1] < 0.75 * hoyer[0]  # falls during training
        assert hoyer[-1] < 0.75 * plain[-1] and hoyer[-1] / hoyer[0] < plain[-1] / plain[0]


@pytest.mark.slow
def test_card14_a_net_of_one_step_reads_digits() -> None:
    for seed in (0, 1):
        assert accuracy(trained(seed, 1e-4)[0]) > 0.97


@pytest.mark.slow
def test_card14_noise_flips_fewer_spikes() -> None:
    """N(0, 0.1) on z: fewer decisions change, also for each spike there is. The accuracy on digits falls by less than a percent
    with and without the loss, so it cannot tell the two apart."""
    for seed in (0, 1):
        for net in (trained(seed, 0.0)[0], trained(seed, 1e-4)[0]):
            assert accuracy(net) - np.mean([accuracy(net, 0.1, k) for k in range(10)]) < 0.01
        flips, rates = zip(*(flipped(trained(seed, w)[0]) for w in (0.0, 1e-4)), strict=True)
        assert flips[1] < 0.75 * flips[0] and flips[1] / rates[1] < flips[0] / rates[0]


def flipped(net: nn.Sequential) -> tuple[float, float]:
    """The share of decisions that noise changes, and the share of those that are spikes."""
    z, e = zip(*((z.flatten(), e.expand_as(z).flatten()) for z, e in normalised(net, digits()[2])), strict=True)
    z, e = torch.cat(z), torch.cat(e)
    noisy = z + 0.1 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    return float(((z >= e) != (noisy >= e)).double().mean()), float((z >= e).double().mean())
