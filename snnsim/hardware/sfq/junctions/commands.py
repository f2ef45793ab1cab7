"""The commands of a deck: .tran, .temp and .print."""

from __future__ import annotations

from snnsim.hardware.sfq.junctions.lines import Line, Where
from snnsim.hardware.sfq.junctions.parts import Print, Tran
from snnsim.hardware.sfq.junctions.scope import Scope, number, words_of

DEVICES = ("DEVV", "DEVI", "DEVP", "PHASE", "NODEV", "NODEP")


def tran_of(line: Line, words: list[str], scope: Scope) -> Tran:
    rest = [w for w in words[1:] if w not in ("DST", "UIC")]
    if not 2 <= len(rest) <= 4:
        raise line.error(f".tran takes a step, an end, a start and a step of printing, got {line.text!r}")
    step, stop, start, every = [number(w, ".tran", line, scope) for w in (*rest, *("0", rest[0])[len(rest) - 2:])]
    if not 0 < step <= stop or not 0 <= start < stop or every <= 0:
        raise line.error(f".tran needs 0 < step <= end, 0 <= start < end and a step of printing above 0, got {line.text!r}")
    return Tran(step, stop, start, max(every, step), line.where)


def temperature_of(line: Line, words: list[str], scope: Scope) -> float:
    if len(words) != 2:
        raise line.error(f".temp takes a temperature, got {line.text!r}")
    kelvin = number(words[1], ".temp", line, scope)
    if kelvin < 0:
        raise line.error(f".temp must be at least 0 K, got {kelvin:g}")
    return kelvin


def prints_of(line: Line, words: list[str]) -> list[Print]:
    rest, found = [w for w in words[1:] if w != ","], []
    while rest:
        head = rest.pop(0)
        if head in ("TRAN",):
            continue
        if rest[:1] == ["("] and head in ("P", "V", "I", "PHASE"):
            end = rest.index(")") if ")" in rest else 0
            names = rest[1:end]
            rest = rest[end + 1:]
            kind = head[0].lower()
        elif head in DEVICES:
            kind = "p" if head == "PHASE" else head[-1].lower()
            two = head.startswith("NODE") and len(rest) > 1 and rest[1] not in DEVICES
            names, rest = (rest[:2], rest[2:]) if two else (rest[:1], rest[1:])
        else:
            raise line.error(f"cannot print {head!r}: known are p() v() i() devv devi devp phase nodev nodep")
        if not 1 <= len(names) <= 2 or (kind == "i" and len(names) > 1) or any(w in "()=" for w in names):
            raise line.error(f"{head.lower()} prints one element, or one or two nodes, got {line.text!r}")
        found.append(Print(kind, tuple(n.replace(".", "|") for n in names), line.where))
    if not found:
        raise line.error(".print names nothing")
    return found


def print_of(text: str) -> Print:
    """One quantity, as it stands behind .print: "p(B1.X1)"."""
    line = Line(f".print {text}", Where("prints", 1))
    found = prints_of(line, words_of(line))
    if len(found) != 1:
        raise line.error(f"{text!r} names {len(found)} quantities, give each as a text of its own")
    return found[0]
