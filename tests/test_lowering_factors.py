"""Factors that a Network has no place for end in its weights: those of average pools, and of rules that scale their input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import lower
from snnsim.network import TimeBase
from snnsim.neurons import IF, LIF, late, leak
from snnsim.rule import Neuron
from tests import oracle
from tests.theirs import dyadic_

SHARED = leak.BY_TAU["shared", "hard"]
HALF = LIF(tau=2.0, decay="euler")


def same(net: nn.Sequential, shape: tuple[int, ...], rules: list[str], low: int = -6) -> list[str]:
    """The net in float64 and the oracle on its lowered network, spike for spike, on multiples of 1/8; the notes."""
    net = net.double().eval()
    nn.set_dt(net, 1.0)
    dyadic_(net, low=low, high=low + 18)
    counts = np.random.default_rng(0).poisson(0.5, (10, 3, *shape)).astype(np.float64)
    network = lower(net, time=TimeBase(1.0), input_shape=shape)
    assert [p.rule.name for p in network.populations[1:] if p.rule] == rules
    with torch.no_grad():
        out = net(torch.from_numpy(counts))[0].numpy()
    assert 0 < out.sum() < out.size
    for b in range(3):
        np.testing.assert_array_equal(out[:, b], oracle.run(network, counts[:, b]).spikes[network.output])
    return list(network.notes)


@pytest.mark.parametrize("layers", [
    (nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.Neuron(HALF)),  # after a bias, which a mean leaves as it is
    (nn.AvgPool2d(2), nn.Conv2d(2, 3, 3), nn.Neuron(HALF)), (nn.AvgPool2d((2, 4), 1), nn.Conv2d(2, 3, 1), nn.Neuron(HALF)),
    (nn.AvgPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3), nn.Neuron(HALF)),
    (nn.SumPool2d(2), nn.Conv2d(2, 3, 3, bias=False), nn.AvgPool2d(2), nn.SumPool2d(1), nn.Flatten(), nn.Linear(3, 5),
     nn.Neuron(HALF))])
def test_an_average_pool_is_a_sum_with_its_factor_in_the_weights(layers: tuple[torch.nn.Module, ...]) -> None:
    notes = same(nn.Sequential(*layers), (2, 8, 8), ["lif_soft"], -8 if len(layers) == 7 else -6)
    assert len(notes) == sum(isinstance(m, nn.AvgPool2d) for m in layers)


def test_a_batch_norm_after_an_average_pool_and_a_linear_map() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Neuron(IF())).double()
    nn.set_dt(net, 1.0)
    counts = torch.from_numpy(np.random.default_rng(0).poisson(0.5, (10, 3, 2, 8, 8)).astype(np.float64))
    for _ in range(3):
        net(counts)
    net.eval()
    network = lower(net, time=TimeBase(1.0), input_shape=(2, 8, 8))
    with torch.no_grad():
        out = net(counts)[0].numpy()
    np.testing.assert_array_equal(out[:, 0], oracle.run(network, counts[:, 0].numpy()).spikes[network.output])


@pytest.mark.parametrize("tau", [np.asarray(2.0), np.array([2.0, 4.0, 8.0]).reshape(3, 1, 1)])
def test_a_shared_input_is_divided_in_the_weights_of_its_channel(tau: np.ndarray) -> None:
    neurons: Neuron = SHARED(tau=tau, theta=0.25)
    notes = same(nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.Neuron(neurons)), (2, 8, 8), ["lif_hard"])
    assert notes[1:] == ["layer 2 (Neuron): the factor of its input folded into layer 0 (Conv2d): equal up to rounding in "
                         "float64", "layer 2 (Neuron): its rule lif_tau_shared_hard written as lif_hard"]


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 2, 3)])
def test_one_that_differs_within_a_channel_stays_what_it_is(shape: tuple[int, ...]) -> None:
    """Also where it has as many values as there are channels, but along another axis."""
    tau = np.where(np.arange(np.prod(shape)) % 2, 2.0, 4.0).reshape(shape)
    net = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Neuron(SHARED(tau=tau, theta=0.25)))
    assert same(net, (2, 3, 4), ["lif_tau_shared_hard"]) == []


def test_above_is_at_the_next_number_of_the_dtype_of_the_weights() -> None:
    for dtype in (torch.float32, torch.float64):
        net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.SumPool2d(2),
                            nn.Neuron(late.LEAKY["hard"](decay=0.5, theta=0.7), dt=1.0))
        theta = lower(net.to(dtype), time=TimeBase(1.0), input_shape=(1, 2, 2)).populations[1].parameters["theta"]
        assert str(theta.dtype) == str(dtype).removeprefix("torch.")
        assert theta > theta.dtype.type(0.7) == np.nextafter(theta, theta.dtype.type(0.0))


def test_a_factor_without_weights_is_refused() -> None:
    for layers, sentence in (
            ((nn.AvgPool2d(2), nn.Neuron(IF())), r"layer 1 \(Neuron\) cannot be lowered: no Linear .* factor 0\.25"),
            ((nn.MaxPool2d(2), nn.Conv2d(2, 2, 1), nn.Neuron(IF())), r"layer 0 \(MaxPool2d\) cannot be lowered")):
        net = nn.Sequential(*layers)
        nn.set_dt(net, 1.0)
        with pytest.raises(ValueError, match=sentence):
            lower(net, time=TimeBase(1.0), input_shape=(2, 4, 4))


@pytest.mark.parametrize("name", ["AvgPool2d", "MaxPool2d"])
def test_pools_are_those_of_torch_at_every_step(name: str) -> None:
    x = torch.rand(5, 3, 2, 7, 9)
    for options in ((2,), (2, 1), ((3, 2), (1, 2))):
        got = getattr(nn, name)(*options)(x)
        torch.testing.assert_close(got, torch.stack([getattr(torch.nn, name)(*options)(step) for step in x]))
    with pytest.raises(ValueError, match=rf"{name} takes a tensor \[T, B, C, H, W\], got \(5, 3, 2\)"):
        getattr(nn, name)(2)(x[..., 0, 0])
    with pytest.raises(ValueError, match=r"AvgPool2d of \(8, 8\) does not fit"):
        nn.AvgPool2d(8)(x)


def test_a_clipped_parameter_stays_from_0_to_1() -> None:
    neuron = nn.Neuron(HALF, learn={"decay": "clipped"}, dt=1.0)
    for raw, value, slope in ((0.25, 0.75, 1.0), (0.6, 1.0, 0.0), (-0.6, 0.0, 0.0)):
        neuron.raw_decay.data.fill_(raw)
        decay = neuron.step_parameters()["decay"]
        (gradient,) = torch.autograd.grad(decay, neuron.raw_decay)
        assert (decay.item(), gradient.item()) == (value, slope)
