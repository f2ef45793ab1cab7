"""Superconducting circuits: the junction solver beside ngspice, on chains of transmission line in which a pulse travels, then
Verilog in iverilog (see sfq_verilog) and the pulse-level executor (see sfq_pulses)."""

from __future__ import annotations

import shutil
import time
from typing import Any

import numpy as np

from benchmarks import sfq_pulses, sfq_verilog
from benchmarks.common import AsJson, refuse, report
from snnsim.hardware.sfq.junctions import parse_deck, simulate
from snnsim.interop.ngspice_tool import ngspice, run_ngspice

CHAINS = (100, 300, 1000, 4000)  # junctions
BESIDE_NGSPICE = (100, 1000)
ROUNDS = 3
STEPS = 2000
TOLERANCE = 0.2e-12
CELL = """* own cells: a junction of 250 uA every 4 pH, 0.7 of it as bias
.model jmit jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)
.subckt JTL a q
L1 a 1 2p
B1 1 0 jmit area=2.5
RB1 1 0 2.744
L2 1 2 2p
IB1 0 2 pwl(0 0 5p 350u)
L3 2 3 2p
B2 3 0 jmit area=2.5
RB2 3 0 2.744
L4 3 q 2p
.ends
VA n0 0 pwl(0 0 20p 0 22.5p 827.1335u 25p 0)
"""


def sfq(as_json: AsJson = False) -> None:
    """Junction-steps a second of CPU time, ngspice in the same run. A part gives rows, and ratios of our time to a peer's."""
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for part in (solver, verilog, pulses):
        found, of = part()
        rows, ratios = rows + found, {**ratios, **of}
    report("sfq", rows, ratios, as_json, "CPU time a junction-step")


def verilog() -> tuple[list[dict[str, Any]], dict[str, float]]:
    if shutil.which("iverilog") is None:
        refuse("iverilog is missing: apt install iverilog")
    return [{"part": "verilog", **sfq_verilog.row(sizes)} for sizes in sfq_verilog.NETS], {}


def pulses() -> tuple[list[dict[str, Any]], dict[str, float]]:
    return [{"part": "pulses", **row} for row in sfq_pulses.measured()], {}


def solver() -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The best of some rounds that take turns. The CPU time is that of everything: reading the deck, equations, steps,
    ngspice's file of three phases. Only the steps of the run are counted, though 1000 settling steps come before ours.
    """
    if ngspice() is None:
        refuse("ngspice is missing: apt install ngspice")
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for junctions in CHAINS:
        deck = parse_deck(chain(junctions), f"chain of {junctions}")
        best = {"snnsim": np.inf, "ngspice": np.inf}
        simulate(deck, stop=1e-12)
        for _ in range(ROUNDS):
            began = time.process_time()
            ours = simulate(parse_deck(chain(junctions)))
            best["snnsim"] = min(best["snnsim"], time.process_time() - began)
            if junctions in BESIDE_NGSPICE:
                theirs = run_ngspice(deck, timeout=600)
                check(deck.name, ours, theirs)
                best["ngspice"] = min(best["ngspice"], theirs.cpu_s)
        if junctions in BESIDE_NGSPICE:
            ratios[f"ngspice, {junctions} junctions"] = best["snnsim"] / best["ngspice"]
        count = junctions * STEPS
        rows += [{"part": "solver", "tool": tool, "junctions": junctions, "steps": STEPS, "cpu_s": round(s, 4),
                  "rounds": ROUNDS,
                  "junction_steps_per_s": round(count / s), "ns_per_junction_step": round(1e9 * s / count, 1)}
                 for tool, s in best.items() if s < np.inf]
    return rows, ratios


def chain(junctions: int) -> str:
    cells = junctions // 2
    lines = [f"X{k} n{k} n{k + 1} JTL" for k in range(cells)]
    return "\n".join([CELL.rstrip(), *lines, f"RO n{cells} 0 2", f".tran 0.1p {STEPS / 10:g}p 0 0.1p",
                      ".print p(B1.X0) p(B2.X20) p(B1.X40)", ""])


def check(chain: str, ours: Any, theirs: Any) -> None:
    """No number without equality: the pulse passes the printed junctions of both at the same times."""
    for name in theirs.phases:
        mine, there = ours.switches[name], theirs.switches(name)
        if len(mine) != 1 or len(there) != 1 or abs(mine[0] - there[0]) > TOLERANCE:
            refuse(f"{chain}: {name} switches at {mine} here and at {there} in ngspice")
