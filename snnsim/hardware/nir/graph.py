"""A NIR graph as plain data, and the HDF5 file that holds it.

Layout (NIR 1.0): /version; /node/type = NIRGraph; /node/edges, strings [E, 2]; /node/nodes/<name>/ with `type`, one
dataset a parameter and an optional group `metadata`; /node/metadata. HDF5 1.10's format and Fletcher filter put a
checksum on everything, so that a damaged file is found out. Format: Pedersen et al., Nature Communications 15 (2024).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.files import read_array, reading_hdf5, replacing

Array = NDArray[Any]
Value = Array | str
Edge = tuple[str, str]

VERSION = "1.0.8"
PREFIX = "snnsim"  # of the metadata that is ours
TEXT_LIMIT = 16 * 2**20  # characters or edges

FIELDS: dict[str, tuple[str, ...]] = {
    "Input": ("shape",), "Output": ("shape",),
    "Affine": ("weight", "bias"), "Linear": ("weight",),
    "Conv2d": ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    "SumPool2d": ("kernel_size", "stride", "padding"), "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("input_type", "start_dim", "end_dim"), "Delay": ("delay",),
    "I": ("r",), "IF": ("r", "v_threshold", "v_reset"), "LI": ("tau", "r", "v_leak"),
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
    """Nodes by name, edges from name to name, and our description of the network (JSON; empty in files of others)."""

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
        root = f.create_group("node")
        _put(root, "type", "NIRGraph")
        edges = np.array(graph.edges, object).reshape(-1, 2)
        root.create_dataset("edges", data=edges, dtype=h5py.string_dtype())
        if graph.description:
            _put(root.create_group("metadata"), PREFIX, graph.description)
        nodes = root.create_group("nodes")
        for name, node in graph.nodes.items():
            group = nodes.create_group(name)
            _put(group, "type", node.type)
            for key, value in node.values.items():
                _put(group, key, value)
            if node.metadata:
                own = group.create_group("metadata")
                for key, value in node.metadata.items():
                    _put(own, f"{PREFIX}_{key}", value)


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
    with reading_hdf5(path, "a NIR file") as f:
        reader = _Reader(path, limit)
        root = reader.root(f)
        nodes = {name: reader.node(name, root["nodes"][name]) for name in root["nodes"]}
        edges = reader.edges(root)
        for edge in edges:
            for end in edge:
                if end not in nodes:
                    raise ValueError(f"{path}: the edge {edge[0]!r} -> {edge[1]!r} names node {end!r}, which is missing; "
                                     f"the nodes are {sorted(nodes)}")
        return Graph(nodes, edges, reader.description(root))


def read_description(path: str | os.PathLike[str]) -> str:
    """Our description in the file, empty in a file of another tool. Errors: as `read_graph`."""
    with reading_hdf5(path, "a NIR file") as f:
        reader = _Reader(path, 0)
        return reader.description(reader.root(f))


@dataclass
class _Reader:
    """path: for the complaints. left: bytes that the arrays may still take."""

    path: str | os.PathLike[str]
    left: int

    def root(self, f: h5py.File) -> h5py.Group:
        root = f.get("node")
        if not isinstance(root, h5py.Group) or not isinstance(root.get("nodes"), h5py.Group):
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
        own = group["metadata"]  # not `get`, which gives None for a group that is there but damaged
        if not isinstance(own, h5py.Group):
            raise ValueError(f"{self.path}: {group.name}/metadata must be a group")
        return own

    def node(self, name: str, group: Any) -> Node:
        where = f"{self.path}: node {name!r}"
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{where} must be a group")
        kind = self.text(group, "type")
        if kind not in FIELDS:
            raise ValueError(f"{where} has type {kind!r}, which snnsim cannot read: allowed are {', '.join(FIELDS)}")
        values: dict[str, Value] = {}
        for key in FIELDS[kind]:
            if key in group or key not in OPTIONAL:
                values[key] = self.value(group, key)
        if kind == "Input" and math.prod(map(int, np.ravel(values["shape"]))) * 8 > self.left:
            raise ValueError(f"{where} has shape {values['shape']}, whose arrays would be above the limit")
        own = self.metadata(group)
        keys = [k for k in own if k.startswith(PREFIX + "_")]
        return Node(kind, values, {k.removeprefix(PREFIX + "_"): self.value(own, k) for k in keys})

    def value(self, group: h5py.Group, name: str) -> Value:
        item = group.get(name)
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
        item = group.get(name)
        where = f"{self.path}: {group.name}/{name}"
        if not isinstance(item, h5py.Dataset) or not h5py.check_string_dtype(item.dtype) or item.shape != ():
            raise ValueError(f"{where} must be a text")
        raw = item[()]
        text = raw.decode("utf8") if isinstance(raw, bytes) else str(raw)
        if len(text) > TEXT_LIMIT:
            raise ValueError(f"{where} is a text of {len(text)} characters, at most {TEXT_LIMIT} are read")
        return text

    def edges(self, root: h5py.Group) -> tuple[Edge, ...]:
        item = root.get("edges")
        if isinstance(item, h5py.Dataset) and item.size == 0:
            return ()
        if not isinstance(item, h5py.Dataset) or not h5py.check_string_dtype(item.dtype) or item.shape[1:] != (2,):
            raise ValueError(f"{self.path}: /node/edges must be pairs of node names")
        if math.prod(item.shape) > TEXT_LIMIT:
            raise ValueError(f"{self.path}: /node/edges claims {item.shape[0]} edges, at most {TEXT_LIMIT // 2} are read")
        return tuple((str(a), str(b)) for a, b in item.asstr()[()])
