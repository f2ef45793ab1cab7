"""How a few neurons came to fire: their membranes over time, with the threshold and the spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnsim.plot.style import COLOURS, GREY, ORANGE, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.engine import Result
    from snnsim.network import Network

SHOWN = 4


@styled
def membranes(result: Result, network: Network, population: str, neurons: Sequence[int] | None = None,
              sample: int = 0) -> Figure:
    """A panel for each neuron: its last state after each step, its threshold theta, a line upwards where it fired.

    result: of a run with record=(population,). neurons: C indices; by default four, from the one that fired most in
    this sample downwards. Errors: ValueError that names what was not recorded, or does not exist.
    """
    if population not in result.membranes:
        raise ValueError(f"the membranes of {population!r} were not recorded: run with record=({population!r},)")
    p = network.population(population)
    traces = result.membranes[population][:, sample].reshape(len(result.membranes[population]), -1)
    spikes = result.spikes[population]
    mine = spikes.sample == sample
    step, neuron = spikes.step[mine], spikes.neuron[mine]
    if neurons is None:
        neurons = _telling(np.bincount(neuron, minlength=p.size), traces.max(0))
    wrong = [n for n in neurons if not 0 <= n < p.size]
    if wrong or not len(neurons):
        raise ValueError(f"neurons of {population!r} are numbered from 0 to {p.size - 1}, got {list(neurons)}")
    dt = network.time.dt
    time = (np.arange(len(traces)) + 1.0) * dt
    state = p.rule.states[-1] if p.rule else "state"
    drawn = "theta" in p.parameters and state == "v"  # of an adaptive neuron the last state is its adaptation
    theta = np.broadcast_to(p.parameters["theta"], p.shape).ravel() if drawn else None
    figure, axes = panels(9.0, 0.75 + 1.1 * len(neurons), len(neurons), 1, sharex=True)
    for i, (n, a) in enumerate(zip(neurons, axes[:, 0], strict=True)):
        fired = step[neuron == n]
        v, colour = traces[:, n], COLOURS[i % len(COLOURS)]
        a.plot(time, v, color=colour, marker=".", markersize=4)
        top = float(v.max())
        if theta is not None:
            a.axhline(float(theta[n]), color=ORANGE, linestyle="--", linewidth=1.0)
            a.annotate("threshold", (1.005, float(theta[n])), xycoords=a.get_yaxis_transform(), ha="left",
                       va="center", fontsize=7, color=ORANGE)
            top = max(top, float(theta[n]))
        low = min(0.0, float(v.min()))
        peak = top + 0.45 * (top - low)
        a.vlines((fired + 1.0) * dt, v[fired], peak, color=colour, linewidth=1.4)
        a.set_title(f"neuron {n}{_place(n, p.shape)}: {count(len(fired))} spike{'' if len(fired) == 1 else 's'}")
        a.set(ylabel=f"{'membrane ' if state == 'v' else ''}{state}", ylim=(low - 0.12 * (peak - low), peak))
        a.axhline(0.0, color=GREY, linewidth=0.5)
    axes[-1, 0].set(xlabel="time (ms)", xlim=(0.0, time[-1] + 0.5 * dt))
    figure.align_ylabels()
    return figure


def _telling(fired: np.ndarray, highest: np.ndarray) -> list[int]:
    """Neurons worth a look: spread from the one that fired most to one that fired once; ties to the highest membrane."""
    order = np.lexsort((-highest, -fired))
    active = int(np.count_nonzero(fired))
    if active <= SHOWN:
        return [int(n) for n in order[:SHOWN]]
    return [int(order[round(i * (active - 1) / (SHOWN - 1))]) for i in range(SHOWN)]


def _place(neuron: int, shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return ""
    channel, row, column = np.unravel_index(neuron, shape)
    return f" (channel {channel}, row {row}, column {column})"
