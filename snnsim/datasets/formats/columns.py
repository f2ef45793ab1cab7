"""Names that columns of events go by, in headers of text and in arrays; what their times are measured in.

    t   t, ts, time, times, timestamp, timestamps; with _s, _ms, _us or _ns behind it (or [us] and the like), its unit
    x   x, xs, col, column;   y   y, ys, row
    p   p, ps, pol, polarity, polarities, on

Upper case is as lower case. Times without a unit are µs where they are whole numbers, and seconds where they have fractions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NAMES = {"x": ("x", "xs", "col", "column"), "y": ("y", "ys", "row"),
         "p": ("p", "ps", "pol", "polarity", "polarities", "on")}
TIME = re.compile(r"(?:t|ts|times?|timestamps?)(?:[ _]*[\[(]?(s|ms|us|µs|ns)[\])]?)?")
UNITS = {"s": 6, "ms": 3, "us": 0, "µs": 0, "ns": -3}  # powers of ten of a µs


def meanings(names: Sequence[str]) -> tuple[dict[str, int], int | None] | None:
    """Which of the names are t, x, y and p, and the power of ten that makes µs of t, where its name says; None where one is
    missing or meant twice."""
    found: dict[str, int] = {}
    unit: int | None = None
    for i, name in enumerate(names):
        plain = name.strip().lower()
        if time := TIME.fullmatch(plain):
            meant, unit = "t", UNITS.get(time[1] or "")
        else:
            meant = next((m for m, known in NAMES.items() if plain in known), "")
        if meant and meant in found:
            return None
        if meant:
            found[meant] = i
    return (found, unit) if len(found) == 4 else None
