"""A small SFQ network as decks of junctions: NAME.cir in JoSIM's syntax, NAME.ngspice.cir, the same circuit, and NAME.json,
which holds the weights, the fits of the somas and the pulses that the decks send."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.analog.deck import Clock, Laid, lay_out
from snnsim.hardware.sfq.analog.fit import Fitted, fit_network
from snnsim.hardware.sfq.analog.require import count_junctions
from snnsim.hardware.sfq.analog.run import circuit_of
from snnsim.hardware.sfq.analog.soma import Soma
from snnsim.hardware.sfq.description import begins_with, naming, read_described, write_files
from snnsim.hardware.sfq.junctions.ngspice import to_ngspice
from snnsim.hardware.sfq.library import Library, Process, load
from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork, of_network
from snnsim.network import Network
from snnsim.version import __version__

FORMAT, SCHEMA = "snnsim sfq junctions", 2
LARGEST_FILE = 16 * 2**20
TICKS = 8  # of random pulses


def export_junctions(network: SFQNetwork | Network, path: str | os.PathLike[str], *, pulses: ArrayLike | None = None,
                     library: Library | None = None, allow_lossy: bool = False) -> Fitted:
    """Write `path`, such as net.json, and beside it net.cir and net.ngspice.cir.

    pulses: of the inputs, 0 or 1, [T, inputs]; 8 ticks of random ones (seeded) by default. allow_lossy: write somas that do not
    decide every pattern as their neurons do; the description says exact: false, and which. Errors: ValueError for a path that
    does not end in .json, for what somas cannot be (see `require`), and for fits that are not exact.
    """
    target = Path(path)
    if target.suffix != ".json":
        raise ValueError(f"path must end in .json, got {target.name!r}")
    net = network if isinstance(network, SFQNetwork) else of_network(network)
    library = library or load()
    fitted = fit_network(net, library)
    if not fitted.exact and not allow_lossy:
        raise ValueError(f"{'; '.join(fitted.inexact[:4])}: somas of junctions are not this network; write it with "
                         "allow_lossy=True, which records that, or as cells, level='cells'")
    x = np.random.default_rng(0).integers(0, 2, (TICKS, net.inputs)) if pulses is None else np.asarray(pulses)
    laid = lay_out(net, x, fitted.somas, library)
    texts = {target.with_suffix(".cir").name: laid.text,
             f"{target.stem}.ngspice.cir": to_ngspice(circuit_of(laid), laid.watched),
             target.name: json.dumps(_described(fitted, laid, library), indent=1, allow_nan=False) + "\n"}
    write_files(target.parent, texts)
    return fitted


def _described(fitted: Fitted, laid: Laid, library: Library) -> dict[str, Any]:
    net = fitted.network
    layers = [{"name": q.name, "weight": q.weight.tolist(), "threshold": q.threshold.tolist(), "bits": q.bits,
               "somas": [asdict(s) for s in somas]} for q, somas in zip(net.layers, fitted.somas, strict=True)]
    return {"format": FORMAT, "schema": SCHEMA, "version": __version__, "exact": fitted.exact, "inexact": list(fitted.inexact),
            "junctions": count_junctions(net), "bias_uA": sum(s.bias for somas in fitted.somas for s in somas),
            "classes": list(net.classes), "layers": layers, "clock": asdict(laid.clock), "pulses": laid.pulses.tolist(),
            "process": asdict(library.process), "fits": fitted.to_dict()["neurons"]}


@dataclass(frozen=True, eq=False)
class Described:
    """What a description holds: the network, its somas by layer, what the deck sends, and the cells' process."""

    network: SFQNetwork
    somas: tuple[tuple[Soma, ...], ...]
    pulses: NDArray[np.uint8]
    clock: Clock
    library: Library
    exact: bool
    inexact: tuple[str, ...]

    def laid(self, pulses: ArrayLike | None = None) -> Laid:
        """The deck of other pulses; by default of those that were written."""
        return lay_out(self.network, self.pulses if pulses is None else pulses, self.somas, self.library, clock=self.clock)


def is_junctions(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as `export_junctions` writes it."""
    return begins_with(path, FORMAT)


def read_junctions(path: str | os.PathLike[str]) -> Described:
    """A description. Errors: FileNotFoundError; ValueError that names the file and the key."""
    told = read_described(path, FORMAT, SCHEMA, "junctions", LARGEST_FILE)
    with naming(path):
        layers = [SFQLayer(q["name"], q["weight"], q["threshold"], leak=0, bits=q["bits"]) for q in told["layers"]]
        somas = tuple(tuple(Soma(**s) for s in q["somas"]) for q in told["layers"])
        found = Described(SFQNetwork(layers, classes=told["classes"]), somas, np.asarray(told["pulses"]),
                          Clock(**told["clock"]), Library(load().cells, Process(**told["process"])), told["exact"] is True,
                          tuple(map(str, told["inexact"])))
        if [len(s) for s in somas] != [q.size for q in layers]:
            raise ValueError("somas must be one for each neuron")
        found.laid()
    return found
