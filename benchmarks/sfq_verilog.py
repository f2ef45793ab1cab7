"""Verilog of SFQ networks in iverilog: seconds to write, compile and run it, spikes equal to the model's in the same run."""

from __future__ import annotations

import shutil
import time
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.common import AsJson, refuse, report
from snnsim.hardware.sfq import SFQLayer, SFQNetwork, run, slotted
from snnsim.hardware.sfq.bench import bench
from snnsim.hardware.sfq.verilog import table
from snnsim.interop.iverilog_tool import run_iverilog

STEPS = 50
NETS = ((32, 64, 10), (128, 256, 10))


def sfq_verilog(as_json: AsJson = False) -> None:
    """A table a layer, weights of -3 .. 3, one sample of 50 ticks in which half of the inputs pulse."""
    if shutil.which("iverilog") is None:
        refuse("iverilog is not on the path: apt install iverilog")
    report("sfq_verilog", [row(sizes) for sizes in NETS], {}, as_json)


def row(sizes: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    layers = [SFQLayer(f"layer {k}", rng.integers(-3, 4, (n, m)), int(1.2 * m**0.5) + 1, 2, "soft", 10)
              for k, (m, n) in enumerate(pairwise(sizes))]
    net = SFQNetwork(layers)
    counts = (rng.random((STEPS, 1, sizes[0])) < 0.5).astype(int)
    when = slotted(net, settle=100, hold=50)
    expected = run(net, counts, schedule=when).spikes
    start = time.perf_counter()
    texts = [table(net, when), bench(net, when, counts, expected)]
    written = time.perf_counter() - start
    found = run_iverilog(texts, ["net_tb"])
    if not found.exact:
        refuse(f"the spikes of {sizes} differ")
    return {"net": "-".join(map(str, sizes)), "synapses": net.synapses, "ticks": STEPS,
            "spikes": sum(int(s.sum()) for s in expected.values()), "write, s": round(written, 3),
            "compile, s": round(found.compile, 3), "run, s": round(found.run, 3)}
