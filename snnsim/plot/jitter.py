"""Errors of a network of pulses against the jitter of their times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snnsim.plot.style import BLUE, GREY, ORANGE, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware.sfq.jitter import JitterRow


@styled
def jitter(rows: Sequence[JitterRow], title: str = "", *, decides: bool = True) -> Figure:
    """The share of wrong spikes and, where the network decides, of wrong decisions, over jitter in ps, with 95 % intervals;
    where none was wrong a triangle marks the end of its interval. ValueError for no row."""
    if not rows:
        raise ValueError("rows must hold at least one")
    figure, axes = panels(6.0, 3.6)
    a = axes[0, 0]
    _line(a, [(r.sigma, r.bit_error, r.bit_low, r.bit_high) for r in rows], BLUE, "spikes")
    if decides:
        _line(a, [(r.sigma, r.wrong_share, r.wrong_low, r.wrong_high) for r in rows], ORANGE, "decisions")
    a.set(yscale="log", xlabel="jitter of each pulse (ps, one sigma)", ylabel="share that is wrong", title=title)
    a.set_xlim(left=0)
    a.grid(True, axis="y")
    if any(r.wrong_spikes == 0 or (decides and r.wrong == 0) for r in rows):
        a.plot([], [], linestyle="none", marker="v", markersize=5, color=GREY, markerfacecolor="none",
               label="none wrong: end of the interval")
    a.legend(loc="lower right")
    return figure


def _line(a: Any, points: Sequence[tuple[float, float, float, float]], colour: str, label: str) -> None:
    some = [p for p in points if p[1] > 0]
    a.errorbar([s for s, *_ in some], [y for _, y, *_ in some], marker="o", markersize=4, capsize=2, linewidth=1.2,
               color=colour, label=label, yerr=([y - low for _, y, low, _ in some], [high - y for _, y, _, high in some]))
    none = [p for p in points if p[1] == 0]
    a.plot([s for s, *_ in none], [high for *_, high in none], linestyle="none", marker="v", markersize=5, color=colour,
           markerfacecolor="none")
