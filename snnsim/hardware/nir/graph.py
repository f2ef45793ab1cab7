"""A NIR graph as plain data, and the HDF5 file that holds it.

Layout (NIR 1.0): /version; /node/type = NIRGraph; /node/edges, strings [E, 2]; /node/nodes/<name>/ with `type`, one
dataset a parameter and an optional group `metadata`; /node/metadata. A node may be a NIRGraph itself, with edges and
nodes of its own: its nodes are held here beside the others, under names such as "hidden/lif", which no node of a file can
have; an edge to it ends at its Input, an edge from it starts at its Output. HDF5 1.10's format and Fletcher filter put a
checksum on everything, so that a damaged file is found out. Format: Pedersen et al., Nature Communications 15 (2024).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.hardware.nir.heaps import check_heaps, check_texts

Array = NDArray[Any]
Value = Array | str
Edge = tuple[str, str]

VERSION = "1.0.8"
PREFIX = "snnsim"  # of the metadata that is ours
TEXT_LIMIT = 16 * 2**20  # characters or edges
NODE_LIMIT, DEPTH_LIMIT = 100_000, 8  # nodes in all, graphs within graphs: links in a file can make either endless
CONV = ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias")

FIELDS: dict[str, tuple[str, ...]] = {
    "Input": ("shape",), "Output": ("shape",),
    "Affine": ("weight", "bias"), "Linear": ("weight",), "Scale": ("scale",), "Conv1d": CONV, "Conv2d": CONV,
    "SumPool2d": ("kernel_size", "stride", "padding"), "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("input_type", "start_dim", "end_dim"), "Delay": ("delay",),
    "Threshold": ("threshold",), "I": ("r",), "IF": ("r", "v_threshold", "v_reset"), "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
}
TEXTS = ("padding", f"{PREFIX}_rule", f"{PREFIX}_reset")  # where a text may stand
OPTIONAL = ("v_reset", "input_shape", "input_type", "w_in")


@dataclass(frozen=True, eq=False)
class Node:
    """One node: its NIR type, its parameters, and the metadata of ours that it carries."""

    type: str
    values: dict[str, Value]
    metadata: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name, edges from name to name, and our description of the network (JSON; empty in files of others).

    The nodes of a graph within the graph, a/input and a/output among them, are named a/...
    """

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    description: str = ""


def pair(value: Value) -> tuple[int, int]:
    """A size as NIR files hold it: one whole number, or two."""
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf" or numbers.size not in (1, 2) or np.any(numbers != np.floor(numbers)):
        raise ValueError(f"a size must be one whole number or two, got {value!r}")
    return int(numbers.flat[0]), int(numbers.flat[-1])


