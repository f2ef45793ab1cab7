"""What decks and circuits consist of: plain data, with the line that everything stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snnsim.hardware.sfq.junctions.lines import Where


@dataclass(frozen=True)
class Waveform:
    """What a source gives over time. kind: pwl, pulse, sin, exp, noise or dc; values: as they stand in the brackets, in SI
    units."""

    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Model:
    """A junction of area 1. vg, delv: gap and its width, V. icrit: A. cap: F. r0, rn: ohm below and above the gap. phi: rad,
    taken from the phase in the sine. rtype 0: r0 at every voltage."""

    name: str
    where: Where
    rtype: int = 1
    vg: float = 2.8e-3
    delv: float = 0.1e-3
    icrit: float = 1e-3
    cap: float = 2.5e-12
    r0: float = 30.0
    rn: float = 5.0
    phi: float = 0.0


@dataclass(frozen=True)
class Element:
    """One line: kind is the first letter of its name. value: ohm, H, F, the factor of a K or the area of a junction. couples:
    the two inductors of a K. of: the path of an X's subcircuit."""

    kind: str
    name: str
    nodes: tuple[str, ...]
    where: Where
    value: float = 0.0
    wave: Waveform | None = None
    model: Model | None = None
    couples: tuple[str, ...] = ()
    of: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.name}"


@dataclass(frozen=True)
class Subcircuit:
    """ports and elements; path: its name behind those of the subcircuits that it is defined in, with / between."""

    path: str
    ports: tuple[str, ...]
    elements: tuple[Element, ...]
    where: Where


@dataclass(frozen=True)
class Tran:
    """step, stop, start of printing and step of printing, all in s."""

    step: float
    stop: float
    start: float
    print_step: float
    where: Where


@dataclass(frozen=True)
class Print:
    """A quantity to record. kind: p, v or i; names: of one element, or of one or two nodes, with | inside out."""

    kind: str
    names: tuple[str, ...]
    where: Where

    def __str__(self) -> str:
        return f"{self.kind.upper()}({','.join(self.names)})"


@dataclass(frozen=True)
class Deck:
    """What a deck says. temperature: K, as .temp gives it, or None. ignored: the lines that were passed over."""

    name: str
    elements: tuple[Element, ...]
    subcircuits: Mapping[str, Subcircuit]
    tran: Tran | None
    prints: tuple[Print, ...]
    parameters: Mapping[str, float]
    temperature: float | None = None
    ignored: tuple[str, ...] = ()
