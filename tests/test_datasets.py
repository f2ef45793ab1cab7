"""Events, recordings, data sets, splits and augmentation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import datasets
from snnsim.datasets import EVENT, Augment, EventDataset, Recording, Sensor, load, make_events, split, validate

SETTINGS = settings(deadline=None)  # the first example compiles the kernels
SENSOR = Sensor(6, 8)


def events(n=50, seed=0, sensor=SENSOR):
    rng = np.random.default_rng(seed)
    return make_events(np.sort(rng.integers(0, 10_000, n)), rng.integers(0, sensor.width, n),
                       rng.integers(0, sensor.height, n), rng.integers(0, sensor.polarities, n))


def dataset(labels, classes=4):
    return EventDataset.of([Recording(events(5, i), label, SENSOR, f"r{i}") for i, label in enumerate(labels)],
                           [f"class {c}" for c in range(classes)], "some")


def sentence_of(function, *arguments, error=ValueError, **options):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return str(caught.value)


FIELDS = ("must be an array with the fields t (int64, µs), x, y (uint16) and p (uint8), got {}: make one with "
          "datasets.make_events(t, x, y, p)")


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda e: [1, 2], "events " + FIELDS.format("list")),
    (lambda e: e["t"], "events " + FIELDS.format("int64")),
    (lambda e: e[["x", "t"]], None),
    (lambda e: e.reshape(5, 10), "events must be one-dimensional, got shape (5, 10)"),
])
def test_arrays_that_are_no_events(change, sentence):
    said = sentence_of(validate, change(events()))
    assert said == sentence if sentence else said.startswith("events must be an array with the fields")


@pytest.mark.parametrize(("field", "index", "value", "sentence"), [
    ("t", 0, -5, "events: event 0 has t = -5: times must not be negative"),
    ("t", 3, 9_999, "events: event 4 has t = {4} after 9999: times must not run backwards"),
    ("x", 7, 8, "events: event 7 has x = 8, y = {y}: outside the sensor of width 8 and height 6"),
    ("y", 0, 6, "events: event 0 has x = {x}, y = 6: outside the sensor of width 8 and height 6"),
    ("p", 49, 2, "events: event 49 has p = 2: the sensor knows 0 and 1"),
])
def test_the_first_wrong_event_is_named(field, index, value, sentence):
    e = events()
    e[field][index] = value
    said = sentence_of(validate, e, SENSOR)
    sentence = sentence.replace("{4}", str(e["t"][4]))
    assert said == sentence.replace("{y}", str(e["y"][index])).replace("{x}", str(e["x"][index]))


def test_without_a_sensor_places_are_free_but_polarity_is_not():
    e = events()
    e["x"] = 60_000
    validate(e)
    e["p"][9] = 3
    assert sentence_of(validate, e) == "events: event 9 has p = 3: the sensor knows 0 and 1"
    assert sentence_of(validate, events(), Sensor(6, 8, 1)).endswith("has p = 1: the sensor knows only 0")


def test_make_events_never_wraps_a_number():
    assert make_events([], [], [], []).dtype == EVENT
    assert make_events([1.0], [2], [3], [True]).tolist() == [(1, 2, 3, 1)]
    assert sentence_of(make_events, [0], [-1], [0], [0]) == "x must hold whole numbers from 0 to 65535"
    assert sentence_of(make_events, [0.5], [1], [0], [0]) == ("t must hold whole numbers from -9223372036854775808 to "
                                                              "9223372036854775807")
    assert sentence_of(make_events, [math.nan], [1], [0], [0]).startswith("t must hold whole numbers")
    assert sentence_of(make_events, [0, 1], [1], [0, 0], [0, 0]) == "x must be a row of 2 numbers, as t, got shape (1,)"


def test_a_sensor_is_checked():
    assert (Sensor(3, 4).shape, Sensor(3, 4, 1).size) == ((2, 3, 4), 12)
    assert sentence_of(Sensor, 0, 3) == "height must be a whole number from 1 to 65536, got 0"
    assert sentence_of(Sensor, 1, 3, 3) == "polarities must be a whole number from 1 to 2, got 3"
    assert sentence_of(Sensor, 2**16, 2**16) == "a sensor has at most 2147483647 features, got 2 x 65536 x 65536"


def test_a_recording_is_checked_and_cannot_be_changed():
    e = events()
    r = Recording(e, 3, SENSOR, "a file")
    e["x"] = 0
    assert r.events["x"].any()
    with pytest.raises(ValueError, match="read-only"):
        r.events["x"] = 0
    assert repr(r) == "Recording(50 events, label=3, Sensor(height=6, width=8, polarities=2), source='a file')"
    assert sentence_of(Recording, events(), 1.5, SENSOR) == "label must be a whole number, got 1.5"
    assert sentence_of(Recording, events(), 1, Sensor(1, 1), "f").startswith("events of f: event 0 has x = ")


def test_indexing():
    d = dataset([0, 1, 2, 3, 0, 1])
    assert repr(d) == "EventDataset('some', 6 recordings, 6x8x2, 4 classes)"
    assert (d[-1].label, d[np.int64(2)].source) == (1, "r2")
    assert [r.label for r in d] == d.labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert [r.source for r in d[1:4][::-1]] == ["r3", "r2", "r1"]
    assert [r.source for r in d[[5, 0, 5]]] == ["r5", "r0", "r5"]
    assert [r.source for r in d[d.labels == 0]] == ["r0", "r4"]
    assert len(d[[]]) == len(d[10:]) == 0
    assert sentence_of(d.__getitem__, 6, error=IndexError) == "some has 6 recordings, there is none with index 6"
    with pytest.raises(IndexError):
        _ = d[[0, 6]]
    with pytest.raises(TypeError, match="an index is a whole number, a slice"):
        _ = d[[0.5]]
    with pytest.raises(ValueError, match="read-only"):
        d.labels[0] = 1
    np.testing.assert_array_equal(d[3].events, events(5, 3))


def test_a_data_set_is_checked():
    assert sentence_of(dataset, [0, 4]) == "labels must lie from 0 to 3, as there are 4 classes, got 0 to 4"
    assert sentence_of(EventDataset.of, [], "ab") == "recordings must hold at least one recording, got none"
    other = Recording(events(5, 0, Sensor(2, 2)), 0, Sensor(2, 2))
    assert sentence_of(EventDataset.of, [dataset([0])[0], other], "ab").startswith(
        "recordings must be of one sensor: recording 1 is of Sensor(height=2")
    d = dataset([0, 1])
    assert sentence_of(EventDataset, "n", SENSOR, ("a", "b"), [0], d.store) == (
        "labels must be one for each of the 2 recordings, got shape (1,)")


@settings(SETTINGS, max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.floats(0.0, 1.0), st.integers(0, 2**40))
def test_a_split_is_disjoint_covering_stratified_and_seeded(labels, fraction, seed):
    d = dataset(labels)
    rest, held = split(d, fraction, seed)
    sources = [r.source for r in rest], [r.source for r in held]
    assert sorted(sources[0] + sources[1]) == sorted(r.source for r in d)
    assert len(held) == round(fraction * len(d))
    for c in range(4):
        share = fraction * labels.count(c)
        assert math.floor(share) <= np.sum(held.labels == c) <= math.ceil(share)
    assert sources == tuple([r.source for r in part] for part in split(d, fraction, seed))
    assert all(part == sorted(part, key=lambda r: int(r[1:])) for part in sources)


def test_a_split_depends_on_its_seed():
    d = dataset([0] * 30)
    chosen = {tuple(r.source for r in split(d, 0.5, seed)[1]) for seed in range(5)}
    assert len(chosen) == 5
    assert sentence_of(split, d, 1.5) == "fraction must lie from 0 to 1, got 1.5"
    assert sentence_of(split, d, math.nan) == "fraction must be finite, got nan"


def test_load_knows_its_names():
    assert sentence_of(load, "mnist") == (
        "name must be one of 'digits-events', 'nmnist', 'spoken-digits', 'shd', 'ssc', 'dvs-gesture', 'cifar10-dvs', "
        "'n-caltech101', 'n-cars', 'store', got 'mnist'")
    assert sentence_of(load, "nmnist").startswith('nmnist needs root, the folder that holds Train and Test: '
                                                  'datasets.load("nmnist", root=...); download Train.zip, Test.zip (size ')
    assert sentence_of(load, "digits-events", root="x") == ("digits-events is simulated and needs no files: leave root "
                                                            "out, got 'x'")
    assert sentence_of(load, "digits-events", seed=-1) == "seed must be a whole number from 0, got -1"


def test_all_public_names_exist():
    assert all(hasattr(datasets, name) for name in datasets.__all__)


ALL = Augment(shift=2, rotate=20.0, scale=0.2, shear=0.2, drop=0.2, stretch=0.1, jitter=0.5, elastic=2.0)


def naive_affine(e, sensor, angle, size, shear, right, down):
    """Shear, rotate, scale about the middle, shift; to the nearest pixel, or None."""
    x, y = e["x"] - (sensor.width - 1) / 2, e["y"] - (sensor.height - 1) / 2
    x = x + shear * y
    x, y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    x = math.floor(size * x + (sensor.width - 1) / 2 + right + 0.5)
    y = math.floor(size * y + (sensor.height - 1) / 2 + down + 0.5)
    return (x, y) if 0 <= x < sensor.width and 0 <= y < sensor.height else None


@settings(SETTINGS, max_examples=50)
@given(st.integers(0, 2**63), st.integers(0, 100))
def test_augmented_events_are_valid_fewer_and_a_function_of_the_seed(seed, n):
    e = events(n, seed)
    before = e.tobytes()
    out = ALL(e, SENSOR, seed)
    validate(out, SENSOR)
    assert len(out) <= n
    assert ALL(e, SENSOR, seed).tobytes() == out.tobytes()
    assert e.tobytes() == before


def test_nothing_asked_nothing_changed():
    e = events()
    out = Augment()(e, SENSOR, 5)
    np.testing.assert_array_equal(out, e)
    assert not np.shares_memory(out, e)


@pytest.mark.parametrize("seed", range(8))
def test_the_picture_moves_as_a_whole(seed):
    sensor = Sensor(34, 30)
    e = events(400, seed, sensor)
    drawn = np.random.default_rng(seed)
    angle, scale, shear, _ = drawn.uniform(-1.0, 1.0, 4) * (math.radians(15.0), 0.2, 0.1, 0.0)
    right, down = drawn.integers(-3, 3, 2, endpoint=True)
    places = [naive_affine(a, sensor, angle, 1.0 + scale, shear, right, down) for a in e]
    kept = np.array([p is not None for p in places])
    out = Augment(shift=3, rotate=15.0, scale=0.2, shear=0.1)(e, sensor, seed)
    np.testing.assert_array_equal(out["t"], e["t"][kept])
    np.testing.assert_array_equal(out["p"], e["p"][kept])
    assert list(zip(out["x"].tolist(), out["y"].tolist(), strict=True)) == [p for p in places if p is not None]


def bilinear(knots, x, y, each=8):
    """The value between the knots, as a sum of tents."""
    return sum(knots[r, c] * max(0.0, 1.0 - abs(y / each - r)) * max(0.0, 1.0 - abs(x / each - c))
               for r in range(knots.shape[0]) for c in range(knots.shape[1]))


@pytest.mark.parametrize("sensor", [Sensor(34, 30), Sensor(17, 16), Sensor(1, 65), Sensor(9, 3)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_an_elastic_picture_bends_between_its_knots_and_then_moves_as_a_whole(sensor, seed):
    e = events(400, seed, sensor)
    drawn = np.random.default_rng(seed)
    angle, scale, shear, _ = drawn.uniform(-1.0, 1.0, 4) * (math.radians(10.0), 0.2, 0.1, 0.0)
    right, down = drawn.integers(-1, 1, 2, endpoint=True)
    knots = drawn.uniform(-3.0, 3.0, (2, -(-sensor.height // 8) + 1, -(-sensor.width // 8) + 1))
    places = []
    for x, y in zip(e["x"].astype(float), e["y"].astype(float), strict=True):
        bent = {"x": x + bilinear(knots[0], x, y), "y": y + (bilinear(knots[1], x, y) if sensor.height > 1 else 0.0)}
        places.append(naive_affine(bent, sensor, angle, 1.0 + scale, shear, right, down if sensor.height > 1 else 0))
    kept = np.array([p is not None for p in places])
    out = Augment(shift=1, rotate=10.0, scale=0.2, shear=0.1, elastic=3.0)(e, sensor, seed)
    assert kept.any() and len(set(places)) > 1
    np.testing.assert_array_equal(out[["t", "p"]], e[["t", "p"]][kept])
    assert list(zip(out["x"].tolist(), out["y"].tolist(), strict=True)) == [p for p in places if p is not None]


def test_elastic_moves_no_pixel_further_than_it_says():
    e = make_events(np.arange(34 * 34), np.tile(np.arange(34), 34), np.repeat(np.arange(34), 34), np.zeros(34 * 34, int))
    most = 0.0
    for seed in range(20):
        out = Augment(elastic=2.0)(e, Sensor(34, 34), seed)
        for name in "xy":
            moved = np.abs(out[name].astype(int) - e[name][out["t"]])
            most = max(most, float(moved.max()))
    assert most == 2.0


def test_drop_stretch_and_jitter():
    e = events(5000, 1)
    shares = [len(Augment(drop=0.3)(e, SENSOR, s)) / 5000 for s in range(20)]
    assert abs(np.mean(shares) - 0.7) < 0.01
    assert len(Augment(drop=1.0)(e, SENSOR, 0)) == 0
    stretched = Augment(stretch=0.2)(e, SENSOR, 3)
    ratio = stretched["t"][-1] / e["t"][-1]
    assert 0.8 <= ratio <= 1.2
    assert ratio != 1.0
    assert np.all(np.abs(stretched["t"] - ratio * e["t"]) < 2)
    late = Augment(jitter=0.1)(e, SENSOR, 3)
    assert sorted(late[["x", "y", "p"]].tolist()) == sorted(e[["x", "y", "p"]].tolist())
    assert np.any(late["t"] != e["t"])
    assert np.abs(np.sort(late["t"]) - e["t"]).max() <= 100


def test_augment_says_what_it_does_and_checks_it():
    assert repr(Augment(shift=2)) == ("Augment(shift=2, rotate=0.0, scale=0.0, shear=0.0, drop=0.0, stretch=0.0, "
                                      "jitter=0.0, elastic=0.0)")
    assert sentence_of(Augment, drop=1.5) == "drop must be a probability from 0 to 1, got 1.5"
    assert sentence_of(Augment, shift=1.5) == "shift must be a whole number from 0, got 1.5"
    assert sentence_of(Augment, rotate=-1.0) == "rotate must be at least 0, got -1.0"
    assert sentence_of(Augment, elastic=-0.5) == "elastic must be at least 0, got -0.5"
    assert sentence_of(Augment, elastic=math.inf) == "elastic must be finite, got inf"
    assert sentence_of(Augment, scale=1.0) == "scale must be below 1, got 1.0"
    assert sentence_of(Augment(), events(), Sensor(2, 2), 0).startswith("events: event 0 has x = ")
    assert sentence_of(Augment(), events(), SENSOR, -1) == "seed must be a whole number from 0, got -1"
