"""What ngspice says of our SFQ cells: do they work, how late are they, how close may pulses be, how far may the bias be off."""

from __future__ import annotations

import itertools
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.common import AsJson, refuse, report
from snnsim.hardware.sfq.library import PHI0, Cell, Library, load, subckt

STEP = 0.1  # ps
AT, GAP, WITHIN, LATE = 60.0, 80.0, 30.0, 2.0  # ps: a first pulse, a gap beyond all influence, how late an answer may be, and
# by how much a pulse may be late because of the one before
OFF, ON = 0.01, 0.05  # mV: a mean voltage is off at most, on at least
Pulses = Mapping[str, Sequence[float]]
Array = NDArray[np.float64]


def sfq_cells(as_json: AsJson = False, cell: Annotated[str, typer.Option("--cell", help="Only this one.")] = "",
              cells: Annotated[Path | None, typer.Option("--cells", help="A folder of your own cells.")] = None) -> None:
    """Delay, separation, setup, hold and bias margins of each cell that has a circuit, beside what its file says."""
    if shutil.which("ngspice") is None:
        refuse("ngspice is not on the path: apt install ngspice")
    library = load(cells)
    wanted = [c for n, c in sorted(library.cells.items()) if c.check and n == (cell or n)]
    base = delay_of_jtl(library)
    rows = []
    for c in wanted:
        said = {**{f"delay {k}": v for k, v in c.delay.items()}, **{f"separation {k}": v for k, v in c.separation.items()},
                "mV": c.check.get("mV"), "setup": c.setup, "hold": c.hold}
        found = measure(library, c, base)
        for key, value in found.items():
            rows.append({"cell": c.name, "what": key, "ngspice": value,
                         "file": list(c.bias_margin or ()) if key == "bias margin" else said.get(key)})
    report("sfq_cells", rows, {}, as_json)


def measure(library: Library, cell: Cell, base: float) -> dict[str, Any]:
    given, wanted = cell.check["in"], cell.check["out"]
    if not works(library, cell, given, wanted):
        refuse(f"cell {cell.name!r} does not do what its check says")
    if "current" in cell.check:
        return {"bias margin": margin(library, cell, given, wanted)}
    if "load" in cell.check:
        return {"mV": round(max(voltages(library, cell, given)[1]), 3), "bias margin": margin(library, cell, given, wanted)}
    found: dict[str, Any] = {f"delay {k}": round(v, 2) for k, v in delays(library, cell, given, wanted, base).items()}
    for pair in itertools.product(cell.inputs, repeat=2):
        if cell.behaviour in ("jtl", "splitter", "merger", "tff", "tff2"):
            key = pair[0] if pair[0] == pair[1] else ",".join(pair)
            found[f"separation {key}"] = separation(library, cell, *pair)
    if cell.behaviour == "dro":
        found["setup"] = edge(lambda x: passes(library, cell, {"d": [AT + GAP - x], "c": [AT + GAP]}, 1), 0.0, 20.0)
        twice = [AT + GAP, AT + 2 * GAP]
        found["hold"] = edge(lambda x: passes(library, cell, {"c": twice, "d": [AT + GAP + x]}, 1, twice[1]), 0.0, 20.0)
    found["bias margin"] = margin(library, cell, given, wanted)
    return found


def margin(library: Library, cell: Cell, given: Pulses, wanted: Pulses) -> list[float]:
    """From .. to: by bisection, as if there were no islands."""
    def off(sign: int) -> float:
        return edge(lambda x: not works(library, cell, given, wanted, 1 + sign * x), 0.0, 0.6, 0.01)

    return [round(1 - off(-1) + 0.01, 2), round(1 + off(1) - 0.01, 2)]  # the last that works


def edge(good: Callable[[float], bool], low: float, high: float, fine: float = 0.1) -> float:
    """The smallest x, to `fine`, from which on `good`, by bisection; `high` where it never is."""
    while high - low > fine:
        middle = (low + high) / 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return round(high, 2)


def passes(library: Library, cell: Cell, given: Pulses, count: int, since: float = 0.0) -> bool:
    found = run(library, cell, given)
    return all(len([t for t in found[q] if t > since]) == count for q in cell.outputs)


