"""Small networks run with as many threads as are faster, and nothing but the time depends on it."""

import itertools

import numpy as np
import pytest

from snnsim.engine import Simulation
from snnsim.engine.pace import EVERY, MOST_NEURONS, TRIAL, Pace
from tests.test_simulation import distant, small


def stretches(pace, seconds_of, steps):
    """(threads, steps) of each stretch when a step takes seconds_of[threads]."""
    found = []
    while steps > 0:
        threads, n = pace.next(min(steps, 2000))
        pace.took(threads, n, n * seconds_of(threads))
        found.append((threads, n))
        steps -= n
    return found


@pytest.mark.parametrize("faster", [1, 4])
def test_takes_what_is_faster(faster):
    found = stretches(Pace(4, 1000), lambda threads: 1.0 if threads == faster else 1.2, EVERY)
    assert found[:4] == [(4, TRIAL), (1, TRIAL)] * 2
    assert all(stretch[0] == faster for stretch in found[4:]) and sum(n for _, n in found) == EVERY


def test_notices_when_another_number_becomes_faster():
    now = itertools.count()
    pace = Pace(2, 1000)
    found = stretches(pace, lambda threads: 1.0 if (threads == 1) == (next(now) < 20) else 2.0, 3 * EVERY)
    assert found[4][0] == 1 and found[-1][0] == 2


def test_one_slow_stretch_at_the_start_is_forgiven():
    """The first stretch finds cold caches."""
    times = iter([9.0, 1.5, 1.0, 1.5])
    found = stretches(Pace(2, 10), lambda _: next(times, 1.0), 5000)
    assert found[-1][0] == 2


def test_large_networks_and_single_threads_try_nothing():
    assert Pace(2, MOST_NEURONS + 1).next(12_345) == (2, 12_345)
    assert Pace(1, 10).next(12_345) == (1, 12_345)


@pytest.mark.parametrize("network", [small(), distant(0.6)])
def test_spikes_are_the_same_when_threads_change_in_between(network, monkeypatch):
    traces = {"E": ("v", range(0, 400, 7)), "I": ("i", [100, 0])}
    wanted = Simulation(network, threads=1, traces=traces).run(60.0)
    turns = itertools.cycle([(3, 1), (1, 5), (3, 33), (1, 1), (1, 17), (3, 2)])
    used = []

    def take_turns(pace, steps):
        threads, most = next(turns)
        used.append(threads)
        return threads, min(most, steps)

    monkeypatch.setattr(Pace, "next", take_turns)
    found = Simulation(network, threads=3, traces=traces).run(60.0)
    assert found.digest() == wanted.digest() and set(used) == {1, 3}
    assert all(np.array_equal(found.traces[name].values, wanted.traces[name].values) for name in traces)
