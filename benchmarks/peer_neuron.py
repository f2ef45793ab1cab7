"""Run by a peer's interpreter: peer_neuron.py spikingjelly|snntorch forward|both T B N THREADS. Imports nothing of snnsim."""

import sys
import time
import warnings
from importlib.metadata import version

import torch
from peer_shared import serve
from peer_work import DECAY, THETA, current

warnings.filterwarnings("ignore")
NAME, KIND = sys.argv[1:3]
T, B, N, THREADS = map(int, sys.argv[3:])
torch.set_num_threads(THREADS)

X = torch.from_numpy(current(T, B, N)).clone().requires_grad_()  # aligned, as a layer before gives it
G = torch.ones_like(X)

if NAME == "spikingjelly":
    from spikingjelly.activation_based import neuron, surrogate

    NODE = neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_threshold=THETA, v_reset=None,
                          surrogate_function=surrogate.ATan(), step_mode="m")

    def layer():
        NODE.reset()
        return NODE(X)
else:
    import snntorch
    from snntorch import surrogate

    NODE = snntorch.Leaky(beta=DECAY, threshold=THETA, spike_grad=surrogate.atan(alpha=2.0))

    def layer():
        membrane, out = NODE.reset_mem(), []
        for x in X.unbind(0):  # a slice X[t] would get a gradient of the whole input's size
            spikes, membrane = NODE(x, membrane)
            out.append(spikes)
        return torch.stack(out)


def forward():
    with torch.no_grad():
        return layer()


def both():
    X.grad = None
    out = layer()
    out.backward(G)
    return out.detach()


def timed():
    start = time.perf_counter()
    run()
    return {"seconds": time.perf_counter() - start}


about = {"version": version(NAME), "spikes": float(both().double().sum()), "gradient": float(X.grad.double().abs().sum())}
run = forward if KIND == "forward" else both
run()
serve(about, timed)
