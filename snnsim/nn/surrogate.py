"""Surrogates: what training takes for the derivative of a spike with respect to its margin.

Each is a pure function of (margin x, width w) that is 1/w at x = 0 and has the area 1, so w is one thing for all of
them, the equivalent width: area divided by height, in the unit of the membrane. A wider one lets more neurons learn
from one spike. Only superspike differs, as in its paper: height 1 and area w. The usual sharpness is given with each.

They are traced into kernels like a rule, so they use + - * /, exp and where; the width stays an argument there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from snnsim.rule import exp, finite, replayed, where
from snnsim.rule.purity import arguments
from snnsim.rule.trace import named

LINEAR = 0.1  # ReSTE's |x| up to which its power is replaced by its chord, whose slope is finite


def atan(x: Any, w: Any) -> Any:
    """1 / (w (1 + (pi x / w)^2)); the sharpness alpha of SpikingJelly is 2 / w. Fang et al., ICCV (2021)."""
    u = 3.141592653589793 * x / w
    return 1.0 / (w * (1.0 + u * u))


def sigmoid(x: Any, w: Any) -> Any:
    """alpha p (1 - p) with p = 1 / (1 + exp(-alpha x)), alpha = 4 / w. Zenke and Vogels, Neural Comput. 33 (2021)."""
    a = 4.0 / w
    e = exp(-a * where(x < 0.0, -x, x))  # even in x, so the exponential never overflows
    return a * e / ((1.0 + e) * (1.0 + e))


def triangle(x: Any, w: Any) -> Any:
    """max(0, w - |x|) / w^2. Esser et al., PNAS 113 (2016); Bellec et al., NeurIPS (2018).

    With w = 1 it is "biper": max(0, 2 - 2 |x|), for a sign that jumps by 2. Vargas et al., CVPR (2024)."""
    rest = w - where(x < 0.0, -x, x)
    return where(rest > 0.0, rest, 0.0) / (w * w)


def rectangle(x: Any, w: Any) -> Any:
    """1 / w where |x| < w / 2, else 0. Wu et al., Front. Neurosci. 12 (2018)."""
    return where(where(x < 0.0, -x, x) < 0.5 * w, 1.0 / w, 0.0 * x)


def superspike(x: Any, w: Any) -> Any:
    """1 / (1 + beta |x|)^2, beta = 2 / w; its area is w, not 1. Zenke and Ganguli, Neural Comput. 30 (2018)."""
    u = 1.0 + 2.0 * where(x < 0.0, -x, x) / w
    return 1.0 / (u * u)


def gaussian(x: Any, w: Any) -> Any:
    """exp(-pi (x / w)^2) / w: a normal density with sigma = w / sqrt(2 pi). Yin et al., Nat. Mach. Intell. 3 (2021)."""
    u = x / w
    return exp(-3.141592653589793 * u * u) / w


@dataclass(frozen=True)
class Surrogate:
    """A slope(x, w), pure like a rule's functions, and the width it has unless another is given.

    schedule: what it becomes at a share from 0 to 1 of the training, which `Neuron.anneal` asks for; None where it stays.

    Errors: ValueError or TypeError that names what is not pure; ValueError for a width that is not above 0.
    """

    slope: Callable[..., Any]
    width: float = 1.0
    schedule: Callable[[float], Surrogate] | None = None

    def __post_init__(self) -> None:
        names = arguments(self.slope, "surrogate")
        if len(names) != 2:
            raise ValueError(f"a surrogate takes (margin, width), {self.slope.__name__} takes {names}")
        finite("width", self.width, above=0.0)

    def at(self, share: float) -> Surrogate:
        """The surrogate at this share of the training; it keeps its schedule."""
        return self if self.schedule is None else replace(self.schedule(share), schedule=self.schedule)


def reste(o: float = 3.0, t: float = 1.5, *, anneal: bool = False) -> Surrogate:
    """ReSTE, the rectified straight-through estimator: the derivative of f(x) = sign(x) |x|^(1/o), up to |x| = t.

        g(x) = |x|^(1/o - 1) / o  where 0.1 < |x| <= t;  0.1^(1/o - 1)  where |x| <= 0.1;  0 beyond t

    o: at least 1; 1 is the straight-through estimator, a rectangle, and larger ones come closer to the sign. g has the
    area 2 t^(1/o), for a sign that jumps by 2; for a spike, which jumps by 1, it is g / 2. Here it is scaled to the area 1,
    like all others: g / (2 t^(1/o)), and the width w = 2 t^(1/o) 0.1^(1 - 1/o), which the surrogate has by itself, leaves x as
    in the paper. Another width stretches x, and t and 0.1 with it. So the paper's g / 2 is t^(1/o) times ours
    (1.145 times for o = 3, t = 1.5), a factor that belongs to the learning rate.

    anneal: o rises from 1 to the one given while `fit` trains, as `reste_exponent` says, in sixteenths: each value of o is a
    kernel of its own, which takes a second to compile, once. Wu et al., ICCV (2023).

    Errors: ValueError that names the argument.
    """
    finite("o", o, at_least=1.0)
    finite("t", t, above=LINEAR)
    if anneal:
        return replace(reste(1.0, t), schedule=partial(_annealed, o, t))
    return _reste(float(o), float(t))


def _annealed(o: float, t: float, share: float) -> Surrogate:
    return reste(round(16 * reste_exponent(share, 1.0, o)) / 16, t)


@cache
def _reste(o: float, t: float) -> Surrogate:
    steepest = LINEAR ** (1.0 / o - 1.0)
    own = 2.0 * t ** (1.0 / o) / steepest
    x, w = named("x"), named("w")
    y = where(x < 0.0, -x, x) * own / w
    power = where(y > LINEAR, y, LINEAR) ** (1.0 / o - 1.0) / (o * steepest)
    slope = where(y > t, 0.0, where(y > LINEAR, power, 1.0)) / w
    return Surrogate(replayed(("x", "w"), (slope,)), own)


def reste_exponent(epoch: float, epochs: float, end: float = 3.0) -> float:
    """ReSTE's o in this epoch: 1 + (end - 1) (1 - cos(pi / 2 epoch / epochs)). Wu et al., ICCV (2023)."""
    return 1.0 + (end - 1.0) * (1.0 - math.cos(0.5 * math.pi * epoch / epochs))


