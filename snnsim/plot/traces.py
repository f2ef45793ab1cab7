"""What neurons of a population went through: a state over time, with their spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnsim.plot.style import MANY, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.engine import Recording

SHOWN = 6


@styled
def traces(recording: Recording, population: str, neurons: Sequence[int] | None = None, unit: str = "") -> Figure:
    """A panel for each neuron: the traced state after each step, and a line upwards where it fired.

    neurons: of those traced; by default the first six. unit: of the state, for the label: "mV" for neurons in mV.
    Errors: ValueError that names a population or a neuron that was not traced.
    """
    if population not in recording.traces:
        raise ValueError(f"no state of {population!r} was traced, only of {list(recording.traces)}")
    traced = recording.traces[population]
    known = traced.neuron.tolist()
    chosen = known[:SHOWN] if neurons is None else list(neurons)
    wrong = [n for n in chosen if n not in known]
    if wrong or not chosen:
        listed = ", ".join(map(str, known[:12])) + (", ..." if len(known) > 12 else "")
        raise ValueError(f"neurons must be some of those of {population!r} that were traced ({listed}), got {chosen}")
    time = (recording.start + 1.0 + np.arange(recording.steps)) * recording.dt
    trains = recording.spikes.get(population)
    figure, axes = panels(9.0, 0.75 + 1.1 * len(chosen), len(chosen), 1, sharex=True)
    for i, (n, a) in enumerate(zip(chosen, axes[:, 0], strict=True)):
        v, colour = traced.values[:, known.index(n)], MANY[i % len(MANY)]
        a.plot(time, v, color=colour, linewidth=1.0, marker="." if len(v) < 100 else None, rasterized=len(v) > 20_000)
        title = f"{population}, neuron {n}"
        if trains is not None:
            fired = trains.step[trains.neuron == n] - recording.start
            finite = v[np.isfinite(v)]  # a membrane that has diverged still shows its spikes
            low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
            foot = np.nan_to_num(v[fired], nan=low, posinf=high, neginf=low)
            a.vlines(time[fired], foot, high + 0.45 * (high - low or 1.0), color=colour, linewidth=1.2)
            title += f": {count(len(fired))} spike{'' if len(fired) == 1 else 's'}"
        a.set_title(title)
    if len(chosen) < len(known):
        axes[0, 0].set_title(f"{len(chosen)} of {count(len(known))} traced neurons", loc="right")
    axes[-1, 0].set(xlabel="time (ms)", xlim=(recording.start * recording.dt, time[-1]))
    figure.supylabel(f"{'membrane ' if traced.state == 'v' else ''}{traced.state}{f' ({unit})' if unit else ''}", fontsize=9)
    return figure
