"""Time surfaces: how long ago each pixel fired, as something that fades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.transforms.cutting import Cutting
from snnsim.datasets.transforms.representation import Representation
from snnsim.kernel import jit
from snnsim.rule import finite

SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class TimeSurface(Representation):
    """The exponential time surface at the end of each part of a recording, float32 [T, polarities, height, width].

    out[k, p, y, x] = exp(-(edge(k + 1) - t) / tau), t being the pixel's last event of this polarity before edge(k + 1); 0
    where there was none, or where it is below the smallest normal float32. tau: in ms. bins or window: see `Cutting`.
    Source: Lagorce, Orchard, Galluppi, Shi, Benosman, HOTS, IEEE TPAMI (2016), there around single events.
    """

    tau: float
    bins: int | None = None
    window: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", float(finite("tau", self.tau, above=0.0)))
        if (self.bins is None) == (self.window is None):
            raise ValueError(f"give either bins or window, got bins={self.bins!r} and window={self.window!r}")
        cutting = self.cutting
        object.__setattr__(self, "bins", cutting.bins)
        object.__setattr__(self, "window", cutting.window)

    @property
    def cutting(self) -> Cutting:
        return Cutting(bins=self.bins, window=self.window)

    @property
    def type(self) -> np.dtype[Any]:
        return np.dtype("float32")

    @property
    def steps(self) -> int | None:
        return self.bins

    def shape(self, events: Events, sensor: Sensor) -> tuple[int, int, int, int]:
        return (self.cutting.cut(events).parts, *sensor.shape)

    def fill(self, events: Events, sensor: Sensor, out: NDArray[Any], at: int = 0) -> int:
        _, start, span, _ = self.cutting.cut(events)
        state = np.zeros(sensor.size)
        return int(_fade(events, start, span, 1000.0 * self.tau, sensor.height, sensor.width, sensor.polarities, state, out,
                         at))


@jit(nogil=True)
def _fade(events: Events, start: int, span: int, tau: float, height: int, width: int, polarities: int,
          state: NDArray[np.float64], out: NDArray[np.float32], at: int) -> int:
    """state: [features], zeros; it fades from edge to edge in float64, whose errors no float32 shows. tau: µs.

    out: [parts, samples, features], of which out[:, at] is written.
    """
    parts = len(out)
    i, last, before = 0, np.int64(0), start
    for k in range(parts):
        edge = start + ((k + 1) * span + parts - 1) // parts
        fading = np.exp((before - edge) / tau)
        for f in range(len(state)):
            state[f] *= fading
        while i < len(events):
            e = events[i]
            t = e["t"]
            if t >= edge:
                break
            if t < last or e["x"] >= width or e["y"] >= height or e["p"] >= polarities:
                return i
            last = t
            state[(np.int64(e["p"]) * height + e["y"]) * width + e["x"]] = np.exp((t - edge) / tau)
            i += 1
        for f in range(len(state)):
            out[k, at, f] = state[f] if state[f] >= SMALLEST else 0.0
        before = edge
    return i if i < len(events) else -1
