"""Small networks run with as many threads as are faster, and nothing but the time depends on it."""

import itertools

import numpy as np
import pytest

from snnsim.engine import Simulation, join_recordings
from snnsim.engine.pace import EVERY, TRIAL, Pace
from tests.test_simulation import distant, small


def stretches(pace, milliseconds_of, seconds):
    """The threads of each stretch of 1,000 steps, for so many seconds, when it takes milliseconds_of[threads]."""
    found = []
    while seconds > 0:
        found.append(pace.threads)
        took = 1e-3 * milliseconds_of(pace.threads)
        pace.took(1000, took)
        seconds -= took
    return found


@pytest.mark.parametrize("faster", [1, 4])
def test_takes_what_is_faster(faster):
    found = stretches(Pace(4, True), lambda threads: 1.0 if threads == faster else 1.2, EVERY)
    other = 5 - faster
    assert found.count(other) * 1.2e-3 < 3.0 * TRIAL and found[-200:] == [faster] * 200


def test_notices_when_another_number_becomes_faster():
    pace = Pace(2, True)
    assert stretches(pace, lambda threads: 1.0 if threads == 1 else 2.0, EVERY)[-1] == 1
    assert stretches(pace, lambda threads: 1.0 if threads == 2 else 2.0, 1.5 * EVERY)[-1] == 2


def test_notices_at_once_when_steps_begin_to_take_longer():
    pace = Pace(2, True)
    assert stretches(pace, lambda threads: float(threads), 0.1)[-1] == 1
    assert stretches(pace, lambda threads: 1.2 if threads == 2 else 3.0, 0.15)[-1] == 2  # long before EVERY


def test_one_slow_stretch_is_forgiven():
    """The first stretch finds cold caches, and others are interrupted."""
    times = iter([90.0, 1.5, 1.5, 40.0])
    assert stretches(Pace(2, True), lambda threads: next(times, float(2 - threads % 2)), 0.3)[-1] == 1


def test_large_networks_and_single_threads_try_nothing():
    assert set(stretches(Pace(2, False), lambda _: 1.0, 2.5 * EVERY)) == {2}
    assert set(stretches(Pace(1, True), lambda _: 1.0, 2.5 * EVERY)) == {1}


@pytest.mark.parametrize("network", [small(), distant(0.6)])
def test_spikes_are_the_same_when_threads_change_in_between(network, monkeypatch):
    traces = {"E": ("v", range(0, 400, 7)), "I": ("i", [100, 0])}
    wanted = Simulation(network, threads=1, traces=traces).run(60.0)
    turns, used = itertools.cycle([3, 1, 3, 3, 1, 1]), []

    def take_turns(pace):
        used.append(next(turns))
        return used[-1]

    monkeypatch.setattr(Pace, "threads", property(take_turns))
    simulation = Simulation(network, threads=3, traces=traces)
    found = join_recordings([simulation.run(ms) for ms in (0.1, 0.5, 3.3, 7.7, 0.2, 0.3, 20.0, 27.9)])
    assert found.digest() == wanted.digest() and len(used) == 8
    assert all(np.array_equal(found.traces[name].values, wanted.traces[name].values) for name in traces)
