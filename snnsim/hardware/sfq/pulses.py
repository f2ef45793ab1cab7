"""Runs an SFQ network pulse by pulse, each with its time: cell delays, jitter, and the loss of pulses that meet.

Without jitter, in slots, its spikes are those that `model` defines in whole numbers: what netlists and Verilog must equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.inputs import rows_of
from snnsim.engine.wiring import ziggurat
from snnsim.hardware.integer.execute import in_parts
from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.hardware.sfq.pulse_kernels import LARGEST, Kept, Plan, run_samples
from snnsim.hardware.sfq.schedule import Delays, Schedule, bursts, paths, slotted
from snnsim.rule import finite

Integers = NDArray[np.int64]
ZIGGURAT = ziggurat()
ROUNDING = 1e-6  # ps: pulses the dead time apart, but for the rounding of sums, do not collide


@dataclass(frozen=True, eq=False)
class PulseResult:
    """A run of B samples over T ticks.

    prediction: int64 [B], or an int for one sample given alone: the largest count, ties to the lowest index. counts: int64 [B,
    outputs], pulses of the outputs. spikes: by layer, uint8 [T, B, size]. By layer, [B, size] of the neurons that they should
    have reached: pulses, how many were sent there, with those of a weight; lost, in a merger or the soma; first, when the first
    was lost, ps from the sample's start, NaN where none was; late, those that came after their tick and counted in the next,
    or, after the last tick, not. given: pulses of each input, int64 [B, inputs]; cut: events beyond the burst, in no pulse.
    latency: ps from a tick's start to its decision. duration: ps from the first tick's start to the last decision.
    """

    prediction: Any
    counts: Integers
    spikes: dict[str, NDArray[np.uint8]]
    pulses: dict[str, Integers]
    lost: dict[str, Integers]
    first: dict[str, NDArray[np.float64]]
    late: dict[str, Integers]
    given: Integers
    cut: int
    latency: float
    duration: float

    @property
    def losses(self) -> int:
        """Pulses that were lost, of all layers and samples."""
        return sum(int(n.sum()) for n in self.lost.values())

    def __repr__(self) -> str:
        sent, late = (sum(int(n.sum()) for n in each.values()) for each in (self.pulses, self.late))
        return (f"PulseResult({len(self.counts)} samples, {sent} pulses, {self.losses} lost, {late} late, latency "
                f"{self.latency:g} ps)")


def run(network: SFQNetwork, events: Any, *, schedule: Schedule | None = None, delays: Delays | None = None,
        jitter: float = 0.0, seed: int = 0, threads: int | None = None) -> PulseResult:
    """Run a network on one sample or many; the events are those that `engine.run` takes, with whole counts.

    schedule: when pulses go, `slotted(network, delays=delays)` unless given. delays: of the cells. jitter: standard deviation,
    ps, of a Gaussian, cut at 8 of them, by which each pulse's way to the soma takes longer or shorter, at least no time; it is
    a function of seed, sample, tick, synapse and pulse. threads: by default one a core; the result does not depend on them.

    Errors: ValueError that names the argument, and for a schedule that is impossible.
    """
    delays = delays or Delays()
    schedule = schedule or slotted(network, delays=delays)
    schedule.check(network, delays)
    finite("jitter", jitter, at_least=0.0)
    if LARGEST * jitter >= schedule.period:
        raise ValueError(f"jitter must be below {schedule.period / LARGEST:.4g} ps, so that no pulse is late by a whole period "
                         f"of {schedule.period:g} ps, got {jitter:g}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be a whole number in 0 .. 2**31 - 1, got {seed!r}")
    given, cut, alone = input_pulses(network, events)
    plan = plan_of(network, schedule, delays)
    (steps, batch, _), neurons = given.shape, int(plan.first[-1])
    none = np.zeros((batch, neurons), np.int64)
    kept = Kept(np.zeros((steps, batch, neurons), np.uint8), none, none.copy(), none.copy(), np.full((batch, neurons), np.nan))

    def work(start: int, stop: int) -> None:
        run_samples(plan, given, start, stop, float(schedule.period), float(schedule.spacing), delays.dead - ROUNDING,
                    float(jitter), int(seed), ZIGGURAT, kept)

    in_parts(work, batch, threads)
    parts = {layer.name: slice(plan.first[i], plan.first[i + 1]) for i, layer in enumerate(network.layers)}
    counts = kept.fired[..., parts[network.layers[-1].name]].sum(0, dtype=np.int64)
    sent, lost, late, first = ({name: each[:, part] for name, part in parts.items()}
                               for each in (kept.sent, kept.lost, kept.late, kept.first))
    best = counts.argmax(1)
    return PulseResult(int(best[0]) if alone else best, counts, {n: kept.fired[..., part] for n, part in parts.items()}, sent,
                       lost, first, late, given.sum(0, dtype=np.int64), cut, schedule.latency,
                       (steps - 1) * schedule.period + schedule.latency)


def input_pulses(network: SFQNetwork, events: Any) -> tuple[NDArray[np.uint8], int, bool]:
    """Pulses of each tick, uint8 [T, B, inputs]; how many events were cut, beyond the burst; whether it is one sample alone.
    Counts may be flat, [T, inputs] or [T, B, inputs], whatever the input's shape. ValueError for counts that are not whole."""
    if isinstance(events, np.ndarray) and events.ndim in (2, 3) and events.shape[-1] == network.inputs:
        events = events.reshape(*events.shape[:-1], *network.shape)
    rows = rows_of(events, network.shape, network.time, np.dtype(np.float64))
    values = np.rint(rows.value)
    if np.any(values != rows.value):
        raise ValueError(f"events of an SFQ network must be whole counts, got {rows.value[values != rows.value][0]:g}")
    made = np.zeros((rows.steps * rows.batch, network.inputs), np.uint8)
    sent = np.minimum(values, network.burst)
    np.add.at(made, (np.repeat(np.arange(len(made)), np.diff(rows.indptr)), rows.index), sent.astype(np.uint8))
    return made.reshape(rows.steps, rows.batch, -1), int((values - sent).sum()), rows.alone


