"""How the commands talk: plain sentences and tables on stdout, complaints on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDE = 120  # characters, where the output goes to a file or a pipe


def _console(stderr: bool = False) -> Console:
    # Paths and sentences hold brackets and numbers: nothing in them is markup.
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=None if terminal else WIDE)


def say(text: str = "", style: str | None = None) -> None:
    """Print a line or a few."""
    _console().print(text, style=style, soft_wrap=True)


def complain(sentence: str) -> None:
    """Print an error on stderr."""
    _console(stderr=True).print(f"error: {sentence}", style="red", soft_wrap=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table; a column whose heading starts with > holds numbers. Without any heading there is no line of them."""
    t = Table(title=title or None, title_justify="left", title_style="bold",
              box=None, pad_edge=False, padding=(0, 2, 0, 0),
              show_header=any(headings))
    for h in headings:
        t.add_column(h.removeprefix(">"), justify="right" if h.startswith(">") else "left", header_style="dim",
                     overflow="fold")
    for row in rows:
        t.add_row(*row)
    _console().print(t)


def dump(value: Any) -> None:
    """Print JSON, for other programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
