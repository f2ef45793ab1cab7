"""Frames counted from the map of an event store equal those of its events, for every way of cutting and odd sizes."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim.datasets import EVENT, EventDataset, Sensor, make_events, open_store, pack
from snnsim.datasets.dataset import Memory
from snnsim.datasets.transforms import Denoise, Frames, TimeSurface, VoxelGrid
from tests import event_oracle as oracle

SENSOR = Sensor(5, 7)
GAPS = st.lists(st.one_of(st.integers(0, 3), st.integers(2**32 - 2, 2**32 + 2)), max_size=25)
CUTS = st.builds(lambda kind, n: {kind: n}, st.sampled_from(["bins", "event_bins"]), st.integers(1, 40))


def recording(gaps, start=0):
    """A chunk of a store ends where a gap is as long as 2^32 µs."""
    t = start + np.cumsum(np.array(gaps, np.int64))
    return make_events(t, t * 5 % 7, t * 3 % 5, t % 2)


def of(recordings, sensor=SENSOR):
    store = Memory.of(recordings, [f"r{i}" for i in range(len(recordings))])
    return EventDataset("some", sensor, ("a", "b"), np.arange(len(recordings)) % 2, store)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every=st.lists(GAPS, min_size=1, max_size=5), cut=CUTS, most=st.integers(1, 60))
def test_frames_of_a_store_equal_the_definition(every, cut, most, tmp_path_factory):
    dataset = of([recording(gaps, 2**40) for gaps in every])
    packed = pack(dataset, tmp_path_factory.mktemp("store") / "s", shard_events=most, progress=False)
    frames, order = Frames(**cut), np.arange(len(every))[::-1]
    wanted = np.stack([oracle.frames(oracle.rows(dataset[int(i)].events), SENSOR.shape, **cut) for i in order], 1)
    for source in (dataset, packed):
        made, labels = frames(source).batch(order)
        np.testing.assert_array_equal(made, wanted)
        assert made.dtype == np.int16 and labels.tolist() == dataset.labels[order].tolist()
    out = np.full(made.shape, 99, np.int16)
    assert frames(packed).batch(order, out)[0] is out
    np.testing.assert_array_equal(out, wanted)
    packed.store.close()


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    recordings = [recording([1] * n) for n in (9, 0, 3)] + [make_events([2**63 - 9, 2**63 - 1], [0, 6], [4, 0], [1, 0])]
    return pack(of(recordings), tmp_path_factory.mktemp("store") / "s", progress=False)


@pytest.mark.parametrize("make", [Frames(bins=3), VoxelGrid(3), TimeSurface(1.0, bins=3)])
def test_batches_are_the_recordings_side_by_side(make, packed):
    for source in (packed, Denoise(1.0)(packed)):
        made, labels = make(source).batch([2, -4, 1])
        assert made.shape == (3, 3, 2, 5, 7) and labels.tolist() == [0, 0, 1]
        for i, number in enumerate((2, 0, 1)):
            np.testing.assert_array_equal(made[:, i], make(source[number]))


def test_no_event_is_lost_at_the_end_of_time(packed):
    for cut in ({"bins": 1}, {"bins": 7}, {"bins": 2**16 + 1}, {"event_bins": 5}, {"events": 1}):
        assert Frames(**cut)(packed[3]).sum() == 2
    assert Frames(bins=7)(packed).batch([3])[0].sum((1, 2, 3, 4)).tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_too_many_events_are_named_whether_stored_or_not(tmp_path):
    half, every = np.zeros(20_000), np.zeros(40_001)
    few = make_events(np.r_[half, 1, half + 2], every, np.r_[half, 3, half], every + 1)
    both = of([few, few[:-3], np.repeat(few, 2)])
    kept = pack(both, tmp_path / "s", progress=False)
    for source in (both, kept):
        made, _ = Frames(bins=2)(source).batch([0, 1])
        assert made[:, 0, 1, 0, 0].tolist() == [20_000, 20_000] and made.sum() == 79_999
        for indices, cut in (([0, 2], {"bins": 2}), ([1, 0], {"event_bins": 1})):
            with pytest.raises(ValueError, match="^pixel x = 0, y = 0 has more than 32767 events in one frame, the most that "
                                                 "int16 holds: use a larger dtype or shorter frames$"):
                Frames(**cut)(source).batch(indices)
    kept.store.close()


def test_damage_of_the_file_is_found_while_frames_are_counted(tmp_path):
    import h5py

    folder = tmp_path / "s"
    pack(of([recording([1] * 20), recording([2] * 20)]), folder, progress=False).store.close()
    for name, place, value, said in (("x", 25, 7, "event 5 has t = 12, x = 7"), ("y", 20, 5, "event 0 has t = 2, x ="),
                                     ("t", 30, 0, "event 10 has t = 2, x =")):
        with h5py.File(folder / "00000.h5", "r+") as f:
            kept, f[name][place] = f[name][place], value
        dataset = open_store(folder)
        for cut in ({"bins": 4}, {"event_bins": 4}):
            assert Frames(**cut)(dataset).batch([0])[0].sum() == 20
            with pytest.raises(ValueError, match=re.escape(said)):
                Frames(**cut)(dataset).batch([0, 1])
        dataset.store.close()
        with h5py.File(folder / "00000.h5", "r+") as f:
            f[name][place] = kept


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda d: Frames(window=1.0)(d).batch([0]), "a batch needs recordings of as many parts each: give bins or event_bins"),
    (lambda d: Frames(bins=2)(d).batch([0, 1], np.zeros((2, 1, 2, 5, 7), np.int16)),
     "out must be a contiguous, writable array of int16 and shape (2, 2, 2, 5, 7), got int16 (2, 1, 2, 5, 7)"),
    (lambda d: VoxelGrid(2**20)(d).batch(np.arange(4).repeat(9)), "an array of shape (1048576, 36, 2, 5, 7) takes 9.8 GiB, at "
     "most 4 are allowed: ask for fewer or longer parts, or slice the recording"),
])
def test_wrong_arguments_are_named(make, sentence, packed):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make(packed)


def test_nothing_at_all():
    empty = of([np.empty(0, EVENT)])
    made, labels = Frames(bins=2)(empty).batch([])
    assert made.shape == (2, 0, 2, 5, 7) and labels.shape == (0,)
