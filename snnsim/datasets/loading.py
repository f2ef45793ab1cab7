"""Data sets by name, for recipes and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from snnsim.datasets.catalogue.entries import ENTRIES, Entry, Parts
from snnsim.datasets.catalogue.finding import parts as parts_in
from snnsim.datasets.catalogue.finding import unpacked
from snnsim.datasets.catalogue.twins import twin
from snnsim.datasets.cochlea import Cochlea
from snnsim.datasets.dataset import EventDataset, split
from snnsim.datasets.digits import digits_events
from snnsim.datasets.eventstore.manifest import is_store
from snnsim.datasets.eventstore.reading import open_store
from snnsim.datasets.nmnist import nmnist
from snnsim.datasets.pooling import option as pooled_option
from snnsim.datasets.spoken import HELP, spoken_digits, synthetic_spoken
from snnsim.rule import one_of

Root = str | os.PathLike[str] | None
Pair = tuple[EventDataset, EventDataset]
HELD = 0.1  # of a set without an official split


def load(name: str, root: Root = None, seed: int = 0, **options: Any) -> Pair:
    """The training and the test set of this name; `snnsim data list` shows what there is and what must be downloaded.

    root: the folder of the set's files, packed as they are released, unpacked, or as tonic downloads them; archives are
    unpacked there once. Only names and labels are read here, a recording when it is asked for. seed: of what is random about a
    set: the camera and the split of digits-events, the hair cells of the cochlea, what is held back, twins.

    "digits-events": scikit-learn's handwritten digits seen by a simulated event camera; needs no files.
    "nmnist": option stabilised, whether the camera's motion is undone.
    "spoken-digits": spoken digits through a cochlea; `root` is an .npz or a folder, see `spoken_digits`. options: speaker,
    who is left out for the test, voices, whether the cochlea adapts to each speaker, and what `Cochlea` takes, such as
    channels.
    "shd", "ssc", "dvs-gesture", "n-cars": in the official split. ssc has the option test="valid". "cifar10-dvs",
    "n-caltech101": no official split, option held=0.1, the share of each class that is held back.
    "store": `root` is a folder of the event stores train and test, or one event store, with held.

    Options of all but spoken-digits: pool, the size of a coarser sensor, one number or [height, width]; polarities=1 for one;
    every=n, of so many events of its pixel one is kept: see `Pool`. Of all but digits-events and store: synthetic=True, a
    twin that needs no files, with (but for spoken-digits) each=4, training recordings of a class, and events, how many a
    recording has.

    Errors: ValueError for an unknown name or option, or a root that is missing or not needed; FileNotFoundError that says what
    to download; what the set's reader raises.
    """
    one_of("name", name, SETS)
    allowed = OPTIONS.get(name, ())
    for option in options:
        if option not in allowed:
            raise ValueError(f"{name} has no option {option!r}: " + (f"allowed are {', '.join(allowed)}" if allowed else
                                                                     "it takes none"))
    return SETS[name](root, seed, **options)


def _pooled(sets: Pair, pool: Any = None, polarities: int | None = None, every: int = 1) -> Pair:
    train, test = (pooled_option(pool, polarities, every, s) for s in sets)
    return train, test


def _digits(root: Root, seed: int, **options: Any) -> Pair:
    if root is not None:
        raise ValueError(f"digits-events is simulated and needs no files: leave root out, got {str(root)!r}")
    return _pooled(digits_events(seed), **options)


def _nmnist(root: Root, seed: int, stabilised: bool = False, **options: Any) -> Pair:
    def read(folder: str | os.PathLike[str]) -> Parts:
        there = unpacked(ENTRIES["nmnist"], Path(folder)) is not None
        try:
            return dict(zip(("train", "test"), nmnist(folder, stabilised), strict=True))
        except (FileNotFoundError, ValueError) as e:
            if there:
                raise
            raise type(e)(f"{e}; {ENTRIES['nmnist'].wanted()}") from None

    if options.get("synthetic") and stabilised:
        raise ValueError("stabilised undoes the motion of the camera that recorded N-MNIST: leave it out with synthetic=True")
    return _known("nmnist", root, seed, read, **options)


def _known(name: str, root: Root, seed: int, read: Callable[[str | os.PathLike[str]], Parts] | None = None,
           synthetic: bool = False, each: int | None = None, events: int | None = None, held: float | None = None,
           test: str = "test", **pooling: Any) -> Pair:
    """A set of the catalogue, read by `read`, or else as its entry says."""
    entry = ENTRIES[name]
    if _is_made(name, root, synthetic):
        if held is not None:
            raise ValueError(f"held is of the recorded {entry.title}: its twin has a training and a test set")
        found = twin(entry, 4 if each is None else each, events, seed)
    elif each is not None or events is not None:
        raise ValueError(f"{'each' if each is not None else 'events'} is of synthetic recordings: give synthetic=True with it")
    elif root is None:
        raise ValueError(_wanting(entry))
    else:
        found = parts_in(entry, root) if read is None else read(root)
    if "valid" in found:
        one_of("test", test, ("test", "valid"))
    pair = split(found["all"], HELD if held is None else held, seed) if "all" in found else (found["train"], found[test])
    return _pooled(pair, **pooling)


def _is_made(name: str, root: Root, synthetic: object) -> bool:
    if not isinstance(synthetic, bool):
        raise ValueError(f"synthetic must be true or false, got {synthetic!r}")
    if synthetic and root is not None:
        raise ValueError(f"synthetic recordings of {name} need no files: leave root out, got {str(root)!r}")
    return synthetic


def _wanting(entry: Entry) -> str:
    what = "the folder that holds Train and Test" if entry.name == "nmnist" else "the folder of its files"
    return (f'{entry.name} needs root, {what}: datasets.load("{entry.name}", root=...); {entry.wanted()}. synthetic=True gives '
            "made-up recordings without files")


def _spoken(root: Root, seed: int, speaker: str | None = None, voices: bool = False, synthetic: bool = False,
            **cochlea: Any) -> Pair:
    if _is_made("spoken-digits", root, synthetic):
        return spoken_digits(synthetic_spoken(takes=8, speakers=2, seed=seed), speaker, Cochlea(seed=seed, **cochlea), voices)
    if root is None:
        raise ValueError(f'spoken-digits needs root, datasets.load("spoken-digits", root=...): {HELP}')
    return spoken_digits(root, speaker, Cochlea(seed=seed, **cochlea), voices)


def _store(root: Root, seed: int, held: float | None = None, **pooling: Any) -> Pair:
    if root is None:
        raise ValueError('store needs root, the folder of an event store: datasets.load("store", root=...)')
    folder = Path(root)
    if all(is_store(folder / part) for part in ("train", "test")):
        if held is not None:
            raise ValueError(f"held is of a single store: {folder} holds the event stores train and test")
        return _pooled((open_store(folder / "train"), open_store(folder / "test")), **pooling)
    every = open_store(folder)
    if held is None:
        raise ValueError(f"{folder} is one event store: say what share of each class is held back for the test, such as "
                         "held=0.2, or open it with datasets.open_store")
    return _pooled(split(every, held, seed), **pooling)


POOLED = ("pool", "polarities", "every")
MADE = ("synthetic", "each", "events")
FROM_FILES = ("shd", "ssc", "dvs-gesture", "cifar10-dvs", "n-caltech101", "n-cars")
SETS: dict[str, Callable[..., Pair]] = {"digits-events": _digits, "nmnist": _nmnist, "spoken-digits": _spoken,
                                        **{name: partial(_known, name) for name in FROM_FILES}, "store": _store}
OPTIONS = {"digits-events": POOLED, "nmnist": ("stabilised", *POOLED, *MADE),
           "spoken-digits": ("speaker", "voices", *(f.name for f in fields(Cochlea) if f.name != "seed"), "synthetic"),
           **dict.fromkeys(FROM_FILES, (*POOLED, *MADE)), "ssc": ("test", *POOLED, *MADE),
           "cifar10-dvs": ("held", *POOLED, *MADE), "n-caltech101": ("held", *POOLED, *MADE), "store": ("held", *POOLED)}
