"""Recordings whose steps are in another order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import EventDataset, Recording, Sensor, make_events, shuffle_steps

SENSOR = Sensor(1, 5, 1)


def recordings(seed, lengths):
    rng = np.random.default_rng(seed)
    made = []
    for i, n in enumerate(lengths):
        t = np.sort(rng.integers(0, 50_000, n))
        made.append(Recording(make_events(t, rng.integers(0, 5, n), np.zeros(n), np.zeros(n)), i % 2, SENSOR))
    return EventDataset.of(made, ["a", "b"])


def in_steps(events, us):
    """What is in each step, without the step's number."""
    step = events["t"] // us
    return sorted([(int(e["t"] % us), int(e["x"])) for e in events[step == k]] for k in np.unique(step))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.lists(st.integers(0, 60), min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 7.0]))
def test_steps_change_places_and_nothing_else_changes(seed, lengths, dt):
    before = recordings(seed, lengths)
    after = shuffle_steps(before, dt, seed)
    us = round(1000 * dt)
    for old, new in zip(before, after, strict=True):
        assert new.label == old.label and len(new) == len(old)
        assert in_steps(old.events, us) == in_steps(new.events, us)
        if len(old):
            assert new.events["t"].max() // us <= old.events["t"].max() // us


def test_the_order_is_lost_and_can_be_found_again():
    before = recordings(1, [200, 200])
    after, again, other = (shuffle_steps(before, 1.0, seed) for seed in (3, 3, 4))
    assert not np.array_equal(before[0].events, after[0].events) and np.array_equal(after[1].events, again[1].events)
    assert not np.array_equal(after[1].events, other[1].events)
    assert np.array_equal(after[1:][0].events, after[1].events)  # a part of the set has the same orders
    with pytest.raises(ValueError, match="dt must be whole microseconds, got 0.0005 ms"):
        shuffle_steps(before, 0.0005)
