"""The neuron alone, in training: a soft-reset LIF with the atan surrogate, forward and forward + backward."""

from __future__ import annotations

import importlib.util
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import snnsim.nn as nn
from benchmarks.common import Against, AsJson, Peer, Threads, interleave, peer_python, refuse, report, seconds
from snnsim.neurons import LIF

SHAPES = ((100, 32, 128), (16, 128, 1024), (100, 128, 1024), (16, 256, 4096))  # steps, batch, neurons
ROUNDS = 15
QUICK = 3  # runs a turn of those that take a millisecond or few
PEERS = ("spikingjelly", "memcpy")


class Ours:
    """The public path: a module, called and differentiated. Its buffers come from the pool."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        x = np.random.default_rng(0).standard_normal(shape, np.float32) * np.float32(0.4) + np.float32(0.05)
        self.x, self.copy = torch.from_numpy(x).requires_grad_(), torch.empty(shape)
        self.g = torch.ones(shape)
        self.neuron = nn.Neuron(LIF(tau=10.0, decay="euler"), surrogate="atan", dt=1.0)

    def forward(self) -> torch.Tensor:
        with torch.no_grad():
            return self.neuron(self.x)[0]

    def both(self) -> torch.Tensor:
        self.x.grad = None
        out, _ = self.neuron(self.x)
        out.backward(self.g)
        return out.detach()

    def memcpy(self) -> None:
        with torch.no_grad():
            self.copy.copy_(self.x)


def neuron(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """ns per neuron-step of a soft-reset LIF, forward and forward + backward, beside SpikingJelly and memcpy."""
    result = run(threads, against)
    report("neuron", result["rows"], result["ratios"], as_json)


def run(threads: int = 1, against: Sequence[str] | None = None) -> dict[str, Any]:
    """rows, and the ratios of forward + backward: geometric mean over the shapes, and the worst."""
    for name in against or ():
        if name not in PEERS:
            refuse(f"--against must be one of {', '.join(PEERS)}, got {name!r}")
    python = _python()
    if python is None and "spikingjelly" in (against or ()):
        refuse("spikingjelly is not installed: `make peers` installs it")
    chosen = [p for p in against or PEERS if p == "memcpy" or python]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [row for shape in SHAPES for row in _measure(shape, threads, chosen, python)]
    finally:
        torch.set_num_threads(before)
    ratios = {}
    for name in chosen:
        of = [r["ratio"] for r in rows if r["engine"] == name and r["kind"] != "forward"]
        ratios[name] = round(math.exp(statistics.fmean(map(math.log, of))), 4)
        ratios[f"{name}_worst"] = max(of)
    return {"rows": rows, "ratios": ratios}


def _python() -> Path | str | None:
    return peer_python("torch") or (sys.executable if importlib.util.find_spec("spikingjelly") else None)


def _measure(shape: tuple[int, int, int], threads: int, chosen: list[str], python: Path | str | None) -> list[dict[str, Any]]:
    ours = Ours(shape)
    runs: dict[str, Callable[[], Any]] = {"snnsim forward": ours.forward, "snnsim forward + backward": ours.both}
    if "memcpy" in chosen:
        runs["memcpy copy"] = ours.memcpy
    contestants: dict[str, Callable[[], float]] = {k: lambda f=f: seconds(f) for k, f in runs.items()}
    peers, release = [], ""
    try:
        if "spikingjelly" in chosen:
            assert python is not None
            for kind, label in (("forward", "forward"), ("both", "forward + backward")):
                peer = Peer(python, "peer_neuron.py", kind, *map(str, shape), str(threads), threads=threads)
                peers.append(peer)
                release = peer.about["version"]
                _agree(ours, shape, peer.about)
                contestants[f"spikingjelly {label}"] = lambda peer=peer: peer.run()["seconds"]
        for f in runs.values():
            f()
        times = interleave(contestants, ROUNDS, dict.fromkeys(runs, QUICK))
    finally:
        for peer in peers:
            peer.close()
    median = {k: statistics.median(t) for k, t in times.items()}
    nanoseconds = lambda s: round(s * 1e9 / math.prod(shape), 3)  # noqa: E731
    rows = []
    for k, t in times.items():
        engine, _, kind = k.partition(" ")
        against = "forward" if kind == "forward" else "forward + backward"
        rows.append({"T": shape[0], "B": shape[1], "N": shape[2], "engine": engine, "kind": kind, "threads": threads,
                     "version": release if engine == "spikingjelly" else "", "median_ns": nanoseconds(median[k]),
                     "minimum_ns": nanoseconds(min(t)), "maximum_ns": nanoseconds(max(t)), "runs": len(t),
                     "ratio": round(median[f"snnsim {against}"] / median[k], 4)})
    return rows


def _agree(ours: Ours, shape: tuple[int, int, int], about: dict[str, float]) -> None:
    """The same spikes and gradients up to rounding at the threshold, or no number."""
    spikes = float(ours.both().double().sum())
    assert ours.x.grad is not None
    gradient = float(ours.x.grad.double().abs().sum())
    if abs(spikes - about["spikes"]) > 1e-5 * spikes or abs(gradient - about["gradient"]) > 1e-4 * gradient:
        refuse(f"at {shape}, snnsim and SpikingJelly disagree: {spikes} and {about['spikes']} spikes, sum of gradients "
               f"{gradient} and {about['gradient']}")
