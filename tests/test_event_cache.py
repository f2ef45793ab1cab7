"""The cache: other events, another transform, seed or version is another folder; the same is read, not computed."""

import importlib.util
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from snnsim import datasets
from snnsim.datasets import Augment, EventDataset, cache_key, cached, pack
from snnsim.datasets.eventstore import cache
from snnsim.datasets.transforms import Compose, Crop, Downsample, Flip
from tests.test_event_store import SENSOR, equal, mixed, of, random_events, sentence_of

CALLS = []


@dataclass(frozen=True)
class Late:
    by: int = 5
    table: np.ndarray = field(default_factory=lambda: np.zeros(2000))

    def __call__(self, events, sensor, seed):
        CALLS.append(seed)
        events = events.copy()
        events["t"] += self.by
        return events


class Told:
    def __init__(self, by): self.by = by
    def __repr__(self): return f"Told({self.by})"
    def __call__(self, events, sensor, seed): return events


class Mute(Told):
    __repr__ = object.__repr__


def small():
    return of([random_events(n, n) for n in (0, 3, 50)])


def test_what_is_cached_is_what_the_transform_gives_and_is_computed_once(tmp_path):
    CALLS.clear()
    dataset = small()
    found = cached(dataset, Late(), tmp_path)
    assert [r.events["t"].tolist() for r in found] == [(r.events["t"] + 5).tolist() for r in dataset]
    assert [r.source for r in found] == ["r0", "r1", "r2"] and len(set(CALLS)) == 3
    equal(cached(small(), Late(), tmp_path), found)
    assert len(CALLS) == 3 and [p.name for p in tmp_path.iterdir()] == [cache_key(dataset, Late())]


def test_a_transform_to_another_sensor_is_cached_as_it_is(tmp_path):
    steps = Compose(Crop(40, 50), Downsample(2), Flip("x"))
    equal(cached(small(), steps, tmp_path), steps(small()))
    others = (Crop(40, 50), Crop(40, 50, 0), Compose(Crop(40, 50)), Compose(*steps.stages[:2]), Flip("x"), Flip("x", seed=1),
              Flip("x", 0.5), Downsample(2), Downsample((2, 3)))
    assert len({cache_key(small(), t) for t in (steps, *others)}) == 10


def test_every_input_is_in_the_key(tmp_path):
    dataset = small()
    changed = dataset[1].events.copy()
    changed["t"][2] += 1
    relabelled = EventDataset("some", SENSOR, dataset.classes, [0, 1, 1], dataset.store)
    stored = pack(dataset, tmp_path / "a")
    table = np.zeros(2000)
    table[1000] = 1e-12  # where a repr has dots, and less than it prints
    keys = [cache_key(*a) for a in (
        (dataset, Late()), (dataset, Late(), 1), (dataset, Late(6)), (dataset, Late(5, table)),
        (dataset, Late(5, np.zeros(1999))),
        (dataset, Late(5.0)), (dataset, Augment(shift=1)), (dataset, Augment(shift=2)), (dataset, Augment(drop=0.1)),
        (dataset, Augment(drop=0.1 + 1e-16)), (dataset, [Augment(shift=1)]), (dataset, Told(1)), (dataset, Told(2)),
        (of([dataset[0].events, changed, dataset[2].events]), Late()), (dataset[::-1], Late()), (dataset[:2], Late()),
        (relabelled, Late()), (of([r.events for r in dataset], datasets.Sensor(61, 70)), Late()), (stored, Late()),
        (stored[:2], Late()), (pack(relabelled, tmp_path / "b"), Late()))]
    same = 0.1 + 1e-16 == 0.1
    assert len(set(keys)) == len(keys) - same
    assert cache_key(small(), Late()) == keys[0] and cache_key(datasets.open_store(tmp_path / "a"), Late()) == keys[18]


def test_another_version_is_another_key(monkeypatch):
    before = cache_key(small(), Late())
    monkeypatch.setattr(cache, "__version__", "9.9")
    assert cache_key(small(), Late()) != before


def test_the_code_of_a_transform_is_in_the_key(tmp_path):
    keys = set()
    for add in (1, 2):
        path = tmp_path / f"v{add}" / "mine.py"
        path.parent.mkdir()
        path.write_text(f"def helper(): return {add}\n\ndef later(events, sensor, seed): return events + helper()\n")
        spec = importlib.util.spec_from_file_location("mine", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(__import__("sys").modules, "mine", module)
            keys.add(cache_key(small(), module.later))
    assert len(keys) == 2


@pytest.mark.parametrize(("transform", "sentence"), [
    (lambda events, sensor, seed: events, "transform must not be a lambda or a local function"),
    (Mute(1), "transform must have a repr that says all of its parameters, or be a dataclass, got <"),
    (partial(random_events, 3), "transform must have a repr that says all of its parameters, or be a dataclass"),
    (Late(table=object()), "transform.table"),
])
def test_a_transform_that_cannot_be_told_is_refused(transform, sentence, tmp_path):
    assert sentence in sentence_of(cached, small(), transform, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_transform_that_fails_leaves_nothing(tmp_path):
    assert "times must not be negative" in sentence_of(cached, mixed(), Late(-2**62), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_seed_changes_what_is_random_and_nothing_else_does(tmp_path):
    dataset, move = small(), Augment(drop=0.5)
    one, again, other = cached(dataset, move, tmp_path / "a"), cached(dataset, move, tmp_path / "b"), cached(
        dataset, move, tmp_path / "a", seed=1)
    equal(one, again)
    assert one[2].events.tobytes() != other[2].events.tobytes()
    assert sentence_of(cached, dataset, move, tmp_path, seed=-1).startswith("seed must be a whole number")
