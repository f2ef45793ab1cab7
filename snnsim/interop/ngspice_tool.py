"""Josephson circuits in ngspice, in a process of its own: their switching times."""

from __future__ import annotations

import os
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

from snnsim.hardware.sfq.junctions.circuit import Circuit, flatten
from snnsim.hardware.sfq.junctions.ngspice import recorded, to_ngspice
from snnsim.hardware.sfq.junctions.parts import Deck

Array = NDArray[Any]
INSTALL = "apt install ngspice, or see ngspice.sourceforge.io"


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


def run_ngspice(circuit: Deck | Circuit, junctions: Sequence[str] | None = None, *, step: float | None = None,
                stop: float | None = None, timeout: float = 300.0) -> NgspiceResult:
    """Simulate in ngspice. timeout: s; the rest as of `to_ngspice`.

    Errors: those of `to_ngspice`; FileNotFoundError that says how to install it; RuntimeError with its last words;
    TimeoutError.
    """
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
