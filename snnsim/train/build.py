"""Layers of a recipe to a net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import snnsim.nn as nn
from snnsim import neurons
from snnsim.neurons.time_constants import time_constants

NEURONS: dict[str, Callable[..., Any]] = {"lif": neurons.LIF, "if": neurons.IF, "cuba": neurons.CubaLIF,
                                          "adaptive": neurons.AdaptiveLIF, "mpr": neurons.MPRLIF, "amlif": neurons.AMLIF}
OPTIONS = ("surrogate", "width", "detach_reset", "learn", "shape")  # of a layer; all others are its neuron's


def _layer(of: Callable[..., Any], *first: Any, model: str = "lif", rmp: int | None = None, **values: Any) -> Any:
    options = {k: _shape(values.pop(k)) if k == "shape" else values.pop(k) for k in OPTIONS if k in values}
    penalty = {} if rmp is None else {"penalty": nn.RMP(rmp)}
    return of(_model(model, values), *first, **penalty, **options)


def _neuron(features: int | None = None, **values: Any) -> nn.Neuron:
    """features: how many, which a norm in the neurons' place and a table of time constants ask for."""
    return _layer(nn.Neuron, **values)  # type: ignore[no-any-return]


def _recurrent(features: int, bias: bool = False, **values: Any) -> nn.Recurrent:
    return _layer(partial(nn.Recurrent, bias=bias), features, **values)  # type: ignore[no-any-return]


def _astrocytes(neurons: Any, size: Any, **values: Any) -> nn.Astrocytes:
    given = [name for name in ("model", "territory") if name in values]
    if given:
        raise ValueError(f"{given[0]} cannot be chosen: astrocytes of a recipe are those of amlif, with territories")
    groups = nn.territories(_shape(neurons), _shape(size))
    return _layer(nn.Astrocytes, groups, model="amlif", territory=True, **values)  # type: ignore[no-any-return]


def _elm(inputs: int, outputs: int, memories: int, branches: int | None = None, synapses: int | None = None,
         interleave: bool | None = None, **options: Any) -> nn.ELM:
    if branches is None and (synapses is not None or interleave is not None):
        raise ValueError(f"{'interleave' if synapses is None else 'synapses'} is of branches: give branches, too")
    routing = None if branches is None else nn.branch_windows(inputs, branches, 100 if synapses is None else synapses,
                                                              bool(interleave))
    return nn.ELM(inputs, outputs, memories, routing=routing, **options)


def _shape(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _mpbn(features: int | list[int], per: Any = "channel", recursion: Any = "raw", momentum: float | None = 0.1,
          eps: float = 1e-5, settle_at: float = 1.0, **values: Any) -> nn.MPBN:
    norm = partial(nn.MPBN, per=per, recursion=recursion, momentum=momentum, eps=eps, settle_at=settle_at)
    return _layer(norm, features, **values)  # type: ignore[no-any-return]


def _model(model: str, values: Mapping[str, Any]) -> Any:
    if model not in NEURONS:
        raise ValueError(f"model must be one of {', '.join(NEURONS)}, got {model!r}")
    return NEURONS[model](**values)


def _counter(shape: Any = (), cost: float = 0.0, surrogate: str = "atan", width: float | None = None, **values: Any) -> Any:
    neuron = neurons.Counter(**{"scale": 1.0 / values.get("theta", 1), **values})
    return nn.PulsedNeuron(neuron, shape=_shape(shape), cost=cost, surrogate=surrogate, width=width)


def _conv2d(inputs: int, outputs: int, kernel: int, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)


def _biper(layer: Callable[..., Any]) -> Callable[..., Any]:
    """The layer with binary weights."""
    def made(frequency: float = 20.0, switch: float = 2.0 / 3.0, **options: Any) -> Any:
        return nn.biper(layer(**options), frequency=frequency, switch=switch)

    return made


def _linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias)


