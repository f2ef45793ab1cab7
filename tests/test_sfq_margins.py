"""Margins, process spread and thermal noise of circuits of junctions."""

from __future__ import annotations

import json

import pytest

from snnsim import plot
from snnsim.hardware.sfq.junctions import flatten, parse_deck, simulate
from snnsim.hardware.sfq.margins import Margin, Timing, classes, margin, margins, monte_carlo, same_counts, thermal, timing
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
    assert str(none).startswith("spread of junctions 1 %: 30 of 30 right, 8")


def test_thermal_noise_fails_beside_the_threshold_and_not_far_from_it(circuit):
    assert thermal(circuit, right, runs=8).right == 8
    low = margin(circuit, right, "bias", ("I1",), resolution=0.002).low
    near = thermal(circuit.scaled({"I1": low + 0.002}), right, runs=24)
    assert 0 < near.right < 24 and str(near).startswith("noise at 4.2 K: ")


def test_noise_and_spread_are_drawn_together(circuit):
    """Beside the threshold noise alone makes some fail, a spread others, and both together others still."""
    low = margin(circuit, right, "bias", ("I1",), resolution=0.002).low
    near = circuit.scaled({"I1": low + 0.002})
    alone = thermal(near, right, runs=12)
    assert monte_carlo(near, right, {"junctions": 0.0}, kelvin=4.2, runs=12).failed == alone.failed
    both = monte_carlo(near, right, {"junctions": 0.02}, kelvin=4.2, runs=12)
    assert (both.sigma, both.kelvin, both.what) == (0.02, 4.2, "spread of junctions 2 %, noise at 4.2 K")
    assert both.failed not in (alone.failed, monte_carlo(near, right, {"junctions": 0.02}, runs=12).failed)


COINCIDE = """* a junction that two triangles of 70 uA together switch, and neither alone
.model j jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)
B1 1 0 j
R1 1 0 6.86
VA a 0 pwl(0 0 80p 0 100p 70m 120p 0)
VB b 0 pulse(0 70m 80p 20p 20p 0 1n)
RA a 1 1k
RB b 1 1k
V0 z 0 pwl(0 0 5p 1m)
RZ z 0 1
.tran 0.1p 200p
"""


def test_the_window_of_a_pulse_is_where_two_add_up_to_the_critical_current():
    """Two triangles of height 70 and half width 20 ps, dt apart, add up to 140 - 70 dt / 20: 100 at 11.4 ps, to both sides."""
    pair = flatten(parse_deck(COINCIDE))
    found = timing(pair, lambda s: len(s["B1"]) > 0, resolution=0.2)
    assert [(t.source, t.pulses, t.bounded) for t in found] == [("VA", 1, (True, True)), ("VB", 1, (True, True))]
    for t in found:
        assert t.earlier == pytest.approx(11.4, abs=1) and t.later == pytest.approx(11.4, abs=1)
    a, b = found
    assert (a.earlier, a.later) == (pytest.approx(b.later, abs=0.4), pytest.approx(b.earlier, abs=0.4))
    [far] = timing(pair, lambda s: True, ("VA",), reach=50)
    assert (far.earlier, far.later, far.bounded) == (50, 50, (False, False))
    [far] = timing(pair, lambda s: True, ("VA",), reach=500)
    assert far.later == pytest.approx(80) and 79 < far.earlier < 80 and far.bounded == (False, False)  # 0 .. 200 ps


def test_what_cannot_be_moved_is_said():
    pair = flatten(parse_deck(COINCIDE))
    with pytest.raises(ValueError, match="deck has no source with pulses in"):
        timing(flatten(parse_deck("V1 1 0 pwl(0 0 5p 1m 9p 1m)\nR1 1 0 1\n.tran 0.1p 20p")), lambda s: True)
    for name in ("V0", "RA", "V9"):
        with pytest.raises(ValueError, match=rf"deck: {name} is no source with pulses in pwl\(\) or pulse\(\)"):
            timing(pair, lambda s: True, (name,))
    with pytest.raises(ValueError, match="reach must be"):
        timing(pair, lambda s: True, reach=0)
    with pytest.raises(ValueError, match="line 5: VA: its pulses cannot come 81 ps earlier, as they would begin before t = 0"):
        pair.shifted({"VA": -81e-12})
    with pytest.raises(ValueError, match=r"'RA' is no source of pwl\(\) or pulse\(\)"):
        pair.shifted({"RA": 1e-12})


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
    shares = [monte_carlo(circuit, right, {"junctions": s}, runs=2) for s in (0.01, 0.02)]
    figure = plot.margins([Margin("bias", 2, 0.8, 1.4, (True, True))], shares=shares,
                          windows=[Timing("VA", 2, 10.0, 20.0, (True, False))])
    assert [t.get_text() for t in figure.axes[1].texts] == ["-10 ps", "+20 ps"]
    assert [1.0, 2.0] in [line.get_xdata().tolist() for line in figure.axes[2].lines if len(line.get_xdata()) == 2]
    with pytest.raises(ValueError, match="margins must hold at least one"):
        plot.margins([])


def test_the_command_prints_margins_of_a_deck(tmp_path):
    (tmp_path / "d.cir").write_text(DECK.replace("p(B1) p(B2)", "p(B2)"))  # works where B2 does not switch
    told = json.loads(snnsim("sfq", "margins", tmp_path / "d.cir", "--limit", 0.5, "--resolution", 0.05, "--runs", 4,
                             "--sigma", 0.1, "--noise", "--timing", 20, "--json"))
    [bias] = [m for m in told["margins"] if m["name"] == "bias"]
    assert bias["low"] == 0.5 and 1.3 < bias["high"] < 1.5 and bias["bounded"] == [False, True]
    assert [(w["source"], w["pulses"], w["earlier"], w["later"]) for w in told["timing"]] == [
        ("I1", 1, pytest.approx(20, abs=0.1), 20), ("I2", 1, pytest.approx(20, abs=0.1), 20)]
    assert [(s["sigma"], s["kelvin"], s["runs"]) for s in told["shares"]] == [(0.1, 0, 4), (0, 4.2, 4), (0.1, 4.2, 4)]
    (tmp_path / "d.cir").write_text(DECK.replace(".print", "* "))
    assert "prints the phase of no junction" in snnsim("sfq", "margins", tmp_path / "d.cir", code=1)
