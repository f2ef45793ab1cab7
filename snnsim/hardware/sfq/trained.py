"""What a training left behind, as pulses: the net of a seed's folder, and the samples to run it on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from snnsim import datasets
from snnsim.datasets import EventDataset
from snnsim.hardware.sfq.model import SFQNetwork, of_network
from snnsim.network_file import load_network


def of_run(folder: str | os.PathLike[str], root: Any = None, *, burst: int = 1) -> tuple[SFQNetwork, EventDataset]:
    """The net that `snnsim train` left in the folder of a seed (network.h5), and the test set that its recipe names, pooled as
    it says (training.json). root: where the data set is, for those that need it.

    Errors: FileNotFoundError where there is no such folder; ValueError that names a damaged file; those of `of_network` and
    `datasets.load`.
    """
    network, path = Path(folder) / "network.h5", Path(folder) / "training.json"
    for file in (network, path):
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {file}: `snnsim train` writes it into the folder of each seed")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["recipe"]["data"]
        name, options = str(data["name"]), dict(data["options"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as e:
        raise ValueError(f"{path} is not a training.json of snnsim, or it is damaged: {e!r}") from None
    return of_network(load_network(network), burst=burst), datasets.load(name, root, **options)[1]
