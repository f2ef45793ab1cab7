"""One look for all pictures: colours that colour-blind readers tell apart, thin frames, room for the data."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, GREEN, PINK, AMBER, SKY, ORANGE)  # Okabe and Ito (2008)
GREY = "#7a7a7a"
MANY = (*COLOURS, "#222222", GREY)  # for what stands side by side in greater number
ON, OFF = BLUE, ORANGE
STYLE: dict[str, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "axes.titlelocation": "left", "xtick.labelsize": 8,
    "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.7, "axes.edgecolor": "#444444", "xtick.major.width": 0.7,
    "ytick.major.width": 0.7, "lines.linewidth": 1.4, "grid.color": "#dddddd", "grid.linewidth": 0.6,
    "figure.constrained_layout.h_pad": 0.06, "figure.constrained_layout.w_pad": 0.06, "svg.hashsalt": "snnsim"}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The drawing function under our style. ImportError that says what to install when matplotlib is missing."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib().rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def matplotlib() -> Any:
    """The matplotlib module, imported when the first picture is drawn."""
    try:
        import matplotlib
    except ImportError:
        raise ImportError('matplotlib is missing: pip install "snnsim[plot]"') from None
    return matplotlib


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, NDArray[Any]]:
    """A figure of this size in inches, and its axes [rows, columns]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def count(n: float) -> str:
    """12,345"""
    return f"{n:,.0f}"
