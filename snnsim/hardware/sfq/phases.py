"""When what happens within a tick, in ps: slots of sources, the decision, the period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.model import SFQNetwork

Integers = NDArray[np.int64]
SPACING = 8  # ps


@dataclass(frozen=True, eq=False)
class Phases:
    """Of each layer: starts and widths, of the slots of its sources, [sources]; ticks: when it decides; all in whole ps from
    the start of its phase.

        widths[i] = spacing max(1, largest |w_ij| over j  *  largest burst of i);       pulse k of i -> j: starts[i] + k spacing
        tick = sum of the widths + settle;    period = largest tick + hold

    The layers are a pipeline: layer l works on tick t from (t + l) period on. hold: from a decision until its pulse can be
    read.
    """

    spacing: int
    settle: int
    hold: int
    starts: tuple[Integers, ...]
    widths: tuple[Integers, ...]
    ticks: tuple[int, ...]

    @property
    def period(self) -> int:
        return max(self.ticks) + self.hold

    @property
    def latency(self) -> int:
        """From the start of a tick's input to the last layer's decision."""
        return (len(self.ticks) - 1) * self.period + self.ticks[-1]


def phases(network: SFQNetwork, *, spacing: int = SPACING, settle: int = 0, hold: int = 0) -> Phases:
    """The schedule of a network. Errors: ValueError that names the argument."""
    for name, value, least in (("spacing", spacing, 2), ("settle", settle, 0), ("hold", hold, 0)):
        whole(name, value, least)
    starts, widths, ticks = [], [], []
    for layer, most in zip(network.layers, bursts(network), strict=True):
        width = spacing * np.maximum(1, np.abs(layer.weight).max(0) * most)
        widths.append(width)
        starts.append(np.cumsum(width) - width)
        ticks.append(int(width.sum()) + settle)
    return Phases(spacing, settle, hold, tuple(starts), tuple(widths), tuple(ticks))


def bursts(network: SFQNetwork) -> tuple[int, ...]:
    """Most pulses that a source of each layer sends in a tick."""
    return (network.burst, *(1 for _ in network.layers[1:]))


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of ps, such as Verilog's time is here. ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be whole ps, at least {least}, got {value!r}")
    return int(value)
