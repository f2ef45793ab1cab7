"""Progress bars for long work: on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """One line of progress: `advance` moves it, `say` changes the text beside it."""

    def __init__(self, progress: Progress, total: int | None, text: str) -> None:
        self._progress, self._task = progress, progress.add_task(text, total=total)

    def advance(self, by: int = 1) -> None:
        self._progress.advance(self._task, by)

    def say(self, text: str) -> None:
        self._progress.update(self._task, description=text)


@contextmanager
def bar(total: int | None, text: str, show: bool | None = None) -> Iterator[Bar]:
    """A bar on stderr; show=None shows it when stderr is a terminal. total: None where nobody knows."""
    show = sys.stderr.isatty() if show is None else show
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        yield Bar(progress, total, text)
