"""A known motion is undone exactly; an unknown one is found from the recordings; N-MNIST stands still where that is asked."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.methods import Job, described
from snnsim import save_network
from snnsim.datasets import (
    Camera,
    EventDataset,
    Motion,
    Recording,
    Sensor,
    estimate_motion,
    load,
    make_events,
    nmnist,
    stabilise,
    write_nmnist,
)
from snnsim.datasets.nmnist import MOTION
from tests.test_cli import RECIPE, snnsim
from tests.test_datasets_nmnist import REAL, SENSOR, recording, tree
from tests.test_plot import small_network

WALK = Motion([1000.0, 3000.0, 4000.0], [0.0, 3.0, -2.5], [-1.0, 1.0, 0.0])


def sentence_of(function, *arguments, **options):
    with pytest.raises(ValueError, match=".") as e:
        function(*arguments, **options)
    return str(e.value)


@pytest.mark.parametrize("sensor", [Sensor(34, 34), Sensor(9, 5), Sensor(1, 7, 1)], ids=str)
def test_each_event_goes_back_by_where_the_picture_is_at_its_time(sensor):
    rng = np.random.default_rng(3)
    n = 500
    e = make_events(np.sort(rng.integers(0, 5000, n)), rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n),
                    rng.integers(0, sensor.polarities, n))
    expected = []
    for t, x, y, p in e.tolist():
        u = min(max(t, 1000), 4000)
        share, first = ((u - 1000) / 2000, 0) if u < 3000 else ((u - 3000) / 1000, 1)
        right, down = ((1 - share) * v[first] + share * v[first + 1] for v in ((0.0, 3.0, -2.5), (-1.0, 1.0, 0.0)))
        x, y = int(np.floor(x - right + 0.5)), int(np.floor(y - down + 0.5))
        if 0 <= x < sensor.width and 0 <= y < sensor.height:
            expected.append((t, x, y, p))
    before = e.tobytes()
    assert WALK.undone(e, sensor).tolist() == expected
    assert 0 < len(expected) < n and e.tobytes() == before


def test_whole_pixels_there_and_back_lose_nothing():
    e = recording(1, 300, 4000)
    e = e[(e["x"] >= 5) & (e["x"] < 29) & (e["y"] >= 5) & (e["y"] < 29)]
    there, back = (Motion([0.0], [sign * 5.0], [sign * -4.0]) for sign in (1, -1))
    np.testing.assert_array_equal(back.undone(there.undone(e, SENSOR), SENSOR), e)
    assert np.any(there.undone(e, SENSOR)["x"] != e["x"])
    np.testing.assert_array_equal(Motion([7.0], [0.0], [0.0]).undone(e, SENSOR), e)
    assert len(WALK.undone(e[:0], SENSOR)) == 0


def camera_recordings(count):
    camera = Camera(mismatch=0.0, noise=0.5)
    rng = np.random.default_rng(0)
    images = np.kron(rng.random((count, 5, 5)) > 0.5, np.ones((4, 4)))
    recordings = [Recording(camera.record(image, i), 0, camera.sensor) for i, image in enumerate(images)]
    return camera, EventDataset.of(recordings, ("0",))


def sharpness(dataset):
    """How unequal the pixels' counts of all events are: their mean square."""
    pixels = [34 * r.events["y"].astype(int) + r.events["x"] for r in dataset]
    return np.mean([np.mean(np.bincount(p, minlength=34**2) ** 2.0) for p in pixels])


