"""Parameters of a neuron that may be one value for all, or one a neuron."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snnsim.rule import finite


class Each(tuple[Any, ...]):
    """An array as nested tuples, so that neurons that hold one compare and hash as those that hold a number."""

    def __repr__(self) -> str:
        values = np.asarray(self)
        return f"<{' x '.join(map(str, values.shape))} values, {values.min():.4g} .. {values.max():.4g}>"


def each(value: ArrayLike) -> Any:
    """A number as it is, an array as `Each`."""
    return value if np.ndim(value) == 0 else _nested(np.asarray(value, np.float64).tolist())


def positive(name: str, value: ArrayLike, infinite: bool = False) -> None:
    """ValueError that names the argument, unless all of it is above 0; infinity may be allowed."""
    known = np.asarray(value)
    if infinite and known.dtype.kind in "uif" and np.any(known == np.inf):
        value = np.where(known == np.inf, 1.0, known)
    if not finite(name, value, above=0.0).size:
        raise ValueError(f"{name} must hold at least one value, got {value!r}")


def _nested(values: Any) -> Any:
    return Each(_nested(v) for v in values) if isinstance(values, list) else values
