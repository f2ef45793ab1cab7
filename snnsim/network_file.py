"""A Network in one HDF5 file, without pickle and without code: rules are stored as their traces.

Layout (schema 1): attributes `format`, `schema`, `version` and `network` (JSON of everything that is not an array)
at the root; the arrays under populations/<i>/<parameter>, projections/<i>/bias and projections/<i>/maps/<j>/<field>.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import h5py

from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.rule import rule_from_json, rule_to_json
from snnsim.version import __version__

FORMAT, SCHEMA = "snnsim network", 1
MAPS: dict[str, type[Map]] = {"Dense": Dense, "Conv2d": Conv2d, "SumPool2d": SumPool2d, "Sparse": Sparse}
OPTIONS = {"Dense": (), "Conv2d": ("stride", "padding"), "SumPool2d": ("kernel", "stride"), "Sparse": ("shape",)}
ARRAYS = {"Dense": ("weight",), "Conv2d": ("weight",), "SumPool2d": (), "Sparse": ("indptr", "targets", "weight")}


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to one HDF5 file; an existing file is replaced only when the new one is complete."""
    plain: dict[str, Any] = {
        "time": asdict(network.time), "output": network.output, "readout": network.readout, "notes": network.notes,
        "classes": network.classes,
        "populations": [{"name": p.name, "shape": p.shape, "rule": rule_to_json(p.rule) if p.rule else None}
                        for p in network.populations],
        "projections": [{"source": q.source, "target": q.target, "delay": int(q.delay), "receptor": q.receptor,
                         "maps": [_options(m) for m in q.maps]} for q in network.projections]}
    with replacing(path) as temporary, h5py.File(temporary, "w") as f:
        f.attrs.update(format=FORMAT, schema=SCHEMA, version=__version__)
        f.create_dataset("network", data=json.dumps(plain))
        for i, p in enumerate(network.populations):
            group = f.create_group(f"populations/{i}")
            for name, value in p.parameters.items():
                group.create_dataset(name, data=value)
        for i, q in enumerate(network.projections):
            group = f.create_group(f"projections/{i}")
            if q.bias is not None:
                group.create_dataset("bias", data=q.bias)
            for j, m in enumerate(q.maps):
                for name, value in m.arrays().items():
                    group.create_dataset(f"maps/{j}/{name}", data=value)


def _options(m: Map) -> dict[str, Any]:
    kind = type(m).__name__
    if MAPS.get(kind) is not type(m):
        raise ValueError(f"a map of type {kind} cannot be stored: only {', '.join(MAPS)}")
    return {"kind": kind, **{name: getattr(m, name) for name in OPTIONS[kind]}}


def load_network(path: str | os.PathLike[str]) -> Network:
    """The network that `save_network` wrote. ValueError that names the file when it is not one, or is damaged."""
    with reading_hdf5(path, "an snnsim network file") as f:
        if f.attrs.get("format") != FORMAT:
            raise ValueError(f"{path} is not an snnsim network file: its format is {f.attrs.get('format')!r}")
        if f.attrs.get("schema") != SCHEMA:
            raise ValueError(f"{path} has schema {f.attrs.get('schema')}; this version of snnsim reads {SCHEMA}")
        try:
            return _build(json.loads(f["network"][()]), f, path)
        except (KeyError, TypeError, IndexError) as e:
            raise ValueError(f"{path} is damaged: its description of the network does not fit: {e!r}") from None


def _build(d: dict[str, Any], f: h5py.File, path: str | os.PathLike[str]) -> Network:
    populations = []
    for i, p in enumerate(d["populations"]):
        rule = rule_from_json(p["rule"]) if p["rule"] else None
        values = {name: read_array(f[f"populations/{i}"], name, path) for name in (rule.parameters if rule else ())}
        populations.append(Population(p["name"], tuple(p["shape"]), rule, values))
    projections = []
    for i, q in enumerate(d["projections"]):
        group = f[f"projections/{i}"]
        maps = [_map(m, group, j, path) for j, m in enumerate(q["maps"])]
        bias = read_array(group, "bias", path) if "bias" in group else None
        projections.append(Projection(q["source"], q["target"], tuple(maps), bias, q["delay"], q["receptor"]))
    return Network(tuple(populations), tuple(projections), TimeBase(**d["time"]), d["output"], d["readout"],
                   tuple(d["notes"]), tuple(d["classes"]))


def _map(m: dict[str, Any], group: h5py.Group, j: int, path: str | os.PathLike[str]) -> Map:
    kind = m["kind"]
    arrays = {name: read_array(group[f"maps/{j}"], name, path) for name in ARRAYS[kind]}
    return MAPS[kind](**arrays, **{name: tuple(m[name]) for name in OPTIONS[kind]})
