"""Data sets by name, for recipes and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from snnsim.datasets.cochlea import Cochlea
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.digits import digits_events
from snnsim.datasets.nmnist import nmnist
from snnsim.datasets.pooling import option as pooled_option
from snnsim.datasets.spoken import HELP, spoken_digits
from snnsim.rule import one_of

Root = str | os.PathLike[str] | None
Pair = tuple[EventDataset, EventDataset]


def load(name: str, root: Root = None, seed: int = 0, **options: Any) -> Pair:
    """The training and the test set of this name.

    "digits-events": scikit-learn's handwritten digits seen by a simulated event camera; needs no files.
    "nmnist": N-MNIST, unpacked in the folder `root`. option: stabilised, whether the camera's motion is undone.
    "spoken-digits": spoken digits through a cochlea; `root` is an .npz or a folder, see `spoken_digits`. options: speaker,
    who is left out for the test, voices, whether the cochlea adapts to each speaker, and what `Cochlea` takes, such as
    channels. seed: of what is random about the set: the camera and the split of digits-events, the hair cells of the cochlea;
    N-MNIST has nothing random. Options of digits-events and nmnist: pool, the size of a coarser sensor, one number or [height,
    width]; polarities=1 for one; every=n, of so many events of its pixel one is kept: see `Pool`.

    Errors: ValueError for an unknown name or option, or a root that is missing or not needed; what the set's reader raises.
    """
    one_of("name", name, SETS)
    allowed = OPTIONS.get(name, ())
    for option in options:
        if option not in allowed:
            raise ValueError(f"{name} has no option {option!r}: " + (f"allowed are {', '.join(allowed)}" if allowed else
                                                                     "it takes none"))
    return SETS[name](root, seed, **options)


def _digits(root: Root, seed: int, **options: Any) -> Pair:
    if root is not None:
        raise ValueError(f"digits-events is simulated and needs no files: leave root out, got {str(root)!r}")
    return _pooled(digits_events(seed), **options)


def _nmnist(root: Root, seed: int, stabilised: bool = False, **options: Any) -> Pair:
    if root is None:
        raise ValueError('nmnist needs root, the folder that holds Train and Test: datasets.load("nmnist", root=...)')
    return _pooled(nmnist(root, stabilised), **options)


def _pooled(sets: Pair, pool: Any = None, polarities: int | None = None, every: int = 1) -> Pair:
    train, test = (pooled_option(pool, polarities, every, s) for s in sets)
    return train, test


def _spoken(root: Root, seed: int, speaker: str | None = None, voices: bool = False, **cochlea: Any) -> Pair:
    if root is None:
        raise ValueError(f'spoken-digits needs root, datasets.load("spoken-digits", root=...): {HELP}')
    return spoken_digits(root, speaker, Cochlea(seed=seed, **cochlea), voices)


SETS: dict[str, Callable[..., Pair]] = {"digits-events": _digits, "nmnist": _nmnist, "spoken-digits": _spoken}
POOLED = ("pool", "polarities", "every")
OPTIONS = {"digits-events": POOLED, "nmnist": ("stabilised", *POOLED),
           "spoken-digits": ("speaker", "voices", *(f.name for f in fields(Cochlea) if f.name != "seed"))}
