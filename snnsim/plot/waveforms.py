"""Waveforms of a Josephson circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snnsim.plot.style import GREY, MANY, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.hardware.sfq.junctions import Waveforms

SHOWN = 12
LABELS = {"p": ("phase / 2 pi", 1 / (2 * np.pi)), "v": ("V (mV)", 1e3), "i": ("I (uA)", 1e6)}


@styled
def waveforms(waveforms: Waveforms) -> Figure:
    """A panel for each printed quantity, at most 12: phases in turns, mV or uA; lines stand where a printed junction switched.

    Errors: ValueError when nothing was printed.
    """
    w = waveforms
    if not w.names:
        raise ValueError(f"{w.circuit} printed nothing: give .print lines, or prints")
    shown = w.names[:SHOWN]
    figure, axes = panels(9.0, 0.75 + 1.05 * len(shown), len(shown), 1, sharex=True)
    for k, (name, kind, a) in enumerate(zip(shown, w.kinds, axes[:, 0], strict=False)):
        label, factor = LABELS[kind]
        a.plot(1e12 * w.time, factor * w.values[:, k], color=MANY[k % len(MANY)], linewidth=1.0,
               rasterized=len(w.time) > 20_000)
        title, junction = name, name[2:-1]
        if kind == "p" and junction in w.switches.junctions:
            times = w.switches[junction]
            for t in times if len(times) <= 200 else ():
                a.axvline(1e12 * t, color=GREY, linewidth=0.6, zorder=0)
            title += f": switched {count(len(times))} time{'' if len(times) == 1 else 's'}"
        a.set_title(title)
        a.set_ylabel(label)
    if len(shown) < len(w.names):
        axes[0, 0].set_title(f"{len(shown)} of {count(len(w.names))} quantities", loc="right")
    axes[-1, 0].set(xlabel="time (ps)", xlim=(1e12 * w.time[0], 1e12 * w.time[-1]) if len(w.time) > 1 else None)
    return figure
