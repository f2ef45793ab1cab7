"""How a recording is cut into parts one after another: by time or by count, so many parts or parts of a size.

Part k holds the events whose value is from edge(k) to below edge(k + 1), edge(k) = start + ceil(k span / parts), where the
value is the event's time, or its index. Whole numbers throughout: every event is in exactly one part, the last one too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.events import Events, whole
from snnsim.datasets.transforms.transform import microseconds


class Cut(NamedTuple):
    """parts that divide `span` from `start` on, in µs (by_time) or in events."""

    by_time: bool
    start: int
    span: int
    parts: int

    def edges(self) -> NDArray[np.int64]:
        """int64, [parts + 1]."""
        return self.start + -(-np.arange(self.parts + 1, dtype=np.int64) * self.span // self.parts)


@dataclass(frozen=True)
class Cutting:
    """Give one of the four.

    bins: so many spans of the same time, from the first event to the last (floor((t - t_0) bins / (t_last - t_0 + 1))).
    window: spans of so many ms from the first event on, as many as it takes; the last one may be cut short.
    event_bins: so many parts of the same number of events, up to one. events: parts of so many events; the last may have fewer.

    Errors: ValueError that names the argument.
    """

    bins: int | None = None
    window: float | None = None
    event_bins: int | None = None
    events: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("bins", "window", "event_bins", "events") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of bins, window, event_bins and events, got " + (", ".join(given) or "none"))
        for name in ("bins", "event_bins", "events"):
            if name in given:
                object.__setattr__(self, name, whole(name, getattr(self, name), 1, 2**31 - 1))
        if self.window is not None:
            microseconds("window", self.window, 1)
            object.__setattr__(self, "window", float(self.window))

    @cached_property
    def how(self) -> tuple[bool, int]:
        """Whether parts are of time, and the µs or events of each, 0 where a number of parts divides the recording."""
        if self.window is not None:
            return True, microseconds("window", self.window, 1)
        return self.bins is not None, self.events or 0

    def cut(self, events: Events) -> Cut:
        """How these events are cut; one part where there is none, or so many as was asked for."""
        count = len(events)
        if self.event_bins is not None:
            return Cut(False, 0, count, self.event_bins)
        if self.events is not None:
            parts = max(1, -(-count // self.events))
            return Cut(False, 0, parts * self.events, parts)
        start, end = (int(events[0]["t"]), int(events[-1]["t"]) + 1) if count else (0, 1)
        if self.bins is not None:
            cut = Cut(True, start, end - start, self.bins)
        else:
            assert self.window is not None
            length = microseconds("window", self.window, 1)
            parts = max(1, -(-(end - start) // length))
            cut = Cut(True, start, parts * length, parts)
        if cut.span * cut.parts + start >= 2**63:
            raise ValueError(f"{cut.parts} parts of {end - start} µs from {start} µs on are too many for 64-bit times")
        return cut
