"""Fused time loops equal the eager rule under autograd: every spike, every state, every gradient, at odd sizes."""

from __future__ import annotations

import pytest
import torch

import snnsim.nn as nn
from snnsim.neurons import IF, LI, LIF, MPRLIF, AdaptiveLIF, CubaLIF
from snnsim.nn.fused import Loop
from snnsim.rule import Neuron, Rule, exp, where
from tests.poison import poison

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
SIZES = [(1, 1), (2, 31), (257, 33), (2, 1023), (2, 1025), (257, 1), (1, 33)]  # steps, neurons


def charge(v: float, x: float, decay: float, theta: float, sharp: float) -> float:
    return decay * v + x + sharp * exp(where(v < theta, v - theta, 0.0))


def margin(v: float, decay: float, theta: float, sharp: float) -> float:
    return v - theta


def reset(v: float, s: float, decay: float, theta: float, sharp: float) -> float:
    return v - s * theta


def two_inputs(v: float, ge: float, gi: float, decay: float, theta: float) -> float:
    return decay * v + ge * (1.0 - v) - gi / (1.0 + v * v)


def plain_margin(v: float, decay: float, theta: float) -> float:
    return v - theta


def plain_reset(v: float, s: float, decay: float, theta: float) -> float:
    return where(s > 0.5, 0.1 * s, v)


UPSTROKE = Rule("upstroke", charge, margin, reset)(decay=0.9, theta=1.0, sharp=0.05)
CONDUCTANCE = Rule("conductance", two_inputs, plain_margin, plain_reset, inputs=("ge", "gi"))(decay=0.9, theta=0.6)
NEURONS: list[Neuron] = [IF(), IF(reset="hard"), LIF(), LIF(reset="hard"), LIF(reset="none"), CubaLIF(),
                         CubaLIF(reset="hard"), AdaptiveLIF(), MPRLIF(), LI(), UPSTROKE, CONDUCTANCE]
IDS = [n.rule.name for n in NEURONS]


poisoned = poison("fused")


