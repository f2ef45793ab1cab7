"""Is an artefact what its network is? It is read again, run here and in every tool that is installed, and compared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim import engine
from snnsim.engine.inputs import rows_of
from snnsim.hardware import integer, nir
from snnsim.hardware.loihi import check
from snnsim.hardware.sfq.analog.export import is_junctions
from snnsim.hardware.sfq.export import is_description
from snnsim.hardware.verify import compared, events_of
from snnsim.interop.junctions_proof import prove_junctions
from snnsim.interop.lava_tools import verify_lava
from snnsim.interop.nir_tools import READ_BY, beside
from snnsim.interop.proved import Proof, Report, Run
from snnsim.interop.sfq_proof import prove_sfq
from snnsim.network import Network

Array = NDArray[Any]
LOIHI = (".net", ".json", ".py")


def prove(path: str | os.PathLike[str], network: Network, samples: Any, labels: Sequence[int] | None = None, *,
          tools: bool = True, lava: str | os.PathLike[str] = sys.executable) -> Proof:
    """Read the artefact again, run it in snnsim and, with `tools`, in every tool that is installed and reads it.

    path: what an export wrote: NIR, or for Loihi lava-dl's .net, the description of processes (.json), or Lava's script (.py);
    or the description of SFQ cells or junctions (.json).
    network: what it was made of. samples: those of `hardware.verify`. labels: their classes, for the accuracies. lava: the
    Python in which Lava is installed.

    Errors: those of the reader, which name the file; ValueError when the artefact is of another network.
    """
    events = events_of(samples)
    if is_junctions(path):
        return prove_junctions(path, network, counts_of(network, events), labels, tools)
    if is_description(path):
        return prove_sfq(path, network, counts_of(network, events), labels, tools)
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
    model = check.read(path)
    check.same_network(path, model, network)
    counts = counts_of(network, events).astype(np.int64)
    ours, theirs = integer.run(model, counts), engine.run(network, events)
    runs = [_run("lava", lambda: verify_lava([(path, counts)], python=lava)[0], must=True)] if tools else []
    equal = int(np.sum(np.atleast_1d(ours.prediction) == np.atleast_1d(theirs.prediction)))
    whole = [n for n, o in ours.overflows.items() if any(o.values())]
    notes = (*model.notes, *(f"population {n!r}: sums, currents or membranes left their bits" for n in whole))
    return Proof(os.fspath(path), "loihi", counts.shape[1], tuple(runs), equal, _accuracy(theirs.prediction, labels),
                 _accuracy(ours.prediction, labels), check.quantised(network, theirs, ours), notes)


def _run(tool: str, verified: Callable[[], Report], must: bool = False) -> Run:
    try:
        return Run(tool, verified())
    except ImportError as e:
        return Run(tool, None, f"not installed: {e}")
    except (RuntimeError, TimeoutError) as e:
        return Run(tool, None, str(e), must)


def counts_of(network: Network, events: Any) -> Array:
    """Events as counts [T, B, *input]."""
    rows = rows_of(events, network.input.shape, network.time, np.dtype(np.float32))
    counts = np.zeros((rows.steps * rows.batch, network.input.size), np.float32)
    np.add.at(counts, (np.repeat(np.arange(len(counts)), np.diff(rows.indptr)), rows.index), rows.value)
    return counts.reshape(rows.steps, rows.batch, *network.input.shape)


def _accuracy(prediction: Any, labels: Sequence[int] | None) -> float | None:
    return None if labels is None else float(np.mean(np.atleast_1d(prediction) == np.asarray(labels)))
