"""From a Network to the flat arrays that the loop runs on.

Three things change form: neurons get an inner order (pixels with their channels together where a convolution or pool
ends), weights get one row per source in both ends' inner order, biases become the value at which an input rests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.loop import CONV, DELAYED, DENSE, POOL, SPARSE, Plan
from snnsim.engine.printed import update_address
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.rule import call

Array = NDArray[Any]
SITE = 4  # neurons are updated in sites of 2**4: about one vector register
WHOLE = 62  # a shift that puts every neuron into one site


def record(*names: str) -> np.dtype[Any]:
    return np.dtype([(n, np.int64) for n in names])


POPULATION = record(
    "number", "size", "shift", "sites", "ticked", "recorded", "step",  # recorded: its place in the membranes, or -1
    "alike",  # every neuron has the same parameters
    "x", "state", "states", "parameter", "site", "block",  # where its arrays begin
    "first", "stop")  # its projections
PROJECTION = record("source", "target", "delay", "x", "first", "stop",  # x: its receptor; first, stop: its stages
                    "slots", "ring", "due")  # where synapses have delays: steps of its ring; where the ring and its flags begin
STAGE = record(
    "kind", "weight", "weights", "row", "target",  # where its weights, CSR rows and targets begin
    "channels", "height", "width", "channels_last", "out_channels", "out_height", "out_width",
    "kernel_y", "kernel_x", "stride_y", "stride_x", "pad_y", "pad_x", "phases",
    "outputs", "y", "shift", "site", "block")  # what stands between it and the next map


@dataclass(frozen=True)
class Order:
    """An inner order of the elements of `shape`: C order, or channels last."""

    shape: tuple[int, ...]
    channels_last: bool = False

    @property
    def flat(self) -> Array:
        """The C index of each inner index."""
        index = np.arange(math.prod(self.shape))
        return index.reshape(self.shape).transpose(1, 2, 0).ravel() if self.channels_last else index


class Pool:
    """One-dimensional arrays laid one after another, each beginning at a multiple of `align`."""

    def __init__(self, dtype: Any, align: int = 16) -> None:
        self.dtype, self.align, self.size = dtype, align, 0
        self.parts: list[tuple[int, Array]] = []

    def add(self, array: Array) -> int:
        at = self.reserve(array.size)
        self.parts.append((at, array))
        return at

    def reserve(self, size: int) -> int:
        at = self.size
        self.size += -(-size // self.align) * self.align
        return at

    def array(self) -> Array:
        whole = np.zeros(max(self.size, self.align), self.dtype)
        for at, array in self.parts:
            whole[at: at + array.size] = array.ravel()
        return whole


def aligned(size: int, dtype: Any) -> Array:
    """Zeros that begin on a cache line."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(size + 64 // item, dtype)
    skip = -memory.ctypes.data % 64 // item
    return memory[skip: skip + size]


