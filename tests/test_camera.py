"""The simulated event camera: its pixel against a slow one, its noise, its seeds, and the digits it sees."""

import math
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import Camera, Sensor, bin_events, digits_events, validate

SETTINGS = settings(deadline=None)  # the first example compiles the kernels
QUIET = {"noise": 0.0, "mismatch": 0.0}
BAR = np.zeros((8, 8))
BAR[:, 3:5] = 1.0


def light(camera, image, x, y, right, down):
    """What pixel (x, y) sees of the image when it is moved by (right, down): bilinear, dark outside."""
    scale = max(image.shape) / camera.size
    row = (y + 0.5 - camera.sensor.height / 2 - down) * scale + image.shape[0] / 2 - 0.5
    column = (x + 0.5 - camera.sensor.width / 2 - right) * scale + image.shape[1] / 2 - 0.5
    r, c = math.floor(row), math.floor(column)
    padded = np.pad(image, 1)
    total = 0.0
    for i, j in ((r, c), (r, c + 1), (r + 1, c), (r + 1, c + 1)):
        if -1 <= i <= image.shape[0] and -1 <= j <= image.shape[1]:
            total += (1 - abs(row - i)) * (1 - abs(column - j)) * padded[i + 1, j + 1]
    return total


@pytest.mark.parametrize("refractory", [0.0, 1.0, 7.0])
def test_a_pixel_does_what_its_docstring_says(refractory):
    """Each event stands where L has changed by the threshold since the last one, and nowhere did it change by more."""
    camera = Camera(Sensor(9, 11), 7.0, 4.0, refractory=refractory, threshold=0.21, **QUIET)
    image = np.random.default_rng(1).random((4, 5))
    events = camera.record(image)
    assert len(events) > 500
    times, right, down = camera.path()
    for y, x in np.ndindex(9, 11):
        seen = np.log([camera.floor + light(camera, image, x, y, r, d) for r, d in zip(right, down, strict=True)])
        level = np.interp(np.arange(times[-1]), times, seen)
        close = 2.0 * np.abs(np.diff(level)).max() + 1e-12  # times are cut to microseconds
        last, free = level[0], 0
        for t, p in events[["t", "p"]][(events["x"] == x) & (events["y"] == y)].tolist():
            assert abs(abs(level[t] - last) - 0.21) <= close
            assert p == (level[t] > last)
            assert np.all(np.abs(level[free:t] - last) < 0.21 + close)
            free = t + int(1000 * refractory)
            last = level[min(free, len(level) - 1)] if refractory else last + (0.21 if p else -0.21)
        assert np.all(np.abs(level[free:] - last) < 0.21 + close)


def test_an_edge_that_comes_is_on_and_one_that_leaves_is_off():
    events = Camera(**QUIET).record(BAR)
    first = events[events["t"] < 100_000]  # the picture moves to the right and down
    assert set(np.unique(events["p"])) == {0, 1}
    assert first["x"][first["p"] == 1].mean() > first["x"][first["p"] == 0].mean() + 3
    back = events[events["t"] >= 200_000]  # and at last to the left
    assert back["x"][back["p"] == 1].mean() < back["x"][back["p"] == 0].mean() - 3


def test_the_path_is_a_triangle_that_closes():
    times, right, down = Camera(amplitude=6.0, step=1.0).path()
    assert (times[0], times[-1], len(times)) == (0.0, 300_000.0, 301)
    corners = [(right[i], down[i]) for i in (0, 100, 200, 300)]
    np.testing.assert_allclose(corners, [(-3, -3), (0, 3), (3, -3), (-3, -3)], atol=1e-9)


def test_a_still_camera_sees_noise_only_and_as_much_as_asked():
    camera = Camera(amplitude=0.0, noise=2.0, seed=3)
    counts = [len(e) for e in camera.record_all([BAR] * 200)]
    expected = 2.0 * 0.3 * 34 * 34
    assert abs(np.mean(counts) - expected) < 4 * math.sqrt(expected / 200)
    assert len(Camera(amplitude=0.0, noise=0.0).record(BAR)) == 0