LAYERS: dict[str, Callable[..., Any]] = {
    "conv2d": _conv2d, "linear": _linear, "biper_conv2d": _biper(_conv2d), "biper_linear": _biper(_linear),
    "hoyer": lambda features, **options: nn.HoyerSpike(features, **options), "qcfs": lambda **options: nn.QCFS(**options),
    "delay_linear": lambda inputs, outputs, length, **options: nn.DelayLinear(inputs, outputs, length, **options),
    "delay": lambda features, length, **options: nn.Delay(features, length, **options),
    "sum_pool2d": lambda kernel, stride=None: nn.SumPool2d(kernel, stride),
    "avg_pool2d": lambda kernel, stride=None: nn.AvgPool2d(kernel, stride),
    "max_pool2d": lambda kernel, stride=None: nn.MaxPool2d(kernel, stride),
    "batch_norm1d": lambda features: nn.BatchNorm1d(features), "batch_norm2d": lambda channels: nn.BatchNorm2d(channels),
    "td_bn1d": lambda features, theta=1.0, alpha=1.0: nn.TdBN1d(features, theta, alpha),
    "td_bn2d": lambda channels, theta=1.0, alpha=1.0: nn.TdBN2d(channels, theta, alpha),
    "bntt1d": lambda features, steps: nn.BNTT1d(features, steps), "bntt2d": lambda channels, steps: nn.BNTT2d(channels, steps),
    "tebn1d": lambda features, steps: nn.TEBN1d(features, steps), "tebn2d": lambda channels, steps: nn.TEBN2d(channels, steps),
    "mpbn": _mpbn,
    "neuron": _neuron, "recurrent": _recurrent, "astrocytes": _astrocytes, "elm": _elm,
    "pulsed_linear": lambda inputs, outputs, **options: nn.PulsedLinear(inputs, outputs, **options), "counter": _counter,
    "counts": lambda gain=16.0: nn.Counts(gain),
    "flatten": lambda: nn.Flatten(), "dropout": lambda share: nn.Dropout(share),
    "readout": lambda tau=20.0: nn.Readout(tau=tau)}


def build(layers: Iterable[Mapping[str, Any]]) -> nn.Sequential:
    """The net that the [[layer]] tables of a recipe describe. ValueError that names the layer and its fault."""
    modules: list[Any] = []
    for i, layer in enumerate(layers):
        options = dict(layer)
        kind = options.pop("kind", None)
        if kind not in LAYERS:
            raise ValueError(f"layer {i}: kind must be one of {', '.join(LAYERS)}, got {kind!r}")
        try:
            modules.append(LAYERS[kind](**_spread(options, modules)))
        except (TypeError, ValueError, RuntimeError) as e:  # the last of torch, for sizes
            raise ValueError(f"layer {i} ({kind}): {e}") from None
    return nn.Sequential(*modules)


def _spread(options: Mapping[str, Any], before: list[Any]) -> dict[str, Any]:
    """The options with an array for each time constant that is a table such as {spacing = "log", low = 5.0, high = 500.0}:
    one value a neuron of `features`, or of the Linear before, or one a channel where the layer before is a Conv2d."""
    found: dict[str, Any] = dict(options)
    for name, value in options.items():
        if name.startswith("tau") and isinstance(value, Mapping):
            table = dict(value)
            shape = table.pop("shape", None)
            if shape is None:
                shape = _neurons(options.get("features", options.get("neurons")), before)
            if shape is None:
                raise ValueError(f"{name} is a table, but no linear or conv2d layer stands before it: give it shape = [N]")
            found[name] = time_constants(_shape(shape), **table)
    return found


def _neurons(given: Any, before: list[Any]) -> Any:
    """The shape of a value for each neuron of a layer that has so many, or for each of its channels; None if not known."""
    for layer in reversed(before):
        if isinstance(layer, nn.Flatten):
            break
        if isinstance(layer, nn.Conv2d):
            return given if isinstance(given, list) and len(given) == 3 else (layer.out_channels, 1, 1)
        if isinstance(layer, (nn.Linear, nn.DelayLinear)):
            return layer.out_features if given is None else given
    return given
