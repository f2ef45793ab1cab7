"""Surrogates: what training takes for the derivative of a spike with respect to its margin.

Each is a pure function of (margin x, width w) that is 1/w at x = 0 and has the area 1, so w is one thing for all of
them, the equivalent width: area divided by height, in the unit of the membrane. A wider one lets more neurons learn
from one spike. Only superspike differs, as in its paper: height 1 and area w. The usual sharpness is given with each.

They are traced into kernels like a rule, so they use + - * /, exp and where; the width stays an argument there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snnsim.rule import exp, finite, where
from snnsim.rule.purity import arguments


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
    """max(0, w - |x|) / w^2. Esser et al., PNAS 113 (2016); Bellec et al., NeurIPS (2018)."""
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

    Errors: ValueError or TypeError that names what is not pure; ValueError for a width that is not above 0.
    """

    slope: Callable[..., Any]
    width: float = 1.0

    def __post_init__(self) -> None:
        names = arguments(self.slope, "surrogate")
        if len(names) != 2:
            raise ValueError(f"a surrogate takes (margin, width), {self.slope.__name__} takes {names}")
        finite("width", self.width, above=0.0)


SURROGATES = {"atan": Surrogate(atan), "sigmoid": Surrogate(sigmoid), "triangle": Surrogate(triangle),
              "rectangle": Surrogate(rectangle), "superspike": Surrogate(superspike, 0.2),
              "gaussian": Surrogate(gaussian)}


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
    return surrogate if width is None else Surrogate(surrogate.slope, width)
