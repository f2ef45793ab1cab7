"""Layers in whole numbers, trained as Loihi computes them: weights, biases, decays and membranes are those of the executor.

A weight w becomes 64 m 2**exponent with a mantissa m that hardware holds, in the unit of v, of which `scale` make one of w:

    integer   m = [w scale / (64 2**exponent step)] step, within -256 .. 256 - step;  step = 2**(9 - bits)
    fixed     the same with an exponent that is learned, one a layer                     QFX: arXiv 2401.17544
    power     m = sign(s) 2**[t], with s and t learned, never 0                          DenseShift: Li et al., ICCV (2023)
    ternary   m = sign(w) M where |w| > 0.7 mean |w|, else 0; M: their mean              Li, Zhang, Liu (2016)

[ ] rounds, and its derivative is taken as 1. Training in the hardware's own time and numbers, and these forms for mantissas
of so many bits, are our own reading of the papers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from snnsim.neurons import LoihiLIF
from snnsim.neurons.loihi import ALIGN
from snnsim.nn.neuron import Neuron
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.sequential import Stateful
from snnsim.rule import finite, one_of

Weights = Literal["integer", "fixed", "power", "ternary"]
WEIGHTS: tuple[Weights, ...] = ("integer", "fixed", "power", "ternary")
TOP, BOTTOM = 7, 1  # powers of two among the mantissas of weights of both signs, which are even
EXPONENTS = 0.0, 7.0
BIASES = 4095.0
RATE = 8.0  # logarithms are kept divided by this, so that steps which suit weights move them, too


def rounded(x: torch.Tensor) -> torch.Tensor:
    """x to the nearest whole number, exactly; the gradient passes as it is."""
    return x.detach().round() + (x - x.detach())


class Whole(torch.nn.Module):
    """Whole weights instead of floats, for torch.nn.utils.parametrize. weights: one of the forms above; bits: 2 .. 8, without
    meaning for ternary ones; scale, exponent: as above.

    Errors: ValueError that names the argument.
    """

    def __init__(self, weights: Weights, bits: int, scale: float, exponent: int) -> None:
        super().__init__()
        one_of("weights", weights, WEIGHTS)
        if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
            raise ValueError(f"bits must be a whole number in 2 .. 8, got {bits!r}")
        self.weights, self.bits, self.scale = weights, bits, float(finite("scale", scale, above=0.0))
        self.exponent = float(exponent)
        if weights == "fixed":
            self.learned = torch.nn.Parameter(torch.tensor(float(exponent) / RATE))

    def forward(self, w: torch.Tensor, t: torch.Tensor | None = None) -> torch.Tensor:
        if t is not None:
            p = rounded((RATE * t).clamp(max(BOTTOM, TOP + 1 - 2 ** (self.bits - 1)), TOP))
            sign = torch.where(w.detach() >= 0, 1.0, -1.0).to(w.dtype) + (w - w.detach())
            return sign * torch.exp2(p.detach()) * _by_power(p) * self.unit
        if self.weights == "ternary":
            return self.ternary(w)
        step = 2.0 ** (9 - self.bits)
        e = rounded((RATE * self.learned).clamp(*EXPONENTS)) if self.weights == "fixed" else torch.tensor(self.exponent)
        unit = float(ALIGN * step * 2.0 ** float(e.detach()))
        x = w * (self.scale / unit) / _by_power(e)
        return rounded(x.clamp(-256.0 / step, 256.0 / step - 1.0)) * unit * _by_power(e)

    @property
    def unit(self) -> float:
        """What a mantissa of 1 is."""
        return float(ALIGN * 2.0**self.exponent)

    def ternary(self, w: torch.Tensor) -> torch.Tensor:
        size = w.detach().abs()
        kept = size > 0.7 * size.mean()
        mean = float(size[kept].mean()) if bool(kept.any()) else 0.0
        m = min(254.0, max(2.0, 2.0 * round(mean * self.scale / self.unit / 2.0)))
        return (torch.sign(w.detach()) * kept).to(w.dtype) * (m * self.unit) + self.scale * (w - w.detach())

    def right_inverse(self, w: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """What is trained, of a weight to start from: itself; for powers of two the signed weight and its logarithm."""
        if self.weights != "power":
            return w
        return w.clone(), torch.log2((w.abs() * self.scale / self.unit).clamp(min=2.0**BOTTOM)) / RATE

    def extra_repr(self) -> str:
        return f"{self.weights}, {self.bits} bits, exponent {self.exponent:g}"


def _by_power(e: torch.Tensor) -> torch.Tensor:
    """1, with the derivative of 2**e over 2**e."""
    return 1.0 + math.log(2.0) * (e - e.detach())


class WholeNeuron(Neuron):
    """Neurons of Loihi whose bias is trained: whole multiples of 64, which start at the neuron's own. The Parameter `raw_bias`
    is what is added to it, in the unit of the weights, of which one is 1 / `unit` of v. Where they never fire, out is v in that
    unit.

    neuron: LoihiLIF; unit: above 0; shape: of the bias. options: those of Neuron, but learn. Errors: those of Neuron.
    """

    def __init__(self, neuron: LoihiLIF, unit: float, shape: Sequence[int] = (), **options: Any) -> None:
        if not isinstance(neuron, LoihiLIF):
            raise TypeError(f"WholeNeuron takes a LoihiLIF, got {neuron!r}")
        self.unit = float(finite("unit", unit, above=0.0))
        super().__init__(neuron, learn={"bias": "free"}, shape=shape, **options)

    def step_parameters(self) -> dict[str, torch.Tensor]:
        values = super().step_parameters()
        raw = self.get_parameter("raw_bias")
        bias = (self._start["bias"].to(raw.device, raw.dtype) + raw / self.unit) / ALIGN
        return {**values, "bias": rounded(bias.clamp(-BIASES, BIASES)) * ALIGN}

    def forward(self, x: Any, state: Sequence[torch.Tensor] | None = None) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        out, after = super().forward(x, state)
        return (out if self.rule.fires else out * self.unit), after


class WholeRecurrent(WholeNeuron, Recurrent):
    """Neurons of Loihi that hear their own spikes one step later, with whole weights where `weight` is given the form `Whole`,
    and a bias that is trained as that of `WholeNeuron`. features: N; options: those of both, but learn and bias."""

    def __init__(self, neuron: LoihiLIF, unit: float, features: int, **options: Any) -> None:
        super().__init__(neuron, unit, (features,), features=features, **options)


class Hop(Stateful):
    """What arrives a step later, or `steps` of them: forward(x, state=None) -> (y, state), y[t] = x[t - steps], 0 before.

    state: the last inputs, [steps, B, ...]. Errors: ValueError.
    """

    def __init__(self, steps: int = 1) -> None:
        super().__init__()
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a positive whole number, got {steps!r}")
        self.steps = steps

    def forward(self, x: torch.Tensor, state: Sequence[torch.Tensor] | None = None) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        if not isinstance(x, torch.Tensor) or x.ndim < 3:
            raise ValueError(f"Hop takes a tensor [T, B, ...], got {type(x).__name__}")
        before = x.new_zeros(self.steps, *x.shape[1:]) if state is None else state[0]
        if before.shape != (self.steps, *x.shape[1:]):
            raise ValueError(f"state of Hop must be a tensor of shape {(self.steps, *x.shape[1:])}, got {tuple(before.shape)}")
        whole = torch.cat([before, x])
        return whole[: len(x)], (whole[len(x):],)

    def extra_repr(self) -> str:
        return str(self.steps)
