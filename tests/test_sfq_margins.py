"""Margins, process spread and thermal noise of circuits of junctions."""

from __future__ import annotations

import json

import pytest

from snnsim import plot
from snnsim.hardware.sfq.junctions import flatten, parse_deck, simulate
from snnsim.hardware.sfq.margins import Margin, classes, margin, margins, monte_carlo, same_counts, thermal
from tests.test_cli import snnsim

IC = 100.0  # uA of the junction, and of the current that must switch it
DECK = """* a junction that a current of 130 uA switches, and one of 70 uA does not
.model j jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)
B1 1 0 j
R1 1 0 6.86
I1 0 1 pwl(0 0 20p 130u 30p 130u 50p 0)
B2 2 0 j
R2 2 0 6.86
I2 0 2 pwl(0 0 20p 70u 30p 70u 50p 0)
.tran 0.1p 80p
.print p(B1) p(B2)
"""


@pytest.fixture(scope="module")
def circuit():
    return flatten(parse_deck(DECK))


def right(switches):
    return len(switches["B1"]) > 0 and len(switches["B2"]) == 0


def test_a_margin_of_bias_is_that_of_the_critical_currents(circuit):
    """Slow ramps: I1 switches above about Ic, from 100 / 130; I2 does not below it, until 100 / 70; and areas the other way."""
    bias, area = (margin(circuit, right, n, classes(circuit)[n], resolution=0.005) for n in ("bias", "junctions"))
    assert bias.low == pytest.approx(IC / 130, abs=0.04) and bias.high == pytest.approx(IC / 70, abs=0.06)
    assert area.low == pytest.approx(70 / IC, abs=0.04) and area.high == pytest.approx(130 / IC, abs=0.06)
    assert bias.bounded == area.bounded == (True, True) and bias.elements == 2
    for factor, works in ((bias.low, True), (bias.low - 0.011, False), (bias.high, True), (bias.high + 0.011, False)):
        assert right(simulate(circuit.scaled(dict.fromkeys(("I1", "I2"), factor))).switches) is works


def test_what_does_not_matter_has_no_bound(circuit):
    found = {m.name: m for m in margins(circuit, right, limit=0.1)}
    assert set(found) == {"bias", "junctions", "resistors"}
    assert all(m.bounded == (False, False) and (m.low, m.high) == (0.9, 1.1) for m in found.values())
    assert str(found["bias"]) == "bias: -10 % or more .. +10 % or more"


def test_monte_carlo_repeats_by_its_seed_and_fails_where_spread_passes_the_margin(circuit):
    none, some = (monte_carlo(circuit, right, {"junctions": s}, runs=30) for s in (0.01, 0.3))
    assert none.right == 30 and none.failed == () and none.low > 0.85
    assert 5 <= some.right < 30 and some.low < some.right / 30 < some.high and len(some.failed) == 30 - some.right
    assert monte_carlo(circuit, right, {"junctions": 0.3}, runs=30).failed == some.failed
    assert monte_carlo(circuit, right, {"junctions": 0.3}, runs=30, seed=1).failed != some.failed
    assert str(none).startswith("spread of junctions 1%: 30 of 30 right, 8")


def test_thermal_noise_fails_beside_the_threshold_and_not_far_from_it(circuit):
    assert thermal(circuit, right, runs=8).right == 8
    low = margin(circuit, right, "bias", ("I1",), resolution=0.002).low
    near = thermal(circuit.scaled({"I1": low + 0.002}), right, runs=24)
    assert 0 < near.right < 24 and str(near).startswith("noise at 4.2 K: ")


def test_what_margins_refuse_is_said(circuit):
    with pytest.raises(ValueError, match="does not do what it should as it is: there is no margin to measure"):
        margin(circuit, lambda switches: False, "bias", ("I1",))
    with pytest.raises(ValueError, match="limit must be below 1, got 1"):
        margin(circuit, right, "bias", ("I1",), limit=1.0)
    with pytest.raises(ValueError, match="bias: there is no element to change"):
        margin(circuit, right, "bias", ())
    with pytest.raises(ValueError, match="there is no element 'I9'"):
        margin(circuit, right, "bias", ("I9",))
    with pytest.raises(ValueError, match=r"spread must be 0 .. 0.5 for bias, junctions, .*, got 0.9 for 'bias'"):
        monte_carlo(circuit, right, {"bias": 0.9})
    with pytest.raises(ValueError, match="runs must be a positive whole number, got 0"):
        thermal(circuit, right, runs=0)


def test_same_counts_and_pictures(circuit, tmp_path):
    works = same_counts(simulate(circuit).switches, ("B1", "B2"))
    assert works(simulate(circuit).switches)
    assert not works(simulate(circuit.scaled({"I1": 0.5})).switches)
    figure = plot.margins([Margin("bias", 2, 0.8, 1.4, (True, False)), Margin("junctions", 2, 0.7, 1.3, (True, True))], "title")
    assert [t.get_text() for t in figure.axes[0].texts] == ["-20 %", "+40 %", "-30 %", "+30 %"]
    plot.save(figure, tmp_path / "m.png")
    with pytest.raises(ValueError, match="margins must hold at least one"):
        plot.margins([])


def test_the_command_prints_margins_of_a_deck(tmp_path):
    (tmp_path / "d.cir").write_text(DECK.replace("p(B1) p(B2)", "p(B2)"))  # works where B2 does not switch
    told = json.loads(snnsim("sfq", "margins", tmp_path / "d.cir", "--limit", 0.5, "--resolution", 0.05, "--runs", 4, "--json"))
    [bias] = [m for m in told["margins"] if m["name"] == "bias"]
    assert bias["low"] == 0.5 and 1.3 < bias["high"] < 1.5 and bias["bounded"] == [False, True]
    assert [s["runs"] for s in told["shares"]] == [4, 4]
    (tmp_path / "d.cir").write_text(DECK.replace(".print", "* "))
    assert "prints the phase of no junction" in snnsim("sfq", "margins", tmp_path / "d.cir", code=1)
