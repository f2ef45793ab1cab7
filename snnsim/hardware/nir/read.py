"""A NIR file as a Network: restored bit for bit where snnsim wrote it, converted where another tool did."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from snnsim.hardware.nir.chain import bounded
from snnsim.hardware.nir.gains import gains_of, unscaled
from snnsim.hardware.nir.graph import Array, Graph, Node, Value, pair, read_description, read_graph
from snnsim.hardware.nir.neurons import FIRINGS, RULES, TOOLS, Encoding, Firing, Form, Reading, Tool, encode
from snnsim.hardware.nir.plain import plain_network
from snnsim.hardware.nir.write import SCHEMA, to_graph
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.rule import one_of

LIMIT = 2 * 2**30


@dataclass(frozen=True)
class Description:
    """What the metadata of a file that snnsim wrote says of the export."""

    version: str
    form: Form
    lossy: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def encoding(self) -> Encoding:
        return self.form.encoding

    @property
    def firing(self) -> Firing:
        return self.form.firing


def describe(path: str | os.PathLike[str]) -> Description | None:
    """How the file was exported, or None for a file that snnsim did not write. ValueError when it is damaged."""
    text = read_description(path)
    with _naming(path):
        return _description(_parsed(text)) if text else None


def read(path: str | os.PathLike[str], *, dt: float | None = None, plain: bool = False, written_by: Tool = "nir",
         firing: Firing | None = None, reset: Literal["hard", "soft"] = "hard", limit: int = LIMIT) -> Network:
    """The network in a NIR file.

    A file that `export` wrote gives back its network bit for bit: what other tools read is derived from it again and
    compared, so that a file which was changed afterwards is refused. Any other file, or any file with plain=True, is
    read as other tools read it: neurons with hard reset, Euler decay 1 - dt/tau, weights times r dt/tau.

    dt: ms, one step of a plain file, whose time constants are in seconds (0.1 for files of snnTorch and SpikingJelly).
    written_by: the tool that wrote a plain file: "nir" (as the text of NIR says), "snntorch", "spikingjelly", "norse" (IF and
    CubaLIF take r as a factor of each step; its `to_nir(dt=)` multiplies tau, so that dt here is the product of both) or
    "sinabs" (tau counts steps, the decay is exp(-1/tau), inputs are not divided by it). firing: how that tool compares, ">"
    (theta is then the next number above v_threshold) or ">="; by default as the tool does. reset: of all neurons, "soft" for
    the files of nets that subtract the threshold, of which NIR has no word.
    limit: bytes that the arrays of the file may take together.

    Errors: FileNotFoundError; ValueError that names the file, the node and what is allowed.
    """
    one_of("written_by", written_by, TOOLS)
    one_of("firing", firing or ">", FIRINGS)
    one_of("reset", reset, ("hard", "soft"))
    if dt is not None and not (math.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be a positive number of ms, got {dt!r}")
    graph = read_graph(path, limit)
    with _naming(path):
        if graph.description and not plain:
            if dt is not None:
                raise ValueError("the file holds its own time base: leave out dt=, or read it with plain=True")
            return _restore(graph)
        if dt is None:
            raise ValueError("a plain NIR file does not hold the length of a step: give read(..., dt=), in ms (0.1 for files "
                             "of snnTorch)")
        return plain_network(graph, dt, Reading(dt * 1e-3, written_by, firing or TOOLS[written_by], reset))


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name before every complaint about what is in it."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as e:
        raise ValueError(f"{path} is damaged: its description of the network does not fit: {e!r}") from None
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from None


def _parsed(text: str) -> dict[str, Any]:
    d: dict[str, Any] = json.loads(text)
    if d["schema"] != SCHEMA:
        raise ValueError(f"the snnsim metadata has schema {d['schema']!r}; this version of snnsim reads {SCHEMA}; "
                         "read(..., plain=True, dt=) reads the file as other tools do")
    return d


def _description(d: dict[str, Any]) -> Description:
    form = Form(d["encoding"], d["firing"], d.get("pools", "sum"), d.get("convs", "2d"))
    return Description(str(d["version"]), form, tuple(d["lossy"]), tuple(d["kept"]))


def _restore(graph: Graph) -> Network:
    d = _parsed(graph.description)
    told = _description(d)
    populations = [_population(graph, p) for p in d["populations"]]
    by_name = {p.name: p for p in populations}
    projections = []
    for q in d["projections"]:
        nodes = [graph.nodes[name] for name in q["nodes"]]
        held = [n for n in nodes if n.type not in ("Flatten", "Delay")]
        branches = [graph.nodes[branch[-1]] for branch in q["branches"]]
        gain = encode(by_name[q["target"]], told.form.encoding, told.form.firing).gain
        gain = gain * math.prod(math.prod(pair(n.values["kernel_size"])) for n in held if n.type == "AvgPool2d")
        gains = gains_of(f"{q['source']}->{q['target']}", ["weight" in n.values for n in (*held, *branches[:1])], gain,
                         "export it again")
        maps = [_map(n, g) for n, g in zip(held, gains, strict=False)]
        if branches:
            maps.append(_delayed(branches, gains[-1]))
        bias = (branches[0] if branches else held[-1]).metadata.get("bias")
        projections.append(Projection(q["source"], q["target"], tuple(maps), bias, q["delay"], q["receptor"]))
    network = Network(tuple(populations), tuple(projections), TimeBase(**d["time"]), d["output"], d["readout"],
                      tuple(d["notes"]), tuple(d["classes"]))
    _compare(graph, to_graph(network, told.form))
    return network


def _population(graph: Graph, p: dict[str, Any]) -> Population:
    node = graph.nodes[p["node"]]
    if node.type == "Input":
        return Population(p["name"], tuple(p["shape"]))
    size, shape = np.size(node.values["r"]), tuple(p["shape"])
    by_channel = len(shape) == 3 and np.shape(node.values["r"]) == (shape[0], 1, 1)
    if math.prod(bounded(shape) if by_channel else shape) != size and not by_channel:
        raise ValueError(f"node {p['node']!r} holds {size} neurons, the exported population {p['shape']}")
    one_of(f"snnsim_rule of node {p['node']!r}", node.metadata["rule"], RULES)
    rule = RULES[str(node.metadata["rule"])]
    return Population(p["name"], tuple(p["shape"]), rule, {k: node.metadata[k] for k in rule.parameters})


def _map(node: Node, gain: Array) -> Map:
    v, own = node.values, node.metadata
    match node.type:
        case "SumPool2d" | "AvgPool2d":
            return SumPool2d(pair(v["kernel_size"]), pair(v["stride"]))
        case "Conv1d" | "Conv2d":
            flat = node.type == "Conv1d"
            weight = np.asarray(v["weight"])[:, :, None] if flat else np.asarray(v["weight"])
            # the writer made sure that the gain is one number for each channel
            factor = gain if gain.size == 1 else gain.reshape(len(weight), -1)[:, 0]
            exact = own.get("weight", unscaled(weight, factor.reshape(-1, 1, 1, 1)))
            if flat:
                stride = pair(own.get("stride", np.array([1, *pair(v["stride"])[1:]])))
                return Conv2d(exact, stride, (0, *pair(v["padding"])[1:]))
            return Conv2d(exact, pair(v["stride"]), pair(v["padding"]))
        case "Affine" | "Linear":
            if "sparse_weight" in own:
                outputs, inputs = np.shape(v["weight"])
                return Sparse(own["sparse_indptr"], own["sparse_targets"], own["sparse_weight"], (outputs, inputs))
            return Dense(own.get("weight", unscaled(np.asarray(v["weight"]), gain.reshape(-1, 1))))
    raise ValueError(f"a node of type {node.type!r} cannot stand in a projection")


def _delayed(branches: list[Node], gain: Array) -> Delayed:
    own = branches[0].metadata
    weights = [unscaled(np.asarray(n.values["weight"]), gain.reshape(-1, 1)) for n in branches]
    return Delayed(own.get("weight", sum(weights)), own["delay"])


def _compare(found: Graph, expected: Graph) -> None:
    """ValueError that names the first thing in which a file differs from what its metadata says was exported."""
    advice = ("the file was changed after snnsim wrote it: export again, or read(..., plain=True, dt=) to read it as "
              "other tools do")
    if sorted(found.edges) != sorted(expected.edges):
        raise ValueError(f"the edges are not those of the exported network: {advice}")
    if sorted(found.nodes) != sorted(expected.nodes):
        raise ValueError(f"the nodes are {sorted(found.nodes)}, exported were {sorted(expected.nodes)}: {advice}")
    for name, node in expected.nodes.items():
        other = found.nodes[name]
        if node.type != other.type:
            raise ValueError(f"node {name!r} is a {other.type}, exported was a {node.type}: {advice}")
        for kind, ours, theirs in (("", node.values, other.values), ("metadata ", node.metadata, other.metadata)):
            for key in {**ours, **theirs}:
                if key not in ours or key not in theirs or not _same(ours[key], theirs[key]):
                    raise ValueError(f"node {name!r}: {kind}{key} is not what was exported: {advice}")


def _same(a: Value, b: Value) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a is b or (isinstance(a, str) and isinstance(b, str) and a == b)
    return np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b)
