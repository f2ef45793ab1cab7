"""Pulses a second of the pulse-level executor, on one thread: nets of 64-32-10 and 128-256-10 with random whole weights.

Slots without jitter, where no pulse may be lost and spikes must be those of the engine; slots with jitter, where each pulse has
a time of its own; and without slots, where most are lost. A pulse is one that a synapse sends, with those of its weight. Ratios
are of processor time, to 10 million pulses a second.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import AsJson, refuse, report
from snnsim import engine
from snnsim.hardware import sfq
from snnsim.hardware.sfq import SFQLayer, SFQNetwork

ASKED = 10.0  # million pulses a second
NETS = ((64, 32, 10), (128, 256, 10))

Rounds = Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")]
Steps = Annotated[int, typer.Option(min=1, help="Ticks a sample.")]
Samples = Annotated[int, typer.Option(min=1, help="Samples a run.")]


def sfq_pulses(rounds: Rounds = 5, steps: Steps = 100, samples: Samples = 10, as_json: AsJson = False) -> None:
    """Million pulses a second of the pulse-level executor of single-flux-quantum networks, one thread."""
    rows = measured(rounds, steps, samples)
    report("sfq_pulses", rows, {f"{r['net']}, {r['mode']}": ASKED / r["per_cpu_second"] for r in rows}, as_json)


def measured(rounds: int = 5, steps: int = 100, samples: int = 10) -> list[dict[str, Any]]:
    """The rows: wall and processor time of each net and mode."""
    rows = []
    for sizes in NETS:
        network, x = random_net(sizes), (np.random.default_rng(1).random((steps, samples, sizes[0])) < 0.2).astype(np.uint8)
        expected = engine.run(network.network(), x)
        for mode, options in (("slots", {}), ("slots, 0.5 ps jitter", {"jitter": 0.5}),
                              ("at once", {"schedule": sfq.asynchronous(network)})):
            found = sfq.run(network, x, threads=1, **options)  # compiled, and equal, before it is timed
            if mode == "slots" and (found.losses or any(np.any(found.spikes[n] != s.dense())
                                                        for n, s in expected.spikes.items() if n != "input")):
                refuse(f"the pulses of {sizes} are not the spikes of the engine")
            pulses = sum(int(n.sum()) for n in found.pulses.values())
            wall, cpu = [], []
            for _ in range(rounds):
                began = time.perf_counter(), time.process_time()
                sfq.run(network, x, threads=1, **options)
                wall.append(time.perf_counter() - began[0])
                cpu.append(time.process_time() - began[1])
            rows.append({"net": "-".join(map(str, sizes)), "mode": mode, "pulses": pulses, "lost": found.losses,
                         "million_pulses_per_second": round(pulses / statistics.median(wall) / 1e6, 2),
                         "per_cpu_second": round(pulses / statistics.median(cpu) / 1e6, 2), "runs": rounds})
    return rows


def random_net(sizes: tuple[int, ...]) -> SFQNetwork:
    rng = np.random.default_rng(0)
    return SFQNetwork([SFQLayer(f"layer{i}", rng.integers(-3, 4, (n, m)), 8, 3, bits=8)
                       for i, (m, n) in enumerate(pairwise(sizes))])
