"""Cells and the process they are made in, as data: one TOML file each. Decks and Verilog are both made from them.

Circuits are our own. A cell says of itself which kind it is: "ours", with a circuit that was simulated; "composite", a count of
other cells that no circuit was made of; "none yet", behaviour alone. Areas of junctions, inductances and bias are those for
100 uA a unit of area; a process with another critical current scales them (L ~ 1 / Ic, bias ~ Ic).
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from snnsim.hardware.sfq.names import identifier

PHI0 = 2.067833848  # mV ps
UNIT = 0.1  # mA, of the unit in which cells are drawn
CIRCUITS = ("ours", "composite", "none yet")
BEHAVIOURS = {"jtl": (("a",), ("q",)), "splitter": (("a",), ("q0", "q1")), "merger": (("a", "b"), ("q",)),
              "dro": (("d", "c"), ("q",)), "ndro": (("s", "r", "c"), ("q",)), "tff": (("a",), ("q",)),
              "tff2": (("a",), ("q0", "q1")), "counter": (("up", "down", "tick", "clear"), ("q",)), "none": ((), ())}
DELAYS = {"jtl": ("a->q",), "splitter": ("a->q0", "a->q1"), "merger": ("a->q", "b->q"), "dro": ("c->q",), "ndro": ("c->q",),
          "tff": ("a->q",), "tff2": ("a->q0", "a->q1"), "counter": ("tick->q",), "none": ()}
LARGEST = 2**20  # bytes of a file


@dataclass(frozen=True)
class Process:
    """A junction of area 1: icrit mA, cap pF, r0 (below the gap) and rn ohm, gap vg mV; shunt: ohm of area 1, that of
    betac = 2 pi Ic R**2 C / Phi0 where it is not given. bias_voltage: mV of the static bus. junction_area: um2 a junction takes
    with all that belongs to it, from .. to: no layout was made. cooling: W at room temperature a W at 4.2 K, from .. to."""

    name: str
    icrit: float
    cap: float
    r0: float
    rn: float
    vg: float
    about: str = ""
    betac: float = 1.0
    shunt: float = 0.0
    bias_voltage: float = 2.6
    junction_area: tuple[float, float] = (100.0, 500.0)
    cooling: tuple[float, float] = (300.0, 1000.0)

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in ("name", "about"):
                if not isinstance(value, str):
                    raise ValueError(f"{f.name} must be a text, got {value!r}")
            elif f.name in ("junction_area", "cooling"):
                low, high = numbers(f.name, value, 2)
                if not 0 < low <= high:
                    raise ValueError(f"{f.name} must be two numbers above 0, the larger last, got {value!r}")
                object.__setattr__(self, f.name, (low, high))
            else:
                object.__setattr__(self, f.name, number(f.name, value, 0.0 if f.name == "shunt" else 1e-12))
        if self.shunt == 0:
            object.__setattr__(self, "shunt", math.sqrt(self.betac * PHI0 / (2 * math.pi * self.icrit * self.cap)))

    @property
    def scale(self) -> float:
        """Critical current of area 1, in the unit in which cells are drawn."""
        return self.icrit / UNIT

    @property
    def model(self) -> str:
        """The .model line of a deck."""
        return (f".model jj jj(rtype=1, vg={self.vg:g}m, cap={self.cap:g}p, r0={self.r0:g}, rn={self.rn:g}, "
                f"icrit={self.icrit:g}m)")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Of a TOML file. ValueError that names the file and the key."""
        told = _toml(Path(path))
        _known(told, {f.name for f in fields(cls)}, path)
        try:
            return cls(**told)
        except (TypeError, ValueError) as e:
            raise ValueError(f"{path}: {_missing(e)}") from None


@dataclass(frozen=True)
class Part:
    """An element of a circuit. kind: junction (value: area), inductor (pH), resistor (ohm), bias (uA into the first node),
    coupling (k, of two inductors). shunt: ohm of a junction; that of the process, over the area, where it is 0."""

    kind: str
    name: str
    nodes: tuple[str, ...]
    value: float
    shunt: float = 0.0


