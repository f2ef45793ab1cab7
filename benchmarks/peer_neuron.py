"""Run by a peer's interpreter: peer_neuron.py forward|both T B N THREADS. Imports nothing of snnsim."""

import json
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import torch

warnings.filterwarnings("ignore")
KIND = sys.argv[1]
T, B, N, THREADS = map(int, sys.argv[2:])
torch.set_num_threads(THREADS)

from spikingjelly.activation_based import neuron, surrogate  # noqa: E402

NODE = neuron.LIFNode(tau=10.0, decay_input=False, v_threshold=1.0, v_reset=None, surrogate_function=surrogate.ATan(),
                      step_mode="m")
X = torch.from_numpy(np.random.default_rng(0).standard_normal((T, B, N), np.float32) * np.float32(0.4) + np.float32(0.05))
G = torch.ones_like(X)


def forward():
    NODE.reset()
    with torch.no_grad():
        return NODE(X)


def both():
    X.grad = None
    NODE.reset()
    out = NODE(X)
    out.backward(G)
    return out.detach()


X.requires_grad_()
about = {"spikes": float(both().double().sum()), "gradient": float(X.grad.double().abs().sum())}
run = forward if KIND == "forward" else both
run()
print(json.dumps({"version": version("spikingjelly"), **about}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    run()
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