def write_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the graph to one file; an existing file is replaced only when the new one is complete."""
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as f:
        _put(f, "version", VERSION)
        _put_graph(f.create_group("node"), "", graph)


def _put_graph(group: h5py.Group, prefix: str, graph: Graph) -> None:
    """The part of the graph whose names start with the prefix, which is empty or ends in a slash."""
    _put(group, "type", "NIRGraph")
    local = [(_below(a, prefix), _below(b, prefix)) for a, b in graph.edges if a.startswith(prefix) and b.startswith(prefix)
             and (_below(a, prefix) != _below(b, prefix) or "/" not in a.removeprefix(prefix))]
    edges = np.array(local, object).reshape(-1, 2)
    group.create_dataset("edges", data=edges, dtype=h5py.string_dtype())
    if graph.description and not prefix:
        _put(group.create_group("metadata"), PREFIX, graph.description)
    # nirtorch takes the nodes as they stand, and fails at a graph within the graph that stands before what feeds it
    nodes = group.create_group("nodes", track_order=True)
    for short in _fed_first(dict.fromkeys(_below(name, prefix) for name in graph.nodes if name.startswith(prefix)), local):
        own = nodes.create_group(short)
        if prefix + short not in graph.nodes:
            _put_graph(own, f"{prefix}{short}/", graph)
            continue
        node = graph.nodes[prefix + short]
        _put(own, "type", node.type)
        for key, value in node.values.items():
            _put(own, key, value)
        if node.metadata:
            metadata = own.create_group("metadata")
            for key, value in node.metadata.items():
                _put(metadata, f"{PREFIX}_{key}", value)


def _fed_first(names: Iterable[str], edges: list[Edge]) -> list[str]:
    """The names, each after those that feed it; in a loop, as they stand."""
    waits: dict[str, set[str]] = {name: set() for name in names}
    for a, b in edges:
        if a != b:
            waits[b].add(a)
    order: list[str] = []
    while waits:
        done = set(order)
        ready = [name for name, before in waits.items() if before <= done] or [next(iter(waits))]
        for name in ready:
            del waits[name]
        order += ready
    return order


def _below(name: str, prefix: str) -> str:
    """What a graph calls the node, or the graph within it that holds the node."""
    return name.removeprefix(prefix).partition("/")[0]


def _put(group: h5py.Group, name: str, value: Value) -> None:
    if isinstance(value, str):
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())
    elif value.ndim and value.size:
        group.create_dataset(name, data=value, fletcher32=True)
    else:
        group.create_dataset(name, data=value)


def read_graph(path: str | os.PathLike[str], limit: int = 2 * 2**30) -> Graph:
    """The graph in the file. limit: bytes that its arrays may take together; they are counted before they are read.

    Errors: FileNotFoundError; ValueError that names the file, the node and what is allowed.
    """
    check_heaps(path)
    with reading_hdf5(path, "a NIR file") as f:
        reader = _Reader(path, limit)
        root = reader.root(f)
        reader.version(f)
        nodes, edges = reader.graph(root, "")
        return Graph(nodes, edges, reader.description(root))


def read_description(path: str | os.PathLike[str]) -> str:
    """Our description in the file, empty in a file of another tool. Errors: as `read_graph`."""
    check_heaps(path)
    with reading_hdf5(path, "a NIR file") as f:
        reader = _Reader(path, 0)
        return reader.description(reader.root(f))


@dataclass
class _Reader:
    """path: for the complaints. left: bytes that the arrays may still take. count: nodes so far."""

    path: str | os.PathLike[str]
    left: int
    count: int = 0

    def version(self, f: h5py.File) -> None:
        """ValueError for a format of another number than 0 or 1; files of old tools have none."""
        if "version" in f and not re.fullmatch(r"[01](\.\w+)*", text := self.text(f, "version")):
            raise ValueError(f"{self.path} is a NIR file of version {text[:40]!r}; snnsim reads 0 and 1, such as {VERSION!r}")

    def root(self, f: h5py.File) -> h5py.Group:
        root = f.get("node")
        if not isinstance(root, h5py.Group) or not isinstance(self.item(root, "nodes"), h5py.Group):
            raise ValueError(f"{self.path} is not a NIR file: it has no group /node/nodes")
        if self.text(root, "type") != "NIRGraph":
            raise ValueError(f"{self.path}: /node must be a NIRGraph, is {self.text(root, 'type')!r}")
        return root

    def description(self, root: h5py.Group) -> str:
        own = self.metadata(root)
        return self.text(own, PREFIX) if PREFIX in own else ""

    def metadata(self, group: h5py.Group) -> Any:
        """The metadata of a node or of the graph; empty where there is none."""
        if "metadata" not in group:
            return {}
        own = self.item(group, "metadata")  # not `get`, which gives None for a group that is there but damaged
        if not isinstance(own, h5py.Group):
            raise ValueError(f"{self.path}: {group.name}/metadata must be a group")
        return own

    def item(self, group: h5py.Group, name: str) -> Any:
        """What stands under the name; None where nothing does. ValueError for a link, which could lead out of the file."""
        link = group.get(name, getlink=True) if name in group else None
        if link is not None and not isinstance(link, h5py.HardLink):
            raise ValueError(f"{self.path}: {group.name}/{name} is a link, which is not followed")
        return None if link is None else group[name]

    def graph(self, group: h5py.Group, prefix: str) -> tuple[dict[str, Node], tuple[Edge, ...]]:
        """The nodes and edges of a graph, and of those within it."""
        if prefix.count("/") > DEPTH_LIMIT:
            raise ValueError(f"{self.path}: node {prefix[:-1]!r} is nested deeper than {DEPTH_LIMIT} graphs")
        nodes, edges = dict[str, Node](), list[Edge]()
        starts, ends = dict[str, str](), dict[str, str]()
        for short in self.item(group, "nodes"):
            name, item = prefix + short, self.item(group["nodes"], short)
            starts[short] = ends[short] = name
            self.count += 1
            if self.count > NODE_LIMIT:
                raise ValueError(f"{self.path} holds more than {NODE_LIMIT} nodes")
            if not isinstance(item, h5py.Group):
                raise ValueError(f"{self.path}: node {name!r} must be a group")
            if self.text(item, "type") == "NIRGraph":
                if not isinstance(self.item(item, "nodes"), h5py.Group):
                    raise ValueError(f"{self.path}: node {name!r} (NIRGraph) has no group of nodes")
                inner, more = self.graph(item, name + "/")
                ends[short], starts[short] = self.gate(name, "Input", inner), self.gate(name, "Output", inner)
                nodes |= inner
                edges += more
            else:
                nodes[name] = self.node(name, item)
        for a, b in self.edges(group):
            for end in (a, b):
                if end not in starts:
                    raise ValueError(f"{self.path}: the edge {prefix + a!r} -> {prefix + b!r} names node {prefix + end!r}, "
                                     f"which is missing; the nodes are {_some(starts)}")
            edges.append((starts[a], ends[b]))
        return nodes, tuple(edges)

    def gate(self, name: str, kind: str, inner: dict[str, Node]) -> str:
        """The one Input or Output of the graph within the graph."""
        found = [n for n, node in inner.items() if node.type == kind and n.count("/") == name.count("/") + 1]
        if len(found) != 1:
            raise ValueError(f"{self.path}: node {name!r} (NIRGraph) must have one {kind}, has {len(found)}")
        return found[0]

    def node(self, name: str, group: h5py.Group) -> Node:
        where = f"{self.path}: node {name!r}"
        kind = self.text(group, "type")
        if kind not in FIELDS:
            raise ValueError(f"{where} has type {kind!r}, which snnsim cannot read: allowed are {', '.join(FIELDS)}")
        values: dict[str, Value] = {}
        for key in FIELDS[kind]:
            if key in group or key not in OPTIONAL:
                values[key] = self.value(group, key)
        if kind == "Input":
            sizes = np.ravel(np.asarray(values["shape"]))
            if sizes.dtype.kind not in "iu" or not 1 <= sizes.size <= 8 or sizes.min() < 1:
                raise ValueError(f"{where}: shape must be whole numbers from 1 on, is {values['shape']}")
            if math.prod(map(int, sizes)) * 8 > self.left:
                raise ValueError(f"{where} has shape {values['shape']}, whose arrays would be above the limit")
        own = self.metadata(group)
        keys = [k for k in own if k.startswith(PREFIX + "_")]
        return Node(kind, values, {k.removeprefix(PREFIX + "_"): self.value(own, k) for k in keys})

    def value(self, group: h5py.Group, name: str) -> Value:
        item = self.item(group, name)
        if name in TEXTS and isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype):
            return self.text(group, name)
        if isinstance(item, h5py.Dataset) and item.size is not None:
            self.left -= item.size * item.dtype.itemsize
            if self.left < 0:
                raise ValueError(f"{self.path}: {item.name} takes the file's arrays above the limit; give "
                                 "read(..., limit=) more bytes if the file is to be trusted")
        array = read_array(group, name, self.path)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{self.path}: {group.name}/{name} must be finite, holds NaN or infinity")
        return array

    def text(self, group: h5py.Group, name: str) -> str:
        item = self.item(group, name)
        where = f"{self.path}: {group.name.rstrip('/')}/{name}"
        if not isinstance(item, h5py.Dataset) or not h5py.check_string_dtype(item.dtype) or item.shape != ():
            raise ValueError(f"{where} must be a text")
        check_texts(self.path, item)
        raw = item[()]
        text = raw.decode("utf8") if isinstance(raw, bytes) else str(raw)
        if len(text) > TEXT_LIMIT:
            raise ValueError(f"{where} is a text of {len(text)} characters, at most {TEXT_LIMIT} are read")
        return text

    def edges(self, root: h5py.Group) -> tuple[Edge, ...]:
        item = self.item(root, "edges")
        if isinstance(item, h5py.Dataset) and item.size == 0:
            return ()
        if not isinstance(item, h5py.Dataset) or not h5py.check_string_dtype(item.dtype) or item.shape[1:] != (2,):
            raise ValueError(f"{self.path}: {root.name}/edges must be pairs of node names")
        if math.prod(item.shape) > TEXT_LIMIT:
            raise ValueError(f"{self.path}: {root.name}/edges claims {item.shape[0]} edges, at most {TEXT_LIMIT // 2} are read")
        check_texts(self.path, item)
        return tuple((str(a), str(b)) for a, b in item.asstr()[()])


def _some(names: Iterable[str]) -> str:
    """The first of the names, for a complaint."""
    all_of = sorted(names)
    return f"{all_of[:20]}" + (f" and {len(all_of) - 20} more" if len(all_of) > 20 else "")