@dataclass(frozen=True)
class Cell:
    """inputs, outputs: of pulses; analog: nodes that are neither. delay: ps from an input to an output, by "a->q". separation:
    smallest ps between two pulses, by input or "a,b"; setup, hold: ps around the clock. bias_margin: of all bias together, from
    .. to. parts: the circuit; of: cells that a composite counts; each: junctions of it that are in none of these. measured:
    how the numbers came about. um2: area of a layout, 0 where there is none. check: pulses in and out, see the benchmark; of an
    output that is a voltage: load, ohm, mV, the mean while it is on, and out the pulses that turn it on."""

    name: str
    circuit: str
    behaviour: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    about: str = ""
    analog: tuple[str, ...] = ()
    delay: Mapping[str, float] = field(default_factory=dict)
    separation: Mapping[str, float] = field(default_factory=dict)
    setup: float = 0.0
    hold: float = 0.0
    bias_margin: tuple[float, float] | None = None
    parts: tuple[Part, ...] = ()
    of: Mapping[str, int] = field(default_factory=dict)
    measured: str = ""
    um2: float = 0.0
    check: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ports(self) -> tuple[str, ...]:
        return self.inputs + self.outputs + self.analog

    def of_kind(self, kind: str) -> tuple[Part, ...]:
        return tuple(p for p in self.parts if p.kind == kind)


@dataclass(frozen=True)
class Library:
    """Cells by name, and the process. `load` makes it."""

    cells: Mapping[str, Cell]
    process: Process

    def __getitem__(self, name: str) -> Cell:
        if name not in self.cells:
            raise ValueError(f"there is no cell {name!r}: the library has {', '.join(sorted(self.cells))}")
        return self.cells[name]

    def junctions(self, name: str) -> int:
        """Of a cell, those of its parts with it."""
        cell = self[name]
        return len(cell.of_kind("junction")) + sum(n * self.junctions(k) for k, n in cell.of.items())

    def bias(self, name: str) -> float:
        """uA of a cell."""
        cell = self[name]
        return (self.process.scale * sum(p.value for p in cell.of_kind("bias"))
                + sum(n * self.bias(k) for k, n in cell.of.items()))

    def critical(self, name: str) -> float:
        """uA, critical currents of its junctions together."""
        cell = self[name]
        return (1e3 * self.process.icrit * sum(p.value for p in cell.of_kind("junction"))
                + sum(n * self.critical(k) for k, n in cell.of.items()))

    def delay(self, name: str) -> float:
        """The longest of a cell, ps. ValueError where it has none."""
        if not self[name].delay:
            raise ValueError(f"cell {name!r} has no delay: the netlister needs one")
        return max(self[name].delay.values())

    def area(self, name: str) -> tuple[float, float]:
        """um2, from .. to: of its layout, or of its junctions at what the process says of one."""
        if self[name].um2:
            return self[name].um2, self[name].um2
        low, high = self.process.junction_area
        return self.junctions(name) * low, self.junctions(name) * high


def load(cells: str | os.PathLike[str] | None = None, process: str | os.PathLike[str] | None = None) -> Library:
    """Our cells; those of the folder `cells` beside them, or in their place where the name is the same. process: a TOML file,
    by default 10 kA/cm2. Errors: ValueError that names the file and the key; FileNotFoundError."""
    here = Path(__file__).parent
    found: dict[str, Cell] = {}
    for folder in (here / "cells", *(() if cells is None else (Path(cells),))):
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder of cells {folder}")
        paths = sorted(folder.glob("*.toml"))
        if not paths:
            raise ValueError(f"{folder} has no cells: one file NAME.toml a cell")
        for path in paths:
            cell = read_cell(path)
            found[cell.name] = cell
    library = Library(found, Process.read(here / "process" / "10ka.toml" if process is None else process))
    for cell in found.values():
        _composed(library, cell, ())
    return library


def _composed(library: Library, cell: Cell, above: tuple[str, ...]) -> None:
    if cell.name in above:
        raise ValueError(f"cell {cell.name!r}: of: is made of itself, by {' of '.join([*above, cell.name])}")
    for name in cell.of:
        if name not in library.cells:
            raise ValueError(f"cell {cell.name!r}: of: there is no cell {name!r}")
        _composed(library, library[name], (*above, cell.name))


def read_cell(path: str | os.PathLike[str]) -> Cell:
    """A cell of a TOML file. ValueError that names the file and the key."""
    told = _toml(Path(path))
    _known(told, {f.name for f in fields(Cell)} - {"parts"} | set(KINDS), path)
    try:
        parts = tuple(_part(kind, i, p) for kind in KINDS for i, p in enumerate(_tables(told, kind)))
        cell = Cell(**{k: _plain(k, v) for k, v in told.items() if k not in KINDS}, parts=parts)
        _checked(cell)
    except (TypeError, ValueError) as e:
        raise ValueError(f"{path}: {_missing(e)}") from None
    if cell.name != Path(path).stem:
        raise ValueError(f"{path}: name must be that of the file, got {cell.name!r}")
    return cell


