"""A pulse turns the voltage of the cell `sfqdc` on, the next one off: in our solver, and as ngspice has it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import sfq_cells
from snnsim.hardware.sfq.junctions import Circuit, flatten, parse_deck, simulate
from snnsim.hardware.sfq.library import PHI0, load, subckt

LIBRARY = load()
CELL = LIBRARY["sfqdc"]
OHM, ON = CELL.check["load"], CELL.check["mV"]
EVEN, UNEVEN = tuple(CELL.check["in"]["a"]), (60.0, 137.0, 233.0, 306.0)  # ps
SETTLED = sfq_cells.WITHIN


def circuit(times: Sequence[float], ohm: float = OHM, bias: float = 1.0) -> Circuit:
    lines = [LIBRARY.process.model, subckt(LIBRARY["jtl"], LIBRARY.process), subckt(CELL, LIBRARY.process),
             f"VA in 0 {sfq_cells._triangles(times)}", "XIN in at JTL", "XCELL at q SFQDC", f"RQ q 0 {ohm:g}",
             f".tran 0.1p {times[-1] + sfq_cells.GAP:g}p", ".print v(q)", ".end"]
    found = flatten(parse_deck("\n".join(lines)))
    return found.scaled({e.name: bias for e in found.of("I")})


def means(found: Circuit, times: Sequence[float], pieces: int = 1, kelvin: float = 0.0) -> np.ndarray:
    """Of v(q), mV, [1 + pulses, pieces]: before the first pulse and after each, from SETTLED ps on until the next."""
    w = simulate(found, temperature=kelvin)
    ps, mv = 1e12 * w.time, 1e3 * w["v(q)"]
    edges = [np.linspace(low + SETTLED, high, pieces + 1)
             for low, high in pairwise([0.0, *times, times[-1] + sfq_cells.GAP])]
    return np.array([[mv[(ps > a) & (ps <= b)].mean() for a, b in pairwise(e)] for e in edges])


def toggles(found: np.ndarray) -> bool:
    return bool(np.all(np.abs(found[::2]) < sfq_cells.OFF) and np.all(found[1::2] > sfq_cells.ON))


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
def test_four_pulses_turn_the_voltage_on_and_off(times: tuple[float, ...]) -> None:
    found = means(circuit(times), times, pieces=2)
    assert toggles(found) and found[1::2].max() < 0.4
    shortest = min(b - a for a, b in pairwise([*times, times[-1] + sfq_cells.GAP])) - SETTLED
    assert np.all(np.abs(found[1::2] - ON) < PHI0 / (shortest / 2))  # steady, but for one quantum more or less
    assert means(circuit(times), times)[1::2] == pytest.approx(ON, abs=0.02)


@pytest.mark.parametrize("ohm", [5.0, 50.0])
def test_other_loads(ohm: float) -> None:
    assert toggles(means(circuit(UNEVEN, ohm), UNEVEN))


def test_it_toggles_at_4_kelvin() -> None:
    assert toggles(means(circuit(EVEN), EVEN, kelvin=4.2))


def test_the_bias_margin_is_that_of_the_file() -> None:
    assert CELL.bias_margin is not None
    low, high = CELL.bias_margin
    for bias, right in ((low - 0.04, False), (low + 0.01, True), (high - 0.01, True), (high + 0.03, False)):
        assert toggles(means(circuit(EVEN, bias=bias), EVEN)) is right, bias


def test_without_its_coupling_nothing_reaches_the_load() -> None:
    found = circuit(EVEN)
    apart = found.scaled(dict.fromkeys((k.name for k in found.of("K")), 0.01))
    assert np.all(np.abs(means(apart, EVEN)) < sfq_cells.OFF)


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed (apt install ngspice)")
def test_ngspice_has_the_same_voltages() -> None:
    for times in (EVEN, UNEVEN):
        arrived, found = sfq_cells.voltages(LIBRARY, CELL, {"a": times})
        assert arrived == len(times)
        assert means(circuit(times), times)[:, 0] == pytest.approx(found, abs=0.005)
