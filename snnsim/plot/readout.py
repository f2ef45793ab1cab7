"""How the answer forms: what the readout holds of each class over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snnsim.plot.style import BLUE, GREY, ORANGE, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.engine import Result
    from snnsim.network import Network


@styled
def readout(result: Result, network: Network, sample: int = 0, label: int | None = None) -> Figure:
    """The output's membranes over time; the predicted class is blue, and the true one orange where it is another.

    result: of a run with record=(network.output,). Errors: ValueError when the output was not recorded.
    """
    if network.output not in result.membranes:
        raise ValueError(f"the membranes of {network.output!r} were not recorded: run with record=({network.output!r},)")
    traces = result.membranes[network.output][:, sample].reshape(len(result.membranes[network.output]), -1)
    chosen = int(np.argmax(result.scores[sample]))
    time = (np.arange(len(traces)) + 1.0) * network.time.dt
    figure, axes = panels(9.0, 2.7)
    a = axes[0, 0]
    names = network.classes or tuple(str(i) for i in range(traces.shape[1]))
    for k in range(traces.shape[1]):
        colour, width, over = (BLUE, 2.2, 3) if k == chosen else (ORANGE, 1.8, 3) if k == label else (GREY, 0.8, 2)
        kind = "prediction" if k == chosen else "label" if k == label else None
        a.plot(time, traces[:, k], color=colour, linewidth=width, zorder=over, label=f"{names[k]} ({kind})" if kind else None)
    if traces.shape[1] > 1:
        a.plot([], [], color=GREY, linewidth=0.8, label="other classes")
    a.axhline(0.0, color=GREY, linewidth=0.5)
    of = "the mean of its membrane decides" if network.readout == "membrane" else "its spike count decides"
    a.set_title(f"{network.output}: {of}")
    a.set(xlabel="time (ms)", ylabel="membrane of the class", xlim=(0.0, time[-1]))
    figure.legend(loc="outside upper right", ncols=3)
    return figure
