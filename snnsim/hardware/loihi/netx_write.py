"""lava-dl's exchange file (.net, HDF5): chains of dense, recurrent and convolutional layers of LIF neurons, written and read.

Layout of lava-dl 0.6: layer/0, layer/1, ... with datasets `type` (input, dense, dense_rec, conv, flatten), `shape` (channels,
height, width), `weight`, `weight_rec`, `bias`, `delay`, `stride`, `padding`, `dilation`, `groups`, and neuron/ `type` (CUBA),
`iDecay` (du + 1), `vDecay` (dv), `vThMant` (vth). lava-dl itself then makes of a weight matrix as many bits, a sign and an
exponent as fit it; what that changes is refused here when writing, and read as it will run. Its layers have no names and its
network no time base: these stand in a dataset `snnsim`, which lava-dl does not look at.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.files import SMALL, replacing
from snnsim.hardware.composed import matrix
from snnsim.hardware.integer.model import (
    BIAS_BITS,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    Sign,
    truncated,
)
from snnsim.maps import Conv2d, Delayed

Array = NDArray[Any]
SCHEMA = 2  # 1 had no checksum
BIAS_EXPONENT = 6  # that lava-dl gives to every bias
LONGEST_DELAY = 62  # beyond the hop; lava-dl takes longer ones for this
SILENT = 2**18 - 1  # a threshold that v cannot pass, which lava-dl's layers without spikes have too
NEVER = 2**17  # from here on v cannot pass it


@dataclass(frozen=True)
class Step:
    """A population of the chain, what leads into it, and its loop."""

    population: IntegerPopulation
    forward: IntegerProjection
    loop: IntegerProjection | None


def write(model: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write the network to `path`; the same network gives the same bytes. An existing file is replaced when this is complete.

    Errors: ValueError that names the layer and what lava-dl's file cannot hold; OSError.
    """
    chain = _chain(model)
    layers: list[dict[str, Any]] = [{"type": "input", "shape": model.populations[0].shape}]
    for i, step in enumerate(chain):
        before = model.populations[0] if i == 0 else chain[i - 1].population
        if not isinstance(step.forward.map, Conv2d) and len(before.shape) == 3:
            layers.append({"type": "flatten"})
        layers.append(_convolution(step) if isinstance(step.forward.map, Conv2d) else _dense(step, before.shape))
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        for i, layer in enumerate(layers):
            for name, value in layer.items():
                data = np.array([value.encode()], "S10") if name == "type" else value
                file.create_dataset(f"layer/{i}/{name}", data=data, track_times=False)
        extra = {**_extra(model, chain), "sha256": checksum(file["layer"])}
        file.create_dataset("snnsim", data=json.dumps(extra, allow_nan=False), track_times=False)


