"""A training step with delays beside the same net without: a layer of 256 to 256 and its neurons."""

from __future__ import annotations

import statistics
from typing import Any

import torch

import snnsim.nn as nn
from benchmarks.common import AsJson, Threads, interleave, refuse, report, seconds
from snnsim.neurons import LIF
from snnsim.nn.delays import delayed, kernel

STEPS, SAMPLES, FEATURES, LENGTH, SHARE = 100, 128, 256, 25, 0.03
ROUNDS = 7
LIMIT = 2.0


def delays(threads: Threads = 2, as_json: AsJson = False) -> None:
    """ms of forward and backward of Linear, and of DelayLinear with fixed delays, at the width that training ends with (0.5)
    and at the one that it starts with (12.27); as a first layer, and with the gradient of its input."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [row for deep in (False, True) for row in measure(deep, threads)]
    finally:
        torch.set_num_threads(before)
    ratios = {f"{r['layer']}, {r['place']}, against no delays": r["ratio"] for r in rows if r["layer"] != "none"}
    report("delays", rows, {**ratios, "limit": LIMIT}, as_json)


def measure(deep: bool, threads: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    x = (torch.rand(STEPS, SAMPLES, FEATURES) < SHARE).float().requires_grad_(deep)
    g = torch.randn(STEPS, SAMPLES, FEATURES)
    layers: dict[str, Any] = {"none": nn.Linear(FEATURES, FEATURES),
                              "fixed": nn.DelayLinear(FEATURES, FEATURES, LENGTH, learn=False),
                              "narrow": nn.DelayLinear(FEATURES, FEATURES, LENGTH),
                              "wide": nn.DelayLinear(FEATURES, FEATURES, LENGTH)}
    layers["narrow"].anneal(1, 4)
    neurons = nn.Neuron(LIF(tau=20.0))
    nn.set_dt(neurons, 1.0)
    for name in ("narrow", "wide"):
        layer = layers[name]
        y = layer(x[:40, :5])[0]
        expected = delayed(x[:40, :5], kernel(layer.weight, layer.delay, layer.sigma, LENGTH), layer.bias)
        if float((y - expected).detach().abs().max()) > 1e-5 * float(expected.detach().abs().max()):
            refuse(f"the layer with a {name} kernel is not what its definition says")

    def step(layer: Any) -> None:
        layer.zero_grad()
        y = layer(x)
        neurons(y[0] if isinstance(y, tuple) else y)[0].backward(g)

    times = interleave({name: (lambda layer=layer: seconds(lambda: step(layer))) for name, layer in layers.items()}, ROUNDS, {})
    median = {k: 1e3 * statistics.median(t) for k, t in times.items()}
    return [{"layer": name, "place": "hidden" if deep else "first", "threads": threads, "ms": round(ms, 2),
             "ratio": round(ms / median["none"], 2)} for name, ms in median.items()]
