"""Quantisation-aware nets: in training mode and in evaluation they compute what the executor computes, bit for bit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, train
from snnsim.hardware import integer
from snnsim.hardware.loihi import netx
from snnsim.lowering import lower
from snnsim.maps import Conv2d, Delayed, Dense, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import IF, LI, LIF, LoihiLIF
from snnsim.nn.whole import WEIGHTS
from tests.test_integer import like_a_trained_net
from tests.test_integer_norms import folded_net

Array = np.ndarray[Any, Any]


def chain(seed: int = 0) -> tuple[Network, Array]:
    """A convolution, delays and a readout, as of a trained net; and counts [T, B, *input]."""
    network, counts = like_a_trained_net(seed)
    kept = [q for q in network.projections if q.source != q.target]
    return Network(network.populations, kept, network.time), counts


def branching(seed: int = 0) -> tuple[Network, Array]:
    """A trained net with a loop, in which the input and a convolution skip layers, beside a residual sum of convolutions and of
    pools; its populations do not stand in their order."""
    network, counts = like_a_trained_net(seed)
    rng = np.random.default_rng(seed)

    def normal(deviation: float, *shape: int) -> Array:
        return rng.normal(0.0, deviation, shape).astype(np.float32)

    more = Population.of("side.by", (4, 5, 4), LIF(tau=5.0, theta=0.6), 1.0, "f")
    projections = (*network.projections, Projection("conv", "out", (Dense(normal(0.1, 3, 80)),)),
                   Projection("in", "hidden", (SumPool2d((3, 4)), Dense(normal(0.2, 12, 12))), delay=3),
                   Projection("conv", "side.by", (Conv2d(normal(0.4, 4, 4, 3, 3), 1, (1, 1)),)),
                   Projection("in", "side.by", (Conv2d(normal(0.4, 4, 2, 3, 3), (2, 2), (1, 1)),), normal(0.05, 4, 1, 1)),
                   Projection("side.by", "hidden", (Delayed(normal(0.1, 12, 80), rng.integers(0, 3, (12, 80))),)))
    first, conv, hidden, out = network.populations
    return Network((first, hidden, conv, out, more), projections, network.time, output="out"), counts


def with_loop(q: Projection) -> Network:
    network, _ = chain()
    return Network(network.populations, (*network.projections, q), network.time)


def ready(net: nn.Sequential, network: Network) -> nn.Sequential:
    nn.set_dt(net, network.time.dt)
    net.time, net.input_shape = network.time, network.input.shape  # type: ignore[assignment]
    return net


@pytest.mark.parametrize(("weights", "bits", "build"), [
    *((w, bits, chain) for w in WEIGHTS for bits in (4, 8)),
    *((w, bits, build) for build in (like_a_trained_net, branching) for w, bits in zip(WEIGHTS, (8, 4, 4, 8), strict=True))])
def test_training_evaluation_engine_and_executor_are_one(weights: Any, bits: int, build: Any) -> None:
    network, counts = build()
    net = ready(train.whole_net(network, bits=bits, weights=weights), network)
    with torch.no_grad():  # biases other than those of the start
        for p in net.parameters():
            if p.ndim <= 3:
                p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    x = torch.tensor(counts, dtype=torch.float32)
    net.train()
    trained, _ = net(x)
    out, _ = net.eval()(x)
    whole = lower(net)
    model = integer.quantize(whole, bits=bits if weights in ("integer", "fixed") else 8)
    assert model.output == ("out" if build is branching else "loihi_li_9")
    found = integer.run(model, counts, record=[model.output])
    engined = engine.run(whole, x.numpy(), record=[model.output])
    unit = (net[0].parts("out")[0] if build is branching else net[-1]).unit
    np.testing.assert_array_equal(found.v[model.output], engined.membranes[model.output])
    np.testing.assert_array_equal((out.detach().double() / unit).round().numpy(), found.v[model.output])
    assert torch.equal(trained, out) and model.latency == 0
    loops = {chain: [], like_a_trained_net: ["loihi_soft_6"], branching: ["hidden"]}
    assert [q.source for q in model.projections if q.source == q.target] == loops[build]
    fired = {name: int(s.sum()) for name, s in found.spikes.items()}
    assert min(fired.values()) > 30 and len(fired) == len(network.populations) - 2
    for name, spikes in found.spikes.items():
        np.testing.assert_array_equal(spikes, engined.spikes[name].dense())
    if build is branching:
        again = integer.quantize(network, bits=bits)
        assert {(q.source, q.target): q.delay for q in again.projections} == {
            (q.source.replace("input", "in").replace("_", "."), q.target.replace("_", ".")): q.delay for q in model.projections}


@pytest.mark.parametrize("build", [chain, like_a_trained_net, branching])
def test_with_as_many_steps_more_as_it_is_late_it_decides_as_what_is_quantised(build: Any) -> None:
    network, counts = build()
    net = ready(train.whole_net(network), network)
    model = integer.quantize(network)
    assert net.latency == model.latency > 1
    padded = np.concatenate((counts, np.zeros((model.latency, *counts.shape[1:]), counts.dtype)))
    whole = integer.quantize(lower(net))
    expected = integer.run(model, counts).scores
    np.testing.assert_array_equal(integer.run(whole, padded).scores, expected)
    assert np.any(integer.run(whole, counts).scores != expected)


@pytest.mark.parametrize("weights", ["integer", "ternary"])
def test_what_is_trained_for_lava_dls_file_goes_into_it(weights: Any, tmp_path: Path) -> None:
    network, counts = chain()
    conv, delayed, out = network.projections
    dense = Projection("conv", "hidden", (Dense(delayed.maps[0].arrays()["weight"]),))
    hidden = Population.of("hidden", 12, LIF(tau=10.0, reset="hard"), 1.0, "f")
    first, second, _, last = network.populations
    network = Network((first, second, hidden, last), (conv, dense, out), network.time)
    net = ready(train.whole_net(network, "netx", bits=4, weights=weights), network)
    with torch.no_grad():
        for p in net.parameters():
            p += p.abs().mean() * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    model = integer.quantize(lower(net))
    netx.write(model, tmp_path / "net.net")
    read = netx.read(tmp_path / "net.net")
    given, expected = integer.run(read, counts).scores, integer.run(model, counts).scores
    np.testing.assert_array_equal(given[..., :expected.shape[-1]], expected)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_are_what_their_form_allows(weights: Any) -> None:
    network, _ = chain()
    for bits in (3, 4, 8):
        net = train.whole_net(network, bits=bits, weights=weights)
        for layer in (m for m in net if hasattr(m, "parametrizations")):
            assert isinstance(layer, torch.nn.Module)
            w = layer.weight.detach().numpy().astype(np.float64) / 64  # type: ignore[operator]
            kinds = np.unique(np.abs(w[w != 0]))
            if weights == "power":
                assert np.all(w != 0) and np.all(np.log2(kinds) % 1 == 0) and len(kinds) <= 2 ** (bits - 1)
            elif weights == "ternary":
                assert len(kinds) == 1 and 0 < np.mean(w == 0) < 1
            else:
                assert len(np.unique(w)) <= 2**bits


@pytest.mark.parametrize("weights", WEIGHTS)
def test_they_learn(weights: Any) -> None:
    """A task that a float net with other weights solves: the whole one comes to it by training, and its signs can flip."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = Network((Population("in", (12,)), Population.of("h", 24, LIF(tau=8.0, reset="hard"), 1.0, "f"),
                       Population.of("out", 2, LI(tau=20.0), 1.0, "f")),
                      (Projection("in", "h", (Dense(rng.normal(0, 0.5, (24, 12)).astype("f")),)),
                       Projection("h", "out", (Dense(rng.normal(0, 0.3, (2, 24)).astype("f")),))), TimeBase(steps=30))
    net = ready(train.whole_net(network, bits=4, weights=weights), network)
    label = torch.arange(64) % 2
    x = (torch.rand(30, 64, 12) < 0.15 + 0.15 * ((torch.arange(12) < 6)[None] == (label == 0)[:, None])).float()
    signs = {name: torch.sign(p.detach()) for name, p in net.named_parameters() if p.ndim > 1}
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x)[0].mean(0), label)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0] and all(bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    assert sum(int((torch.sign(p.detach()) != signs[name]).sum()) for name, p in net.named_parameters() if p.ndim > 1) > 5


def test_a_recurrent_layer_has_the_gradients_of_its_rule() -> None:
    network, _ = like_a_trained_net()
    layer = next(m for m in ready(train.whole_net(network, weights="power"), network) if isinstance(m, nn.WholeRecurrent))
    x = 64.0 * torch.randint(-300, 900, (33, 3, 12), generator=torch.Generator().manual_seed(0)).float()
    inputs, state = layer.started(x, None)
    held = dict(layer.named_parameters())
    found = []
    for out in (layer(x)[0], layer.eager(inputs, state, layer.parameters_for(x))[0]):
        found.append((out.detach(), torch.autograd.grad((out * torch.arange(12.0)).sum(), list(held.values()))))
    (ours, gradients), (theirs, wanted) = found
    assert torch.equal(ours, theirs) and 0.1 < float(ours.mean()) < 0.9
    assert set(held) == {"raw_bias", "parametrizations.weight.original0", "parametrizations.weight.original1"}
    for g, w in zip(gradients, wanted, strict=True):
        assert float(w.abs().max()) > 0
        torch.testing.assert_close(g, w, rtol=0.0, atol=1e-5 * float(w.abs().max()))


def test_a_hop_is_a_step_and_keeps_its_state() -> None:
    x = torch.randn(7, 2, 3)
    y, state = nn.Hop(2)(x[:3])
    z, _ = nn.Hop(2)(x[3:], state)
    assert torch.equal(torch.cat([y, z]), torch.cat([torch.zeros(2, 2, 3), x[:5]]))
    with pytest.raises(ValueError, match="steps must be a positive whole number, got 0"):
        nn.Hop(0)
    with pytest.raises(ValueError, match=r"state of Hop must be a tensor of shape \(1, 2, 3\)"):
        nn.Hop()(x, [torch.zeros(2, 2, 3)])


def test_gradients_are_those_of_floats() -> None:
    """Without rounding in the way, the gradient of a whole weight is that of the weight: scale times that of its number."""
    for weights in ("integer", "fixed", "ternary"):
        form = nn.Whole(weights, 8, 640.0, 1)
        w = torch.tensor([[0.3, -0.21], [0.11, 0.4]], requires_grad=True)
        (g,) = torch.autograd.grad(form(w).sum(), w)
        torch.testing.assert_close(g, torch.full((2, 2), 640.0))
    form = nn.Whole("fixed", 8, 640.0, 1)
    w = torch.full((1, 3), 500.0)  # clipped: the value is 2**e, and so is its derivative
    value = form(w).sum()
    (g,) = torch.autograd.grad(value, form.learned)
    assert float(g) == pytest.approx(float(value.detach()) * math.log(2.0) * nn.whole.RATE)


@pytest.mark.parametrize(("build", "said"), [
    (lambda: train.whole_net(with_loop(Projection("hidden", "hidden", (Dense(np.ones((12, 12))),), delay=3))),
     r"population 'hidden' of shape \(12,\) hears itself by Dense\(12, 12\) after 3 steps: whole_net takes one loop, by"),
    (lambda: train.whole_net(with_loop(Projection("conv", "conv", (Dense(np.ones((80, 80))),), delay=1))),
     r"population 'conv' of shape \(4, 5, 4\) hears itself by Dense\(80, 80\) after 1 steps"),
    (lambda: train.whole_net(with_loop(Projection("hidden", "conv", (Dense(np.ones((80, 12))),), delay=2))),
     "populations conv, hidden lie in a loop, or behind one: whole_net takes loops of a population with itself alone"),
    (lambda: train.whole_net(replace(chain()[0], output="hidden")), "population 'out' hears the output 'hidden': whole_net"),
    (lambda: train.whole_net(with_loop(Projection("in", "conv", (Dense(np.ones((80, 144))),)))),
     r"population 'conv' of shape \(4, 5, 4\) hears 'in' by Dense\(80, 144\): whole_net takes convolutions there"),
    (lambda: train.whole_net(Network(chain()[0].populations, chain()[0].projections[1:])), "population 'conv' hears no other"),
    (lambda: train.whole_net(folded_net(IF(reset="hard"))[0]), "population 'h' starts at v other than 0, as thresholds"),
    (lambda: nn.Whole("binary", 8, 1.0, 0), "weights must be one of 'integer', 'fixed', 'power', 'ternary', got 'binary'"),
    (lambda: nn.Whole("integer", 1, 1.0, 0), r"bits must be a whole number in 2 \.\. 8, got 1"),
    (lambda: train.whole_net(chain()[0], weights="power", bits=0), "bits must be a whole number"),
    (lambda: nn.WholeNeuron(LoihiLIF(), 0.0), "unit must")])
def test_refused(build: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build()