def test_the_motion_of_the_simulated_camera_is_undone_and_found():
    camera, data = camera_recordings(12)
    times, right, down = camera.path()
    still = stabilise(data, Motion(times, right, down))
    found = estimate_motion(data)
    assert sharpness(still) > 1.5 * sharpness(data)
    assert sharpness(stabilise(data, found)) > sharpness(still)  # a camera sees late: what is found fits its events better
    weights = np.bincount(np.concatenate([r.events["t"] // 10_000 for r in data]), minlength=30)
    for place, truth in ((found.right, right), (found.down, down)):
        away = place - np.interp(found.times, times, truth)
        assert np.sqrt(np.average((away - np.average(away, weights=weights)) ** 2, weights=weights)) < 0.5
        assert abs(np.average(place, weights=weights)) < 1e-9
    np.testing.assert_array_equal(found.times, 5000.0 + 10_000.0 * np.arange(30))


def test_a_recording_that_never_moves_has_no_motion():
    e = recording(4, 400, 100_000)
    e["x"][:], e["y"][:] = e["x"] // 12 * 12 + 4, e["y"] // 12 * 12 + 4
    found = estimate_motion(EventDataset.of([Recording(e, 0, SENSOR)], ("0",)))
    assert np.abs(found.right).max() == np.abs(found.down).max() == 0.0


def test_a_stabilised_set_keeps_labels_sources_and_order(tmp_path):
    train, test = nmnist(tree(tmp_path))
    still = load("nmnist", root=tmp_path, stabilised=True)
    for plain, moved in zip((train, test), still, strict=True):
        assert (plain.labels.tolist(), repr(plain)) == (moved.labels.tolist(), repr(moved))
        for i in (0, 7, -1):
            assert moved[i].source == plain[i].source and not moved[i].events.flags.writeable
            np.testing.assert_array_equal(moved[i].events, MOTION.undone(plain[i].events, SENSOR))
        np.testing.assert_array_equal(moved[3:5][1].events, moved[4].events)
    np.testing.assert_array_equal(load("nmnist", root=tmp_path, stabilised=False)[0][5].events, train[5].events)
    assert np.any(still[0][0].events["x"][:5] != train[0].events["x"][:5])


def test_errors_name_the_argument(tmp_path):
    assert sentence_of(Motion, [0.0, 1.0], [0.0], [0.0, 0.0]) == ("right must be [n], as many as times and at least one, "
                                                                   "got shape (1,)")
    assert sentence_of(Motion, [], [], []) == "times must be [n], as many as times and at least one, got shape (0,)"
    assert sentence_of(Motion, [0.0, 1.0], [0.0, 0.0], [0.0, np.nan]).startswith("down must be finite, got ")
    assert sentence_of(Motion, [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]) == "times must ascend, and none may come twice"
    assert sentence_of(WALK.undone, recording(), Sensor(2, 2)).startswith("events: event 0 has x = ")
    data = EventDataset.of([Recording(recording(), 0, SENSOR)], ("0",))
    assert sentence_of(estimate_motion, data, step=0.0) == "step must be above 0, got 0.0"
    assert sentence_of(estimate_motion, data, most=0) == "most must be a whole number from 1, got 0"
    assert sentence_of(estimate_motion, data, rounds=1.5) == "rounds must be a whole number from 1, got 1.5"
    assert sentence_of(estimate_motion, data[:0]) == "recordings is empty: there is nothing to estimate the motion from"
    tree(tmp_path)
    assert sentence_of(load, "nmnist", root=tmp_path, stabilised="True") == "stabilised must be true or false, got 'True'"
    assert sentence_of(load, "nmnist", root=tmp_path, still=True) == (
        "nmnist has no option 'still': allowed are stabilised, pool, polarities, every, synthetic, each, events")


@pytest.mark.skipif(not Path(REAL).is_dir(), reason=f"there are no real N-MNIST files in {REAL}")
def test_the_table_is_what_the_real_recordings_say():
    train, _ = nmnist(REAL)
    some = train[3::20].load(progress=False)
    found = estimate_motion(some, rounds=4)
    busy = np.bincount(np.concatenate([r.events["t"] // 10_000 for r in some]), minlength=len(found.times)) > 40 * len(some)
    for name in ("right", "down"):
        away = (getattr(found, name)[:30] - getattr(MOTION, name))[busy[:30]]
        assert np.abs(away).max() <= 0.25
    assert busy.sum() > 20
    assert sharpness(stabilise(some, MOTION)) > 1.5 * sharpness(some)


def test_the_command_line_stabilises_event_files(tmp_path):
    e = recording(1)
    e["x"][0] = 0  # at the edge, and what is there at first is off the sensor when it stands still
    e["t"][0], e["x"][-1] = 200_000, 1
    e = e[np.argsort(e["t"])]
    write_nmnist(tmp_path / "a.bin", e)
    save_network(small_network(), tmp_path / "net.h5")
    command = ("run", tmp_path / "net.h5", tmp_path / "a.bin", "--json", "--option")
    events = [json.loads(snnsim(*command, f"stabilised={value}"))["events"] for value in ("false", "true")]
    assert events == [[len(e)], [len(MOTION.undone(e, SENSOR))]] and events[0] > events[1]
    assert "stabilised must be true or false, got 3" in snnsim(*command, "stabilised=3", code=1)


def test_a_recipe_that_stabilises_says_how_its_net_is_run(tmp_path, monkeypatch):
    tree(tmp_path / "data")
    text = RECIPE.replace("validation = 0.2", "validation = 0.0\n[data.options]\nstabilised = true")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told = snnsim("train", "mine.toml", "--data", "data", "--epochs", 1, "--threads", 1)
    assert "20 recordings to train on, the last epoch is kept; 20 to test" in told
    following = re.search(r"next: snnsim (.*--option stabilised=true)$", told, re.MULTILINE)
    assert following is not None
    found = json.loads(snnsim(*following.group(1).split(), "--json"))
    _, test = load("nmnist", root="data", stabilised=True)
    assert found["events"] == [len(r) for r in test]


def test_the_benchmark_of_methods_takes_the_recipes_data(tmp_path):
    tree(tmp_path / "nmnist")
    job = Job("nmnist", "baseline", 1)
    recipe = replace(job.recipe(), data=replace(job.recipe().data, options={"stabilised": True}))
    _, test = job.data(recipe, tmp_path)
    np.testing.assert_array_equal(test[3].events, load("nmnist", root=tmp_path / "nmnist", stabilised=True)[1][3].events)
    epoch = {"validation_accuracy": None, "seconds": 2.0}
    result = {"history": {"chosen": 0, "epochs": [epoch]}, "test": {"accuracy": 0.5, "rates": [0.1]}}
    row = described({job: result}, {job: result})
    assert (row["accuracy"], row["validation"], row["seconds"]) == (50.0, None, 2.0)
