"""Is a netlist one that could be made? Pins, fan-out, and the time of every pulse that a period can have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.library import Cell
from snnsim.hardware.sfq.netlist import Instance, Netlist
from snnsim.hardware.sfq.plan import ripples
from snnsim.hardware.sfq.schedule import bursts, widths

Times = NDArray[np.float64]
FEW = 20  # problems that are told


@dataclass(frozen=True)
class CheckReport:
    """problems: sentences, at most 20; number: how many there are. slack: least ps by which two pulses at a cell are further
    apart than its separation, and where; margin: least ps to spare before a DRO is read or a counter decides, and where."""

    problems: tuple[str, ...]
    number: int
    slack: tuple[float, str]
    margin: tuple[float, str]

    @property
    def ok(self) -> bool:
        return self.number == 0

    def __str__(self) -> str:
        head = "no problem" if self.ok else f"{self.number} problems, first " + "; ".join(self.problems[:3])
        return (f"{head}; pulses at a cell are at least {self.slack[0]:.2f} ps further apart than they must be "
                f"({self.slack[1]}), stored ones {self.margin[0]:.2f} ps early ({self.margin[1]})")


def check(netlist: Netlist) -> CheckReport:
    """All that can be said without running it: every port tied, each net with one driver and one load, and, when every source
    sends all its pulses in a period, none of them closer at any cell than its separation. Fewer pulses are further apart."""
    problems = _structure(netlist)
    if problems:
        nothing = (math.nan, "not looked at")
        return CheckReport(tuple(problems[:FEW]), len(problems), nothing, nothing)
    timing = _Timing(netlist)
    timing.run()
    return CheckReport(tuple(timing.problems[:FEW]), len(timing.problems), timing.slack, timing.margin)


def _structure(netlist: Netlist) -> list[str]:
    library, problems = netlist.plan.library, []
    drivers: dict[str, list[str]] = {n: [f"pin {p}"] for p, n in netlist.inputs.items()}
    loads: dict[str, list[str]] = {n: [f"pin {p}"] for p, n in netlist.outputs.items()}
    for x in netlist.instances:
        cell = library[x.cell]
        for p in (*cell.inputs, *cell.outputs):
            if p not in x.pins:
                problems.append(f"{x.name}: port {p!r} is not tied")
        for p, net in x.pins.items():
            if p in cell.inputs:
                loads.setdefault(net, []).append(f"{x.name}.{p}")
            elif p in cell.outputs:
                drivers.setdefault(net, []).append(f"{x.name}.{p}")
            else:
                problems.append(f"{x.name}: cell {x.cell!r} has no port {p!r}")
    for net in sorted(drivers.keys() | loads.keys()):
        one, other = drivers.get(net, []), loads.get(net, [])
        if len(one) != 1:
            problems.append(f"net {net}, which {', '.join(other) or 'nothing'} reads, has {_these(one, 'driver')}, must have 1")
        if len(other) != 1:
            problems.append(f"net {net}, which {', '.join(one) or 'nothing'} drives, has {_these(other, 'load')}, must have 1: "
                            "fan-out takes a splitter")
    return problems


def _these(ends: list[str], what: str) -> str:
    return f"{len(ends)} {what}s" + (f" ({', '.join(ends)})" if ends else "")


class _Timing:
    """Times of all pulses a net can have, in ps from the clock's, within one period."""

    def __init__(self, netlist: Netlist) -> None:
        self.netlist, self.library = netlist, netlist.plan.library
        self.period = float(netlist.plan.schedule.period)
        self.problems: list[str] = []
        self.slack, self.margin = (float("inf"), "nowhere"), (float("inf"), "nowhere")
        self.times: dict[str, Times] = {}

    def run(self) -> None:
        network, empty = self.netlist.plan.network, np.zeros(0)
        schedule = self.netlist.plan.schedule
        start, units = np.asarray(schedule.phases[0].start), widths(network, schedule.spacing)[0] // network.burst
        for pin, net in self.netlist.inputs.items():
            if pin.startswith("in"):
                i = int(pin[2:])
                self.times[net] = start[i] + units[i] * np.arange(bursts(network)[0], dtype=float)
            else:  # all is cleared in a period of its own
                self.times[net] = np.zeros(1) if pin == "clk" else empty
        for x in self.netlist.instances:
            cell = self.library[x.cell]
            late = [p for p in cell.inputs if x.pins[p] not in self.times]
            if late:
                self.problems.append(f"{x.name}: port {late[0]!r} lies in a loop")
            given = {p: self.times.get(x.pins[p], empty) for p in cell.inputs}
            self.cell(x, cell, given)

    def cell(self, x: Instance, cell: Cell, given: dict[str, Times]) -> None:
        for pair, limit in cell.separation.items():
            ends = pair.split(",")
            self.gap(x, given[ends[0]], given[ends[-1]], limit, pair)
        if cell.behaviour in ("jtl", "splitter", "merger", "tff", "tff2"):
            for q in cell.outputs:
                self.times[x.pins[q]] = np.sort(np.concatenate([given[p] + cell.delay[f"{p}->{q}"] for p in cell.inputs]))
        elif cell.behaviour == "dro":
            for c in given["c"]:
                for d in given["d"]:  # stored in one period, read in the next
                    self.spare(x, c + self.period - d - cell.setup, "read")
                    self.spare(x, d - c - cell.hold, "stored")
            self.times[x.pins["q"]] = given["c"] + cell.delay["c->q"]
        elif cell.behaviour == "counter":
            assert x.neuron is not None
            layer = self.netlist.plan.layers[x.neuron[0]]
            carry = cell.setup * layer.counter
            for p in ("up", "down"):
                if given[p].size:
                    self.spare(x, float(given["tick"].min() - given[p].max()) - carry, "decided")
                    self.spare(x, float(given[p].min() + self.period - given["tick"].max())
                               - carry * ripples(layer.layer), "counted again")
            self.times[x.pins["q"]] = given["tick"] + cell.delay["tick->q"]
        else:
            for q in cell.outputs:
                self.times[x.pins[q]] = np.zeros(0)

    def gap(self, x: Instance, first: Times, then: Times, limit: float, pair: str) -> None:
        """Of every pulse of `then` to the last of `first` before it, in this period or the one before."""
        if not first.size or not then.size:
            return
        both = np.sort(np.concatenate([first - self.period, first]))
        if first is then:
            found = float(np.diff(both).min()) - limit
        else:
            at = np.searchsorted(both, then, side="right") - 1
            found = float((then - both[at])[at >= 0].min(initial=np.inf)) - limit
        if found < self.slack[0]:
            self.slack = (found, f"{x.name}, {pair}")
        if found < 0:
            self.problems.append(f"{x.name}: pulses on {pair} come {-found:.2f} ps too close: take a larger spacing")

    def spare(self, x: Instance, ps: float, what: str) -> None:
        if ps < self.margin[0]:
            self.margin = (ps, f"{x.name}, {what}")
        if ps < 0:
            self.problems.append(f"{x.name}: {-ps:.2f} ps too late to be {what}")
