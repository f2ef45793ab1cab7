"""Pulses with their times: slots, the executor against a plain simulation of every merger, collisions, lateness and jitter."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import make_events
from snnsim.hardware import sfq
from snnsim.hardware.sfq import Delays, Phase, Schedule, SFQLayer, SFQNetwork, asynchronous, slotted
from snnsim.hardware.sfq.library import Library, load
from snnsim.hardware.sfq.pulse_kernels import _normal
from snnsim.hardware.sfq.pulses import ZIGGURAT
from snnsim.hardware.sfq.schedule import depths, paths
from snnsim.hardware.sfq.xor import CASES, NETS, xor, xor_pulses
from snnsim.network import TimeBase
from tests.sfq_nets import random_net, simulated, stepped

SETTINGS = settings(max_examples=60, deadline=None)
DEAD = Delays().dead
EXACT = Delays(4.0, 5.25, 3.75, 5.0)  # sums of these are exact


def given_of(network: SFQNetwork, rng: Any, steps: int) -> Any:
    return rng.integers(0, network.burst + 1, (steps, network.inputs))


@SETTINGS
@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([DEAD, 8, 11.5]))
def test_slots_lose_nothing_and_give_the_whole_numbers(seed: int, balanced: bool, spacing: float) -> None:
    """In any order of the sources, with trees of any shape."""
    rng = np.random.default_rng(seed)
    network, delays = random_net(rng, 9), Delays(balanced=balanced)
    order = [rng.permutation(layer.weight.shape[1]) for layer in network.layers]
    x = given_of(network, rng, 7)
    for schedule in (slotted(network, spacing=spacing, delays=delays),
                     slotted(network, spacing=spacing, delays=delays, order=order, settle=100.0)):
        found = sfq.run(network, x, schedule=schedule, delays=delays, threads=1)
        assert found.losses == 0 and not any(n.any() for n in found.late.values())
        for name, spikes in stepped(network, x).items():
            np.testing.assert_array_equal(found.spikes[name][:, 0], spikes)
        np.testing.assert_array_equal(found.counts[0], stepped(network, x)[network.layers[-1].name].sum(0))


@SETTINGS
@given(st.integers(0, 2**31), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.0, 1.0, 6.0]))
def test_what_is_lost_is_what_mergers_lose(seed: int, balanced: bool, slots: bool, jitter: float) -> None:
    rng = np.random.default_rng(seed)
    network, delays = random_net(rng, 6), replace(EXACT, balanced=balanced)
    if rng.random() < 0.3:  # start times of a user's own
        plan = asynchronous(network, delays=delays)
        schedule = Schedule([Phase(p.layer, 2.0 * rng.integers(0, 5, np.size(p.start)), p.tick + 10.0) for p in plan.phases])
    else:
        schedule = (slotted if slots else asynchronous)(network, delays=delays)
    x = given_of(network, rng, 5)
    jitter = min(jitter, schedule.period / 9)
    expected = simulated(network, x, schedule, delays, jitter, 7)
    found = sfq.run(network, x, schedule=schedule, delays=delays, jitter=jitter, seed=7, threads=1)
    for name in expected.spikes:
        np.testing.assert_array_equal(found.lost[name][0], expected.lost[name])
        np.testing.assert_array_equal(found.late[name][0], expected.late[name])
        np.testing.assert_array_equal(found.first[name][0], expected.first[name])
        np.testing.assert_array_equal(found.spikes[name][:, 0], expected.spikes[name])


def test_there_are_losses_and_late_pulses_to_compare() -> None:
    rng = np.random.default_rng(0)
    network = SFQNetwork((SFQLayer("a", rng.integers(-2, 3, (8, 12)), 3), SFQLayer("b", rng.integers(-2, 3, (4, 8)), 2)))
    x = given_of(network, rng, 20)
    at_once, shaken = sfq.run(network, x, schedule=asynchronous(network)), sfq.run(network, x, jitter=6.0)
    assert all(n.sum() > 0 for n in at_once.lost.values()) and all(n.sum() > 0 for n in shaken.lost.values())
    assert sum(int(n.sum()) for n in shaken.late.values()) > 0
    assert "lost" in repr(at_once) and at_once.latency < shaken.latency


def test_pulses_are_counted_where_they_go() -> None:
    network = SFQNetwork((SFQLayer("a", [[2, -1, 0], [0, 0, 3]], [1, 9]),), burst=3)
    found = sfq.run(network, np.array([[1, 2, 3], [0, 0, 4]]))
    np.testing.assert_array_equal(found.pulses["a"], [[2 + 2, 9 + 9]])
    np.testing.assert_array_equal(found.given, [[1, 2, 6]])
    np.testing.assert_array_equal(found.spikes["a"][:, 0], [[0, 1], [0, 1]])
    assert found.cut == 1 and found.prediction == 1 and found.counts.tolist() == [[0, 2]]


@pytest.mark.parametrize("name", NETS)
def test_xor_pulse_by_pulse_in_every_order(name: str) -> None:
    """In every order of the slots of both layers and of the windows; and with every start of the sources that leaves them the
    dead time apart, within a window of 40 ps."""
    network = xor(name)
    for layers in itertools.product(*(itertools.permutations(range(layer.weight.shape[1])) for layer in network.layers)):
        schedule = slotted(network, order=layers)
        for windows in list(itertools.permutations(CASES))[::1 if name != "C" else 5]:
            x = np.array(windows)
            found = sfq.run(network, xor_pulses(name, x), schedule=schedule, threads=1)
            np.testing.assert_array_equal(found.spikes["y"][:, 0, 0], x[:, 0] ^ x[:, 1])
            assert found.losses == 0
    rng, cases = np.random.default_rng(0), np.array(CASES)
    for _ in range(50):
        phases = []
        for p in slotted(network).phases:
            n = np.size(p.start)
            start = rng.permutation(np.sort(rng.uniform(0.0, 40.0 - 13.0 * (n - 1), n)) + 13.0 * np.arange(n))
            phases.append(Phase(p.layer, start, 80.0))
        found = sfq.run(network, xor_pulses(name, cases), schedule=Schedule(phases), threads=1)
        np.testing.assert_array_equal(found.spikes["y"][:, 0, 0], cases[:, 0] ^ cases[:, 1])


def test_xor_loses_its_decision_where_pulses_meet() -> None:
    delays = Delays(4.0, 5.3, 3.8, 5.0)
    found = sfq.run(xor("A"), xor_pulses("A", CASES), schedule=asynchronous(xor("A"), delays=delays), delays=delays)
    np.testing.assert_array_equal(found.spikes["y"].ravel(), [0, 1, 1, 1])
    assert found.lost["hidden"].tolist() == [[1, 1]] and found.lost["y"].tolist() == [[0]]
    assert found.first["hidden"][0, 0] == 3 * 21.1 + 13.1 and np.isnan(found.first["y"][0, 0])


def test_the_numbers_of_a_schedule() -> None:
    network = SFQNetwork((SFQLayer("a", [[3, 0, 1], [-1, 0, 1]]), SFQLayer("b", [[1, -2]])), burst=2)
    delays = Delays(4.0, 5.0, 3.0, 5.0)
    schedule = slotted(network, delays=delays)
    np.testing.assert_array_equal(schedule.phases[0].start, [0, 48, 56])
    np.testing.assert_array_equal(schedule.phases[1].start, [0, 8])
    assert [p.tick for p in schedule.phases] == [72 + 4 + 5 + 3] * 2  # the second needs 24 + 4, and waits for the first
    assert (schedule.period, schedule.latency, schedule.frequency) == (84.0, 168.0, 1e3 / 84.0)
    assert repr(schedule) == "Schedule(2 layers, spacing 8 ps, period 84 ps, 11.9 GHz, latency 168 ps)"
    np.testing.assert_array_equal(slotted(network, delays=delays, order=[[2, 0, 1], None]).phases[0].start, [16, 64, 0])
    assert [p.tick for p in asynchronous(network, delays=delays).phases] == [48 + 12] * 2
    early = Schedule((replace(schedule.phases[0], start=[0, 1, 2], tick=7.0), schedule.phases[1]))
    with pytest.raises(ValueError, match="layer 'a' decides at 7 ps, while layer 'b' still reads .* until 8 ps"):
        early.check(network, delays)
    found = sfq.run(network, np.zeros((3, 3), int), schedule=schedule, delays=delays)
    assert (found.latency, found.duration) == (168.0, 168.0 + 2 * 84.0)


def test_delays_are_those_of_the_cells() -> None:
    """The files are read here without the library."""
    cells = {}
    for name in ("jtl", "splitter", "merger", "counter"):
        cells[name] = tomllib.loads((Path(sfq.__file__).parent / "cells" / f"{name}.toml").read_text())
    apart = [*cells["merger"]["separation"].values(), *cells["counter"]["separation"].values()]
    assert Delays() == Delays(cells["jtl"]["delay"]["a->q"], cells["splitter"]["delay"]["a->q0"],
                              cells["merger"]["delay"]["a->q"], max(apart))
    ours = load()
    slow = replace(ours["merger"], delay={"a->q": 9.0, "b->q": 9.5}, separation={"a": 7.0, "a,b": 7.5})
    assert Delays.of(Library({**ours.cells, "merger": slow}, ours.process), balanced=False) == Delays(
        merger=9.5, dead=7.5, balanced=False)
    blank = {name: replace(ours[name], separation={}) for name in ("merger", "counter")}
    with pytest.raises(ValueError, match="cells merger and counter have no separation"):
        Delays.of(Library({**ours.cells, **blank}, ours.process))


def test_trees_that_are_not_padded() -> None:
    assert [depths(n).tolist() for n in (0, 1, 2, 3, 5)] == [[], [0], [1, 1], [2, 2, 1], [3, 3, 3, 3, 1]]
    layer = SFQLayer("a", [[1, 1, 1], [-1, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(paths(layer, Delays(1.0, 10.0, 100.0, balanced=False)),
                                  [[211, 201, 121 + 100 - 100], [11, 0, 21], [0, 0, 11]])
    np.testing.assert_array_equal(paths(layer, Delays(1.0, 10.0, 100.0)), [[221, 221, 221], [221, 0, 221], [0, 0, 221]])


def test_many_pulses_at_once_are_sorted_as_a_simulation_takes_them() -> None:
    """So many that the sort by insertion gives up."""
    rng = np.random.default_rng(5)
    network = SFQNetwork((SFQLayer("a", rng.integers(-9, 10, (3, 40)), 5, bits=9),), burst=2)
    x, schedule = given_of(network, rng, 3), asynchronous(network, delays=EXACT)
    expected, found = simulated(network, x, schedule, EXACT, 2.0, 3), sfq.run(network, x, schedule=schedule, delays=EXACT,
                                                                            jitter=2.0, seed=3)
    assert expected.lost["a"].min() > 500
    for name in ("lost", "late", "first"):
        np.testing.assert_array_equal(getattr(found, name)["a"][0], getattr(expected, name)["a"])
    np.testing.assert_array_equal(found.spikes["a"][:, 0], expected.spikes["a"])


def test_the_noise_is_gaussian() -> None:
    """Moments and tails within five standard deviations of what 200,000 draws give."""
    with np.errstate(over="ignore"):
        z = np.sort([_normal(np.uint64(i) * np.uint64(0xD1342543DE82EF95), *ZIGGURAT) for i in range(200_000)])
    n = len(z)
    assert abs(z.mean()) < 5 / n**0.5 and abs(z.var() - 1.0) < 5 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3.0) < 5 * (96 / n) ** 0.5
    for at, share in ((-3.7, 1.078e-4), (-2.0, 0.0227501), (1.0, 0.8413447), (3.0, 0.9986501), (3.7, 0.9998922)):
        assert abs(np.searchsorted(z, at) / n - share) < 5 * (share * (1 - share) / n) ** 0.5


def test_jitter_is_a_function_of_its_seed() -> None:
    rng = np.random.default_rng(1)
    network = SFQNetwork((SFQLayer("a", rng.integers(-2, 3, (8, 12)), 3),))
    x = rng.integers(0, 2, (20, 6, 12))
    runs = [sfq.run(network, x, jitter=3.0, seed=s, threads=n) for s, n in ((1, 1), (1, 4), (2, 1))]
    for name in ("spikes", "lost", "late", "first"):
        np.testing.assert_array_equal(getattr(runs[0], name)["a"], getattr(runs[1], name)["a"])
    assert np.any(runs[0].lost["a"] != runs[2].lost["a"]) and len(set(runs[0].lost["a"].sum(1).tolist())) > 1


def test_events_become_pulses_as_the_network_says() -> None:
    network = SFQNetwork((SFQLayer("a", np.eye(8, dtype=int)),), TimeBase(1.0, 3), 2, shape=(2, 2, 2))
    events = make_events([0, 1, 2, 1500, 9999], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1])
    found = sfq.run(network, events)
    assert found.given.tolist() == [[0, 2, 0, 0, 0, 0, 1, 0]] and found.cut == 1
    assert sfq.run(network, [events, events]).prediction.tolist() == [1, 1]


NET = SFQNetwork((SFQLayer("a", [[1, 2]]),))


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: slotted(NET, spacing=4.0, delays=EXACT), "spacing is 4 ps, but a merger loses what comes sooner than 5 ps after "
                                                      "another pulse: spacing must be at least 5"),
    (lambda: slotted(NET, spacing=5.0, settle=1.0, delays=EXACT),
     r"layer 'a': its last pulse arrives at 17\.75 ps, its tick is at 16 ps: settle must be more than 1\.75 ps longer"),
    (lambda: slotted(NET, settle=-1.0), "settle must be"),
    (lambda: slotted(NET, order=[[0, 0]]), r"order of layer 'a' must be each of its sources 0 \.\. 1 once, got \[0, 0\]"),
    (lambda: slotted(NET, order=[]), "order must be one order, or None, for each of the 1 layers, got 0"),
    (lambda: Delays(dead=-1.0), "dead must be"),
    (lambda: Delays(driver=np.nan), "driver must be finite"),
    (lambda: Phase("a", [0.0, 9.0], 9.0), "tick of layer 'a' must be"),
    (lambda: Phase("a", [[0.0]], 9.0), "start of layer 'a' must be one time for each of its sources"),
    (lambda: Schedule(()), "a schedule needs at least one phase"),
    (lambda: Schedule([Phase("a", [0.0], 9.0)], 0.0), "spacing must be"),
    (lambda: Schedule([Phase("a", [0.0], 9.0)], hold=-1.0), "hold must be"),
    (lambda: sfq.run(NET, [[0, 1]], schedule=slotted(xor("A"))),
     r"the schedule is of layers \[\('hidden', 2\), \('y', 2\)\], the network has \[\('a', 2\)\]"),
    (lambda: sfq.run(NET, np.array([[0, 1]]), jitter=-1.0), "jitter must be"),
    (lambda: sfq.run(NET, np.array([[0, 1]]), jitter=5.0), r"jitter must be below 3\.\d+ ps, so that no pulse is late by a "
                                                           "whole period of"),
    (lambda: sfq.run(NET, np.array([[0, 1]]), seed=-1), r"seed must be a whole number in 0 \.\. 2\*\*31 - 1, got -1"),
    (lambda: sfq.run(NET, np.array([[0.5, 1]])), r"events of an SFQ network must be whole counts, got 0\.5"),
    (lambda: sfq.run(NET, np.zeros((2, 3))), r"events has shape \(2, 3\), must be"),
])
def test_what_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
