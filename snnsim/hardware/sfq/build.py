"""Step three of the netlister: Plan -> Netlist. Trees, bursts, clock lines and counters become cells and nets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnsim.hardware.sfq.library import Library, load
from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.hardware.sfq.netlist import Instance, Netlist
from snnsim.hardware.sfq.plan import LayerPlan, Pad, Plan, Source, count, plan, shallow, tree_depth
from snnsim.hardware.sfq.schedule import SPACING

LARGEST = 20_000  # cells: iverilog takes a minute for twice as many


def build(network: SFQNetwork, library: Library | None = None, *, spacing: int = SPACING) -> Netlist:
    """The network in cells of the library. Errors: ValueError when it takes more than 20,000 of them; those of `plan`."""
    return expand(plan(network, library or load(), spacing=spacing))


def expand(plan: Plan) -> Netlist:
    """The netlist of a plan. ValueError when it is too large."""
    cells = sum(count(plan).values())
    if cells > LARGEST:
        raise ValueError(f"the network takes {cells:,} cells; cell by cell at most {LARGEST:,} are written: use the form of "
                         "tables (form='table'), which has the same spikes, or fewer synapses")
    return _Builder(plan).netlist()


class _Builder:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.instances: list[Instance] = []
        self.made = 0

    def net(self) -> str:
        self.made += 1
        return f"n{self.made}"

    def add(self, cell: str, neuron: tuple[int, int] | None = None, **pins: str) -> None:
        self.instances.append(Instance(f"{cell}_{len(self.instances)}", cell, pins, neuron))

    def netlist(self) -> Netlist:
        plan = self.plan
        layers = plan.layers
        inputs = {"clk": self.net(), "clear": self.net()}
        inputs |= {f"in{i}": self.net() for i in range(plan.network.inputs)}
        starts = self.tree(inputs["clk"], len(layers))
        clears = self.tree(inputs["clear"], sum(p.layer.size for p in layers))
        before = {i: inputs[f"in{i}"] for i in range(plan.network.inputs)}
        fired = []
        for stage, p in enumerate(layers):
            clear, clears = clears[: p.layer.size], clears[p.layer.size:]
            nets = self.layer(stage, p, before, starts[stage], clear)
            fired.append(nets)
            before = dict(enumerate(nets))
        outputs = {f"out{j}": n for j, n in before.items()}
        return Netlist(plan, inputs, outputs, tuple(self.instances), tuple(map(tuple, fired)))

    def layer(self, stage: int, p: LayerPlan, before: dict[int, str], clock: str, clear: Sequence[str]) -> list[str]:
        size = p.layer.size
        merges: tuple[list[list[str]], list[list[str]]] = ([[] for _ in range(size)], [[] for _ in range(size)])
        for k, s in enumerate(p.sources):
            pulse = before.pop(s.index)
            if stage > 0:
                tap, clock = self.split(self.pad(clock, p.line[k]))
                read = self.net()
                self.add("dro", d=pulse, c=tap, q=read)
                pulse = read
            self.source(p, s, pulse, merges)
        for unused in before.values():
            self.add("sink", a=unused)
        ticks = self.tree(self.pad(clock, p.tick), size)
        fired = []
        for j in range(size):
            depth = max(tree_depth(len(side[j])) for side in merges)
            up, down = (self.merge(p, side[j], depth) for side in merges)
            fired.append(self.net())
            self.add("counter", (stage, j), up=up, down=down, tick=ticks[j], clear=clear[j], q=fired[-1])
        return fired

    def source(self, p: LayerPlan, s: Source, pulse: str, merges: tuple[list[list[str]], list[list[str]]]) -> None:
        """Its bursts, and their trees to the targets."""
        weight, k, level, chain = p.layer.weight[:, s.index], 0, pulse, ""
        if s.most > 1:
            level, chain = self.split(pulse)
        for v in s.levels:
            while k + 1 < v.pulses:
                level, chain = self.tap(s, k, level, chain)
                k += 1
            out = level
            if v.pulses < s.most:
                out, level = self.split(level)
            targets = np.flatnonzero(np.abs(weight) == v.pulses)
            for j, leaf in zip(targets, self.tree(self.pad(out, v.pad), len(targets)), strict=True):
                merges[int(weight[j] < 0)][j].append(leaf)

    def tap(self, s: Source, k: int, level: str, chain: str) -> tuple[str, str]:
        """One pulse more in the burst."""
        tap = self.pad(chain, s.taps[k])
        if k + 2 < s.most:
            tap, chain = self.split(tap)
        return self.merged(level, tap), chain

    def split(self, net: str) -> tuple[str, str]:
        a, b = self.net(), self.net()
        self.add("splitter", a=net, q0=a, q1=b)
        return a, b

    def merged(self, a: str, b: str) -> str:
        net = self.net()
        self.add("merger", a=a, b=b, q=net)
        return net

    def pad(self, net: str, pad: Pad) -> str:
        for cell in pad.cells:
            after = self.net()
            self.add(cell, a=net, q=after)
            net = after
        return net

    def tree(self, net: str, leaves: int) -> list[str]:
        """All leaves at one depth; what is left over ends in a sink."""
        if leaves == 1:
            return [net]
        found = [q for n in self.tree(net, (leaves + 1) // 2) for q in self.split(n)]
        for unused in found[leaves:]:
            self.add("sink", a=unused)
        return found[:leaves]

    def merge(self, p: LayerPlan, nets: list[str], depth: int) -> str:
        """One net of many. Leaves of later slots pass more mergers, the earlier ones a pad."""
        if not nets:
            quiet = self.net()
            self.add("quiet", q=quiet)
            return quiet
        few = shallow(len(nets))
        row = [self.pad(n, p.short) for n in nets[:few]]
        row += [self.merged(*nets[i: i + 2]) for i in range(few, len(nets), 2)] if len(nets) > 1 else nets
        while len(row) > 1:
            row = [self.merged(*row[i: i + 2]) for i in range(0, len(row), 2)]
        return self.pad(row[0], p.roots[depth - tree_depth(len(nets))])
