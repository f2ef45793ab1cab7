"""A NIR file as a Network: restored bit for bit where snnsim wrote it, converted where another tool did."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.hardware.nir.graph import Array, Graph, Node, Value, read_description, read_graph
from snnsim.hardware.nir.neurons import ENCODINGS, FIRINGS, NEURONS, RULES, Encoding, Firing, decode, encode
from snnsim.hardware.nir.write import SCHEMA, gains_of, to_graph, unscaled
from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.rule import one_of

LIMIT = 2 * 2**30
MAPS = ("Affine", "Linear", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay")


@dataclass(frozen=True)
class Description:
    """What the metadata of a file that snnsim wrote says of the export."""

    version: str
    encoding: Encoding
    firing: Firing
    lossy: tuple[str, ...]
    kept: tuple[str, ...]


def describe(path: str | os.PathLike[str]) -> Description | None:
    """How the file was exported, or None for a file that snnsim did not write. ValueError when it is damaged."""
    text = read_description(path)
    with _naming(path):
        return _description(_parsed(text)) if text else None


def read(path: str | os.PathLike[str], *, dt: float | None = None, plain: bool = False, firing: Firing = ">",
         limit: int = LIMIT) -> Network:
    """The network in a NIR file.

    A file that `export` wrote gives back its network bit for bit: what other tools read is derived from it again and
    compared, so that a file which was changed afterwards is refused. Any other file, or any file with plain=True, is
    read as other tools read it: neurons with hard reset, Euler decay 1 - dt/tau, weights times r dt/tau.

    dt: ms, one step of a plain file, whose time constants are in seconds (0.1 for files of snnTorch). firing: how the
    tool compares that wrote a plain file, ">" as NIR says (theta is then the next number above v_threshold) or ">=".
    limit: bytes that the arrays of the file may take together.

    Errors: FileNotFoundError; ValueError that names the file, the node and what is allowed.
    """
    one_of("firing", firing, FIRINGS)
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
        return _Walk(graph, dt, firing).network()


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name before every complaint about what is in it."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as e:
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
    one_of("encoding", d["encoding"], ENCODINGS)
    one_of("firing", d["firing"], FIRINGS)
    return Description(str(d["version"]), d["encoding"], d["firing"], tuple(d["lossy"]), tuple(d["kept"]))


def _restore(graph: Graph) -> Network:
    d = _parsed(graph.description)
    told = _description(d)
    populations = [_population(graph, p) for p in d["populations"]]
    by_name = {p.name: p for p in populations}
    projections = []
    for q in d["projections"]:
        nodes = [graph.nodes[name] for name in q["nodes"]]
        held = [n for n in nodes if n.type not in ("Flatten", "Delay")]
        gain = encode(by_name[q["target"]], told.encoding, told.firing).gain
        gains = gains_of(f"{q['source']}->{q['target']}", ["weight" in n.values for n in held], gain)
        maps = [_map(n, g) for n, g in zip(held, gains, strict=True)]
        bias = held[-1].metadata.get("bias")
        projections.append(Projection(q["source"], q["target"], tuple(maps), bias, q["delay"], q["receptor"]))
    network = Network(tuple(populations), tuple(projections), TimeBase(**d["time"]), d["output"], d["readout"],
                      tuple(d["notes"]), tuple(d["classes"]))
    _compare(graph, to_graph(network, told.encoding, told.firing))
    return network


def _population(graph: Graph, p: dict[str, Any]) -> Population:
    node = graph.nodes[p["node"]]
    if node.type == "Input":
        return Population(p["name"], tuple(p["shape"]))
    one_of(f"snnsim_rule of node {p['node']!r}", node.metadata["rule"], RULES)
    rule = RULES[str(node.metadata["rule"])]
    return Population(p["name"], tuple(p["shape"]), rule, {k: node.metadata[k] for k in rule.parameters})


def _map(node: Node, gain: Array) -> Map:
    v, own = node.values, node.metadata
    match node.type:
        case "SumPool2d":
            return SumPool2d(_pair(v["kernel_size"]), _pair(v["stride"]))
        case "Conv2d":
            weight = np.asarray(v["weight"])
            # the writer made sure that the gain is one number for each channel
            factor = gain if gain.size == 1 else gain.reshape(len(weight), -1)[:, 0]
            exact = own.get("weight", unscaled(weight, factor.reshape(-1, 1, 1, 1)))
            return Conv2d(exact, _pair(v["stride"]), _pair(v["padding"]))
        case "Affine" | "Linear":
            if "sparse_weight" in own:
                outputs, inputs = np.shape(v["weight"])
                return Sparse(own["sparse_indptr"], own["sparse_targets"], own["sparse_weight"], (outputs, inputs))
            return Dense(own.get("weight", unscaled(np.asarray(v["weight"]), gain.reshape(-1, 1))))
    raise ValueError(f"node type {node.type!r} cannot stand in a projection: allowed are {', '.join(MAPS)}")


def _pair(value: Value) -> tuple[int, int]:
    """A size as NIR files hold it: one whole number, or two."""
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf" or numbers.size not in (1, 2) or np.any(numbers != np.floor(numbers)):
        raise ValueError(f"a size must be one whole number or two, got {value!r}")
    first, last = numbers.flat[0], numbers.flat[-1]
    return int(first), int(last)


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


class _Walk:
    """The network of a plain graph: its neuron nodes, and every path of linear nodes from one to another."""

    def __init__(self, graph: Graph, dt: float, firing: Firing) -> None:
        self.graph, self.dt, self.firing = graph, dt, firing
        self.before: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.before[target].append(source)
        weights = [np.asarray(n.values["weight"]).dtype for n in graph.nodes.values() if "weight" in n.values]
        self.dtype = np.dtype(np.float32 if weights and all(w == np.float32 for w in weights) else np.float64)

    def network(self) -> Network:
        inputs = self.of_type("Input")
        outputs = self.of_type("Output")
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"snnsim reads graphs with one Input and one Output, this has the nodes {inputs} and {outputs}")
        shape = tuple(int(n) for n in np.ravel(np.asarray(self.graph.nodes[inputs[0]].values["shape"])))
        populations, gains = [Population(inputs[0], shape)], {}
        for name, node in self.graph.nodes.items():
            if node.type in NEURONS:
                p, gains[name] = decode(name, node, self.dt * 1e-3, self.firing, self.dtype)
                populations.append(p)
        projections = [self.projection(p, gains[p.name], edge, {q.name: q for q in populations})
                       for p in populations[1:] for edge in self.before[p.name]]
        ends = self.before[outputs[0]]
        if len(ends) != 1 or self.graph.nodes[ends[0]].type not in NEURONS:
            raise ValueError(f"node {outputs[0]!r} (Output) must be fed by one neuron node ({', '.join(NEURONS)}), is fed "
                             f"by {ends}")
        fires = self.graph.nodes[ends[0]].type not in ("LI", "I")
        return Network(tuple(populations), tuple(projections), TimeBase(self.dt), ends[0],
                       "count" if fires else "membrane",
                       (f"read from a plain NIR file at dt = {self.dt:g} ms with Euler decay 1 - dt/tau",))

    def of_type(self, kind: str) -> list[str]:
        return [name for name, node in self.graph.nodes.items() if node.type == kind]

    def projection(self, target: Population, gain: Array, last: str, populations: dict[str, Population]) -> Projection:
        chain = self.chain(last, target.name)
        source = populations[self.before[chain[0]][0] if chain else last]
        shape, maps, delay, scale = source.shape, list[Map](), 0, 1.0
        bias: Array | None = None
        for name in chain:
            node = self.graph.nodes[name]
            try:
                match node.type:
                    case "Flatten":
                        continue
                    case "Delay":
                        delay += self.steps(node, bias)
                        continue
                m = self.map(node, shape, scale)
                scale = 1.0 / math.prod(_pair(node.values["kernel_size"])) * scale if node.type == "AvgPool2d" else (
                    scale if node.type == "SumPool2d" else 1.0)
                bias = self.offset(node, m, bias, shape)
                shape = m.output_shape(shape)
            except ValueError as e:
                raise ValueError(f"node {name!r} ({node.type}): {e}") from None
            maps.append(m)
        gain = gain * scale  # what average pooling at the end of the chain still owes
        if not maps:
            n = target.size
            maps = [Sparse(np.arange(n + 1), np.arange(n), np.ones(n, self.dtype), (n, math.prod(shape)))]
        if np.any(gain != 1.0):
            gains = gains_of(f"{source.name}->{target.name}", [not isinstance(m, SumPool2d) for m in maps], gain)
            maps = [self.scaled(m, g, target.name) for m, g in zip(maps, gains, strict=True)]
        if bias is not None:
            bias = (bias.reshape(target.shape) * gain).astype(self.dtype)
        return Projection(source.name, target.name, tuple(maps), bias if bias is not None and bias.any() else None, delay)

    def chain(self, last: str, target: str) -> list[str]:
        """The linear nodes on the way from a population to the target, first to last."""
        chain: list[str] = []
        name = last
        while self.graph.nodes[name].type in MAPS:
            if name in chain or len(self.before[name]) != 1:
                raise ValueError(f"node {name!r} ({self.graph.nodes[name].type}) on the way to {target!r} must be fed by one "
                                 f"node and stand in no loop of linear nodes, is fed by {self.before[name]}")
            chain.insert(0, name)
            name = self.before[name][0]
        if self.graph.nodes[name].type == "Output":
            raise ValueError(f"node {name!r} (Output) feeds {target!r}: an Output must be the end")
        return chain

    def steps(self, node: Node, bias: Array | None) -> int:
        seconds = np.ravel(np.asarray(node.values["delay"], np.float64))
        if seconds.size == 0 or np.any(seconds != seconds[0]):
            raise ValueError("all neurons of a projection must have one delay")
        if bias is not None and bias.any():
            raise ValueError("a delay must stand before the first bias of its chain")
        exact = float(seconds[0]) / (self.dt * 1e-3)
        steps = round(exact)
        if steps < 0 or abs(exact - steps) > 1e-6 * max(1, steps):
            raise ValueError(f"the delay of {seconds[0]:g} s is not a whole number of steps of {self.dt:g} ms")
        return steps

    def map(self, node: Node, shape: tuple[int, ...], scale: float) -> Map:
        v = node.values
        if node.type in ("SumPool2d", "AvgPool2d"):
            if np.any(np.asarray(v["padding"]) != 0):
                raise ValueError(f"padding must be 0, got {v['padding']!r}")
            return SumPool2d(_pair(v["kernel_size"]), _pair(v["stride"]))
        weight = np.asarray(v["weight"])
        weight = (weight * scale).astype(self.dtype)
        if node.type != "Conv2d":
            return Dense(weight)
        if np.any(np.asarray(v["dilation"]) != 1) or np.any(np.asarray(v["groups"]) != 1):
            raise ValueError(f"dilation and groups must be 1, got {v['dilation']!r} and {v['groups']!r}")
        stride, padding = _pair(v["stride"]), v["padding"]
        if isinstance(padding, str):
            kernel = weight.shape[2:]
            if padding == "same" and (stride != (1, 1) or any(k % 2 == 0 for k in kernel)):
                raise ValueError("padding 'same' is read for odd kernels of stride 1: give it in numbers")
            padding = np.array([k // 2 for k in kernel]) if padding == "same" else np.zeros(2, np.int64)
        return Conv2d(weight, stride, _pair(padding))

    def offset(self, node: Node, m: Map, bias: Array | None, shape: tuple[int, ...]) -> Array | None:
        """The constant part of the chain up to and including this node."""
        carried = None if bias is None else m.apply(bias.reshape(shape).astype(np.float64))
        if "bias" not in node.values:
            return carried
        out = m.output_shape(shape)
        own = np.asarray(node.values["bias"], np.float64)
        if own.shape != out[:1]:
            raise ValueError(f"bias has shape {own.shape}, must be {out[:1]}")
        full = np.broadcast_to(own.reshape(-1, *[1] * (len(out) - 1)), out)
        return full if carried is None else carried + full

    def scaled(self, m: Map, gain: Array, target: str) -> Map:
        """The map times the gain r dt/tau of its target."""
        flat = gain.ravel()
        if isinstance(m, Dense):
            return Dense((np.asarray(m.weight) * flat.reshape(-1, 1)).astype(self.dtype))
        if isinstance(m, Sparse):
            return Sparse(m.indptr, m.targets, (np.asarray(m.weight) * flat).astype(self.dtype), m.shape)
        if isinstance(m, Conv2d):
            weight = np.asarray(m.weight)
            rows = flat.reshape(1 if flat.size == 1 else len(weight), -1)
            if np.any(rows != rows[:, :1]):
                raise ValueError(f"node {target!r}: its neurons differ in r/tau within a channel, which a Conv2d before it "
                                 "cannot take: give it neurons that are alike, or feed it by an Affine node")
            return Conv2d((weight * rows[:, 0].reshape(-1, 1, 1, 1)).astype(self.dtype), m.stride, m.padding)
        return m
