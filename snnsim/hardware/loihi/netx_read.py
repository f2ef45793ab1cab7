"""Reading of lava-dl's exchange file, its own as well as ours: what each layer holds, and as which whole numbers it will
run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.files import read_array, reading_hdf5
from snnsim.hardware.integer.model import IntegerNetwork, IntegerPopulation, IntegerProjection, Sign, truncated
from snnsim.hardware.loihi.netx_write import BIAS_EXPONENT, LONGEST_DELAY, NEVER, SCHEMA, as_lava_dl, checksum
from snnsim.maps import Conv2d, Delayed, Dense, Map
from snnsim.network import TimeBase

UNREADABLE = ("pool", "convT", "unpool", "average", "concat")
LARGEST = 2**24  # weights of a layer, and neurons of one


def read(path: str | os.PathLike[str], *, input_shape: tuple[int, ...] | None = None) -> IntegerNetwork:
    """The network of a .net file, as lava-dl would run it: weights cast to whole numbers, and shifted and cut as it does.

    input_shape: (channels, height, width), for a file that begins with a convolution and has no input layer.
    Errors: FileNotFoundError; ValueError that names the file, the layer and the field.
    """
    with reading_hdf5(path, "a .net file") as file, _naming(path):
        layers = file.get("layer")
        if not isinstance(layers, h5py.Group) or not len(layers):
            raise ValueError("it has no group 'layer' with layers")
        if set(layers) != {str(i) for i in range(len(layers))}:
            raise ValueError(f"its layers must be named 0 .. {len(layers) - 1}, got {', '.join(sorted(layers))[:80]}")
        populations, projections = _layers([_Layer(layers, i, path) for i in range(len(layers))], input_shape)
        return _restored(populations, projections, file.get("snnsim"), layers)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, OSError, RuntimeError) as e:
        raise ValueError(f"{path} is damaged: {e!r}") from None
    except ValueError as e:
        raise ValueError(str(e) if str(path) in str(e) else f"{path}: {e}") from None


class _Layer:
    """A layer's datasets, with errors that name it."""

    def __init__(self, layers: h5py.Group, number: int, path: str | os.PathLike[str]) -> None:
        group = layers[str(number)]
        self.number, self.path, self.where = number, path, f"layer {number}"
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{self.where} must be a group")
        self.group = group
        self.type = self.text("type")

    def text(self, name: str) -> str:
        item = self.group.get(name)
        if not isinstance(item, h5py.Dataset) or item.size != 1 or item.dtype.kind not in "SO":
            raise ValueError(f"{self.where}: {name} must be a text")
        value = item[()] if item.shape == () else item[(0,) * item.ndim]
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

    def __contains__(self, name: str) -> bool:
        return name in self.group

    def array(self, name: str) -> NDArray[np.int64]:
        """Whole numbers; those of weights and biases are cut to them as lava-dl does."""
        value = read_array(self.group, name, self.path)
        if value.size > LARGEST or not np.all(np.isfinite(value)) or np.any(np.abs(value.astype(np.float64)) >= 2.0**31):
            raise ValueError(f"{self.where}: {name} must be at most {LARGEST} finite numbers of 32 bits")
        return value.astype(np.int64)

    def whole(self, name: str, low: int, high: int) -> int:
        value = self.array(name)
        if value.size != 1 or not low <= int(value.ravel()[0]) <= high:
            raise ValueError(f"{self.where}: {name} must be a whole number in {low} .. {high}, got {value.tolist()!r:.60}")
        return int(value.ravel()[0])

    def pair(self, name: str, low: int) -> tuple[int, int]:
        value = self.array(name).ravel()
        value = np.repeat(value, 2) if len(value) == 1 else value
        if len(value) != 2 or value.min() < low or value.max() > 127:
            raise ValueError(f"{self.where}: {name} must be one or two whole numbers in {low} .. 127, got "
                             f"{value.tolist()!r:.60}")
        return int(value[0]), int(value[1])

    def shape(self) -> tuple[int, ...]:
        value = self.array("shape").ravel()
        if not 1 <= len(value) <= 3 or value.min() < 1 or float(np.prod(value.astype(float))) > LARGEST:
            raise ValueError(f"{self.where}: shape must be one to three numbers of at least 1, got {value.tolist()!r:.60}")
        return tuple(int(n) for n in value)