class Prepared:
    """A network in the loop's form; it serves any number of runs, also at the same time. It holds no Network."""

    def __init__(self, network: Network) -> None:
        network.require_projections("engine.run", initial=True)
        self.dtype = network.dtype
        self.time, self.readout = network.time, network.readout
        self.names = [p.name for p in network.populations]
        self.shapes = [p.shape for p in network.populations]
        self.output = self.names.index(network.output)
        self.orders = {p.name: _order(network, p) for p in network.populations}
        self.weight, self.target = Pool(self.dtype), Pool(np.int32)
        self.indptr, self.parameter = Pool(np.int64), Pool(self.dtype)
        self.rest, self.state, self.y = Pool(self.dtype), Pool(self.dtype), Pool(self.dtype)
        self.site, self.block = Pool(np.uint8, 64), Pool(np.uint8, 8)
        self.ring, self.due = Pool(self.dtype), Pool(np.uint8)
        self.populations = np.zeros(len(self.names), POPULATION)
        self.resting_awake: list[Array] = [np.zeros(network.input.size, bool)]
        self.must_tick = [False]
        for i, p in enumerate(network.populations[1:], 1):
            self._add_population(network, i, p)
        self.order = np.array([self.names.index(n) for n in network.order if n != network.input.name], np.int64)
        self.projection_names: list[str] = []
        self._add_projections(network)
        self.base = Plan(self.populations, self.projections, self.stages, self.order, self._flat(self.weight),
                         self.indptr.array(), self.target.array(), self._flat(self.parameter), self._flat(self.rest),
                         self._flat(self.state), self.site.array(), self.block.array())
        self.largest = max([int(n) for n in (*self.populations["size"], *self.stages["outputs"])])
        self.spikes_per_step = 0.0  # the busiest population of the last run: how much room the next one needs
        self._variants: dict[Any, tuple[Plan, float]] = {}

    def variant(self, clock: bool, record: tuple[str, ...]) -> tuple[Plan, float]:
        """The plan for a mode and for the populations whose membranes are recorded; and the share of ticked neurons."""
        if (clock, record) not in self._variants:
            self._variants[clock, record] = self._variant(clock, record)
        return self._variants[clock, record]

    def _variant(self, clock: bool, record: tuple[str, ...]) -> tuple[Plan, float]:
        populations, place, always = self.populations.copy(), 0, 0
        awake, block = np.zeros_like(self.base.awake), np.zeros_like(self.base.awake_block)
        for i, p in enumerate(populations):
            p["recorded"] = -1
            if self.names[i] in record:
                p["recorded"] = place
                place += p["size"]
            read = i == self.output and self.readout == "membrane"
            if i and (clock or self.must_tick[i] or p["recorded"] >= 0 or read):
                p["ticked"], p["shift"], p["sites"] = 1, WHOLE, 1
                always += int(p["size"])
            elif i:
                site = np.arange(p["size"]) >> p["shift"]
                sites = np.unique(site[self.resting_awake[i]])
                awake[p["site"] + sites] = 1
                block[p["block"] + (sites >> 6)] = 1
                always += int(np.isin(site, sites).sum())
        plan = self.base._replace(populations=populations, awake=awake, awake_block=block)
        return plan, always / max(1, sum(math.prod(s) for s in self.shapes[1:]))

    def _flat(self, pool: Pool) -> Array:
        array = aligned(max(pool.size, 1), self.dtype)
        for at, part in pool.parts:
            array[at: at + part.size] = part.ravel()
        return array

    def _add_population(self, network: Network, i: int, p: Population) -> None:
        rule, r, flat = p.rule, self.populations[i], self.orders[p.name].flat
        assert rule is not None
        inner = {k: np.broadcast_to(np.asarray(v, self.dtype), p.shape).ravel()[flat] for k, v in p.parameters.items()}
        values = np.array([inner[k] for k in rule.parameters]).reshape(-1, p.size)
        rest = np.zeros((len(rule.inputs), p.size), self.dtype)
        for q in network.into(p.name):
            if q.bias is not None:
                bias = np.broadcast_to(np.asarray(q.bias, self.dtype), p.shape).ravel()
                rest[rule.inputs.index(q.receptor)] += bias[flat]
        start = [np.broadcast_to(np.asarray(p.initial.get(k, 0.0), self.dtype), p.shape).ravel()[flat] for k in rule.states]
        with np.errstate(all="ignore"):
            bound = call(rule.bound, *start, *values)[0] if rule.bound else np.zeros(p.size)
        self.resting_awake.append(~(np.asarray(bound) < 0) & np.ones(p.size, bool))
        self.must_tick.append(rule.bound is None or bool(np.any(rest)))
        r["number"], r["size"], r["states"] = i, p.size, len(rule.states)
        r["alike"] = bool(np.all(values == values[:, :1]))
        r["step"] = update_address(rule, self.dtype.name)
        r["x"], r["state"] = self.rest.add(rest), self.state.add(np.array(start))
        r["parameter"] = self.parameter.add(values)
        whole = any(isinstance(q.maps[-1], (Dense, Delayed)) for q in network.into(p.name))
        channels = self.orders[p.name].shape[0] if self.orders[p.name].channels_last else 1
        r["shift"] = WHOLE if whole else max(SITE, channels.bit_length() - 1)
        r["sites"] = ((p.size - 1) >> int(r["shift"])) + 1
        r["site"], r["block"] = self._sites(r["sites"])

    def _sites(self, sites: int) -> tuple[int, int]:
        return self.site.reserve(sites), self.block.reserve(-(-sites // 64))

    def _add_projections(self, network: Network) -> None:
        projections: list[tuple[int, ...]] = []
        self.stage_rows: list[dict[str, Any]] = []
        for i in self.order:
            r = self.populations[i]
            r["first"] = len(projections)
            for q in network.into(self.names[i]):
                first = len(self.stage_rows)
                self._add_chain(network, q)
                rule = network.population(q.target).rule
                assert rule is not None
                x = int(r["x"]) + rule.inputs.index(q.receptor) * int(r["size"])
                slots = q.maps[-1].longest + 1 if isinstance(q.maps[-1], Delayed) else 0
                projections.append((self.names.index(q.source), i, q.delay, x, first, len(self.stage_rows), slots,
                                    self.ring.reserve(slots * int(r["size"])), self.due.reserve(slots)))
                self.projection_names.append(q.name)
            r["stop"] = len(projections)
        self.projections = np.array(projections, PROJECTION)
        self.stages = np.array([tuple(s.get(n, 0) for n in STAGE.names or ()) for s in self.stage_rows], STAGE)

    def _add_chain(self, network: Network, q: Projection) -> None:
        """The stages of a chain of maps, and what stands between them."""
        source, shape = self.orders[q.source], network.population(q.source).shape
        for n, m in enumerate(q.maps):
            outputs = m.output_shape(shape)
            given = Order(outputs, isinstance(m, (Conv2d, SumPool2d)))
            last = n == len(q.maps) - 1
            wanted = self.orders[q.target] if last else given
            if isinstance(m, (Dense, Sparse, Delayed)):
                given = wanted
            self._add_stage(m, shape, source, given)
            if not last or not np.array_equal(given.flat, wanted.flat):
                self._between(math.prod(outputs))
            if last and not np.array_equal(given.flat, wanted.flat):  # a flat target that two shapes reach
                size = math.prod(outputs)
                copy = Sparse(np.arange(size + 1), np.arange(size), np.ones(size, self.dtype), (size, size))
                self._add_stage(copy, (size,), given, wanted)
            source, shape = given, outputs

    def _between(self, size: int) -> None:
        stage = self.stage_rows[-1]
        site, block = self._sites(((size - 1) >> SITE) + 1)
        stage.update(outputs=size, y=self.y.reserve(size), shift=SITE, site=site, block=block)

    def _add_stage(self, m: Map, shape: tuple[int, ...], source: Order, target: Order) -> None:
        stage = _stage(m, shape, source, target)
        rows: Array | None = stage.pop("rows", None)
        if rows is not None:
            stage["weights"] = rows.size
            stage["weight"] = self.weight.add(rows.astype(self.dtype))
        if "indptr" in stage:
            stage["row"], stage["target"] = self.indptr.add(stage.pop("indptr")), self.target.add(stage.pop("targets"))
        self.stage_rows.append(stage)


def _order(network: Network, p: Population) -> Order:
    """Channels last where a convolution or pool ends, so that the targets of a source lie together."""
    for q in network.into(p.name):
        shape = network.population(q.source).shape
        for m in q.maps:
            shape = m.output_shape(shape)
        if isinstance(q.maps[-1], (Conv2d, SumPool2d)):
            return Order(shape, True)
    return Order(p.shape)


def _stage(m: Map, shape: tuple[int, ...], source: Order, target: Order) -> dict[str, Any]:
    """One map as the fields of its record; `rows`, `indptr` and `targets` are arrays still to be placed."""
    if isinstance(m, Dense):
        return {"kind": DENSE, "rows": np.asarray(m.weight).T[source.flat][:, target.flat]}
    if isinstance(m, Sparse):
        indptr, targets, weight = m.arrays().values()
        lengths = np.diff(indptr)[source.flat]
        rows = np.concatenate([[0], np.cumsum(lengths)])
        picked = np.repeat(indptr[source.flat] - rows[:-1], lengths) + np.arange(rows[-1])
        return {"kind": SPARSE, "rows": weight[picked], "indptr": rows,
                "targets": np.argsort(target.flat)[targets[picked]]}
    if isinstance(m, Delayed):
        weight, delay = (a.T[source.flat][:, target.flat] for a in m.arrays().values())
        joined = weight != 0
        return {"kind": DELAYED, "rows": weight[joined], "indptr": np.concatenate([[0], np.cumsum(joined.sum(1))]),
                "targets": np.concatenate([np.nonzero(joined)[1], delay[joined]])}
    if not isinstance(m, (Conv2d, SumPool2d)):
        raise TypeError(f"the engine has no kernel for the map {type(m).__name__}")
    (sy, sx), out = _pair(m.stride), m.output_shape(shape)
    stage = {"channels": shape[0], "height": shape[1], "width": shape[2], "channels_last": int(source.channels_last),
             "out_channels": out[0], "out_height": out[1], "out_width": out[2], "stride_y": sy, "stride_x": sx}
    if isinstance(m, SumPool2d):
        stage["kernel_y"], stage["kernel_x"] = _pair(m.kernel)
        return {"kind": POOL, **stage}
    weight = np.asarray(m.weight)
    kh, kw = weight.shape[2:]
    phases = -(-kw // sx)
    rows = np.zeros((shape[0], kh, sx, phases, out[0]), weight.dtype)
    for k in range(kw):
        rows[:, :, k % sx, phases - 1 - k // sx] = weight[:, :, :, k].transpose(1, 2, 0)
    py, px = _pair(m.padding)
    return {"kind": CONV, **stage, "kernel_y": kh, "kernel_x": kw, "pad_y": py, "pad_x": px, "phases": phases,
            "rows": rows}


def _pair(value: Any) -> tuple[int, int]:
    return value  # type: ignore[no-any-return]  # the map made it a pair
