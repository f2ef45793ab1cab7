"""Decks of Josephson circuits: every form of the syntax, and the sentence for each that is wrong."""

from __future__ import annotations

import math
import re

import pytest

from snnsim.hardware.sfq.junctions import circuit as circuits
from snnsim.hardware.sfq.junctions import flatten, lines, parse_deck, read_deck
from snnsim.hardware.sfq.junctions.expressions import evaluate

MODEL = ".model jmit jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)\n"


@pytest.mark.parametrize(("text", "value"), [
    ("2.5p", 2.5e-12), ("1meg", 1e6), ("3M", 3e-3), ("1e-3", 1e-3), ("1E3k", 1e6), (".5u", 5e-7), ("2.", 2.0), ("10pH", 1e-11),
    ("2F", 2e-15), ("3V", 3.0), ("5ohm", 5.0), ("-4n", -4e-9), ("2+3*4", 14.0), ("(2+3)*4", 20.0), ("2^3^2", 512.0),
    ("-2^2", -4.0), ("2**-1", 0.5), ("8/4/2", 1.0), ("1 - 2 - 3", -4.0), ("sqrt(16)+abs(-2)", 6.0), ("max(2, 3*a)", 6.0),
    ("pi", math.pi), ("A*b", 10.0), ("min(a,b)-+-a", 4.0), ("exp(0)+ln(1)+log10(100)", 3.0), ("1x", 1e6), ("7t", 7e12),
])
def test_expressions_have_the_value_that_people_expect(text, value):
    assert evaluate(text, {"A": 2.0, "B": 5.0}) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(("text", "sentence"), [
    ("1/0", "'1/0' has no value"), ("sqrt(-1)", r"has no value: SQRT of -1"), ("(1", "lacks a closing bracket"),
    ("1+", "ends too early"), ("", "ends too early"), ("2 3", "cannot be read from"), ("a b", "A is not a defined parameter"),
    ("1q", "1Q has an unknown suffix, known are T, G, MEG"), ("foo(1)", "calls FOO, known are ABS"),
    ("max(1)", "MAX takes 2 numbers, got 1"), ("1e999", "which is not a finite number"), ("9^9^9", "has no value"),
    ("(-8)^0.5", "cannot be raised to a fraction"), ("__import__('os')", "calls __IMPORT__, known are"),
    ("1;2", "cannot be read from"),
    ("*2", r"has '\*' where a number is expected"), ("(" * 60 + "1", "nested deeper than 40"),
    ("-" * 900 + "1", "nested deeper"),
])
def test_expressions_that_have_no_value_are_refused(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate(text)


def test_one_deck_with_every_form():
    deck = parse_deck(MODEL.upper() + """
* a comment
# another
.PARAM ib=350u LX = 2*half
.param half={1p}
.subckt CELL a q
.param half=3p
L1 a 1 LX
b1 1 GND jmit
+ area = 2.5
B2 1 0 9 jmit ics=0.2m
RB1 1 0 {2.744 * 2}
IB 0 1 pwl(0 0, 5p ib)
XIN 1 q inner
.subckt inner a b
L1 a b half
.model jmit jj(icrit=1m)
B1 b 0 jmit
.ends
.ends CELL
X1 n1 n2 CELL
X2 cell n2 n3
VA n1 0 pulse(0 1m 1p 1p 1p 2p 20p)
I5 0 n3 10u
C1 n3 0 1f
R1 n3 0 2
L9 n3 0 1p
K1 L9 L8 -0.5
L8 0 n3 'LX + 1p'
.tran 0.1p 10p
.print p(B1.X1) v(n3) v(n1,n2) i(R1)
.print devv B1|X1 devi L9 devp B2.X2 phase B1.XIN.X1 nodev n1 n2 nodep n3
.option seed=3
.temp 4.2
.end
this is not read
""")
    c = flatten(deck)
    found = {e.name: e for e in c.elements}
    assert deck.parameters == {"IB": 350e-6, "LX": 2e-12, "HALF": 1e-12}
    assert found["L1|X1"].value == 2e-12 and found["L1|XIN|X1"].value == 3e-12  # LX stands outside the inner half
    assert found["B1|X1"].value == 2.5 and found["B2|X2"].value == pytest.approx(2) and found["B1|XIN|X2"].model.icrit == 1e-3
    assert found["B1|X1"].nodes == ("1|X1", "0") and found["L1|XIN|X2"].nodes == ("1|X2", "N3")
    assert found["IB|X2"].wave.values == (0, 0, 5e-12, 350e-6) and found["I5"].wave.values == (10e-6,)
    assert found["RB1|X1"].value == pytest.approx(5.488) and found["L8"].value == pytest.approx(3e-12)
    assert str(found["B1|X1"].where) == "deck, line 10" and c.junctions[:3] == ("B1|X1", "B2|X1", "B1|XIN|X1")
    assert [str(p) for p in deck.prints] == ["P(B1|X1)", "V(N3)", "V(N1,N2)", "I(R1)", "V(B1|X1)", "I(L9)", "P(B2|X2)",
                                             "P(B1|XIN|X1)", "V(N1,N2)", "P(N3)"]
    assert deck.temperature == 4.2 and deck.ignored == ("deck, line 34: .option seed=3",)
    assert parse_deck(".param a=1\nR1 1 0 a", parameters={"a": 7.0}).elements[0].value == 7.0
    with pytest.raises(ValueError, match=r"deck has no parameter 'b', it has A"):
        parse_deck(".param a=1\nR1 1 0 a", parameters={"b": 7.0})


def test_what_is_allowed_but_rarely_meant_is_a_warning():
    assert flatten(parse_deck("R1 1 0 1\nL1 1 open 1p")).warnings == ("deck, line 2: L1: node OPEN has no other connection",)
    assert flatten(parse_deck("R1 1 0 1\nR2 1 0 1\nL1 1 1 1p")).warnings == (
        "deck, line 3: L1: both its ends are at node 1, so that no current flows",)


SUB = ".subckt S a b\nR1 a b 1\n.ends\n"
WRONG = [
    ("R1 1 0", "line 1: R1: expected two nodes and a value, got 'R1 1 0'"),
    ("Q1 1 0 2", "line 1: Q1: unknown element Q, known are R L C K B V I X"),
    ("R1 1 0 0", "R1: its value must be above 0, got 0"), ("R1 1 0 -2", "R1: its value must be above 0, got -2"),
    ("R1 1 0 1e-31", "line 1: R1: a number must be 0 or lie between 1e-30 and 1e+30, got 1e-31"),
    ("R1 1 0 nan", "line 1: R1: NAN is not a defined parameter"), ("R1 1 0 inf", "INF is not a defined parameter"),
    ("R1 1 0 1e400", "which is not a finite number"), ("R1 1 0 2 temp=4", "expected nothing behind its value, got 'TEMP = 4'"),
    ("R1 1 0 1\n\nR1 2 0 1", "line 3: R1 stands twice, first in line 1"),
    ("B1 1 0 jmit", "B1: expected two nodes and a defined model"),
    (MODEL + "B1 1 0 jmit area=0", "line 2: B1: its area must be above 0, got 0"),
    (MODEL + "B1 1 0 jmit aera=1", "B1: expected area=... or ics=..., got 'AERA = 1'"),
    (MODEL + "B1 1 0 jmit area", "expected key=value, got 'AREA'"), (MODEL + MODEL, "line 2: model JMIT is defined twice"),
    (".model m jj(icrit=0)", "line 1: model M: icrit must be above 0, got 0"),
    (".model m jj(cap=-1)", "model M: cap must be at least 0, got -1"),
    (".model m jj(foo=1)", "model M: unknown foo, known are"),
    (".model m jj(rtype=3)", "rtype must be 0 or 1, got 3"), (".model m npn(a=1)", "a .model must be `.model name jj"),
    (".model m jj(vg=1u)", "vg must be above delv/2"), (".model m jj(cpr=2)", "other cpr are not simulated"),
    (".model m jj(r0=1,r0=2)", "a key is given twice"), ("K1 L1 L2 0.5", "K1: there is no inductor L1 beside it"),
    ("L1 1 0 1\nK1 L1 L1 0.5", "K1: expected two inductors and a factor"), ("K1 L1 R1 0.5", "K1: R1 is not an inductor"),
    ("K1 L1 L2 1", "K1: its factor must lie between -1 and 1, got 1"),
    ("X1 1 2 S", "line 1: X1: neither S nor 1 is a defined subcircuit"), (SUB + "X1 1 S", "X1: S has 2 ports, got 1 nodes"),
    ("X1 S", "X1: expected nodes and a subcircuit"), (".subckt S a b", "line 1: .subckt S has no .ends"),
    (".ends", "line 1: .ends without a .subckt"),
    (".subckt S a a\n.ends", "its ports must differ from each other and from ground"),
    (SUB + SUB, "line 4: subcircuit S is defined twice, first in line 1"), (".subckt", ".subckt takes a name and ports"),
    (".param a=b\n.param b=a\nR1 1 0 a", "parameter A is defined by itself"), (".param a", ".param takes name=expression"),
    (".param a=1/0", "line 1: '1/0' has no value"), (".param a=", "line 1: parameter A has no value"),
    ("V1 1 0 pwl(0 0 1p)", "V1: pwl takes pairs of a time and a value"), ("V1 1 0 pwl(1p 0 0 1)", "and its times must grow"),
    ("V1 1 0 pulse(1)", "V1: pulse takes 2 to 7 numbers, got 1"), ("V1 1 0 cus(a)", "V1: unknown source cus, known are pwl"),
    ("V1 1 0 pwl 0 0", r"V1: expected pwl\(...\), got 'PWL 0 0'"),
    ("I1 1 0 exp(0 1 0 0 1 1)", "the times of exp must be above 0"),
    ("I1 1 0 noise(0 1 0 0)", "the step of noise must be above 0"), ("I1 1 0 pwl(0 (0) 1 1)", "expected numbers in pwl"),
    ("I1 1 0", "I1: expected two nodes and a source"), (".tran 1p", ".tran takes a step, an end"),
    (".tran 1p 0.5p", ".tran needs 0 < step <= end"), (".tran 1p 9p 9p", "0 <= start < end"),
    (".tran 1p 9p\n.tran 1p 9p", "line 2: a second .tran, the first is in line 1"),
    (".temp -1", ".temp must be at least 0 K, got -1"),
    (".print", ".print names nothing"), (".print foo(1)", "cannot print 'FOO'"), (".print i(1,2)", "prints one element"),
    (".print p(", "prints one element, or one or two nodes"), (".spread 1", "line 1: unknown command .spread"),
    ("R1 1 0 {1", "has a { without its partner"), ("R1 1 0 '1", "has a ' without its partner"),
    ("+ 1", "none stands before it"),
    ("R1 1 0 1\x00", r"line 1: the line holds the character '\\x00'"),
    (".include x", "a deck that is no file includes nothing"),
    ("R( 1 0 1", "line 1: R: expected|'\\(' is not the name of a node"), ("R1 1.2 0 1", "R1: '1.2' is not the name of a node"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=[t[:24] for t, _ in WRONG])
def test_what_is_wrong_is_said_with_its_line(text, sentence):
    with pytest.raises(ValueError, match=sentence if "\\" in sentence else re.escape(sentence)) as e:
        parse_deck(text)
    assert str(e.value).startswith("deck, line")


def test_includes_stay_beside_the_deck(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.inc").write_text(MODEL + "\n\nB1 1 0 jmit area=x\n")
    deck = tmp_path / "d.cir"
    deck.write_text(".INCLUDE cells/a.inc\n.param x=2\nR1 1 0 1\n")
    found = read_deck(deck)
    assert [str(e.where) for e in found.elements] == ["cells/a.inc, line 4", "d.cir, line 3"] and found.elements[0].value == 2
    assert parse_deck(deck.read_text(), "d.cir", folder=tmp_path).elements == found.elements
    (tmp_path / "cells" / "a.inc").write_text("B1 1 0 jmit area=0\n" + MODEL)
    with pytest.raises(ValueError, match=r"^cells/a\.inc, line 1: B1: its area must be above 0"):
        read_deck(deck)
    for name, sentence in (("../x.inc", "leads out of the deck's folder"), ("/etc/hostname", "leads out of the deck's folder"),
                           ("gone.inc", "there is no such file beside the deck"), ("d.cir", "is included by itself")):
        deck.write_text(f"R1 1 0 1\n.include {name}\n")
        with pytest.raises(ValueError, match=sentence):
            read_deck(deck)
    (tmp_path / "link.inc").symlink_to("/etc/hostname")
    deck.write_text(".include link.inc")
    with pytest.raises(ValueError, match="leads out of the deck's folder"):
        read_deck(deck)
    deck.write_bytes(b"R1 1 0 1\n\xff\n")
    with pytest.raises(ValueError, match=r"d\.cir is not a text in UTF-8: byte 9 is 0xff"):
        read_deck(deck)
    with pytest.raises(FileNotFoundError, match="there is no deck"):
        read_deck(tmp_path / "none.cir")


def test_endless_and_immense_decks_are_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"deck, line 2: X1: subcircuit S contains itself"):
        flatten(parse_deck(".subckt S a\nX1 a S\n.ends\nX1 1 S"))
    monkeypatch.setattr(circuits, "MOST", 1000)
    bomb = ".subckt S0 a\nR1 a 0 1\n.ends\n" + "".join(
        f".subckt S{k} a\n" + "".join(f"X{i} a S{k - 1}\n" for i in range(10)) + ".ends\n" for k in range(1, 12))
    with pytest.raises(ValueError, match=r"the circuit has more than 1000 elements"):
        flatten(parse_deck(bomb + "X1 1 S11"))
    chain = ".subckt S0 a\nR1 a 0 1\n.ends\n" + "".join(f".subckt S{k} a\nX1 a S{k - 1}\n.ends\n" for k in range(1, 50))
    with pytest.raises(ValueError, match=r"instances are nested deeper than 30"):
        flatten(parse_deck(chain + "X1 1 S49"))
    with pytest.raises(ValueError, match=r"deck holds no element"):
        flatten(parse_deck(".subckt S a\nR1 a 0 1\n.ends"))
    with pytest.raises(ValueError, match=r"parameter A\d+ rests on too many others"):
        parse_deck("".join(f".param a{k}=a{k + 1}\n" for k in range(2000)) + ".param a2000=1")
    with pytest.raises(ValueError, match=r"is defined inside more than 20 others"):
        parse_deck("".join(f".subckt S{k} a\n" for k in range(500)))
    monkeypatch.setattr(lines, "LARGEST", 100)
    with pytest.raises(ValueError, match=r"deck: a deck may hold"):
        parse_deck("R1 1 0 1\n" * 100)
