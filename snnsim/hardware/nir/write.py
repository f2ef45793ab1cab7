"""A Network as a NIR graph: one node a population, one chain of nodes a projection."""

from __future__ import annotations

import json
import keyword
import math
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from snnsim.hardware.nir.folded import DROPPED, plain_thresholds
from snnsim.hardware.nir.gains import gains_of, unscaled
from snnsim.hardware.nir.graph import Array, Edge, Graph, Node, Value, pair, write_graph
from snnsim.hardware.nir.neurons import (
    DT,
    RESETS,
    Convs,
    Encoded,
    Encoding,
    Firing,
    Floats,
    Form,
    Pools,
    encode,
    rule_name,
)
from snnsim.hardware.nir.told import kept, lossy, nests
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.version import __version__

SCHEMA = 2
DENSE_LIMIT = 64 * 2**20  # bytes that a sparse map may take once it is written dense
STEPS = ({"dt": DT, "step": "euler", "reset": "hard"}, {"dt": 1.0, "step": "exponential", "reset": "soft"})
BRANCH_LIMIT = 64  # distinct delays of a projection, each with a copy of its weights


@dataclass(frozen=True)
class ExportReport:
    """What was written. lossy: what other tools will do differently; kept: what only snnsim reads back from the file."""

    path: Path
    encoding: Encoding
    firing: Firing
    nodes: int
    edges: int
    size: int
    lossy: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.nodes} nodes, {self.edges} edges, {self.size} bytes, encoding {self.encoding}, "
                 f"thresholds for readers that compare by {self.firing}"]
        lines += [f"  lossy: {text}" for text in self.lossy] + [f"  only for snnsim: {text}" for text in self.kept]
        return "\n".join(lines)


