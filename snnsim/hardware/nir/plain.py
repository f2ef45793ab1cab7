"""A NIR graph of another tool as a Network: what its nodes mean, and every path of linear nodes as a projection."""

from __future__ import annotations

import math

import numpy as np

from snnsim.hardware.nir.graph import Array, Graph, Node, pair
from snnsim.hardware.nir.neurons import NEURONS, Firing, decode
from snnsim.hardware.nir.write import gains_of
from snnsim.maps import Conv2d, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase

LINEAR = ("Affine", "Linear", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay")


def plain_network(graph: Graph, dt: float, firing: Firing) -> Network:
    """The network that the graph describes at steps of dt ms. ValueError that names the node that does not fit."""
    return _Walk(graph, dt, firing).network()


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
                if node.type == "Flatten":  # a Dense takes any shape
                    continue
                if node.type == "Delay":
                    delay += self.steps(node, bias)
                    continue
                m = self.map(node, scale)
                bias = self.offset(node, m, bias, shape)
                shape = m.output_shape(shape)
            except ValueError as e:
                raise ValueError(f"node {name!r} ({node.type}): {e}") from None
            maps.append(m)
            # the mean of a window is its sum, and the next weights are divided
            scale = 1.0 if "weight" in node.values else scale / self.area(node)
        gain = gain * scale
        if not maps:
            n = target.size
            maps = [Sparse(np.arange(n + 1), np.arange(n), np.ones(n, self.dtype), (n, math.prod(shape)))]
        if np.any(gain != 1.0):
            gains = gains_of(f"{source.name}->{target.name}", [not isinstance(m, SumPool2d) for m in maps], gain,
                             "put a Conv2d or Affine node before the neurons")
            maps = [self.scaled(m, g, target.name) for m, g in zip(maps, gains, strict=True)]
        if bias is not None:
            bias = (bias.reshape(target.shape) * gain).astype(self.dtype)
        return Projection(source.name, target.name, tuple(maps), bias if bias is not None and bias.any() else None, delay)

    def chain(self, last: str, target: str) -> list[str]:
        """The linear nodes on the way from a population to the target, first to last."""
        chain: list[str] = []
        name = last
        while self.graph.nodes[name].type in LINEAR:
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
        steps = round(exact) if math.isfinite(exact) else -1
        if steps < 0 or abs(exact - steps) > 1e-6 * max(1, steps):
            raise ValueError(f"the delay of {seconds[0]:g} s is not a whole number of steps of {self.dt:g} ms")
        return steps

    def area(self, node: Node) -> int:
        return math.prod(pair(node.values["kernel_size"])) if node.type == "AvgPool2d" else 1

    def map(self, node: Node, scale: float) -> Map:
        v = node.values
        if node.type in ("SumPool2d", "AvgPool2d"):
            if np.any(np.asarray(v["padding"]) != 0):
                raise ValueError(f"padding must be 0, got {v['padding']!r}")
            return SumPool2d(pair(v["kernel_size"]), pair(v["stride"]))
        weight = (np.asarray(v["weight"]) * scale).astype(self.dtype)
        if node.type != "Conv2d":
            return Dense(weight)
        if np.any(np.asarray(v["dilation"]) != 1) or np.any(np.asarray(v["groups"]) != 1):
            raise ValueError(f"dilation and groups must be 1, got {v['dilation']!r} and {v['groups']!r}")
        stride, padding = pair(v["stride"]), v["padding"]
        if isinstance(padding, str):
            kernel = weight.shape[2:]
            if padding == "same" and (stride != (1, 1) or any(k % 2 == 0 for k in kernel)):
                raise ValueError("padding 'same' is read for odd kernels of stride 1: give it in numbers")
            padding = np.array([k // 2 for k in kernel]) if padding == "same" else np.zeros(2, np.int64)
        return Conv2d(weight, stride, pair(padding))

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
