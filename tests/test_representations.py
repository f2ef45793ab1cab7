"""Frames, voxel grids, time surfaces and slices against their definitions, with no event lost."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import EventDataset, Recording, Sensor, make_events
from snnsim.datasets.transforms import Denoise, Frames, SliceByCount, SliceByTime, TimeSurface, VoxelGrid
from snnsim.datasets.transforms.cutting import Cutting
from tests import event_oracle as oracle
from tests.test_transforms import SENSOR, recording, recordings

SETTINGS = settings(deadline=None, max_examples=40)
CUTS = st.tuples(st.sampled_from(["bins", "window", "event_bins", "events"]), st.integers(1, 70))


def cutting(kind, n):
    """Our argument, and the oracle's."""
    return {kind: n / 1000 if kind == "window" else n}, {"events": "size"}.get(kind, kind)


@SETTINGS
@given(recordings, CUTS, st.sampled_from(["int16", "float32"]))
def test_frames_equal_the_definition_and_lose_no_event(events, cut, dtype):
    ours, theirs = cutting(*cut)
    made = Frames(**ours, dtype=dtype)(events, SENSOR)
    np.testing.assert_array_equal(made, oracle.frames(oracle.rows(events), SENSOR.shape, **{theirs: cut[1]}))
    assert made.sum() == len(events) and made.dtype == dtype
    out = np.full(made.shape, 99, dtype)
    assert Frames(**ours, dtype=dtype)(events, SENSOR, out) is out
    np.testing.assert_array_equal(out, made)


@SETTINGS
@given(recordings, st.integers(1, 40), st.booleans())
def test_voxels_equal_the_definition_and_add_up(events, bins, signed):
    shape = (1 if signed else 2, 5, 7)
    made = VoxelGrid(bins, signed, "float64")(events, SENSOR)
    np.testing.assert_array_equal(made, oracle.voxels(oracle.rows(events), bins, shape, signed))
    assert made.sum() == (2 * int(events["p"].sum()) - len(events) if signed else len(events))
    single = VoxelGrid(bins, signed)(events, SENSOR, np.full((bins, *shape), np.nan, np.float32))
    np.testing.assert_allclose(single, made, rtol=0, atol=1e-5)


def test_voxels_by_hand():
    events = make_events([100, 125, 150, 200], [0, 1, 1, 2], [0, 0, 0, 4], [0, 1, 1, 0])
    made = VoxelGrid(3)(events, SENSOR)
    assert made.sum() == 4.0 and made[:, 1, 0, 1].tolist() == [0.5, 1.5, 0.0]  # dyadic shares: exact in float32, too
    assert (made[0, 0, 0, 0], made[2, 0, 4, 2]) == (1.0, 1.0)
    assert VoxelGrid(3, signed=True)(events, SENSOR)[:, 0].sum((1, 2)).tolist() == [-0.5, 1.5, -1.0]


@SETTINGS
@given(recordings, st.sampled_from(["bins", "window"]), st.integers(1, 50), st.sampled_from([0.003, 0.05, 20.0]))
def test_time_surfaces_equal_the_definition(events, kind, n, tau):
    cut, _ = cutting(kind, n)
    made = TimeSurface(tau, **cut)(events, SENSOR)
    edges = [int(e) for e in Cutting(**cut).cut(events).edges()[1:]]
    wanted = oracle.surface(oracle.rows(events), SENSOR.shape, edges, 1000 * tau)
    np.testing.assert_allclose(made, wanted, rtol=1e-6, atol=1.2e-38)
    assert made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1


def test_the_last_event_is_never_dropped():
    one = make_events([5], [3], [2], [1])
    for how in ({"bins": 1}, {"bins": 30}, {"window": 1.0}, {"event_bins": 3}, {"events": 7}):
        assert Frames(**how)(one, SENSOR).sum() == 1
    assert VoxelGrid(4)(one, SENSOR).sum() == 1.0
    assert Frames(window=0.01)(make_events([0, 9, 10], [0] * 3, [0] * 3, [0] * 3), SENSOR).sum((1, 2, 3)).tolist() == [2, 1]
    assert Frames(bins=5)(one[:0], SENSOR).shape == (5, 2, 5, 7)
    assert Frames(events=5)(one[:0], SENSOR).shape == (1, 2, 5, 7)


@SETTINGS
@given(recordings, st.integers(1, 60), st.integers(0, 59), st.booleans())
def test_slices_equal_the_definition(events, length, overlap, tail):
    overlap %= length
    old = oracle.rows(events)
    by_count = SliceByCount(length, overlap, tail)(events)
    by_time = SliceByTime(length / 1000, overlap / 1000, tail)(events)
    indices = list(range(len(old)))
    times = [e[0] - old[0][0] for e in old]
    for made, values, total in ((by_count, indices, len(old)), (by_time, times, (times or [0])[-1] + 1)):
        wanted = oracle.slices(values, total, length, length - overlap, tail) if old else []
        assert [oracle.rows(m) for m in made] == [[old[i] for i in w] for w in wanted]
    if not overlap and tail:
        assert sum(map(len, by_count)) == sum(map(len, by_time)) == len(events)
    assert all(m.base is not None for m in by_count)  # views


def test_slices_at_the_end_of_time():
    late = make_events([0, 2**62, 2**63 - 2], [0] * 3, [0] * 3, [0] * 3)
    assert [len(s) for s in SliceByTime((2**62 - 2**20) / 1000)(late)] == [1, 1, 1]
    assert [len(s) for s in SliceByTime((2**62 - 2**20) / 1000, tail=False)(late)] == [1, 1]


