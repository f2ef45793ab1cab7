"""Margins of a circuit of junctions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snnsim.plot.style import BLUE, GREY, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware.sfq.margins import Margin


@styled
def margins(found: Sequence[Margin], title: str = "") -> Figure:
    """A bar for each class of elements, from its smallest factor to its largest, in percent; an end without a line is where
    no further was tried. ValueError for none."""
    if not found:
        raise ValueError("margins must hold at least one")
    figure, axes = panels(6.0, 0.9 + 0.32 * len(found))
    a = axes[0, 0]
    for k, m in enumerate(found):
        low, high = 100 * (m.low - 1), 100 * (m.high - 1)
        a.barh(k, high - low, left=low, height=0.55, color=BLUE, alpha=0.75)
        for x, bounded, side in ((low, m.bounded[0], "right"), (high, m.bounded[1], "left")):
            if bounded:
                a.plot((x, x), (k - 0.38, k + 0.38), color=BLUE, linewidth=1.6)
            a.annotate(f"{x:+.0f} %", (x, k), (-4 if side == "right" else 4, 0), textcoords="offset points", ha=side,
                       va="center", fontsize=8)
    a.axvline(0, color=GREY, linewidth=0.8)
    widest = max(100 * max(abs(m.low - 1), abs(m.high - 1)) for m in found)
    a.set(yticks=range(len(found)), yticklabels=[f"{m.name} ({m.elements:,})" for m in found],
          xlabel="all of a class at once (%)", xlim=(-1.3 * widest - 1, 1.3 * widest + 1), title=title)
    a.invert_yaxis()
    return figure
