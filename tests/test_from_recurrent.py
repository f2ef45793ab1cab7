"""Recurrent layers of SpikingJelly and snnTorch converted: the same spikes, the same gradients, and the engine after them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import TimeBase, engine, lower
from tests import oracle
from tests.theirs import Spikes, check, loops  # noqa: F401

layer = pytest.importorskip("spikingjelly.activation_based.layer", exc_type=ImportError)
neuron = pytest.importorskip("spikingjelly.activation_based.neuron", exc_type=ImportError)
functional = pytest.importorskip("spikingjelly.activation_based.functional", exc_type=ImportError)
snn = pytest.importorskip("snntorch", exc_type=ImportError)

Module = torch.nn.Module
FIRES = (neuron.BaseNode, snn.SpikingNeuron)
N = 13
HALVES = torch.tensor([0.5, 0.25] * N)[:N]
LIF = neuron.LIFNode
JELLY: dict[str, Callable[[], Module]] = {
    "lif": lambda: LIF(tau=2.0), "lif_soft": lambda: LIF(tau=2.0, v_reset=None, decay_input=False, detach_reset=True),
    "plif": lambda: neuron.ParametricLIFNode(init_tau=2.0, v_reset=None), "if": lambda: neuron.IFNode(v_reset=-0.5)}
TORCH: dict[str, Callable[..., Module]] = {
    "leaky": lambda **o: snn.RLeaky(beta=0.5, **o), "leaky_now": lambda **o: snn.RLeaky(beta=0.5, reset_delay=False, **o),
    "leaky_learned": lambda **o: snn.RLeaky(beta=HALVES.clone(), learn_beta=True, learn_threshold=True, **o),
    "synaptic": lambda **o: snn.RSynaptic(alpha=0.5, beta=0.5, learn_alpha=True, **o)}


def dyadic(net: torch.nn.Sequential, strength: float = 1.0) -> torch.nn.Sequential:
    """Small multiples of 1/16 that are mostly above 0: sums over a few steps are exact in any order."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, torch.nn.Linear):
                for p in m.parameters():
                    p.copy_(torch.randint(-4, 6, p.shape, generator=g) / 16.0 * strength)
    return net


def noise(rate: float = 0.4) -> torch.Tensor:
    return (torch.rand(10, 4, 9, generator=torch.Generator().manual_seed(2)) < rate).double()


def jelly(name: str, container: Callable[..., Module], *arguments: Any, mode: str = "m", **options: Any) -> torch.nn.Sequential:
    net = torch.nn.Sequential(
        layer.Linear(9, N, step_mode=mode), container(JELLY[name](), *arguments, step_mode=mode, **options),
        layer.Linear(N, 5, step_mode=mode), LIF(tau=2.0, v_threshold=0.25, step_mode=mode))
    return dyadic(net, 1.0 if name == "if" else 2.0).double()


def joined(found: Spikes) -> None:
    """One weight for x and y, as the container has it."""
    found["1.rc.weight"] = torch.cat([found["1.rc.weight"], found.pop("1.sub_module.weight")], 1)


def inside(found: Spikes) -> None:
    for name in [k for k in found if k.startswith("1.")]:
        found[name.replace("1.", "1.sub_module.")] = found.pop(name)


def on_diagonal(found: Spikes) -> None:
    found["1.V"] = found.pop("1.weight").diagonal()


def all_to_all(found: Spikes) -> None:
    for name in ("weight", "bias"):
        found[f"1.recurrent.{name}"] = found.pop(f"1.{name}")


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("name", JELLY)
def test_linear_recurrent_container(name: str, mode: str) -> None:
    net = jelly(name, layer.LinearRecurrentContainer, N, N, mode=mode, bias=name != "lif_soft")
    ours = nn.from_spikingjelly(net)
    assert [type(m).__name__ for m in ours[1]] == ["Linear", "Recurrent"]
    assert (ours[1].rc.bias is None) == (name == "lif_soft") and ours[1].sub_module.bias is None
    check(net, ours, noise(), FIRES, mode == "s", tolerance=1e-12, renamed=joined)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("name", JELLY)
def test_element_wise_recurrent_container(name: str) -> None:
    add = dict(zip(JELLY, (operator.add, torch.add, lambda y, x: y + x, lambda y, x: x.add(y)), strict=True))[name]
    net = jelly(name, layer.ElementWiseRecurrentContainer, add)
    ours = nn.from_spikingjelly(net)
    assert not ours[1].weight.requires_grad and ours[1].mask.sum() == N
    check(net, ours, noise(), FIRES, False, tolerance=1e-12, renamed=inside)


