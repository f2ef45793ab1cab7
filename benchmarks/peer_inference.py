"""Run by a peer's interpreter: peer_inference.py torch|spikingjelly FILE.npz THREADS. Imports nothing of snnsim."""

import json
import sys
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
NAME, FILE, THREADS = sys.argv[1:]
torch.set_num_threads(int(THREADS))
torch.set_grad_enabled(False)
DATA = np.load(FILE)
DECAY = float(DATA["decay"])
WEIGHTS = [torch.from_numpy(DATA[f"w{i}"]) for i in range(3)]
X = torch.from_numpy(DATA["x"])


def dense_torch():
    """Layer by layer: one matrix product over all steps, then the scan."""
    h, counts = X, []
    for w in WEIGHTS:
        z = torch.nn.functional.linear(h, w)
        u, s = torch.zeros(z.shape[1:]), torch.empty_like(z)
        for t in range(len(z)):
            u.mul_(DECAY).add_(z[t])
            fired = (u >= 1.0).float()
            u.sub_(fired)
            s[t] = fired
        h = s
        counts.append(int(s.sum()))
    return h.sum(0), counts


def spikingjelly():
    h, counts = X, []
    for w, node in zip(WEIGHTS, NODES, strict=True):
        node.reset()
        h = node(torch.nn.functional.linear(h, w))
        counts.append(int(h.sum()))
    return h.sum(0), counts


if NAME == "spikingjelly":
    from importlib.metadata import version

    from spikingjelly.activation_based import neuron
    NODES = [neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_threshold=1.0, v_reset=None, step_mode="m")
             for _ in WEIGHTS]
    run, release = spikingjelly, version("spikingjelly")
else:
    run, release = dense_torch, torch.__version__

outputs, counts = run()
print(json.dumps({"version": release, "outputs": outputs.numpy().astype(int).tolist(), "counts": counts}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    run()
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
