"""From events to steps: the sparse batch against a loop of five lines, and no event lost uncounted."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import EVENT, EventBatch, Sensor, bin_events, make_events
from snnsim.datasets.binning import MOST_ROWS, step_length

SETTINGS = settings(deadline=None)  # the first example compiles the kernels
SENSOR = Sensor(3, 5)
ONE = make_events([0, 999, 1000, 2500], [4, 4, 0, 2], [2, 2, 0, 1], [1, 1, 0, 1])


def naive(recordings, sensor, dt, steps, clip, t0):
    """The definition: step = floor((t - t0) / dt), in exact fractions of the decimal that dt is written as."""
    out, dropped = np.zeros((steps, len(recordings), *sensor.shape)), 0
    for b, events in enumerate(recordings):
        for e in events:
            start = int(events[0]["t"]) if t0 == "first" else 0
            step = (int(e["t"]) - start) // (Fraction(str(dt)) * 1000)
            if step < steps:
                out[step, b, e["p"], e["y"], e["x"]] += 1
            else:
                dropped += 1
    return np.minimum(out, 1) if clip else out, dropped


@st.composite
def recordings(draw, latest=5000):
    """A few recordings, some of them empty, with many events on the same pixel in the same microsecond."""
    every = []
    for _ in range(draw(st.integers(1, 4))):
        rng, n = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.integers(0, 40))
        start, end = sorted(draw(st.tuples(st.integers(0, latest), st.integers(0, latest))))
        every.append(make_events(np.sort(rng.integers(start, end + 1, n)), rng.integers(0, SENSOR.width, n),
                                 rng.integers(0, SENSOR.height, n), rng.integers(0, 2, n)))
    return every


@SETTINGS
@given(recordings(), st.sampled_from([0.5, 0.57, 1.0, 0.001, 2.3, 7, 10.0]), st.integers(1, 12), st.booleans(),
       st.sampled_from(["zero", "first"]))
def test_bins_equal_the_definition(every, dt, steps, clip, t0):
    batch = bin_events(every, SENSOR, dt, steps=steps, clip=clip, t0=t0)
    dense, dropped = naive(every, SENSOR, dt, steps, clip, t0)
    np.testing.assert_array_equal(batch.dense(), dense)
    assert (batch.dropped, batch.dense().dtype) == (dropped, np.float32)


@SETTINGS
@given(recordings(100_000), st.floats(1.0, 100.0))
def test_a_step_that_is_no_whole_number_of_microseconds(every, dt):
    batch = bin_events(every, SENSOR, dt)
    steps = [int(int(e["t"]) // step_length(dt)) for events in every for e in events]
    assert batch.shape[0] == max(steps, default=0) + 1
    sums = batch.dense().sum((1, 2, 3, 4))
    np.testing.assert_array_equal(sums, np.bincount(steps, minlength=batch.shape[0]))


@SETTINGS
@given(recordings(), st.floats(0.01, 20.0), st.none() | st.integers(1, 30), st.sampled_from(["zero", "first"]))
def test_no_event_is_lost_uncounted(every, dt, steps, t0):
    batch = bin_events(every, SENSOR, dt, steps=steps, t0=t0)
    assert batch.values.sum(dtype=np.float64) + batch.dropped == sum(map(len, every))
    if steps is None:
        assert batch.dropped == 0


@SETTINGS
@given(recordings(), st.sampled_from([0.5, 1.0, 3.0]), st.booleans())
def test_a_batch_survives_its_dense_form(every, dt, clip):
    batch = bin_events(every, SENSOR, dt, clip=clip)
    again = EventBatch.from_dense(batch.dense())
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
        assert getattr(again, name).dtype == getattr(batch, name).dtype
    assert again.shape == batch.shape


def test_from_dense_keeps_any_value():
    dense = np.zeros((2, 3, 1, 2, 2), np.float32)
    dense[1, 2, 0, 1, 0], dense[0, 1, 0, 0, 1] = -0.25, 7.5
    batch = EventBatch.from_dense(dense)
    assert batch.indptr.tolist() == [0, 0, 1, 1, 1, 1, 2]
    np.testing.assert_array_equal(batch.dense(), dense)


@pytest.mark.parametrize(("dt", "length"), [(0.57, 570), (0.001, 1), (1.0000000000000002, 1000), (1e5, 10**8),
                                            (1 / 3, 1000 / 3), (0.0015, 1.5)])
def test_a_step_is_an_int_where_only_rounding_says_otherwise(dt, length):
    assert step_length(dt) == pytest.approx(length, rel=1e-15)
    assert type(step_length(dt)) is type(length)


def test_one_recording_by_hand():
    batch = bin_events([ONE], SENSOR, 1.0)
    assert batch.shape == (3, 1, 2, 3, 5)
    assert batch.indptr.tolist() == [0, 1, 2, 3]
    assert batch.indices.tolist() == [(1 * 3 + 2) * 5 + 4, 0, (1 * 3 + 1) * 5 + 2]
    assert batch.values.tolist() == [2.0, 1.0, 1.0]
    assert repr(batch) == "EventBatch(shape=(3, 1, 2, 3, 5), 3 values, 0 events dropped)"
    assert bin_events([ONE], SENSOR, 1.0, steps=2).dropped == 1
    assert bin_events([ONE[2:]], SENSOR, 1.0, t0="first").dense()[:, 0].sum((1, 2, 3)).tolist() == [1, 1]
    assert bin_events([ONE[:0]], SENSOR, 1.0).shape == (1, 1, 2, 3, 5)


def test_large_and_one_pixel_sensors():
    large = Sensor(720, 1280)
    events = make_events([0, 0, 0, 5], [1279, 0, 64, 1279], [719, 0, 0, 719], [1, 0, 0, 1])
    batch = bin_events([events], large, 1.0)
    assert batch.indices.tolist() == [0, 64, large.size - 1]
    assert batch.values.tolist() == [1, 1, 2]
    assert bin_events([make_events([3], [0], [0], [0])], Sensor(1, 1, 1), 1.0).dense().tolist() == [[[[[1.0]]]]]


@settings(SETTINGS, max_examples=5)
@given(recordings())
def test_strided_views_and_writable_arrays_bin_alike(every):
    wide = [np.repeat(e, 2)[::2] for e in every]
    np.testing.assert_array_equal(bin_events(wide, SENSOR, 1.0).dense(), bin_events(every, SENSOR, 1.0).dense())


def changed(field, index, value):
    events = ONE.copy()
    events[field][index] = value
    return events


@pytest.mark.parametrize(("change", "sentence"), [
    ({"dt": 0.0}, "dt must be at least 0.001, got 0.0"),
    ({"dt": -1.0}, "dt must be at least 0.001, got -1.0"),
    ({"dt": float("nan")}, "dt must be finite, got nan"),
    ({"dt": 1e-320}, "dt must be at least 0.001, got 1e-320"),
    ({"steps": 0}, "steps must be a whole number from 1, got 0"),
    ({"steps": 2.5}, "steps must be a whole number from 1, got 2.5"),
    ({"t0": "last"}, "t0 must be one of 'zero', 'first', got 'last'"),
    ({"recordings": []}, "recordings must be a list with at least one array of events, got none"),
    ({"recordings": ONE}, "recordings must be a list with at least one array of events, got one array"),
    ({"recordings": [ONE, np.zeros(2, [("t", "f8")])]}, "recording 1 must be an array with the fields t (int64, µs), "
     "x, y (uint16) and p (uint8), got [('t', '<f8')]: make one with datasets.make_events(t, x, y, p)"),
    ({"recordings": [ONE, changed("x", 3, 5)]},
     "recording 1: event 3 has x = 5, y = 1: outside the sensor of width 5 and height 3"),
    ({"recordings": [changed("y", 0, 3)]},
     "recording 0: event 0 has x = 4, y = 3: outside the sensor of width 5 and height 3"),
    ({"recordings": [changed("p", 2, 2)]}, "recording 0: event 2 has p = 2: the sensor knows 0 and 1"),
    ({"recordings": [changed("t", 2, 5)]}, "recording 0: event 2 has t = 5 after 999: times must not run backwards"),
    ({"recordings": [changed("t", 0, -1)]}, "recording 0: event 0 has t = -1: times must not be negative"),
    ({"recordings": [changed("t", 0, -1)], "t0": "first"},
     "recording 0: event 0 has t = -1: times must not be negative"),
    ({"recordings": [changed("t", 3, 1_760_000_000_000_000)]},
     f"1760000000001 steps of 1 ms for each of 1 recordings are too many, at most {MOST_ROWS} in all (the longest "
     'recording lasts 1760000000000000 µs): use a larger dt, t0="first", or fewer steps'),
])
def test_wrong_arguments_are_named(change, sentence):
    arguments = {"recordings": [ONE], "sensor": SENSOR, "dt": 1.0} | change
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        bin_events(**arguments)


INDPTR, INDICES, VALUES = np.array([0, 2, 2]), np.array([0, 3], np.int32), np.ones(2, np.float32)


@pytest.mark.parametrize(("fields", "sentence"), [
    ((INDPTR, INDICES, VALUES, (2, 1, 1, 2)), "shape must be (T, B, C, H, W) with positive sizes, got (2, 1, 1, 2)"),
    ((INDPTR, INDICES.astype(np.int64), VALUES), "indices must be a one-dimensional array of int32, got int64 (2,)"),
    (([0, 2, 2], INDICES, VALUES), "indptr must be a one-dimensional array of int64, got list"),
    ((INDPTR[:2], INDICES, VALUES), "indptr must have T B + 1 = 3 entries from 0 to len(indices) = 2, got 2 entries"),
    ((INDPTR, INDICES, VALUES[:1]), "values must be as many as indices, 2, got 1"),
    ((INDPTR, INDICES[::-1].copy(), VALUES),
     "indices of row 0 must be ascending, unique and lie from 0 to 3, and indptr must not fall"),
    ((INDPTR, INDICES + np.int32(1), VALUES),
     "indices of row 0 must be ascending, unique and lie from 0 to 3, and indptr must not fall"),
    ((np.array([0, 9, 2]), INDICES, VALUES),
     "indices of row 0 must be ascending, unique and lie from 0 to 3, and indptr must not fall"),
])
def test_a_batch_is_checked(fields, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        EventBatch(*fields[:3], fields[3] if len(fields) > 3 else (2, 1, 1, 2, 2))


def test_more_events_than_a_float_counts_are_refused():
    events = np.zeros(2**24 + 1, EVENT)
    with pytest.raises(ValueError, match="recording 0 has 16777217 events of one pixel in one step"):
        bin_events([events], Sensor(1, 1), 1.0)
    assert bin_events([events], Sensor(1, 1), 1.0, clip=True).values.tolist() == [1.0]
