"""One element from one line."""

from __future__ import annotations

from itertools import pairwise

from snnsim.hardware.sfq.junctions.lines import Line
from snnsim.hardware.sfq.junctions.parts import Element, Waveform
from snnsim.hardware.sfq.junctions.scope import NAME, Scope, number, pairs, words_of

SOURCES = {"PWL": (2, 200_000), "PULSE": (2, 7), "SIN": (3, 5), "EXP": (6, 6), "NOISE": (4, 4), "DC": (1, 1)}


def element_of(line: Line, scope: Scope) -> Element:
    words = words_of(line)
    name, kind = words[0], words[0][0]
    if not NAME.fullmatch(name):
        raise line.error(f"{name!r} is not a name")
    if kind == "X":
        return _instance(line, words, scope)
    if kind == "B":
        return _junction(line, words, scope)
    if kind == "K":
        return _coupling(line, words, scope)
    if kind not in "RLCVI":
        raise line.error(f"{name}: unknown element {kind}, known are R L C K B V I X")
    if len(words) < 4:
        raise line.error(f"{name}: expected two nodes and a {'source' if kind in 'VI' else 'value'}, got {line.text!r}")
    nodes = _nodes(words[1:3], name, line)
    if kind in "VI":
        return Element(kind, name, nodes, line.where, wave=_waveform(name, words[3:], line, scope))
    if len(words) > 4:
        raise line.error(f"{name}: expected nothing behind its value, got {' '.join(words[4:])!r}")
    value = number(words[3], name, line, scope)
    if value <= 0:
        raise line.error(f"{name}: its value must be above 0, got {value:g}")
    return Element(kind, name, nodes, line.where, value)


def _nodes(words: list[str], name: str, line: Line) -> tuple[str, ...]:
    wrong = next((w for w in words if not NAME.fullmatch(w)), None)
    if wrong:
        raise line.error(f"{name}: {wrong!r} is not the name of a node")
    return tuple("0" if w == "GND" else w for w in words)


def _instance(line: Line, words: list[str], scope: Scope) -> Element:
    if len(words) < 3:
        raise line.error(f"{words[0]}: expected nodes and a subcircuit, got {line.text!r}")
    fits = [(s, nodes) for s, nodes in ((scope.subcircuit(words[-1]), words[1:-1]), (scope.subcircuit(words[1]), words[2:]))
            if s is not None]
    if not fits:
        raise line.error(f"{words[0]}: neither {words[-1]} nor {words[1]} is a defined subcircuit")
    found = next((f for f in fits if len(f[0].ports) == len(f[1])), None)
    if found is None:
        raise line.error(f"{words[0]}: {fits[0][0].path} has {len(fits[0][0].ports)} ports, got {len(fits[0][1])} nodes")
    return Element("X", words[0], _nodes(found[1], words[0], line), line.where, of=found[0].path)


def _junction(line: Line, words: list[str], scope: Scope) -> Element:
    name = words[0]
    at = next((i for i in (3, 4) if i < len(words) and scope.model(words[i]) is not None), None)
    if at is None:
        raise line.error(f"{name}: expected two nodes and a defined model, got {line.text!r}")
    model = scope.model(words[at])
    assert model is not None
    given = pairs(words[at + 1:], line, scope)
    unknown = [k for k in given if k not in ("AREA", "ICS")]
    if unknown or len(given) > 1:
        raise line.error(f"{name}: expected area=... or ics=..., got {' '.join(words[at + 1:])!r}")
    area = given["ICS"] / model.icrit if "ICS" in given else given.get("AREA", 1.0)
    if area <= 0:
        raise line.error(f"{name}: its area must be above 0, got {area:g}")
    return Element("B", name, _nodes(words[1:3], name, line), line.where, area, model=model)


def _coupling(line: Line, words: list[str], scope: Scope) -> Element:
    if len(words) != 4 or words[1] == words[2]:
        raise line.error(f"{words[0]}: expected two inductors and a factor, got {line.text!r}")
    factor = number(words[3], words[0], line, scope)
    if not -1 < factor < 1:
        raise line.error(f"{words[0]}: its factor must lie between -1 and 1, got {factor:g}")
    wrong = next((w for w in words[1:3] if w[0] != "L"), None)
    if wrong:
        raise line.error(f"{words[0]}: {wrong} is not an inductor")
    return Element("K", words[0], (), line.where, factor, couples=(words[1], words[2]))


def _waveform(name: str, words: list[str], line: Line, scope: Scope) -> Waveform:
    if len(words) == 1:
        return Waveform("dc", (number(words[0], name, line, scope),))
    kind, rest = words[0], [w for w in words[1:] if w != ","]
    if kind not in SOURCES:
        raise line.error(f"{name}: unknown source {kind.lower()}, known are {', '.join(SOURCES).lower()}")
    if kind != "DC" or rest[:1] == ["("]:
        if len(rest) < 2 or rest[0] != "(" or rest[-1] != ")":
            raise line.error(f"{name}: expected {kind.lower()}(...), got {' '.join(words)!r}")
        rest = rest[1:-1]
    if any(w in ("(", ")", "=") for w in rest):
        raise line.error(f"{name}: expected numbers in {kind.lower()}(...), got {' '.join(rest)!r}")
    values = tuple(number(w, name, line, scope) for w in rest)
    low, high = SOURCES[kind]
    if not low <= len(values) <= high:
        raise line.error(f"{name}: {kind.lower()} takes {low} to {high} numbers, got {len(values)}")
    times = values[::2]
    if kind == "PWL" and (len(values) % 2 or any(a >= b for a, b in pairwise(times))):
        raise line.error(f"{name}: pwl takes pairs of a time and a value, and its times must grow")
    if (kind == "NOISE" and values[3] <= 0) or (kind == "EXP" and min(values[3], values[5]) <= 0):
        what = "step" if kind == "NOISE" else "times"
        raise line.error(f"{name}: the {what} of {kind.lower()} must be above 0, got {' '.join(rest)!r}")
    return Waveform(kind.lower(), values)
