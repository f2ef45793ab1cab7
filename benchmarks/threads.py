"""How much faster more threads are: each network with one thread and with more, in turns."""

from __future__ import annotations

from functools import partial

from benchmarks.common import AsJson, Threads, interleave, refuse, report, spread
from benchmarks.simulators import NETWORKS, SEED
from snnsim.engine import Simulation

SETTLE, RUN, ROUNDS = 1000.0, 500.0, 21  # ms, ms
SCALES = {"brunel": 1.0, "cuba": 1.0, "coba": 1.0, "microcircuit": 0.1}


def threads(threads: Threads = 2, as_json: AsJson = False) -> None:
    """Wall time of brunel, cuba, coba and a tenth of the microcircuit with so many threads, beside one thread."""
    if threads == 1:
        refuse("--threads must be more than 1: it is compared with 1")
    rows, ratios = [], {}
    for name, scale in SCALES.items():
        simulations = {k: Simulation(NETWORKS[name](scale, SEED), threads=k, record=[]) for k in (1, threads)}
        counts = {k: s.run(SETTLE).counts for k, s in simulations.items()}
        if any((counts[1][p] != counts[threads][p]).any() for p in counts[1]):
            refuse(f"{name} does not fire the same spikes with {threads} threads as with one")
        times = interleave({str(k): partial(lambda s: s.run(RUN, progress=False).wall_s, s) for k, s in simulations.items()},
                           ROUNDS, {})
        rows += [{"network": name, "scale": scale, "threads": int(k), **spread(t)} for k, t in times.items()]
        ratios[f"{name}, one thread"] = round(rows[-1]["median_ms"] / rows[-2]["median_ms"], 3)
    report("threads", rows, ratios, as_json)
