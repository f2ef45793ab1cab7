"""Transforms of events against their definitions in plain Python, and what holds for all of them."""

import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import EVENT, EventDataset, Recording, Sensor, make_events, validate
from snnsim.datasets.transforms import (
    Compose,
    Crop,
    Denoise,
    Downsample,
    Drop,
    DropArea,
    DropTime,
    Flip,
    HotPixels,
    Jitter,
    MergePolarities,
    Refractory,
)
from tests import event_oracle as oracle

SETTINGS = settings(deadline=None, max_examples=40)  # the first example compiles the kernels
SENSOR = Sensor(5, 7)
EVERY = [Denoise(0.02), Denoise(0.005, neighbours=4), Refractory(0.01), Refractory(0.01, extending=True), HotPixels(rate=2e4),
         HotPixels(times=1.5), Crop(3, 4), Crop(2, 7, top=3, left=0), Downsample(2), Downsample((3, 2), distinct=True),
         Flip("x"), Flip("y", 0.5, seed=3), Flip("p"), Flip("t"), MergePolarities(), Jitter(0.7, 0.02, seed=1),
         Jitter(space=1.0), Jitter(time=0.1), Drop(0.3, seed=2), DropTime(0.4, seed=2), DropArea(0.5, seed=2),
         Compose(Denoise(0.05), Downsample(2), Drop(0.5), Jitter(0.5))]


def recording(seed, n, latest=200):
    """n events, many of them in the same microsecond and pixel."""
    rng = np.random.default_rng(seed)
    return make_events(np.sort(rng.integers(0, latest + 1, n)), rng.integers(0, SENSOR.width, n),
                       rng.integers(0, SENSOR.height, n), rng.integers(0, 2, n))


recordings = st.builds(recording, st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([0, 20, 200, 5000]))


@SETTINGS
@given(recordings, st.integers(0, 300), st.booleans())
def test_filters_equal_their_definitions(events, us, choice):
    old = oracle.rows(events)
    denoised = Denoise(us / 1000, 8 if choice else 4)(events, SENSOR)
    assert oracle.rows(denoised) == oracle.denoise(old, us, choice)
    assert oracle.rows(Refractory(us / 1000, choice)(events, SENSOR)) == oracle.refractory(old, us, choice)
    if old:
        limit = {"rate": us + 1.0} if choice else {"times": 1.0 + us / 100}
        assert oracle.rows(HotPixels(**limit)(events, SENSOR)) == oracle.hot_pixels(old, **limit)


@SETTINGS
@given(recordings, st.integers(0, 2), st.integers(0, 3), st.integers(1, 9), st.integers(1, 9), st.booleans(),
       st.sampled_from("xypt"))
def test_transforms_of_place_equal_their_definitions(events, top, left, down, across, distinct, axis):
    old = oracle.rows(events)
    assert oracle.rows(Crop(3, 4, top, left)(events, SENSOR)) == oracle.crop(old, top, left, 3, 4)
    made = Downsample((down, across), distinct)(events, SENSOR)
    assert oracle.rows(made) == oracle.downsample(old, down, across, distinct)
    flip = Flip(axis)
    assert oracle.rows(flip(events, SENSOR)) == (oracle.flip(old, axis, 5, 7) if old else [])
    assert oracle.rows(MergePolarities()(events, SENSOR)) == [(t, x, y, 0) for t, x, y, _ in old]


@SETTINGS
@given(recordings, st.sampled_from(EVERY), st.integers(0, 5))
def test_what_holds_for_all(events, transform, number):
    before = events.copy()
    made = transform(events, SENSOR, number)
    validate(made, transform.after(SENSOR))
    assert len(made) <= len(events) and made.dtype == EVENT
    np.testing.assert_array_equal(events, before)
    out = np.full(len(events) + 3, 77, EVENT)
    again = transform(events, SENSOR, number, out=out)
    assert np.shares_memory(again, out) or not len(again)
    np.testing.assert_array_equal(again, made)
    np.testing.assert_array_equal(out[len(events):], np.full(3, 77, EVENT))


