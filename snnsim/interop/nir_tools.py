"""Run a NIR file in the tools that read NIR, to check an export where it will be used."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import snnsim
from snnsim import engine
from snnsim.engine import Result
from snnsim.hardware import MatchReport, nir
from snnsim.hardware.nir.neurons import Encoding
from snnsim.hardware.verify import compare, first_divergences
from snnsim.interop.child import run_child, with_batch
from snnsim.network import Network
from snnsim.rule import one_of

Tool = Literal["snntorch", "spikingjelly", "norse", "sinabs"]
INSTALL = {"snntorch": 'pip install "snnsim[interop]"', "spikingjelly": 'pip install "snnsim[interop]"',
           "norse": 'pip install "snnsim[interop]" && pip install --no-deps norse',
           "sinabs": 'pip install "snnsim[interop]" && pip install --no-deps sinabs pbr'}
TOOLS = tuple(INSTALL)
READ_BY: dict[Encoding, tuple[Tool, ...]] = {"unit_r": ("snntorch", "spikingjelly", "norse"),
                                             "tau_over_dt": ("snntorch", "spikingjelly"), "sinabs": ("sinabs",)}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(snnsim.__file__)))  # where the child finds snnsim


def run_nir(path: str | os.PathLike[str], counts: ArrayLike, tool: Tool, *, python: str | os.PathLike[str] = sys.executable,
            timeout: float = 300.0) -> dict[str, NDArray[np.uint8]]:
    """Load a NIR file in another tool, feed it counts step by step, and give the spikes of each neuron node.

    counts: [T, *input] or [T, B, *input], finite. tool: "snntorch", "spikingjelly", "norse" or "sinabs", imported by
    `python` in a process of its own. timeout: s. Result: by population (by node name in files of others), [T, B, *node]; 0 or
    1, in Sinabs as many as fired at once.
    The tools read no LI and no I node: they are given as LIF (IF) nodes whose threshold is never reached.

    Errors: ImportError that says how to install the tool; ValueError for counts that fit no input; RuntimeError with
    the tool's own last words when it cannot read or run the file; TimeoutError.
    """
    [result] = run_nirs([(path, counts)], tool, python=python, timeout=timeout)
    if isinstance(result, RuntimeError):
        raise result
    return result


def run_nirs(jobs: Sequence[tuple[str | os.PathLike[str], ArrayLike]], tool: Tool, *,
             python: str | os.PathLike[str] = sys.executable,
             timeout: float = 300.0) -> list[dict[str, NDArray[np.uint8]] | RuntimeError]:
    """As `run_nir`, many files and their counts in one process; a RuntimeError where the tool refuses a file."""
    one_of("tool", tool, TOOLS)
    arrays = [np.asarray(counts) for _, counts in jobs]
    for (path, _), array in zip(jobs, arrays, strict=True):
        if array.dtype.kind not in "buif" or array.ndim < 2 or not np.isfinite(array).all():
            raise ValueError(f"counts must be finite numbers [T, *input] or [T, B, *input], got {array.dtype} {array.shape}")
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
    with tempfile.TemporaryDirectory(prefix="snnsim-") as name:
        folder = Path(name)
        listed = [[os.path.abspath(path), str(folder / f"in{i}.npz"), str(folder / f"out{i}.npz")]
                  for i, (path, _) in enumerate(jobs)]
        for (_, given, _), array in zip(listed, arrays, strict=True):
            np.savez(given, counts=array.astype(np.float32))
        (folder / "jobs.json").write_text(json.dumps(listed))
        files = [str(folder / "jobs.json"), str(folder / "failed.json")]
        command = [os.fspath(python), "-m", f"snnsim.interop.{tool}_nir", *files]
        run_child(tool, command, f"{jobs[0][0]}" if len(jobs) == 1 else f"{len(jobs)} files", INSTALL[tool], folder=folder,
                  timeout=timeout, search=ROOT)
        failed = json.loads((folder / "failed.json").read_text())
        found: list[dict[str, NDArray[np.uint8]] | RuntimeError] = []
        for i, (path, _, result) in enumerate(listed):
            if str(i) in failed:
                found.append(RuntimeError(f"{tool} cannot run {path}: {failed[str(i)]}"))
                continue
            with np.load(result, allow_pickle=False) as spikes:
                found.append({n: spikes[n] for n in spikes.files})
        return found


def verify_nir(path: str | os.PathLike[str], network: Network, counts: ArrayLike, tool: Tool, *,
               python: str | os.PathLike[str] = sys.executable, timeout: float = 300.0) -> MatchReport:
    """Run the exported file in another tool and the network in our engine, and compare all spikes.

    counts: [T, B, *input] or [T, *input]. Predictions are compared where the network reads spike counts; the tools have
    no readout by membrane.

    Errors: as `run_nir`, and ValueError when the file holds other populations than the network.
    """
    array: NDArray[Any] = with_batch(np.asarray(counts, network.dtype), network.input.shape)
    return beside(path, network, array, engine.run(network, array), tool, python, timeout)


def beside(path: str | os.PathLike[str], network: Network, array: NDArray[Any], result: Result, tool: Tool,
           python: str | os.PathLike[str] = sys.executable, timeout: float = 300.0) -> MatchReport:
    """As `verify_nir`, with the network's run on the counts [T, B, *input]."""
    rules = {p.name: p.rule for p in network.populations}
    expected = {n: s.dense() for n, s in result.spikes.items() if (rule := rules[n]) and rule.fires}
    spikes = run_nir(path, array, tool, python=python, timeout=timeout)
    found = {n: spikes[n].reshape(a.shape) for n, a in expected.items() if n in spikes}
    told = nir.describe(path)
    layers = compare(expected, found)
    equal: int | None = None
    difference: float | None = None
    if network.readout == "count":
        scores = found[network.output].sum(0).reshape(array.shape[1], -1)
        equal = int(np.sum(np.argmax(scores, 1) == result.prediction))
        difference = float(np.abs(scores - result.scores).max())
    return MatchReport(os.fspath(path), array.shape[1], layers, first_divergences(network, network, array, expected, found),
                       equal, difference, told.lossy if told else (), told.kept if told else (), ran_in=tool)
