"""A trained-size net on events: 700-256-256-20 soft-reset LIF, 1,000 steps, 2 % of the inputs active at each step."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Against, AsJson, Peer, Threads, asked, interleave, peer_python, refuse, report, seconds, spread
from benchmarks.floor import SIZES, floor
from snnsim import engine
from snnsim.datasets import EventBatch
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LIF

STEPS, DENSITY, DECAY = 1000, 0.02, np.float32(0.9)
ROUNDS = {1: 12, 64: 5}
QUICK = {1: 20, 64: 1}  # runs a turn of those that take a millisecond
PEERS = ("floor", "torch", "spikingjelly")


def weights() -> list[np.ndarray]:
    """Random weights with which the hidden neurons fire in 4-5 % of the steps."""
    rng = np.random.default_rng(0)
    gains, means = (0.315, 0.245, 0.21), (0.004, 0.0, 0.0)
    return [(rng.normal(size=(outputs, inputs)) * gain / np.sqrt(inputs * 0.02) + mean).astype(np.float32)
            for (inputs, outputs), gain, mean in zip(pairwise(SIZES), gains, means, strict=True)]


def network(layers: list[np.ndarray]) -> Network:
    names = ("input", "hidden1", "hidden2", "output")
    parameters = {"decay": DECAY, "theta": np.float32(1.0)}
    neurons = [Population(n, (s,), LIF().rule, parameters) for n, s in zip(names[1:], SIZES[1:], strict=True)]
    projections = [Projection(*ends, (Dense(w),)) for ends, w in zip(pairwise(names), layers, strict=True)]
    return Network((Population("input", SIZES[:1]), *neurons), tuple(projections), readout="count")


class Bare:
    """The floor's input, in its own order."""

    def __init__(self, x: np.ndarray, layers: list[np.ndarray]) -> None:
        self.steps, self.batch = x.shape[:2]
        row, index = np.nonzero(x.transpose(1, 0, 2).reshape(-1, x.shape[2]))
        self.indptr = np.searchsorted(row, np.arange(self.steps * self.batch + 1))
        self.indices, self.weights = index.astype(np.int32), [np.ascontiguousarray(w.T) for w in layers]

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        outputs, counts = np.zeros((self.batch, SIZES[-1]), np.float32), np.zeros(3, np.int64)
        floor(self.indptr, self.indices, self.steps, self.batch, *self.weights, DECAY, outputs, counts)
        return outputs, counts


def differs(ours: engine.Result, outputs: Any, counts: Any) -> bool:
    """Sums are rounded in another order, so a spike in ten thousand may differ, and what follows from it."""
    mine = [int(c.sum()) for c in ours.counts.values()]
    return bool(np.abs(np.subtract(mine, counts)).sum() > 2 + 1e-4 * sum(mine)
                or np.abs(ours.scores - outputs).sum() > 2 + 1e-2 * ours.scores.sum())


def inference(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """700-256-256-20 soft-reset LIF on events, batch 1 and 64, beside a bare loop, torch and SpikingJelly."""
    wanted = asked(against, PEERS)
    pythons: dict[str, Any] = {"torch": peer_python("torch"), "spikingjelly": peer_python("torch")}
    if pythons["torch"] is None and importlib.util.find_spec("torch"):
        pythons["torch"] = sys.executable
    chosen = [p for p in wanted or PEERS if p == "floor" or pythons[p]]
    for name in set(wanted) - set(chosen):
        refuse(f"{name} is not installed: `make peers` installs it")
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for batch in (1, 64):
        measured = _measure(batch, threads, chosen, pythons)
        rows += measured
        if batch == 1:
            ratios = {r["engine"]: round(measured[0]["median_ms"] / r["median_ms"], 4) for r in measured[1:]}
    report("inference", rows, ratios, as_json)


def _measure(batch: int, threads: int, chosen: list[str], pythons: dict[str, Any]) -> list[dict[str, Any]]:
    layers = weights()
    x = (np.random.default_rng(1).random((STEPS, batch, SIZES[0])) < DENSITY).astype(np.float32)
    events = EventBatch.from_dense(x.reshape(STEPS, batch, 1, 1, SIZES[0]))
    prepared, bare = engine.prepare(network(layers)), Bare(x, layers)
    found = engine.run(prepared, events, threads=threads)
    if len(found.spikes["output"]) < batch or differs(found, *bare.run()):
        refuse(f"at batch {batch}, snnsim and the bare loop do not give the same spikes")
    contestants = {"snnsim": lambda: seconds(lambda: engine.run(prepared, events, threads=threads))}
    if "floor" in chosen:
        contestants["floor"] = lambda: seconds(bare.run)
    versions, peers = {}, []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input.npz"
        np.savez(file, x=x, decay=DECAY, **{f"w{i}": w for i, w in enumerate(layers)})
        try:
            for name in chosen:
                if name != "floor":
                    peer = Peer(pythons[name], "peer_inference.py", name, str(file), str(threads), threads=threads)
                    peers.append(peer)
                    versions[name] = peer.about["version"]
                    if differs(found, peer.about["outputs"], peer.about["counts"]):
                        refuse(f"at batch {batch}, snnsim and {name} do not give the same spikes")
                    contestants[name] = lambda peer=peer: peer.run()["seconds"]
            times = interleave(contestants, ROUNDS[batch], dict.fromkeys(("snnsim", "floor"), QUICK[batch]))
        finally:
            for peer in peers:
                peer.close()
    first = spread(times["snnsim"])["median_ms"]
    return [{"batch": batch, "engine": name, "version": versions.get(name, ""), "threads": threads, **spread(t),
             "ratio": round(first / spread(t)["median_ms"], 4)} for name, t in times.items()]
