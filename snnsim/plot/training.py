"""How the training went: loss, accuracy and firing rates, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnsim.plot.style import BLUE, COLOURS, GREY, ORANGE, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.train import History


@styled
def training(history: History, layers: Sequence[str] = ()) -> Figure:
    """Three panels over the epochs: loss and accuracy of training and validation, spikes of each hidden layer.

    A dotted line marks the chosen epoch. layers: names of the hidden layers. Errors: ValueError for an empty history.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = history.epochs
    if not epochs:
        raise ValueError("the history holds no epoch: there is nothing to draw")
    x = np.arange(1, len(epochs) + 1)
    figure, axes = panels(9.0, 2.9, 1, 3)
    loss, accuracy, rates = axes[0]
    validated = not np.isnan(epochs[0].validation_accuracy)
    for a, name in ((loss, "loss"), (accuracy, "accuracy")):
        a.plot(x, [getattr(e, name) for e in epochs], color=BLUE, marker=".", label="training")
        if validated:
            a.plot(x, [getattr(e, f"validation_{name}") for e in epochs], color=ORANGE, marker=".", label="validation")
    loss.set(title="Loss", ylabel="cross-entropy (nats)", ylim=(0.0, None))
    accuracy.set(title="Accuracy", ylabel="correct", ylim=(None, 1.005))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    accuracy.legend(loc="best")
    for i, rate in enumerate(zip(*[e.rates for e in epochs], strict=True)):
        name = layers[i] if i < len(layers) else f"hidden layer {i + 1}"
        rates.plot(x, np.array(rate) * 100.0, color=COLOURS[i % len(COLOURS)], marker=".", label=name)
    rates.set(title="Firing", ylabel="neurons that fire in a step (%)", ylim=(0.0, None))
    if epochs[0].rates:
        rates.legend(loc="best")
    for a in (loss, accuracy, rates):
        a.axvline(history.chosen % len(epochs) + 1, color=GREY, linestyle=":", linewidth=1.0)
        a.set_xlabel("epoch (dotted: chosen)")
        a.xaxis.set_major_locator(MaxNLocator(integer=True))
        a.grid(axis="y")
        a.set_axisbelow(True)
    return figure
