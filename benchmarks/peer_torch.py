"""Run by a peer's interpreter: peer_torch.py NAME time|memory NET STEPS BATCH THREADS. Imports nothing of snnsim.

NAME: spikingjelly, spikingjelly-linear (the recurrent net in its LinearRecurrentContainer) or snntorch. Each in the form
that was fastest of those tried: SpikingJelly layer by layer and convolutions in the channels-last layout, snnTorch step by
step and over `unbind`, since slices x[t] would each get a gradient of the whole input's size.
"""

import gc
import sys
import time
import warnings
from importlib.metadata import version

import peer_work as work
import torch
from peer_shared import serve
from torch import nn

warnings.filterwarnings("ignore")


class Feedback(nn.Module):
    """What a recurrent layer of SpikingJelly's takes: x[t] + W y[t-1]."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, y, x):
        return torch.addmm(x, y, self.weight.t())


def maps(net, task):
    """The linear maps between the neurons, each with what stands before it."""
    if net == "conv":
        found = [[nn.Conv2d(2, 16, 3, padding=1)], [nn.AvgPool2d(2), nn.Conv2d(16, 32, 3, padding=1)],
                 [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2048, 10)]]
    else:
        found = [[nn.Linear(w.shape[1], w.shape[0])] for w in task.weights]
    with torch.no_grad():
        for layers, weight in zip(found, task.weights, strict=True):
            layers[-1].weight.copy_(torch.from_numpy(weight))
            layers[-1].bias.zero_()
    return found


def spikingjelly(net, task, connections, linear=False):
    """The module, its neurons, forward(x), and a function that gives the gradient of the recurrent weights."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def lif(mode):
        return neuron.LIFNode(tau=1 / (1 - work.DECAY), decay_input=False, v_threshold=work.THETA, v_reset=None,
                              surrogate_function=surrogate.ATan(), step_mode=mode)

    def recurrent():
        weight = torch.from_numpy(task.recurrent)
        if not linear:
            return layer.ElementWiseRecurrentContainer(lif("s"), Feedback(weight), step_mode="m")
        made = layer.LinearRecurrentContainer(lif("s"), *weight.shape, bias=False, step_mode="m")
        with torch.no_grad():
            made.rc.weight.copy_(torch.cat([torch.eye(len(weight)), weight], 1))
        return made

    parts = []
    for i, layers in enumerate(connections):
        parts += [layer.SeqToANNContainer(*layers) if net == "conv" else layers[-1],
                  recurrent() if net == "rec" and i == 0 else lif("m")]
    module = nn.Sequential(*parts).to(memory_format=torch.channels_last)

    def forward(x):
        functional.reset_net(module)
        return module(x)

    def fed_back():
        return parts[1].rc.weight.grad[:, len(task.recurrent):] if linear else parts[1].element_wise_function.weight.grad

    return module, [m for m in module.modules() if isinstance(m, neuron.LIFNode)], forward, fed_back


def snntorch(net, task, connections):
    import snntorch as snn
    from snntorch import surrogate

    options = {"beta": work.DECAY, "threshold": work.THETA, "spike_grad": surrogate.atan(alpha=2.0)}
    connections = [nn.Sequential(*layers) for layers in connections]
    neurons = [snn.Leaky(**options) for _ in connections]
    if net == "rec":
        neurons[0] = snn.RLeaky(linear_features=len(task.recurrent), **options)
        with torch.no_grad():
            neurons[0].recurrent.weight.copy_(torch.from_numpy(task.recurrent))
            neurons[0].recurrent.bias.zero_()
        neurons[0].recurrent.bias.requires_grad_(False)

    def forward(x):
        states = [n.reset_mem() for n in neurons]
        states = [s if isinstance(s, tuple) else (s,) for s in states]
        out = []
        for h in x.unbind(0):
            for i, (connection, n) in enumerate(zip(connections, neurons, strict=True)):
                found = n(connection(h), *states[i])
                h, states[i] = found[0], found[-len(states[i]):]
            out.append(h)
        return torch.stack(out)

    return nn.ModuleList([*connections, *neurons]), neurons, forward, lambda: neurons[0].recurrent.weight.grad


class Training:
    def __init__(self, name, net, task):
        self.x, self.labels = torch.from_numpy(task.x), torch.from_numpy(task.labels)
        connections = maps(net, task)
        self.maps = [layers[-1] for layers in connections]
        options = {} if name == "snntorch" else {"linear": name == "spikingjelly-linear"}
        build = snntorch if name == "snntorch" else spikingjelly
        self.module, self.neurons, self.forward, self.fed_back = build(net, task, connections, **options)
        learned = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(learned, lr=work.RATE, fused=True)

    def loss(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self.forward(self.x).sum(0), self.labels)
        loss.backward()
        return float(loss.detach())

    def step(self):
        self.loss()
        self.optimizer.step()

    def first(self, task):
        """Loss, spikes of each layer and norms of the gradients with the weights as drawn."""
        counts = [0.0] * len(self.neurons)

        def count(i):
            def hook(module, inputs, out):
                counts[i] += float((out[0] if isinstance(out, tuple) else out).detach().double().sum())
            return hook

        hooks = [n.register_forward_hook(count(i)) for i, n in enumerate(self.neurons)]
        loss = self.loss()
        for h in hooks:
            h.remove()
        gradients = [*(m.weight.grad for m in self.maps), *(m.bias.grad for m in self.maps)]
        if task.recurrent is not None:
            gradients.append(self.fed_back())
        return {"loss": loss, "counts": counts, "gradients": [float(g.double().norm()) for g in gradients]}


def main():
    name, mode, net = sys.argv[1:4]
    steps, batch, threads = map(int, sys.argv[4:])
    torch.set_num_threads(threads)
    package = name.partition("-")[0]
    __import__({"spikingjelly": "spikingjelly.activation_based"}.get(package, package))
    imported = work.resident_mb()
    if mode == "memory":
        Training(name, net, work.draw(net, 2, 2)).step()
    warmed = work.resident_mb()
    task = work.draw(net, steps, batch)
    training = Training(name, net, task)
    about = {"version": version(package)}

    def timed():
        start = time.perf_counter()
        training.step()
        return {"seconds": time.perf_counter() - start}

    def peak():
        gc.collect()
        work.forget_peak()
        training.step()
        return {"peak_mb": work.resident_mb("VmHWM")}

    if mode == "memory":
        serve({**about, "imported_mb": imported, "warmed_mb": warmed, "built_mb": work.resident_mb()}, peak)
    else:
        serve({**about, **training.first(task)}, timed)


main()
