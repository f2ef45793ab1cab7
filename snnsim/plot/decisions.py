"""A network of junctions at work: pulses, clocks, the currents of its somas and what leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.plot.style import BLUE, GREEN, GREY, ORANGE, PINK, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware.sfq.analog.deck import Laid
    from snnsim.hardware.sfq.junctions import Waveforms


@styled
def decisions(laid: Laid, waves: Waveforms, title: str = "") -> Figure:
    """Rows over time: when each input's pulses came and each layer's clock; the current of each soma's threshold junction, with
    its slips; pulses of the outputs. waves: a run of the deck with its own .print lines."""
    layers, clock = laid.network.layers, laid.clock
    somas = [name for names in laid.somas for name in names]
    figure, axes = panels(9.0, 2.4 + 1.0 * len(somas), len(somas) + 2, 1, sharex=True,
                          gridspec_kw={"height_ratios": [1.3, *[1.0] * len(somas), 0.7]})
    a = axes[0, 0]
    ticks = clock.ticks(len(laid.pulses))
    rows = [(f"input {j}", times, BLUE) for j, times in enumerate(laid.given)]
    rows += [(f"clock {n}", ticks + n * clock.phase, GREY) for n in range(len(layers) + 1)]
    _pulses(a, rows)
    names = [f"{layer.name}[{i}]" for layer in layers for i in range(layer.size)]
    for name, soma, row in zip(names, somas, axes[1:-1, 0], strict=True):
        row.plot(1e12 * waves.time, 1e6 * waves[f"I({soma})"], color=GREEN, linewidth=0.9)
        for t in 1e12 * waves.switches[soma]:
            row.axvline(t, color=ORANGE, linewidth=1.0, zorder=0)
        row.set_title(f"{name}: current of its junction, slips in orange")
        row.set_ylabel("uA")
    _pulses(axes[-1, 0], [(f"output {i}", 1e12 * waves.switches[name], PINK) for i, name in enumerate(laid.outputs)])
    axes[-1, 0].set(xlabel="time (ps)", xlim=(0, 1e12 * waves.time[-1]))
    for row in axes[:, 0]:
        for t in ticks:
            row.axvline(t, color="#dddddd", linewidth=0.6, zorder=-1)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _pulses(a: Any, rows: list[tuple[str, Any, str]]) -> None:
    a.eventplot([np.asarray(times) for _, times, _ in rows], colors=[c for _, _, c in rows], lineoffsets=range(len(rows)),
                linelengths=0.7, linewidths=1.6)
    a.set(yticks=range(len(rows)), yticklabels=[name for name, _, _ in rows], ylim=(len(rows) - 0.4, -0.6))
