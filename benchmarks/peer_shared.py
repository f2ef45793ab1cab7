"""What the peers of the simulator benchmarks share: the models' numbers, and what each of them measures and says.

NumPy only, nothing of snnsim: the peers' interpreters import it as it lies beside their scripts.
"""

import argparse
import json
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np

DT, SETTLE = 0.1, 100.0  # ms; a run is measured after so many ms that are not
NEURONS = {"brunel": 12_500, "cuba": 4000, "coba": 4000}
INDEGREE = {"brunel": (1000, 250), "cuba": (64, 16), "coba": (64, 16)}  # excitatory, inhibitory

# Potjans and Diesmann, Cereb. Cortex 24 (2014): L2/3E, L2/3I, L4E, L4I, L5E, L5I, L6E, L6I.
COLUMN_NEURONS = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
COLUMN_EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
COLUMN_RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.606, 8.638, 1.105, 7.829])
COLUMN_MEMBRANE = np.array([[-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43],
                            [5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48]])  # mean, standard deviation
COLUMN_PROBABILITY = np.array([  # [target, source]
    [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
    [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
    [0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0],
    [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
    [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
    [0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0],
    [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
    [0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443]])
PSC, BACKGROUND, TAU_SYN = 87.8, 8.0, 0.5  # pA, Hz, ms
DELAYS = ((1.5, 0.75), (0.8, 0.4))  # excitatory, inhibitory: mean, standard deviation
SHORTEST, LONGEST = 0.1, 6.3

Column = namedtuple("Column", "neurons totals weights psc drive external")  # [8], [target, source] twice, pA, pA [8], [8]


def column(scale, kscale=None):
    """The microcircuit with fewer neurons (scale) and inputs (kscale); van Albada et al., PLoS Comput. Biol. 11 (2015)."""
    k = scale if kscale is None else kscale
    full = np.round(np.log(1 - COLUMN_PROBABILITY) / np.log(1 - 1 / np.outer(COLUMN_NEURONS, COLUMN_NEURONS)))
    indegree = full / COLUMN_NEURONS[:, None]
    neurons = np.round(scale * COLUMN_NEURONS).astype(int)
    weights = np.tile([PSC, -4 * PSC], (8, 4))
    weights[0, 2] *= 2
    lost = (weights * indegree * COLUMN_RATES).sum(1) + PSC * COLUMN_EXTERNAL * BACKGROUND
    return Column(neurons, np.round(k * indegree * neurons[:, None]).astype(np.int64), weights / np.sqrt(k), PSC / np.sqrt(k),
                  (1 - np.sqrt(k)) * TAU_SYN * 1e-3 * lost, k * COLUMN_EXTERNAL)


def sizes(workload, scale):
    """Neurons of each population."""
    if workload == "microcircuit":
        return [int(n) for n in column(scale).neurons]
    n = round(NEURONS[workload] * scale)
    return [round(0.8 * n), n - round(0.8 * n)]


def truncated(rng, mean, std, low, high, size):
    """Normal draws; those outside low .. high are drawn again."""
    values = rng.normal(mean, std, size)
    while (outside := np.flatnonzero((values < low) | (values > high))).size:
        values[outside] = rng.normal(mean, std, outside.size)
    return values


def arguments(workloads):
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=workloads)
    for name, kind, value in (("scale", float, 1.0), ("ms", float, 1000.0), ("threads", int, 1), ("seed", int, 1)):
        parser.add_argument(f"--{name}", type=kind, default=value)
    parser.add_argument("--precision", choices=("single", "double", "packed"), default="single", help="for ours and the floor")
    parser.add_argument("--once", action="store_true", help="run once and end, without waiting for a line")
    return parser.parse_args()


class Stopwatch:
    """Seconds of wall clock and of this process's CPU time."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error):
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu


def peak_mb():
    """The most memory that this process has held."""
    status = Path("/proc/self/status")  # a child's ru_maxrss starts with what its parent held
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def statistics(neuron, time_ms, neurons, ms):
    """Of spikes (neurons counted through all populations): their number, each population's rate, and the mean coefficient of
    variation of the intervals of at most some 2,000 neurons that fired five times."""
    neuron, time_ms = np.asarray(neuron), np.asarray(time_ms)
    counts = np.histogram(neuron, np.cumsum([0, *neurons]) - 0.5)[0]
    order = np.lexsort((time_ms, neuron))
    _, first, fired = np.unique(neuron[order], return_index=True, return_counts=True)
    found = []
    for low, n in list(zip(first, fired, strict=True))[:: max(1, len(first) // 2000)]:
        intervals = np.diff(time_ms[order[low : low + n]])
        if n >= 5 and intervals.mean() > 0:
            found.append(intervals.std() / intervals.mean())
    rates = 1e3 / ms * counts / np.array(neurons)
    return {"spikes": len(neuron), "rates_hz": [round(float(r), 3) for r in rates],
            "cv": round(float(np.mean(found)), 3) if found else None}


def serve(about, run, once=False):
    """A JSON line when ready, then one for each line that is sent."""
    say = lambda answer: print(json.dumps(answer), flush=True)  # noqa: E731
    if once:
        say({**about, **run()})
        return
    say(about)
    for _ in sys.stdin:
        say(run())
