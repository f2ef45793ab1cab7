"""Is an artefact what its network is? It is read again, run here and in every tool that is installed, and compared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim import engine
from snnsim.engine.inputs import rows_of
from snnsim.hardware import MatchReport, integer, nir
from snnsim.hardware.integer import IntegerNetwork
from snnsim.hardware.integer.latency import latencies
from snnsim.hardware.loihi import netx, process
from snnsim.hardware.verify import LayerMatch, compare, compared, events_of
from snnsim.interop.lava_tools import LavaReport, verify_lava
from snnsim.interop.nir_tools import READ_BY, beside
from snnsim.network import Network

Array = NDArray[Any]
Report = MatchReport | LavaReport
LOIHI = (".net", ".json", ".py")


@dataclass(frozen=True)
class Quantised:
    """The executor's run of the artefact beside the network of floats that it was made of: spikes by population, shifted by the
    steps that hardware is late. They differ by what quantising costs; nothing is wrong with the artefact where they do."""

    layers: tuple[LayerMatch, ...]
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        layers = [{**asdict(x), "missing": x.missing, "extra": x.extra, "share": x.share} for x in self.layers]
        return {"layers": layers, "exact": self.exact}


@dataclass(frozen=True)
class Run:
    """The artefact in one tool. report: None where it did not run, and `why`."""

    tool: str
    report: Report | None
    why: str = ""


@dataclass(frozen=True)
class Proof:
    """What `prove` found. runs: of which every one that ran must be exact. quantised: for artefacts in whole numbers, which
    need not be. predictions_equal: of `samples`; before, after: accuracies of the network and of the artefact, or None where
    no labels are known."""

    artefact: str
    kind: Literal["nir", "loihi"]
    samples: int
    runs: tuple[Run, ...]
    predictions_equal: int
    before: float | None = None
    after: float | None = None
    quantised: Quantised | None = None
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Every tool that ran it gave the same spikes."""
        return all(r.report.exact for r in self.runs if r.report is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, for JSON."""
        runs = [{"tool": r.tool, "why": r.why, "report": None if r.report is None else r.report.to_dict()} for r in self.runs]
        return {**asdict(self), "exact": self.exact, "runs": runs,
                "quantised": None if self.quantised is None else self.quantised.to_dict()}


def prove(path: str | os.PathLike[str], network: Network, samples: Any, labels: Sequence[int] | None = None, *,
          tools: bool = True, lava: str | os.PathLike[str] = sys.executable) -> Proof:
    """Read the artefact again, run it in snnsim and, with `tools`, in every tool that is installed and reads it.

    path: what an export wrote: NIR, or for Loihi lava-dl's .net, the description of processes (.json), or Lava's script (.py).
    network: what it was made of. samples: those of `hardware.verify`. labels: their classes, for the accuracies. lava: the
    Python in which Lava is installed.

    Errors: those of the reader, which name the file; ValueError when the artefact is of another network.
    """
    events = events_of(samples)
    if Path(path).suffix in LOIHI:
        return _loihi(path, network, events, labels, tools, lava)
    report, ours, theirs = compared(path, network, events)
    runs = [Run("snnsim", report)]
    counts = counts_of(network, events)
    told = nir.describe(path)
    for tool in READ_BY[told.encoding] if tools and told else ():
        if report.lossy:  # which only our own reader restores
            runs.append(Run(tool, None, "the file is another network there, as it says under lossy"))
        else:
            runs.append(_run(tool, lambda tool=tool: beside(path, network, counts, ours, tool)))  # type: ignore[misc]
    before, after = (_accuracy(r.prediction, labels) for r in (ours, theirs))
    return Proof(os.fspath(path), "nir", report.samples, tuple(runs), report.predictions_equal or 0, before, after,
                 notes=(*(f"lossy: {text}" for text in report.lossy), *(f"only for snnsim: {text}" for text in report.kept)))


def _loihi(path: str | os.PathLike[str], network: Network, events: Any, labels: Sequence[int] | None, tools: bool,
           lava: str | os.PathLike[str]) -> Proof:
    model = read_loihi(path)
    shapes = {p.name: p.shape for p in network.populations}
    held = {p.name: p.shape for p in model.populations}
    if shapes != held:
        raise ValueError(f"{path} holds the populations {held}, the network has {shapes}: it is an export of another network")
    counts = counts_of(network, events).astype(np.int64)
    ours, theirs = integer.run(model, counts), engine.run(network, events)
    late, steps = latencies(network), len(counts)
    expected = {n: theirs.spikes[n].dense() for n in ours.spikes}
    layers = compare(expected, {n: s[late[n]: late[n] + steps] for n, s in ours.spikes.items()})
    quantised = Quantised(layers, all(x.missing == x.extra == 0 for x in layers))
    runs = [_run("lava", lambda: verify_lava([(path, counts)], python=lava)[0])] if tools else []
    equal = int(np.sum(np.atleast_1d(ours.prediction) == np.atleast_1d(theirs.prediction)))
    whole = [n for n, o in ours.overflows.items() if any(o.values())]
    notes = (*model.notes, *(f"population {n!r}: sums, currents or membranes left their bits" for n in whole))
    return Proof(os.fspath(path), "loihi", counts.shape[1], tuple(runs), equal, _accuracy(theirs.prediction, labels),
                 _accuracy(ours.prediction, labels), quantised, notes)


def read_loihi(path: str | os.PathLike[str]) -> IntegerNetwork:
    """The integer network in a .net file, a description of processes, or beside a script. Errors: those of the readers."""
    if Path(path).suffix == ".net":
        return netx.read(path)
    return process.read(Path(path).with_suffix(".json"))


def _run(tool: str, verified: Callable[[], Report]) -> Run:
    try:
        return Run(tool, verified())
    except ImportError as e:
        return Run(tool, None, f"not installed: {e}")
    except (RuntimeError, TimeoutError) as e:
        return Run(tool, None, str(e))


def counts_of(network: Network, events: Any) -> Array:
    """Events as counts [T, B, *input]."""
    rows = rows_of(events, network.input.shape, network.time, np.dtype(np.float32))
    counts = np.zeros((rows.steps * rows.batch, network.input.size), np.float32)
    np.add.at(counts, (np.repeat(np.arange(len(counts)), np.diff(rows.indptr)), rows.index), rows.value)
    return counts.reshape(rows.steps, rows.batch, *network.input.shape)


def _accuracy(prediction: Any, labels: Sequence[int] | None) -> float | None:
    return None if labels is None else float(np.mean(np.atleast_1d(prediction) == np.asarray(labels)))
