"""The cell library: every file is read, decks say what the circuits are, and errors name the file and the key."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnsim.hardware.sfq.library as library_module
from benchmarks import sfq_cells
from snnsim.hardware.sfq import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.build import expand
from snnsim.hardware.sfq.library import Process, load, read_cell, subckt
from snnsim.hardware.sfq.plan import plan
from snnsim.hardware.sfq.statistics import statistics
from tests.sfq_cell_nets import random_net

LIBRARY = load()
CELLS = Path(library_module.__file__).parent / "cells"
needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed (apt install ngspice)")
JTL = (CELLS / "jtl.toml").read_text(encoding="utf-8")
DECK = """.subckt JTL a q
B1 1 0 jj area=2.5
RB1 1 0 2.744
B2 3 0 jj area=2.5
RB2 3 0 2.744
L1 a 1 2p
L2 1 2 2p
L3 2 3 2p
L4 3 q 2p
IB1 0 2 pwl(0 0 5p 350u)
.ends
"""


def test_the_cells_of_the_issue_are_there() -> None:
    wanted = {"jtl", "splitter", "merger", "dro", "ndro", "tff", "dcsfq", "sfqdc", "synapse_exc", "synapse_inh", "soma"}
    assert wanted <= set(LIBRARY.cells)
    assert [LIBRARY.junctions(k) for k in ("jtl", "splitter", "merger", "dro")] == [2, 3, 5, 4]
    assert all(cell.circuit != "none yet" for cell in LIBRARY.cells.values())
    for cell in LIBRARY.cells.values():
        assert cell.about and (cell.circuit == "ours") == bool(cell.parts)
        if cell.bias_margin is not None:
            assert "ngspice" in cell.measured and cell.check


def test_a_composite_counts_what_it_names() -> None:
    of = LIBRARY["counter_bit"].of
    assert LIBRARY.junctions("counter_bit") == sum(n * LIBRARY.junctions(k) for k, n in of.items()) == 87
    with pytest.raises(ValueError, match=re.escape("cell 'counter_bit' has no circuit (circuit = 'composite')")):
        subckt(LIBRARY["counter_bit"], LIBRARY.process)


def test_a_deck_of_the_jtl() -> None:
    assert subckt(LIBRARY["jtl"], LIBRARY.process) == DECK
    assert LIBRARY.process.model == ".model jj jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)"


def test_a_process_of_another_critical_current_scales_the_circuit() -> None:
    process = Process("half", icrit=0.05, cap=0.035, r0=320, rn=32, vg=2.8)
    assert process.shunt == pytest.approx(2 * 6.857, abs=1e-3)  # of betac = 1
    text = subckt(LIBRARY["jtl"], process)
    assert "L1 a 1 4p" in text and "pwl(0 0 5p 175u)" in text and "RB1 1 0 5.48" in text


@pytest.mark.parametrize(("old", "new", "said"), [
    ('name = "jtl"\n', "", "name is missing"),
    ('name = "jtl"\n', 'name = "jtl2"\n', "name must be that of the file, got 'jtl2'"),
    ('circuit = "ours"', 'circuit = "theirs"', "circuit must be one of 'ours', 'composite', 'none yet', got 'theirs'"),
    ('behaviour = "jtl"', 'behaviour = "xor"', "behaviour must be one of 'jtl', "),
    ('inputs = ["a"]', 'inputs = ["b"]', "inputs and outputs of a jtl are ['a'] and ['q'], got ['b'] and ['q']"),
    ("area = 2.5", "area = -1", "junction 'B1': area must be a number above 0, got -1"),
    ("area = 2.5", "area = nan", "junction 'B1': area must be a number above 0, got nan"),
    ("pH = 2", 'pH = "2"', "inductor 'L1': pH must be a number above 0, got '2'"),
    ("pH = 2", "nH = 2", "inductor 'L1': 'nH' is not known: name, nodes, pH"),
    ('nodes = ["a", "1"]', 'nodes = ["a"]', "inductor 'L1': nodes must be 2 names, got ['a']"),
    ('nodes = ["a", "1"]', 'nodes = ["x", "1"]', "port 'a' is tied to no element"),
    ('name = "B2"', 'name = "B1"', "two elements have the name 'B1'"),
    ('"a->q" = 4.1', '"a->z" = 4.1', "delay must be of \"input->output\", got 'a->z'"),
    ('delay = { "a->q" = 4.1 }', "delay = {}", "delay of 'a->q' is missing: a jtl needs it, in ps"),
    ("bias_margin = [0.42, 1.44]", "bias_margin = [1.2, 1.4]", "bias_margin must be from .. to around 1"),
    ("[check.in] # ps\na = [60", "[check.in] # ps\na = ['x'", "check must have the tables in and out, lists of ps by port"),
    ("[check.in]", "[check]\nload = -1\n[check.in]", "load of check must be a number of at least 0, got -1"),
    ("delay =", "dealy =", "'dealy' is not known: about, "),
    ('name = "jtl"', "name = ", "is not TOML: "),
])
def test_a_damaged_cell(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in JTL
    path = tmp_path / "jtl.toml"
    path.write_text(JTL.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(said)) as e:
        read_cell(path)
    assert str(path) in str(e.value)


def test_files_cut_anywhere_say_so(tmp_path: Path) -> None:
    path = tmp_path / "jtl.toml"
    for cut in range(0, JTL.index("[check.in]") - 20, 17):
        path.write_text(JTL[:cut], encoding="utf-8")
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_cell(path)


def test_a_process_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    for text, said in (('name = "x"', "icrit is missing"),
                       ('name="x"\nicrit=0\ncap=1\nr0=1\nrn=1\nvg=1', "icrit must be a number above 0, got 0"),
                       ('nam = "x"', "'nam' is not known: about, betac, "),
                       ('name="x"\nicrit=0.1\ncap=0.07\nr0=1\nrn=1\nvg=1\ncooling=[9, 1]',
                        "cooling must be two numbers above 0, the larger last, got [9, 1]")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=re.escape(said)) as e:
            Process.read(path)
        assert str(path) in str(e.value)


def test_a_cell_and_a_process_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "jtl9.toml").write_text(JTL.replace('"jtl"', '"jtl9"', 1).replace("4.1", "0.4"), encoding="utf-8")
    (tmp_path / "merger.toml").write_text((CELLS / "merger.toml").read_text(encoding="utf-8").replace("3.53", "5.0"),
                                          encoding="utf-8")
    own = load(tmp_path)
    assert own["merger"].delay["a->q"] == 5.0 and "jtl9" in own.cells
    net = SFQNetwork([SFQLayer("a", [[1, 2, 1]], 2)])
    assert "jtl9" in expand(plan(net, own)).cells  # pads are made of whatever delays
    (tmp_path / "loop.toml").write_text('name = "loop"\ncircuit = "composite"\nbehaviour = "none"\ninputs = []\noutputs = []\n'
                                        "of = { loop = 1 }\n", encoding="utf-8")
    with pytest.raises(ValueError, match="cell 'loop': of: is made of itself, by loop of loop|is made of itself, by loop"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder of cells "):
        load(tmp_path / "none")


def test_statistics_are_those_of_the_netlist() -> None:
    rng = np.random.default_rng(6)
    for _ in range(10):
        p = plan(random_net(rng), LIBRARY)
        found, made = statistics(p, ticks=7), expand(p)
        counters = [x for x in made.instances if x.neuron is not None]
        bits = sum(p.layers[x.neuron[0]].counter for x in counters if x.neuron)
        junctions = sum(LIBRARY.junctions(x.cell) for x in made.instances) + bits * LIBRARY.junctions("counter_bit")
        leaks = sum(q.counter * q.layer.size for q in p.layers if q.layer.leak is not None)
        assert found.junctions == junctions + leaks * LIBRARY.junctions("counter_leak")
        energy = found.energy
        assert 0 < energy["dynamic"].low <= energy["dynamic"].high < energy["RSFQ"].high < energy["RSFQ, cooled"].high
        assert energy["static (RSFQ)"].low == pytest.approx(found.bias * 2.6 * found.inference)  # mA mV ps are aJ
        assert energy["RSFQ, cooled"].low == pytest.approx(300 * energy["RSFQ"].low)


def test_the_energy_of_a_run_lies_within_the_range() -> None:
    p = plan(SFQNetwork([SFQLayer("a", [[1, -2], [3, 0]], 2), SFQLayer("b", [[1, 1]], 1)], burst=2), LIBRARY)
    whole = statistics(p, ticks=5).energy["dynamic"]
    none, most, some = (statistics(p, ticks=5, pulses=x).energy["dynamic"]
                        for x in (([0, 0], [0, 0]), ([10, 10], [5, 5]), ([3, 1], [2, 0])))
    assert none.low == none.high == whole.low and most.high == pytest.approx(whole.high)
    assert none.low < some.low < most.low
    with pytest.raises(ValueError, match=re.escape("of at least 0 of the shapes [(2,), (2,)], got [(2,)]")):
        statistics(p, pulses=[[1, 1]])


def test_one_pulse_through_a_known_net_costs_what_is_counted_by_hand() -> None:
    p = plan(SFQNetwork([SFQLayer("a", [[1]], 1)]), LIBRARY)
    one = {k: LIBRARY.critical(k) * 2.067833848e-3 for k in LIBRARY.cells}
    [source] = p.layers[0].sources
    by_hand = sum(one[c] for c in source.levels[0].pad.cells) + 2 * one["counter_bit"]
    found = [statistics(p, pulses=[x]).energy["dynamic"].low for x in ([0], [1])]
    assert found[1] - found[0] == pytest.approx(by_hand)


@needs_ngspice
@pytest.mark.parametrize("name", sorted(k for k, c in LIBRARY.cells.items() if c.check))
def test_the_circuit_does_what_its_check_says(name: str) -> None:
    """In ngspice, between JTLs; and the delay is what the file says."""
    cell = LIBRARY[name]
    given, wanted = cell.check["in"], cell.check["out"]
    assert sfq_cells.works(LIBRARY, cell, given, wanted)
    if cell.delay:
        found: Any = sfq_cells.delays(LIBRARY, cell, given, wanted, LIBRARY["jtl"].delay["a->q"])
        for key, ps in cell.delay.items():
            assert found[key] == pytest.approx(ps, abs=0.05), key
    assert not sfq_cells.works(LIBRARY, cell, given, {q: v[1:] for q, v in wanted.items()})


@needs_ngspice
def test_an_xor_of_two_analog_neurons() -> None:
    """a alone, b alone, both: one pulse, one pulse, none; at the times of our first deck of it, whose merger had less bias."""
    merger = LIBRARY["merger"]
    parts = tuple(replace(p, value=310.0) if p.value == 330 else p for p in merger.parts)
    used = [replace(merger, parts=parts), *(LIBRARY[k] for k in ("jtl", "splitter", "synapse_exc", "synapse_inh", "soma"))]
    lines = ["* xor", sfq_cells._junction(LIBRARY.process), *(sfq_cells._scaled(subckt(c, LIBRARY.process), 1.0) for c in used)]
    lines += [f"Va a0 0 {sfq_cells._triangles([302.5, 702.5])}", f"Vb b0 0 {sfq_cells._triangles([502.5, 702.5])}"]
    for x, y in (("a", "b"), ("b", "a")):  # the exciting pulse comes three JTLs later than the inhibiting one
        lines += [f"XJ{x} {x}0 {x}1 JTL", f"XS{x} {x}1 {x}2 {x}3 SPLITTER"]
        lines += [f"XD{x}{k} {x}{k} {x}{n} JTL" for k, n in ((2, 4), (4, 5), (5, 6))]
        lines += [f"XE{x} {x}6 s{x} SYNAPSE_EXC", f"XI{x} {y}3 s{x} SYNAPSE_INH", f"XN{x} q{x} s{x} SOMA"]
    lines += ["XM qa qb m MERGER", "XO m q JTL", "RO q 0 2"]
    found = sfq_cells.simulate("\n".join(lines), {"q": "xo.xb2"}, 900.0)["q"]
    assert found == pytest.approx([371.6, 567.0], abs=0.2)


def test_the_page_has_the_numbers_of_the_files() -> None:
    page = (Path(__file__).parents[1] / "docs" / "sfq-cells.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", page, re.MULTILINE))
    assert set(LIBRARY.cells) - {"sink", "quiet"} == set(rows)
    for name, row in rows.items():
        assert row == table_row(name), name


def table_row(name: str) -> str:
    cell = LIBRARY[name]
    margin = "" if cell.bias_margin is None else f"{cell.bias_margin[0]:g} .. {cell.bias_margin[1]:g}"
    late, apart = (f"{max(x.values()):g}" if x else "" for x in (cell.delay, cell.separation))
    return f" {cell.circuit} | {LIBRARY.junctions(name)} | {LIBRARY.bias(name):.0f} | {late} | {apart} | {margin} |"
