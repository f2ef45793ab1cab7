"""The N-MNIST format: round trips, files cut off at every byte, mutated files, and 800 real ones."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets import Sensor, load, make_events, nmnist, read_nmnist, validate, write_nmnist

REAL = Path(__file__).parents[2] / "shared" / "data" / "nmnist"
SETTINGS = settings(deadline=None)  # the first example compiles the kernels
SENSOR = Sensor(34, 34)


def recording(seed=0, n=20, latest=300_000):
    rng = np.random.default_rng(seed)
    return make_events(np.sort(rng.integers(0, latest, n)), rng.integers(0, 34, n), rng.integers(0, 34, n),
                       rng.integers(0, 2, n))


def naive(data):
    """The format, event by event, as its description says."""
    events, base = [], 0
    for i in range(0, len(data), 5):
        x, y, rest = data[i], data[i + 1], int.from_bytes(data[i + 2:i + 5], "big")
        if y == 240:
            base += 2**13
        else:
            events.append((base + rest % 2**23, x, y, rest >> 23))
    return events


@SETTINGS
@given(st.integers(0, 2**32), st.integers(1, 50), st.sampled_from([10, 2**13, 2**23, 2**23 + 1, 10**8]))
def test_what_is_written_is_read_back(tmp_path_factory, seed, n, latest):
    path = tmp_path_factory.mktemp("nmnist") / "a.bin"
    events = recording(seed, n, latest)
    write_nmnist(path, events)
    np.testing.assert_array_equal(read_nmnist(path), events)
    assert naive(path.read_bytes()) == events.tolist()
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_overflow_marks_move_all_later_times(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 128, 0, 5]) + bytes([9, 240, 0, 0, 0]) * 2 + bytes([3, 4, 0, 0, 1]))
    assert read_nmnist(path).tolist() == [(5, 1, 2, 1), (2 * 8192 + 1, 3, 4, 0)]


def test_a_file_cut_off_at_any_byte(tmp_path):
    path = tmp_path / "a.bin"
    events = recording()
    write_nmnist(path, events)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        if cut and cut % 5 == 0:
            np.testing.assert_array_equal(read_nmnist(path), events[:cut // 5])
            continue
        sentence = (f"{path}: the last record, at byte {cut - cut % 5}, has {cut % 5} of its 5 bytes: the file is cut off or "
                    "not N-MNIST")
        if cut == 0:
            sentence = f"{path}: there is no event in this file of 0 bytes; unpack it again"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            read_nmnist(path)


@SETTINGS
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255)), max_size=4))
def test_a_mutated_file_is_read_validly_or_refused_by_name(tmp_path_factory, seed, changes):
    path = tmp_path_factory.mktemp("nmnist") / "a.bin"
    write_nmnist(path, recording(seed))
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place] = value
    path.write_bytes(data)
    expected = naive(data)
    times = [t for t, *_ in expected]
    if times == sorted(times) and all(x < 34 and y < 34 for _, x, y, _ in expected):
        events = read_nmnist(path)
        validate(events, SENSOR)
        assert events.tolist() == expected
    else:
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: event [0-9]+ at byte [0-9]+ has "):
            read_nmnist(path)


@pytest.mark.parametrize(("data", "sentence"), [
    ([1, 2, 0, 0, 5, 34, 0, 0, 0, 6],
     "event 1 at byte 5 has x = 34, y = 0: outside the 34 x 34 sensor; the file is damaged or not N-MNIST"),
    ([1, 77, 0, 0, 5],
     "event 0 at byte 0 has x = 1, y = 77: outside the 34 x 34 sensor; the file is damaged or not N-MNIST"),
    ([1, 2, 0, 0, 5, 0, 240, 0, 0, 0, 1, 2, 0, 0, 5, 1, 2, 0, 0, 4],
     "event 2 at byte 15 has t = 8196 after 8197: times run backwards; the file is damaged or not N-MNIST"),
    ([0, 240, 0, 0, 0], "there is no event in this file of 5 bytes; unpack it again"),
])
def test_broken_files_are_named_with_the_byte(tmp_path, data, sentence):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {sentence}')}$"):
        read_nmnist(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.bin"
    with open(path, "wb") as f:
        f.truncate(2**36)  # sparse: takes no space
    with pytest.raises(ValueError, match=r"a\.bin has 68719476736 bytes: an N-MNIST file has at most 67108864"):
        read_nmnist(path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*b\.bin"):
        read_nmnist(tmp_path / "b.bin")


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_nmnist(path, recording(1))
    for events, sentence in ((recording()[:0], "a file without a header holds at least one event"),
                             (make_events([10**15], [0], [0], [0]), "subtract the time of the first event"),
                             (make_events([0], [34], [0], [0]), "event 0 has x = 34, y = 0: outside the sensor")):
        with pytest.raises(ValueError, match=sentence):
            write_nmnist(path, events)
    np.testing.assert_array_equal(read_nmnist(path), recording(1))


def tree(root, digits="0123456789", parts=("Train", "Test")):
    for part in parts:
        for d in digits:
            (root / part / d).mkdir(parents=True)
            for i in range(2):
                write_nmnist(root / part / d / f"{i:05}.bin", recording(int(d) + i))
    return root


def test_a_folder_of_files(tmp_path):
    train, test = load("nmnist", root=tree(tmp_path))
    (tmp_path / "Train" / "0" / "._00000.bin").write_bytes(b"left by macOS")
    assert len(nmnist(str(tmp_path))[0]) == len(train) == len(test) == 20
    assert test.labels.tolist() == [d for d in range(10) for _ in range(2)]
    r = test[-1]
    assert (r.label, r.sensor, r.source) == (9, SENSOR, str(tmp_path / "Test" / "9" / "00001.bin"))
    np.testing.assert_array_equal(r.events, recording(10))
    held = train.load(progress=False)
    (tmp_path / "Train" / "0" / "00000.bin").unlink()
    np.testing.assert_array_equal(held[0].events, recording(0))
    assert (repr(held), held[3].source) == (repr(train), train[3].source)
    with pytest.raises(FileNotFoundError, match=r"00000\.bin"):
        _ = train[0]


def test_the_folder_that_tonic_makes(tmp_path):
    tree(tmp_path / "NMNIST")
    assert len(nmnist(tmp_path)[1]) == 20


def test_a_folder_that_is_not_nmnist_says_what_was_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*: unpack Train.zip and Test.zip"):
        nmnist(tmp_path / "nothing")
    expected = f"{tmp_path} is not N-MNIST: expected Train/0/*.bin to Train/9/*.bin"
    cases = [(lambda: None, "found nothing"), (lambda: (tmp_path / "train").mkdir(), "found train"),
             (lambda: tree(tmp_path, "013", ["Train"]), "found in Train: 0, 1, 3")]
    for make, found in cases:
        make()
        with pytest.raises(ValueError, match=f"^{re.escape(f'{expected}, {found}')}$"):
            nmnist(tmp_path)


def test_folders_without_files(tmp_path):
    for d in range(10):
        (tmp_path / "Train" / str(d)).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"found no \.bin file in the folders of Train"):
        nmnist(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real N-MNIST files in {REAL}")
def test_real_files():
    train, test = nmnist(REAL)
    assert (len(train), len(test)) == (700, 100)
    total = 0
    for r in (*train, *test):
        assert Path(r.source).parent.name == str(r.label)
        assert 1000 < len(r) < 8000
        assert 290_000 < r.events["t"][-1] < 320_000
        total += len(r)
    assert total == 3_281_009
