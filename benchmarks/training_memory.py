"""Memory of one training step of 700-256-256-20, each tool in a fresh process; and how ours grows with the steps.

Run as a program, it is snnsim's side: python -m benchmarks.training_memory NET STEPS BATCH THREADS
"""

from __future__ import annotations

import gc
import sys
from itertools import pairwise
from typing import Any

import torch

import snnsim
from benchmarks import peer_work as work
from benchmarks.common import Against, AsJson, Module, Peer, Threads, report
from benchmarks.peer_shared import serve
from benchmarks.training import PEERS, Ours, beside, chosen

NET, STEPS, BATCH = "ff", (250, 500, 1000), 64


def train_memory(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """Peak memory of a training step of 700-256-256-20 at 1,000 steps, batch 64; ours at 250, 500 and 1,000 steps."""
    arguments = [(NET, str(steps), str(BATCH), str(threads)) for steps in STEPS]
    rows = [row("snnsim", Module("benchmarks.training_memory", *a, threads=threads), int(a[1])) for a in arguments]
    whole = rows[-1]
    for peer in chosen(PEERS[NET], against):
        rows.append(row(peer, beside(peer, "memory", NET, STEPS[-1], BATCH, threads), STEPS[-1]))
        for key in ("over_imported", "over_built"):
            rows[-1][f"ratio_{key}"] = round(whole[f"{key}_mb"] / rows[-1][f"{key}_mb"], 4)
    for before, after in pairwise(rows[: len(STEPS)]):
        grown = after["over_built_mb"] - before["over_built_mb"]
        after["bytes_a_neuron_step"] = round(grown * 2**20 / ((after["T"] - before["T"]) * BATCH * NEURONS), 2)
    report("train-memory", rows, {r["engine"]: r["ratio_over_imported"] for r in rows if "ratio_over_imported" in r}, as_json)


NEURONS = sum(shape[0] for shape in work.SHAPES[NET])


def row(engine: str, process: Peer, steps: int) -> dict[str, Any]:
    """MB: after the imports, after building net and input, and the peak of a step over each of the two."""
    try:
        about, peak = process.about, process.run()["peak_mb"]
    finally:
        process.close()
    return {"engine": engine, "version": about["version"], "T": steps, "B": BATCH, "imported_mb": round(about["imported_mb"]),
            "built_mb": round(about["built_mb"]), "peak_mb": round(peak), "over_imported_mb": round(peak - about["imported_mb"]),
            "over_built_mb": round(peak - about["built_mb"])}


def main() -> None:
    net, (steps, batch, threads) = sys.argv[1], map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    imported = work.resident_mb()
    Ours(net, work.draw(net, 2, 2)).step()  # compiles
    ours = Ours(net, work.draw(net, steps, batch))

    def peak() -> dict[str, Any]:
        gc.collect()
        work.forget_peak()
        ours.step()
        return {"peak_mb": work.resident_mb("VmHWM")}

    gc.collect()
    serve({"version": snnsim.__version__, "imported_mb": imported, "built_mb": work.resident_mb()}, peak)


if __name__ == "__main__":
    main()
