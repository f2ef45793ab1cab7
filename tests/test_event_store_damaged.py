"""Damaged, truncated and foreign stores: an error that names the file and the field, or the events that were packed."""

import json
import shutil

import h5py
import numpy as np
import pytest

from snnsim.datasets import Sensor, check_store, open_store, pack
from snnsim.datasets.eventstore.manifest import Shard, digest, file_digest, read_manifest
from tests.test_event_store import mixed, sentence_of


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged") / "s"
    pack(mixed(), folder, shard_events=300).store.close()
    return folder


@pytest.fixture
def folder(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "s")


def restated(folder, **changed):
    """The manifest with other values and a right checksum, and the sizes and checksums of the shards as they are now."""
    path = folder / "store.json"
    held = json.loads(path.read_text())
    for shard in held["shards"]:
        shard.update(bytes=(folder / shard["file"]).stat().st_size, sha256=file_digest(folder / shard["file"]))
    held.update(changed)
    del held["sha256"]
    path.write_text(json.dumps({**held, "sha256": digest(held)}))


def rewritten(path, change):
    """The shard with other arrays, laid out as before."""
    with h5py.File(path) as f:
        arrays, attrs = {name: f[name][()] for name in f}, dict(f.attrs)
    change(arrays, attrs)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=64) as f:
        f.attrs.update(attrs)
        for name, array in arrays.items():
            f.create_dataset(name, data=array)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"format": "x"}, "is not that of an event store: its format is 'x'"),
    ({"schema": 2}, "has schema 2; this version of snnsim reads 1"),
    ({"labels": [0] * 8}, "is damaged: labels must be 9, as the shards hold so many recordings, got (8,)"),
    ({"labels": [0] * 8 + [7]}, "labels must lie from 0 to 2"),
    ({"labels": "no"}, "is damaged: "),
    ({"sensor": {"height": 0, "width": 3}}, "is damaged: height must be a whole number from 1 to 65536, got 0"),
    ({"shards": [{"file": "../00000.h5", "bytes": 1, "sha256": "0" * 64, "recordings": 9, "events": 0}]},
     "is damaged: file must be a number of five digits and .h5, got '../00000.h5'"),
    ({"shards": [{"file": "00000.h5", "bytes": -1, "sha256": "0" * 64, "recordings": 9, "events": 0}]},
     "is damaged: bytes of 00000.h5 must be a whole number from 0"),
    ({"shards": 3}, "is damaged: TypeError"),
    ({"classes": None}, "is damaged: TypeError"),
])
def test_a_manifest_that_does_not_fit(change, sentence, folder):
    restated(folder, **change)
    assert sentence in sentence_of(open_store, folder)


@pytest.mark.parametrize(("text", "sentence"), [
    (b"", "is damaged: it is not JSON"), (b"\xff\xfe", "is damaged: it is not JSON"),
    (b"[" * 200_000, "is damaged: it is not JSON"),
    (b"[1]", "is damaged: it must hold an object, holds list"),
])
def test_a_manifest_that_is_none(text, sentence, folder):
    (folder / "store.json").write_bytes(text)
    assert sentence in sentence_of(open_store, folder)


def test_every_changed_byte_of_a_manifest_is_noticed(folder):
    path = folder / "store.json"
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(good), 200):
        bad = bytearray(good)
        bad[at] ^= 1 << int(rng.integers(0, 7))
        path.write_bytes(bad)
        try:
            read_manifest(folder)
        except ValueError as e:
            said = str(e)
        else:  # a space that became another kind of space
            said = str(path) if json.loads(bytes(bad)) == json.loads(good) else "a change that was not noticed"
        assert str(path) in said


def swap(name, value):
    def change(arrays, attrs):
        arrays[name] = value(arrays[name])
    return change


def at(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array
    return change


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda arrays, attrs: arrays.pop("t"), "/t is missing"),
    (lambda arrays, attrs: attrs.update(format="x"), "is not a shard of an snnsim event store: its format is 'x'"),
    (lambda arrays, attrs: attrs.update(schema=9), "has schema 9; this version of snnsim reads 1"),
    (lambda arrays, attrs: attrs.update(sensor=(2, 1, 1)), "sensor is (2, 1, 1), the manifest says (2, 60, 70)"),
    (lambda arrays, attrs: attrs.pop("sensor"), "is not a shard of an snnsim event store, or it is damaged"),
    (swap("x", lambda a: a.astype("<i4")), "/x must be a row of uint16, is int32 of shape (1008,)"),
    (swap("x", lambda a: a[None]), "/x must be a row of uint16, is uint16 of shape (1, 1008)"),
    (swap("x", lambda a: a[:-1]), "x must have 1008 entries, has 1007"),
    (swap("p", lambda a: a[:-1]), "p must have 126 entries, has 125"),
    (swap("offsets", at(1, -3)), "offsets must rise from 0 to 1008"),
    (swap("offsets", at(2, 2**60)), "offsets must rise from 0 to 1008"),
    (swap("offsets", at(2, 2)), "a chunk must begin where a recording does"),
    (swap("chunk_offsets", at(-1, 2**62)), "chunk_offsets must rise from 0 to 1008"),
    (swap("id_offsets", at(1, 99)), "id_offsets must rise from 0 to 8"),
    (swap("labels", at(0, 2)), "labels are not those of the manifest"),
    (swap("base", at(0, -1)), "base must not be negative"),
    (swap("base", at(-1, 2**63 - 1)), "are more than int64 holds"),
])
def test_a_shard_that_does_not_fit(change, sentence, folder):
    path = folder / "00000.h5"
    rewritten(path, change)
    assert f"{path} has " in sentence_of(open_store(folder).__getitem__, 0) or path.stat().st_size == read_manifest(
        folder).shards[0].bytes
    restated(folder)
    said = sentence_of(open_store(folder).__getitem__, 0)
    assert sentence in said and str(path) in said
    faults = check_store(folder).faults
    assert len(faults) == 1 and sentence in faults[0]
    assert len(open_store(folder)[4]) == 333  # the other shards are as good as before