def _layers(layers: list[_Layer], shape: tuple[int, ...] | None) -> tuple[list[IntegerPopulation], list[IntegerProjection]]:
    populations: list[IntegerPopulation] = []
    projections: list[IntegerProjection] = []
    at = shape
    for layer in layers:
        if layer.type == "input":
            if layer.number or "neuron" in layer:
                raise ValueError(f"{layer.where}: an input layer must come first and without neurons, which take their input "
                                 "as a bias: no network here holds that")
            found = layer.shape()
            at = found if len(found) == 3 else (int(np.prod(found)),)
            continue
        if layer.type == "flatten":
            continue
        if layer.type not in ("dense", "dense_rec", "conv"):
            why = ", which lava-dl itself does not read" if layer.type in UNREADABLE else ""
            raise ValueError(f"{layer.where} has type {layer.type!r}{why}: input, dense, dense_rec, conv and flatten can be "
                             "read")
        if not populations:
            if at is None and layer.type == "conv":
                raise ValueError(f"{layer.where} is a convolution, and the file does not tell the shape of its input: give "
                                 "read(..., input_shape=(channels, height, width))")
            inputs = at or (int(np.prod(layer.array("weight").shape[1:])),)
            populations.append(IntegerPopulation("input", inputs, None))
        source, name = populations[-1], f"layer{layer.number}"
        p, more = (_convolution if layer.type == "conv" else _dense)(layer, name, source)
        populations.append(p)
        projections += more
    if not projections:
        raise ValueError("it has no layer with neurons")
    return populations, projections


def _population(layer: _Layer, name: str, shape: tuple[int, ...]) -> IntegerPopulation:
    if not isinstance(layer.group.get("neuron"), h5py.Group):
        raise ValueError(f"{layer.where} has no neuron")
    kind = layer.text("neuron/type")
    if kind not in ("CUBA", "LOIHI"):
        raise ValueError(f"{layer.where}: neuron/type is {kind!r}: CUBA and LOIHI can be read")
    du, dv = layer.whole("neuron/iDecay", 1, 4096) - 1, layer.whole("neuron/vDecay", 0, 4096)
    vth = layer.whole("neuron/vThMant", 0, 2**24)
    bias: Any = 0
    if "bias" in layer:
        held = layer.array("bias")
        if len(shape) == 1 and held.size in (1, shape[0]):
            bias = held.reshape(-1) if held.size > 1 else held.reshape(())
        elif len(shape) == 3 and held.shape == shape[::-1]:
            bias = held.transpose(2, 1, 0)
        elif len(shape) == 3 and held.shape == shape[:1]:
            bias = held.reshape(-1, 1, 1)
        else:
            raise ValueError(f"{layer.where}: bias has shape {held.shape}, which does not fit its neurons {shape}")
    try:
        return IntegerPopulation(name, shape, "none" if vth >= NEVER else "hard", du, dv, 0 if vth >= NEVER else vth, bias,
                                 BIAS_EXPONENT)
    except ValueError as e:
        raise ValueError(f"{layer.where}: {e}") from None


def _dense(layer: _Layer, name: str, source: IntegerPopulation) -> tuple[IntegerPopulation, list[IntegerProjection]]:
    size = int(np.prod(layer.shape()))

    def held(key: str) -> NDArray[np.int64]:
        w = layer.array(key)
        w = w.reshape(size, -1) if w.ndim != 2 and w.size % size == 0 and w.size else w
        if w.ndim != 2 or len(w) != size:
            raise ValueError(f"{layer.where}: {key} has shape {w.shape}, which does not fit its {size} neurons")
        return w

    weight = held("weight")
    if weight.shape[1] != source.size:
        raise ValueError(f"{layer.where}: weight has {weight.shape[1]} inputs, but {source.name!r} has {source.size} neurons")
    p = _population(layer, name, (size,))
    if layer.type == "dense":
        found, exponent = _run_as(layer, weight)
        m, delay = _delayed(layer, found.astype(float))
        return p, [_projection(layer, source.name, name, m, exponent, delay)]
    if "delay" in layer:
        raise ValueError(f"{layer.where}: delay in a recurrent layer, for which lava-dl loses the exponent: it cannot be read")
    loop = held("weight_rec")
    if loop.shape[1] != size:
        raise ValueError(f"{layer.where}: weight_rec has shape {loop.shape}, not {(size, size)}")
    both, exponent = _run_as(layer, np.hstack([weight, loop]))
    return p, [_projection(layer, source.name, name, Dense(both[:, : weight.shape[1]].astype(float)), exponent),
               _projection(layer, name, name, Dense(both[:, weight.shape[1]:].astype(float)), exponent)]


