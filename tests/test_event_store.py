"""The event store: what is packed comes back to the last bit, from any process, and what is damaged is named."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim.datasets import EVENT, EventDataset, EventStore, Sensor, check_store, cut, make_events, open_store, pack
from snnsim.datasets.dataset import Memory
from snnsim.datasets.eventstore import manifest, mapped, packing

SENSOR = Sensor(60, 70)
CLASSES = ("a", "b", "c")


def random_events(count, seed, most=2**34, start=0):
    rng = np.random.default_rng(seed)
    return make_events(start + np.sort(rng.integers(0, most, count)), rng.integers(0, 70, count), rng.integers(0, 60, count),
                       rng.integers(0, 2, count))


def of(recordings, sensor=SENSOR, sources=None):
    labels = np.arange(len(recordings)) % 3
    sources = sources or [f"r{i}" for i in range(len(recordings))]
    store = Memory.of(recordings, sources) if recordings else Memory(np.empty(0, EVENT), np.zeros(1, np.int64), ())
    return EventDataset("some", sensor, CLASSES, labels, store)


def mixed():
    """Odd sizes, empty recordings at either end, times beyond 2^32 µs and at the end of int64."""
    last = make_events([2**63 - 3, 2**63 - 1], [0, 69], [59, 0], [1, 0])
    return of([random_events(n, n + 1, 2**36 if n % 2 else 300_000, 2**40 * (n % 3)) for n in (0, 1, 7, 1000, 333, 0, 8)]
              + [last, random_events(0, 0)])


def equal(one, other):
    assert (one.sensor, one.classes, len(one)) == (other.sensor, other.classes, len(other))
    assert one.labels.tolist() == other.labels.tolist()
    for a, b in zip(one, other, strict=True):
        assert a.source == b.source and a.events.dtype == b.events.dtype and a.events.tobytes() == b.events.tobytes()


def sentence_of(call, *arguments, error=ValueError, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


def with_times(times):
    return make_events(times, times % 70, times % 59, times % 2)


@st.composite
def times(draw):
    gaps = st.one_of(st.integers(0, 9), st.integers(2**32 - 2, 2**32 + 2), st.integers(0, 2**40))
    start = draw(st.sampled_from((0, 2**32 - 1, 2**40)))
    return start + np.cumsum(np.array(draw(st.lists(gaps, max_size=20)), np.int64))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every=st.lists(times(), max_size=6), most=st.integers(1, 30), block=st.sampled_from((8, 16, 2**20)))
def test_what_is_packed_comes_back(every, most, block, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOCK", block)
        patch.setattr(mapped, "BLOCK", block)
        dataset = of([with_times(t) for t in every])
        folder = tmp_path_factory.mktemp("store") / "s"
        found = pack(dataset, folder, shard_events=most, progress=False)
        equal(found, dataset)
        equal(pack(found, folder.parent / "again", progress=False), dataset)
        assert check_store(folder, progress=False).faults == ()
        for i, t in enumerate(every):
            for at in {0, *t.tolist(), *(t + 1).tolist(), 2**40}:
                assert found.store.index(i, at) == np.searchsorted(t, at)
        found.store.close()


def test_odd_sizes_and_extreme_times_over_several_shards(tmp_path):
    dataset = mixed()
    found = pack(dataset, tmp_path / "s", shard_events=300, provenance={"where": "here"})
    equal(found, dataset)
    store = found.store
    assert isinstance(store, EventStore) and store.manifest.provenance == {"where": "here"}
    assert [s.recordings for s in store.manifest.shards] == [4, 1, 4] and store.manifest.events == 1351
    equal(found[[5, 3, 3]], dataset[[5, 3, 3]])
    assert store.events(3, 990).tobytes() == dataset[3].events[990:].tobytes()
    assert store.events(3, 20, 10).size == 0 == store.index(0, 5)
    with pytest.raises(ValueError, match="read-only"):
        found[3].events["x"] = 0
    assert sentence_of(store.events, 9) == "number must be a whole number from 0 to 8, got 9"
    assert repr(store).endswith("9 recordings, 1351 events)")


def test_nothing_at_all_is_a_store_too(tmp_path):
    assert len(pack(of([]), tmp_path / "s")) == 0
    assert check_store(tmp_path / "s").faults == ()


def test_what_else_is_known_of_the_recordings_is_kept(tmp_path):
    extra = {"speaker": np.array([3, 1, 2], np.uint8), "light": np.array(["lab", "", "\u00fc"]),
             "old": np.array([True, False, True]), "age": np.array([0.1, np.nan, 3], np.float32)}
    some = replace(of([random_events(n, n) for n in (3, 0, 4)]), extra=extra)
    found = pack(some, tmp_path / "store")
    assert {name: str(v.dtype) for name, v in found.extra.items()} == {
        "speaker": "int64", "light": "<U3", "old": "bool", "age": "float64"}
    for name, values in extra.items():
        np.testing.assert_array_equal(found.extra[name], values)
    assert cut(found, 0.0, 50.0)[[2, 0]].extra["light"].tolist() == ["\u00fc", "lab"]
    assert found.store.checksum == pack(replace(some, extra={}), tmp_path / "plain").store.checksum
    for values in (np.array([2**63, 0, 1], np.uint64), np.array([1j, 0, 1]), np.array([None, 0, 1])):
        said = sentence_of(pack, replace(some, extra={"x": values}), tmp_path / "none")
        assert said == (f"extra 'x' must be of strings, truths, or numbers of 64 bits to be packed, got {values.dtype}")
    assert not (tmp_path / "none").exists()


def test_what_a_manifest_says_of_its_recordings_is_checked(tmp_path):
    pack(of([random_events(3, 1), random_events(2, 2)]), tmp_path)
    held = json.loads((tmp_path / "store.json").read_text())
    del held["sha256"]
    for extra, said in (({"x": ["object", [1, 2]]}, "extra must be of bool, int64, float64, str, got 'object'"),
                        ({"x": ["int64", [1, 2, 3]]}, "extra 'x' must have one value for each of the 2 recordings, got"),
                        ({"x": ["int64", [1, 2**70]]}, "OverflowError"), ({"x": ["int64", "ab"]}, "invalid literal"),
                        ({"x": ["str", ["a" * 100] + [""] * 10**6]}, "extra takes more memory than its file accounts for"),
                        ({"x": 7}, "TypeError"), ([7], "AttributeError")):
        given = {**held, "extra": extra}
        manifest.write_json(tmp_path / "store.json", {**given, "sha256": manifest.digest(given)})
        assert said in sentence_of(open_store, tmp_path), extra


def test_the_same_recordings_give_the_same_bytes(tmp_path):
    one, other = (pack(mixed(), tmp_path / name, shard_events=300) for name in "ab")
    assert one.store.checksum == other.store.checksum
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_paths_become_ids_below_the_folder_that_they_share(tmp_path):
    dataset = of([random_events(3, i) for i in range(2)], sources=[str(tmp_path / "x" / "0" / "a.bin"),
                                                                   str(tmp_path / "x" / "1" / "ä.bin")])
    found = pack(dataset, tmp_path / "s")
    assert [r.source for r in found] == ["0/a.bin", "1/ä.bin"]
    assert found.store.manifest.provenance == {"folder": str(tmp_path / "x")}


def test_opening_reads_only_the_manifest_and_closing_is_at_once(tmp_path):
    pack(mixed(), tmp_path / "s", shard_events=300).store.close()
    with EventStore(tmp_path / "s") as store:
        assert (len(store), store.opened) == (9, 0)
        store.events(0)
        held = store._mapped[0]._map
        assert store.opened == 1
    assert store.opened == 0 and held.closed
    assert len(store.events(3)) == 1000  # opened again


def test_the_number_of_open_files_is_bounded(tmp_path, monkeypatch):
    from snnsim.datasets.eventstore import reading

    monkeypatch.setattr(reading, "MOST_OPEN", 2)
    dataset = mixed()
    found = pack(dataset, tmp_path / "s", shard_events=1)
    equal(found, dataset)
    assert found.store.opened == 2


def test_threads_read_at_the_same_time(tmp_path):
    dataset = mixed()
    found = pack(dataset, tmp_path / "s", shard_events=300)
    wrong = []

    def read(seed):
        for i in np.random.default_rng(seed).integers(0, 9, 50):
            if found[i].events.tobytes() != dataset[i].events.tobytes():
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert wrong == []


def as_they_are(recordings):
    import torch

    return [(torch.from_numpy(r.events["t"].copy()), r.label, r.source) for r in recordings]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_data_loader(context, tmp_path):
    from torch.utils.data import DataLoader

    dataset = mixed()
    pack(dataset, tmp_path / "s", shard_events=300).store.close()
    found = open_store(tmp_path / "s")
    for used in (False, True):  # a store that the parent has read from is as good
        if used:
            assert sum(map(len, found)) == 1351
        if context == "spawn" and not used:  # each process that is spawned loads torch: once is enough
            continue
        loader = DataLoader(found, batch_size=2, num_workers=2, collate_fn=as_they_are, multiprocessing_context=context)
        rows = [row for batch in loader for row in batch]
        assert [(t.tolist(), label, source) for t, label, source in rows] == [
            (r.events["t"].tolist(), r.label, r.source) for r in dataset]
        assert found.store.opened == 3 * used


def test_a_store_is_sent_without_what_it_has_opened(tmp_path):
    import pickle

    found = pack(mixed(), tmp_path / "s")
    assert len(found[3]) == 1000
    sent = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert sent.store.opened == 0
    equal(sent, found)


class Failing:
    """A store whose recording 5 cannot be read, or is interrupted."""

    def __init__(self, of, error):
        self.of, self.error, self.read = of, error, []

    def __len__(self): return len(self.of)
    def source(self, number): return self.of.source(number)

    def events(self, number):
        self.read.append(number)
        if number == 5 and self.error:
            raise self.error
        return self.of.events(number)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_an_interrupted_conversion_is_refused_and_goes_on(error, tmp_path):
    dataset, folder = mixed(), tmp_path / "s"
    whole = EventDataset("some", SENSOR, CLASSES, dataset.labels, Failing(dataset.store, error))
    with pytest.raises(type(error)):
        pack(whole, folder, shard_events=300)
    assert sorted(p.name for p in folder.iterdir()) == ["00000.h5", "00001.h5", "unfinished.json"]
    assert sentence_of(open_store, folder) == (f"{folder} is an event store that was not finished: pack the same data set into "
                                               "it again, which goes on where it stopped")
    assert "of something else (other recordings" in sentence_of(pack, dataset[::-1], folder, shard_events=300)
    (folder / ".00002.h5.abc.tmp").write_bytes(b"what a killed process left")
    whole.store.error, whole.store.read = None, []
    found = pack(whole, folder, shard_events=300)
    assert whole.store.read == [0, 4, 5, 6, 7, 8]  # the first of each shard that is kept, and what was missing
    equal(found, dataset)
    assert sorted(p.name for p in folder.iterdir()) == ["00000.h5", "00001.h5", "00002.h5", "store.json"]
    assert sentence_of(pack, dataset, folder) == f"{folder} holds an event store already: give another folder, or remove it"


def test_a_resumed_conversion_trusts_nothing_that_changed(tmp_path):
    dataset, folder = mixed(), tmp_path / "s"
    whole = EventDataset("some", SENSOR, CLASSES, dataset.labels, Failing(dataset.store, ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        pack(whole, folder, shard_events=300)
    other = of([dataset[i].events if i != 4 else random_events(333, 99) for i in range(9)])
    assert "recording 4 of some is not what it was when" in sentence_of(pack, other, folder, shard_events=300)
    path = folder / "00001.h5"
    path.write_bytes(path.read_bytes()[:-1])
    whole.store.error = None
    equal(pack(whole, folder, shard_events=300), dataset)  # the shard that was damaged is written again


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "photo").write_text("mine")
    assert "is not empty, and no event store" in sentence_of(pack, mixed(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["photo"]
    assert sentence_of(open_store, tmp_path, error=FileNotFoundError).endswith(
        f"is not an event store: there is no file {tmp_path / 'store.json'}")


def test_what_is_not_valid_is_not_packed(tmp_path):
    bad = mixed()[3].events.copy()
    bad["x"][7] = 70
    dataset = of([random_events(3, 0), bad])
    assert sentence_of(pack, dataset, tmp_path / "s").startswith("recording 1, r1: event 7 has x = 70, y = ")
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["unfinished.json"]
    with packing.Spool(tmp_path, SENSOR) as spool:
        spool.append(with_times(np.array([5, 6])), "r")
        assert sentence_of(spool.append, with_times(np.array([4])), "r") == (
            "r: event 2 has t = 4 after 6: times must not run backwards")


def test_cut(tmp_path):
    dataset = mixed()
    found = pack(dataset, tmp_path / "s", shard_events=300)
    e = dataset[3].events
    start, stop = float(e["t"][100]) / 1000, float(e["t"][900]) / 1000
    for source in (dataset, found):
        part = cut(source, start, stop)
        assert part[3].events.tobytes() == e[100:900].tobytes()
        assert cut(source, start, None, 5, 20)[3].events.tobytes() == e[105:120].tobytes()
        equal(pack(part, tmp_path / f"cut of {source is found}"), part)
    assert sentence_of(cut, dataset, 5, 4) == "stop must not be before start, 5 ms, got 4 ms"
    assert sentence_of(cut, dataset, first=5, last=4) == "last must be at least first, 5, got 4"
