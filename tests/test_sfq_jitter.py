"""Jitter against errors: none without it, more with more, and the margin of a net."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnsim.hardware import sfq
from snnsim.hardware.sfq import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.jitter import wilson
from snnsim.hardware.sfq.xor import CASES, xor, xor_pulses


def net() -> tuple[SFQNetwork, Any]:
    """Outputs that are alike in their weights, so that decisions are close."""
    rng = np.random.default_rng(0)
    first = np.array([rng.permutation([2, 2, 1, 1, 1, 1, 1, 0, 0, 0, -1, -1, -1, -1, -2, -2]) for _ in range(12)])
    second = np.array([rng.permutation([2, 2, 1, 1, 1, 0, 0, 0, -1, -1, -1, -1]) for _ in range(4)])
    network = SFQNetwork((SFQLayer("a", first, 2, 2), SFQLayer("b", second, 2, 2)))
    return network, (rng.random((15, 40, 16)) < rng.random((40, 16))).astype(np.uint8)


def test_more_jitter_makes_more_errors() -> None:
    """Bit errors fall nowhere by more than three of their standard deviations; losses explain them."""
    network, x = net()
    clean = sfq.run(network, x)
    rows = sfq.sweep(network, x, [0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0], labels=clean.prediction)
    assert (rows[0].wrong, rows[0].wrong_spikes, rows[0].lost, rows[0].late, rows[0].accuracy) == (0, 0, 0, 0, 1.0)
    assert rows[1].wrong_spikes == rows[1].lost == 0  # 15 standard deviations from the dead time
    for one, two in pairwise(rows):
        assert two.bit_error >= one.bit_error - 3.0 * np.sqrt(one.bit_error / one.spikes)
        assert two.wrong_low <= two.wrong_share <= two.wrong_high and two.wrong_high >= one.wrong_low
        assert two.accuracy == pytest.approx(1.0 - two.wrong_share)
        assert two.decisions == 3 * 40 and two.spikes == 3 * 15 * 40 * 16
    assert rows[-1].bit_error > rows[3].bit_error > 0.0 and rows[-1].lost > rows[3].lost > 0
    assert rows[-1].wrong > rows[2].wrong and rows[-1].late > 0


def test_the_row_is_what_the_runs_say() -> None:
    network, x = net()
    [row] = sfq.sweep(network, x, [1.5], seeds=2)
    clean, runs = sfq.run(network, x), [sfq.run(network, x, jitter=1.5, seed=s) for s in (0, 1)]
    assert row.wrong == sum(int((r.prediction != clean.prediction).sum()) for r in runs) and np.isnan(row.accuracy)
    assert row.wrong_spikes == sum(int((r.spikes[n] != clean.spikes[n]).sum()) for r in runs for n in ("a", "b"))
    assert row.lost == sum(r.losses for r in runs) and row.pulses > row.lost > 0
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0
    assert wilson(3, 10) == pytest.approx((0.1078, 0.6032), abs=1e-4)


@pytest.mark.parametrize("name", "ABC")
def test_the_margin_of_xor_is_where_errors_begin(name: str) -> None:
    x = np.repeat(xor_pulses(name, CASES)[:, None], 200, 1)
    found = sfq.margin(xor(name), x, resolution=0.05)
    below, above = sfq.sweep(xor(name), x, [0.8 * found, 1.5 * found + 0.3])
    assert 0.2 < found < 3.0 and below.wrong_spikes == 0 and above.wrong_spikes > 0


def normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_two_pulses_meet_as_often_as_their_times_say(sigma: float) -> None:
    """Two pulses 8 ps apart, each off by N(0, sigma), meet where they come within the dead time; then the soma misses one."""
    both = SFQNetwork([SFQLayer("a", [[1, 1]], 2, leak=0)])
    delays = sfq.Delays(10.0, 5.0, 10.0, 6.0)
    [row] = sfq.sweep(both, np.ones((20, 400, 2), np.uint8), [sigma], delays=delays, seeds=1,
                      schedule=sfq.slotted(both, delays=delays, settle=60.0))
    wide = sigma * math.sqrt(2.0)
    meet = normal((6.0 - 8.0) / wide) - normal((-6.0 - 8.0) / wide) if sigma else 0.0
    assert row.wrong_spikes == row.lost and row.late == 0 and row.spikes == 8000
    assert abs(row.bit_error - meet) <= 4.0 * math.sqrt(meet * (1 - meet) / row.spikes)
    assert row.bit_low <= row.bit_error <= row.bit_high and (sigma > 0 or row.bit_error == row.bit_low == 0.0)


def test_a_pulse_much_less_exact_than_its_tick_comes_by_chance() -> None:
    """It is late where its error is above the slack of 0.1 ps: a half of all, as sigma grows; none without jitter."""
    one = SFQNetwork([SFQLayer("a", [[1]], 1, leak=0)])
    schedule = sfq.Schedule([sfq.Phase("a", [0.0], 40.1)])
    rows = sfq.sweep(one, np.ones((1, 5000, 1), np.uint8), [0.0, 0.1, 4.9], schedule=schedule, seeds=1,
                     delays=sfq.Delays(40.0, 5.0, 4.0, 6.0))
    for row, late in zip(rows, (0.0, normal(-1.0), normal(-0.1 / 4.9)), strict=True):
        assert row.wrong_spikes == row.late and abs(row.bit_error - late) <= 4.0 * math.sqrt(0.25 / 5000) * (late > 0)


@pytest.mark.parametrize(("options", "sentence"), [
    ({"seeds": 0}, "seeds must be a positive whole number, got 0"),
    ({"labels": [1, 2]}, r"labels must be one for each of the 40 samples, got the shape \(2,\)")])
def test_what_is_refused(options: Any, sentence: str) -> None:
    network, x = net()
    with pytest.raises(ValueError, match=sentence):
        sfq.sweep(network, x, [1.0], **options)
