"""Decisions of neurons as hardware makes them: v >= theta, above 0, one theta for a population.

    fires at v <= th             the neuron of -v: its weights and bias negated, firing at -v >= -th
    fires always, or never       no weights, and a bias of theta, or none
    fires at v >= th > theta / 8     weights and bias times theta / th
    below, and hard reset        the neuron of w = v + c, c = theta - th
    soft reset by r, not th      the neuron of w = v + c, c = theta - th, in units in which r is theta

w starts at c and has c (1 - decay) more bias, so that v rests at 0 as before. Its hard reset is one of v to -c, not to 0: each
neuron has a synapse with itself, decay c, which brings decay (v + c) back a step later, before anything is decided again. So
the decisions are the same, up to the rounding of weights, decays and biases; those of folded norms are `neurons.folded`.
The method is our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.maps import Conv2d, Map, Sparse, weighing
from snnsim.neurons.folded import FOLDED

Floats = NDArray[np.float64]
SUFFIX = "_folded"
LEAST = 1.0 / 8.0  # of theta: a threshold below it would take 3 of the bits of the other neurons' weights


@dataclass(frozen=True, eq=False)
class Held:
    """What weights and bias of each neuron are multiplied by (`rows`), what is added to v in its new unit (`lift`), and who
    fires always. theta: of all. What has no number each has shape ()."""

    theta: float
    rows: Floats
    lift: Floats
    always: NDArray[np.bool_]

    def note(self) -> str:
        """What was written otherwise, or nothing."""
        found = {"as their negatives, since they fire below their threshold": self.rows < 0.0,
                 "lifted, with a start, a bias and, for a hard reset, a synapse of their own": self.lift != 0.0,
                 "to fire always": self.always, "never to fire": (self.rows == 0.0) & ~self.always}
        return ", ".join(f"{int(np.sum(which))} neurons are held {how}" for how, which in found.items() if np.any(which))


def held(where: str, given: Mapping[str, Any], shape: tuple[int, ...], soft: bool, currents: bool, largest: float) -> Held:
    """How hardware holds the decisions of a population with these parameters.

    soft: its reset; currents: whether its synapses have a memory; largest: of its weights. Errors: ValueError that begins with
    `where` and says what cannot be held.
    """
    names = FOLDED if "sign" in given else ()
    at, sign, constant = (np.broadcast_to(given[k], shape) for k in names) if names else (
        np.broadcast_to(given["theta"], shape), np.ones(shape), np.zeros(shape))
    turn = np.sign(sign)
    th = turn * (at - np.divide(constant, sign, out=np.zeros(shape), where=sign != 0.0))
    moving, always = turn != 0.0, (turn == 0.0) & (constant >= 0.0)
    if not moving.any():
        return Held(1.0, np.zeros(shape), np.zeros(()), always)
    size = np.broadcast_to(given["theta"], shape) if soft else th
    if soft and np.any(turn < 0.0):
        raise ValueError(f"{where} has a soft reset, and {int((turn < 0).sum())} of its neurons fire below their threshold, as "
                         "a norm with a negative factor makes them: each spike would have to raise their negatives, and "
                         "hardware of this kind lowers them. Train with reset='hard'")
    if (soft or currents) and size[moving].min() <= 0.0:
        raise ValueError(f"{where} has a threshold of {size[moving].min():g}: hardware of this kind needs one above 0, "
                         + ("which its soft reset subtracts" if soft else "as its currents last longer than the one step in "
                            "which a synapse could make up for its reset"))
    if soft:
        theta = float(size[moving].max())
        rows = np.where(moving, theta / np.where(moving, size, 1.0), 0.0)
        return Held(theta, rows, np.where(moving, theta - th * rows, 0.0), always)
    theta = float(np.abs(th[moving]).max())
    theta = theta if th[moving].min() > 0.0 else max(theta, largest)  # what is lifted may have any, and weights need room
    low = moving & (th < LEAST * theta) & (not currents)
    if len(shape) == 3 and not currents and _differ(np.where(moving & ~low, th, theta)):
        low = moving  # a convolution has one weight for all of a channel
    rows = turn * theta / np.where(moving & ~low, th, theta)
    return Held(theta, rows, np.where(low, theta - th, 0.0), always)


def _differ(values: Floats) -> bool:
    """Whether they do within a channel."""
    rows = values.reshape(len(values), -1)
    return bool(np.any(rows != rows[:, :1]))


def rows_times(m: Map, rows: Floats, name: str) -> Map:
    """The map with the weights of each target multiplied; of a convolution, each channel's."""
    weight = m.arrays()["weight"].astype(np.float64)
    if isinstance(m, Sparse):
        return weighing(m, weight * rows.ravel()[np.asarray(m.targets)])
    each = rows.reshape(len(weight), -1)
    if np.any(each != each[:, :1]):
        raise ValueError(f"projection {name}: the thresholds of its targets differ within a channel, or their directions do, "
                         "and a convolution has one weight for all of it: use one threshold a channel")
    return weighing(m, weight * each[:, 0].reshape(-1, *[1] * (weight.ndim - 1)))


def own_synapses(weight: Floats) -> Map:
    """A synapse of each neuron with itself. weight: [*population]."""
    if weight.ndim == 3 and not _differ(weight):
        return Conv2d(np.diag(weight[:, 0, 0])[:, :, None, None])
    n = weight.size
    return Sparse(np.arange(n + 1), np.arange(n), weight.ravel(), (n, n))
