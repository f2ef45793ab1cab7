"""How long the cochlea takes for a set of spoken digits, kernels compiled: wall clock, and CPU time of all threads."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import ROOT, AsJson, refuse, report
from snnsim.datasets import Cochlea, Sounds, read_spoken, synthetic_spoken

CHANNELS = (64, 700)
FSDD = ROOT.parent / "shared" / "data" / "fsdd"


def cochlea(
    where: Annotated[Path | None, typer.Option("--data", help="Free Spoken Digit Dataset, an .npz or a folder; by default "
                                                              "../shared/data/fsdd, or else 2,500 made-up digits.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each; medians are reported.")] = 3,
    as_json: AsJson = False,
) -> None:
    """s for all recordings through 64 and 700 channels. On a busy machine CPU time over the cores is what a free one takes."""
    given = where or (FSDD if FSDD.exists() else None)
    sounds = synthetic_spoken(takes=50, speakers=5) if given is None else read_spoken(given)
    rows = [measure(sounds, channels, rounds) for channels in CHANNELS]
    report("cochlea", rows, {}, as_json)


def measure(sounds: Sounds, channels: int, rounds: int) -> dict[str, Any]:
    pieces = [sounds.audio[a:b] for a, b in zip(sounds.offsets[:-1], sounds.offsets[1:], strict=True)]
    ear = Cochlea(channels=channels)
    alone = [ear.encode(p, sounds.rate, i) for i, p in enumerate(pieces[:20])]
    wall, cpu, events = [], [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        events = ear.encode_all(pieces, sounds.rate, progress=False)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    if any(a.tobytes() != b.tobytes() for a, b in zip(alone, events[:20], strict=True)):
        refuse("threads gave other events than one recording after another")
    seconds = len(sounds.audio) / sounds.rate
    return {"channels": channels, "recordings": len(pieces), "seconds_of_sound": round(seconds, 1),
            "wall_s": round(float(np.median(wall)), 2), "wall_minimum_s": round(min(wall), 2),
            "cpu_s": round(float(np.median(cpu)), 2), "cores": os.cpu_count(),
            "times_real_time": round(seconds / float(np.median(wall)), 1),
            "events_a_recording": round(float(np.mean([len(e) for e in events])))}
