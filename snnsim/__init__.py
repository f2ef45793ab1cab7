"""Define a spiking network once and get the same spikes everywhere: trained, simulated, exported."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from snnsim.version import __version__

if TYPE_CHECKING:
    from snnsim import datasets, doctor, engine, hardware, interop, neurons, nn, plot, report, rule, statistics, train
    from snnsim.connect import AllToAll, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, OneToOne, Pairs
    from snnsim.description import Description, load_description
    from snnsim.distributions import LogNormal, Normal, Uniform
    from snnsim.lowering import lower
    from snnsim.maps import Conv2d, Delayed, Dense, Sparse, SumPool2d
    from snnsim.network import Modulation, Network, Population, Projection, Synapses, TimeBase
    from snnsim.network_file import load_network, save_network
    from snnsim.plasticity import STDP, TsodyksMarkram
    from snnsim.sources import Poisson, SpikeTimes, StepCurrent

# Loaded when first used, so that `import snnsim` stays fast and never needs torch.
MODULES = ("datasets", "doctor", "engine", "hardware", "interop", "neurons", "nn", "plot", "report", "rule",
           "statistics", "train")
NAMES = {name: module for module, names in {
    "connect": ("AllToAll", "Bernoulli", "FixedIndegree", "FixedOutdegree", "FixedTotal", "OneToOne", "Pairs"),
    "description": ("Description", "load_description"), "distributions": ("LogNormal", "Normal", "Uniform"),
    "lowering": ("lower",), "maps": ("Conv2d", "Delayed", "Dense", "Sparse", "SumPool2d"),
    "network": ("Modulation", "Network", "Population", "Projection", "Synapses", "TimeBase"),
    "network_file": ("load_network", "save_network"),
    "plasticity": ("STDP", "TsodyksMarkram"), "sources": ("Poisson", "SpikeTimes", "StepCurrent"),
}.items() for name in names}

__all__ = ["STDP", "AllToAll", "Bernoulli", "Conv2d", "Delayed", "Dense", "Description", "FixedIndegree", "FixedOutdegree",
           "FixedTotal", "LogNormal", "Modulation", "Network", "Normal", "OneToOne", "Pairs", "Poisson", "Population",
           "Projection", "Sparse", "SpikeTimes", "StepCurrent", "SumPool2d", "Synapses", "TimeBase", "TsodyksMarkram",
           "Uniform", "__version__", "datasets", "doctor", "engine", "hardware", "interop", "load_description",
           "load_network", "lower", "neurons", "nn", "plot", "report", "rule", "save_network", "statistics", "train"]


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
