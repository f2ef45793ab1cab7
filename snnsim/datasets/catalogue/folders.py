"""Sets of one folder a class and one file a recording: CIFAR10-DVS, N-Caltech101, N-CARS.

Files are read when they are asked for, and events of one that are not in order of time are sorted.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np

from snnsim.datasets.dataset import EventDataset, Files
from snnsim.datasets.events import Events, Sensor
from snnsim.datasets.formats import read

OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR, CALTECH, CARS = Sensor(128, 128), Sensor(180, 240), Sensor(100, 120)


def read_file(path: str, sensor: Sensor, format: str | None) -> Events:
    return read(path, format=format, order="sort", sensor=sensor).events


def class_folders(folder: Path, name: str, sensor: Sensor, classes: tuple[str, ...], endings: tuple[str, ...],
                  format: str | None = None, called: tuple[str, ...] = ()) -> EventDataset:
    """Files folder/<class>/*<ending> in order of class and number. called: the folders' names, where they are not the classes'.

    Errors: ValueError that says what was expected and what was found.
    """
    paths: list[str] = []
    labels: list[int] = []
    for label, of in enumerate(called or classes):
        if not (folder / of).is_dir():
            raise ValueError(f"{folder} is not {name}: expected the folders {', '.join(called or classes)}; there is no {of}")
        files = sorted((f for f in os.listdir(folder / of) if f.endswith(endings) and not f.startswith(".")), key=natural)
        paths += [os.path.join(folder, of, f) for f in files]
        labels += [label] * len(files)
    if not paths:
        raise ValueError(f"{folder} is not {name}: found no {' or '.join(endings)} file in its folders")
    store = Files(tuple(paths), partial(read_file, sensor=sensor, format=format))
    return EventDataset(name, sensor, classes, np.array(labels, np.int64), store)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts image_2 before image_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def cifar10(folder: Path, name: str) -> dict[str, EventDataset]:
    """airplane/cifar10_airplane_0.aedat and so on: AEDAT 2.0 as released, AEDAT 4 as tonic downloads them."""
    return {"all": class_folders(folder, name, CIFAR, OBJECTS, (".aedat", ".aedat4"))}


def caltech(folder: Path, name: str) -> dict[str, EventDataset]:
    """accordion/image_0001.bin and so on; the classes are the folders there are, by name."""
    found = tuple(sorted(d for d in os.listdir(folder) if (folder / d).is_dir() and not d.startswith((".", "__"))))
    return {"all": class_folders(folder, name, CALTECH, found, (".bin",), "bin")}


def cars(folder: Path, name: str) -> dict[str, EventDataset]:
    """n-cars_train/cars/obj_004396_td.dat and so on, also with a folder `train` between."""
    found = {}
    for part in ("train", "test"):
        below = folder / f"n-cars_{part}"
        inner = below / part if (below / part).is_dir() else below
        found[part] = class_folders(inner, f"{name}-{part}", CARS, ("background", "car"), (".dat",), "dat",
                                    ("background", "cars"))
    return found
