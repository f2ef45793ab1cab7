"""A Josephson circuit in the syntax of ngspice.

ngspice has no junction. Each becomes a capacitor, a resistor and a source of the current Ic sin(V(ph)), where the voltage of
node ph is the junction's phase: the integral of 2 pi V / Phi0 on a capacitor of 1 pF. The resistor is r0 at every voltage, so
that what reaches the gap (vg - delv / 2, 2.75 mV by default) differs; shunted junctions do not. """

from __future__ import annotations

import re
from collections.abc import Sequence

from snnsim.hardware.sfq.junctions.circuit import GROUND, Circuit, flatten
from snnsim.hardware.sfq.junctions.equations import SIGMA
from snnsim.hardware.sfq.junctions.parts import Deck, Element

FARAD = 1e-12  # of the capacitor that holds a phase


def to_ngspice(circuit: Deck | Circuit, junctions: Sequence[str] | None = None, output: str = "phases.txt", *,
               step: float | None = None, stop: float | None = None) -> str:
    """The circuit as a deck of ngspice that writes the phases of `junctions` to the file `output`.

    junctions: by default those that are printed, or all where none is. step, stop: s; by default those of .tran. Errors:
    ValueError that names a source of noise, an unknown junction, or what .tran lacks.
    """
    circuit = flatten(circuit) if isinstance(circuit, Deck) else circuit
    if circuit.tran is None and (step is None or stop is None):
        raise ValueError(f"{circuit.name} has no .tran: give step and stop")
    h, end = step or (circuit.tran.step if circuit.tran else 0.0), stop or (circuit.tran.stop if circuit.tran else 0.0)
    names = recorded(circuit, junctions)
    place = {e.name: k for k, e in enumerate(circuit.of("B"))}
    node = {GROUND: "0", **{n: f"n{k}" for k, n in enumerate(circuit.nodes)}}
    label = {e.name: f"{e.kind.lower()}{k}" for k, e in enumerate(circuit.elements)}
    lines = [f"* {re.sub(r'[^ -~]', '?', circuit.name)}"]
    for e in circuit.elements:
        lines += _lines(e, label[e.name], [node[n] for n in e.nodes], label, place)
    vectors = " ".join(f"v(ph{place[n]})" for n in names)
    return "\n".join([*lines, ".options numdgt=10", f".tran {h!r} {end!r} 0 {h!r} uic", ".control", f"save {vectors}", "run",
                      "set wr_singlescale", "set numdgt=10", f"wrdata {output} {vectors}", "quit", ".endc", ".end", ""])


def recorded(circuit: Circuit, junctions: Sequence[str] | None) -> list[str]:
    known = set(circuit.junctions)
    printed = [p.names[0] for p in circuit.prints if p.kind == "p" and p.names[0] in known]
    names = [n.upper().replace(".", "|") for n in junctions] if junctions is not None else printed or list(circuit.junctions)
    names = list(dict.fromkeys(names))
    wrong = next((n for n in names if n not in known), None)
    if wrong is not None or not names:
        raise ValueError(f"{circuit.name} has no junction {wrong!r}" if wrong else f"{circuit.name} has no junction to record")
    return names


def _lines(e: Element, label: str, nodes: list[str], labels: dict[str, str], place: dict[str, int]) -> list[str]:
    ends = " ".join(nodes)
    if e.kind == "K":
        return [f"{label} {labels[e.couples[0]]} {labels[e.couples[1]]} {e.value!r}"]
    if e.kind == "B":
        m, k = e.model, place[e.name]
        assert m is not None
        return [f"cj{k} {ends} {m.cap * e.value!r}", f"rj{k} {ends} {m.r0 / e.value!r}",
                f"b{k} {ends} I={m.icrit * e.value!r}*sin(V(ph{k})-({m.phi!r}))",
                f"gp{k} 0 ph{k} {ends} {FARAD / SIGMA!r}", f"cp{k} ph{k} 0 {FARAD!r}", f"rp{k} ph{k} 0 1e12"]
    if e.wave is None:
        return [f"{label} {ends} {e.value!r}"]
    if e.wave.kind == "noise":
        raise ValueError(f"{e}: a source of noise is not translated to ngspice")
    values = " ".join(map(repr, e.wave.values))
    return [f"{label} {ends} dc {values}" if e.wave.kind == "dc" else f"{label} {ends} {e.wave.kind}({values})"]
