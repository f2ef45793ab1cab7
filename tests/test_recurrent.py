"""Recurrent layers equal the eager loop under autograd, lower to a delay of one step, and are the same bits on any threads."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import snnsim
import snnsim.nn as nn
from snnsim import engine
from snnsim.network import TimeBase
from snnsim.neurons import LI, LIF, AdaptiveLIF, CubaLIF, leak, lif
from snnsim.nn.eager import eager_recurrent
from snnsim.nn.fused import Loop
from snnsim.nn.recurrent import Recurrence
from snnsim.rule import Neuron, Rule
from tests import oracle
from tests.poison import poison
from tests.test_gradients import CONDUCTANCE, TOLERANCE, UPSTROKE

SIZES = [(1, 1, 1), (2, 3, 31), (40, 9, 33), (33, 8, 5), (5, 2, 130)]  # steps, samples, neurons


poisoned = poison("fused", "recurrent", "sparse")


def compare(neuron: Neuron, steps: int, samples: int, n: int, dtype: torch.dtype = torch.float64, *, masked: bool = False,
            parameter_shape: tuple[int, ...] = (), detach: bool = False, receptor: str = "", share: float = 0.3) -> None:
    g, rule = torch.Generator().manual_seed(steps), neuron.rule
    normal = lambda *size: torch.randn(size, generator=g, dtype=torch.float64)  # noqa: E731
    inputs = [0.3 + 0.5 * normal(steps, samples, n) for _ in rule.inputs]
    first = (torch.rand(samples, n, generator=g) < 0.3).double()
    states = [0.2 + 0.3 * normal(samples, n) for _ in rule.states]
    mask = torch.rand(n, n, generator=g) < share if masked else None
    weight = (0.1 + 0.3 * normal(n, n) / n ** 0.5) * (1.0 if mask is None else mask)
    parameters = [float(p) * (1.0 + 0.02 * normal(*parameter_shape)) for p in neuron.step_parameters(1.0).values()]
    leaves = [t.to(dtype).requires_grad_() for t in (*inputs, first, *states, weight, *parameters)]
    i, s = len(inputs), len(inputs) + 1 + len(states)
    given = leaves[:i], leaves[i], leaves[i + 1: s], leaves[s], leaves[s + 1:]
    slope, at = nn.SURROGATES["atan"].slope, receptor or rule.inputs[0]
    out, end = Recurrence(Loop(rule, slope, 1.0, detach), at, mask)(*given)
    wanted, wanted_end = eager_recurrent(rule, slope, *given, receptor=receptor, detach_reset=detach)
    assert torch.equal(out, wanted)
    torch.testing.assert_close(end, wanted_end, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    seeds = [torch.randn(t.shape, generator=g, dtype=torch.float64).to(dtype) + 0.5 for t in (out, *end)]
    got = torch.autograd.grad([out, *end], leaves, seeds)
    expected = torch.autograd.grad([wanted, *wanted_end], leaves, seeds, allow_unused=True, materialize_grads=True)
    names = (*rule.inputs, "first", *rule.states, "weight", *rule.parameters)
    for name, a, b in zip(names, got, expected, strict=True):
        b = b * mask if name == "weight" and mask is not None else b
        assert float((a - b).abs().max()) <= TOLERANCE[dtype] * float(b.abs().max()), name


@pytest.mark.parametrize(("neuron", "masked"), [(LIF(), False), (LIF(), True), (AdaptiveLIF(), False)],
                         ids=["lif", "lif masked", "adaptive"])
def test_equals_the_eager_loop(neuron: Neuron, masked: bool) -> None:
    for size in SIZES:
        compare(neuron, *size, masked=masked)


def test_two_inputs_and_the_other_receptor() -> None:
    compare(CONDUCTANCE, 20, 3, 33, receptor="gi")


@pytest.mark.slow
def test_float32() -> None:
    compare(LIF(), 20, 5, 31, torch.float32)


def test_parameters_of_each_neuron() -> None:
    compare(AdaptiveLIF(), 20, 9, 33, parameter_shape=(33,))


def test_many_spikes_of_few_synapses() -> None:
    compare(LIF(), 30, 5, 64, masked=True, share=0.0)
    compare(LIF(), 30, 5, 64, masked=True, share=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("neuron", "detach", "dtype"), [
    (LIF(), True, torch.float64), (LIF(reset="hard"), False, torch.float64), (CubaLIF(), True, torch.float64),
    (AdaptiveLIF(), False, torch.float64), (UPSTROKE, True, torch.float64), (CONDUCTANCE, False, torch.float64),
    (AdaptiveLIF(), True, torch.float32)], ids=lambda v: v.rule.name if isinstance(v, Neuron) else str(v))
def test_every_neuron(neuron: Neuron, detach: bool, dtype: torch.dtype) -> None:
    # single precision at fewer steps: over hundreds a recurrent gradient amplifies the rounding of any order of sums
    for size in [*SIZES, (3, 17, 257), (257, 3, 31)][: 6 if dtype is torch.float32 else 7]:
        for masked in (False, True):
            compare(neuron, *size, dtype, masked=masked, detach=detach, parameter_shape=(size[2],))


@pytest.mark.parametrize("masked", [False, True])
def test_same_bits_for_any_number_of_threads(masked: bool) -> None:
    torch.manual_seed(0)
    mask = torch.rand(130, 130) < 0.1 if masked else None
    layer = nn.Recurrent(LIF(), 130, mask=mask, dt=1.0, learn=("decay", "theta"), shape=(130,))
    x, results = torch.rand(20, 37, 130) * 0.4, []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        given = x.clone().requires_grad_()
        out, state = layer(given)
        results.append([out.detach(), *(v.detach() for v in state),
                        *torch.autograd.grad(out.square().sum() + state[0].sum(),
                                             [given, layer.raw_decay, layer.raw_theta])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_bias_is_added_where_the_spikes_are_at_every_step() -> None:
    torch.manual_seed(0)
    for neuron, receptor in ((LIF(), None), (CONDUCTANCE, "gi")):
        layer = nn.Recurrent(neuron, 20, receptor=receptor, bias=True, dt=1.0)
        plain = nn.Recurrent(neuron, 20, receptor=receptor, dt=1.0)
        assert layer.bias is not None and not layer.bias.any() and plain.bias is None
        layer.bias.data.uniform_(0.1, 0.3)
        plain.load_state_dict({"weight": layer.weight})
        x = tuple(w * torch.rand(12, 3, 20) for w in (0.8, 0.1)[: len(neuron.rule.inputs)])
        at, bias = neuron.rule.inputs.index(layer.receptor), layer.bias.detach().expand(12, 3, 20).clone().requires_grad_()
        out, wanted = layer(x)[0], plain(tuple(i + bias if k == at else i for k, i in enumerate(x)))[0]
        assert torch.equal(out, wanted) and 0 < out.sum() < out.numel()
        out.square().sum().backward(), wanted.square().sum().backward()
        assert bias.grad is not None and layer.bias.grad is not None and bool(layer.bias.grad.any())
        torch.testing.assert_close(layer.bias.grad, bias.grad.sum((0, 1)), rtol=1e-5, atol=1e-6)


def test_state_goes_on_where_it_was() -> None:
    torch.manual_seed(0)
    layer, x = nn.Recurrent(AdaptiveLIF(), 20, dt=1.0), torch.rand(12, 3, 20)
    whole, end = layer(x)
    first, state = layer(x[:5])
    second, after = layer(x[5:], state)
    assert torch.equal(whole, torch.cat([first, second])) and all(torch.equal(a, b) for a, b in zip(end, after, strict=True))
    assert torch.equal(end[-1], whole[-1]) and bool(whole.any())


def test_a_mask_given_to_two_layers_is_each_ones_own() -> None:
    mask = np.eye(3, dtype=bool)
    one, two = (nn.Recurrent(LIF(), 3, mask=mask) for _ in range(2))
    one.load_state_dict({"weight": torch.zeros(3, 3), "mask": torch.zeros(3, 3, dtype=torch.bool)})
    assert two.mask is not None and bool(two.mask.any()) and bool(mask.any())


def test_a_weight_that_changes_before_backward_is_an_error() -> None:
    layer = nn.Recurrent(LIF(), 4, dt=1.0)
    out, _ = layer(torch.rand(3, 2, 4))
    with torch.no_grad():
        layer.weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("masked", [False, True])
def test_lowered_it_spikes_as_the_net_does(masked: bool) -> None:
    torch.manual_seed(0)
    mask = torch.rand(12, 12) < 0.4 if masked else None
    net = nn.Sequential(nn.Linear(9, 12), nn.Recurrent(LIF(tau=5.0), 12, mask=mask, dt=1.0), nn.Linear(12, 4),
                        nn.Neuron(LIF(tau=5.0, theta=0.5), dt=1.0)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p * 64).round() / 16)  # dyadic: sums are exact in any order
    network = snnsim.lower(net, time=TimeBase(1.0), input_shape=(9,))
    counts = np.random.default_rng(0).integers(0, 3, (30, 9)).astype(float)
    out, _ = net(torch.from_numpy(counts)[:, None])
    stepped, result = oracle.run(network, counts), engine.run(network, counts)
    assert out.sum() > 5 and np.array_equal(out[:, 0].detach().numpy(), stepped.spikes[network.output])
    assert np.array_equal(result.scores[0], out[:, 0].sum(0).detach().numpy())
    hidden = network.populations[1].name
    assert result.counts[hidden][0] == stepped.spikes[hidden].sum() > 20


def test_lowered_its_weights_and_bias_take_the_factor_of_the_input() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(9, 12, bias=False), nn.Recurrent(leak.BY_TAU["shared", "hard"](tau=2.0, theta=1.0), 12,
                                                                   bias=True, dt=1.0)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randint(-4, 12, p.shape) / 16.0)
    network = snnsim.lower(net, time=TimeBase(1.0), input_shape=(9,))
    assert network.populations[1].rule is lif.RULES["hard"]
    counts = np.random.default_rng(0).integers(0, 2, (20, 9)).astype(float)
    spikes = net(torch.from_numpy(counts)[:, None])[0].detach().numpy()[:, 0]
    assert 0 < spikes.sum() < spikes.size and np.array_equal(oracle.run(network, counts).spikes[network.output], spikes)


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: nn.Recurrent(LI(), 4), "Recurrent needs neurons that fire, rule 'li' never does"),
    (lambda: nn.Recurrent(LIF(), 0), "features must be a positive whole number, got 0"),
    (lambda: nn.Recurrent(LIF(), 4, mask=torch.ones(4, 5, dtype=torch.bool)),
     "mask must be bool [4, 4], [target, source], got torch.bool [4, 5]"),
    (lambda: nn.Recurrent(LIF(), 4, receptor="ge"), "receptor must be one of 'x', got 'ge'"),
    (lambda: nn.Recurrent(LIF(), 4, dt=1.0)(torch.zeros(2, 3, 5)), "x must be [T, B, 4], got (2, 3, 5)"),
    (lambda: nn.Recurrent(LIF(), 2, dt=1.0)(torch.zeros(2, 3, 2), (torch.zeros(3, 2),)),
     "state must be a tuple of 2 tensors ('v', 's') of shape (3, 2) and torch.float32 on cpu"),
    (lambda: nn.Recurrent(LIF(), 2, dt=1.0)(torch.zeros(2, 3, 2), (torch.zeros(3, 2), torch.full((3, 2), 0.5))),
     "the spikes in the state, its last tensor, must be 0 or 1"),
    (lambda: nn.Recurrent(LIF(), 2, dt=1.0)(torch.full((2, 3, 2), torch.nan)),
     "the input, or what the recurrent synapses add to it, holds NaN or infinity"),
])
def test_what_cannot_be_is_refused(make, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def charge(v: float, x: float) -> float:
    return v + x


def margin(v: float) -> float:
    return v - 1.0


def reset(v: float, s: float) -> float:
    return v - s


@pytest.mark.slow
def test_a_rule_without_parameters() -> None:
    compare(Rule("bare", charge, margin, reset)(), 20, 3, 33)