@settings(SETTINGS, max_examples=25)
@given(st.integers(0, 2**40), st.integers(1, 9), st.integers(1, 9), st.floats(0.0, 5.0), st.floats(0.02, 2.0))
def test_events_are_valid_and_a_function_of_the_seed(seed, rows, columns, refractory, threshold):
    camera = Camera(Sensor(7, 9), size=6.0, duration=20.0, refractory=refractory, threshold=threshold, mismatch=0.5,
                    noise=5.0, seed=seed)
    image = np.random.default_rng(seed).random((rows, columns))
    events = camera.record(image, sample=4)
    validate(events, camera.sensor)
    assert len(events) == 0 or events["t"][-1] < 20_000
    again = Camera(Sensor(7, 9), size=6.0, duration=20.0, refractory=refractory, threshold=threshold, mismatch=0.5,
                   noise=5.0, seed=seed).record_all([image] * 5)
    assert again[4].tobytes() == events.tobytes()


def test_seeds_and_samples_differ():
    a, b = Camera(seed=1), Camera(seed=2)
    recordings = {e.tobytes() for e in (a.record(BAR), a.record(BAR, 1), b.record(BAR), b.record(BAR, 1))}
    assert len(recordings) == 4


def test_more_events_than_the_first_buffer_holds():
    events = Camera(threshold=0.01, refractory=0.0, **QUIET).record(BAR)
    assert len(events) > 2**14
    validate(events, Sensor(34, 34))


@pytest.mark.parametrize(("change", "sentence"), [
    ({"threshold": 0.0}, "threshold must be at least 0.01, got 0.0"),
    ({"size": float("nan")}, "size must be finite, got nan"),
    ({"floor": 0.0}, "floor must be above 0, got 0.0"),
    ({"noise": -1.0}, "noise must be at least 0, got -1.0"),
    ({"duration": 0.0}, "duration must lie from 1 to 1e6 ms, got 0.0"),
    ({"step": 1e-9}, "step must be at least a millionth of duration = 300 ms, got 1e-09"),
    ({"seed": -1}, "seed must be a whole number from 0, got -1"),
    ({"sensor": Sensor(3, 3, 1)}, "sensor must have two polarities, got Sensor(height=3, width=3, polarities=1)"),
])
def test_wrong_settings_are_named(change, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Camera(**change)


@pytest.mark.parametrize(("image", "sentence"), [
    (np.full((2, 2), 1.5),
     "image must be [rows, columns] with values from 0 to 1, got shape (2, 2) with values from 1.5 to 1.5"),
    (np.zeros(3), "image must be [rows, columns] with values from 0 to 1, got shape (3,) with values from 0 to 0"),
    (np.zeros((0, 3)), "image must be [rows, columns] with values from 0 to 1, got shape (0, 3)"),
])
def test_wrong_images_are_named(image, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Camera().record(image)


def test_digits_events():
    train, test = digits_events()
    assert (len(train), len(test), train.sensor, train.classes) == (1437, 360, Sensor(34, 34), tuple("0123456789"))
    assert not {r.source for r in train} & {r.source for r in test}
    assert np.bincount(test.labels).min() >= 35
    counts = np.array([len(r) for r in train])
    assert 1000 < counts.min() < counts.mean() < 3000
    assert max(r.events["t"][-1] for r in train) < 300_000
    i = int(test[7].source.removeprefix("digit "))
    sklearn = pytest.importorskip("sklearn.datasets")
    np.testing.assert_array_equal(test[7].events, Camera().record(sklearn.load_digits().images[i] / 16.0, i))


def test_digits_events_can_be_learnt_by_a_line():
    """A least-squares classifier on three count images; logistic regression gives 97 %."""
    train, test = digits_events()

    def features(dataset):
        dense = bin_events([r.events for r in dataset], dataset.sensor, 100.0, steps=3).dense()
        coarse = dense.transpose(1, 0, 2, 3, 4).reshape(len(dataset), 3, 2, 17, 2, 17, 2).sum((4, 6))
        return np.sqrt(coarse.reshape(len(dataset), -1))

    x, y = features(train), np.eye(10)[train.labels]
    weight = np.linalg.solve(x.T @ x + 30.0 * np.eye(x.shape[1]), x.T @ y)
    assert np.mean((features(test) @ weight).argmax(1) == test.labels) > 0.93


def test_without_sklearn_the_remedy_is_named(monkeypatch):
    digits_events.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError) as caught:
        digits_events()
    assert str(caught.value) == 'scikit-learn is missing: pip install "snnsim[data]"'