@SETTINGS
@given(recordings)
def test_what_is_done_twice_or_undone(events):
    for once in (Refractory(0.01), Crop(5, 7), HotPixels(rate=1e9), MergePolarities(), Drop(0.0), Denoise(1e9, 8)):
        made = once(events, SENSOR)
        if not isinstance(once, Denoise):  # the first event has none before it, so a second pass may lose another
            np.testing.assert_array_equal(once(made, once.after(SENSOR)), made)
    for whole in (Downsample(3), MergePolarities(), Drop(0.0), Jitter(), Jitter(time=1.0), DropTime(0.0), DropArea(0.0),
                  *map(Flip, "xypt")):
        assert len(whole(events, SENSOR)) == len(events)
    for axis in "xypt":
        np.testing.assert_array_equal(Compose(Flip(axis), Flip(axis))(events, SENSOR), events)
    for none in (Drop(1.0), DropTime(1.0), DropArea(1.0)):
        assert len(none(events, SENSOR)) == 0


def test_what_is_random_depends_on_the_seed_and_the_number():
    events = recording(1, 400, 5000)
    for kind in (lambda seed: Jitter(1.0, 0.1, seed), lambda seed: Drop(0.5, seed), lambda seed: DropTime(0.3, seed),
                 lambda seed: DropArea(0.4, seed)):
        made = [oracle.rows(kind(seed)(events, SENSOR, number)) for seed, number in ((3, 0), (3, 0), (3, 8), (4, 0))]
        assert made[0] == made[1] and made[0] != made[2] and made[0] != made[3]
    mirrored = [oracle.rows(Flip("x", 0.5)(events, SENSOR, n)) != oracle.rows(events) for n in range(40)]
    assert 8 < sum(mirrored) < 32
    twice = Compose(Drop(0.5), Drop(0.5))(events, SENSOR)
    assert 60 < len(twice) < 140  # the second draws on its own
    assert 160 < len(Drop(0.5)(events, SENSOR)) < 240


def test_jitter_has_the_spread_that_was_asked_for():
    sensor, n = Sensor(201, 201), 20_000
    events = make_events(np.full(n, 10**6), np.full(n, 100), np.full(n, 100), np.zeros(n))
    made = Jitter(3.0, 2.0, seed=1)(events, sensor)
    for name, sigma, middle in (("x", 3.0, 100), ("y", 3.0, 100), ("t", 2000.0, 10**6)):
        noise = made[name].astype(float) - middle
        assert abs(noise.mean()) < 0.03 * sigma and noise.std() == pytest.approx(sigma, rel=0.03)
    assert abs(np.corrcoef(made["x"], made["y"])[0, 1]) < 0.03
    late = make_events([2**63 - 1], [0], [0], [0])
    assert Jitter(time=1e20)(late, sensor)["t"][0] >= 0


