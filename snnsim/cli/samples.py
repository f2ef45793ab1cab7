"""Which samples a command runs on: event files, or the test set of a data set by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset, Recording

Data = Annotated[str | None, typer.Option("--data", help="Run on the test set of this name, such as digits-events or "
                                                           "nmnist: see snnsim data list.")]
Root = Annotated[Path | None, typer.Option("--root", help="The folder of the data set's files, packed or unpacked: see "
                                                            "snnsim data list.")]
Options = Annotated[list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help=(
    "An option of the data set, for nmnist, and for event files, too: stabilised=true; for spoken-digits: speaker=george, "
    "channels=700; for most, made-up recordings: synthetic=true. Give it again for more."))]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only so many samples; the classes take turns.")]


def of_files(files: Sequence[Path], stabilised: bool = False) -> list[Recording]:
    """The recordings in these event files, of any format; their labels are not known (-1). stabilised: of N-MNIST alone."""
    from snnsim.datasets import Recording, read, read_nmnist
    from snnsim.datasets.nmnist import MOTION, SENSOR, checked

    if checked(stabilised):
        return [Recording(MOTION.undone(read_nmnist(path), SENSOR), -1, SENSOR, str(path)) for path in files]
    return [read(path) for path in files]


def load(name: str, root: Path | None, option: str, options: Mapping[str, Any] | None = None) -> tuple[EventDataset,
                                                                                                      EventDataset]:
    """The training and the test set of this name; `option` is how the command calls the folder."""
    from snnsim import datasets
    from snnsim.datasets.loading import SETS

    if (options or {}).get("synthetic") and name in SETS:
        return datasets.load(name, root=root, **(options or {}))
    if name not in SETS:
        raise ValueError(f"there is no data set {name!r}: give one of {', '.join(SETS)}")
    if name == "nmnist" and root is None:
        raise ValueError(f"nmnist is not embedded: give the folder that holds its Train and Test with {option}")
    if name == "digits-events" and root is not None:
        raise ValueError(f"digits-events is simulated and needs no files: leave out {option} {root}")
    if name == "spoken-digits" and root is None:
        raise ValueError(f"spoken-digits is not embedded: give where it is with {option}; {datasets.spoken.HELP}")
    if name != "digits-events" and root is None:
        wanted = f"; {datasets.CATALOGUE[name].wanted()}" if name in datasets.CATALOGUE else ""
        raise ValueError(f"{name} is not embedded: give its folder with {option}{wanted}")
    return datasets.load(name, root=root, **(options or {}))


def parsed(options: Sequence[str] | None) -> dict[str, Any]:
    """NAME=VALUE by name: the value as TOML has it (700, 0.5, true), or else as a string."""
    import tomllib

    found: dict[str, Any] = {}
    for text in options or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--option takes NAME=VALUE, got {text!r}")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def of_set(name: str, root: Path | None, limit: int | None, options: Sequence[str] | None = None) -> Sequence[Recording]:
    """The test set of this name, or its first `limit` recordings."""
    _, test = load(name, root, "--root", parsed(options))
    return test if limit is None else test[spread(test.labels, limit)]


def spread(labels: Iterable[int], limit: int) -> list[int]:
    """`limit` places that take the classes in turn, in ascending order: a set that is sorted by class gives all of them."""
    seen: dict[int, int] = {}
    rank = []
    for i, label in enumerate(labels):
        turn = seen[int(label)] = seen.get(int(label), -1) + 1
        rank.append((turn, int(label), i))
    return sorted(i for _, _, i in sorted(rank)[:limit])


def choose(files: Sequence[Path], name: str | None, root: Path | None, limit: int | None,
           options: Sequence[str] | None = None) -> Sequence[Recording]:
    """The samples that the options ask for; wrong usage where they ask for none or for both."""
    if bool(files) == bool(name):
        raise typer.BadParameter("give event files, or --data with the name of a data set"
                                 + (", not both" if files else ""))
    if name is None:
        given = parsed(options)
        if root is not None or given.keys() - {"stabilised"}:
            raise typer.BadParameter(f"{'--root' if root is not None else '--option'} belongs to --data: give both, or event "
                                     "files alone")
        return of_files(files[:limit], **given)
    return of_set(name, root, limit, options)
