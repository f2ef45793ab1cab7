"""The linear layer on spikes alone beside the dense product, over how many of the inputs fire: where the one overtakes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.common import AsJson, Threads, interleave, refuse, report, seconds
from snnsim.nn import sparse as layer

ROWS = 12_800  # steps times samples
SHAPES = ((256, 256), (700, 256), (256, 64), (1024, 512))  # inputs, outputs
SHARES = (0.02, 0.05, 0.1, 0.2, 0.25, 0.4)
ROUNDS = 7


def sparse(threads: Threads = 1, as_json: AsJson = False) -> None:
    """ms of forward and backward of a linear layer: its spikes found and taken alone, and the dense product."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [measure(inputs, outputs, share, threads) for inputs, outputs in SHAPES for share in SHARES]
    finally:
        torch.set_num_threads(before)
    at = [r["ratio"] for r in rows if r["share"] == layer.SHARE]
    report("sparse", rows, {f"dense at a share of {layer.SHARE}": max(at)}, as_json)


def measure(inputs: int, outputs: int, share: float, threads: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy((rng.random((ROWS, inputs)) < share).astype(np.float32)).requires_grad_()
    weight = torch.from_numpy(rng.standard_normal((outputs, inputs), np.float32)).requires_grad_()
    bias, g = torch.zeros(outputs, requires_grad=True), torch.from_numpy(rng.standard_normal((ROWS, outputs), np.float32))
    found: Callable[[torch.Tensor], Any] = layer.found

    def step(alone: bool) -> list[torch.Tensor]:
        y = layer._Linear.apply(x, found(x) if alone else None, weight, bias)
        return [y, *torch.autograd.grad(y, [x, weight, bias], g)]

    limit, layer.SHARE = layer.SHARE, 1.0
    try:
        for a, b in zip(step(True), step(False), strict=True):
            if float((a - b).detach().abs().max()) > 1e-5 * float(b.detach().abs().max()):
                refuse(f"at {inputs} inputs, {outputs} outputs and a share of {share} the two products disagree")
        times = interleave({"sparse": lambda: seconds(lambda: step(True)), "dense": lambda: seconds(lambda: step(False))},
                           ROUNDS, {})
    finally:
        layer.SHARE = limit
    median = {k: 1e3 * statistics.median(t) for k, t in times.items()}
    return {"inputs": inputs, "outputs": outputs, "share": share, "threads": threads,
            "sparse_ms": round(median["sparse"], 3), "dense_ms": round(median["dense"], 3),
            "ratio": round(median["sparse"] / median["dense"], 3)}