def _run_as(layer: _Layer, weight: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Mantissas and the exponent with which lava-dl runs them; exponent 0 where they are mantissas then."""
    try:
        found, shift = as_lava_dl(weight)
    except ValueError as e:
        raise ValueError(f"{layer.where}: weight cannot be used: {e}") from None
    whole = found >> shift
    return (whole, 0) if np.array_equal(truncated(whole, _sign(whole), 8) << shift, found) else (found, -shift)


def _sign(weight: NDArray[np.int64]) -> Sign:
    return "exc" if weight.min() >= 0 else "inh" if weight.max() <= 0 else "mixed"


def _delayed(layer: _Layer, weight: NDArray[np.float64]) -> tuple[Map, int]:
    """The map, and steps from spike to arrival that all its synapses have."""
    if "delay" not in layer:
        return Dense(weight), 1
    delay = layer.array("delay")
    if delay.ndim == 1 and delay.size == weight.shape[0]:
        delay = delay[:, None]
    elif delay.size == 1:
        delay = delay.reshape(())
    elif not (delay.shape == weight.shape or (delay.ndim == 1 and delay.size == weight.shape[1])):
        raise ValueError(f"{layer.where}: delay has shape {delay.shape}, which does not fit weights {weight.shape}")
    if delay.min() < 0:
        raise ValueError(f"{layer.where}: delay must be at least 0, got {int(delay.min())}")
    delay = np.minimum(delay, LONGEST_DELAY)
    if np.all(delay == delay.flat[0]):
        return Dense(weight), 1 + int(delay.flat[0])
    return Delayed(weight, np.broadcast_to(delay, weight.shape)), 1


def _projection(layer: _Layer, source: str, target: str, m: Map, exponent: int, delay: int = 1) -> IntegerProjection:
    weight = m.arrays()["weight"].astype(np.int64)
    sign = _sign(weight)
    fitting = [b for b in range(1, 9) if np.array_equal(truncated(weight, sign, b), weight)]
    try:
        return IntegerProjection(source, target, m, exponent, fitting[0] if fitting else 8, sign, delay)
    except ValueError as e:
        raise ValueError(f"{layer.where}: {e}") from None


def _convolution(layer: _Layer, name: str, source: IntegerPopulation) -> tuple[IntegerPopulation, list[IntegerProjection]]:
    weight, shape = layer.array("weight"), layer.shape()
    weight = weight.reshape(weight.shape[:4]) if weight.ndim == 5 and weight.shape[4] == 1 else weight
    stride, padding, dilation = layer.pair("stride", 1), layer.pair("padding", 0), layer.pair("dilation", 1)
    groups = layer.whole("groups", 1, 127)
    if weight.ndim != 4 or 0 in weight.shape or len(source.shape) != 3 or weight.shape[1] * groups != source.shape[0] or (
            len(weight) % groups):
        raise ValueError(f"{layer.where}: weight has shape {weight.shape}, which does not fit {source.shape} in {groups} "
                         "groups")
    outputs, inputs, height, width = weight.shape
    if max(height, width) > 127:
        raise ValueError(f"{layer.where}: weight has a kernel of {height} x {width}, and 127 is the most that Lava holds")
    kernel = np.zeros((outputs, inputs * groups, (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        kernel[o, first: first + inputs, ::dilation[0], ::dilation[1]] = weight[o]
    exponent = 0  # lava-dl leaves these weights as they are, and its convolution does not cut them
    while exponent < 8 and not np.any(kernel % 2) and not np.array_equal(truncated(kernel, _sign(kernel), 8), kernel):
        kernel, exponent = kernel / 2, exponent + 1
    m = Conv2d(kernel, stride, padding)
    try:
        found = m.output_shape(source.shape)
    except ValueError as e:
        raise ValueError(f"{layer.where}: {e}") from None
    if shape != found:
        raise ValueError(f"{layer.where}: shape is {shape}, but its convolution gives {found}")
    return _population(layer, name, found), [_projection(layer, source.name, name, m, exponent)]


def _restored(populations: list[IntegerPopulation], projections: list[IntegerProjection], held: Any,
              layers: h5py.Group) -> IntegerNetwork:
    """With names, time base and bits, where we wrote the file; a description that does not fit it is refused, and layers that
    were changed."""
    if held is None:
        return IntegerNetwork(tuple(populations), tuple(projections), latency=len(populations) - 1,
                              readout="membrane" if populations[-1].reset == "none" else "count")
    if not isinstance(held, h5py.Dataset) or held.shape != ():
        raise ValueError("snnsim must be a text")
    d = json.loads(held[()])
    if d["schema"] not in (1, SCHEMA):
        raise ValueError(f"snnsim: schema must be 1 or {SCHEMA}, got {d['schema']!r}")
    if d["schema"] > 1 and d["sha256"] != checksum(layers):
        raise ValueError("its layers are not what was exported: the file was changed after snnsim wrote it: export again, or "
                         "remove its dataset 'snnsim' to read it as lava-dl does")
    names = dict(zip((p.name for p in populations), d["names"], strict=True))
    made = []
    for p, scale, exponent in zip(populations, d["scales"], d["biases"], strict=True):
        value = p.bias << p.bias_exponent
        if not isinstance(exponent, int) or not 0 <= exponent <= 7 or np.any(value >> exponent << exponent != value):
            raise ValueError(f"snnsim: biases of {names[p.name]!r} do not fit its layer")
        made.append(IntegerPopulation(names[p.name], p.shape, p.reset, p.du, p.dv, p.vth, value >> exponent, exponent, scale))
    told = [t for pair in zip(d["forward"], d["loop"], strict=True) for t in pair if t is not None]
    kept = []
    for q, (exponent, bits, sign) in zip(projections, told, strict=True):
        weight = q.mantissas * 2.0 ** (q.exponent - int(exponent))
        m = type(q.map)(**{**q.map.__dict__, "weight": weight})
        kept.append(IntegerProjection(names[q.source], names[q.target], m, exponent, bits, sign, q.delay))
    return IntegerNetwork(tuple(made), tuple(kept), TimeBase(**d["time"]), made[-1].name, d["readout"], d["latency"],
                          tuple(d["classes"]), tuple(d["notes"]))
