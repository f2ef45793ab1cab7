"""Run an integer network in SANA-FE's model of Loihi 1, in a process of its own: spikes, energy and time.

SANA-FE is GPL-3.0 and is used for tests alone: nothing here imports it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation
from snnsim.hardware.mapping import LoihiLimits, Mapping, place
from snnsim.interop.child import run_child, whole_counts
from snnsim.maps import Dense

INSTALL = "make peers-sanafe, or pip install sanafe==2.2.9 for the interpreter that is given"
ENERGIES = ("synapse", "dendrite", "soma", "network", "total")
UNREACHED = 2.0**40  # above all that a v of 24 bits can be
LEAKS = {0: 1.0, 2048: 0.5, 4096: 0.0}


@dataclass(frozen=True, eq=False)
class SanafeResult:
    """spikes: by population, uint8 [T, B, *population]. energy: pJ of each sample, by part. time: ms of each sample."""

    spikes: dict[str, NDArray[np.uint8]]
    energy: dict[str, NDArray[np.float64]]
    time: NDArray[np.float64]


def interpreter() -> Path | str:
    """That of the venv that `make peers-sanafe` makes, or this one."""
    folder = Path(__file__).resolve().parents[2] / ".venv-peers" / "sanafe"
    found = [p for p in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if p.exists()]
    return found[0] if found else sys.executable


def run_sanafe(model: IntegerNetwork, counts: ArrayLike, mapping: Mapping | None = None, *,
               python: str | os.PathLike[str] | None = None, timeout: float = 300.0) -> SanafeResult:
    """Spikes, energy and time of samples in SANA-FE.

    counts: 0 or 1, [T, *input] or [T, B, *input]; the run is longer by the network's latency. mapping: where the neurons lie,
    by default `place` under the limits of Loihi 1; the input lies on the chip's last cores. python: one that has sanafe; by
    default that of `interpreter`. timeout: s.

    Its neuron is v = v leak + sum of what fired a step ago, in floats, and fires above the threshold. That is ours where
    nothing is rounded: maps are dense with delay 1, u has no memory, there is no bias, and dv is 0, 4096, or 2048 as long as v
    can be halved. Errors: ValueError that names what is not so; ImportError that says how to install it; RuntimeError with
    SANA-FE's own last words; TimeoutError.
    """
    mapping = mapping or place(model, LoihiLimits.loihi1())
    given = _samples(model, counts)
    arrays = {"counts": given, **{f"weight{i}": _weights(q) for i, q in enumerate(model.projections)}}
    about = {"input": model.populations[0].name, "energies": ENERGIES,
             "populations": [_described(p, mapping) for p in model.populations[1:]],
             "projections": [{"source": q.source, "target": q.target} for q in model.projections]}
    with tempfile.TemporaryDirectory(prefix="snnsim-") as folder:
        ask, answer = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
        np.savez(ask, about=json.dumps(about), **arrays)  # type: ignore[arg-type]
        command = [os.fspath(python or interpreter()), str(Path(__file__).with_name("sanafe_child.py")), ask, answer]
        run_child("SANA-FE", command, "the network", INSTALL, folder=folder, timeout=timeout)
        with np.load(answer, allow_pickle=False) as found:
            spikes = {p.name: found[f"spikes/{p.name}"].reshape(given.shape[0], given.shape[1], *p.shape)
                      for p in model.populations[1:] if p.reset != "none"}
            return SanafeResult(spikes, dict(zip(ENERGIES, 1e12 * found["energy"].T, strict=True)), 1e3 * found["time"])


def _samples(model: IntegerNetwork, counts: ArrayLike) -> NDArray[np.uint8]:
    """What the inputs fire, at most once a step, and then the steps that the network is late."""
    array = whole_counts(counts, model.populations[0].shape, "counts", most=1)
    flat = array.reshape(*array.shape[:2], -1).astype(np.uint8)
    return np.concatenate([flat, np.zeros((model.latency, *flat.shape[1:]), np.uint8)])


def _weights(q: Any) -> NDArray[np.float64]:
    """What a spike adds to v."""
    if not isinstance(q.map, Dense) or q.delay != 1 or q.exponent < 0:
        raise ValueError(f"projection {q.name}: SANA-FE is given dense maps of delay 1 with no negative exponent, got "
                         f"{q.map!r} of delay {q.delay} and exponent {q.exponent}")
    return np.asarray(q.mantissas * 64.0 * 2.0**q.exponent)


def _described(p: IntegerPopulation, mapping: Mapping) -> dict[str, Any]:
    leak = LEAKS.get(int(p.dv.flat[0])) if np.ptp(p.dv) == 0 else None
    if leak is None or np.any(p.du != 4095) or np.any(p.bias != 0) or np.any(p.start != 0) or np.size(p.vth) != 1:
        known = ", ".join(map(str, LEAKS))
        raise ValueError(f"population {p.name!r}: SANA-FE computes as we do for du of 4095, dv of {known}, "
                         "one threshold, no bias and a start at 0")
    return {"name": p.name, "size": p.size, "threshold": UNREACHED if p.reset == "none" else 64.0 * float(p.vth),
            "reset": "none" if p.reset == "none" else p.reset, "leak": leak, "cores": mapping.core_of(p.name).tolist()}
