"""Run a kernel's parts side by side on torch's number of threads.

A kernel here is compiled without Python's lock and does part k of n. These threads sleep while they wait: OpenMP's
spin, and two pools of them (torch's and Numba's) would take the cores from each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

_executors: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):  # a forked child has the executor, but none of its threads
    os.register_at_fork(after_in_child=_executors.clear)


def count(parts: int, work: int) -> int:
    """How many threads to use for this many independent parts, and this much work in neuron-steps or the like."""
    return max(1, min(torch.get_num_threads(), parts, work // 50_000))


def run(kernel: Callable[..., Any], threads: int, *arguments: Any) -> list[Any]:
    """kernel(k, threads, *arguments) for each k below threads, at the same time; what they return, by k."""
    if threads == 1:
        return [kernel(0, 1, *arguments)]
    executor = _executors.get(threads)
    if executor is None:
        executor = _executors.setdefault(threads, ThreadPoolExecutor(threads - 1, "snnsim-nn"))
    others = [executor.submit(kernel, k, threads, *arguments) for k in range(1, threads)]
    try:
        first = kernel(0, threads, *arguments)
    finally:
        rest = [f.result() for f in others]  # the arrays must outlive every part, whatever happened to the first
    return [first, *rest]
