"""Run by a peer's interpreter: peer_spyx.py time|memory NET STEPS BATCH THREADS, or peer_spyx.py neuron KIND T B N THREADS.
KIND: forward or both. Imports nothing of snnsim.

Spyx's own LIF and RLIF. An LIF of Spyx fires from the membrane of the step before, so a layer's spikes come one step late.
The decay is not trained, as with the others. In the form that was fastest of those tried: one scan over the whole net, but
layer by layer, each map over all steps at once, for the convolutions.
"""

import os
import sys
import time
from functools import partial
from importlib.metadata import version

THREADS = int(sys.argv[-1])
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
if ALLOWED:  # XLA makes as many threads as there are cores when it starts
    os.sched_setaffinity(0, sorted(ALLOWED)[:THREADS])
if THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402
import peer_work as work  # noqa: E402
import spyx.axn as axn  # noqa: E402
import spyx.nn as sn  # noqa: E402
from flax import nnx  # noqa: E402
from peer_shared import serve  # noqa: E402

jnp.ones(1).block_until_ready()
for thread in os.listdir("/proc/self/task") if ALLOWED else ():
    os.sched_setaffinity(int(thread), ALLOWED)  # so many threads, but on any core

OPTIONS = {"beta": work.DECAY, "threshold": work.THETA, "rngs": nnx.Rngs(0),
           "activation": axn.custom(lambda v: 1 / (1 + (jnp.pi * v) ** 2))}  # the others' arctangent


def mean_pool(h):
    return 0.25 * sn.sum_pool(h, (2, 2), (2, 2), "VALID")


def layers_of(net, task):
    """The layers in order, and those of them that are linear maps."""
    if net == "conv":
        maps = [nnx.Conv(2, 16, (3, 3), rngs=nnx.Rngs(0)), nnx.Conv(16, 32, (3, 3), rngs=nnx.Rngs(0)),
                nnx.Linear(2048, 10, rngs=nnx.Rngs(0))]
        shapes = [(34, 34, 16), (17, 17, 32), (10,)]
        # torch flattens channels first
        before = [[], [mean_pool], [mean_pool, lambda h: jnp.moveaxis(h, -1, 1).reshape(len(h), -1)]]
    else:
        maps = [nnx.Linear(w.shape[1], w.shape[0], rngs=nnx.Rngs(0)) for w in task.weights]
        shapes, before = [(len(w),) for w in task.weights], [[] for _ in maps]
    layers = []
    for i, (m, shape, weight) in enumerate(zip(maps, shapes, task.weights, strict=True)):
        m.kernel[...] = jnp.asarray(weight.T if weight.ndim == 2 else weight.transpose(2, 3, 1, 0))
        m.bias[...] = jnp.zeros(len(weight))
        layers += [*before[i], m, (sn.RLIF if net == "rec" and i == 0 else sn.LIF)(shape, **OPTIONS)]
    if net == "rec":
        layers[1].recurrent_w[...] = jnp.asarray(task.recurrent.T)
    return layers, maps


class Training:
    def __init__(self, net, task):
        layers, maps = layers_of(net, task)
        self.net = net
        trained = lambda path, value: isinstance(value, nnx.Param) and path[-1] != "beta"  # noqa: E731
        self.graph, self.learned, self.fixed = nnx.split(sn.Sequential(*layers), trained, ...)
        self.at = [layers.index(m) for m in maps]
        x = task.x.transpose(0, 1, 3, 4, 2) if net == "conv" else task.x
        self.x, self.labels = jnp.asarray(x), jnp.asarray(task.labels)
        optimizer = optax.adam(work.RATE)
        self.state = optimizer.init(self.learned)

        @partial(jax.jit, donate_argnums=(0, 1))
        def update(learned, state, x):
            gradient = jax.grad(self.loss)(learned, x)
            change, state = optimizer.update(gradient, state, learned)
            return optax.apply_updates(learned, change), state

        self.update = update.lower(self.learned, self.state, self.x).compile()

    def scanned(self, learned, x):
        """The spikes of the last layer, by one scan over the whole net."""
        model = nnx.merge(self.graph, learned, self.fixed)
        return [sn.run(model, x, model.initial_state(x.shape[1]))[0]]

    def layered(self, learned, x):
        """The spikes of each layer of neurons, layer by layer."""
        model = nnx.merge(self.graph, learned, self.fixed)
        found, h = [], x
        for layer in model.layers:
            if hasattr(layer, "initial_state"):
                h = sn.run(layer, h, layer.initial_state(x.shape[1]))[0]
                found.append(h)
            else:
                h = layer(h.reshape(-1, *h.shape[2:]))
                h = h.reshape(*x.shape[:2], *h.shape[1:])
        return found

    def loss(self, learned, x):
        spikes = (self.layered if self.net == "conv" else self.scanned)(learned, x)
        return optax.softmax_cross_entropy_with_integer_labels(spikes[-1].sum(0), self.labels).mean()

    def step(self):
        self.learned, self.state = self.update(self.learned, self.state, self.x)
        jax.block_until_ready((self.learned, self.state))

    def first(self):
        """Loss, spikes of each layer and norms of the gradients with the weights as drawn, without the biases behind the first
        layer: later layers take theirs in for the steps, too, in which nothing has reached them yet."""
        loss, gradient = jax.jit(jax.value_and_grad(self.loss))(self.learned, self.x)
        counts = jax.jit(lambda p, x: [s.sum() for s in self.layered(p, x)])(self.learned, self.x)
        of = [gradient["layers"][i] for i in self.at]
        found = [*(g["kernel"] for g in of), of[0]["bias"]]
        if self.net == "rec":
            found.append(gradient["layers"][1]["recurrent_w"])
        return {"loss": float(loss), "counts": [float(c) for c in counts],
                "gradients": [float(jnp.linalg.norm(jnp.ravel(g[...]))) for g in found]}


def train(mode, net, steps, batch):
    imported = work.resident_mb()
    if mode == "memory":
        Training(net, work.draw(net, 2, 2)).step()
    warmed = work.resident_mb()
    training = Training(net, work.draw(net, int(steps), int(batch)))
    about = {"version": version("spyx")}

    def timed():
        start = time.perf_counter()
        training.step()
        return {"seconds": time.perf_counter() - start}

    def peak():
        work.forget_peak()
        training.step()
        return {"peak_mb": work.resident_mb("VmHWM")}

    if mode == "memory":
        serve({**about, "imported_mb": imported, "warmed_mb": warmed, "built_mb": work.resident_mb()}, peak)
    else:
        serve({**about, **training.first()}, timed)


def neuron(kind, *shape):
    x = jnp.asarray(work.current(*map(int, shape)))
    layer = sn.LIF(x.shape[2:], **OPTIONS)
    g = jnp.ones_like(x)
    forward = jax.jit(lambda x: sn.run(layer, x, layer.initial_state(x.shape[1]))[0])
    both = jax.jit(lambda x, g: jax.vjp(forward, x)[1](g)[0])
    run = partial(forward, x) if kind == "forward" else partial(both, x, g)
    about = {"spikes": float(forward(x).sum()), "gradient": float(jnp.abs(both(x, g)).sum())}
    run().block_until_ready()

    def timed():
        start = time.perf_counter()
        run().block_until_ready()
        return {"seconds": time.perf_counter() - start}

    serve({"version": version("spyx"), **about}, timed)


if sys.argv[1] == "neuron":
    neuron(*sys.argv[2:-1])
else:
    train(*sys.argv[1:-1])
