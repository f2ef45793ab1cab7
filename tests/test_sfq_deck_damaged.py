"""Decks that are damaged at random: a circuit, or a ValueError that names the line; never more, and never for long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim.hardware.sfq.junctions import flatten, parse_deck, simulate

DECK = """* cell
.model jmit jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)
.param ib=350u bias={2*ib-100u*sqrt(4)}
.subckt JTL a q
L1 a 1 2p
B1 1 0 jmit area=2.5
RB1 1 0 2.744
L2 1 q 2p
IB1 0 1 pwl(0 0 5p ib)
.ends
VA 1 0 pwl(0 0 50p 0 52.5p 827.1335u 55.0p 0)
X1 1 2 JTL
X2 JTL 2 3
C1 3 0 0.1p
L5 3 4 5p
L6 5 0 6p
K1 L5 L6 -0.4
R1 4 0 2
R2 5 0 {1+1}
I3 0 3 sin(0 1u 20g 1p 1g)
.tran 0.1p 3p 0 0.1p
.print p(B1.X1) v(4) i(R1) devi L5
.end
"""
PIECES = ["", " ", "\n", "+", "-", "0", "9", "(", ")", "{", "}", "=", ",", "e", "E999", "p", "*", "/", "^", "'", ".", "|", "\t",
          "X1", "JTL", ".ends\n", ".subckt S a\n", ".end\n", ".include a\n", "B1", "nan", "1e-300", "\x00", "é", "∞", "GND",
          "K9 L5 L6 0.999\n"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(DECK) - 1), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4))
def test_any_damage_is_read_or_refused(changes):
    read_or_refused(damaged(changes))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(DECK) - 1), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=6))
def test_much_more_damage_is_read_or_refused(changes):
    read_or_refused(damaged(changes))


def damaged(changes):
    text = DECK
    for at, length, piece in changes:
        text = text[:at] + piece + text[at + length:]
    return text


def read_or_refused(text):
    """Does it simulate, for 100 steps? What it gives is finite, and what refuses it begins with the deck."""
    try:
        found = simulate(flatten(parse_deck(text)), step=1e-13, stop=1e-11, print_step=1e-13)
    except ValueError as e:
        said = str(e)
    else:
        assert np.isfinite(found.values).all()
        return True
    assert said.startswith("deck") and len(said) > 10
    return False


def test_damage_is_refused_about_as_often_as_it_is_read():
    """A reader that took everything, or nothing, would pass the tests above."""
    rng = np.random.default_rng(0)
    texts = [damaged([(int(rng.integers(len(DECK))), int(rng.integers(3)), str(rng.choice(PIECES)))]) for _ in range(60)]
    refused = sum(not read_or_refused(t) for t in texts)
    assert 20 < refused < 55 and read_or_refused(DECK)