def checksum(layers: h5py.Group) -> str:
    """Of the names, types, shapes and values of all datasets in the layers. ValueError where one cannot be ours."""
    found, items = hashlib.sha256(), dict[str, h5py.Dataset]()
    layers.visititems(lambda name, item: items.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    most = max(SMALL, 16 * layers.file.id.get_filesize())
    for name, item in sorted(items.items()):
        text = item.shape == () and h5py.check_string_dtype(item.dtype) is not None  # of any length
        if not (text or item.dtype.kind in "biufS") or item.external or item.is_virtual or (
                item.size * item.dtype.itemsize > most):
            raise ValueError(f"layer/{name} is not what was exported")
        data = item[()] if text else np.asarray(item[()]).tobytes()
        found.update(f"{name} {item.dtype.str} {item.shape}\n".encode() + data)
    return found.hexdigest()


def _extra(model: IntegerNetwork, chain: list[Step]) -> dict[str, Any]:
    def kept(q: IntegerProjection | None) -> list[Any] | None:
        return [int(q.exponent), int(q.bits), q.sign] if q else None

    return {"schema": SCHEMA, "names": [p.name for p in model.populations],
            "scales": [float(p.scale) for p in model.populations],
            "biases": [int(p.bias_exponent) for p in model.populations], "time": asdict(model.time),
            "latency": int(model.latency), "readout": model.readout, "classes": list(model.classes), "notes": list(model.notes),
            "forward": [kept(s.forward) for s in chain], "loop": [kept(s.loop) for s in chain]}


def _chain(model: IntegerNetwork) -> list[Step]:
    steps: list[Step] = []
    at = model.populations[0].name
    left = list(model.projections)
    while left:
        onward = [q for q in left if q.source == at and q.target != at]
        if len(onward) != 1:
            raise ValueError(f"population {at!r} has {len(onward)} projections to others, "
                             f"{', '.join(q.name for q in onward) or 'and the network goes on'}: lava-dl's file holds a chain")
        at = onward[0].target
        into = [q for q in left if q.target == at and q is not onward[0]]
        loops = [q for q in into if q.source == at]
        if len(into) > len(loops) or len(loops) > 1:
            raise ValueError(f"population {at!r} has {len(into) + 1} projections into it, {onward[0].name} and "
                             f"{', '.join(q.name for q in into)}: lava-dl's file holds a chain, with one loop a layer")
        steps.append(Step(model.population(at), onward[0], loops[0] if loops else None))
        left = [q for q in left if q is not onward[0] and q not in loops]
    if len(steps) != len(model.populations) - 1 or not steps or model.output != at:
        raise ValueError(f"lava-dl's file holds a chain from the input to the output {model.output!r}: here it ends at {at!r} "
                         f"and has {len(steps)} of {len(model.populations) - 1} populations")
    return steps


def _neuron(p: IntegerPopulation) -> dict[str, Any]:
    if p.reset == "soft":
        raise ValueError(f"population {p.name!r} has a soft reset: lava-dl's neurons reset to 0; write the process description "
                         "and its script, which hold it")
    if np.any(p.start):
        raise ValueError(f"population {p.name!r} starts at v = {p.start.flat[np.flatnonzero(p.start)[0]]}: lava-dl's neurons "
                         "start at 0; write the process description and its script, which hold it")
    values = {}
    for name in ("du", "dv", "vth"):
        each = np.unique(getattr(p, name))
        if len(each) > 1:
            raise ValueError(f"population {p.name!r} has {name} for each neuron: lava-dl's layers have one number")
        values[name] = int(each[0])
    given = {"type": b"CUBA", "iDecay": values["du"] + 1, "vDecay": values["dv"],
             "vThMant": SILENT if p.reset == "none" else values["vth"], "refDelay": 1, "gradedSpike": False}
    return {f"neuron/{k}": v for k, v in given.items()}


def _bias(p: IntegerPopulation) -> Array | None:
    """Mantissas by neuron in the order of the population, or None where all are 0."""
    if not p.bias.any():
        return None
    value = np.broadcast_to(p.bias.astype(np.int64) << p.bias_exponent, p.shape)
    mantissa = value >> BIAS_EXPONENT
    limit = 2 ** (BIAS_BITS - 1)
    if np.any(mantissa << BIAS_EXPONENT != value) or mantissa.min() < -limit or mantissa.max() >= limit:
        raise ValueError(f"bias of population {p.name!r} has the exponent {p.bias_exponent}: lava-dl's file has the exponent "
                         f"{BIAS_EXPONENT} only, with which it does not fit {BIAS_BITS} bits")
    return mantissa.astype(np.int32)


def _whole(q: IntegerProjection, weight: Array) -> NDArray[np.int64]:
    """Mantissas with their exponent, whole."""
    value = np.rint(weight).astype(np.int64)
    moved = value << max(0, q.exponent) >> max(0, -q.exponent)
    if np.any(moved << max(0, -q.exponent) != value << max(0, q.exponent)):
        raise ValueError(f"projection {q.name} has the exponent {q.exponent}, with which its weights are not whole: lava-dl's "
                         "file has no exponents")
    return moved


def as_lava_dl(weight: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """What lava-dl makes of a matrix: mantissas as its synapses keep them, and the bits by which sums are shifted down.

    It shifts all weights up until 8 bits are full, and counts the bits that remain. ValueError where it cannot.
    """
    low, high = int(weight.min()), int(weight.max())
    if (high > 254 and low < 0) or (low < -256 and high > 0):
        weight = np.clip(weight, -256, 254)
        low, high = int(weight.min()), int(weight.max())
    mixed = low < 0 <= high
    if mixed:
        shift = 1 + math.floor(math.log2(min(127 / high if high else math.inf, -128 / low)))
    elif high < 0:
        shift = math.floor(math.log2(-256 / low))
    elif high:
        shift = math.floor(math.log2(255 / high))
    else:
        raise ValueError("all are 0, of which lava-dl finds no exponent")
    if shift < 0:
        raise ValueError(f"they reach from {low} to {high}, which is more than the 8 bits that lava-dl keeps")
    free = next((n for n in range(8, 0, -1) if not np.any(weight % 2**n)), 0)
    bits = 8 - shift - free + mixed
    sign: Sign = "exc" if low >= 0 else "inh" if high <= 0 else "mixed"
    if 8 - bits + (sign == "mixed") < 0:
        raise ValueError(f"they reach from {low} to {high} and take {bits} bits: lava-dl keeps 8")
    return truncated(weight << shift, sign, bits), shift


def _kept(weight: NDArray[np.int64], where: str) -> None:
    """ValueError where lava-dl changes the matrix."""
    try:
        found, shift = as_lava_dl(weight)
    except ValueError as e:
        raise ValueError(f"weights of {where} cannot be kept by lava-dl's file: {e}; quantize(..., target='netx') makes some "
                         "that can") from None
    if np.any(found != weight << shift):
        at = tuple(int(i) for i in np.argwhere(found != weight << shift)[0])
        raise ValueError(f"weights of {where} cannot be kept by lava-dl's file: it makes {found[at] / 2**shift:g} of the "
                         f"{weight[at]} at {at}; quantize(..., target='netx') makes some that can")


def _dense(step: Step, shape: tuple[int, ...]) -> dict[str, Any]:
    q, p = step.forward, step.population
    if len(p.shape) != 1:
        raise ValueError(f"population {p.name!r} has shape {p.shape}: a dense layer of lava-dl has one dimension")
    weight = _whole(q, q.mantissas if isinstance(q.map, Delayed) else matrix(q.map, shape))
    delay = np.broadcast_to(np.asarray(q.map.delay) if isinstance(q.map, Delayed) else 0, weight.shape) + q.delay - 1
    if delay.max() > LONGEST_DELAY:
        raise ValueError(f"projection {q.name} has delays up to {int(delay.max()) + 1} steps: lava-dl's file holds "
                         f"{LONGEST_DELAY + 1}")
    layer = {"type": "dense", "shape": (p.size,), "inFeatures": weight.shape[1], "outFeatures": weight.shape[0],
             "weight": weight.astype(np.int32), **_neuron(p)}
    if step.loop is None:
        _kept(weight, f"projection {q.name}")
    else:
        r = step.loop
        if isinstance(r.map, (Delayed, Conv2d)) or r.delay != 1 or delay.any():
            raise ValueError(f"projections {q.name} and {r.name}: a recurrent layer of lava-dl has dense weights and no delays")
        loop = _whole(r, matrix(r.map, p.shape))
        _kept(np.hstack([weight, loop]), f"projections {q.name} and {r.name}")
        layer |= {"type": "dense_rec", "weight_rec": loop.astype(np.int32)}
    if delay.any():
        layer["delay"] = delay.astype(np.int32)
    bias = _bias(p)
    return layer if bias is None else layer | {"bias": bias}


def _convolution(step: Step) -> dict[str, Any]:
    q, p = step.forward, step.population
    assert isinstance(q.map, Conv2d)
    if q.delay != 1 or step.loop is not None:
        what = f"a delay of {q.delay} steps" if q.delay != 1 else f"the loop {step.loop.name}"  # type: ignore[union-attr]
        raise ValueError(f"projection {q.name} is a convolution with {what}: lava-dl's file holds neither delays nor loops "
                         "there")
    weight = _whole(q, q.mantissas)
    outputs, inputs, height, width = weight.shape
    groups = 1
    # a pool; lava's groups are signed bytes
    if 1 < outputs == inputs <= 127 and not np.any(weight[~np.eye(outputs, dtype=bool)]):
        groups, weight = outputs, weight[np.arange(outputs), np.arange(outputs)][:, None]
    if max(height, width, *q.map.stride, *q.map.padding) > 127:  # type: ignore[misc]
        raise ValueError(f"projection {q.name}: kernel, stride and padding must be at most 127 for Lava's convolution")
    layer = {"type": "conv", "shape": p.shape, "inChannels": inputs, "outChannels": outputs,
             "kernelSize": np.array([height, width]), "stride": np.array(q.map.stride), "padding": np.array(q.map.padding),
             "dilation": np.array([1, 1]), "groups": groups, "weight": weight.astype(np.int32), **_neuron(p)}
    bias = _bias(p)
    if bias is None:
        return layer
    return layer | {"bias": bias[:, 0, 0] if np.all(bias == bias[:, :1, :1]) else bias.transpose(2, 1, 0)}
