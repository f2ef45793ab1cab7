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

NET, STEPS, BATCH = "ff", (250, 500, 1000), 128
NEURONS = sum(shape[0] for shape in work.SHAPES[NET])
BASES = ("imported", "warmed", "built")


def train_memory(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """Peak memory of a training step of 700-256-256-20 at 1,000 steps, batch 128; ours at 250, 500 and 1,000 steps."""
    rows = [ours_of(steps, BATCH, threads) for steps in STEPS]
    whole = rows[-1]
    for peer in chosen(PEERS[NET], against):
        rows.append(row(peer, beside(peer, "memory", NET, STEPS[-1], BATCH, threads), STEPS[-1]))
        for base in BASES:
            rows[-1][f"ratio_{base}"] = round(whole[f"over_{base}_mb"] / rows[-1][f"over_{base}_mb"], 4)
    for before, after in pairwise(rows[: len(STEPS)]):
        grown = after["over_built_mb"] - before["over_built_mb"]
        after["bytes_a_neuron_step"] = round(grown * 2**20 / ((after["T"] - before["T"]) * BATCH * NEURONS), 2)
    report("train-memory", rows, {r["engine"]: r["ratio_warmed"] for r in rows[len(STEPS):]}, as_json, of="memory")


def ours_of(steps: int, batch: int, threads: int) -> dict[str, Any]:
    """Our row. The first process is no measurement: what compiling leaves free would hold a part of the step."""
    arguments = NET, str(steps), str(batch), str(threads)
    return [row("snnsim", Module("benchmarks.training_memory", *arguments, threads=threads), steps) for _ in range(2)][1]


def row(engine: str, process: Peer, steps: int) -> dict[str, Any]:
    """MB held after the imports, after a step of the same net on two steps of two samples (which loads and compiles what a
    step needs), and with the whole net and input; and the peak of a step over each of them."""
    try:
        about, peak = process.about, process.run()["peak_mb"]
    finally:
        process.close()
    return {"engine": engine, "version": about["version"], "T": steps, "B": BATCH, "peak_mb": round(peak),
            **{f"{base}_mb": round(about[f"{base}_mb"]) for base in BASES},
            **{f"over_{base}_mb": round(peak - about[f"{base}_mb"]) for base in BASES}}


def main() -> None:
    net, (steps, batch, threads) = sys.argv[1], map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    imported = work.resident_mb()
    Ours(net, work.draw(net, 2, 2)).step()
    warmed = work.resident_mb()
    ours = Ours(net, work.draw(net, steps, batch))

    def peak() -> dict[str, Any]:
        gc.collect()
        work.forget_peak()
        ours.step()
        return {"peak_mb": work.resident_mb("VmHWM")}

    gc.collect()
    serve({"version": snnsim.__version__, "imported_mb": imported, "warmed_mb": warmed, "built_mb": work.resident_mb()}, peak)


if __name__ == "__main__":
    main()