KINDS = {"junction": ("area", 2), "inductor": ("pH", 2), "resistor": ("ohm", 2), "bias": ("uA", 1), "coupling": ("k", 2)}


def _tables(told: Mapping[str, Any], kind: str) -> list[Any]:
    found = told.get(kind, [])
    if not isinstance(found, list) or not all(isinstance(p, dict) for p in found):
        raise ValueError(f"{kind} must be tables [[{kind}]]")
    return found


def _part(kind: str, i: int, told: Mapping[str, Any]) -> Part:
    unit, ends = KINDS[kind]
    where = f"{kind} {told.get('name', i)!r}"
    if extra := set(told) - {"name", "nodes", unit, *(("shunt",) if kind == "junction" else ())}:
        raise ValueError(f"{where}: {min(extra)!r} is not known: name, nodes, {unit}" + (", shunt" * (kind == "junction")))
    for key in ("name", "nodes", unit):
        if key not in told:
            raise ValueError(f"{where}: {key} is missing")
    name, nodes = told["name"], told["nodes"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{0,15}", name):
        raise ValueError(f"{where}: name must be a letter, then letters and digits")
    if not isinstance(nodes, list) or len(nodes) != ends or not all(isinstance(n, str) and re.fullmatch(r"\w{1,16}", n)
                                                                   for n in nodes):
        raise ValueError(f"{where}: nodes must be {ends} name{'s' * (ends > 1)}, got {nodes!r}")
    least = None if kind in ("bias", "coupling") else 1e-9
    value = number(f"{where}: {unit}", told[unit], least)
    if kind == "coupling" and not 0 < abs(value) < 1:
        raise ValueError(f"{where}: k must lie between -1 and 1, and not be 0, got {value:g}")
    return Part(kind, name, tuple(nodes), value, number(f"{where}: shunt", told.get("shunt", 0.0), 0.0))


def _plain(key: str, value: Any) -> Any:
    if key in ("name", "circuit", "behaviour", "about", "measured"):
        if not isinstance(value, str):
            raise ValueError(f"{key} must be a text, got {value!r}")
        return value
    if key in ("inputs", "outputs", "analog"):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{key} must be a list of names, got {value!r}")
        return tuple(value)
    if key in ("delay", "separation", "of"):
        if not isinstance(value, dict):
            raise ValueError(f"{key} must be a table, got {value!r}")
        found = {k: number(f"{key} of {k!r}", v, 0.0) for k, v in value.items()}
        if key == "of" and any(v != int(v) for v in found.values()):
            raise ValueError(f"of must be whole numbers of cells, got {value!r}")
        return {k: int(v) for k, v in found.items()} if key == "of" else found
    if key == "bias_margin":
        low, high = numbers(key, value, 2)
        if not 0 <= low <= 1 <= high:
            raise ValueError(f"bias_margin must be from .. to around 1, got {value!r}")
        return low, high
    if key == "check":
        sides = [value.get(side) for side in ("in", "out")] if isinstance(value, dict) else [None]
        if not all(isinstance(side, dict) and all(isinstance(v, list) and all(isinstance(t, (int, float)) for t in v)
                                                  for v in side.values()) for side in sides):
            raise ValueError(f"check must have the tables in and out, lists of ps by port, got {value!r}")
        for name in ("current", "load", "mV"):
            number(f"{name} of check", value.get(name, 0.0), 0.0)
        return value
    return number(key, value, 0.0)


def _checked(cell: Cell) -> None:
    identifier(cell.name)
    if cell.circuit not in CIRCUITS:
        raise ValueError(f"circuit must be one of {', '.join(map(repr, CIRCUITS))}, got {cell.circuit!r}")
    if cell.behaviour not in BEHAVIOURS:
        raise ValueError(f"behaviour must be one of {', '.join(map(repr, BEHAVIOURS))}, got {cell.behaviour!r}")
    if cell.behaviour != "none" and (cell.inputs, cell.outputs) != BEHAVIOURS[cell.behaviour]:
        inputs, outputs = BEHAVIOURS[cell.behaviour]
        raise ValueError(f"inputs and outputs of a {cell.behaviour} are {list(inputs)} and {list(outputs)}, got "
                         f"{list(cell.inputs)} and {list(cell.outputs)}")
    if (cell.circuit == "ours") != bool(cell.parts):
        raise ValueError(f"circuit is {cell.circuit!r}, and there are {len(cell.parts)} elements")
    if (cell.circuit == "composite") != bool(cell.of):
        raise ValueError(f"circuit is {cell.circuit!r}, and of names {len(cell.of)} cells")
    names = [p.name for p in cell.parts]
    if twice := {n for n in names if names.count(n) > 1}:
        raise ValueError(f"two elements have the name {min(twice)!r}")
    ends = {n for p in cell.parts if p.kind != "coupling" for n in p.nodes}
    if cell.parts and (loose := [p for p in cell.ports if p not in ends]):
        raise ValueError(f"port {loose[0]!r} is tied to no element")
    inductors = {p.name for p in cell.of_kind("inductor")}
    for p in cell.of_kind("coupling"):
        if not inductors.issuperset(p.nodes):
            raise ValueError(f"coupling {p.name!r}: nodes must name inductors, got {list(p.nodes)}")
    for key in cell.delay:
        a, arrow, q = key.partition("->")
        if not arrow or a not in cell.inputs or q not in cell.outputs:
            raise ValueError(f"delay must be of \"input->output\", got {key!r}")
    for key in cell.separation:
        if not set(key.split(",")) <= set(cell.inputs) or key.count(",") > 1:
            raise ValueError(f"separation must be of \"input\" or \"first,then\", got {key!r}")
    if lacks := [k for k in DELAYS[cell.behaviour] if not cell.delay.get(k)]:
        raise ValueError(f"delay of {lacks[0]!r} is missing: a {cell.behaviour} needs it, in ps")


def subckt(cell: Cell, process: Process) -> str:
    """The circuit in JoSIM's syntax, junctions of the model `jj`. Bias rises within 5 ps. ValueError where there is none."""
    if not cell.parts:
        raise ValueError(f"cell {cell.name!r} has no circuit (circuit = {cell.circuit!r}): decks can only be made of cells "
                         "that have one")
    lines = [f".subckt {cell.name.upper()} {' '.join(cell.ports)}"]
    s = process.scale
    for p in cell.parts:
        at = " ".join(p.nodes)
        if p.kind == "junction":
            shunt = p.shunt or process.shunt / p.value
            lines += [f"{_prefix('B', p.name)} {at} jj area={p.value:g}", f"{_prefix('R', p.name)} {at} {shunt:.6g}"]
        elif p.kind == "inductor":
            lines.append(f"{_prefix('L', p.name)} {at} {p.value / s:.6g}p")
        elif p.kind == "resistor":
            lines.append(f"{_prefix('R', p.name)} {at} {p.value:.6g}")
        elif p.kind == "bias":
            lines.append(f"{_prefix('I', p.name)} 0 {at} pwl(0 0 5p {p.value * s:.6g}u)")
        else:
            lines.append(f"{_prefix('K', p.name)} {' '.join(_prefix('L', n) for n in p.nodes)} {p.value:g}")
    return "\n".join([*lines, ".ends", ""])


def _prefix(letter: str, name: str) -> str:
    """A deck's elements are told apart by their first letter."""
    return name if name[0].upper() == letter else letter + name


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path}: {size} bytes are too many for a cell or a process, at most {LARGEST}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ValueError(f"{path} is not TOML: {e}") from None


def _known(told: Mapping[str, Any], allowed: set[str], path: str | os.PathLike[str]) -> None:
    if extra := set(told) - allowed:
        raise ValueError(f"{path}: {min(extra)!r} is not known: {', '.join(sorted(allowed))}")


def _missing(error: Exception) -> str:
    """Of a constructor that lacks arguments: their names."""
    if isinstance(error, TypeError) and (found := re.findall(r"'(\w+)'", str(error).partition("argument")[2])):
        return f"{found[0]} is missing"
    return str(error)


def number(name: str, value: Any, least: float | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or (
            least is not None and value < least):
        allowed = "" if least is None else " of at least 0" if least == 0 else " above 0"
        raise ValueError(f"{name} must be a number{allowed}, got {value!r}")
    return float(value)


def numbers(name: str, value: Any, n: int) -> list[float]:
    if not isinstance(value, (list, tuple)) or len(value) != n:
        raise ValueError(f"{name} must be {n} numbers, got {value!r}")
    return [number(name, v, None) for v in value]
