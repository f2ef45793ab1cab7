"""An export for Loihi, checked: the file runs as what was exported, and what whole numbers change of the network is said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnsim import engine
from snnsim.engine import Result
from snnsim.hardware import energy, integer, mapping
from snnsim.hardware.integer import IntegerNetwork, IntegerResult
from snnsim.hardware.integer.latency import latencies
from snnsim.hardware.integer.quantize import layers_of
from snnsim.hardware.loihi import netx, process
from snnsim.hardware.verify import LayerMatch, compare, events_of
from snnsim.network import Network


@dataclass(frozen=True)
class Quantised:
    """The executor's run of the artefact beside the network of floats that it was made of: spikes by population, shifted by the
    steps that hardware is late. They differ by what quantising costs; nothing is wrong with the artefact where they do."""

    layers: tuple[LayerMatch, ...]
    exact: bool

    @property
    def share(self) -> float:
        """Equal spikes of all layers, as a share of all that either fired."""
        union = sum(x.expected + x.extra for x in self.layers)
        return sum(x.equal for x in self.layers) / union if union else 1.0

    def to_dict(self) -> dict[str, Any]:
        layers = [{**asdict(x), "missing": x.missing, "extra": x.extra, "share": x.share} for x in self.layers]
        return {"layers": layers, "exact": self.exact}


@dataclass(frozen=True, eq=False)
class LoihiReport:
    """What `check` found of an artefact on so many samples.

    model: what was exported. reread: its run beside that of what the file holds. quantised: the network in floats beside that.
    predictions_equal: of floats and whole numbers; before, after: their accuracies, None where a label is not known.
    overflows: populations whose sums, u or v left their bits. placed, cost: on the cores of a Loihi 2, see `mapping.place` and
    `energy.estimate`.
    """

    artefact: str
    samples: int
    model: IntegerNetwork
    reread: tuple[LayerMatch, ...]
    quantised: Quantised
    predictions_equal: int
    before: float | None
    after: float | None
    overflows: tuple[str, ...]
    placed: mapping.Mapping
    cost: energy.EnergyReport

    @property
    def exact(self) -> bool:
        """The file spikes as what was exported."""
        return all(x.missing == x.extra == 0 for x in self.reread)

    @property
    def bits(self) -> int:
        """Of a weight, the most."""
        return max(q.bits for q in self.model.projections)


def read(path: str | os.PathLike[str]) -> IntegerNetwork:
    """The integer network in a .net file, a description of processes, or beside a script. Errors: those of the readers."""
    if Path(path).suffix == ".net":
        return netx.read(path)
    if not Path(path).is_file():  # a script, whose description may be there without it
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    return process.read(Path(path).with_suffix(".json"))


def check(path: str | os.PathLike[str], model: IntegerNetwork, network: Network, samples: Any,
          labels: Sequence[int] | None = None) -> LoihiReport:
    """Read the artefact at `path` again and run it beside the model that it was written of, and beside the network in floats.

    samples: those of `hardware.verify`. labels: their classes; -1 is not known. Errors: those of the readers; ValueError where
    the file holds other populations than the network.
    """
    events = events_of(samples)
    held = read(path)
    same_network(path, held, network)
    theirs, ours, floats = integer.run(held, events), integer.run(model, events), engine.run(network, events)
    placed = mapping.place(held)
    known = labels is not None and min(labels) >= 0
    before, after = ((float(np.mean(np.atleast_1d(r.prediction) == np.asarray(labels))) if known else None)
                     for r in (floats, theirs))
    return LoihiReport(os.fspath(path), len(np.atleast_1d(theirs.prediction)), model, compare(ours.spikes, theirs.spikes),
                       quantised(network, floats, theirs),
                       int(np.sum(np.atleast_1d(floats.prediction) == np.atleast_1d(theirs.prediction))), before, after,
                       tuple(n for n, o in theirs.overflows.items() if any(o.values())), placed,
                       energy.of_activity(held, energy.Activity.of(theirs, theirs.steps), placed))


def quantised(network: Network, floats: Result, whole: IntegerResult) -> Quantised:
    """Runs of a network and of its integer network on the same samples, population by population."""
    late = latencies(network)
    expected = {n: floats.spikes[n].dense() for n in whole.spikes}
    layers = compare(expected, {n: s[late[n]: late[n] + len(expected[n])] for n, s in whole.spikes.items()})
    return Quantised(layers, all(x.missing == x.extra == 0 for x in layers))


def same_network(path: str | os.PathLike[str], held: IntegerNetwork, network: Network) -> None:
    """ValueError where the file holds other populations or resets, or weights that do not resemble the network's: with a cosine
    between them below one half, which no rounding to two bits and more makes of weights."""
    ours, theirs = ({p.name: p.shape for p in n.populations} for n in (network, held))
    if ours != theirs:
        raise ValueError(f"{path} holds the populations {theirs}, the network has {ours}: it is an export of another network")
    for layer in layers_of(network):
        if (reset := held.population(layer.name).reset) != layer.reset:
            raise ValueError(f"{path} resets population {layer.name!r} {reset}, the network {layer.reset}: it is an export of "
                             "another network")
        found = {q.source: q for q in held.projections if q.target == layer.name}
        for source, m, _ in layer.maps:
            q = found.get(source)
            if q is not None and type(q.map) is not type(m):  # a .net holds what is sparse as a matrix
                continue
            a, b = (np.asarray(w, np.float64).ravel() for w in (m.arrays()["weight"], q.mantissas if q else ()))
            if a.shape != b.shape or a @ b < 0.5 * np.linalg.norm(a) * np.linalg.norm(b):
                raise ValueError(f"{path} has other weights in {source}->{layer.name} than the network: it is an export of "
                                 "another network")
