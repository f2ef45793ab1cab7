"""The surrogates of SpikingJelly and snnTorch as ours: the same slope, up to rounding.

Slopes that are not among `SURROGATES` stand here, with what their width w is.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from snnsim.nn.surrogate import SURROGATES, Surrogate
from snnsim.rule import exp, where


def soft_sign(x: Any, w: Any) -> Any:
    """1 / (w (1 + 2 |x| / w)^2)."""
    u = 1.0 + 2.0 * where(x < 0.0, -x, x) / w
    return 1.0 / (w * u * u)


def two_sided(x: Any, w: Any) -> Any:
    """exp(-2 |x| / w) / w."""
    return exp(-2.0 * where(x < 0.0, -x, x) / w) / w


def hyperbola(x: Any, w: Any) -> Any:
    """w / (1 + |x|)^2: w is its height."""
    u = 1.0 + where(x < 0.0, -x, x)
    return w / (u * u)


def inverse(x: Any, w: Any) -> Any:
    """1 / (w + |x|), which has no area."""
    return 1.0 / (w + where(x < 0.0, -x, x))


def capped_inverse(x: Any, w: Any) -> Any:
    """1 / max(w, |x|), which has no area."""
    a = where(x < 0.0, -x, x)
    return 1.0 / where(a > w, a, w)


def constant(x: Any, w: Any) -> Any:
    """w everywhere."""
    return 0.0 * x + w


def upper(x: Any, w: Any) -> Any:
    """w from the threshold on, 0 below."""
    return where(x >= 0.0, w, 0.0 * x)


def turned(x: Any, w: Any) -> Any:
    """w below the threshold, -w from it on; at the threshold, where margins of snnTorch's neurons are -1e-30, -w too."""
    return where(x < -2e-30, w, 0.0 * x - w)


def escape(x: Any, w: Any) -> Any:
    """w exp(-|x - 1|)."""
    u = x - 1.0
    return w * exp(-where(u < 0.0, -u, u))


def far(x: Any, w: Any) -> Any:
    """1 / (1 + 2 x / w)^2 where x > 1, else 0."""
    u = 1.0 + 2.0 * where(x > 1.0, x, 1.0) / w
    return where(x > 1.0, 1.0 / (u * u), 0.0 * x)


Made = Callable[..., Surrogate | None]  # None where the values ask for a slope that is none of ours


def _named(name: str, width: float) -> Surrogate:
    return Surrogate(SURROGATES[name].slope, width)


SPIKINGJELLY: dict[str, Made] = {  # by class, called with its values
    "ATan": lambda alpha: _named("atan", 2.0 / alpha),
    "Sigmoid": lambda alpha: _named("sigmoid", 4.0 / alpha),
    "PiecewiseQuadratic": lambda alpha: _named("triangle", 1.0 / alpha),
    "Rect": lambda alpha: _named("rectangle", 1.0 / alpha),
    "Erf": lambda alpha: _named("gaussian", math.sqrt(math.pi) / alpha),
    "SoftSign": lambda alpha: Surrogate(soft_sign, 2.0 / alpha),
    "PiecewiseExp": lambda alpha: Surrogate(two_sided, 2.0 / alpha),
    "SuperSpike": lambda alpha: Surrogate(hyperbola, alpha),
    "NonzeroSignLogAbs": lambda alpha: Surrogate(inverse, 1.0 / alpha),
    "FakeNumericalGradient": lambda alpha: Surrogate(capped_inverse, 1.0 / alpha),
    "PiecewiseLeakyReLU": lambda w, c: _named("rectangle", 2.0 * w) if c == 0 else None,
    "LeakyKReLU": lambda leak, k: Surrogate(upper, k) if leak == 0 else None,
    "DeterministicPass": lambda: Surrogate(constant, 1.0),
}
SNNTORCH: dict[str, Made] = {  # by function, called with its arguments
    "atan": lambda alpha: _named("atan", 2.0 / alpha),
    "sigmoid": lambda slope: _named("sigmoid", 4.0 / slope),
    "fast_sigmoid": lambda slope: _named("superspike", 2.0 / slope),
    "triangular": lambda threshold: Surrogate(turned, threshold),
    "straight_through_estimator": lambda: Surrogate(constant, 1.0),
    "heaviside": lambda: Surrogate(upper, 1.0),
    "spike_rate_escape": lambda beta, slope: Surrogate(escape, slope) if beta == 1 else None,
    "SFS": lambda slope, B: Surrogate(far, 2.0 / slope) if B == 1 else None,
}


def of_spikingjelly(function: Any) -> Surrogate:
    """The surrogate of a SpikingJelly neuron. ValueError that names what has no equal here."""
    from spikingjelly.activation_based import surrogate

    name = type(function).__name__
    if getattr(surrogate, name, None) is not type(function):
        raise _refusal(name, SPIKINGJELLY)
    if not function.spiking:
        raise ValueError(f"its surrogate {name} has spiking=False, so that it gives no spikes: set spiking=True")
    return _made(name, dict(function._sg_params), SPIKINGJELLY)


def of_snntorch(function: Any) -> Surrogate:
    """The surrogate of a snnTorch neuron, recognised by the function of snntorch.surrogate that made it."""
    qualified = getattr(function, "__qualname__", type(function).__name__)
    name = qualified.removesuffix(".<locals>.inner")
    if getattr(function, "__module__", "") != "snntorch.surrogate" or name == qualified:
        raise _refusal(qualified, SNNTORCH)
    return _made(name, dict(inspect.getclosurevars(function).nonlocals), SNNTORCH)


def _made(name: str, values: dict[str, Any], table: dict[str, Made]) -> Surrogate:
    if name not in table:
        raise _refusal(name, table)
    made = table[name](**{k: float(v) for k, v in values.items()})
    if made is None:
        given = ", ".join(f"{k}={v}" for k, v in values.items())
        raise ValueError(f"its surrogate {name} with {given} has no equal here: only {CONDITIONS[name]}")
    return made


CONDITIONS = {"PiecewiseLeakyReLU": "c=0", "LeakyKReLU": "leak=0", "spike_rate_escape": "beta=1", "SFS": "B=1"}


def _refusal(name: str, table: dict[str, Made]) -> ValueError:
    return ValueError(f"its surrogate {name} has no equal here: give it one of {', '.join(table)}, or convert the net with "
                      "one of them and replace `surrogate` of the neurons by an snnsim.nn.Surrogate of your own")