def tensors(neuron: Neuron, steps: int, shape: tuple[int, ...], parameter_shape: tuple[int, ...], dtype: torch.dtype,
            seed: int = 0) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Random inputs, initial states, and parameters around the neuron's own; of means above zero, so that the gradient
    of a scalar is not a sum that cancels, which float32 cannot hold to the tolerance."""
    g, rule = torch.Generator().manual_seed(seed), neuron.rule

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=g, dtype=torch.float64)

    inputs = [0.25 + 0.5 * normal(steps, *shape) for _ in rule.inputs]
    states = [0.2 + 0.3 * normal(*shape) for _ in rule.states]
    parameters = [float(p) * (1.0 + 0.02 * normal(*parameter_shape)) for p in neuron.step_parameters(1.0).values()]
    kind = lambda ts: [t.to(dtype).requires_grad_() for t in ts]  # noqa: E731
    return kind(inputs), kind(states), kind(parameters)


def compare(neuron: Neuron, steps: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64,
            parameter_shape: tuple[int, ...] = (), surrogate: str = "atan", detach: bool = False) -> None:
    inputs, states, parameters = tensors(neuron, steps, shape, parameter_shape, dtype)
    leaves = [*inputs, *states, *parameters]
    chosen = nn.SURROGATES[surrogate]
    out, end = Loop(neuron.rule, chosen.slope, chosen.width, detach)(inputs, states, parameters)
    expected, expected_end = nn.eager(neuron.rule, chosen.slope, inputs, states, parameters, width=chosen.width,
                                      detach_reset=detach)
    if neuron.rule.fires:
        assert torch.equal(out, expected)
    torch.testing.assert_close([out, *end], [expected, *expected_end], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    g = torch.Generator().manual_seed(1)
    seeds = [torch.randn(t.shape, generator=g, dtype=dtype) + 0.5 for t in (out, *end)]
    got = torch.autograd.grad([out, *end], leaves, seeds, materialize_grads=True)
    wanted = torch.autograd.grad([expected, *expected_end], leaves, seeds, allow_unused=True, materialize_grads=True)
    for name, a, b in zip((*neuron.rule.inputs, *neuron.rule.states, *neuron.rule.parameters), got, wanted, strict=True):
        assert float((a - b).abs().max()) <= TOLERANCE[dtype] * float(b.abs().max()), name


@pytest.mark.parametrize("neuron", NEURONS, ids=IDS)
def test_gradients_equal_autograd(neuron: Neuron) -> None:
    for steps, n in SIZES:
        compare(neuron, steps, (1, n))


@pytest.mark.parametrize("neuron", [LIF(), LIF(reset="hard"), AdaptiveLIF(), UPSTROKE], ids=lambda n: n.rule.name)
def test_detached_reset(neuron: Neuron) -> None:
    for steps, n in SIZES:
        compare(neuron, steps, (1, n), detach=True)


@pytest.mark.parametrize("neuron", [LIF(), AdaptiveLIF(), MPRLIF(), LI()], ids=lambda n: n.rule.name)
def test_float32(neuron: Neuron) -> None:
    for steps, n in SIZES:
        compare(neuron, steps, (1, n), torch.float32)


@pytest.mark.parametrize("surrogate", sorted(nn.SURROGATES))
def test_every_surrogate(surrogate: str) -> None:
    compare(LIF(), 257, (1, 33), surrogate=surrogate)


@pytest.mark.parametrize("parameter_shape", [(1,), (5, 1, 1), (3, 2), (5, 3, 2)])
def test_parameters_of_a_channel_or_a_neuron(parameter_shape: tuple[int, ...]) -> None:
    compare(AdaptiveLIF(), 33, (4, 5, 3, 2), parameter_shape=parameter_shape)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("neuron", NEURONS, ids=IDS)
def test_every_neuron_and_parameter_shape(neuron: Neuron, detach: bool, dtype: torch.dtype) -> None:
    for steps in (1, 2, 257):
        for n in (1, 31, 33, 1023):
            compare(neuron, steps, (2, n), dtype, (), detach=detach)
            compare(neuron, steps, (2, n), dtype, (n,), detach=detach)
            compare(neuron, steps, (2, n, 1, 1), dtype, (n, 1, 1), detach=detach)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("neuron", [LIF(reset="hard"), AdaptiveLIF(), UPSTROKE], ids=lambda n: n.rule.name)
def test_every_surrogate_with_other_neurons(neuron: Neuron, detach: bool, dtype: torch.dtype) -> None:
    for surrogate in nn.SURROGATES:
        compare(neuron, 100, (2, 33), dtype, (), surrogate, detach)


def test_only_what_is_asked_for() -> None:
    inputs, states, parameters = tensors(LIF(), 20, (2, 31), (), torch.float64)
    loop, others = Loop(LIF().rule, nn.SURROGATES["atan"].slope), [p.detach() for p in parameters]
    (g,) = torch.autograd.grad(loop(inputs, states, parameters)[0].sum(), [parameters[1]])
    (only,) = torch.autograd.grad(loop([inputs[0].detach()], None, [others[0], parameters[1]])[0].sum(), [parameters[1]])
    fresh = [torch.zeros_like(states[0])]
    (expected,) = torch.autograd.grad(loop(inputs, fresh, parameters)[0].sum(), [parameters[1]])
    assert torch.equal(only, expected) and not torch.equal(only, g)


def test_seeds_of_the_last_states_alone() -> None:
    inputs, states, parameters = tensors(CubaLIF(), 20, (2, 31), (), torch.float64)
    slope = nn.SURROGATES["atan"].slope
    got = torch.autograd.grad(Loop(CubaLIF().rule, slope)(inputs, states, parameters)[1][0].sum(), inputs)
    wanted = torch.autograd.grad(nn.eager(CubaLIF().rule, slope, inputs, states, parameters)[1][0].sum(), inputs)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("neuron", [LIF(), AdaptiveLIF()], ids=lambda n: n.rule.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_same_bits_for_any_number_of_threads(neuron: Neuron, dtype: torch.dtype) -> None:
    inputs, states, parameters = tensors(neuron, 40, (5, 4001), (4001,), dtype)
    scalar = torch.tensor(0.9, dtype=dtype, requires_grad=True)
    parameters = [scalar, *parameters[1:]]
    results = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        out, end = Loop(neuron.rule, nn.SURROGATES["atan"].slope)(inputs, states, parameters)
        results.append([out, *end, *torch.autograd.grad([out, *end], [*inputs, *states, *parameters],
                                                        [torch.ones_like(t) for t in (out, *end)])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_new_width_or_parameter_compiles_nothing() -> None:
    from snnsim.nn.printed import backward_kernel

    slope = nn.SURROGATES["atan"].slope
    kernel = backward_kernel(LIF().rule, slope, False, frozenset(), frozenset(), "float64")
    for width, decay in ((0.5, 0.9), (0.7, 0.8)):
        x = torch.full((3, 1, 5), 0.4, dtype=torch.float64, requires_grad=True)
        parameters = [torch.tensor(v, dtype=torch.float64) for v in (decay, 1.0)]
        Loop(LIF().rule, slope, width)([x], None, parameters)[0].sum().backward()
    assert len(kernel.signatures) == 1  # type: ignore[attr-defined]


def clashing(v: float, x: float, width: float) -> float:
    return width * v + x


def clashing_call(v: float, x: float, step: float) -> float:
    return step * v + x


def test_a_name_that_the_kernels_use_is_refused() -> None:
    with pytest.raises(ValueError, match="rule 'clash' calls a value 'step', a name that its kernels use: choose another"):
        nn.Neuron(Rule("clash", clashing_call)(step=0.9), dt=1.0)(torch.zeros(1, 1, 1))
    neuron = Rule("clash", clashing)(width=0.9)
    with pytest.raises(ValueError, match="rule 'clash' calls a value 'width', a name that its kernels use: choose another"):
        nn.Neuron(neuron, dt=1.0)(torch.zeros(1, 1, 1))
