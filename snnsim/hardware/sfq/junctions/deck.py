"""SPICE decks of Josephson circuits, in a subset of JoSIM's syntax, read into plain data with the line of everything.

    R L C name a b value              K name L1 L2 k                   B name a b [node] model [area=1 | ics=I]
    V I name a b source               source: pwl(t v ...) pulse(v1 v2 td tr tf pw per) sin(v0 va f td theta)
                                              exp(v1 v2 td1 tau1 td2 tau2) noise(v0 va td step) dc v, or a number
    X name nodes... subcircuit, or X name subcircuit nodes...
    .subckt name ports... / .ends     .param name=expression           .include file         .model name jj(key=value ...)
    .tran step stop [start [print step]]                               .temp kelvin          .end
    .print p(B1.X1) v(5) v(1,2) i(R1) | devv B1 | devi R1 | devp B1 | nodev a [b] | nodep a [b]; .plot and .save are the same

Letters count in one case; `*` and `#` begin a comment line and `+` continues a line; a name inside an instance stands inside
out, B1.X1 or B1|X1. A value is an expression of parameters, in { } where it holds spaces or brackets. A subcircuit sees the
names around it. .file, .neb, .option and .end change no value: they are passed over, and the first three are listed as
`ignored`. Source of the syntax: Delport, Jackman, le Roux, Fourie, IEEE Trans. Appl. Supercond. 29(5), 1300905 (2019), as
facts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from snnsim.hardware.sfq.junctions.commands import prints_of, temperature_of, tran_of
from snnsim.hardware.sfq.junctions.elements import element_of
from snnsim.hardware.sfq.junctions.expressions import evaluate
from snnsim.hardware.sfq.junctions.lines import Line, Where, include, logical
from snnsim.hardware.sfq.junctions.parts import Deck, Element, Subcircuit
from snnsim.hardware.sfq.junctions.scope import NAME, Scope, words_of

ASSIGNED = re.compile(r"([A-Z_][A-Z0-9_]*)\s*=", re.ASCII)
PASSED_OVER = (".FILE", ".NEB", ".OPTION", ".OPTIONS")
PRINTS = (".PRINT", ".PLOT", ".SAVE")


def read_deck(path: str | os.PathLike[str], parameters: Mapping[str, float] | None = None) -> Deck:
    """The deck in a file. parameters: values that stand in for those of .param lines outside subcircuits.

    Errors: FileNotFoundError; ValueError that names the file, the line and the element.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no deck {path}")
    return _deck(include(path), path.name, parameters)


def parse_deck(text: str, name: str = "deck", parameters: Mapping[str, float] | None = None,
               folder: str | os.PathLike[str] | None = None) -> Deck:
    """The deck in a text. folder: where .include may read; without it there is none. Errors: as of `read_deck`."""
    return _deck(logical(text, name, None if folder is None else Path(folder)), name, parameters)


def _deck(lines: Iterable[Line], name: str, parameters: Mapping[str, float] | None) -> Deck:
    top = Scope("", Where(name, 0))
    commands: list[Line] = []
    _collect(lines, top, commands)
    for key, value in (parameters or {}).items():
        if key.upper() not in top.texts:
            raise ValueError(f"{name} has no parameter {key!r}, it has {', '.join(top.texts) or 'none'}")
        top.values[key.upper()] = evaluate(repr(float(value)))
    subcircuits: dict[str, Subcircuit] = {}
    elements = _elements(top, subcircuits)
    values = {key: top.parameter(key) for key in top.texts}
    tran, temperature, prints = None, None, []
    for line in commands:
        words = words_of(line)
        if words[0] == ".TRAN":
            if tran is not None:
                raise line.error(f"a second .tran, the first is in line {tran.where.line}")
            tran = tran_of(line, words, top)
        elif words[0] == ".TEMP":
            temperature = temperature_of(line, words, top)
        elif words[0] in PRINTS:
            prints += prints_of(line, words)
    ignored = tuple(f"{x.where}: {x.text}" for x in commands if words_of(x)[0] in PASSED_OVER)
    return Deck(name, elements, subcircuits, tran, tuple(prints), values, temperature, ignored)


