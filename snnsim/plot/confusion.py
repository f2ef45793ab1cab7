"""What was taken for what: labels against predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from snnsim.plot.style import BLUE, ORANGE, count, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERED = 30  # classes up to which each cell shows its number


@styled
def confusion(counts: ArrayLike, classes: Sequence[str] = ()) -> Figure:
    """counts[label, prediction] as a matrix: right answers blue, wrong ones orange, stronger where there are more.

    counts: whole numbers, [classes, classes], as `Evaluation.confusion` gives. Errors: ValueError for another shape.
    """
    from matplotlib.colors import to_rgb

    n = np.asarray(counts)
    if n.ndim != 2 or n.shape[0] != n.shape[1] or not n.size:
        raise ValueError(f"counts must have the shape (classes, classes), got {n.shape}")
    names = list(classes) or [str(i) for i in range(len(n))]
    of_class = np.maximum(n.sum(1, keepdims=True), 1)
    right = np.eye(len(n), dtype=bool)
    worst = max(float((n / of_class)[~right].max(initial=0.0)), 1e-9)
    alpha = np.where(right, 0.85 * n / of_class, np.where(n > 0, 0.25 + 0.5 * n / of_class / worst, 0.0))
    colour = np.where(right[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    side = 1.3 + 0.36 * min(max(len(n), 6), 20)
    figure, axes = panels(side + 0.3, side, 1, 1)
    a = axes[0, 0]
    a.imshow(np.concatenate([colour, alpha[..., None]], 2), interpolation="nearest")
    if len(n) <= NUMBERED:
        for i, j in zip(*np.nonzero(n), strict=True):
            a.text(j, i, count(n[i, j]), ha="center", va="center", fontsize=8,
                   color="white" if i == j and alpha[i, j] > 0.5 else "black")
        a.set(xticks=range(len(n)), yticks=range(len(n)))
        a.set_xticklabels(names, rotation=0 if max(map(len, names)) < 4 else 90)
        a.set_yticklabels(names)
    a.set(xlabel="predicted class", ylabel="true class")
    a.set_title(f"{count(np.trace(n))} of {count(n.sum())} right", loc="center")
    a.spines[:].set_visible(True)
    return figure
