"""A figure as a file, or as the text of an SVG picture."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from snnsim.files import replacing
from snnsim.plot.style import STYLE, matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write the figure to a .png, .svg or .pdf file. ValueError for any other name; the file appears whole or not."""
    kind = kind_of(path)
    with replacing(path) as temporary, matplotlib().rc_context(STYLE):
        figure.savefig(temporary, format=kind, dpi=dpi)


def kind_of(path: str | os.PathLike[str]) -> str:
    """The format of a picture of this name; ValueError when it is none that can be written."""
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise ValueError(f"cannot write a picture to {path}: its name must end in "
                         + ", ".join(f".{f}" for f in FORMATS))
    return kind


def svg(figure: Figure) -> str:
    """The figure as SVG with a transparent ground and letters as outlines: the same bytes for the same data."""
    text = io.StringIO()
    with matplotlib().rc_context(STYLE):
        figure.savefig(text, format="svg", transparent=True, dpi=150, metadata={"Date": None})
    return text.getvalue()
