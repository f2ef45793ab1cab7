"""Which samples a command runs on: event files, or the test set of a data set by its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset, Recording

Data = Annotated[str | None, typer.Option("--data", help="Run on the test set of this name: digits-events or nmnist.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the data set, for nmnist: it holds Train and Test.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only so many samples; the classes take turns.")]


def of_files(files: Sequence[Path]) -> list[Recording]:
    """The recordings in these event files; their labels are not known (-1)."""
    from snnsim.datasets import Recording, read_nmnist
    from snnsim.datasets.nmnist import SENSOR

    recordings = []
    for path in files:
        if path.is_file() and path.suffix != ".bin":
            raise ValueError(f"{path}: event files are read in N-MNIST's format, whose names end in .bin")
        recordings.append(Recording(read_nmnist(path), -1, SENSOR, str(path)))
    return recordings


def load(name: str, root: Path | None, option: str) -> tuple[EventDataset, EventDataset]:
    """The training and the test set of this name; `option` is how the command calls the folder."""
    from snnsim import datasets
    from snnsim.datasets.loading import SETS

    if name not in SETS:
        raise ValueError(f"there is no data set {name!r}: give one of {', '.join(SETS)}")
    if name == "nmnist" and root is None:
        raise ValueError(f"nmnist is not embedded: give the folder that holds its Train and Test with {option}")
    if name == "digits-events" and root is not None:
        raise ValueError(f"digits-events is simulated and needs no files: leave out {option} {root}")
    return datasets.load(name, root=root)


def of_set(name: str, root: Path | None, limit: int | None) -> Sequence[Recording]:
    """The test set of this name, or its first `limit` recordings."""
    _, test = load(name, root, "--root")
    return test if limit is None else test[spread(test.labels, limit)]


def spread(labels: Iterable[int], limit: int) -> list[int]:
    """`limit` places that take the classes in turn, in ascending order: a set that is sorted by class gives all of them."""
    seen: dict[int, int] = {}
    rank = []
    for i, label in enumerate(labels):
        turn = seen[int(label)] = seen.get(int(label), -1) + 1
        rank.append((turn, int(label), i))
    return sorted(i for _, _, i in sorted(rank)[:limit])


def choose(files: Sequence[Path], name: str | None, root: Path | None, limit: int | None) -> Sequence[Recording]:
    """The samples that the options ask for; wrong usage where they ask for none or for both."""
    if bool(files) == bool(name):
        raise typer.BadParameter("give event files, or --data with the name of a data set"
                                 + (", not both" if files else ""))
    if name is None:
        if root is not None:
            raise typer.BadParameter("--root belongs to --data: give both, or event files alone")
        return of_files(files[:limit])
    return of_set(name, root, limit)
