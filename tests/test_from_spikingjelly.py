"""SpikingJelly's nets converted: the same spikes in every layer, the same gradients, and the engine and NIR after them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import TimeBase, engine, hardware, lower
from snnsim.nn.convert.surrogates import SPIKINGJELLY, of_spikingjelly
from tests.theirs import check, dyadic_, loops  # noqa: F401

neuron = pytest.importorskip("spikingjelly.activation_based.neuron", exc_type=ImportError)
layer = pytest.importorskip("spikingjelly.activation_based.layer", exc_type=ImportError)
surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate", exc_type=ImportError)

FIRES = (neuron.BaseNode,)
NODES = {"lif": lambda **o: neuron.LIFNode(tau=3.0, **o), "plif": lambda **o: neuron.ParametricLIFNode(init_tau=3.0, **o),
         "lif_kept": lambda **o: neuron.LIFNode(tau=1.7, decay_input=False, **o),
         "plif_kept": lambda **o: neuron.ParametricLIFNode(init_tau=1.7, decay_input=False, **o),
         "if": lambda **o: neuron.IFNode(**o)}


def dense(name: str, mode: str = "m", dtype: torch.dtype = torch.float32, **options: Any) -> torch.nn.Sequential:
    """Two layers of neurons that fire, but not always. The products of their weights, multiples of 1/32, are exact, so that
    the neurons alone are compared, and no BLAS."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(layer.Linear(20, 33, step_mode=mode), NODES[name](step_mode=mode, **options),
                              layer.Linear(33, 7, bias=False, step_mode=mode), NODES[name](step_mode=mode, **options)).to(dtype)
    with torch.no_grad():
        for m in (net[0], net[2]):
            m.weight.add_(0.1).mul_({"lif": 2.0, "plif": 2.0, "if": 0.3}.get(name, 0.7)).mul_(32.0).round_().div_(32.0)
        net[0].bias.mul_(32.0).round_().div_(32.0)
    return net


def noise(*shape: int, dtype: torch.dtype = torch.float32, rate: float = 0.4) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(2)) < rate).to(dtype)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_spikes_and_gradients_are_equal_in_float32(name: str, v_reset: float | None) -> None:
    for mode, detach in (("m", False), ("s", True)):
        net = dense(name, mode, v_reset=v_reset, detach_reset=detach)
        check(net, nn.from_spikingjelly(net), noise(40, 5, 20), FIRES, mode == "s")


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_membranes_are_the_same_bits(name: str, v_reset: float | None) -> None:
    """Which a spike hardly ever tells: another order of operations, or a product for a quotient."""
    node = NODES[name](v_reset=v_reset, step_mode="m")
    x = torch.randn(30, 4, 500, generator=torch.Generator().manual_seed(0)) + 0.5
    out, (v,) = nn.from_spikingjelly([node])[0](x)
    assert torch.equal(out, node(x)) and torch.equal(v, node.v)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("name", NODES)
def test_a_reset_to_elsewhere(name: str) -> None:
    """The membrane is held as its distance from v_reset: equal in exact arithmetic, here in float64."""
    net = dense(name, dtype=torch.float64, v_reset=-0.25, v_threshold=0.75)
    if "lif" not in name:
        net[1].v_reset = net[3].v_reset = 0.25
        net[1]._memories_rv["v"] = net[3]._memories_rv["v"] = net[1].v = net[3].v = 0.25
    ours = nn.from_spikingjelly(net)
    check(net, ours, noise(40, 5, 20, dtype=torch.float64), FIRES, False)
    theta = ours[1].neuron.step_parameters(1.0)["theta"]
    assert theta == (1.0 if "lif" in name else 0.5) and not ours[1].neuron.initial


def test_at_the_threshold_they_fire_and_so_do_we() -> None:
    """Multiples of 1/8 in float64, where membranes meet the threshold exactly."""
    for v_reset in (None, 0.0, -0.5):
        count = surrogate.Sigmoid()  # held by both layers
        net = torch.nn.Sequential(
            layer.Linear(6, 50), neuron.LIFNode(tau=2.0, v_reset=v_reset, surrogate_function=count),
            layer.Linear(50, 20), neuron.IFNode(v_reset=v_reset, surrogate_function=count)).double()
        dyadic_(net)
        ties = watch(count)
        check(net, nn.from_spikingjelly(net), noise(12, 8, 6, dtype=torch.float64), FIRES, True, gradients=False)
        assert sum(ties) > 20