def test_a_missing_span_and_a_missing_patch_have_their_size():
    everywhere = make_events(np.repeat(np.arange(100), 35), np.tile(np.arange(35) % 7, 100), np.tile(np.arange(35) // 7, 100),
                             np.zeros(3500))
    gone = {tuple(sorted(set(range(100)) - set(DropTime(0.3)(everywhere, SENSOR, n)["t"].tolist()))) for n in range(30)}
    assert all(len(g) == 30 and g[-1] - g[0] == 29 for g in gone) and len(gone) > 15
    for n in range(10):
        left = DropArea(0.5)(everywhere, SENSOR, n)
        missing = {(x, y) for x in range(7) for y in range(5)} - {e[1:3] for e in oracle.rows(left)}
        assert len(missing) == round(0.5 * 7) * round(0.5 * 5)
        assert {x for x, _ in missing} == set(range(min(missing)[0], max(missing)[0] + 1))


def test_the_longest_recording_there_is():
    ends = make_events([0, 2**63 - 1], [0, 0], [0, 0], [0, 0])
    assert [len(DropTime(f)(ends, SENSOR, 3)) for f in (0.0, 1.0)] == [2, 0]
    assert len(Flip("t")(ends, SENSOR)) == len(Denoise(1.0)(ends, SENSOR)) + 2 == len(Refractory(1.0)(ends, SENSOR))


def test_recordings_and_data_sets():
    made = [Recording(recording(i, 50), i % 2, SENSOR, f"r{i}") for i in range(6)]
    dataset = EventDataset.of(made, ["a", "b"])
    transform = Compose(Drop(0.5, seed=9), Downsample(2))
    lazy = transform(dataset)
    assert lazy.sensor == Sensor(3, 4) and lazy.labels.tolist() == dataset.labels.tolist()
    for i in range(6):
        alone = transform(dataset[i], number=i)
        np.testing.assert_array_equal(lazy[i].events, alone.events)
        assert (alone.label, alone.source, alone.sensor) == (i % 2, f"r{i}", lazy.sensor) == (
            lazy[i].label, lazy[i].source, lazy[i].sensor)
    np.testing.assert_array_equal(lazy[3:][1].events, lazy[4].events)  # a part of the set draws the same
    np.testing.assert_array_equal(transform(dataset[3:])[1].events, lazy[4].events)


def test_a_store_that_gives_wrong_events_is_refused():
    class Wrong:
        def __len__(self): return 1
        def events(self, number): return make_events([5, 3], [0, 0], [0, 0], [0, 0])
        def source(self, number): return "wrong.bin"
    dataset = Denoise(1.0)(EventDataset("wrong", SENSOR, ("a",), np.zeros(1, np.int64), Wrong()))
    with pytest.raises(ValueError, match="events of wrong.bin: event 1 has t = 3 after 5"):
        dataset[0]


def test_the_repr_says_everything_in_one_way():
    for transform in EVERY:
        for f in fields(transform):
            if f.name != "stages":
                assert f"{f.name}={getattr(transform, f.name)!r}" in repr(transform)
    assert repr(Downsample(2)) == repr(Downsample((np.int64(2), 2))) == "Downsample(factor=(2, 2), distinct=False)"
    assert repr(Denoise(np.float64(1))) == repr(Denoise(1)) == "Denoise(dt=1.0, neighbours=8)"
    assert repr(Drop(1, np.int32(3))) == "Drop(probability=1.0, seed=3)"
    assert repr(Compose(Compose(Flip("x")), Compose(), Drop(0.5))) == (
        "Compose(Flip(axis='x', probability=1.0, seed=0), Drop(probability=0.5, seed=0))")
    assert oracle.rows(Compose()(recording(0, 9), SENSOR)) == oracle.rows(recording(0, 9))


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Denoise(0.0005), "dt must be whole microseconds, got 0.0005 ms"),
    (lambda: Denoise(-1.0), "dt must be at least 0, got -1.0"),
    (lambda: Denoise(1.0, 6), "neighbours must be one of 4, 8, got 6"),
    (lambda: Refractory(float("nan")), "period must be finite, got nan"),
    (lambda: Refractory(1e30), f"period must be below {2**62} µs, got 1e+30 ms"),
    (lambda: HotPixels(), "give either rate or times, got rate=None and times=None"),
    (lambda: HotPixels(rate=0.0), "rate must be above 0, got 0.0"),
    (lambda: HotPixels(times=0.5), "times must be at least 1, got 0.5"),
    (lambda: Crop(0, 3), "height must be a whole number from 1, got 0"),
    (lambda: Crop(3, 3, left=-1), "left must be a whole number from 0, got -1"),
    (lambda: Crop(6, 3).after(SENSOR), "a rectangle of height 6 and width 3 at top -1, left 2 does not lie on the sensor of "
     "height 5 and width 7"),
    (lambda: Downsample(0), "factor must be a whole number from 1, got 0"),
    (lambda: Downsample((1, 2, 3)), "factor must be a whole number from 1, got (1, 2, 3)"),
    (lambda: Flip("z"), "axis must be one of 'x', 'y', 'p', 't', got 'z'"),
    (lambda: Flip("x", 1.5), "probability must be a probability from 0 to 1, got 1.5"),
    (lambda: Flip("p").after(Sensor(2, 2, 1)), "axis 'p' needs a sensor of 2 polarities, got one of 1"),
    (lambda: Jitter(space=-1.0), "space must be at least 0, got -1.0"),
    (lambda: Drop(0.5, seed=-1), "seed must be a whole number from 0, got -1"),
    (lambda: DropArea(2.0), "fraction must be a probability from 0 to 1, got 2.0"),
    (lambda: Compose(Drop(0.5), len), "stage 1 must be a transform of events to events, got <built-in function len>"),
    (lambda: Drop(0.5)(recording(0, 3)), "sensor must be the Sensor that the events are of, got None"),
    (lambda: Drop(0.5)(recording(0, 3), SENSOR, out=np.empty(2, EVENT)),
     "out must have room for 3 events, as many as come in, got 2"),
    (lambda: Drop(0.5)(recording(0, 3), SENSOR, out=np.empty(3)),
     "out must be a contiguous row of dtype EVENT, got float64 (3,)"),
    (lambda: Drop(0.5)(Recording(recording(0, 3), 0, SENSOR), SENSOR),
     "sensor and out belong to an array of events: a recording and a data set know their sensor"),
])
def test_wrong_arguments_are_named(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def test_events_are_not_overwritten_while_they_are_read():
    events = recording(0, 9)
    with pytest.raises(ValueError, match=r"^out must not share memory with events$"):
        Drop(0.5)(events, SENSOR, out=events)