SURROGATES = {"atan": Surrogate(atan), "sigmoid": Surrogate(sigmoid), "triangle": Surrogate(triangle),
              "rectangle": Surrogate(rectangle), "superspike": Surrogate(superspike, 0.2),
              "gaussian": Surrogate(gaussian), "biper": Surrogate(triangle), "reste": reste(),
              "reste_annealed": reste(anneal=True)}


def surrogate_of(surrogate: str | Surrogate, width: float | None = None) -> Surrogate:
    """The surrogate of this name, or the one given, with this width if there is one. ValueError that names what is not
    allowed."""
    if isinstance(surrogate, str):
        if surrogate not in SURROGATES:
            raise ValueError(f"surrogate must be one of {', '.join(map(repr, SURROGATES))}, or an "
                             f"snnsim.nn.Surrogate, got {surrogate!r}")
        surrogate = SURROGATES[surrogate]
    if not isinstance(surrogate, Surrogate):
        raise TypeError(f"surrogate must be a name or an snnsim.nn.Surrogate, got {type(surrogate).__name__}")
    if width is None:
        return surrogate
    later = None if surrogate.schedule is None else partial(_of_width, surrogate.schedule, width)
    return Surrogate(surrogate.slope, width, later)


def _of_width(schedule: Callable[[float], Surrogate], width: float, share: float) -> Surrogate:
    return replace(schedule(share), width=width)


def estimating_error(x: Any, o: float, t: float = 1.5) -> float:
    """How far ReSTE's f(x) = sign(x) |x|^(1/o) is from the sign: || sign(x) - f(x) || over a tensor or array. Beyond t f keeps
    its value at t, as its slope is 0 there. Wu et al., ICCV (2023), but for what is beyond t."""
    size = abs(x).clip(0.0, t)
    return math.sqrt(float(((1.0 - size[size > 0.0] ** (1.0 / o)) ** 2).sum()))


def gradient_stability(gradient: Any) -> float:
    """The variance of |g| over a gradient's values, the smaller the more stable. Wu et al., ICCV (2023)."""
    size = abs(gradient)
    return float(((size - size.mean()) ** 2).mean())