def separation(library: Library, cell: Cell, first: str, then: str) -> float:
    """Smallest gap at which both pulses count, and the last one leaves within LATE of when it would alone."""
    count = 1 if cell.behaviour in ("tff", "tff2") else 2

    def leaves(gap: float) -> tuple[float, float]:
        given: dict[str, list[float]] = {name: [] for name in cell.inputs}
        given[first].append(AT)
        given[then].append(AT + gap)
        found = run(library, cell, given)
        arrived, left = found[f"in {then}"], found[cell.outputs[-1]]
        if len(left) != count or any(len(found[q]) != count for q in cell.outputs):
            return -1.0, math.inf
        return arrived[-1] - found[f"in {first}"][0], left[-1] - arrived[-1]

    alone = leaves(GAP)[1]
    low, high = 0.0, 30.0
    while high - low > 0.1:
        middle = (low + high) / 2
        low, high = (low, middle) if leaves(middle)[1] - alone < LATE else (middle, high)
    return round(leaves(high)[0], 2)


def works(library: Library, cell: Cell, given: Pulses, wanted: Pulses, bias: float = 1.0) -> bool:
    """Each wanted pulse leaves within WITHIN of its time, and no other; or the voltage is on after each, and off else."""
    if "load" in cell.check:
        arrived, means = voltages(library, cell, given, bias)
        return arrived == len(given["a"]) and all(v >= ON if t in wanted["q"] else abs(v) <= OFF
                                                  for t, v in zip((0, *given["a"]), means, strict=True))
    found = run(library, cell, given, bias)
    if any(len(found.get(f"in {a}", given.get(a, ()))) != len(given.get(a, ())) for a in cell.inputs):
        return False
    return all(len(found[q]) == len(wanted.get(q, ())) and all(0 < t - w < WITHIN for t, w in zip(found[q], wanted.get(q, ()),
                                                                                         strict=True)) for q in cell.outputs)


def voltages(library: Library, cell: Cell, given: Pulses, bias: float = 1.0) -> tuple[int, list[float]]:
    """Of a cell whose output is a voltage: how many pulses came to its input; the mean at its load, mV, before the first and
    after each, from WITHIN ps on until the next."""
    text, watch, until = deck(library, cell, given, bias)
    t, found = phases(text, watch, until)
    means = []
    for low, high in itertools.pairwise([0.0, *given["a"], until]):
        turned = np.interp(high, t, found["q"]) - np.interp(low + WITHIN, t, found["q"])
        means.append(float(turned / (2 * math.pi) * PHI0 / (high - low - WITHIN)))
    return len(crossings(t, found["in a"])), means


def delays(library: Library, cell: Cell, given: Pulses, wanted: Pulses, base: float) -> dict[str, float]:
    """From the last junction of the JTL before to that of the JTL after, less what that one takes: so that delays add up."""
    found, late = run(library, cell, given), {}
    for q in cell.outputs:
        for w, t in zip(wanted.get(q, ()), found[q], strict=True):
            for a in cell.inputs:
                if w in given.get(a, ()):
                    late[f"{a}->{q}"] = t - found[f"in {a}"][list(given[a]).index(w)] - base
    return late


def delay_of_jtl(library: Library) -> float:
    found = run(library, library["jtl"], {"a": [AT]})
    return float((found["q"][0] - found["in a"][0]) / 2)


def deck(library: Library, cell: Cell, given: Pulses, bias: float = 1.0) -> tuple[str, dict[str, str], float]:
    """Drivers, the cell and what it drives, in ngspice's words; names of phases to watch; ps to run."""
    jtl, process = library["jtl"], library.process
    lines = ["* a cell between JTLs", _junction(process), *(_scaled(subckt(c, process), bias) for c in {jtl.name: jtl,
                                                                                             cell.name: cell}.values())]
    watch, last = {}, 0.0
    for a in cell.inputs:
        times = sorted(given.get(a, ()))
        last = max([last, *times])
        if current := cell.check.get("current"):  # of a cell that makes pulses
            lines.append(f"I{a} 0 at_{a} {_ramps(times, current)}")
            continue
        lines += [f"V{a} in_{a} 0 {_triangles(times)}", f"Xin{a} in_{a} at_{a} JTL"]
        watch[f"in {a}"] = f"xin{a}.xb2"
    for q in cell.outputs:
        if ohm := cell.check.get("load"):  # of a cell that makes a voltage
            lines += [f".subckt load p\nR1 p 0 {ohm:g}\n{_phase('p', '0')}\n.ends", f"Xout{q} to_{q} load"]
            watch[q] = f"xout{q}"
            continue
        lines += [f"Xout{q} to_{q} end_{q} JTL", f"R{q} end_{q} 0 2"]
        watch[q] = f"xout{q}.xb2"
    ports = [f"at_{p}" if p in cell.inputs else f"to_{p}" for p in cell.ports]
    lines.append(f"Xcell {' '.join(ports)} {cell.name.upper()}")
    return "\n".join(lines), watch, last + GAP


