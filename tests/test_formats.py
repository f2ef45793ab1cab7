"""Event files of every format: equal to plain decoders, event for event, however they are cut into blocks and chunks."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import datasets
from snnsim.datasets import Sensor, make_events, read, stream, validate, write
from tests import event_encoders as plain

REAL = Path(__file__).parents[2] / "shared" / "data" / "recordings"
SETTINGS = settings(deadline=None, max_examples=30)  # the first example compiles the kernels
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real recordings in {REAL}")


class Pipe(io.RawIOBase):
    """Cannot seek, gives few bytes at a time, and does not say how many there are."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        return self.data.read(min(size, 1000) if size >= 0 else 1000)

    readinto = None


SENSOR = Sensor(240, 320)


def made(seed=0, n=300, sensor=SENSOR, latest=100_000):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n), rng.integers(0, 2, n)
    return make_events(np.sort(rng.integers(0, latest, n)), *columns)


@real
@pytest.mark.parametrize(("name", "form", "count", "plainly"), [
    ("evt2.raw", "evt2", 521_252, plain.evt2_events), ("dvs.es", "es", 473_225, plain.es_events),
    ("color.es", "es", 473_225, plain.es_events)])
def test_real_files_decode_to_the_last_event(name, form, count, plainly):
    recording = read(REAL / name)
    assert len(recording) == count
    assert recording.sensor == {"evt2.raw": Sensor(480, 640), "dvs.es": Sensor(240, 320),
                                "color.es": Sensor(240, 320, 1)}[name]
    assert (recording.label, recording.source) == (-1, str(REAL / name))
    validate(recording.events, recording.sensor)
    assert recording.events.tolist() == plainly((REAL / name).read_bytes())
    assert datasets.info(REAL / name).format == form
    chunks = list(stream(REAL / name, 100_000))
    assert {len(c) for c in chunks[:-1]} == {100_000}
    np.testing.assert_array_equal(np.concatenate(chunks), recording.events)
    np.testing.assert_array_equal(read(Pipe((REAL / name).read_bytes())).events, recording.events)


@SETTINGS
@given(st.integers(0, 2**32), st.integers(1, 80), st.sampled_from([1, 10, 2**13, 2**24, 2**25]))
@pytest.mark.parametrize("form", ["evt2", "es"])
def test_what_is_written_is_read_back(tmp_path_factory, form, seed, n, latest):
    path = tmp_path_factory.mktemp("formats") / "a"
    sensor = Sensor(200, 240)
    events = made(seed, n, sensor, latest)
    write(path, events, sensor, format=form)
    found = read(path)
    np.testing.assert_array_equal(found.events, events)
    assert found.sensor == sensor
    assert getattr(plain, f"{form}_events")(path.read_bytes()) == events.tolist()
    assert [p.name for p in path.parent.iterdir()] == ["a"]
