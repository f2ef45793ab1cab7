"""Data sets by name, for recipes and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.digits import digits_events
from snnsim.datasets.nmnist import nmnist
from snnsim.rule import one_of

Root = str | os.PathLike[str] | None
Pair = tuple[EventDataset, EventDataset]


def load(name: str, root: Root = None, seed: int = 0) -> Pair:
    """The training and the test set of this name.

    "digits-events": scikit-learn's handwritten digits seen by a simulated event camera; needs no files.
    "nmnist": N-MNIST, unpacked in the folder `root`.
    seed: of what is random about the set: the camera and the split of digits-events; N-MNIST has nothing random.

    Errors: ValueError for an unknown name, or a root that is missing or not needed; what the set's reader raises.
    """
    one_of("name", name, SETS)
    return SETS[name](root, seed)


def _digits(root: Root, seed: int) -> Pair:
    if root is not None:
        raise ValueError(f"digits-events is simulated and needs no files: leave root out, got {str(root)!r}")
    return digits_events(seed)


def _nmnist(root: Root, seed: int) -> Pair:
    if root is None:
        raise ValueError('nmnist needs root, the folder that holds Train and Test: datasets.load("nmnist", root=...)')
    return nmnist(root)


SETS: dict[str, Callable[[Root, int], Pair]] = {"digits-events": _digits, "nmnist": _nmnist}