def _triangles(times: Sequence[float]) -> str:
    """Each of area one flux quantum. Close ones overlap, so they are added up."""
    if not times:
        return "0"
    corners = sorted({t + d for t in times for d in (-2.5, 0.0, 2.5)})
    height = 1e3 * PHI0 / 2.5
    return "pwl(0 0 " + " ".join(f"{c:.3f}p {sum(max(0.0, 1 - abs(c - t) / 2.5) for t in times) * height:.4f}u"
                                 for c in corners) + ")"


def _ramps(times: Sequence[float], height: float) -> str:
    return "pwl(0 0 " + " ".join(f"{t + 5}p 0 {t + 15}p {height}u {t + 45}p {height}u {t + 55}p 0" for t in times) + ")"


def _junction(process: Any) -> str:
    """A junction as a capacitor, the resistor below the gap and a source of sin(phase); the phase is integrated on 1 pF."""
    return (f".subckt jjcell p n area=1\nCj p n {{{process.cap:g}e-12*area}}\nRj p n {{{process.r0:g}/area}}\n"
            f"Bj p n I={{{process.icrit:g}e-3*area}}*sin(V(ph))\n{_phase('p', 'n')}\n.ends")


def _phase(p: str, n: str) -> str:
    return f"Gp 0 ph {p} {n} {2 * math.pi * 1e3 / PHI0:.7g}\nCp ph 0 1e-12\nRp ph 0 1e12"


def _scaled(text: str, bias: float) -> str:
    text = re.sub(r"(?m)^(B\w+) (\S+) (\S+) jj area=", r"X\1 \2 \3 jjcell area=", text)
    return re.sub(r"(?m)^(I.* 5p )(\S+)u\)$", lambda m: f"{m[1]}{float(m[2]) * bias:.6g}u)", text)


def run(library: Library, cell: Cell, given: Pulses, bias: float = 1.0) -> dict[str, list[float]]:
    """When each watched junction passes pi upwards, once more every 2 pi, in ps."""
    return simulate(*deck(library, cell, given, bias))


def simulate(text: str, watch: Mapping[str, str], until: float) -> dict[str, list[float]]:
    """Run a deck in ngspice's words: as of `run`."""
    t, found = phases(text, watch, until)
    return {name: crossings(t, phase) for name, phase in found.items()}


def phases(text: str, watch: Mapping[str, str], until: float) -> tuple[Array, dict[str, Array]]:
    """Times, ps, and each watched phase at them."""
    names = " ".join(f"v({w}.ph)" for w in watch.values())
    text += (f"\n.tran {STEP}p {until:g}p 0 {STEP}p uic\n.save {names}\n.control\nset wr_singlescale\nset numdgt=8\nrun\n"
             f"wrdata out.txt {names}\n.endc\n.end\n")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cell.cir").write_text(text, encoding="ascii")
        done = subprocess.run(["ngspice", "-b", "cell.cir"], cwd=folder, capture_output=True, text=True, timeout=120,
                              check=False)
        out = Path(folder, "out.txt")
        if not out.is_file():
            refuse(f"ngspice refuses the deck: {(done.stdout + done.stderr)[-400:]}")
        table = np.loadtxt(out)
    return 1e12 * table[:, 0], dict(zip(watch, table.T[1:], strict=True))


def crossings(t: Array, phase: Array) -> list[float]:
    turns = np.floor((phase + np.pi) / (2 * np.pi))
    return [float(np.interp(2 * np.pi * turns[i + 1] - np.pi, phase[i: i + 2], t[i: i + 2]))
            for i in np.flatnonzero(np.diff(turns) > 0)]