def torches(name: str, **options: Any) -> torch.nn.Sequential:
    """In float32: the spikes of snnTorch are, whatever the input."""
    o = {"init_hidden": True}
    return dyadic(torch.nn.Sequential(torch.nn.Linear(9, N), TORCH[name](**options, **o),
                                      torch.nn.Linear(N, 5), snn.Leaky(beta=0.5, threshold=0.25, **o)))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("name", TORCH)
def test_recurrent_neurons_of_snntorch(name: str, reset: str) -> None:
    """The bias of the recurrent Linear acts at the first step, too, where nothing has fired."""
    net = torches(name, linear_features=N, reset_mechanism=reset)
    ours = nn.from_snntorch(net)
    x = noise().float()
    x[0] = 0.0
    check(net, ours, x, FIRES, True, renamed=all_to_all)
    first = net[1].recurrent.bias + net[0].bias
    assert (ours[0:2](x)[0][0] == (first > net[1].threshold)).all() and bool(net[1].recurrent.bias.all())


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("reset", ["subtract", "none"])  # a late reset to zero empties what a neuron says to itself, too
@pytest.mark.parametrize("name", TORCH)
def test_one_to_one_neurons_of_snntorch(name: str, reset: str) -> None:
    net = torches(name, all_to_all=False, V=2.0 * HALVES - 0.25, reset_mechanism=reset)
    ours = nn.from_snntorch(net)
    assert torch.equal(ours[1].weight.diagonal(), net[1].V) and ours[1].mask.sum() == N
    check(net, ours, noise().float(), FIRES, True, renamed=on_diagonal)


def as_lowered(ours: nn.Sequential, spikes: Spikes, x: torch.Tensor, modes: Sequence[Any]) -> list[str]:
    """The names of the rules, after the spikes of every layer were equal in the oracle and in these modes of the engine."""
    network = lower(ours, time=TimeBase(1.0), input_shape=(9,))
    assert [(q.source, q.target) for q in network.projections if q.delay == 1] == [(network.populations[1].name,) * 2]
    stepped = oracle.run(network, x[:, 0].numpy())
    found = [engine.run(network, x.numpy(), mode=mode) for mode in modes]
    for p, theirs in zip(network.populations[1:], spikes.values(), strict=True):
        np.testing.assert_array_equal(stepped.spikes[p.name], theirs[:, 0].numpy())
        for result in found:
            np.testing.assert_array_equal(result.spikes[p.name].dense(), theirs.numpy())
    return [p.rule.name for p in network.populations if p.rule]


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("modes", [(), pytest.param(("event", "clock"), marks=pytest.mark.slow)])
def test_lowered_they_spike_the_same(modes: Sequence[str]) -> None:
    """A factor 1 / tau of what comes in goes into the recurrent weights, too."""
    for container, given in ((layer.LinearRecurrentContainer, (N, N)), (layer.ElementWiseRecurrentContainer, (torch.add,))):
        net = jelly("lif", container, *given)
        net[0].bias = None  # a bias inside a chain of linear maps cannot be lowered
        ours = nn.from_spikingjelly(net)
        spikes = check(net, ours, noise(), FIRES, False, gradients=False)
        assert as_lowered(ours, spikes, noise(), modes) == ["lif_hard", "lif_hard"]


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(("name", "rule", "modes"), [
    ("leaky", "leaky_late_soft", ("event",)), ("synaptic", "synaptic_late_soft", ()),
    pytest.param("synaptic", "synaptic_late_soft", ("event", "clock"), marks=pytest.mark.slow)])
def test_lowered_with_a_bias_at_every_step(name: str, rule: str, modes: Sequence[str]) -> None:
    net, x = torches(name, linear_features=N), noise().float()
    ours = nn.from_snntorch(net)
    spikes = check(net, ours, x, FIRES, True, gradients=False)
    assert as_lowered(ours, spikes, x, modes) == [rule, "leaky_late_soft"]


def test_one_value_for_all_neurons_that_a_linear_has_told_the_number_of() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(9, N), torch.nn.BatchNorm1d(N), torch.nn.Dropout(),
                              snn.RLeaky(beta=0.5, all_to_all=False, V=-0.5, learn_recurrent=False, init_hidden=True)).eval()
    with torch.no_grad():
        net[0].weight.abs_(), net[0].bias.fill_(0.5)
    state = torch.random.get_rng_state()
    ours = nn.from_snntorch(net)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(ours[3].weight, -0.5 * torch.eye(N)) and not ours[3].weight.requires_grad
    check(net, ours, noise().float(), FIRES, True, gradients=False)


