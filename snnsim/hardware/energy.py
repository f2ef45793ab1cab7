"""What an integer network would cost: energy and time, from what fired. Each number is a range, and says what it rests on.

Two models, neither of which is a measurement of a chip.

45 nm (Shen et al., "STEP", NeurIPS 2025, whose operations cost what Horowitz, ISSCC 2014, gives for 32-bit floats):

    ANN            N_mac E_MAC + A E_MEM                                 one pass
    ANN, b bits    N_mac b R_b E_AC + A (b / 32) E_MEM                   one pass, bit by bit; R_b: share of bits that are 1
    SNN            N_events E_AC + (T 2 neurons + N_events) E_MEM

with E_MAC = 4.6, E_AC = 0.9, E_MEM = 3.12 pJ. On compute alone an SNN wins below E_MAC / E_AC = 5.1 events a weight; the memory
term can reverse it, so it is never left out here. What an access is, and the ranges, are our own reading.

Loihi 1: energies and times of operations from the architecture file of SANA-FE 2.2.9, after Davies et al. (2018). Without
leakage, hosts, input and output of the chip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.integer.execute import IntegerResult, run
from snnsim.hardware.integer.model import IntegerNetwork, IntegerProjection
from snnsim.hardware.mapping import LoihiLimits, Mapping, place
from snnsim.hardware.mapping.preflight import counted
from snnsim.hardware.mapping.use import Counter
from snnsim.maps import Conv2d, Sparse

E_MAC, E_AC, E_MEM = 4.6, 0.9, 3.12  # pJ
WORD, STATE = 32, 24  # bits of an access; of u and of v
# Loihi 1, in pJ and ns. Of a synaptic operation the least is a convolution's, the most a dense layer's.
SYNAPSE = {"conv": (24.0, 3.1), "sparse": (33.6, 4.7), "dense": (35.5, 3.8)}
ACCESS, UPDATE, SPIKE, MESSAGE = (51.2, 6.0), (21.6, 3.7), (69.3, 30.0), (111.0, 5.1)
MESSAGE_IN = 16.0  # ns
HOP, HOPS = (4.2, 6.5), 7 + 3  # the dearer direction; across 8 x 4 tiles
SYNC = ((1, 0.6), (2, 1.0), (4, 1.4), (29, 1.8))  # tiles, us a step
TILE = 4  # cores


class Range(NamedTuple):
    low: float
    high: float

    def __add__(self, other: Any) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        return _written(self.low) if self.low == self.high else f"{_written(self.low)} .. {_written(self.high)}"


def _written(x: float) -> str:
    """Three digits that count, and no powers of ten."""
    return f"{x:.3g}" if abs(x) < 999.5 else f"{float(f'{x:.3g}'):,.0f}"


@dataclass(frozen=True, eq=False)
class Activity:
    """What fired, in the mean over samples. steps: of a sample, with the latency. counts: by population, the input with them,
    spikes of each neuron over all steps, [*population]; none for one that never fires."""

    steps: int
    counts: Dictionary[str, NDArray[np.float64]]

    @classmethod
    def of(cls, result: IntegerResult, steps: int) -> Self:
        return cls(steps, {name: c.mean(0) for name, c in result.counts.items()})

    def rate(self, population: str) -> float:
        """Spikes a neuron and step."""
        return float(self.counts[population].mean() / self.steps)


@dataclass(frozen=True)
class Estimate:
    """Of one way to compute. terms: pJ a sample, by what they are for. assumptions: what they rest on."""

    name: str
    terms: Dictionary[str, Range]
    assumptions: tuple[str, ...]

    @property
    def total(self) -> Range:
        return sum(self.terms.values(), Range(0.0, 0.0))


@dataclass(frozen=True)
class EnergyReport:
    """events: synaptic events a sample, of each projection. macs: multiplications of the ANN of equal shape. latency: ms a
    sample on Loihi 1, with what it rests on."""

    steps: int
    rates: Dictionary[str, float]
    events: tuple[tuple[str, float], ...]
    macs: int
    estimates: tuple[Estimate, ...]
    latency: Range
    latency_assumptions: tuple[str, ...]

    def __getitem__(self, name: str) -> Estimate:
        for e in self.estimates:
            if e.name == name:
                return e
        raise ValueError(f"there is no estimate {name!r}: {[e.name for e in self.estimates]}")

    def to_dict(self) -> dict[str, Any]:
        """For JSON, in pJ and ms."""
        return {"steps": self.steps, "rates": dict(self.rates), "events": list(self.events), "macs": self.macs,
                "estimates": {e.name: {"total": e.total, "terms": dict(e.terms), "assumptions": e.assumptions}
                              for e in self.estimates},
                "latency_ms": self.latency, "latency_assumptions": self.latency_assumptions}

    def __str__(self) -> str:
        events = sum(n for _, n in self.events)
        lines = [f"a sample of {self.steps} steps: {events:,.0f} synaptic events; the ANN of equal shape has {self.macs:,} "
                 f"multiplications, {events / max(1, self.macs):.3g} events each (compute alone breaks even at "
                 f"{E_MAC / E_AC:.3g})"]
        for e in self.estimates:
            lines.append(f"{e.name}: {_nj(e.total)} nJ = " + " + ".join(f"{n} {_nj(r)}" for n, r in e.terms.items()))
            lines += [f"    {a}" for a in e.assumptions]
        return "\n".join([*lines, f"Loihi 1, time: {self.latency} ms", *(f"    {a}" for a in self.latency_assumptions)])


def _nj(r: Range) -> Range:
    return Range(r.low / 1e3, r.high / 1e3)


def estimate(model: IntegerNetwork, events: Any, mapping: Mapping | None = None) -> EnergyReport:
    """Run the model on samples, and estimate what one of them costs. events: see `integer.run`; real data, as rates decide.

    mapping: where the neurons lie, by default `place` under the limits of Loihi 1. Errors: those of `integer.run`.
    """
    result = run(model, events, spikes=False)
    return of_activity(model, Activity.of(result, result.steps), mapping)


def of_activity(model: IntegerNetwork, activity: Activity, mapping: Mapping | None = None) -> EnergyReport:
    """The same of what fired."""
    mapping = mapping or place(model, LoihiLimits.loihi1())
    events = [float(np.diff(q.synapses(model.population(q.source).shape)[0]) @ np.ravel(activity.counts[q.source]))
              for q in model.projections]
    macs = sum(multiplications(q, model.population(q.source).shape) for q in model.projections)
    latency, why = _time(model, activity, mapping)
    estimates = (_ann(model, macs), _bitwise(model, macs), _snn(model, activity, events),
                 _loihi(model, activity, events, mapping))
    return EnergyReport(activity.steps, {n: activity.rate(n) for n in activity.counts},
                        tuple((q.name, n) for q, n in zip(model.projections, events, strict=True)), macs, estimates,
                        latency, why)


def multiplications(q: IntegerProjection, shape: tuple[int, ...]) -> int:
    """Of one pass through the map, zero weights with them; of a convolution, those inside the image, between channels that are
    joined."""
    if isinstance(q.map, Sparse):
        return int(np.size(q.map.targets))
    if not isinstance(q.map, Conv2d):
        return int(q.mantissas.size)
    joined = np.any(q.mantissas != 0, (2, 3), keepdims=True)
    everywhere = Conv2d(np.broadcast_to(joined, q.mantissas.shape).astype(np.float64), q.map.stride, q.map.padding)
    return int(everywhere.apply(np.ones(shape)).sum())


def _neurons(model: IntegerNetwork) -> int:
    return sum(p.size for p in model.populations[1:])


def _accesses(model: IntegerNetwork, macs: int) -> tuple[int, int]:
    """Of an ANN: weights, inputs and outputs once; or two reads a multiplication, and a write a neuron."""
    once = sum(q.mantissas.size for q in model.projections)
    return once + model.populations[0].size + 2 * _neurons(model), 2 * macs + _neurons(model)


ANN_ACCESSES = "memory: from each weight, input and result once (all else stays near) to two reads a multiplication"


def _ann(model: IntegerNetwork, macs: int) -> Estimate:
    low, high = sorted(_accesses(model, macs))
    return Estimate("ANN, 45 nm", {"compute": Range(macs * E_MAC, macs * E_MAC), "memory": Range(low * E_MEM, high * E_MEM)}, (
        "one pass of 32-bit floats over a sample, loops once; a pass a step would cost as many times more as there are steps",
        ANN_ACCESSES))


def _bitwise(model: IntegerNetwork, macs: int) -> Estimate:
    bits = max(q.bits for q in model.projections)
    mantissas = np.abs(np.concatenate([q.mantissas.ravel() for q in model.projections])).astype(np.int64)
    ones = float(np.mean([(mantissas >> k) & 1 for k in range(9)]) * 9 / bits)
    low, high = sorted(_accesses(model, macs))
    compute = macs * bits * ones * E_AC
    scale = E_MEM * bits / WORD
    terms = {"compute": Range(compute, compute), "memory": Range(low * scale, high * scale)}
    return Estimate(f"ANN of {bits} bits, 45 nm", terms, (
        f"as above, bit by bit over the weights: {ones:.2f} of their bits are 1", ANN_ACCESSES))


def _snn(model: IntegerNetwork, activity: Activity, events: Sequence[float]) -> Estimate:
    number = sum(events)
    weights = sum(n * q.bits for q, n in zip(model.projections, events, strict=True)) / WORD
    both = sum(p.size * (1 if np.all(p.du == 4095) else 2) for p in model.populations[1:])
    steps = 2 * activity.steps
    return Estimate("SNN, 45 nm", {
        "compute": Range(number * E_AC, number * E_AC),
        "states": Range(steps * _neurons(model) * STATE / WORD * E_MEM, steps * both * E_MEM),
        "weights": Range(weights * E_MEM, number * E_MEM),
        "sums": Range(0.0, 2 * number * E_MEM)}, (
        "the input is events, so its layer adds, too; every neuron is updated at every step",
        "states: from v alone, in accesses of 24 of 32 bits, to u as well where it has a memory, in words of 32 bits",
        "weights: from accesses of their own bits to words of 32 bits",
        "sums: from registers to a read and a write for each event"))


def _kind(q: IntegerProjection) -> tuple[float, float]:
    """Least and most pJ of an event."""
    return (SYNAPSE["conv"] if isinstance(q.map, Conv2d) else SYNAPSE["sparse"])[0], SYNAPSE["dense"][0]


def _messages(model: IntegerNetwork, activity: Activity, mapping: Mapping) -> tuple[float, float]:
    """Spikes times the cores that they go to: of the neurons, and of the input."""
    sent = {name: float(np.ravel(c) @ mapping.routes[name]) for name, c in activity.counts.items()}
    given = sent.pop(model.populations[0].name, 0.0)
    return sum(sent.values()), given


def _loihi(model: IntegerNetwork, activity: Activity, events: Sequence[float], mapping: Mapping) -> Estimate:
    synapses = Range(0.0, 0.0)
    for q, n in zip(model.projections, events, strict=True):
        synapses += Range(n * _kind(q)[0], n * _kind(q)[1])
    spikes = sum(float(np.sum(activity.counts[p.name])) for p in model.populations[1:] if p.name in activity.counts)
    updates = activity.steps * _neurons(model)
    own, given = _messages(model, activity, mapping)
    return Estimate("Loihi 1", {
        "synapses": synapses, "spikes": Range(spikes * SPIKE[0], spikes * SPIKE[0]),
        "neurons": Range(updates * ACCESS[0], updates * (ACCESS[0] + UPDATE[0])),
        "messages": Range(own * MESSAGE[0], (own + given) * MESSAGE[0]),
        "hops": Range(0.0, (own + given) * HOPS * HOP[0])}, (
        "dynamic energy of operations alone: no leakage, no host, no input and output of the chip",
        "synapses: from 24.0 (convolution) or 33.6 (list) to 35.5 pJ (rows) an event; spikes: 69.3 pJ each",
        "neurons: 51.2 pJ a neuron and step, and 21.6 more where it is updated: from none of them to all",
        f"messages: 111 pJ a spike and core that it goes to ({counted(len(mapping.cores), 'core')}), those of the input from 0",
        f"hops: from none to {HOPS} of 4.2 pJ, across the chip"))


def _time(model: IntegerNetwork, activity: Activity, mapping: Mapping) -> tuple[Range, tuple[str, ...]]:
    """ms. The least: the busiest stage of the busiest core; the most: all that is done, one after another."""
    counter = Counter(model, mapping.limits, mapping.shared_kernels)
    sent = np.concatenate([np.ravel(activity.counts.get(p.name, np.zeros(p.shape))) for p in model.populations])
    routes = np.concatenate([mapping.routes[p.name] for p in model.populations])
    busiest = total = 0.0
    for core in mapping.cores:
        first = [counter.first[p.population] for p in core.parts]
        own = np.concatenate([np.arange(f + p.start, f + p.stop) for f, p in zip(first, core.parts, strict=True)])
        reached = np.zeros(len(sent), bool)
        least = most = 0.0
        for p in core.parts:
            for q in counter.into[p.population]:
                pre = q.pre[q.starts[p.start]: q.starts[p.stop]]
                reached[pre] = True
                events = float(sent[pre].sum())
                least += events * SYNAPSE["conv"][1]
                most += events * SYNAPSE["sparse"][1]
        arrived = float(sent[reached].sum()) * MESSAGE_IN
        leaves = float(sent[own] @ routes[own]) * MESSAGE[1]
        neurons = activity.steps * len(own) * ACCESS[1] + float(sent[own].sum()) * SPIKE[1]
        busiest = max(busiest, least, arrived, leaves, neurons)
        total += most + arrived + leaves + neurons + activity.steps * len(own) * UPDATE[1]
    own_messages, given = _messages(model, activity, mapping)
    total += (own_messages + given) * (HOPS * HOP[1] + MESSAGE[1])
    tiles = math.ceil(len(mapping.cores) / TILE)
    sync = max(us for needed, us in SYNC if tiles >= needed) if tiles else 0.0
    return Range((activity.steps * sync * 1e3 + busiest) / 1e6, (activity.steps * SYNC[-1][1] * 1e3 + total) / 1e6), (
        f"a step ends with a synchronisation of {sync} ({counted(tiles, 'tile')}) to {SYNC[-1][1]} us; the network's own "
        f"step of {model.time.dt:g} ms is longer where events come in real time",
        "from the busiest stage of the busiest core to all operations of all cores one after another")