@pytest.mark.parametrize(("name", "index", "value", "number", "event"), [
    ("x", 500, 70, 3, 492), ("y", 0, 60, 1, 0), ("t", 20, 0, 3, 12),
])
def test_an_event_that_is_not_valid_is_named(name, index, value, number, event, folder):
    rewritten(folder / "00000.h5", swap(name, at(index, value)))
    restated(folder)
    said = sentence_of(open_store(folder).__getitem__, number)
    assert said.startswith(f"{folder / '00000.h5'}: recording {number} (r{number}): event {event} has t = ")
    assert check_store(folder).faults == (said,)
    if event:  # from the middle of the recording on
        assert f"event {event} has" in sentence_of(open_store(folder).store.events, number, event)


def test_compressed_and_outside_datasets_are_refused(folder):
    path = folder / "00001.h5"
    for options, sentence in (({"compression": "gzip"}, "/x must be contiguous, without compression; pack the data set again"),
                              ({"external": "/dev/zero"}, "/x points outside the file")):
        with h5py.File(path, "r+") as f:
            values = f["x"][()]
            del f["x"]
            f.create_dataset("x", values.shape, values.dtype, **options)
        restated(folder)
        assert sentence in sentence_of(open_store(folder).__getitem__, 4)


def test_a_shard_that_claims_more_than_its_file_has(folder):
    path = folder / "00001.h5"
    with h5py.File(path, "r+") as f:
        del f["t"]
        f.create_dataset("t", (2**40,), "<u4")  # nothing is allocated
    restated(folder)
    assert "/t claims 1099511627776 entries, which do not lie in its" in sentence_of(open_store(folder).__getitem__, 4)


def test_truncated_missing_and_foreign_shards(folder, tmp_path):
    path = folder / "00000.h5"
    good = path.read_bytes()
    for size in (0, 1, 100, 2048, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        assert f"{path} has {size} bytes, the manifest says {len(good)}" in sentence_of(open_store(folder).__getitem__, 0)
        restated(folder)
        assert str(path) in sentence_of(open_store(folder).__getitem__, 0)
        path.write_bytes(good)
        restated(folder)
    shutil.copy(folder / "00001.h5", path)
    restated(folder)
    assert str(path) in sentence_of(open_store(folder).__getitem__, 0)
    path.unlink()
    assert sentence_of(open_store(folder).__getitem__, 0, error=FileNotFoundError) == f"there is no file {path}"
    assert check_store(folder).faults == (f"there is no file {path}",)


def test_mutated_shards_give_an_error_or_valid_events(folder):
    path = folder / "00001.h5"
    good, rng, sensor = path.read_bytes(), np.random.default_rng(1), Sensor(60, 70)
    noticed = 0
    for _ in range(150):
        bad = bytearray(good)
        for place in rng.integers(0, len(good) if rng.random() < 0.5 else 2048, int(rng.integers(1, 6))):
            bad[place] = int(rng.integers(0, 256))
        path.write_bytes(bad)
        dataset = open_store(folder)
        try:
            events = dataset[4].events
        except ValueError as e:
            said = str(e)
        else:
            said = str(path)
            assert len(events) == 333 and (events["x"] < sensor.width).all() and (np.diff(events["t"]) >= 0).all()
        assert str(path) in said
        dataset.store.close()
        faults = check_store(folder).faults
        assert all(str(path) in fault for fault in faults)
        noticed += bool(faults) or bytes(bad) == good
    assert noticed == 150
    path.write_bytes(good)
    assert check_store(folder).faults == () and check_store(folder).events == 1351


def test_a_shard_has_a_name_a_checksum_and_sizes():
    assert sentence_of(Shard, "00000.h5", 1, "x", 1, 1) == "sha256 of 00000.h5 must be 64 hexadecimal digits, got 'x'"
