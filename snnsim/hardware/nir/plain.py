"""A NIR graph of another tool as a Network: every neuron node a population, every path of linear nodes a projection.

NIR has no step and loops in it need none; here a loop without a Delay takes one step, as it does in the tools: at the
neurons that feed themselves, and else where the loop leads back towards the Input. The shape of neurons whose parameters
are single numbers is that of what feeds them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from snnsim.hardware.nir.chain import LINEAR, Passed, bounded, diagonal, through, times
from snnsim.hardware.nir.graph import Array, Graph, pair
from snnsim.hardware.nir.neurons import NEURONS, Reading, decode
from snnsim.maps import Delayed, Dense, Map
from snnsim.network import Network, Population, Projection, TimeBase

Shape = tuple[int, ...]


def plain_network(graph: Graph, dt: float, reading: Reading) -> Network:
    """The network that the graph describes at steps of dt ms. ValueError that names the node that does not fit."""
    return _Walk(graph, dt, reading).network()


class _Walk:
    """The network of a plain graph: its neuron nodes, and every path of linear nodes from one to another."""

    def __init__(self, graph: Graph, dt: float, reading: Reading) -> None:
        self.nodes, self.dt, self.reading = graph.nodes, dt, reading
        self.before: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.before[target].append(source)
        for name in graph.nodes:
            self.before[name] = self.sources(name, set())
        self.neurons = [name for name, node in graph.nodes.items() if node.type in NEURONS]
        weights = [np.asarray(n.values["weight"]).dtype for n in graph.nodes.values() if "weight" in n.values]
        self.dtype = np.dtype(np.float32 if weights and all(w == np.float32 for w in weights) else np.float64)

    def network(self) -> Network:
        start, last = self.only("Input"), self.only("Output")
        ends = self.before[last]
        if len(ends) != 1 or self.nodes[ends[0]].type not in NEURONS:
            raise ValueError(f"node {last!r} (Output) must be fed by one neuron node ({', '.join(NEURONS)}), is fed by "
                             f"{ends}")
        chains = {(last, name): self.chain(last, name) for name in self.neurons for last in self.before[name]}
        shapes = self.shapes(start, chains)
        populations, gains = {start: Population(start, shapes[start])}, {}
        for name in self.neurons:
            populations[name], gains[name] = decode(name, self.nodes[name], shapes[name], self.reading, self.dtype)
        found = [self.projection(populations[source], populations[target], gains[target], self.follow(chain, shapes[source]))
                 for (_, target), (source, chain) in chains.items()]
        fires = self.nodes[ends[0]].type not in ("LI", "I")
        euler = "decay exp(-1/tau), tau in steps" if self.reading.tool == "sinabs" else "Euler decay 1 - dt/tau"
        return Network(tuple(populations.values()), _open(found, start), TimeBase(self.dt), populations[ends[0]].name,
                       "count" if fires else "membrane", (f"read from a plain NIR file at dt = {self.dt:g} ms with {euler}",))

    def only(self, kind: str) -> str:
        found = [name for name, node in self.nodes.items() if node.type == kind and "/" not in name]
        if len(found) != 1:
            raise ValueError(f"snnsim reads graphs with one Input and one Output, this has the {kind} nodes {found}")
        return found[0]

    def sources(self, name: str, seen: set[str]) -> list[str]:
        """What feeds the node; through the Inputs and Outputs of graphs within the graph, which do nothing."""
        found: list[str] = []
        for source in self.before[name]:
            if self.nodes[source].type not in ("Input", "Output") or "/" not in source:
                found.append(source)
                continue
            if source in seen:
                raise ValueError(f"node {source!r} ({self.nodes[source].type}) stands in a loop of graphs without neurons")
            self.before[source] = self.sources(source, seen | {source})
            found += self.before[source]
        for source in found:
            if found.count(source) > 1:
                raise ValueError(f"node {name!r} ({self.nodes[name].type}) is fed by {source!r} twice")
        return found

    def chain(self, last: str, target: str) -> tuple[str, tuple[str, ...]]:
        """The node on whose output the chain starts, and its linear nodes up to the target, first to last."""
        chain: list[str] = []
        name = last
        while self.nodes[name].type in LINEAR:
            if name in chain or len(self.before[name]) != 1:
                raise ValueError(f"node {name!r} ({self.nodes[name].type}) on the way to {target!r} must be fed by one node "
                                 f"and stand in no loop of linear nodes, is fed by {self.before[name]}")
            chain.insert(0, name)
            name = self.before[name][0]
        if self.nodes[name].type == "Output":
            raise ValueError(f"node {name!r} (Output) feeds {target!r}: an Output must be the end")
        return name, tuple(chain)

    def follow(self, chain: tuple[str, ...], shape: Shape) -> Passed:
        return through([(name, self.nodes[name]) for name in chain], shape, self.dt * 1e-3, self.dtype)

    def shapes(self, start: str, chains: dict[tuple[str, str], tuple[str, tuple[str, ...]]]) -> dict[str, Shape]:
        """The shape of the input and of all neurons: of what feeds them, else of their parameters."""
        first = [self.nodes[chain[0]] for source, chain in chains.values() if source == start and chain]
        shapes = {start: _input_shape(tuple(int(n) for n in np.ravel(np.asarray(self.nodes[start].values["shape"]))),
                                      {n.type: np.shape(n.values["weight"])[1] * pair(n.values.get("groups", np.ones(1)))[0]
                                       for n in first if np.ndim(n.values.get("weight", 0)) > 1})}
        left = list(self.neurons)
        while left:
            known = [n for n in left if any(t == n and source in shapes for (_, t), (source, _) in chains.items())]
            for name in known:
                source, chain = next((s, c) for (_, t), (s, c) in chains.items() if t == name and s in shapes)
                shapes[name] = self.follow(chain, shapes[source]).shape
            if not known:
                known = left[:1]
                shapes[known[0]] = _own_shape(known[0], [np.shape(v) for v in self.nodes[known[0]].values.values()])
            left = [n for n in left if n not in known]
        return shapes

    def projection(self, source: Population, target: Population, gain: Array, way: Passed) -> Projection:
        if math.prod(way.shape) != target.size:
            raise ValueError(f"what feeds node {target.name!r} from {source.name!r} has shape {way.shape}, the neurons have "
                             f"{target.shape}")
        full = (np.broadcast_to(way.factor, way.shape).ravel() * gain.ravel()).reshape(target.shape)
        maps = list(way.maps)
        if way.late is not None and (not maps or not isinstance(maps[-1], Dense)):
            maps.append(diagonal(np.ones(target.size), self.dtype, dense=True))
        maps = _folded(maps, full, self.dtype)
        if way.late is not None:
            weight = np.asarray(maps[-1].arrays()["weight"])
            maps[-1] = Delayed(weight, np.broadcast_to(way.late, weight.shape))
        bias = None if way.bias is None else (way.bias.reshape(target.shape) * gain).astype(self.dtype)
        offset = bias if bias is not None and bias.any() else None
        return Projection(source.name, target.name, tuple(maps), offset, way.delay)


def _input_shape(shape: Shape, wanted: dict[str, int]) -> Shape:
    """The shape without the axis of samples that some tools leave in it. wanted: the inputs that the first nodes take."""
    if len(shape) > 3:
        shape = shape[1:]
    if len(shape) == 3 and "Conv1d" in wanted and "Conv2d" not in wanted:
        shape = shape[1:]
    if len(shape) == 2:
        if wanted.get("Conv1d") == shape[0]:
            return (shape[0], 1, shape[1])
        wide = {wanted.get("Affine"), wanted.get("Linear")} - {None}
        return shape[1:] if not wide or wide == {shape[1]} else (math.prod(shape),)
    return shape


def _own_shape(name: str, shapes: list[Shape]) -> Shape:
    shape = max(shapes, key=math.prod, default=())
    if not shape:
        raise ValueError(f"node {name!r}: its shape is unknown, since nothing feeds it and its parameters are single numbers")
    return bounded((shape[0], 1, shape[1]) if len(shape) == 2 else shape)


def _folded(maps: list[Map], gain: Array, dtype: np.dtype[Any]) -> list[Map]:
    """The maps times the gain of their target: within the last weights, or after them where they cannot take it."""
    if maps and np.all(gain == 1.0):
        return maps
    bearer = max((i for i, m in enumerate(maps) if "weight" in m.arrays()), default=None)
    if bearer is not None:
        alike = bool(np.all(gain == gain.flat[0]))
        m = times(maps[bearer], gain.ravel()[:1] if alike else gain, dtype) if alike or bearer == len(maps) - 1 else None
        if m is not None:
            return [*maps[:bearer], m, *maps[bearer + 1:]]
    return [*maps, diagonal(gain.ravel(), dtype)]


def _open(projections: list[Projection], start: str) -> tuple[Projection, ...]:
    """The projections, with one step where loops that have no delay lead back."""
    feeds: dict[str, set[str]] = {}
    for q in projections:
        feeds.setdefault(q.source, set())
        if q.delay == 0:
            feeds[q.source].add(q.target)
    depth, level = {start: 0}, [start]
    while level:
        level = [t for t in dict.fromkeys(q.target for q in projections if q.source in level) if t not in depth]
        depth |= dict.fromkeys(level, max(depth.values()) + 1)

    def leads(a: str, b: str) -> bool:
        seen, stack = {a}, [a]
        while stack:
            for t in feeds.get(stack.pop(), set()) - seen:
                seen.add(t)
                stack.append(t)
        return b in seen

    far = len(depth)
    return tuple(replace(q, delay=1) if q.delay == 0 and not isinstance(q.maps[-1], Delayed)
                 and depth.get(q.target, far) <= depth.get(q.source, far) and leads(q.target, q.source) else q
                 for q in projections)
