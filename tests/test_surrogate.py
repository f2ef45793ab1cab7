"""Surrogates: area, height and width; the derivative of the known primitive; SpikingJelly's where it can be imported."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.neurons import LIF
from snnsim.nn.surrogate import surrogate_of
from snnsim.rule import where

# what each is the derivative of, with width w
PRIMITIVES: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "atan": lambda x, w: torch.atan(math.pi * x / w) / math.pi,
    "sigmoid": lambda x, w: torch.sigmoid(4.0 * x / w),
    "triangle": lambda x, w: x.sign() * (x.abs() / w - x * x / (2 * w * w)).where(x.abs() < w, torch.tensor(0.5)),
    "rectangle": lambda x, w: (x / w).clamp(-0.5, 0.5),
    "superspike": lambda x, w: x / (1.0 + 2.0 * x.abs() / w),
    "gaussian": lambda x, w: torch.erf(math.sqrt(math.pi) * x / w) / 2.0,
    "biper": lambda x, w: PRIMITIVES["triangle"](x, w),
    "reste": lambda x, w: reste_forward(x, w, 3.0, 1.5),
    "reste_annealed": lambda x, w: PRIMITIVES["rectangle"](x, w),
}
BOUNDED = {"triangle": 1.0, "biper": 1.0, "rectangle": 0.5, "reste": 1.5 / (2.0 * (1.5 / 0.1) ** (1 / 3) * 0.1),
           "reste_annealed": 0.5}  # where they end, over their width


def reste_forward(x: torch.Tensor, w: float, o: float, t: float) -> torch.Tensor:
    """f(x) = sign(x) |x|^(1/o), its chord up to 0.1 and flat from t on; x stretched to the width w, f to a jump of 1."""
    own = 2.0 * t ** (1 / o) * 0.1 ** (1 - 1 / o)
    y = (x * own / w).abs()
    power = torch.where(y < 0.1, y * 0.1 ** (1 / o - 1), y.clamp(0.1, t) ** (1 / o))
    return x.sign() * power / (2.0 * t ** (1 / o))


def test_every_surrogate_is_checked() -> None:
    assert PRIMITIVES.keys() == nn.SURROGATES.keys()


@pytest.mark.parametrize("name", nn.SURROGATES)
@pytest.mark.parametrize("w", [0.2, 1.0, 3.0])
def test_it_is_the_derivative_of_its_primitive(name: str, w: float) -> None:
    x = torch.linspace(-4.0, 4.0, 998, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(PRIMITIVES[name](x, w).sum(), x)
    got = nn.SURROGATES[name].slope(x.detach(), w)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
    assert got.numpy().tolist() == pytest.approx(nn.SURROGATES[name].slope(x.detach().numpy(), w).tolist(), rel=1e-14)


@pytest.mark.parametrize("name", nn.SURROGATES)
@pytest.mark.parametrize("w", [0.5, 1.0, 2.0])
def test_width_is_area_over_height(name: str, w: float) -> None:
    slope = nn.SURROGATES[name].slope
    u = np.linspace(-1.0, 1.0, 2_000_001)[1:-1]
    x = 2.0 * w * u / (1.0 - u * u)  # long tails: the whole axis
    area = np.trapezoid(slope(x, w), x)
    height = float(slope(np.zeros(1), w)[0])
    assert height == pytest.approx(1.0 if name == "superspike" else 1.0 / w)
    assert area == pytest.approx(w * height, rel=2e-5)


@pytest.mark.parametrize("name", nn.SURROGATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_stays_finite_far_from_the_threshold(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([-1e15, -1e3, 0.0, 1e3, 1e15], dtype=dtype)
    assert torch.isfinite(nn.SURROGATES[name].slope(x, 0.01)).all()


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("w", [0.2, 1.0, 3.0])
def test_it_is_zero_outside_its_support(name: str, w: float) -> None:
    edge = BOUNDED[name] * w
    x = torch.tensor([-1e9, -3.0 * edge, -1.001 * edge, 1.001 * edge, 3.0 * edge, 1e9], dtype=torch.float64)
    assert not nn.SURROGATES[name].slope(x, w).any()
    assert (nn.SURROGATES[name].slope(torch.tensor([-0.999, 0.0, 0.999], dtype=torch.float64) * edge, w) > 0).all()


@pytest.mark.parametrize(("name", "peer", "alpha"), [("atan", "ATan", 2.0), ("sigmoid", "Sigmoid", 4.0)])
def test_it_equals_spikingjelly(name: str, peer: str, alpha: float) -> None:
    surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate", exc_type=ImportError)
    x = torch.linspace(-3.0, 3.0, 301, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(getattr(surrogate, peer)(alpha=alpha)(x).sum(), x)
    torch.testing.assert_close(nn.SURROGATES[name].slope(x.detach(), 1.0), expected)


def own(x: float, w: float) -> float:
    return where(x * x < w, 1.0 / w, 0.0)


def test_a_users_own_surrogate() -> None:
    neuron = nn.Neuron(LIF(), surrogate=nn.Surrogate(own, 2.0), dt=1.0)
    x = torch.full((1, 1, 1), 0.5, requires_grad=True)
    neuron(x)[0].sum().backward()
    assert x.grad is not None and x.grad.item() == 0.5
    with pytest.raises(ValueError, match="uses the name 'math'"):
        nn.Surrogate(lambda x, w: math.exp(x))
    with pytest.raises(ValueError, match=r"takes \(margin, width\)"):
        nn.Surrogate(lambda x: x)


@pytest.mark.parametrize(("given", "sentence"), [
    (lambda: nn.Neuron(LIF(), surrogate="arctan"), "surrogate must be one of 'atan', 'sigmoid', 'triangle'"),
    (lambda: nn.Neuron(LIF(), width=0.0), "width must be above 0"),
    (lambda: nn.Neuron(LIF(), surrogate=own), "surrogate must be a name or an snnsim.nn.Surrogate, got function")])
def test_an_impossible_surrogate_is_refused(given: Callable[[], object], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        given()


def test_width_replaces_the_default() -> None:
    assert surrogate_of("superspike").width == 0.2 and surrogate_of("superspike", 3.0).width == 3.0
