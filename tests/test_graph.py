"""Nets that branch: a Graph is the sums that it says, its Network does what it does, and what is wrong is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.network import TimeBase
from snnsim.neurons import LIF, CubaLIF
from tests import oracle
from tests.test_lowering import dyadic_

SHAPE = (2, 6, 5)


def residual() -> nn.Sequential:
    """A skip over a layer, one over all from what stands before the Graph, a branch with neurons of its own, and a loop."""
    soft, hard = LIF(tau=2.0, decay="euler"), LIF(tau=2.0, reset="hard", decay="euler")
    block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Neuron(hard), nn.Conv2d(3, 3, 1, bias=False), nn.Hop(2))
    graph = nn.Graph({
        "first": (nn.Neuron(soft), [("input", nn.Conv2d(4, 3, 3, padding=1))]),
        "sum": (nn.Neuron(soft), [("first", block), ("first", nn.Conv2d(3, 3, 1))]),
        "loop": (nn.Recurrent(hard, 7), [("sum", nn.Sequential(nn.Flatten(), nn.Linear(90, 7))),
                                         ("input", nn.Sequential(nn.Flatten(), nn.DelayLinear(120, 7, 3, bias=False)))])})
    net = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), graph, nn.Linear(7, 3), nn.Neuron(soft)).double()
    nn.set_dt(net, 1.0)
    dyadic_(net, 25)
    return net


def test_a_graph_is_the_sums_that_it_says() -> None:
    whole = residual()[1]
    assert isinstance(whole, nn.Graph)
    (a, [(_, into_a)]), (b, [(_, block), (_, skip)]) = map(whole.parts, ("first", "sum"))
    graph = nn.Graph({"a": (a, [("input", into_a)]), "b": (b, [("a", block), ("a", skip), ("input", into_a)])})
    x = torch.randn(12, 3, 4, *SHAPE[1:], generator=torch.Generator().manual_seed(0)).double().requires_grad_()

    def by_hand() -> torch.Tensor:
        one = a(into_a(x))[0]
        return b(block(one)[0] + skip(one) + into_a(x))[0]  # type: ignore[no-any-return]

    held = [x, *graph.parameters()]
    (out, _), wanted = graph(x), by_hand()
    assert torch.equal(out, wanted) and 0.05 < float(out.detach().mean()) < 0.95
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()
    ours, theirs = (torch.autograd.grad((y * weight).sum(), held) for y in (out, wanted))
    for g, w in zip(ours, theirs, strict=True):
        assert bool(w.any())
        torch.testing.assert_close(g, w, rtol=0.0, atol=1e-12 * float(w.abs().max()))


def test_its_network_does_what_it_does() -> None:
    net, rng = residual().eval(), np.random.default_rng(1)
    counts = rng.poisson(0.3, (9, 3, *SHAPE)).astype(np.float64)
    network = lower(net, time=TimeBase(1.0), input_shape=SHAPE)
    inner = "lif_hard_1.into.to_sum.0.1"
    assert [p.name for p in network.populations] == ["input", "first", inner, "sum", "loop", "lif_soft_3"]
    assert [(q.source, q.target, q.delay) for q in network.projections] == [
        ("input", "first", 0), ("first", inner, 0), (inner, "sum", 2), ("first", "sum", 0),
        ("sum", "loop", 0), ("loop", "loop", 1), ("input", "loop", 0), ("loop", "lif_soft_3", 0)]
    with torch.no_grad():
        out, state = net(torch.from_numpy(counts))
        begun, between = net(torch.from_numpy(counts[:4]))
        ended, after = net(torch.from_numpy(counts[4:]), between)
    assert torch.equal(torch.cat([begun, ended]), out)
    torch.testing.assert_close(after, state, rtol=0.0, atol=0.0)
    found = engine.run(network, counts)
    for b in range(3):
        run = oracle.run(network, counts[:, b])
        np.testing.assert_array_equal(out[:, b].numpy(), run.spikes["lif_soft_3"])
        for name in found.spikes:
            np.testing.assert_array_equal(found.spikes[name].dense()[:, b], run.spikes[name])
    assert all(0.03 < float(s.dense().mean()) < 0.97 for s in found.spikes.values())


def test_norms_and_gains_are_folded_chain_by_chain() -> None:
    torch.manual_seed(0)
    chains = [("input", nn.Sequential(nn.Linear(8, 5, bias=False), nn.BatchNorm1d(5))), ("input", nn.Linear(8, 5))]
    net = nn.Sequential(nn.Graph({"sum": (nn.Neuron(CubaLIF(tau=8.0)), chains)}), nn.Linear(5, 2), nn.Readout())
    nn.set_dt(net, 1.0)
    x = (torch.rand(20, 4, 8) < 0.4).float()
    net(x)
    with torch.no_grad():
        out, _ = net.eval()(x)
    network = lower(net, time=TimeBase(1.0), input_shape=(8,))
    assert network.notes == ("layer 0.into.to_sum.0.1 (BatchNorm1d) folded into layer 0.into.to_sum.0.0 (Linear): equal up to "
                             "rounding in float32",)
    found = engine.run(network, x.numpy(), record=["li_2"]).membranes["li_2"]
    np.testing.assert_allclose(found, out.numpy(), rtol=0.0, atol=1e-5 * float(out.abs().max()))


def neurons() -> nn.Neuron:
    return nn.Neuron(LIF(), dt=1.0)


@pytest.mark.parametrize(("layers", "said"), [
    ({}, "a Graph needs at least one layer"),
    ({"input": (neurons(), [("input", nn.Linear(3, 3))])}, "texts without a dot, and none is 'input', got 'input'"),
    ({"a.b": (neurons(), [("input", nn.Linear(3, 3))])}, r"texts without a dot, and none is 'input', got 'a\.b'"),
    ({"a": (nn.Linear(3, 3), [("input", nn.Linear(3, 3))])}, r"layer a must be of neurons, such as .*; got Linear"),
    ({"a": (neurons(), [])}, r"layer a hears nothing: give it at least one \(source, chain\)"),
    ({"a": (neurons(), [("a", nn.Linear(3, 3))])}, "layer a hears 'a', which does not stand before it: input do")])
def test_wrong_graphs_are_named(layers: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        nn.Graph(layers)


def test_what_does_not_fit_is_named() -> None:
    x = torch.ones(2, 1, 1, 2, 2)
    graph = nn.Graph({"a": (neurons(), [("input", nn.Conv2d(1, 1, 1))]),
                      "b": (neurons(), [("a", nn.Conv2d(1, 2, 1)), ("input", nn.Conv2d(1, 3, 1))])})
    with pytest.raises(ValueError, match=r"layer b: what arrives from 'input' has shape \(2, 1, 3, 2, 2\), and from 'a' "):
        graph(x)
    with pytest.raises(ValueError, match=r"layer 0 \(Graph\): its chains into b cannot be lowered to one population: \(2, "):
        lower(nn.Sequential(graph), time=TimeBase(1.0), input_shape=(1, 2, 2))
    with pytest.raises(ValueError, match="state must be a tuple with one entry for each of the 2 stateful parts of the Graph"):
        graph(x, [None])
    late = nn.Sequential(nn.Linear(3, 2), nn.Hop(), neurons())
    with pytest.raises(ValueError, match=r"layer 1 \(Hop\) follows a bias, which it delays and a Network does not: put it "):
        lower(late, time=TimeBase(1.0), input_shape=(3,))
