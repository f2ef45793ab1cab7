"""Data sets of tonic and SpikingJelly as ours."""

import re

import numpy as np
import pytest

from snnsim import datasets
from snnsim.datasets import Sensor, adopt
from tests import official_layouts as official

EVENTS = [(5, 1, 2, 1), (5, 0, 1, 0), (9, 3, 3, 1)]
ORDERS = {"tonic's N-MNIST": ("xytp", int), "its DVS Gesture": ("xypt", np.int16), "SHD": ("txp", int),
          "unsigned": ("ptyx", np.uint16), "floats": ("txyp", float), "CIFAR10-DVS": ("txyp", None)}


class Theirs:
    """As tonic's classes look, or with `get_H_W` as SpikingJelly's; counts what is read."""

    def __init__(self, items, **attributes):
        self.items, self.read = items, 0
        self.__dict__.update(attributes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        self.read += 1
        return self.items[i]


def structured(order, kind, events=EVENTS):
    if kind is None:
        kinds = {"t": "u8", "x": "u2", "y": "u2", "p": "?"}
        made = np.empty(len(events), [(n, kinds[n]) for n in order])
    else:
        made = np.empty(len(events), [(n, kind) for n in order])
    for n, column in zip("txyp", zip(*events, strict=True), strict=True):
        if n in order:
            made[n] = column
    return made


@pytest.mark.parametrize(("order", "kind"), ORDERS.values(), ids=ORDERS)
def test_structured_arrays_of_any_order_and_type(order, kind):
    flat = "y" not in order
    size = (8, 1 if flat else 4, 2)
    theirs = Theirs([(structured(order, kind), 1)] * 2, sensor_size=size, targets=[1, 1], classes=["a", "b"])
    ours = adopt(theirs)
    assert theirs.read == 0 and ours.sensor == Sensor(1 if flat else 4, 8) and ours.classes == ("a", "b")
    assert ours[1].events.tolist() == [(t, x, 0 if flat else y, p) for t, x, y, p in EVENTS]
    assert theirs.read == 1 and ours[1].label == 1 and ours[1].source == "Theirs 1"


def test_dictionaries_as_spikingjelly_gives_them():
    columns = {n: np.array(c) for n, c in zip("txyp", zip(*EVENTS, strict=True), strict=True)}
    theirs = Theirs([(columns, 0)], get_H_W=lambda: (4, 8), targets=[0], classes=["only"])
    ours = adopt(theirs, name="gestures")
    assert ours[0].events.tolist() == EVENTS and ours.sensor == Sensor(4, 8) and ours.name == "gestures"


def test_units_of_time():
    sounds = {"t": np.array([0.25, 0.5, 0.5], np.float16), "x": np.array([3, 699, 4], np.uint16)}
    theirs = Theirs([(sounds, 2)], targets=[2])
    with pytest.raises(ValueError, match=re.escape('Theirs 0: times are not whole numbers of µs: say what they are with')):
        adopt(theirs, sensor=Sensor(1, 700, 1))[0]
    ours = adopt(theirs, sensor=Sensor(1, 700, 1), unit="s")
    assert ours[0].events.tolist() == [(250_000, 3, 0, 0), (500_000, 699, 0, 0), (500_000, 4, 0, 0)]
    assert ours.classes == ("0", "1", "2")
    milliseconds = Theirs([({"t": [1, 2], "x": [0, 1]}, 0)], targets=[0])
    assert adopt(milliseconds, sensor=Sensor(1, 2), unit="ms")[0].events["t"].tolist() == [1000, 2000]
    with pytest.raises(ValueError, match="^unit must be one of 'us', 'ms', 's', got 'h'"):
        adopt(theirs, sensor=Sensor(1, 700, 1), unit="h")


def test_one_polarity_times_that_fall_and_minus_one_for_off():
    events = [(9, 1, 0, 1), (5, 2, 0, -1), (7, 3, 0, 1)]
    theirs = Theirs([(structured("txyp", int, events), 0)], sensor_size=(4, 1, 2), targets=[0])
    assert adopt(theirs)[0].events.tolist() == [(5, 2, 0, 0), (7, 3, 0, 1), (9, 1, 0, 1)]
    theirs.sensor_size = (4, 1, 1)
    assert adopt(theirs)[0].events["p"].tolist() == [0, 0, 0]


def test_labels_from_targets_from_names_or_from_reading_once():
    items = [(structured("txyp", int), label) for label in ("dog", "ant", "dog")]
    named = adopt(Theirs(items, sensor_size=(4, 4, 2), targets=["dog", "ant", "dog"]))
    assert named.classes == ("ant", "dog") and named.labels.tolist() == [1, 0, 1]
    counted = Theirs([(structured("txyp", int), np.int64(k)) for k in (2, 0)], sensor_size=(4, 4, 2), targets=[])
    ours = adopt(counted, progress=False)
    assert counted.read == 2 and ours.labels.tolist() == [2, 0] and ours.classes == ("0", "1", "2")
    counted.read = 0
    assert adopt(counted, labels=[1, 0], classes=["a", "b"]).labels.tolist() == [1, 0] and counted.read == 0
    numbers = Theirs(items, sensor_size=(4, 4, 2), targets=["dog", "ant", "dog"], classes={"dog": 0, "ant": 1})
    assert adopt(numbers).classes == ("dog", "ant") and adopt(numbers).labels.tolist() == [0, 1, 0]
    # a transform of the targets makes them others than `targets` says
    moved = Theirs([(structured("txyp", int), 1)], sensor_size=(4, 4, 2), targets=[0], target_transform=lambda k: k + 1)
    assert adopt(moved, progress=False).labels.tolist() == [1]


def test_labels_of_a_file_of_spikes(tmp_path):
    official.write("shd", tmp_path)
    twin = official.of("shd")["test"]
    items = [({"t": (r.events["t"] * 1e-6).astype(np.float16), "x": r.events["x"]}, r.label) for r in twin]
    theirs = Theirs(items, get_H_W=lambda: (None, 700), h5_file_path=tmp_path / "shd_test.h5")  # SpikingJelly's
    ours = adopt(theirs)
    assert ours.labels.tolist() == twin.labels.tolist() and ours.classes == twin.classes and theirs.read == 0
    assert [r.events.tolist() for r in ours] == [r.events.tolist() for r in twin]


def one(item, target=0, size=(4, 4, 2), **others):
    return Theirs([item], sensor_size=size, targets=[target], **others)


@pytest.mark.parametrize(("theirs", "sentence"), [
    (one((np.zeros((2, 4)), 0)),
     "Theirs 0: events must be a structured array or a dictionary with t and x, got ndarray: adopt the data set without"),
    (one(({"t": [1], "y": [1]}, 0)), "Theirs 0: events must have t and x, have t, y"),
    (one(({"t": [1], "x": [-1]}, 0)), "Theirs 0: x must hold whole numbers from 0 to 65535"),
    (one(({"t": [1], "x": [9]}, 0)), "events of Theirs 0: event 0 has x = 9, y = 0: outside"),
    (one((1, 2, 3)), "Theirs: a recording must be (events, label), got tuple"),
    (one((1, 2), size=None), "sensor must be given: Theirs does not say its size, as tonic's sensor_size or SpikingJelly's"),
    (one((1, 2), 0.5), "labels must be whole numbers or names, got shape (1,) of float64"),
    (one((1, 2), "cat", classes=["dog"]), "classes must name all labels: 'cat' is not among dog"),
    (one((1, 2), 3, classes=["dog"]), "labels must lie from 0 to 0, as there are 1 classes"),
])
def test_what_does_not_fit_is_named(theirs, sentence):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        adopt(theirs)[0]


def test_what_is_no_data_set():
    with pytest.raises(TypeError, match=r"^a data set with len and dataset\[i\] = \(events, label\) was expected, got int$"):
        adopt(3)
    ours = official.of("nmnist")["test"]
    assert adopt(ours) is ours


def test_it_goes_on_as_any_other(tmp_path):
    theirs = Theirs([(structured("xytp", int), k % 2) for k in range(4)], sensor_size=(8, 4, 2), targets=[0, 1, 0, 1])
    ours = adopt(theirs)
    packed = datasets.pack(ours[1:], tmp_path / "store")
    assert packed.labels.tolist() == [1, 0, 1] and packed[0].events.tolist() == EVENTS
    assert len(datasets.pooled(ours, 2)[0].events) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NMNIST", "SHD", "DVSGesture"])
def test_tonics_own_classes_give_what_our_readers_do(name, tmp_path, monkeypatch):
    tonic = pytest.importorskip("tonic.datasets")
    ours = {"NMNIST": "nmnist", "SHD": "shd", "DVSGesture": "dvs-gesture"}[name]
    if name == "DVSGesture":
        official.tonic_gestures(tmp_path / name)
    else:
        official.write(ours, tmp_path / name)
    monkeypatch.setattr(getattr(tonic, name), "_check_exists", lambda self: True)
    theirs = getattr(tonic, name)(save_to=str(tmp_path), train=False)
    with monkeypatch.context() as m:
        m.setattr(type(theirs), "__getitem__", lambda self, i: pytest.fail("a recording was read"))
        adopted = adopt(theirs)
    _, read = datasets.load(ours, tmp_path)
    assert len(adopted) == len(read) == len(theirs)
    # tonic leaves files in the order in which the system names them
    for a, b in zip(*(sorted(d, key=lambda r: (r.label, r.events.tolist())) for d in (adopted, read)), strict=True):
        assert a.label == b.label and len(a) == len(b)
        assert all(np.array_equal(a.events[n], b.events[n]) for n in "xyp")
        late = b.events["t"] - a.events["t"]
        assert late.min() >= 0 and late.max() <= (name == "SHD")  # tonic cuts off what is left of a µs
    assert adopted.sensor == read.sensor and len(adopted.classes) == len(read.classes)
