"""The names that a subcircuit, or the deck itself, knows while it is read: parameters, models and subcircuits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from snnsim.hardware.sfq.junctions.expressions import evaluate
from snnsim.hardware.sfq.junctions.lines import DeckError, Line, Where
from snnsim.hardware.sfq.junctions.parts import Model

MODEL = {"RTYPE": 1.0, "VG": 2.8e-3, "DELV": 0.1e-3, "ICRIT": 1e-3, "CAP": 2.5e-12, "R0": 30.0, "RN": 5.0, "PHI": 0.0}
SMALLEST, LARGEST = 1e-30, 1e30
POSITIVE = ("VG", "DELV", "ICRIT", "R0", "RN")
WORD = re.compile(r"\{[^{}]*\}|'[^']*'|[()=,]|[^\s()=,{}']+|\S")
NAME = re.compile(r"[^\s()=,{}'.|]+")


def words_of(line: Line) -> list[str]:
    words = [w.upper() for w in WORD.findall(line.text)]
    lone = next((w for w in words if w in ("{", "}", "'")), None)
    if lone:
        raise line.error(f"{line.text!r} has a {lone} without its partner")
    return words


@dataclass
class Scope:
    """A subcircuit, or the deck, while it is read. Names are found in the scope or in those around it."""

    path: str
    where: Where
    ports: tuple[str, ...] = ()
    outer: Scope | None = None
    lines: list[Line] = field(default_factory=list)
    texts: dict[str, tuple[str, Line]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    models: dict[str, Line] = field(default_factory=dict)
    built: dict[str, Model] = field(default_factory=dict)
    inner: dict[str, Scope] = field(default_factory=dict)

    def parameter(self, name: str) -> float:
        if name in self.values:
            return self.values[name]
        if name not in self.texts:
            if self.outer is None:
                raise KeyError(name)
            return self.outer.parameter(name)
        text, line = self.texts[name]
        if name in self.pending:
            raise ValueError(f"parameter {name} is defined by itself")
        self.pending.add(name)
        try:
            self.values[name] = evaluate(text, self.parameter)
        except RecursionError:
            raise line.error(f"parameter {name} rests on too many others") from None
        except DeckError:
            raise
        except ValueError as e:
            raise line.error(str(e)) from None
        finally:
            self.pending.discard(name)
        return self.values[name]

    def number(self, word: str) -> float:
        return evaluate(word.strip("{}'"), self.parameter)

    def subcircuit(self, name: str) -> Scope | None:
        return self.inner.get(name) or (self.outer.subcircuit(name) if self.outer else None)

    def model(self, name: str) -> Model | None:
        if name not in self.models:
            return self.outer.model(name) if self.outer else None
        if name not in self.built:
            self.built[name] = build_model(self.models[name], self)
        return self.built[name]


def pairs(words: list[str], line: Line, scope: Scope) -> dict[str, float]:
    """key=value key=value, with or without brackets and commas around."""
    words = [w for w in words if w not in ("(", ")", ",")]
    if len(words) % 3 or any(w != "=" for w in words[1::3]):
        raise line.error(f"expected key=value, got {' '.join(words)!r}")
    if len(set(words[::3])) < len(words) // 3:
        raise line.error(f"a key is given twice in {' '.join(words)!r}")
    return {key: number(value, key, line, scope) for key, value in zip(words[::3], words[2::3], strict=True)}


def number(word: str, what: str, line: Line, scope: Scope) -> float:
    """The value of a word in a line. Numbers of circuits lie between 1e-30 and 1e30, so that no equation leaves 64 bits."""
    try:
        value = scope.number(word)
    except DeckError:
        raise
    except ValueError as e:
        raise line.error(f"{what}: {e}") from None
    if value and not SMALLEST <= abs(value) <= LARGEST:
        raise line.error(f"{what}: a number must be 0 or lie between {SMALLEST:g} and {LARGEST:g}, got {value:g}")
    return value


def build_model(line: Line, scope: Scope) -> Model:
    words = words_of(line)
    name = words[1]
    given = pairs(words[3:], line, scope)
    if given.pop("CPR", 1.0) != 1.0:
        raise line.error(f"model {name}: the current of a junction is icrit sin(phase), other cpr are not simulated")
    unknown = [k for k in given if k not in MODEL]
    if unknown:
        raise line.error(f"model {name}: unknown {unknown[0].lower()}, known are {', '.join(MODEL).lower()}")
    values = {**MODEL, **given}
    low = next((k for k in POSITIVE if values[k] <= 0), "CAP" if values["CAP"] < 0 else None)
    if low:
        bound = "at least" if low == "CAP" else "above"
        raise line.error(f"model {name}: {low.lower()} must be {bound} 0, got {values[low]:g}")
    if values["RTYPE"] not in (0, 1):
        raise line.error(f"model {name}: rtype must be 0 or 1, got {values['RTYPE']:g}")
    if values["VG"] <= values["DELV"] / 2:
        raise line.error(f"model {name}: vg must be above delv/2, got {values['VG']:g} and {values['DELV']:g}")
    rtype = int(values.pop("RTYPE"))
    return Model(name, line.where, rtype, **{k.lower(): v for k, v in values.items()})
