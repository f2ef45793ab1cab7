"""Two recordings one after the other, to be added: a task that needs memory, made of any set of labelled recordings.

Source: SHD-Adding of Spieler et al., ICLR 2024 (arXiv:2306.16922), there of the Spiking Heidelberg Digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import Events, whole
from snnsim.rule import finite


@dataclass(frozen=True, eq=False, repr=False)
class Joined:
    """Recording i is pairs[i, 0] and then pairs[i, 1] of a store, each cut to `length` µs."""

    store: Store
    pairs: NDArray[np.int64]
    length: int

    def __len__(self) -> int:
        return len(self.pairs)

    def events(self, number: int) -> Events:
        parts = []
        for place, i in enumerate(self.pairs[number].tolist()):
            events = self.store.events(i)
            part = events[events["t"] < self.length].copy()
            part["t"] += place * self.length
            parts.append(part)
        joined = np.concatenate(parts)
        joined.setflags(write=False)
        return joined

    def source(self, number: int) -> str:
        return " + ".join(self.store.source(i) for i in self.pairs[number].tolist())


def adding(dataset: EventDataset, size: int, *, length: float = 1000.0, base: int = 10, seed: int = 0) -> EventDataset:
    """`size` pairs of recordings, drawn with replacement; the label is (first label mod base) + (second label mod base).

    length: ms that each of the two gets, at least 0.001; their later events are left out. base: labels count modulo it, so that
    the twenty classes of SHD, ten digits in two languages, become their digits, and the sums 0 .. 18; with fewer classes there
    are fewer sums. Nothing is copied: a recording is joined when it is asked for. Draw train and test sets from sets that are
    apart.

    Errors: ValueError that names the argument, and for an empty data set.
    """
    if not len(dataset):
        raise ValueError(f"{dataset.name} is empty: there is nothing to add")
    whole("size", size, 1)
    whole("base", base, 1)
    whole("seed", seed, 0)
    finite("length", length, at_least=0.001)
    drawn = np.random.default_rng(seed).integers(0, len(dataset), (size, 2))
    assert dataset.numbers is not None
    labels = (dataset.labels % base)[drawn].sum(1)
    most = 2 * (min(base, len(dataset.classes)) - 1)
    return EventDataset(f"{dataset.name}, added", dataset.sensor, tuple(map(str, range(most + 1))), labels,
                        Joined(dataset.store, dataset.numbers[drawn], round(length * 1000.0)))
