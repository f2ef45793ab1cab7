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

from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection, run
from snnsim.hardware.mapping import LoihiLimits, Mapping, place
from snnsim.interop.child import run_child, whole_counts

INSTALL = "make peers-sanafe, or pip install sanafe==2.2.9 for the interpreter that is given"
ENERGIES = ("synapse", "dendrite", "soma", "network", "total")
UNREACHED = 2.0**40  # above all that a v of 24 bits can be
LARGEST = 200_000  # synapses of a projection: some seconds


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

    Its neuron is v = trunc(v leak) + bias + sum of what fired a step ago, in 64ths, and fires above the threshold. That is ours
    without a memory of the current, for any leak, bias and threshold of each neuron, as long as v stays within its bits. A map
    of any kind is unrolled into its synapses, each with a delay of 1. Errors: ValueError that names what is not so;
    OverflowError where v leaves its bits; ImportError that says how to install it; RuntimeError with SANA-FE's own last words;
    TimeoutError.
    """
    mapping = mapping or place(model, LoihiLimits.loihi1())
    given = _samples(model, counts)
    populations = [_described(p, mapping) for p in model.populations[1:]]
    arrays: dict[str, NDArray[Any]] = {"counts": given}
    for i, q in enumerate(model.projections):
        arrays.update({f"{name}{i}": a for name, a in _synapses(model, q).items()})
    for i, p in enumerate(model.populations[1:]):
        arrays.update({f"{name}{i}": a for name, a in _parameters(p).items()})
    run(model, np.asarray(counts), overflow="raise", spikes=False)
    about = {"input": model.populations[0].name, "energies": ENERGIES,
             "populations": populations,
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


def _synapses(model: IntegerNetwork, q: IntegerProjection) -> dict[str, NDArray[Any]]:
    """Each with its ends, and what a spike adds to v, in 64ths."""
    indptr, post, mantissa, delay = q.synapses(model.population(q.source).shape)
    if np.any(delay != 1):
        raise ValueError(f"projection {q.name}: SANA-FE is given delays of 1 step, got {int(delay.max())}")
    if len(post) > LARGEST:
        raise ValueError(f"projection {q.name}: SANA-FE is given at most {LARGEST:,} synapses, which are connected one by one, "
                         f"got {len(post):,}")
    weight = mantissa * 2.0**q.exponent
    if np.any(weight != np.rint(weight)):
        raise ValueError(f"projection {q.name}: SANA-FE rounds no sum, so with exponent {q.exponent} all mantissas must be "
                         f"multiples of {2**-q.exponent}")
    return {"source": np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), "target": post, "weight": weight}


def _described(p: IntegerPopulation, mapping: Mapping) -> dict[str, Any]:
    if np.any(p.du != 4095):
        raise ValueError(f"population {p.name!r}: SANA-FE's current has no memory in whole numbers: it computes as we do for "
                         f"du of 4095, got {int(np.min(p.du))}")
    if np.any(p.start != 0):
        raise ValueError(f"population {p.name!r} starts at {int(np.abs(p.start).max())}, SANA-FE's neurons at 0")
    return {"name": p.name, "size": p.size, "reset": p.reset, "cores": mapping.core_of(p.name).tolist()}


def _parameters(p: IntegerPopulation) -> dict[str, NDArray[np.float64]]:
    """Of each neuron. v is in 64ths, to which SANA-FE cuts what leaks."""
    each = {"leak": 1.0 - p.dv / 4096.0, "bias": (p.bias << p.bias_exponent) / 64.0,
            "threshold": np.full((), UNREACHED) if p.reset == "none" else p.vth * 1.0}
    return {name: np.broadcast_to(value, p.shape).ravel().astype(np.float64) for name, value in each.items()}
