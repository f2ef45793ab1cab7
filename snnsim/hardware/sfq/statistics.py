"""What a network would take as cells: junctions, bias, area, time and energy of an inference, as ranges, from the plan alone.

    static      bias current x voltage of the bus x time                                 RSFQ; none with ERSFQ
    dynamic     Phi0 Ic for each junction that switches; low: no source sends anything, high: all that sources can
    ERSFQ       low: the dynamic energy; high: bias current x Phi0 at each spacing, the rate at which the bias must follow
    cooled      times watts at room temperature a watt at 4.2 K, see the process

No layout was made, and the counters are counted by the cells that they take (`circuit = "composite"`): estimates, not promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snnsim.hardware.energy import Range
from snnsim.hardware.sfq.library import PHI0
from snnsim.hardware.sfq.plan import LayerPlan, Pad, Plan, Source, count, deepest, tree_cells
from snnsim.hardware.sfq.schedule import bursts

AJ = 1e-3  # uA mV ps in aJ
CARRIES = 2  # bits of a counter that a pulse toggles, in the mean over many
ASSUMPTIONS = (
    "every junction of a cell switches once for a pulse that passes: an upper bound",
    f"a counted pulse toggles {CARRIES} bits; at a decision all bits of a counter switch once",
    "counters are composites of library cells; their clear and leak are counted, not wired; clipping them, input and output "
    "drivers, bias lines and shields are not counted",
    "junction_area, bias_voltage and cooling are those of the process file",
)
RANGE = "dynamic energy: from no source that sends anything to all that send what they can in every tick"
MEAN = "dynamic energy: sources send what they do in the mean of the samples given"
UNITS = {"bias": "mA", "area": "mm2", "period": "ps", "latency": "ps", "inference": "ps", "clock": "GHz", "energy": "aJ"}


@dataclass(frozen=True)
class Statistics:
    """cells: by name, counters with their bits. junctions: all; composite: those of them in cells that have no circuit. bias:
    mA. area: mm2. period, latency: ps; inference: ps for `ticks`. energy: aJ of an inference, by its name here. assumptions."""

    cells: Mapping[str, int]
    junctions: int
    composite: int
    synapses: int
    bias: float
    area: Range
    period: int
    latency: int
    ticks: int
    inference: float
    energy: Mapping[str, Range]
    assumptions: tuple[str, ...]

    @property
    def clock(self) -> float:
        """Ticks a second, in GHz."""
        return 1e3 / self.period

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "clock": self.clock, "units": UNITS, "area": list(self.area),
                "cells": dict(sorted(self.cells.items())), "assumptions": list(self.assumptions),
                "energy": {k: list(v) for k, v in self.energy.items()}}

    def __str__(self) -> str:
        def picojoule(r: Range) -> Range:
            return Range(r.low / 1e6, r.high / 1e6)

        cells = sum(self.cells.values())
        lines = [f"{cells:,} cells, {self.junctions:,} junctions ({self.composite:,} of them in composites), "
                 f"{self.synapses:,} synapses, bias {self.bias:,.0f} mA, area {self.area} mm2",
                 f"period {self.period:,} ps ({self.clock:.3g} GHz), latency {self.latency:,} ps; {self.ticks} ticks take "
                 f"{self.inference / 1e3:,.3g} ns"]
        lines.append("  cells: " + ", ".join(f"{n:,} {k}" for k, n in sorted(self.cells.items())))
        lines += [f"  {k}: {picojoule(v)} pJ an inference" for k, v in self.energy.items()]
        return "\n".join([*lines, *(f"  assumed: {a}" for a in self.assumptions)])


def statistics(plan: Plan, *, ticks: int = 1, pulses: Sequence[ArrayLike] | None = None) -> Statistics:
    """Of a plan. ticks: of an inference. pulses: what each layer's sources send in an inference, [sources] by layer, such as
    counts of a run in the mean; then the dynamic energy is that, not a range. Errors: ValueError that names the argument."""
    if isinstance(ticks, bool) or not isinstance(ticks, (int, np.integer)) or ticks < 1:
        raise ValueError(f"ticks must be a positive whole number, got {ticks!r}")
    library, schedule = plan.library, plan.schedule
    cells = Counter(count(plan))
    for p in plan.layers:
        cells["counter_bit"] += p.layer.size * p.counter
        cells["counter_leak"] += p.layer.size * p.counter * (p.layer.leak is not None)
    cells = +cells
    time = (ticks - 1) * schedule.period + schedule.latency
    bias = sum(n * library.bias(k) for k, n in cells.items())
    low, high = (sum(n * library.area(k)[side] for k, n in cells.items()) * 1e-6 for side in (0, 1))
    energy = _energies(plan, ticks, pulses, bias, time)
    junctions = {k: n * library.junctions(k) for k, n in cells.items()}
    return Statistics(dict(cells), sum(junctions.values()),
                      sum(n for k, n in junctions.items() if library[k].circuit == "composite"),
                      plan.network.synapses, bias / 1e3, Range(low, high), int(schedule.period), int(schedule.latency), ticks,
                      float(time), energy, (*ASSUMPTIONS, RANGE if pulses is None else MEAN))


def _energies(plan: Plan, ticks: int, pulses: Sequence[ArrayLike] | None, bias: float, time: float) -> dict[str, Range]:
    process = plan.library.process
    clock, source = _switched(plan)
    base = clock * (ticks + len(plan.layers) - 1)
    if pulses is None:
        dynamic = Range(base, base + ticks * sum(b * float(e.sum()) for b, e in zip(bursts(plan.network), source, strict=True)))
    else:
        sent = [np.asarray(p, np.float64) for p in pulses]
        if [p.shape for p in sent] != [e.shape for e in source] or not all(np.all((p >= 0) & np.isfinite(p)) for p in sent):
            raise ValueError(f"pulses must be numbers of at least 0 of the shapes {[e.shape for e in source]}, got "
                             f"{[p.shape for p in sent]}")
        found = base + sum(float(p @ e) for p, e in zip(sent, source, strict=True))
        dynamic = Range(found, found)
    static = bias * process.bias_voltage * time * AJ
    rsfq = Range(static + dynamic.low, static + dynamic.high)
    ersfq = Range(dynamic.low, max(dynamic.high, bias * PHI0 * time / plan.schedule.spacing * AJ))
    least, most = process.cooling
    return {"dynamic": dynamic, "static (RSFQ)": Range(static, static), "RSFQ": rsfq, "ERSFQ": ersfq,
            **{f"{k}, cooled": Range(r.low * least, r.high * most) for k, r in (("RSFQ", rsfq), ("ERSFQ", ersfq))}}


def _switched(plan: Plan) -> tuple[float, list[Any]]:
    """aJ of a period without any data, and of one pulse of each source, [sources] by layer."""
    one = {k: plan.library.critical(k) * PHI0 * AJ for k in plan.library.cells}
    clock = tree_cells(len(plan.layers))[0] * one["splitter"]
    sources = []
    for stage, p in enumerate(plan.layers):
        size = p.layer.size
        clock += (tree_cells(size)[0] * one["splitter"] + _pad(p.tick, one) + sum(_pad(x, one) for x in p.line)
                  + size * (one["counter"] + p.counter * one["counter_bit"]))
        if stage > 0:
            clock += len(p.sources) * (one["dro"] + one["splitter"])
        found = np.zeros(p.layer.weight.shape[1])
        for s in p.sources:
            found[s.index] = _source(p, s, one) + (one["dro"] if stage > 0 else 0.0)
        sources.append(found)
    return clock, sources


def _source(p: LayerPlan, s: Source, one: Mapping[str, float]) -> float:
    total = max(0, s.most - 1) * one["splitter"] + sum(_pad(x, one) for x in s.taps)
    total += one["merger"] * sum(range(2, s.most + 1))  # the k-th passes k + 1 pulses
    merges = deepest(p.layer) * one["merger"] + CARRIES * one["counter_bit"]
    for v in s.levels:
        passing = (v.pulses < s.most) * one["splitter"] + _pad(v.pad, one) + tree_cells(v.targets)[0] * one["splitter"]
        total += v.pulses * (passing + v.targets * merges)
    return total


def _pad(pad: Pad, one: Mapping[str, float]) -> float:
    return sum(one[c] for c in pad.cells)