def _collect(lines: Iterable[Line], top: Scope, commands: list[Line]) -> None:
    """Sort the lines into the scopes that they stand in."""
    scope = top
    for line in lines:
        words = words_of(line)
        head = words[0]
        if head == ".END":
            break
        if not head.startswith("."):
            scope.lines.append(line)
        elif head == ".SUBCKT":
            scope = _open(line, words, scope)
        elif head == ".ENDS":
            if scope.outer is None:
                raise line.error(".ends without a .subckt")
            scope = scope.outer
        elif head == ".PARAM":
            _assign(line, scope)
        elif head == ".MODEL":
            if len(words) < 3 or words[2] != "JJ":
                raise line.error("a .model must be `.model name jj(key=value ...)`")
            if words[1] in scope.models:
                raise line.error(f"model {words[1]} is defined twice, first in line {scope.models[words[1]].where.line}")
            scope.models[words[1]] = line
        elif head in (".TRAN", ".TEMP", *PRINTS, *PASSED_OVER):
            commands.append(line)
        else:
            raise line.error(f"unknown command {head.lower()}")
    if scope.outer is not None:
        raise ValueError(f"{scope.where}: .subckt {scope.path} has no .ends")


def _open(line: Line, words: list[str], scope: Scope) -> Scope:
    names = words[1:]
    wrong = next((n for n in names if not NAME.fullmatch(n)), None)
    if not names or wrong:
        raise line.error(f".subckt takes a name and ports, got {line.text!r}" if not names else f"{wrong!r} is not a name")
    if len(set(names[1:])) < len(names) - 1 or "0" in names[1:] or "GND" in names[1:]:
        raise line.error(f".subckt {names[0]}: its ports must differ from each other and from ground, got {names[1:]}")
    if names[0] in scope.inner:
        raise line.error(f"subcircuit {names[0]} is defined twice, first in line {scope.inner[names[0]].where.line}")
    if scope.path.count("/") > 20:
        raise line.error(f".subckt {names[0]} is defined inside more than 20 others")
    scope.inner[names[0]] = Scope("/".join(filter(None, (scope.path, names[0]))), line.where, tuple(names[1:]), scope)
    return scope.inner[names[0]]


def _assign(line: Line, scope: Scope) -> None:
    text = line.text.upper().split(None, 1)[1] if len(line.text.split(None, 1)) > 1 else ""
    found = list(ASSIGNED.finditer(text))
    if not found or text[:found[0].start()].strip():
        raise line.error(f".param takes name=expression, got {line.text!r}")
    for here, after in zip(found, [*found[1:], None], strict=True):
        value = text[here.end(): after.start() if after else None].strip().strip("{}',")
        if not value:
            raise line.error(f"parameter {here[1]} has no value")
        scope.texts[here[1]] = value, line  # a later line wins, as in JoSIM


def _elements(scope: Scope, done: dict[str, Subcircuit]) -> tuple[Element, ...]:
    """The elements of a scope. The subcircuits that are defined in it go to `done`, by their paths."""
    for inner in scope.inner.values():
        done[inner.path] = Subcircuit(inner.path, inner.ports, _elements(inner, done), inner.where)
    elements: dict[str, Element] = {}
    for line in scope.lines:
        element = element_of(line, scope)
        if element.name in elements:
            raise line.error(f"{element.name} stands twice, first in line {elements[element.name].where.line}")
        elements[element.name] = element
    for name in scope.models:
        scope.model(name)  # read it, so that what is wrong in it is said
    for e in elements.values():
        for coupled in e.couples:
            if coupled not in elements:
                raise ValueError(f"{e}: there is no inductor {coupled} beside it")
    return tuple(elements.values())
