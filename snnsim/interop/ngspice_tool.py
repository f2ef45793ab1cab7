"""Josephson circuits in ngspice, in a process of its own: the same circuit in its syntax, and its switching times.

ngspice has no junction. Each becomes a capacitor, a resistor and a source of the current Ic sin(V(ph)), where the voltage of
node ph is the junction's phase: the integral of 2 pi V / Phi0 on a capacitor of 1 pF. The resistor is r0 at every voltage, so
that what reaches the gap (vg - delv / 2, 2.75 mV by default) differs; shunted junctions do not. """

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.junctions.circuit import GROUND, Circuit, flatten
from snnsim.hardware.sfq.junctions.equations import SIGMA
from snnsim.hardware.sfq.junctions.parts import Deck, Element

Array = NDArray[Any]
INSTALL = "apt install ngspice, or see ngspice.sourceforge.io"
FARAD = 1e-12  # of the capacitor that holds a phase


@dataclass(frozen=True, eq=False)
class NgspiceResult:
    """time: s, at ngspice's own steps. phases: rad, of the recorded junctions. cpu_s, wall_s: of the process."""

    time: Array
    phases: dict[str, Array]
    cpu_s: float
    wall_s: float

    def switches(self, name: str) -> Array:
        """Times at which a recorded junction's phase grew through an odd multiple of pi, s, by straight lines between steps."""
        key = name.upper().replace(".", "|")
        if key not in self.phases:
            raise ValueError(f"junction {name!r} was not recorded, only {', '.join(self.phases)}")
        p = self.phases[key]
        turns = np.floor((p + np.pi) / (2 * np.pi))
        at = np.flatnonzero(np.diff(turns) > 0)
        level = 2 * np.pi * turns[at + 1] - np.pi
        return np.asarray(self.time[at] + (level - p[at]) / (p[at + 1] - p[at]) * np.diff(self.time)[at])


def ngspice() -> str | None:
    """The program, or None where it is missing."""
    return shutil.which("ngspice")


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


def run_ngspice(circuit: Deck | Circuit, junctions: Sequence[str] | None = None, *, step: float | None = None,
                stop: float | None = None, timeout: float = 300.0) -> NgspiceResult:
    """Simulate in ngspice. timeout: s; the rest as of `to_ngspice`.

    Errors: those of `to_ngspice`; FileNotFoundError that says how to install it; RuntimeError with its last words;
    TimeoutError. """
    circuit = flatten(circuit) if isinstance(circuit, Deck) else circuit
    text = to_ngspice(circuit, junctions, step=step, stop=stop)
    program = ngspice()
    if program is None:
        raise FileNotFoundError(f"ngspice is missing: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="snnsim-") as folder:
        Path(folder, "deck.cir").write_text(text, encoding="ascii")
        began, before = time.perf_counter(), _children_s()
        try:
            done = subprocess.run([program, "-n", "-b", "deck.cir"], capture_output=True, text=True, timeout=timeout,
                                  check=False, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"})
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"ngspice did not finish within {timeout:g} s") from None
        cpu, wall = _children_s() - before, time.perf_counter() - began
        found = Path(folder, "phases.txt")
        if not found.exists():
            raise RuntimeError(f"ngspice cannot simulate {circuit.name}: {_last_words(done.stderr, done.stdout)}")
        table = np.loadtxt(found, ndmin=2)
    names = recorded(circuit, junctions)
    end = stop or (circuit.tran.stop if circuit.tran else 0.0)
    if table.shape[1] != 1 + len(names) or not len(table) or table[-1, 0] < 0.99 * end:
        raise RuntimeError(f"ngspice stopped early in {circuit.name}: {_last_words(done.stderr, done.stdout)}")
    return NgspiceResult(table[:, 0], dict(zip(names, table[:, 1:].T, strict=True)), cpu, wall)


def _children_s() -> float:
    """CPU time of all processes that ended, s; 0 where the system does not count it."""
    times = os.times()
    return times.children_user + times.children_system


def _last_words(*texts: str) -> str:
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "timestep" in line.lower()]
    return (errors or lines or ["it said nothing"])[-1]
