"""Define a spiking network once and get the same spikes everywhere: trained, simulated, exported."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from snnsim.version import __version__

if TYPE_CHECKING:
    from snnsim import datasets, doctor, engine, hardware, interop, neurons, nn, plot, report, rule, train
    from snnsim.lowering import lower
    from snnsim.maps import Conv2d, Dense, Sparse, SumPool2d
    from snnsim.network import Network, Population, Projection, TimeBase
    from snnsim.network_file import load_network, save_network

# Loaded when first used, so that `import snnsim` stays fast and never needs torch.
MODULES = ("datasets", "doctor", "engine", "hardware", "interop", "neurons", "nn", "plot", "report", "rule", "train")
NAMES = {"lower": "lowering", "Network": "network", "Population": "network", "Projection": "network",
         "TimeBase": "network", "Dense": "maps", "Conv2d": "maps", "SumPool2d": "maps", "Sparse": "maps",
         "load_network": "network_file", "save_network": "network_file"}

__all__ = ["Conv2d", "Dense", "Network", "Population", "Projection", "Sparse", "SumPool2d", "TimeBase", "__version__",
           "datasets", "doctor", "engine", "hardware", "interop", "load_network", "lower", "neurons", "nn", "plot", "report",
           "rule", "save_network", "train"]


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return importlib.import_module(f"snnsim.{name}")
    if name in NAMES:
        value = getattr(importlib.import_module(f"snnsim.{NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"snnsim has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
