"""How much faster more threads train: a layer of neurons in four shapes and the three nets, in turns with one thread.

Beside them stands what the machine itself gains: threads that share nothing, in bare loops.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import neuron, training
from benchmarks import peer_work as work
from benchmarks.common import AsJson, Threads, interleave, refuse, report, seconds, spread
from snnsim.nn.threads import run

BARE = {"bare loops, 16 KB a thread": (2_048, 32_768), "bare loops, 64 MB a thread": (8 << 20, 4)}  # neurons, steps of all

ROUNDS, QUICK = 15, 3  # a layer runs so many times a turn
WEIGHTS = 1e-6  # how far weights may be apart after a step: matrix products of torch are not the same bits


def train_threads(threads: Threads = 2, as_json: AsJson = False) -> None:
    """Forward + backward of a layer of LIF neurons, and steps of the three nets, with so many threads and with one."""
    if threads == 1:
        refuse("--threads must be more than 1: it is compared with 1")
    before = torch.get_num_threads()
    try:
        rows = [row for shape in neuron.SHAPES for row in layer(shape, threads)]
        rows += [row for net in work.SHAPES for row in whole(net, threads)]
    finally:
        torch.set_num_threads(before)
    gains = [r["faster"] for r in rows if r["threads"] == threads]
    mean = math.exp(statistics.fmean(map(math.log, gains)))
    rows += [row for name in BARE for row in bare(name, threads)]
    report("train-threads", rows, {"one thread": round(1 / mean, 4), "one thread_worst": round(1 / min(gains), 4)}, as_json)


@numba.njit(nogil=True)
def leak(k: int, of: int, v: NDArray[np.float32], x: NDArray[np.float32], steps: int) -> None:
    """Part k of the steps, on membranes of its own."""
    for _ in range(steps // of):
        for i in range(v.shape[1]):
            v[k, i] = np.float32(0.5) * v[k, i] + x[k, i]


def bare(name: str, threads: int) -> list[dict[str, Any]]:
    """The same steps of leaking membranes, by one thread and shared out."""
    neurons, steps = BARE[name]
    v, x = np.zeros((threads, neurons), np.float32), np.ones((threads, neurons), np.float32)
    return measure(name, {n: lambda n=n: run(leak, n, v, x, steps) for n in (1, threads)}, QUICK)


def layer(shape: tuple[int, int, int], threads: int) -> list[dict[str, Any]]:
    ours = neuron.Ours(shape)
    found = {}
    for n in (1, threads):
        torch.set_num_threads(n)
        found[n] = ours.first()
    if found[1] != found[threads]:
        refuse(f"at {shape}, spikes and gradients are {found[1]} with one thread and {found[threads]} with {threads}")
    return measure("x".join(map(str, shape)), dict.fromkeys((1, threads), ours.both), QUICK)


def whole(net: str, threads: int, steps: int = 0, batch: int = 0, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Each number of threads trains a net of its own, so that both take the same steps."""
    task, nets = work.draw(net, steps, batch), {}
    for n in (1, threads):
        torch.set_num_threads(n)
        nets[n] = training.Ours(net, task)
        nets[n].step()
    apart = max(float((a - b).detach().abs().max()) for a, b in zip(nets[1].module.parameters(),
                                                                   nets[threads].module.parameters(), strict=True))
    if not apart <= WEIGHTS:
        refuse(f"the weights of {net} after a step are {apart:.1e} apart with one thread and with {threads}")
    return measure(net, {n: ours.step for n, ours in nets.items()}, 1, rounds)


def measure(work_of: str, runs: Mapping[int, Callable[[], Any]], quick: int, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    def timed(n: int) -> float:
        torch.set_num_threads(n)
        return seconds(runs[n])

    for n in runs:
        timed(n)
    times = interleave({str(n): lambda n=n: timed(n) for n in runs}, rounds, dict.fromkeys(map(str, runs), quick))
    median, least = ({int(n): f(t) for n, t in times.items()} for f in (statistics.median, min))
    return [{"work": work_of, "threads": int(n), **spread(t), "faster": round(median[1] / median[int(n)], 3),
             "faster_by_minima": round(least[1] / least[int(n)], 3)} for n, t in times.items()]
