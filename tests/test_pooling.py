"""Coarser recordings: which pixel an event goes to, which events are kept, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnsim import datasets
from snnsim.datasets import EventDataset, Pool, Recording, Sensor, make_events, pooled


def recording(seed: int = 0) -> Any:
    rng, sensor, n = np.random.default_rng(seed), Sensor(34, 30), 400
    return make_events(np.sort(rng.integers(0, 9000, n)), rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n),
                       rng.integers(0, sensor.polarities, n))


def test_every_event_goes_to_the_rectangle_that_it_lies_in() -> None:
    events, pool = recording(), Pool(Sensor(34, 30), 8, 5, polarities=1)
    found = pool(events)
    datasets.validate(found, pool.to)
    assert pool.to == Sensor(8, 5, 1) and len(found) == len(events) and not found["p"].any()
    for e, f in zip(events, found, strict=True):
        assert (f["t"], f["y"], f["x"]) == (e["t"], int(e["y"]) * 8 // 34, int(e["x"]) * 5 // 30)
    np.testing.assert_array_equal(Pool(Sensor(34, 30), 34, 30)(events), events)


@pytest.mark.parametrize("every", [2, 3, 7])
@pytest.mark.parametrize("polarities", [1, 2])
def test_of_every_few_events_of_a_pixel_the_last_is_kept(every: int, polarities: int) -> None:
    events, sensor = recording(), Sensor(34, 30)
    counts: dict[Any, int] = {}
    expected = []
    for e in Pool(sensor, 4, 4, polarities)(events):
        key = (e["x"], e["y"], e["p"])
        counts[key] = counts.get(key, 0) + 1
        if counts[key] % every == 0:
            expected.append(e)
    np.testing.assert_array_equal(Pool(sensor, 4, 4, polarities, every)(events), np.array(expected, events.dtype))
    assert 0 < len(expected) < len(events) / every
    assert len(Pool(sensor, 4, 4, polarities, every)(events[:0])) == 0


def test_a_data_set_is_pooled_when_it_is_read() -> None:
    sensor = Sensor(34, 30)
    whole = EventDataset.of([Recording(recording(seed=i), i % 2, sensor, f"r{i}") for i in range(6)], ("a", "b"))
    coarse = pooled(whole[2:], 5, polarities=1, every=2)
    assert coarse.sensor == Sensor(5, 5, 1) and len(coarse) == 4 and coarse.classes == ("a", "b")
    for i in range(4):
        np.testing.assert_array_equal(coarse[i].events, Pool(sensor, 5, 5, 1, 2)(whole[i + 2].events))
        assert (coarse[i].label, coarse[i].source) == (i % 2, f"r{i + 2}")
    assert len(coarse.load(False)) == 4


def test_load_pools_by_its_options() -> None:
    whole, _ = datasets.load("digits-events")
    for options, pool in (({"pool": 8, "polarities": 1}, Pool(whole.sensor, 8, 8, 1)),
                          ({"pool": [4, 6]}, Pool(whole.sensor, 4, 6)), ({"every": 3}, Pool(whole.sensor, 34, 34, None, 3))):
        for found in datasets.load("digits-events", **options):
            assert found.sensor == pool.to
        np.testing.assert_array_equal(datasets.load("digits-events", **options)[0][0].events, pool(whole[0].events))
    assert datasets.load("digits-events")[0].sensor == whole.sensor


@pytest.mark.parametrize(("options", "sentence"), [
    ({"pool": 35}, "height must be at most the sensor's, 34, got 35"), ({"pool": 0}, "height must be"),
    ({"pool": [8, 99]}, "width must be at most the sensor's, 34, got 99"), ({"pool": [8, 8, 8]}, "height must be"),
    ({"pool": "big"}, "height must be"), ({"polarities": 3}, "polarities must be 1 or the sensor's, 2, got 3"),
    ({"every": 0}, "every must be")])
def test_what_is_refused(options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        datasets.load("digits-events", **options)
