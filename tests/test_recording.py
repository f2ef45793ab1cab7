"""A recording survives its file, and a file that is not one, or is damaged, is refused with a sentence."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest

from snnsim.engine import SpikeTrains, Traces, join_recordings, load_recording, save_recording
from tests import recordings


def assert_equal(one, other):
    for name in ("dt", "start", "steps", "sizes", "synaptic_events", "wall_s", "duration"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("sizes", "spikes", "counts", "traces"):
        assert list(getattr(one, name)) == list(getattr(other, name))
    for name, trains in one.spikes.items():
        np.testing.assert_array_equal(trains.step, other.spikes[name].step)
        np.testing.assert_array_equal(trains.neuron, other.spikes[name].neuron)
    for name, counts in one.counts.items():
        np.testing.assert_array_equal(counts, other.counts[name])
    for name, t in one.traces.items():
        again = other.traces[name]
        assert (t.state, t.values.dtype) == (again.state, again.values.dtype)
        np.testing.assert_array_equal(t.neuron, again.neuron)
        np.testing.assert_array_equal(t.values, again.values)


@pytest.mark.parametrize("recording", [
    recordings.random(), recordings.random(start=2**40), recordings.dense({"p": [[1]]}, 0.1),
    recordings.dense({"a/b": np.zeros((3, 2)), "é ": np.ones((3, 1))}), replace(recordings.random(), spikes={}),
    replace(recordings.random(), spikes={}, traces={}, counts={}, sizes={}),
    recordings.dense({"p": [[0]] * 3}, traces={"p": Traces("v", np.array([0, 0]), np.array([[np.nan, np.inf]] * 3))})],
    ids=["populations", "late", "one step", "names", "no spikes kept", "nothing", "diverged"])
def test_a_recording_survives_its_file(recording, tmp_path):
    save_recording(recording, tmp_path / "a.h5")
    again = load_recording(tmp_path / "a.h5")
    assert_equal(recording, again)
    assert again.digest() == recording.digest()
    for trains in again.spikes.values():
        assert (trains.step.dtype, trains.neuron.dtype) == (np.int64, np.int32)
    save_recording(again, tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_times_and_rates():
    r = recordings.dense({"p": [[0, 1], [0, 0], [1, 1], [0, 0]]}, 0.5, start=10)
    assert r.times("p").tolist() == [5.5, 6.5, 6.5] and r.duration == 2.0
    assert r.rate("p") == 3 / 2 / 2e-3


def test_the_digest_is_of_the_spikes_alone():
    r = recordings.dense({"p": [[0, 1], [1, 0]], "q": [[0], [0]]}, start=4)
    whole = b"p 2 " + np.array([4, 5], "<i8").tobytes() + np.array([1, 0], "<i4").tobytes() + b"q 0 "
    assert r.digest() == hashlib.sha256(whole).hexdigest()
    assert replace(r, wall_s=9.0, dt=0.1, synaptic_events=1).digest() == r.digest()
    wide = SpikeTrains(r.spikes["p"].step.astype(np.int32), r.spikes["p"].neuron.astype(np.int64))
    assert replace(r, spikes={**r.spikes, "p": wide}).digest() == r.digest()
    others = (recordings.dense({"p": [[0, 1], [0, 1]], "q": [[0], [0]]}, start=4),
              recordings.dense({"p": [[0, 1], [1, 0]], "q": [[0], [0]]}, start=5),
              recordings.dense({"q": [[0], [0]], "p": [[0, 1], [1, 0]]}, start=4),
              recordings.dense({"p": [[0, 1], [1, 0]]}, start=4))
    assert len({r.digest(), *(other.digest() for other in others)}) == 5


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "r.h5"
    with pytest.raises(FileNotFoundError, match="there is no file .*r.h5"):
        load_recording(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="r.h5 is not an snnsim recording file"):
        load_recording(path)
    with h5py.File(path, "w") as f:
        f.attrs["format"] = "snnsim network"
    with pytest.raises(ValueError, match="r.h5 is not an snnsim recording file: its format is 'snnsim network'"):
        load_recording(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "r.h5"
    save_recording(recordings.random(), path)
    whole = path.read_bytes()
    for cut in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="r.h5"):
            load_recording(path)


def test_a_file_with_wrong_bytes_is_refused_or_a_recording(tmp_path):
    path, rng = tmp_path / "r.h5", np.random.default_rng(0)
    save_recording(recordings.dense({"p": rng.random((40, 3)) < 0.2}), path)
    whole, refused, accepted = path.read_bytes(), 0, 0
    for _ in range(200):
        broken = bytearray(whole)
        broken[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        try:
            read = load_recording(path)
        except ValueError as error:
            refused += str(error).count(str(path)) > 0
        else:
            save_recording(read, tmp_path / "again.h5")
            accepted += 1
    assert refused + accepted == 200 and refused > 20


def put(name, value):
    def edit(f):
        del f[name]
        f.create_dataset(name, data=value)
    return edit


def say(**changes):
    def edit(f):
        d = json.loads(f["recording"][()])
        d.update(changes)
        put("recording", json.dumps(d))(f)
    return edit


STEP, NEURON = np.array([7, 7, 9]), np.array([0, 1, 1])
UNSORTED = " is damaged: spikes of 'p' are not sorted by step and neuron, or a neuron fires twice in a step"
COUNTS = " is damaged: counts of 'p' must be 5 whole numbers, one a step, none negative"
NUMBERS = " is damaged: spikes of 'p' must number their neurons in one row of whole numbers"


@pytest.mark.parametrize(("edit", "sentence"), [
    (lambda f: f.attrs.__setitem__("schema", 99), " has schema 99; this version of snnsim reads 1"),
    (lambda f: f.__delitem__("recording"), " is damaged: its description of the recording does not fit"),
    (put("recording", "{"), " is damaged: Expecting property name"),
    (put("recording", "[]"), " is damaged: its description of the recording does not fit"),
    (say(sizes=[1]), " is damaged: its description of the recording does not fit"),
    (say(dt="1"), " is damaged: its description of the recording does not fit"),
    (lambda f: f.__delitem__("spikes/0"), " is damaged: its description of the recording does not fit"),
    (lambda f: f.__delitem__("spikes/0/step"), ": /spikes/0/step is missing"),
    (lambda f: f.__delitem__("counts/0"), ": /counts/0 is missing"),
    (lambda f: f.__delitem__("traces/0/values"), ": /traces/0/values is missing"),
    (put("spikes/0/neuron", "text"), ": /spikes/0/neuron must hold numbers, holds object"),
    (say(dt=0), " is damaged: dt must be above 0 ms and wall_s at least 0 s, got 0 and 0.25"),
    (say(dt=float("nan")), " is damaged: dt must be above 0 ms and wall_s at least 0 s, got nan and 0.25"),
    (say(wall_s=-1), " is damaged: dt must be above 0 ms and wall_s at least 0 s, got 0.5 and -1"),
    (say(steps=0), " is damaged: steps must be a whole number from 1 to 2**62 - 1, got 0"),
    (say(steps=True), " is damaged: steps must be a whole number from 1 to 2**62 - 1, got True"),
    (say(start=0.5), " is damaged: start must be a whole number from 0 to 2**62 - 1, got 0.5"),
    (say(start=2**62), " is damaged: start must be a whole number from 0 to 2**62 - 1, got 4611686018427387904"),
    (say(start=-1), " is damaged: start must be a whole number from 0 to 2**62 - 1, got -1"),
    (say(synaptic_events="7"), " is damaged: synaptic_events must be a whole number from 0 to 2**62 - 1, got '7'"),
    (say(sizes={"p": 0}), " is damaged: the size of 'p' must be a whole number from 1 to 2**62 - 1, got 0"),
    (say(sizes={"q": 2}), " is damaged: population 'p' has no size: ['q']"),
    (say(counts=[]), " is damaged: population 'p' has spikes but no counts"),
    (say(steps=4), " is damaged: counts of 'p' must be 4 whole numbers, one a step, none negative"),
    (put("counts/0", np.array([0, 0, -1, 0, 0])), COUNTS),
    (put("counts/0", np.zeros(5)), COUNTS),
    (put("counts/0", np.array([0, 0, 2, 1, 0])), " is damaged: spikes of 'p' and its counts differ"),
    (put("spikes/0/neuron", NEURON[:2]),
     " is damaged: spikes of 'p' have (3,) steps and (2,) neurons: each spike needs one of both"),
    (put("spikes/0/neuron", NEURON + 0.0), NUMBERS),
    (put("spikes/0/neuron", [[0, 1, 1]]), NUMBERS),
    (put("spikes/0/neuron", NEURON + 1), " is damaged: spikes of 'p' must have neurons in 0 .. 1, got 1 .. 2"),
    (put("spikes/0/neuron", NEURON - 1), " is damaged: spikes of 'p' must have neurons in 0 .. 1, got -1 .. 0"),
    (put("spikes/0/step", STEP + 1), " is damaged: spikes of 'p' must lie in the steps 5 .. 9, got 8 .. 10"),
    (put("spikes/0/step", STEP - 3), " is damaged: spikes of 'p' must lie in the steps 5 .. 9, got 4 .. 6"),
    (put("spikes/0/step", STEP[::-1]), UNSORTED),
    (put("spikes/0/neuron", NEURON[::-1]), UNSORTED),
    (put("spikes/0/neuron", [1, 1, 1]), UNSORTED),
    (say(traces=[["p", 3]]), " is damaged: traces of 'p' must name a state, got 3"),
    (put("traces/0/neuron", [2]), " is damaged: traces of 'p' must have neurons in 0 .. 1, got 2 .. 2"),
    (put("traces/0/neuron", [0, 1]),
     " is damaged: traces of 'p' have float64 values of shape (5, 1), must be floating-point of shape (5, 2)"),
    (put("traces/0/values", np.ones((5, 1), int)),
     " is damaged: traces of 'p' have int64 values of shape (5, 1), must be floating-point of shape (5, 1)"),
])
def test_a_damaged_recording_is_refused(edit, sentence, tmp_path):
    path = tmp_path / "r.h5"
    membrane = Traces("v", np.array([1]), np.zeros((5, 1)))
    save_recording(recordings.dense({"p": [[0, 0], [0, 0], [1, 1], [0, 0], [0, 1]]}, 0.5, 5, {"p": membrane}), path)
    with h5py.File(path, "r+") as f:
        edit(f)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}{sentence}')}"):
        load_recording(path)


def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "r.h5"
    save_recording(recordings.random(), path)
    with h5py.File(path, "r+") as f:
        del f["spikes/0/step"]
        f.create_dataset("spikes/0/step", shape=(2**40,), dtype="i8", chunks=(2**10,), compression="gzip")
    with pytest.raises(ValueError, match=r"/spikes/0/step claims 8796093022208 bytes in a file of \d+ bytes"):
        load_recording(path)


def test_a_recording_that_contradicts_itself_is_not_written(tmp_path):
    path = tmp_path / "r.h5"
    r = recordings.random()
    save_recording(r, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="^spikes of 'L2/3E' and its counts differ$"):
        save_recording(replace(r, counts={**r.counts, "L2/3E": r.counts["silent"]}), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_recordings_of_stretches_join_into_one():
    parts = [recordings.random(seed, start) for seed, start in ((1, 5), (2, 1005), (3, 2005))]
    whole = join_recordings(parts)
    assert (whole.start, whole.steps, whole.duration) == (5, 3000, 1500.0)
    assert (whole.synaptic_events, whole.wall_s) == (21, 0.75)
    for name in whole.sizes:
        np.testing.assert_array_equal(whole.times(name), np.concatenate([r.times(name) for r in parts]))
        np.testing.assert_array_equal(whole.counts[name], np.concatenate([r.counts[name] for r in parts]))
    np.testing.assert_array_equal(whole.traces["L2/3E"].values, np.concatenate([r.traces["L2/3E"].values for r in parts]))
    assert_equal(join_recordings(parts[:1]), parts[0])


@pytest.mark.parametrize(("parts", "sentence"), [
    ([], "there is no recording to join"),
    ([recordings.random(), recordings.random(start=999)],
     "a recording starts at step 999, but the one before ends at step 1000"),
    ([recordings.random(), replace(recordings.random(start=1000), dt=1.0)],
     "the recording that starts at step 1000 has another dt, or other populations or traces, than the first"),
    ([recordings.random(), replace(recordings.random(start=1000), traces={})],
     "the recording that starts at step 1000 has another dt, or other populations or traces, than the first")])
def test_what_is_not_one_simulation_does_not_join(parts, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        join_recordings(parts)