def test_what_is_frozen_stays_frozen_and_all_are_copies() -> None:
    net = torch.nn.Sequential(snn.RLeaky(beta=0.5, linear_features=3, learn_recurrent=False, init_hidden=True))
    ours = nn.from_snntorch(net)
    assert not any(p.requires_grad for p in ours.parameters()) and ours[0].weight is not net[0].recurrent.weight
    rc = layer.LinearRecurrentContainer(LIF(), 3, 3)
    rc.rc.weight.requires_grad_(False)
    with torch.no_grad():
        inner = nn.from_spikingjelly([rc])[0]
    assert [p.requires_grad for p in inner.parameters()] == [False, True, False]  # rc.weight, rc.bias, the recurrent weight
    inner.sub_module.weight.data.zero_()
    assert bool(rc.rc.weight.all())


def within(m: Module) -> list[Module]:
    return [torch.nn.Linear(3, 3), layer.ElementWiseRecurrentContainer(m, operator.add)]


def adding(function: Any) -> list[Module]:
    return [torch.nn.Linear(3, 3), layer.ElementWiseRecurrentContainer(LIF(), function)]


def listening(m: Module) -> Module:
    m.recurrent.register_forward_hook(lambda m, given, out: out)
    return m


SHARED = LIF()
ADD = "its element_wise_function must add the two and do nothing else, as operator.add does"
ONE = {"beta": 0.5, "all_to_all": False}


@pytest.mark.parametrize(("layers", "sentence"), [
    (adding(operator.mul), ADD), (adding(lambda y, x: x + 2.0 * y), ADD), (adding(lambda y, x: x + x), ADD),
    (adding(lambda y, x: torch.add(x, y, alpha=2)), ADD), (adding(lambda y, x: x + y if x.sum() > 0 else x), ADD),
    (within(torch.nn.Sequential(torch.nn.Linear(3, 3), LIF())), r"layer 1 \(Elem.*: its sub_module must be neurons alone, got"),
    (within(torch.nn.ReLU()), r"layer 1 \(ElementWiseRecurrentContainer\): cannot be converted: from_spikingjelly takes LIFN"),
    ([layer.ElementWiseRecurrentContainer(LIF(), operator.add)], "how many neurons it has is not known here: a Linear must"),
    ([layer.LinearRecurrentContainer(torch.nn.Linear(4, 2), 4, 2)], "its sub_module must be neurons alone, got Linear; put"),
    ([layer.LinearRecurrentContainer(LIF(), 4, 2)], "in_features and out_features must be equal, got 4 and 2"),
    ([SHARED, layer.LinearRecurrentContainer(SHARED, 3, 3)], r"layer 1 \(L.*: shares its weights or its state with layer 0"),
    ([LIF(step_mode="m"), layer.LinearRecurrentContainer(LIF(), 3, 3)], r"has step_mode 's', and must have 'm' where it"),
    ([layer.SeqToANNContainer(layer.LinearRecurrentContainer(LIF(), 3, 3))], "in a SeqToANNContainer it would take steps")])
def test_containers_that_cannot_be_converted_are_refused(layers: list[Module], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.from_spikingjelly(layers)


@pytest.mark.parametrize(("made", "sentence"), [
    (lambda: snn.RLeaky(beta=0.5, conv2d_channels=2, kernel_size=3), r"layer 1 \(RLeaky\): .* its recurrent synapses are a"),
    (lambda: snn.RLeaky(**ONE), r"layer 1 \(RLeaky\): .* V is one learned value for all neurons, and here each synapse learns"),
    (lambda: snn.RLeaky(**ONE, V=torch.ones(2, 3)), r"V must be one value, or one a neuron \[N\], got \(2, 3\)"),
    (lambda: listening(snn.RLeaky(**ONE, V=torch.ones(3))), "has forward hooks, which may change what it gives"),
    (lambda: listening(snn.RLeaky(beta=0.5, linear_features=3)), "has forward hooks, which may change what it gives"),
    (lambda: snn.RLeaky(beta=0.5, linear_features=3, threshold=0.0), "threshold must be above 0, got 0.0"),
    (lambda: snn.RSynaptic(alpha=0.5, beta=0.5, linear_features=3, reset_delay=False), "the reset_delay=False of an RSy")])
def test_neurons_of_snntorch_that_cannot_be_converted_are_refused(made: Callable[[], Module], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.from_snntorch([torch.nn.Linear(3, 3), made()])
