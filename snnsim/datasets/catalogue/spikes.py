"""Files of SHD and SSC: HDF5 with one list of times and one of units for each recording.

    spikes/times    lists of float16, s: steps of 0.12 ms below 0.25 s, of 0.98 ms from 1 s on, whatever the µs here suggest
    spikes/units    lists of uint16, 0 to 699
    labels          whole numbers; extra/keys names the classes; extra/speaker who speaks

Source: Cramer, Stradmann, Schemmel, Zenke: The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks, IEEE Transactions on Neural Networks and Learning Systems 33, 2744-2757 (2022).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Events, Sensor, make_events
from snnsim.datasets.formats.hdf5 import blocks_of
from snnsim.isolated import Child

SENSOR = Sensor(1, 700, 1)
LONGEST = 10**12  # µs


def _opened(path: Path) -> Child:
    """The file in a process of its own. Errors: FileNotFoundError; ValueError that names the file and the field."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    child = Child("snnsim.isolated.hdf5", path, str(path))
    if child.says["layout"] == "SHD" and "labels" in child.says["holds"] and child.says["classes"]:
        return child
    child.close()
    raise ValueError(f"{path} is not a file of SHD or SSC: it must hold spikes/times, spikes/units, labels and extra/keys")


class SpikeFile:
    """The recordings of such a file, as a `Store`: each is read when it is asked for, and by whoever asks: a worker that was
    forked opens the file itself."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self._count = path, count
        self._open: tuple[int, Child] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def __len__(self) -> int:
        return self._count

    def events(self, number: int) -> Events:
        if self._open is None or self._open[0] != os.getpid():
            self._open = os.getpid(), _opened(self.path)
        child = self._open[1]
        says, _ = child.ask(0, recording=number, start=0, count=0)
        parts = [np.empty((4, 0), np.int64)]
        for block in [says["fault"]] if "fault" in says else blocks_of(child, number, int(child.says["block"]), says["count"]):
            if isinstance(block, str):
                raise ValueError(f"{self.path}: recording {number}: {block}")
            parts.append(block)
        t, unit = np.concatenate(parts, 1)[:2]
        if not np.all((t >= 0) & (t <= LONGEST)):
            raise ValueError(f"{self.path}: recording {number} must have a time from 0 s on for each of its {len(unit)} units")
        order = np.argsort(t, kind="stable")
        events = make_events(t[order], unit[order], np.zeros(len(t), np.uint8), np.zeros(len(t), np.uint8))
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return f"{self.path}: {number}"

    def close(self) -> None:
        """Close the file now; the next recording opens it again."""
        if self._open is not None and self._open[0] == os.getpid():
            self._open[1].close()
        self._open = None


def spike_set(path: Path, name: str) -> EventDataset:
    """One file as a data set; `extra` has the speakers where the file knows them. Errors: as `_opened`."""
    child = _opened(path)
    child.close()
    count, keys = child.says["recordings"], tuple(child.says["classes"])
    told = dict(zip(child.says["holds"], child.numbers.reshape(-1, count), strict=True))
    labels = told.pop("labels")
    if count and not 0 <= labels.min() <= labels.max() < len(keys):
        raise ValueError(f"{path}: labels must lie from 0 to {len(keys) - 1}, as extra/keys has {len(keys)} names, got "
                         f"{labels.min()} to {labels.max()}")
    extra = {"speaker": told["speakers"]} if "speakers" in told else {}
    return EventDataset(name, SENSOR, keys, labels, SpikeFile(path, count), extra=extra)
