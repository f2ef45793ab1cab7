"""Does the export spike as the network did: equal spikes of each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnsim.plot.style import BLUE, GREY, ORANGE, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware import MatchReport
    from snnsim.hardware.loihi.check import Quantised


@styled
def match(report: MatchReport | Quantised) -> Figure:
    """A bar for each population: spikes that network and artefact share, and those that only one of them fired."""
    from matplotlib.ticker import PercentFormatter

    layers = report.layers
    if not layers:
        raise ValueError("the match report holds no population that fires: there is nothing to draw")
    figure, axes = panels(9.0, 1.2 + 0.55 * len(layers))
    a = axes[0, 0]
    for row, x in enumerate(layers):
        union = max(x.expected + x.extra, 1)
        equal = x.share
        a.barh(row, equal, height=0.6, color=BLUE, label="in both" if row == 0 else None)
        a.barh(row, x.missing / union, left=equal, height=0.6, color=ORANGE, label="only in the network" if row == 0 else None)
        a.barh(row, x.extra / union, left=equal + x.missing / union, height=0.6, color=GREY,
               label="only in the artefact" if row == 0 else None)
        a.text(0.01, row, f"{count(x.equal)} of {count(union if x.expected + x.extra else 0)} spikes equal", va="center",
               color="white" if equal > 0.35 else "black", fontsize=8)
    a.set(yticks=range(len(layers)), xlim=(0.0, 1.0), xlabel="share of all spikes that either fired")
    a.set_yticklabels([x.name for x in layers])
    a.invert_yaxis()
    a.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    a.spines["left"].set_visible(False)
    a.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", ncols=3)
    return figure
