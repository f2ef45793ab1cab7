"""Margins of a circuit of junctions, the windows of its pulses, and its yield."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snnsim.plot.style import BLUE, GREEN, GREY, ORANGE, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware.sfq.margins import Margin, Share, Timing


@styled
def margins(found: Sequence[Margin], title: str = "", *, shares: Sequence[Share] = (),
            windows: Sequence[Timing] = ()) -> Figure:
    """A bar for each class of elements, from its smallest factor to its largest, in percent; an end without a line is where
    no further was tried. windows: the same of pulses' times. shares: yield against spread, with intervals, a line for each
    temperature. ValueError for no margin."""
    if not found:
        raise ValueError("margins must hold at least one")
    figure, axes = panels(6.0, 0.9 + 0.32 * len(found) + (0.9 + 0.32 * len(windows) if windows else 0) + (2.6 if shares else 0),
                          1 + bool(windows) + bool(shares), 1, gridspec_kw={"height_ratios": [
                              0.9 + 0.32 * len(found), *([0.9 + 0.32 * len(windows)] if windows else []),
                              *([2.6] if shares else [])]})
    rows = list(axes[:, 0])
    _bars(rows.pop(0), [(f"{m.name} ({m.elements:,})", 100 * (m.low - 1), 100 * (m.high - 1), m.bounded) for m in found], BLUE,
          "%", "all of a class at once (%)", title)
    if windows:
        _bars(rows.pop(0), [(f"{w.source} ({w.pulses} pulses)", -w.earlier, w.later, w.bounded) for w in windows], GREEN, "ps",
              "all pulses of a source at once (ps)", "")
    if shares:
        _yield(rows[0], shares)
    return figure


def _bars(a: Any, bars: Sequence[tuple[str, float, float, tuple[bool, bool]]], colour: str, unit: str, label: str,
          title: str) -> None:
    for k, (_, low, high, bounds) in enumerate(bars):
        a.barh(k, high - low, left=low, height=0.55, color=colour, alpha=0.75)
        for x, bounded, side in ((low, bounds[0], "right"), (high, bounds[1], "left")):
            if bounded:
                a.plot((x, x), (k - 0.38, k + 0.38), color=colour, linewidth=1.6)
            a.annotate(f"{x:+.0f} {unit}", (x, k), (-4 if side == "right" else 4, 0), textcoords="offset points", ha=side,
                       va="center", fontsize=8)
    a.axvline(0, color=GREY, linewidth=0.8)
    widest = max(max(abs(low), abs(high)) for _, low, high, _ in bars)
    a.set(yticks=range(len(bars)), yticklabels=[name for name, *_ in bars], xlabel=label,
          xlim=(-1.3 * widest - 1, 1.3 * widest + 1), title=title)
    a.invert_yaxis()


def _yield(a: Any, shares: Sequence[Share]) -> None:
    aside = 0.8 * max(s.sigma for s in shares)  # percent, so that intervals do not hide each other
    for n, kelvin in enumerate(dict.fromkeys(s.kelvin for s in shares)):
        mine = sorted((s for s in shares if s.kelvin == kelvin), key=lambda s: s.sigma)
        share = [100 * s.right / s.runs for s in mine]
        a.errorbar([100 * s.sigma + n * aside for s in mine], share, marker="o", markersize=4, capsize=2, linewidth=1.2, color=(
            BLUE, ORANGE, GREEN)[n % 3], label=f"noise at {kelvin:g} K" if kelvin else "no noise", linestyle="--" if n else "-",
            yerr=([y - 100 * s.low for s, y in zip(mine, share, strict=True)],
                  [100 * s.high - y for s, y in zip(mine, share, strict=True)]))
    a.set(xlabel="spread of each junction, inductor and resistor (%, one sigma)", ylabel="runs that work (%)", ylim=(0, 104),
          title=f"yield, {shares[0].runs} runs each, 95 % intervals")
    a.set_xlim(left=0 if min(s.sigma for s in shares) > 0 else None)
    a.legend()