def watch(function: torch.nn.Module) -> list[int]:
    """How many membranes are exactly at the threshold, call by call."""
    ties: list[int] = []
    function.register_forward_hook(lambda m, given, out: ties.append(int((given[0] == 0).sum())))
    return ties


def conv(mode: str = "m") -> torch.nn.Sequential:
    torch.manual_seed(0)
    o = {"step_mode": mode}
    inner = torch.nn.Sequential(layer.Conv2d(4, 6, 3, bias=False, **o), layer.BatchNorm2d(6, **o), neuron.LIFNode(tau=2.0, **o))
    return torch.nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, **o), neuron.IFNode(v_threshold=0.5, surrogate_function=surrogate.ATan(), **o),
        layer.AvgPool2d(2, **o), inner, layer.Flatten(**o), layer.Dropout(0.5, **o), layer.Linear(24, 10, bias=False, **o),
        layer.BatchNorm1d(10, **o), neuron.ParametricLIFNode(v_threshold=0.3, v_reset=None, **o))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("mode", ["m", "s"])
def test_a_convolutional_net_trains_and_runs_the_same(mode: str) -> None:
    """In training, so that the batch norms count: over all steps in mode 'm', at each step apart in mode 's'."""
    net = conv(mode)
    net[5].eval()  # dropout draws its own numbers
    with torch.no_grad():
        net[3][1].bias.fill_(1.0), net[7].bias.fill_(0.4)
    net = net.double()
    ours = nn.from_spikingjelly(net)
    assert [type(m).__name__.partition("EachStep")[0] for m in ours] == [
        "Conv2d", "Neuron", "AvgPool2d", "Sequential", "Flatten", "Dropout", "Linear", "BatchNorm1d", "Neuron"]
    assert ours.training and ours[0].training and not ours[5].training
    check(net, ours, noise(10, 3, 2, 8, 8, dtype=torch.float64), FIRES, mode == "s")
    for place in (net[3][1], ours[3][1]), (net[7], ours[7]):
        torch.testing.assert_close(place[1].running_var, place[0].running_var)
        torch.testing.assert_close(place[1].running_mean, place[0].running_mean)
        assert place[0].num_batches_tracked == place[1].num_batches_tracked == (10 if mode == "s" else 1)


