"""The neuron alone on a GPU, in training: a soft-reset LIF, forward + backward, against what memory allows.

Forward reads x and writes spikes, backward reads x and the gradient of the spikes and writes that of x: 20 bytes a
neuron-step in float32, 10 in bfloat16. The least time is what a copy of that many bytes takes on the same card.
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer

import snnsim.nn as nn
from benchmarks.common import AsJson, refuse, report
from snnsim.neurons import LIF
from snnsim.nn import cuda

STEPS = (16, 256)
EXPONENTS = (16, 18, 20, 22)  # of two: neurons
MOVED = {torch.float32: 20, torch.bfloat16: 10}  # bytes a neuron-step, forward + backward
RUNS = 20
COPIED = 1 << 30  # bytes read, and as many written

RULE, ATAN = LIF().rule, nn.SURROGATES["atan"]
DECAY, THETA = 0.9, 1.0


def gpu(exponent: Annotated[list[int] | None, typer.Option(help="Neurons as a power of two: 16, 18, 20 and 22.")] = None,
        as_json: AsJson = False) -> None:
    """Forward + backward of a LIF over the time that its bytes take at the card's copy bandwidth, beside SpikingJelly."""
    if not torch.cuda.is_available():
        refuse("there is no CUDA device, and these numbers are measured on one or not given")
    equal()
    bandwidth = copied()
    rows = [row for dtype in MOVED for steps in STEPS for e in exponent or EXPONENTS
            for row in measured(dtype, steps, 1 << e, bandwidth)]
    ratios = {}
    for row in rows:
        key = f"{row['engine']} {row['dtype']}"
        ratios[key] = max(ratios.get(key, 0.0), row["over_least"])
    report("gpu", rows, {f"least time of a copy, worst of {k}": v for k, v in ratios.items()}, as_json)


def equal() -> None:
    """No number without equality: spikes bit for bit those of the eager rule on the card, gradients to 1e-5."""
    for steps, n in ((1, 33), (257, 1025)):
        x, parameters = inputs(torch.float32, steps, n)
        parameters = [p.requires_grad_() for p in parameters]
        results = []
        for run in (cuda.Loop(RULE, ATAN.slope, ATAN.width),
                    lambda *given: nn.eager(RULE, ATAN.slope, *given, width=ATAN.width)):
            out, _ = run([x], None, parameters)
            results.append([out, *torch.autograd.grad(out, [x, *parameters], torch.ones_like(out))])
        cuda.check()
        (out, *ours), (expected, *theirs) = results
        if not torch.equal(out, expected):
            refuse(f"at {steps} steps of {n} neurons {int((out != expected).sum())} spikes differ from the eager rule's")
        for a, b in zip(ours, theirs, strict=True):
            if float((a - b).abs().max()) > 1e-5 * float(b.abs().max()):
                refuse(f"at {steps} steps of {n} neurons a gradient differs from the eager rule's")


def inputs(dtype: torch.dtype, steps: int, n: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    g = torch.Generator("cuda").manual_seed(0)
    x = (torch.randn(steps, 1, n, generator=g, device="cuda", dtype=dtype) * 0.4 + 0.05).requires_grad_()
    return x, [torch.tensor(v, device="cuda") for v in (DECAY, THETA)]


def copied() -> float:
    """Bytes a second, read and written, of a large copy."""
    a = torch.zeros(COPIED, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * COPIED / statistics.median(timed(lambda: b.copy_(a)))


def timed(function: Callable[[], Any]) -> list[float]:
    """Seconds of each run on the card, after three that warm up."""
    for _ in range(3):
        function()
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(RUNS)]
    for start, end in marks:
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return [1e-3 * start.elapsed_time(end) for start, end in marks]


def graphed(function: Callable[[], Any]) -> Callable[[], Any]:
    """The function's work as one CUDA graph: at small sizes Python takes longer to launch kernels than they run."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def measured(dtype: torch.dtype, steps: int, n: int, bandwidth: float) -> list[dict[str, Any]]:
    """A row for each engine; none where the card's memory does not hold six tensors of this size."""
    if 6 * steps * n * dtype.itemsize > torch.cuda.mem_get_info()[0]:
        return []
    x, parameters = inputs(dtype, steps, n)
    g, loop = torch.ones_like(x), cuda.Loop(RULE, ATAN.slope, ATAN.width)
    runs: dict[str, Callable[[], Any]] = {"snnsim": lambda: torch.autograd.grad(loop([x], None, parameters)[0], x, g)}
    runs["snnsim, one graph"] = graphed(runs["snnsim"])
    if importlib.util.find_spec("spikingjelly"):
        runs["spikingjelly"] = spikingjelly(x, g)
    least = MOVED[dtype] * steps * n / bandwidth
    rows = []
    for engine, run in runs.items():
        times = timed(run)
        median = statistics.median(times)
        rows.append({"card": torch.cuda.get_device_name(), "engine": engine, "dtype": str(dtype).removeprefix("torch."),
                     "T": steps, "N": n, "copy_GB_s": round(bandwidth / 1e9, 1), "least_ms": round(1e3 * least, 4),
                     "median_ms": round(1e3 * median, 4), "minimum_ms": round(1e3 * min(times), 4),
                     "maximum_ms": round(1e3 * max(times), 4), "runs": len(times), "over_least": round(median / least, 4)})
    return rows


def spikingjelly(x: torch.Tensor, g: torch.Tensor) -> Callable[[], Any]:
    """Its own kernels, which it chooses by itself for tensors on CUDA."""
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.LIFNode(tau=1.0 / (1.0 - DECAY), decay_input=False, v_threshold=THETA, v_reset=None,
                          surrogate_function=surrogate.ATan(), step_mode="m").cuda()

    def run() -> Any:
        node.reset()
        return torch.autograd.grad(node(x), x, g)

    return run