PLANS: WeakKeyDictionary[SFQNetwork, tuple[Schedule, Delays, Plan]] = WeakKeyDictionary()  # of the last schedule


def plan_of(network: SFQNetwork, schedule: Schedule, delays: Delays) -> Plan:
    """The network as flat arrays."""
    layers = network.layers
    first = np.cumsum([0, *(layer.size for layer in layers)])
    synapses: dict[str, list[Any]] = {name: [] for name in ("source", "weight", "down", "leaf", "start", "path")}
    row, leaves, most, all_ = [0], [], 1, 1
    for i, layer in enumerate(layers):
        path, start, burst = paths(layer, delays), np.asarray(schedule.phases[i].start, np.float64), bursts(network)[i]
        all_ = max(all_, int(np.abs(layer.weight).sum()) * burst)
        for weight, way in zip(layer.weight, path, strict=True):
            from_ = np.flatnonzero(weight)
            from_ = from_[np.argsort(start[from_], kind="stable")]
            down = weight[from_] < 0
            leaf = np.where(down, np.cumsum(weight < 0)[from_], np.cumsum(weight > 0)[from_]) - 1
            for name, values in (("source", from_), ("weight", np.abs(weight[from_])), ("down", down), ("leaf", leaf),
                                 ("start", start[from_]), ("path", way[from_])):
                synapses[name].append(values)
            row.append(row[-1] + len(from_))
            leaves.append((int((~down).sum()), int(down.sum())))
            most = max(most, int(np.abs(weight).sum()) * burst)
    mergers = np.array([[merger_nodes(n) for n in pair] for pair in leaves])
    tree = np.cumsum([0, *mergers.ravel()])
    flat = {name: np.concatenate(values) for name, values in synapses.items()}
    return Plan(first, np.array(schedule.ticks, np.float64),
                np.array([layer.reset == "soft" for layer in layers]),
                np.array([-1 if layer.leak is None else layer.leak for layer in layers]),
                np.array([2 ** (layer.bits - 1) - 1 for layer in layers]),
                np.concatenate([layer.threshold for layer in layers]),
                np.array(row), flat["source"], flat["weight"], flat["down"], flat["leaf"], flat["start"], flat["path"],
                np.array(leaves), tree[:-1].reshape(-1, 2), int(tree[-1]), most, all_)


def merger_nodes(leaves: int) -> int:
    """Nodes above the leaves of a tree that pairs neighbours, level by level."""
    found, size = 0, leaves
    while size > 1:
        size = (size + 1) // 2
        found += size
    return found