def test_layers_of_torch_and_containers() -> None:
    folded = layer.SeqToANNContainer(torch.nn.Conv2d(2, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.MaxPool2d(2),
                                     torch.nn.Flatten())
    stepped = layer.MultiStepContainer(torch.nn.Linear(36, 12), neuron.LIFNode(v_threshold=0.2))
    net = torch.nn.Sequential(folded, neuron.IFNode(step_mode="m"), torch.nn.Identity(), stepped, torch.nn.Linear(12, 5),
                              neuron.IFNode(step_mode="m")).double()
    with torch.no_grad():
        folded[1].bias.fill_(0.5), stepped[0].bias.fill_(0.3), net[4].bias.fill_(0.3)
    ours = nn.from_spikingjelly(net)
    check(net, ours, noise(8, 3, 2, 8, 8, dtype=torch.float64), FIRES, False)
    assert [name for name, _ in ours.named_children()] == ["0", "1", "3", "4", "5"]
    assert type(nn.from_spikingjelly(folded)[1]) is nn.BatchNorm2d  # the container alone is a net, too


def test_dropout_holds_its_mask_or_draws_anew_as_theirs() -> None:
    ones = torch.ones(50, 4, 30)
    held, anew = nn.from_spikingjelly([layer.Dropout(0.5, step_mode="m")]), nn.from_spikingjelly([torch.nn.Dropout(0.5)])
    out = held(ones)[0]
    assert sorted(out.unique().tolist()) == [0.0, 2.0] and torch.equal(out[0], out[49])
    out = anew(ones)[0]
    assert sorted(out.unique().tolist()) == [0.0, 2.0] and not torch.equal(out[0], out[49])
    assert torch.equal(anew.eval()(ones)[0], ones)


def test_learned_time_constants_start_where_they_were_and_go_the_same_way() -> None:
    net = dense("plif")
    with torch.no_grad():
        net[1].w.fill_(0.12345)
    ours = nn.from_spikingjelly(net)
    assert torch.equal(ours[1].step_parameters()["rate"], net[1].w.sigmoid())
    x = noise(30, 4, 20)
    for _ in range(3):
        for model, out in ((net, net(x)), (ours, ours(x)[0])):
            out.mean().backward()
            with torch.no_grad():
                for p in model.parameters():
                    assert p.grad is not None
                    p -= 0.5 * p.grad
                    p.grad = None
        for m in (net[1], net[3]):
            m.reset()
    assert abs(net[1].w.item() - 0.12345) > 1e-3
    torch.testing.assert_close(ours[1].step_parameters()["rate"], net[1].w.sigmoid(), rtol=1e-5, atol=0.0)


def test_the_net_is_left_as_it_was() -> None:
    net = dense("plif")
    net[0].weight.requires_grad_(False)
    before, state = copy.deepcopy(net.state_dict()), torch.random.get_rng_state()
    ours = nn.from_spikingjelly(net)
    assert torch.equal(state, torch.random.get_rng_state())
    assert ours.training and not nn.from_spikingjelly(net.eval()).training
    assert not ours[0].weight.requires_grad and ours[2].weight.requires_grad
    x = noise(10, 2, 20)
    twin = copy.deepcopy(ours)
    twin.load_state_dict(ours.state_dict())
    nn.set_dt(twin, 10.0)  # their time constants are in steps
    assert torch.equal(twin(x)[0], ours(x)[0])
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(1.0)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_every_surrogate_has_their_slope(name: str) -> None:
    others = {"PiecewiseLeakyReLU": [{"w": 0.5, "c": 0.0}], "LeakyKReLU": [{"k": 2.0}], "DeterministicPass": [{}]}
    x = torch.linspace(-3.0, 3.0, 4002, dtype=torch.float64, requires_grad=True)  # an even number: no point is 0 or a corner
    for given in others.get(name, [{"alpha": a} for a in (0.7, 2.0, 5.0)]):
        function = getattr(surrogate, name)(**given)
        (expected,) = torch.autograd.grad(function(x).sum(), x)
        ours = of_spikingjelly(function)
        torch.testing.assert_close(ours.slope(x.detach(), ours.width), expected, rtol=1e-12, atol=1e-14)


def test_it_runs_event_by_event() -> None:
    """tau = 2 and multiples of 1/8 in float64: the lowered network, with standard rules, gives every spike."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        layer.Conv2d(2, 4, 3, bias=False), neuron.LIFNode(tau=2.0, decay_input=False, v_reset=None), layer.AvgPool2d(2),
        layer.Conv2d(4, 5, 2), neuron.LIFNode(tau=2.0), layer.Flatten(), layer.Dropout(), layer.Linear(20, 9),
        neuron.LIFNode(tau=4.0, v_threshold=0.25, v_reset=-0.5), layer.Linear(9, 4), neuron.IFNode()).double().eval()
    dyadic_(net)
    x = noise(10, 3, 2, 8, 8, dtype=torch.float64, rate=0.3)
    ours = nn.from_spikingjelly(net)
    spikes = check(net, ours, x, FIRES, True, gradients=False)
    network = lower(ours, time=TimeBase(1.0), input_shape=(2, 8, 8))
    assert [p.rule.name for p in network.populations[1:] if p.rule] == ["lif_soft", "lif_hard", "lif_hard", "if_hard"]
    assert "layer 2 (AvgPool2d) lowered as a sum, its factor 1/4 in the weights of the chain" in network.notes
    result = engine.run(network, x.numpy())
    for p, theirs in zip(network.populations[1:], spikes.values(), strict=True):
        np.testing.assert_array_equal(result.spikes[p.name].dense(), theirs.numpy())


@pytest.mark.slow
def test_it_is_written_to_nir(tmp_path: Any) -> None:
    net = dense("lif")
    x = noise(30, 4, 20)
    network = lower(nn.from_spikingjelly(net), time=TimeBase(1.0), input_shape=(20,))
    hardware.nir.export(network, tmp_path / "net.nir")
    assert hardware.verify(tmp_path / "net.nir", network, x.numpy()).exact
    assert "layer 1 (Neuron): its rule lif_tau_shared_hard written as lif_hard" in network.notes


class Own(neuron.LIFNode):  # type: ignore[name-defined, misc]
    def __init__(self) -> None:
        super().__init__(tau=4.0)


class Changed(neuron.LIFNode):  # type: ignore[name-defined, misc]
    def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        return super().single_step_functional_forward(inputs, states)


class Net(torch.nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(x)


def test_a_subclass_that_changes_nothing_is_what_it_inherits_from() -> None:
    assert nn.from_spikingjelly([Own()])[0].neuron.step_parameters(1.0)["tau"] == 4.0


LINEAR = torch.nn.Linear(3, 3)
LIF = neuron.LIFNode
TWICE = neuron.LIFNode()


def hooked() -> torch.nn.Module:
    m = torch.nn.Linear(2, 2)
    m.register_forward_hook(lambda m, given, out: out + 1.0)
    return m


@pytest.mark.parametrize(("layers", "sentence"), [
    ([torch.nn.Sequential(LINEAR, torch.nn.ReLU())], r"layer 0\.1 \(ReLU\): cannot be converted: from_spikingjelly takes LIF"),
    ([layer.WSConv2d(2, 2, 3)], r"layer 0 \(WSConv2d\): cannot be converted: it changes .*forward.* of Conv2d"),
    ([Changed()], r"layer 0 \(Changed\): cannot be converted: it changes single_step_functional_forward of LIFNode"),
    ([neuron.GatedLIFNode(T=4)], r"layer 0 \(GatedLIFNode\): cannot be converted"),
    ([LIF(step_mode="m"), LIF()], r"layer 1 \(LIFNode\): has step_mode 's', and must have 'm' where it stands"),
    ([LIF(step_mode="m"), torch.nn.Conv2d(2, 2, 3)], r"layer 1 \(Conv2d\): torch's Conv2d does not take \[T, B, \.\.\.\]"),
    ([LIF(step_mode="m"), torch.nn.Flatten()], r"layer 1 \(Flatten\): start_dim and end_dim must be 2 and -1 here"),
    ([layer.SeqToANNContainer(LIF())], r"layer 0\.0 \(LIFNode\): cannot be converted: in a SeqToANNContainer it would take"),
    ([LIF(), layer.SeqToANNContainer(LINEAR)], r"layer 1 \(SeqToANNContainer\): takes all steps at once, but stands in a net"),
    ([TWICE, LINEAR, TWICE], r"layer 2 \(LIFNode\): shares its weights or its state with layer 0"),
    ([hooked()], r"layer 0 \(Linear\): has forward hooks, which may change what it gives"),
    ([layer.AvgPool2d(2, padding=1)], r"layer 0 \(AvgPool2d\): padding, ceil_mode and divisor_override must be"),
    ([LIF(surrogate_function=surrogate.S2NN())], r"layer 0 \(LIFNode\): its surrogate S2NN has no equal here: give it"),
    ([LIF(surrogate_function=surrogate.PiecewiseLeakyReLU())], r"LeakyReLU with w=1\.0, c=0\.01 has no equal here: only c=0"),
    ([LIF(surrogate_function=surrogate.ATan(spiking=False))], "surrogate ATan has spiking=False"),
    ([LIF(surrogate_function=torch.sigmoid)], "surrogate builtin_function_or_method has no equal here"),
    ([lambda x: x], r"layer 0 \(function\): is no torch\.nn\.Module: give the modules in the order")])
def test_what_cannot_be_converted_is_refused_by_name(layers: list[Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.from_spikingjelly(layers)


def test_a_net_with_a_forward_of_its_own_is_asked_for_as_a_list() -> None:
    with pytest.raises(TypeError, match=r"the net \(Net\) cannot be converted: it changes forward of Sequential; give a list"):
        nn.from_spikingjelly(Net(LINEAR))
    with pytest.raises(TypeError, match=r"from_spikingjelly takes a torch\.nn\.Sequential, or .* a list or .*, got LIFNode"):
        nn.from_spikingjelly(LIF())
    with pytest.raises(ValueError, match=r"the name of a layer must be a text without dots, got 'fc\.1'"):
        nn.from_spikingjelly({"fc.1": LINEAR})
    named = nn.from_spikingjelly({"fc": LINEAR, "fire": LIF()})
    assert [name for name, _ in named.named_children()] == ["fc", "fire"]


def test_a_framework_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spikingjelly.activation_based", None)
    with pytest.raises(ImportError, match=r'spikingjelly cannot be imported \(.*\): pip install "snnsim\[interop\]"'):
        nn.from_spikingjelly([LINEAR])
