"""A Network in one HDF5 file, without pickle and without code: rules are stored as their traces.

Layout (schema 2): attributes `format`, `schema` and `version` and the dataset `network` (JSON of everything that is
not an array) at the root; the arrays under populations/<i>/<parameter>, .../initial/<state> and .../source/<field>,
projections/<i>/bias and .../maps/<j>/<field>, synapses/<i>/<field> and .../connect/<field>. Synapses that a connection
rule draws are not stored: the rule and the seed are. Schema 1 had no synapses, sources and initial states.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from typing import Any

import h5py
import numpy as np

from snnsim.connect import AllToAll, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, OneToOne, Pairs
from snnsim.distributions import LogNormal, Normal, Uniform
from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, SumPool2d
from snnsim.network import Modulation, Network, Population, Projection, Synapses, TimeBase
from snnsim.plasticity import STDP, TsodyksMarkram
from snnsim.rule import Fixed, rule_from_json, rule_to_json
from snnsim.sources import Poisson, SpikeTimes, StepCurrent
from snnsim.version import __version__

FORMAT, SCHEMA, READS = "snnsim network", 2, (1, 2)
MAPS: dict[str, type[Map]] = {"Dense": Dense, "Conv2d": Conv2d, "SumPool2d": SumPool2d, "Sparse": Sparse,
                             "Delayed": Delayed}
OPTIONS = {"Dense": (), "Conv2d": ("stride", "padding"), "SumPool2d": ("kernel", "stride"), "Sparse": ("shape",),
           "Delayed": ()}
ARRAYS = {"Dense": ("weight",), "Conv2d": ("weight",), "SumPool2d": (), "Sparse": ("indptr", "targets", "weight"),
          "Delayed": ("weight", "delay")}
DRAWN = (Normal, LogNormal, Uniform, Poisson, SpikeTimes, StepCurrent,
         AllToAll, OneToOne, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, Pairs, STDP, TsodyksMarkram)
PLAIN: dict[str, type[Any]] = {c.__name__: c for c in DRAWN}


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to one HDF5 file; an existing file is replaced only when the new one is complete."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as f:
        f.attrs.update(format=FORMAT, schema=SCHEMA, version=__version__)
        write_network(network, f)


def write_network(network: Network, f: h5py.Group) -> None:
    """The network as datasets of an open file or of one of its groups."""
    plain: dict[str, Any] = {
        "time": asdict(network.time), "output": network.output, "readout": network.readout, "notes": network.notes,
        "classes": network.classes, "seed": int(network.seed),
        "populations": [{"name": p.name, "shape": p.shape, "rule": rule_to_json(p.rule) if p.rule else None}
                        for p in network.populations],
        "projections": [{"source": q.source, "target": q.target, "delay": int(q.delay), "receptor": q.receptor,
                         "maps": [_options(m) for m in q.maps]} for q in network.projections]}
    for i, p in enumerate(network.populations):
        group = f.create_group(f"populations/{i}")
        for name, value in p.parameters.items():
            group.create_dataset(name, data=value)
        plain["populations"][i]["initial"] = {k: _plain(v, group, f"initial/{k}") for k, v in p.initial.items()}
        plain["populations"][i]["source"] = _plain(p.source, group, "source")
    for i, q in enumerate(network.projections):
        group = f.create_group(f"projections/{i}")
        if q.bias is not None:
            group.create_dataset("bias", data=q.bias)
        for j, m in enumerate(q.maps):
            for name, value in m.arrays().items():
                group.create_dataset(f"maps/{j}/{name}", data=value)
    plain["synapses"] = [_plain(s, f, f"synapses/{i}") for i, s in enumerate(network.synapses)]
    plain["modulations"] = []
    for i, slow in enumerate(network.modulations):
        group = f.create_group(f"modulations/{i}")
        for name, array in (*slow.neuron.step_parameters(slow.period).items(), ("source_group", slow.source_group),
                            ("target_group", slow.target_group)):
            group.create_dataset(name, data=array)
        plain["modulations"].append({
            "source": slow.source, "target": slow.target, "parameter": slow.parameter, "period": float(slow.period),
            "gain": float(slow.gain), "rule": rule_to_json(slow.neuron.rule),
            "rest": {k: float(v) for k, v in slow.neuron.initial.items()}})
    f.create_dataset("network", data=json.dumps(plain))


def _options(m: Map) -> dict[str, Any]:
    kind = type(m).__name__
    if MAPS.get(kind) is not type(m):
        raise ValueError(f"a map of type {kind} cannot be stored: only {', '.join(MAPS)}")
    return {"kind": kind, **{name: getattr(m, name) for name in OPTIONS[kind]}}


def _plain(value: Any, group: h5py.Group, name: str) -> Any:
    """The value as JSON; its arrays go under `name` of the group, and JSON says so."""
    if isinstance(value, np.ndarray) and value.ndim:
        group.create_dataset(name, data=value)
        return {"kind": "array"}
    if type(value) in (*DRAWN, Synapses):
        held = {f.name: _plain(getattr(value, f.name), group, f"{name}/{f.name}") for f in fields(value)}
        return {"kind": type(value).__name__, **held}
    return value.item() if isinstance(value, (np.ndarray, np.generic)) else value


def _from_plain(value: Any, group: h5py.Group, name: str, path: str | os.PathLike[str]) -> Any:
    """What `_plain` wrote."""
    if not isinstance(value, dict):
        return value
    held = {k: _from_plain(v, group, f"{name}/{k}", path) for k, v in value.items() if k != "kind"}
    if value["kind"] == "array":
        parent, _, leaf = name.rpartition("/")
        return read_array(group[parent] if parent else group, leaf, path)
    return (Synapses if value["kind"] == "Synapses" else PLAIN[value["kind"]])(**held)


def load_network(path: str | os.PathLike[str]) -> Network:
    """The network that `save_network` wrote. ValueError that names the file when it is not one, or is damaged."""
    with reading_hdf5(path, "an snnsim network file") as f:
        if f.attrs.get("format") != FORMAT:
            hint = "; --resume of snnsim run goes on with it" if f.attrs.get("format") == "snnsim simulation" else ""
            raise ValueError(f"{path} is not an snnsim network file: its format is {f.attrs.get('format')!r}{hint}")
        if f.attrs.get("schema") not in READS:
            raise ValueError(f"{path} has schema {f.attrs.get('schema')}; this version of snnsim reads {SCHEMA}")
        return read_network(f, path)


def read_network(f: h5py.Group, path: str | os.PathLike[str]) -> Network:
    """What `write_network` wrote. ValueError that names the file when it does not fit."""
    try:
        return _build(json.loads(f["network"][()]), f, path)
    except (KeyError, TypeError, IndexError) as e:
        raise ValueError(f"{path} is damaged: its description of the network does not fit: {e!r}") from None
    except ValueError as e:
        raise ValueError(str(e) if str(path) in str(e) else f"{path} is damaged: {e}") from None


def _build(d: dict[str, Any], f: h5py.Group, path: str | os.PathLike[str]) -> Network:
    populations = []
    for i, p in enumerate(d["populations"]):
        rule = rule_from_json(p["rule"]) if p["rule"] else None
        values = {name: read_array(f[f"populations/{i}"], name, path) for name in (rule.parameters if rule else ())}
        group = f[f"populations/{i}"]
        initial = {k: _from_plain(v, group, f"initial/{k}", path) for k, v in p.get("initial", {}).items()}
        source = _from_plain(p.get("source"), group, "source", path)
        populations.append(Population(p["name"], tuple(p["shape"]), rule, values, initial, source))
    projections = []
    for i, q in enumerate(d["projections"]):
        group = f[f"projections/{i}"]
        maps = [_map(m, group, j, path) for j, m in enumerate(q["maps"])]
        bias = read_array(group, "bias", path) if "bias" in group else None
        projections.append(Projection(q["source"], q["target"], tuple(maps), bias, q["delay"], q["receptor"]))
    synapses = [_from_plain(s, f, f"synapses/{i}", path) for i, s in enumerate(d.get("synapses", ()))]
    modulations = [_modulation(m, f[f"modulations/{i}"], path) for i, m in enumerate(d.get("modulations", ()))]
    return Network(tuple(populations), tuple(projections), TimeBase(**d["time"]), d["output"], d["readout"],
                   tuple(d["notes"]), tuple(d["classes"]), tuple(synapses), d.get("seed", 0), tuple(modulations))


def _modulation(m: dict[str, Any], group: h5py.Group, path: str | os.PathLike[str]) -> Modulation:
    rule = rule_from_json(m["rule"])
    slow = Fixed(rule, {name: read_array(group, name, path) for name in rule.parameters}, m["rest"])
    return Modulation(m["source"], m["target"], m["parameter"], slow, read_array(group, "source_group", path),
                      read_array(group, "target_group", path), m["period"], m["gain"])


def _map(m: dict[str, Any], group: h5py.Group, j: int, path: str | os.PathLike[str]) -> Map:
    kind = m["kind"]
    arrays = {name: read_array(group[f"maps/{j}"], name, path) for name in ARRAYS[kind]}
    return MAPS[kind](**arrays, **{name: tuple(m[name]) for name in OPTIONS[kind]})
