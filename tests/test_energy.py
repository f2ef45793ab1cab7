"""Energy and time: counted by hand on a small net, and never less where more fires or time is longer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.hardware import energy, integer
from snnsim.hardware.energy import Activity
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.mapping import LoihiLimits, place
from snnsim.maps import Conv2d, Dense
from tests.test_integer import by_delay, random_integers

Array = np.ndarray[Any, Any]


def small() -> IntegerNetwork:
    """3x3 pixels, two channels of 2x2, three outputs."""
    return IntegerNetwork((IntegerPopulation("in", (1, 3, 3), None), IntegerPopulation("c", (2, 2, 2), "soft"),
                           IntegerPopulation("out", (3,), "none")),
                          (IntegerProjection("in", "c", Conv2d(np.full((2, 1, 2, 2), 2.0))),
                           IntegerProjection("c", "out", Dense(np.full((3, 8), 6.0)))), latency=2, readout="membrane")


def active() -> Activity:
    """In 7 steps the middle pixel fires once, which 8 synapses feel, and a corner, which 2 do; two neurons fire 3 + 1 times."""
    given, fired = np.zeros((1, 3, 3)), np.zeros((2, 2, 2))
    given[0, 1, 1] = given[0, 0, 0] = 1
    fired[0, 0, 0], fired[1, 0, 1] = 3, 1
    return Activity(7, {"in": given, "c": fired})


def test_card15_operations_are_those_counted_by_hand() -> None:
    report = energy.of_activity(small(), active())
    assert report.events == (("in->c", 10.0), ("c->out", 12.0)) and report.macs == 32 + 24
    assert report.rates == {"in": 2 / 63, "c": 4 / 56}
    ann, bits, snn = (report[n].terms for n in ("ANN, 45 nm", "ANN of 8 bits, 45 nm", "SNN, 45 nm"))
    once, each = 8 + 24 + 9 + 2 * 11, 2 * 56 + 11
    assert ann == {"compute": pytest.approx((56 * 4.6,) * 2), "memory": pytest.approx((once * 3.12, each * 3.12))}
    ones = (8 * 1 + 24 * 2) / (32 * 8)  # 2 and 6 in binary
    assert bits == {"compute": pytest.approx((56 * 8 * ones * 0.9,) * 2),
                    "memory": pytest.approx((once * 3.12 / 4, each * 3.12 / 4))}
    assert snn == {"compute": pytest.approx((22 * 0.9,) * 2),
                   "states": pytest.approx((7 * 2 * 11 * 0.75 * 3.12, 7 * 2 * 11 * 3.12)),
                   "weights": pytest.approx((22 * 3.12 / 4, 22 * 3.12)), "sums": pytest.approx((0.0, 44 * 3.12))}
    assert report["SNN, 45 nm"].total == pytest.approx([sum(t[i] for t in snn.values()) for i in (0, 1)])


def test_loihi_is_counted_by_hand() -> None:
    report = energy.of_activity(small(), active())
    assert report["Loihi 1"].terms == {
        "synapses": pytest.approx((10 * 24.0 + 12 * 33.6, 22 * 35.5)), "spikes": pytest.approx((4 * 69.3,) * 2),
        "neurons": pytest.approx((77 * 51.2, 77 * 72.8)), "messages": pytest.approx((4 * 111.0, 6 * 111.0)),
        "hops": pytest.approx((0.0, 6 * 42.0))}
    stages = {"synapses": 22 * 3.1, "arrive": 6 * 16.0, "leave": 4 * 5.1, "neurons": 77 * 6.0 + 4 * 30.0}
    most = 22 * 4.7 + stages["arrive"] + stages["leave"] + stages["neurons"] + 77 * 3.7 + 6 * (65.0 + 5.1)
    assert report.latency == pytest.approx(((7 * 600 + max(stages.values())) / 1e6, (7 * 1800 + most) / 1e6))
    spread = energy.of_activity(small(), active(), place(small(), LoihiLimits(neurons_per_core=2), share=False))
    # the middle pixel goes to 4 cores, the corner to 2; each neuron of c to 2
    assert spread["Loihi 1"].terms["messages"] == pytest.approx((8 * 111.0, (8 + 6) * 111.0))
    assert spread["Loihi 1"].terms["synapses"] == report["Loihi 1"].terms["synapses"]


def test_the_report_says_what_it_rests_on() -> None:
    report = energy.of_activity(small(), active())
    said = str(report)
    for words in ("compute alone breaks even at 5.11", "one pass of 32-bit floats", "no leakage", "from registers to"):
        assert words in said, words
    assert all(e.assumptions and e.total.low <= e.total.high for e in report.estimates)
    assert report.to_dict()["estimates"]["Loihi 1"]["total"] == report["Loihi 1"].total
    with pytest.raises(ValueError, match="there is no estimate 'TPU'"):
        report["TPU"]


@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_events_are_those_of_the_run(seed: int) -> None:
    net, counts = random_integers(seed)
    result, report = integer.run(net, counts), energy.estimate(net, counts)
    fired = {"in": counts.sum((0, 1)) / 3, **{n: s.sum((0, 1)) / 3 for n, s in result.spikes.items()}}
    for (name, events), q in zip(report.events, net.projections, strict=True):
        dense = sum((w != 0).astype(int) for w in by_delay(q, net.population(q.source).shape).values())
        assert name == q.name and events == pytest.approx(dense.sum(0) @ fired[q.source].ravel())
    for name, each in result.counts.items():
        if name != "in":
            np.testing.assert_array_equal(each, result.spikes[name].sum(0, np.int64))
    np.testing.assert_array_equal(result.counts["in"], counts.sum(0))
    assert report.steps == len(counts) + net.latency == result.steps


@given(st.integers(0, 2**31), st.sampled_from(["in", "conv", "hidden"]), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_card15_energy_is_monotone_in_rate_and_steps(seed: int, louder: str, longer: int) -> None:
    net, _ = random_integers(seed)
    rng = np.random.default_rng(seed)
    counts = {p.name: rng.poisson(2.0, p.shape).astype(float) for p in net.populations}
    mapping = place(net, LoihiLimits(neurons_per_core=int(rng.integers(1, 40))))
    less = energy.of_activity(net, Activity(25, counts), mapping)
    louder_counts = {**counts, louder: counts[louder] + rng.poisson(1.0, counts[louder].shape)}
    more = energy.of_activity(net, Activity(25 + longer, louder_counts), mapping)
    for name in ("SNN, 45 nm", "Loihi 1"):
        for term, before in less[name].terms.items():
            after = more[name].terms[term]
            assert before.low <= after.low and before.high <= after.high and before.low <= before.high
    assert less.latency.low <= more.latency.low and less.latency.high <= more.latency.high
    assert less.latency.low <= less.latency.high
    for name in ("ANN, 45 nm", "ANN of 8 bits, 45 nm"):
        if name in [e.name for e in less.estimates]:
            assert less[name].total == more[name].total
