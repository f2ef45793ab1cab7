"""Layers of a recipe to a net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import snnsim.nn as nn
from snnsim import neurons

NEURONS: dict[str, Callable[..., Any]] = {"lif": neurons.LIF, "if": neurons.IF, "cuba": neurons.CubaLIF,
                                          "adaptive": neurons.AdaptiveLIF}


def _neuron(model: str = "lif", surrogate: str = "atan", width: float | None = None, detach_reset: bool = False,
            **values: Any) -> nn.Neuron:
    return nn.Neuron(_model(model, values), surrogate=surrogate, width=width, detach_reset=detach_reset)


def _recurrent(features: int, bias: bool = False, model: str = "lif", surrogate: str = "atan", width: float | None = None,
               detach_reset: bool = False, **values: Any) -> nn.Recurrent:
    return nn.Recurrent(_model(model, values), features, bias=bias, surrogate=surrogate, width=width, detach_reset=detach_reset)


def _model(model: str, values: Mapping[str, Any]) -> Any:
    if model not in NEURONS:
        raise ValueError(f"model must be one of {', '.join(NEURONS)}, got {model!r}")
    return NEURONS[model](**values)


def _conv2d(inputs: int, outputs: int, kernel: int, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)


LAYERS: dict[str, Callable[..., Any]] = {
    "conv2d": _conv2d, "linear": lambda inputs, outputs, bias=True: nn.Linear(inputs, outputs, bias=bias),
    "delay_linear": lambda inputs, outputs, length, **options: nn.DelayLinear(inputs, outputs, length, **options),
    "delay": lambda features, length, **options: nn.Delay(features, length, **options),
    "sum_pool2d": lambda kernel, stride=None: nn.SumPool2d(kernel, stride),
    "avg_pool2d": lambda kernel, stride=None: nn.AvgPool2d(kernel, stride),
    "max_pool2d": lambda kernel, stride=None: nn.MaxPool2d(kernel, stride),
    "batch_norm1d": lambda features: nn.BatchNorm1d(features), "batch_norm2d": lambda channels: nn.BatchNorm2d(channels),
    "neuron": _neuron, "recurrent": _recurrent, "flatten": lambda: nn.Flatten(), "dropout": lambda share: nn.Dropout(share),
    "readout": lambda tau=20.0: nn.Readout(tau=tau)}


def build(layers: Iterable[Mapping[str, Any]]) -> nn.Sequential:
    """The net that the [[layer]] tables of a recipe describe. ValueError that names the layer and its fault."""
    modules = []
    for i, layer in enumerate(layers):
        options = dict(layer)
        kind = options.pop("kind", None)
        if kind not in LAYERS:
            raise ValueError(f"layer {i}: kind must be one of {', '.join(LAYERS)}, got {kind!r}")
        try:
            modules.append(LAYERS[kind](**options))
        except (TypeError, ValueError) as e:
            raise ValueError(f"layer {i} ({kind}): {e}") from None
    return nn.Sequential(*modules)