def export(network: Network, path: str | os.PathLike[str], *, encoding: Encoding = "unit_r", allow_lossy: bool = False,
           firing: Firing | None = None, pools: Pools = "sum", convs: Convs = "2d") -> ExportReport:
    """Write the network to a NIR file that snnTorch, SpikingJelly, Norse and the nir package read.

    encoding: "unit_r", "tau_over_dt", or "sinabs" for Sinabs alone; firing: how the reader compares, ">" (the default) or
    ">=" (Sinabs); both as `nir.neurons` says. pools: "sum", which more tools read, or "average": AvgPool2d, its area in the
    weights of its chain. convs: "2d", or "1d": Conv1d and neurons [channels, length] where a height is 1.
    Time: NIR has no step, so one step of the network is written as 1e-4 s (snnTorch takes no other); the network's own
    dt, steps, t0 and clip, its readout, classes and notes go into metadata, and `read` restores the network from the
    file bit for bit.
    A norm that was folded into thresholds becomes plain ones, with the same spikes (see `nir.folded`); `read` gives those.
    allow_lossy: write a population with soft reset or without reset as one with hard reset, and its rule as metadata.

    Errors: ValueError that names the layer and the feature that NIR cannot hold. Nothing is written then, and a file
    that stood at `path` is untouched.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}; snnsim.lower makes one of a trained net")
    form = Form(encoding, firing or (">=" if encoding == "sinabs" else ">"), pools, convs)
    network, folded = plain_thresholds(_without_modulations(network), allow_lossy)
    lost, left = lossy(network, encoding), (*kept(network, form), *folded)
    if lost and not allow_lossy:
        raise ValueError(f"{lost[0]}. Export with allow_lossy=True to " + (
            "write the rest, which is recorded in the file" if lost[0].startswith("modulation") else
            "write it so and keep its rule as metadata for snnsim, or train with "
            f"reset={'soft' if encoding == 'sinabs' else 'hard'!r}"))
    graph = to_graph(network, form)
    write_graph(graph, path)
    size = os.path.getsize(path)
    return ExportReport(Path(path), encoding, form.firing, len(graph.nodes), len(graph.edges), size, lost, left)


def _without_modulations(network: Network) -> Network:
    """The network without its modulations, and with a note of each."""
    notes = tuple(f"{DROPPED}modulation {m.name} is left out, NIR has no slower rule that moves a parameter"
                  for m in network.modulations)
    return replace(network, modulations=(), notes=(*network.notes, *notes)) if notes else network


def to_graph(network: Network, form: Form) -> Graph:
    """The NIR graph of the network. ValueError that names what NIR cannot hold."""
    return _Writer(network, form).graph()


class _Writer:
    """The nodes and edges so far."""

    def __init__(self, network: Network, form: Form) -> None:
        network.require_projections("NIR export")
        self.network, self.form, self.encoding, self.firing = network, form, form.encoding, form.firing
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.node_of: dict[str, str] = {}
        self.encoded: dict[str, Encoded] = {}
        nested = [q for q in network.projections if q.source == q.target and nests(network, q)]
        self.nested = {q.target: q for q in nested}
        self.groups: dict[str, str] = {}  # graphs within the graph, and their populations
        # the bias of a recurrent projection, by the projection that takes it
        self.moved = {id(next(r for r in network.into(q.target) if r is not q and isinstance(r.maps[-1], (Dense, Sparse)))):
                      q.bias for q in nested if q.bias is not None}
        # NIR cannot reshape: where a dense map ends, the neurons stand in a row
        self.flat = {q.target for q in network.projections if any(isinstance(m, (Dense, Sparse)) for m in q.maps)}

    def graph(self) -> Graph:
        for p in self.network.populations:
            self.population(p)
        chains = [self.projection(q) for q in self.network.projections]
        out = self.add("output", Node("Output", {"shape": np.array(self.shape(self.network.output), np.int64)}))
        self.edges.append((self.end_of(self.network.output), out))
        return Graph(self.nodes, tuple(self.edges), self.description(chains))

    def description(self, chains: list[list[list[str]]]) -> str:
        net = self.network
        return json.dumps({
            "schema": SCHEMA, "version": __version__, **asdict(self.form),
            "time": asdict(net.time), "output": net.output, "readout": net.readout, "classes": net.classes,
            "discretisation": STEPS[self.encoding == "sinabs"], "notes": net.notes, "lossy": lossy(net, self.encoding),
            "kept": kept(net, self.form),
            "populations": [{"name": p.name, "node": self.node_of[p.name], "shape": p.shape} for p in net.populations],
            "projections": [{"source": q.source, "target": q.target, "delay": int(q.delay), "receptor": q.receptor,
                             "nodes": chain, "branches": branches}
                            for q, (chain, *branches) in zip(net.projections, chains, strict=True)]})

    def add(self, wanted: str, node: Node) -> str:
        """Put the node under a name that HDF5, Python and torch can use, and give that name."""
        name = self.free(wanted)
        self.nodes[name] = node
        return name

    def free(self, wanted: str) -> str:
        stem = re.sub(r"\W", "_", wanted, flags=re.ASCII) or "node"
        if keyword.iskeyword(stem) or stem[0].isdigit():
            stem = f"node_{stem}"
        name, count = stem, 1
        while name in self.nodes or name in self.groups:
            count += 1
            name = f"{stem}_{count}"
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the population's node."""
        p = self.network.population(name)
        if name not in self.flat and self.form.convs == "1d" and len(p.shape) == 3 and p.shape[1] == 1:
            return p.shape[0], p.shape[2]
        return (p.size,) if name in self.flat else p.shape

    def population(self, p: Population) -> None:
        shape = self.shape(p.name)
        if p.rule is None:
            self.node_of[p.name] = self.add(p.name, Node("Input", {"shape": np.array(shape, np.int64)}))
            return
        e = self.encoded[p.name] = encode(p, self.encoding, self.firing)
        values: dict[str, Value] = {k: self.by_neuron(p, k, np.asarray(v).reshape(shape)) for k, v in e.values.items()}
        rule = rule_name(p)
        metadata: dict[str, Value] = {"rule": rule, **{k: np.asarray(v) for k, v in p.parameters.items()}}
        if rule.partition("_")[2] in RESETS["unit_r"]:
            metadata["reset"] = rule.partition("_")[2]
        if p.name not in self.nested:
            self.node_of[p.name] = self.add(p.name, Node(e.type, values, metadata))
            return
        group = self.free(p.name)
        self.groups[group] = p.name
        self.nodes[f"{group}/input"] = Node("Input", {"shape": np.array(shape, np.int64)})
        self.nodes[f"{group}/lif"] = Node(e.type, values, metadata)
        self.nodes[f"{group}/output"] = Node("Output", {"shape": np.array(shape, np.int64)})
        self.node_of[p.name] = f"{group}/lif"

    def by_neuron(self, p: Population, name: str, value: Array) -> Array:
        """The parameter as the node holds it: of neurons [channels, height, width], Sinabs reads one number a channel."""
        if self.encoding != "sinabs" or value.ndim != 3:
            return value
        rows = value.reshape(len(value), -1)
        if np.any(rows != rows[:, :1]):
            raise ValueError(f"population {p.name!r}: {name} differs within a channel, of which Sinabs reads one number: use "
                             "one for each channel")
        return rows[:, :1, None]

    def start_of(self, name: str) -> str:
        """The node at which edges to the population end."""
        return self.node_of[name].replace("/lif", "/input")

    def end_of(self, name: str) -> str:
        """The node at which edges from the population start."""
        return self.node_of[name].replace("/lif", "/output")

    def projection(self, q: Projection) -> list[list[str]]:
        """Write the chain of nodes from source to target; their names, and then those of the branches at its end."""
        if self.nested.get(q.target) is q:
            group = self.node_of[q.target].removesuffix("/lif")
            kind, values, metadata = self.weights(q, q.maps[0], self.encoded[q.target].gain, None)
            if q.bias is not None:
                metadata["bias"] = np.asarray(q.bias)
            self.nodes[f"{group}/w_rec"] = Node(kind, values, metadata)
            # Norse gives what the last edge brings
            self.edges += [(f"{group}/input", f"{group}/lif"), (f"{group}/lif", f"{group}/w_rec"),
                           (f"{group}/w_rec", f"{group}/lif"), (f"{group}/lif", f"{group}/output")]
            return [[f"{group}/w_rec"]]
        shape, chain = self.shape(q.source), [self.end_of(q.source)]
        if self.encoding == "sinabs" and (q.delay or isinstance(q.maps[-1], Delayed)):
            raise ValueError(f"projection {q.name} has a delay, and Sinabs leaves a Delay node out without a word: export with "
                             "encoding='unit_r'")

        def append(kind: str, values: dict[str, Value], metadata: dict[str, Value] | None = None) -> None:
            chain.append(self.after(chain[-1], q, Node(kind, values, metadata or {})))

        def flatten() -> tuple[int, ...]:
            if len(shape) > 1:
                append("Flatten", {"input_type": np.array(shape, np.int64), "start_dim": np.array(0),
                                   "end_dim": np.array(-1)})
            return (math.prod(shape),)

        if q.delay:
            append("Delay", {"delay": np.full(shape, q.delay * DT)})
        average = self.form.pools == "average"
        area = float(np.prod([m.kernel for m in q.maps if isinstance(m, SumPool2d)])) if average else 1.0
        gains = gains_of(q.name, [not isinstance(m, SumPool2d) for m in q.maps], self.encoded[q.target].gain * area,
                         "export with " + "pools='sum' and " * average + "encoding='tau_over_dt'")
        for i, m in enumerate(q.maps):
            if isinstance(m, (Dense, Sparse, Delayed)):
                shape = flatten()
            elif len(shape) == 1:
                raise ValueError(f"projection {q.name}, map {i} ({m}): NIR cannot reshape, and {q.source!r} is fed by a dense "
                                 "map, so that its neurons stand in a row; feed it by a convolution, or use a dense map here")
            if isinstance(m, Delayed):
                return [chain[1:], *self.branches(q, m, gains[i], chain[-1])]
            append(*self.node(q, i, shape, gains[i]))
            flat = len(shape) == 2
            shape = m.output_shape((shape[0], 1, shape[1]) if flat else shape)
            shape = (shape[0], shape[2]) if flat else shape
        if len(self.shape(q.target)) == 1:
            shape = flatten()
        if len(shape) != len(self.shape(q.target)):
            raise ValueError(f"projection {q.name} goes from two dimensions to one, and NIR cannot reshape: export with "
                             "convs='2d'")
        self.edges.append((chain[-1], self.start_of(q.target)))
        return [chain[1:]]

    def after(self, last: str, q: Projection, node: Node) -> str:
        """Put a node of the projection behind another one; its name."""
        name = self.add(f"{q.source}_to_{q.target}_{node.type.lower()}", node)
        self.edges.append((last, name))
        return name

    def branches(self, q: Projection, m: Delayed, gain: Floats, last: str) -> list[list[str]]:
        """A Delay and a Linear for each delay that occurs; one pair where all synapses of a source have the same."""
        weight, delay = np.asarray(m.weight), np.asarray(m.delay)
        exists = weight != 0.0
        by_source = np.where(exists, delay, 0).max(0)
        parts: list[tuple[Array, Array]] = [(by_source, weight)]
        if np.any(exists & (delay != by_source)):
            distinct = np.unique(delay[exists])
            if len(distinct) > BRANCH_LIMIT:
                raise ValueError(f"projection {q.name} has {len(distinct)} distinct delays by synapse: NIR holds them as one "
                                 f"Delay and Linear for each, of which at most {BRANCH_LIMIT} are written; train with fewer "
                                 "delays, or with one for each source")
            parts = [(np.full_like(by_source, d), np.where(delay == d, weight, weight.dtype.type(0.0))) for d in distinct]
        found, held = [], np.zeros_like(weight)
        for i, (steps, part) in enumerate(parts):
            kind, values, metadata = self.weights(q, Dense(part), gain, q.bias if i == 0 else None)
            held = held + unscaled(np.asarray(values["weight"]), gain.reshape(-1, 1))
            metadata.pop("weight", None)
            names = [last]
            if steps.any():
                names.append(self.after(last, q, Node("Delay", {"delay": steps * DT})))
            names.append(self.after(names[-1], q, Node(kind, values, metadata)))
            self.edges.append((names[-1], self.start_of(q.target)))
            found.append(names[1:])
        first = self.nodes[found[0][-1]].metadata
        first["delay"] = delay
        if held.tobytes() != weight.tobytes():
            first["weight"] = weight
        return found

    def node(self, q: Projection, i: int, shape: tuple[int, ...],
             gain: Floats) -> tuple[str, dict[str, Value], dict[str, Value]]:
        """Type, values and metadata of map i's node; the last of a chain bears the bias."""
        m, target = q.maps[i], self.network.population(q.target)
        metadata: dict[str, Value] = {}
        bias = None
        if i == len(q.maps) - 1 and q.bias is not None:
            bias = np.asarray(q.bias)
        if isinstance(m, SumPool2d):
            if bias is not None:
                raise ValueError(f"projection {q.name} ends in {m}, and a pooling node of NIR has no bias: put the pooling "
                                 "before the convolution, or leave out the bias")
            kernel, stride = np.array(m.kernel, np.int64), np.array(m.stride, np.int64)
            if len(shape) == 2:
                raise ValueError(f"projection {q.name}: NIR has no pooling of one dimension for {m}: export with convs='2d', "
                                 "or use a convolution with a stride")
            kind = "AvgPool2d" if self.form.pools == "average" else "SumPool2d"
            return kind, {"kernel_size": kernel, "stride": stride, "padding": np.zeros(2, np.int64)}, {}
        if isinstance(m, Conv2d):
            if bias is not None:
                metadata["bias"] = bias
            weight = np.asarray(m.weight)
            factor = self.by_channel(q, gain, weight, "decay")
            held = self.scaled(q, weight, factor.reshape(-1, 1, 1, 1), metadata)
            offset = np.zeros(len(weight), weight.dtype)
            if bias is not None:
                full = np.broadcast_to(bias, target.shape)
                own = self.by_channel(q, self.encoded[q.target].gain, weight, "decay")
                offset = self.times(q, self.by_channel(q, full, weight, "bias").astype(bias.dtype), own)
            if len(shape) == 2:
                return self.conv1d(q, m, shape, held, offset, metadata)
            return "Conv2d", {"input_shape": np.array(shape[1:], np.int64), "weight": held,
                              "stride": np.array(m.stride, np.int64), "padding": np.array(m.padding, np.int64),
                              "dilation": np.ones(2, np.int64), "groups": np.array(1), "bias": offset}, metadata
        return self.weights(q, m, gain, bias)

    def conv1d(self, q: Projection, m: Conv2d, shape: tuple[int, ...], held: Array, offset: Array,
               metadata: dict[str, Value]) -> tuple[str, dict[str, Value], dict[str, Value]]:
        """The node of a convolution of height 1, without that height; a stride along it, which does nothing, is metadata."""
        stride, padding = pair(np.array(m.stride)), pair(np.array(m.padding))
        if held.shape[2] != 1 or padding[0]:
            raise ValueError(f"projection {q.name}: {m} is no convolution of one dimension, which has a kernel of height 1 and "
                             "no padding above and below: export with convs='2d'")
        if stride[0] != 1:
            metadata["stride"] = np.array(stride, np.int64)
        return "Conv1d", {"input_shape": np.array(shape[1]), "weight": held[:, :, 0], "stride": np.array(stride[1]),
                          "padding": np.array(padding[1]), "dilation": np.array(1), "groups": np.array(1),
                          "bias": offset}, metadata

    def weights(self, q: Projection, m: Map, gain: Floats,
                bias: ArrayLike | None) -> tuple[str, dict[str, Value], dict[str, Value]]:
        """Type, values and metadata of the node of a dense or sparse map."""
        metadata: dict[str, Value] = {} if bias is None else {"bias": np.asarray(bias)}
        held = self.scaled(q, self.dense(q, m, metadata), gain.reshape(-1, 1), metadata)
        more = self.moved.get(id(q))
        total = bias if more is None else more if bias is None else np.asarray(bias) + np.asarray(more)
        if total is None and self.encoding == "sinabs":  # which leaves a Linear node out without a word
            total = np.zeros((), held.dtype)
        if total is None:
            return "Linear", {"weight": held}, metadata
        full = np.broadcast_to(np.asarray(total), self.network.population(q.target).shape).ravel()
        return "Affine", {"weight": held, "bias": self.times(q, full, self.encoded[q.target].gain.ravel())}, metadata

    def by_channel(self, q: Projection, value: Array, weight: Array, what: str) -> Array:
        """One number a channel, from an array [channels, height, width] that is constant within each; or one for all."""
        if value.size == 1:
            return value.ravel()
        rows = value.reshape(len(weight), -1)
        if np.any(rows != rows[:, :1]):
            advice = "" if what == "bias" else ": export with encoding='tau_over_dt'"
            raise ValueError(f"projection {q.name} ends in a convolution, whose NIR node holds one {what} for each channel, "
                             f"but the {what} differs within a channel{advice}")
        return rows[:, 0]

    def dense(self, q: Projection, m: Map, metadata: dict[str, Value]) -> Array:
        if isinstance(m, Dense):
            return np.asarray(m.weight)
        if not isinstance(m, Sparse):
            raise ValueError(f"projection {q.name}: a map of type {type(m).__name__} has no NIR node; allowed are Dense, "
                             "Conv2d, SumPool2d and Sparse")
        arrays = m.arrays()
        size = math.prod(m.shape) * arrays["weight"].dtype.itemsize
        if size > DENSE_LIMIT:
            raise ValueError(f"projection {q.name}: NIR has no sparse map, and written dense it takes {size / 2**20:.0f} MB; "
                             f"at most {DENSE_LIMIT >> 20} MB are written")
        weight = np.zeros(m.shape, arrays["weight"].dtype)
        source = np.repeat(np.arange(m.shape[1]), np.diff(arrays["indptr"]))
        np.add.at(weight, (arrays["targets"], source), arrays["weight"])
        metadata.update({f"sparse_{k}": v for k, v in arrays.items()})
        return weight

    def scaled(self, q: Projection, weight: Array, gain: Floats, metadata: dict[str, Value]) -> Array:
        """The weights times the gain; where dividing by it would not give them back, they go into metadata too."""
        held = self.times(q, weight, gain)
        if "sparse_weight" not in metadata and not np.array_equal(unscaled(held, gain), weight):
            metadata["weight"] = weight
        return held

    def times(self, q: Projection, value: Array, gain: Floats) -> Array:
        with np.errstate(over="ignore"):
            product = (value * gain).astype(value.dtype)
        if not np.isfinite(product).all():
            raise ValueError(f"projection {q.name}: the weights times tau/dt are beyond {value.dtype}: export with "
                             "encoding='tau_over_dt'")
        return np.asarray(product)
