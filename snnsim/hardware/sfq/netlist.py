"""Cells and the nets between them, as plain data. A net has one driver and one load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from snnsim.hardware.sfq.plan import Plan


@dataclass(frozen=True)
class Instance:
    """One cell. pins: net by port. neuron: layer and index of a counter."""

    name: str
    cell: str
    pins: Mapping[str, str]
    neuron: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Netlist:
    """inputs, outputs: nets of the pins, by pin: clk, clear, in<i>, out<j>. fired: nets of a layer's counters, by layer."""

    plan: Plan
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    instances: tuple[Instance, ...]
    fired: tuple[tuple[str, ...], ...]

    @property
    def cells(self) -> Counter[str]:
        """Instances by cell."""
        return Counter(x.cell for x in self.instances)

    @property
    def nets(self) -> set[str]:
        return {n for x in self.instances for n in x.pins.values()} | set(self.inputs.values()) | set(self.outputs.values())

    def __repr__(self) -> str:
        return f"Netlist({len(self.instances)} cells, {len(self.nets)} nets)"
