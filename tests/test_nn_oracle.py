"""The modules equal the oracle, spike for spike, on generated layered networks whose arithmetic is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim.datasets import EventBatch
from snnsim.maps import Conv2d, Dense, SumPool2d
from snnsim.network import Network
from tests import oracle
from tests.networks import counts, sequential_networks

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class Constant(torch.nn.Module):
    """Adds a bias where no layer before has one."""

    def __init__(self, bias: np.ndarray) -> None:
        super().__init__()
        self.bias = torch.from_numpy(np.array(bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias


def modules(network: Network) -> tuple[nn.Sequential, dict[str, nn.Neuron]]:
    """The network as layers, and its neurons by name of population."""
    layers: list[torch.nn.Module] = []
    neurons: dict[str, nn.Neuron] = {}
    for q in network.projections:
        for m in q.maps:
            layer: Any
            match m:
                case Dense():
                    layers.append(nn.Flatten())
                    layer = nn.Linear(*reversed(np.shape(m.weight)), bias=False, dtype=torch.float64)
                case Conv2d():
                    o, i, *kernel = np.shape(m.weight)
                    layer = nn.Conv2d(i, o, tuple(kernel), m.stride, m.padding, bias=False, dtype=torch.float64)
                case SumPool2d():
                    layer = nn.SumPool2d(m.kernel, m.stride)
            if "weight" in m.arrays():
                layer.weight.data = torch.from_numpy(m.arrays()["weight"].copy())
            layers.append(layer)
        if q.bias is not None:
            layers.append(Constant(np.asarray(q.bias)))
        target = network.population(q.target)
        neurons[q.target] = nn.Neuron(target.rule(**target.parameters), dt=1.0)
        layers.append(neurons[q.target])
    return nn.Sequential(*layers), neurons


def check(network: Network, dense: np.ndarray) -> None:
    net, neurons = modules(network)
    seen: dict[str, np.ndarray] = {}
    for name, module in neurons.items():
        module.register_forward_hook(lambda m, given, out, name=name: seen.__setitem__(name, out[0].numpy()))
    expected = [oracle.run(network, dense[:, b]) for b in range(dense.shape[1])]
    inputs: list[Any] = [torch.from_numpy(dense)]
    first = next(i for i, layer in enumerate(net) if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Neuron, Constant)))
    if dense.ndim == 5 and isinstance(net[first], (nn.Linear, nn.Conv2d)):
        inputs.append(EventBatch.from_dense(dense))
    with torch.no_grad():
        for x in inputs:
            net(x)
            for name, got in seen.items():
                part = "spikes" if network.population(name).rule.fires else "output"
                np.testing.assert_array_equal(got, np.stack([getattr(e, part)[name] for e in expected], 1))


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=QUIET, derandomize=True)
def test_modules_equal_the_oracle(data: st.DataObject) -> None:
    network = data.draw(sequential_networks())
    check(network, data.draw(counts(network)))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=QUIET)
def test_modules_equal_the_oracle_on_many(data: st.DataObject) -> None:
    network = data.draw(sequential_networks())
    check(network, data.draw(counts(network)))