def test_slices_of_recordings_and_data_sets():
    made = [Recording(recording(i, 50 + i), i % 2, SENSOR, f"r{i}") for i in range(4)]
    dataset = EventDataset.of(made, ["a", "b"])[1:]
    sliced = SliceByCount(20, 5)(dataset)
    alone = [s for r in made[1:] for s in SliceByCount(20, 5)(r)]
    assert len(sliced) == len(alone) == 12
    for ours, theirs in zip(sliced, alone, strict=True):
        np.testing.assert_array_equal(ours.events, theirs.events)
        assert (ours.label, ours.source) == (theirs.label, theirs.source)
    assert sliced[1].source == "r1[15:35]"
    assert len(Denoise(1.0)(sliced)[0]) == len(Denoise(1.0)(sliced[0]))


def test_arrays_of_a_data_set():
    dataset = EventDataset.of([Recording(recording(i, 30), i, SENSOR) for i in range(3)], ["a", "b", "c"])
    frames = Frames(bins=4)
    made = frames(dataset)
    assert len(made) == 3 and [label for _, label in made] == [0, 1, 2]
    np.testing.assert_array_equal(made[1][0], frames(dataset[1]))
    np.testing.assert_array_equal(made[1:][0][0], made[1][0])


def test_what_does_not_fit_is_said():
    events = make_events(np.zeros(300), np.zeros(300), np.zeros(300), np.zeros(300))
    assert Frames(bins=1, dtype="int16")(events, SENSOR).max() == 300
    assert Frames(bins=1, dtype="uint8")(events[:255], SENSOR).max() == 255
    with pytest.raises(ValueError, match=re.escape("pixel x = 0, y = 0 has more than 255 events in one frame, the most that "
                                                   "uint8 holds: use a larger dtype or shorter frames")):
        Frames(bins=1, dtype="uint8")(events, SENSOR)


def changed(field, index, value):
    events = recording(2, 9).copy()
    events[field][index] = value
    return events


@pytest.mark.parametrize("make", [Frames(bins=3), Frames(events=2), VoxelGrid(3), TimeSurface(1.0, window=0.01)])
@pytest.mark.parametrize(("field", "index", "value"), [("x", 4, 7), ("y", 0, 5), ("p", 8, 2), ("t", 0, -1), ("t", 8, 0),
                                                       ("t", 3, 2**62)])
def test_wrong_events_are_named_and_never_written(make, field, index, value):
    with pytest.raises(ValueError, match=r"^(events: event \d has|an array of shape|\d+ parts of)"):
        make(changed(field, index, value), SENSOR)


FAR = make_events([0, 10**12], [0, 0], [0, 0], [0, 0])


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Frames(), "give exactly one of bins, window, event_bins and events, got none"),
    (lambda: Frames(bins=3, events=2), "give exactly one of bins, window, event_bins and events, got bins, events"),
    (lambda: Frames(bins=0), "bins must be a whole number from 1 to 2147483647, got 0"),
    (lambda: Frames(window=0.0), "window must be at least 0.001, got 0.0"),
    (lambda: Frames(bins=3, dtype="int8"), "dtype must be one of 'uint8', 'int16', 'int32', 'float32', got 'int8'"),
    (lambda: Frames(window=1000.0)(FAR, Sensor(64, 64)), "an array of shape (1000001, 2, 64, 64) takes 15.3 GiB, at most 4 are "
     "allowed: ask for fewer or longer parts, or slice the recording"),
    (lambda: Frames(window=0.1)(FAR, SENSOR),
     "10000000001 parts of 1000000000001 µs from 0 µs on are too many for 64-bit times"),
    (lambda: Frames(bins=3)(FAR, SENSOR, np.zeros((3, 2, 5, 7))),
     "out must be a contiguous, writable array of int16 and shape (3, 2, 5, 7), got float64 (3, 2, 5, 7)"),
    (lambda: Frames(bins=3)(FAR), "sensor must be the Sensor that the events are of, got None"),
    (lambda: VoxelGrid(3, signed=True)(FAR, Sensor(5, 7, 1)), "signed=True needs a sensor of 2 polarities, got one of 1"),
    (lambda: TimeSurface(1.0), "give either bins or window, got bins=None and window=None"),
    (lambda: TimeSurface(0.0, bins=1), "tau must be above 0, got 0.0"),
    (lambda: SliceByTime(1.0, 1.0), "overlap must be below window, got 1.0 and 1.0"),
    (lambda: SliceByCount(3, 3), "overlap must be below events, got 3 and 3"),
    (lambda: SliceByTime(0.001)(FAR),
     "the recording makes 1000000000001 slices, at most 134217728 are allowed: use longer slices"),
])
def test_wrong_arguments_are_named(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def test_the_repr_says_everything():
    assert repr(Frames(window=np.int64(5))) == (
        "Frames(bins=None, window=5.0, event_bins=None, events=None, dtype='int16')")
    assert repr(VoxelGrid(5)) == "VoxelGrid(bins=5, signed=False, dtype='float32')"
    assert repr(TimeSurface(20, bins=3)) == "TimeSurface(tau=20.0, bins=3, window=None)"
    assert repr(SliceByTime(5)) == "SliceByTime(window=5.0, overlap=0.0, tail=True)"
