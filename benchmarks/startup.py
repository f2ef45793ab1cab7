"""How long a new process takes: the import, and the first kernels with an empty and with a filled cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.common import ROOT, AsJson, report, spread

IMPORT = """
import json, sys, time
start = time.perf_counter()
import snnsim
print(json.dumps({"seconds": time.perf_counter() - start, "torch": "torch" in sys.modules}))
"""
KERNELS = """
import json, time
import numpy as np
import snnsim
from snnsim.neurons import LI, LIF
dense = lambda n, m: snnsim.Dense(np.ones((n, m), np.float32))
network = snnsim.Network(
    (snnsim.Population("input", (8,)), snnsim.Population.of("a", (16,), LIF(), 1.0, np.float32),
     snnsim.Population.of("out", (3,), LI(), 1.0, np.float32)),
    (snnsim.Projection("input", "a", (dense(16, 8),)), snnsim.Projection("a", "out", (dense(3, 16),))))
from snnsim import engine
counts = np.ones((5, 8))
start = time.perf_counter()
engine.run(network, counts)
simulated = time.perf_counter() - start
import torch
import snnsim.nn as nn
layer = nn.Neuron(LIF(), dt=1.0)
x = torch.ones(5, 2, 8, requires_grad=True)
start = time.perf_counter()
layer(x)[0].sum().backward()
print(json.dumps({"engine": simulated, "training": time.perf_counter() - start}))
"""


def startup(as_json: AsJson = False) -> None:
    """Import of snnsim; first simulation and first training step of a process, cold and from the cache."""
    rows: list[dict[str, Any]] = [{"what": "import snnsim", **spread([_child(IMPORT)["seconds"] for _ in range(5)])}]
    cold: list[dict[str, Any]] = []
    warm: list[dict[str, Any]] = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:  # both caches, ours and Numba's own
            caches = {"XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": folder}
            cold.append(_child(KERNELS, caches))
            warm += [_child(KERNELS, caches) for _ in range(2)]
    for what in ("engine", "training"):
        rows.append({"what": f"first kernel of {what}, empty cache", **spread([c[what] for c in cold])})
        rows.append({"what": f"first kernel of {what}, filled cache", **spread([w[what] for w in warm])})
    report("startup", rows, {}, as_json)


def _child(code: str, caches: dict[str, str] | None = None) -> dict[str, Any]:
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT,
                         env={**os.environ, **(caches or {})}).stdout
    return dict(json.loads(out))
