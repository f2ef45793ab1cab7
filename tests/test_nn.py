"""Layers: shapes, explicit state, learned parameters, bad input; Sequential; what torch users do to modules."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable

import pytest
import torch

import snnsim.nn as nn
from snnsim.neurons import IF, LI, LIF, AdaptiveLIF, CubaLIF, PscExp
from snnsim.rule import Rule


def spikes(*shape: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.2).float()


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Neuron(LIF(), learn=("decay", "theta"), shape=(4, 1, 1)),
        nn.SumPool2d(2), nn.Flatten(), nn.Dropout(0.25), nn.Linear(16, 8), nn.Neuron(AdaptiveLIF(), learn=("rho", "beta")),
        nn.Linear(8, 3), nn.Readout())


def test_a_net_learns_every_parameter() -> None:
    net = small_net()
    nn.set_dt(net, 10.0)
    net[0].weight.data *= 4.0
    net[6].weight.data *= 4.0
    out, state = net(spikes(12, 3, 2, 10, 10))
    assert out.shape == (12, 3, 3)
    assert [[tuple(v.shape) for v in entry] for entry in state] == [[(3, 4, 4, 4)], [(3, 8), (3, 8)], [(3, 3)]]
    out.mean(0).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and float(p.grad.abs().max()) > 0.0, name


def test_state_is_explicit() -> None:
    net = small_net().eval()
    nn.set_dt(net, 10.0)
    x = spikes(12, 3, 2, 10, 10)
    whole, end = net(x)
    again, _ = net(x)
    assert torch.equal(whole, again)
    first, between = net(x[:5])
    second, after = net(x[5:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(after, end, rtol=1e-5, atol=1e-6)
    assert not any("state" in name for name in net.state_dict())


def test_a_neuron_in_millivolts_starts_at_rest() -> None:
    neuron = nn.Neuron(PscExp(e_l=-60.0), dt=0.1)
    out, state = neuron(torch.zeros(5, 2, 3))
    assert not out.any() and torch.allclose(state[2], torch.full((2, 3), -60.0))


def test_deepcopy_and_state_dict_after_forward() -> None:
    net = small_net()
    nn.set_dt(net, 10.0)
    x = spikes(6, 2, 2, 10, 10)
    net(x)[0].sum().backward()
    with torch.no_grad():
        net[2].raw_decay += 0.3
    twin = copy.deepcopy(net).eval()
    fresh = small_net()
    fresh.load_state_dict(net.state_dict())  # before set_dt: the parameters do not wait for the time step
    nn.set_dt(fresh, 10.0)
    net.eval()
    fresh.eval()
    assert torch.equal(net(x)[0], twin(x)[0]) and torch.equal(net(x)[0], fresh(x)[0])


def test_channels_last_gives_the_same() -> None:
    neuron = nn.Neuron(CubaLIF(), learn=("decay",), shape=(4, 1, 1), dt=1.0)
    with torch.no_grad():
        neuron.raw_decay += torch.linspace(-1.0, 1.0, 4).view(4, 1, 1)
    x = torch.randn(7, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    last = x.movedim(2, 4).contiguous().movedim(4, 2)
    state = tuple(torch.randn(3, 4, 5, 6) for _ in range(2))
    results = []
    for value in (x, last):
        value = value.detach().requires_grad_()
        out, end = neuron(value, state)
        g = torch.autograd.grad(out.sum() + sum(v.sum() for v in end), [value, neuron.raw_decay])
        results.append((out, *end, *g))
    assert results[1][0].movedim(2, 4).is_contiguous() and results[1][3].movedim(2, 4).is_contiguous()
    for a, b in zip(results[0][:-1], results[1][:-1], strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(results[0][-1], results[1][-1])


def test_inputs_of_any_memory_order() -> None:
    neuron = nn.Neuron(LIF(), dt=1.0)
    x = torch.randn(9, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    strided = x.transpose(0, 2).contiguous().transpose(0, 2)
    out, _ = neuron(x)
    other, _ = neuron(strided)
    assert torch.equal(out, other)
    (a,) = torch.autograd.grad(out.mean(0).sum(), x)  # a gradient that is one number everywhere, with stride 0
    (b,) = torch.autograd.grad(other.mean(0).sum(), x)
    assert torch.equal(a, b) and float(a.abs().max()) > 0.0


def test_learned_parameters_start_at_the_neurons_own_and_stay_valid() -> None:
    neuron = nn.Neuron(AdaptiveLIF(tau=20.0, theta=0.7, beta=0.3), learn=("decay", "theta", "beta"))
    assert set(dict(neuron.named_parameters())) == {"raw_decay", "raw_theta", "raw_beta"}
    neuron.set_dt(5.0)
    p = neuron.step_parameters()
    assert list(p) == ["decay", "rho", "theta", "beta"]
    assert p["decay"].item() == pytest.approx(math.exp(-0.25)) and p["theta"].item() == pytest.approx(0.7)
    for value in (-10.0, 10.0):
        with torch.no_grad():
            for raw in neuron.parameters():
                raw.fill_(value)
        p = neuron.step_parameters()
        assert 0.0 < p["decay"] < 1.0 and p["theta"] > 0.0 and p["beta"] > 0.0


def shifted(v: float, x: float, rest: float) -> float:
    return 0.5 * v + x + rest


def test_a_free_parameter_of_ones_own() -> None:
    own = Rule("shifted", shifted)(rest=-0.25)
    with pytest.raises(ValueError, match="how 'rest' is kept valid is not known: write learn={'rest': 'unit'"):
        nn.Neuron(own, learn=("rest",))
    neuron = nn.Neuron(own, learn={"rest": "free"}, dt=1.0)
    out, _ = neuron(torch.zeros(3, 1, 1))
    assert out.flatten().tolist() == [-0.25, -0.375, -0.4375]
    out.sum().backward()
    assert neuron.raw_rest.grad.item() == 1.0 + 1.5 + 1.75


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda: nn.Neuron(LIF), "neuron must be a neuron such as snnsim.neurons.LIF"),
    (lambda: nn.Neuron(LIF().rule), "got a Rule: call it with its step parameters"),
    (lambda: nn.Neuron(LIF(), learn=("tau",)), "learn must be one of 'decay', 'theta', got 'tau'"),
    (lambda: nn.Neuron(LIF(), learn="decay"), "write learn=('decay',)"),
    (lambda: nn.Neuron(LIF(), learn={"decay": "any"}), "must be one of 'unit', 'positive', 'free'"),
    (lambda: nn.Neuron(LIF(tau=math.inf), learn=("decay",), dt=1.0), "decay is learned as 'unit', so it must lie between"),
    (lambda: nn.Neuron(AdaptiveLIF(beta=0.0), learn=("beta",), dt=1.0), "must lie above 0; it is 0.0 at dt = 1 ms"),
    (lambda: nn.Neuron(LIF(), dt=0.0), "dt must be above 0"), (lambda: nn.set_dt(nn.Readout(), math.nan), "dt must be finite"),
    (lambda: nn.Readout(tau=-1.0), "tau must be above 0"), (lambda: nn.Dropout(1.0), "share must be at least 0"),
    (lambda: nn.SumPool2d(0), "kernel must be a whole number"), (lambda: nn.SumPool2d(2, (1, 2, 3)), "stride must be")])
def test_impossible_layers_are_refused(build: Callable[[], object], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        build()


def with_bad(value: float) -> torch.Tensor:
    x = torch.zeros(4, 2, 700)
    x[2, 1, 699] = value
    return x


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("neuron", [IF(), LIF(), LIF(reset="hard"), CubaLIF(), LI()], ids=lambda n: n.rule.name)
def test_nan_and_infinity_are_not_silent(value: float, neuron: object) -> None:
    with pytest.raises(ValueError, match=r"layer 0 \(Neuron\): the input holds NaN or infinity"):
        nn.Sequential(nn.Neuron(neuron, dt=1.0))(with_bad(value))


@pytest.mark.parametrize(("run", "sentence"), [
    (lambda: nn.Neuron(LIF())(torch.zeros(1, 1, 1)), "the time step is not set: pass dt=... to fit, or call "
                                                     "snnsim.nn.set_dt(net, dt)"),
    (lambda: nn.Neuron(LIF(), dt=1.0)(torch.zeros(3, 4)), "x must be [T, B, ...]"),
    (lambda: nn.Neuron(LIF(), dt=1.0)(torch.zeros(0, 1, 4)), "at least three dimensions and one value, got (0, 1, 4)"),
    (lambda: nn.Neuron(LIF(), dt=1.0)(torch.zeros(1, 1, 4).int()), "x must be float32 or float64 on the CPU"),
    (lambda: nn.Neuron(LIF(), dt=1.0)([1.0]), "x must be a tensor [T, B, ...] or a batch of events, got list"),
    (lambda: nn.Neuron(LIF(), dt=1.0)((torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))), "a tuple of 1 tensors, got 2"),
    (lambda: nn.Neuron(LIF(), dt=1.0)(torch.zeros(1, 1, 4), (torch.zeros(4),)), "state must be a tuple of 1 tensors"),
    (lambda: nn.Neuron(LIF(), dt=1.0)(torch.zeros(1, 1, 4), (torch.full((1, 4), math.nan),)), "the state holds NaN"),
    (lambda: nn.Neuron(LIF(), dt=1.0, learn=("decay",), shape=(3,))(torch.zeros(1, 1, 4)),
     "decay of shape (3,) does not fit neurons of shape (4,)"),
    (lambda: nn.Linear(3, 2)(torch.zeros(1, 3)), "Linear takes a tensor [T, B, N], got (1, 3)"),
    (lambda: nn.Linear(3, 2)(torch.zeros(1, 1, 4)), "Linear takes 3 inputs"),
    (lambda: nn.Conv2d(3, 2, 1)(torch.zeros(1, 3, 4, 4)), "Conv2d takes a tensor [T, B, C, H, W]"),
    (lambda: nn.Conv2d(3, 2, 1)(torch.zeros(1, 1, 2, 4, 4)), "Conv2d takes 3 channels"),
    (lambda: nn.SumPool2d(5)(torch.zeros(1, 1, 2, 4, 4)), "SumPool2d of (5, 5) does not fit"),
    (lambda: nn.BatchNorm2d(3)(torch.zeros(1, 1, 3)), "BatchNorm2d takes a tensor [T, B, C, H, W]"),
    (lambda: nn.Flatten()(torch.zeros(1, 1)), "Flatten takes a tensor [T, B, ...]"),
    (lambda: nn.Dropout()(torch.zeros(1, 1)), "Dropout takes a tensor [T, B, ...]"),
    (lambda: nn.Sequential(nn.Flatten())(torch.zeros(1, 1, 1), (None,)), "one entry for each of the 0 stateful layers"),
    (lambda: nn.Sequential(nn.Readout(dt=1.0))(torch.zeros(1, 1, 1), 3), "got int")])
def test_bad_input_is_refused(run: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        run()


def test_layers_do_at_every_step_what_torch_does_at_one() -> None:
    x = torch.randn(5, 3, 4, 8, 9, generator=torch.Generator().manual_seed(0))
    flat = x.flatten(0, 1)
    conv, norm = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(4)
    torch.testing.assert_close(conv(x), torch.nn.Conv2d.forward(conv, flat).unflatten(0, (5, 3)))
    twin = torch.nn.BatchNorm2d(4)
    torch.testing.assert_close(norm(x), twin(flat).unflatten(0, (5, 3)))
    torch.testing.assert_close(norm.running_var, twin.running_var)
    pooled = torch.nn.functional.avg_pool2d(flat, 3, 2) * 9.0
    torch.testing.assert_close(nn.SumPool2d(3, 2)(x), pooled.unflatten(0, (5, 3)))
    assert torch.equal(nn.Flatten()(x), x.reshape(5, 3, -1))
    one = nn.BatchNorm1d(9)
    torch.testing.assert_close(one(x[:, :, 0, 0]), torch.nn.BatchNorm1d(9)(x[:, :, 0, 0].flatten(0, 1)).unflatten(0, (5, 3)))


def test_dropout_keeps_one_mask_for_all_steps() -> None:
    torch.manual_seed(0)
    drop = nn.Dropout(0.4)
    y = drop(torch.ones(6, 5, 1000))
    assert torch.equal(y, y[:1].expand_as(y)) and not torch.equal(y[0, 0], y[0, 1])
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.6]) and float(y.mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(y), y)


def test_sequentials_nest_and_take_plain_modules() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Neuron(LIF(), dt=1.0))
    net = nn.Sequential(inner, torch.nn.Identity(), nn.Readout(dt=1.0))
    _, state = net(spikes(3, 2, 4))
    assert len(state) == 2 and len(state[0]) == 1
    net(spikes(3, 2, 4), state)
    net(spikes(3, 2, 4), (None, state[1]))
    with pytest.raises(ValueError, match=r"layer 0 \(Sequential\): layer 0 \(Linear\): Linear takes 4 inputs"):
        net(spikes(3, 2, 5))


@pytest.mark.parametrize("learn", [(), ("decay",)])
def test_a_layer_that_was_first_used_in_inference_mode_can_be_trained(learn: tuple[str, ...]) -> None:
    for layer in (nn.Neuron(LIF(), learn=learn, dt=1.0), nn.Recurrent(LIF(), 7, learn=learn, dt=1.0)):
        x = torch.rand(5, 3, 7, requires_grad=True)
        with torch.inference_mode():
            before = layer(x)[0].clone()
        out, _ = layer(x)
        out.sum().backward()
        assert torch.equal(out, before) and x.grad is not None
