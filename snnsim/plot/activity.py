"""How busy each layer is: spikes of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from snnsim.plot.style import COLOURS, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.network import Network


@styled
def activity(counts: Mapping[str, ArrayLike], network: Network) -> Figure:
    """A bar for each population that fires: mean spikes of a sample, with the range of nine samples in ten.

    counts: spikes of each sample by population, [B], as `Result.counts` gives. Errors: ValueError when nothing fires.
    """
    firing = [p for p in network.populations if p.rule is not None and p.rule.fires and p.name in counts]
    if not firing:
        raise ValueError("no population of this network fires: there is no activity to draw")
    figure, axes = panels(9.0, 1.1 + 0.55 * len(firing))
    a = axes[0, 0]
    for row, p in enumerate(firing):
        n = np.asarray(counts[p.name])
        mean, (low, high) = float(n.mean()), np.quantile(n, (0.05, 0.95)).tolist()
        a.barh(row, mean, height=0.6, color=COLOURS[row % len(COLOURS)])
        a.plot([low, high], [row, row], color="black", linewidth=1.0, marker="|", markersize=6)
        a.annotate(f"{count(mean)} spikes, {mean / p.size:.2g} a neuron", (max(mean, high), row), (6, 0),
                   textcoords="offset points", va="center", fontsize=8)
    a.set(yticks=range(len(firing)), xlabel="spikes of a sample (line: nine samples in ten)")
    a.set_yticklabels([p.name for p in firing])
    a.margins(x=0.35)
    a.set_xlim(left=0.0)
    a.xaxis.set_major_formatter("{x:,.0f}")
    a.invert_yaxis()
    a.tick_params(axis="y", length=0)
    return figure
