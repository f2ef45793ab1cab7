"""Every set of the catalogue, read from files in its official layout, from archives, as tonic leaves it, and as a twin."""

import re
import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import h5py
import numpy as np
import pytest

from snnsim import datasets
from snnsim.datasets.catalogue import finding
from snnsim.datasets.catalogue.entries import ENTRIES
from snnsim.datasets.catalogue.spikes import SpikeFile, spike_set
from tests import official_layouts as official

FROM_FILES = tuple(official.WRITERS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder a set, in its official layout, and what is in it."""
    root = tmp_path_factory.mktemp("official")
    return {name: (root / name, official.write(name, root / name)) for name in FROM_FILES}


def told(dataset):
    return [(r.label, r.events.tolist()) for r in dataset]


@pytest.mark.parametrize("name", FROM_FILES)
def test_the_official_layout_gives_every_event_in_the_official_split(name, written):
    folder, expected = written[name]
    found = finding.parts(ENTRIES[name], folder)
    assert {part: told(dataset) for part, dataset in found.items()} == expected
    for dataset in found.values():
        assert dataset.sensor == ENTRIES[name].sensor and len(dataset.classes) == len(ENTRIES[name].classes)
    train, test = datasets.load(name, folder)
    if "all" in expected:
        assert sorted(told(train) + told(test)) == sorted(expected["all"])
    else:
        assert told(train) == expected["train"] and told(test) == expected["test"]


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_twin_is_the_sets_own_shape_and_the_same_for_a_seed(name):
    train, test = datasets.load(name, synthetic=True, each=2, events=30, seed=3)
    again, _ = datasets.load(name, synthetic=True, each=2, events=30, seed=3)
    other, _ = datasets.load(name, synthetic=True, each=2, events=30, seed=4)
    assert np.bincount(train.labels).tolist() == [2] * len(train.classes)
    train, again, other, test = (part[:22] for part in (train, again, other, test))
    assert told(train) == told(again) and told(train) != told(other) and told(train)[:len(test)] != told(test)
    assert train.sensor == ENTRIES[name].sensor and train.classes == ENTRIES[name].classes
    assert max(int(r.events["t"][-1]) for r in train) <= 1300 * ENTRIES[name].duration
    assert 20 < np.mean([len(r) for r in train]) < 45


def test_twins_have_about_as_many_events_as_the_sets_and_can_be_learned():
    for name in ("nmnist", "shd", "n-cars"):
        whole, _ = datasets.load(name, synthetic=True)
        assert 0.7 < np.median([len(r) for r in whole[:8]]) / ENTRIES[name].events < 1.4
        train, test = datasets.load(name, synthetic=True, events=1000)
        mean = np.stack([rates(train[train.labels == k]).mean(0) for k in range(len(train.classes))])
        nearest = ((rates(test)[:, None] - mean) ** 2).sum(2).argmin(1)
        assert (nearest == test.labels).mean() > 0.6


def rates(dataset):
    """Square roots of the counts on a coarse grid of places, or of channels and times."""
    found = []
    for r in dataset:
        t, x, y = (r.events[n].astype(np.int64) for n in "txy")
        first = y * 12 // dataset.sensor.height if dataset.sensor.height > 1 else np.minimum(t // 100_000, 11)
        found.append(np.sqrt(np.bincount(first * 24 + x * 24 // dataset.sensor.width, minlength=288)))
    return np.stack(found)


def packed(name, folder, root):
    """The archives of a set, as they are released."""
    if name == "nmnist":
        for part in ("Train", "Test"):
            official.zipped(folder / part, root / f"{part}.zip", part)
    elif name in ("shd", "ssc"):
        for path in folder.glob("*.h5"):
            official.zipped(path, root / f"{path.name}.zip")
    elif name == "dvs-gesture":
        official.tarred(folder, root / "DvsGesture.tar.gz", "DvsGesture")
    elif name == "cifar10-dvs":
        for of in folder.iterdir():
            official.zipped(of, root / f"{of.name}.zip", of.name)
    elif name == "n-caltech101":
        official.zipped(folder, root / "Caltech101.zip")
    else:
        inner = root / "inner"
        for part in ("train", "test"):
            official.zipped(folder / f"n-cars_{part}", inner / f"n-cars_{part}.zip", part)
        official.zipped(inner, root / "Prophesee_Dataset_n_cars.zip", "Prophesee_Dataset_n_cars")
        shutil.rmtree(inner)


@pytest.mark.parametrize("name", FROM_FILES)
def test_archives_are_unpacked_once_and_give_the_same(name, written, tmp_path):
    folder, expected = written[name]
    packed(name, folder, tmp_path)
    found = finding.parts(ENTRIES[name], tmp_path)
    assert {part: told(dataset) for part, dataset in found.items()} == expected
    for path in tmp_path.glob("*.zip"):
        path.write_bytes(b"")  # not needed again
    assert [len(d) for d in finding.parts(ENTRIES[name], tmp_path).values()] == [len(e) for e in expected.values()]


def test_what_tonic_downloads_is_found_below_its_folders(written, tmp_path):
    gestures = official.tonic_gestures(tmp_path / "DVSGesture")
    found = finding.parts(ENTRIES["dvs-gesture"], tmp_path)
    assert {part: told(dataset) for part, dataset in found.items()} == gestures
    assert found["train"].extra["user"].tolist() == [3] * 11 and found["test"].extra["lighting"][0] == "natural"
    for name, place in (("nmnist", "NMNIST"), ("shd", "SHD"), ("ssc", "SSC"), ("cifar10-dvs", "CIFAR10DVS"),
                        ("n-caltech101", "NCALTECH101")):
        folder, expected = written[name]
        shutil.copytree(folder, tmp_path / place)
        found = finding.parts(ENTRIES[name], tmp_path)
        assert {part: len(dataset) for part, dataset in found.items()} == {part: len(e) for part, e in expected.items()}


def test_archives_within_an_archive_as_tonic_downloads_them(written, tmp_path):
    folder, expected = written["cifar10-dvs"]
    for of in folder.iterdir():
        official.zipped(of, tmp_path / "inner" / f"{of.name}.zip", of.name)
    official.zipped(tmp_path / "inner", tmp_path / "root" / "CIFAR10DVS" / "CIFAR10DVS.zip")
    found = finding.parts(ENTRIES["cifar10-dvs"], tmp_path / "root")
    assert told(found["all"]) == expected["all"]


def test_speakers_users_and_lighting_stay_with_their_recordings(written, tmp_path):
    folder, _ = written["shd"]
    train, _ = datasets.load("shd", folder)
    twin = official.of("shd")["train"]
    assert train.extra["speaker"].tolist() == twin.extra["speaker"].tolist()
    chosen = train[train.extra["speaker"] == 2]
    assert set(chosen.extra["speaker"]) == {2} and len(chosen) == 10
    assert chosen.load().extra["speaker"].tolist() == chosen.extra["speaker"].tolist()
    cached = datasets.cached(chosen[:2], datasets.Augment(drop=0.5), tmp_path)
    assert cached.extra["speaker"].tolist() == [2, 2]
    train, _ = datasets.load("dvs-gesture", written["dvs-gesture"][0])
    assert train.extra["user"].tolist() == [7] * 11 + [10] * 11 and train.extra["lighting"][-1] == "lab"
    with pytest.raises(ValueError, match=r"^extra 'speaker' must have one value for each of the 40 recordings, got shape"):
        datasets.EventDataset("a", train.sensor, twin.classes, twin.labels, twin.store, extra={"speaker": np.arange(3)})


def test_ssc_can_give_its_validation_set(written):
    folder, expected = written["ssc"]
    _, valid = datasets.load("ssc", folder, test="valid")
    assert told(valid) == expected["valid"]
    with pytest.raises(ValueError, match="^test must be one of 'test', 'valid', got 'all'"):
        datasets.load("ssc", folder, test="all")


def test_a_gesture_that_ends_after_the_next_one_starts_is_cut_off_there(tmp_path):
    official.write("dvs-gesture", tmp_path)
    table = tmp_path / "user07_fluorescent_led_labels.csv"
    rows = table.read_text().split()
    first, second = rows[1].split(","), rows[2].split(",")
    table.write_text("\n".join([rows[0], ",".join([*first[:2], second[2]]), *rows[2:]]))
    train, _ = datasets.load("dvs-gesture", tmp_path)
    assert train.store.stop[0] == int(second[1]) and len(train) == 22
    assert int(train[0].events["t"][-1]) == 6_000_009


def test_the_set_is_split_by_class_and_seed_where_there_is_no_official_split(written):
    folder, expected = written["cifar10-dvs"]
    train, test = datasets.load("cifar10-dvs", folder, held=0.5, seed=1)
    assert np.bincount(test.labels).tolist() == [1] * 10 and len(train) == len(expected["all"]) // 2
    other = datasets.load("cifar10-dvs", folder, held=0.5, seed=2)[1]
    assert told(test) == told(datasets.load("cifar10-dvs", folder, held=0.5, seed=1)[1]) != told(other)


def test_nothing_is_read_before_it_is_asked_for(written, tmp_path):
    for name in ("n-cars", "cifar10-dvs", "dvs-gesture"):
        root = tmp_path / name
        shutil.copytree(written[name][0], root)
        for path in (p for ending in ("*.dat", "*.aedat") for p in root.rglob(ending)):
            path.write_bytes(b"nothing")
        train, _ = datasets.load(name, root)
        assert len(train)
        with pytest.raises(ValueError, match=r"\.(dat|aedat)"):
            train[0]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_recordings_are_read_in_workers(method, written):
    train, _ = datasets.load("shd", written["shd"][0])
    expected = told(train)  # this process has the file open, too
    with warnings.catch_warnings(), ProcessPoolExecutor(1, get_context(method)) as pool:
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        assert list(pool.map(train.store.events, [0, 1]))[1].tolist() == expected[1][1]
    train.store.close()
    assert told(train[:2]) == expected[:2]


@pytest.mark.parametrize("name", FROM_FILES)
def test_what_is_missing_is_said_with_what_to_download(name, tmp_path):
    entry = ENTRIES[name]
    first = next(a for a in entry.archives if not a.of)
    for root, sentence in ((tmp_path / "none", f"there is no folder {tmp_path / 'none'}: "), (tmp_path, f"{tmp_path} ")):
        with pytest.raises((FileNotFoundError, ValueError), match=f"^{re.escape(sentence)}") as found:
            datasets.load(name, root)
        for part in (first.name, entry.page, f"licence {entry.licence or 'not known here, see the page'}",
                     f"size {entry.size or 'unknown'}", "packed or unpacked"):
            assert part in str(found.value)
    with pytest.raises(ValueError, match=f"^{name} needs root, the folder .*download {re.escape(first.name)}"):
        datasets.load(name)


def test_one_half_of_a_set_names_the_other(written, tmp_path):
    shutil.copy(written["shd"][0] / "shd_train.h5", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected shd_test\.h5, found shd_train\.h5; download shd_train"):
        datasets.load("shd", tmp_path)


@pytest.mark.parametrize(("options", "sentence"), [
    (("shd", "x", {"synthetic": True}), "synthetic recordings of shd need no files: leave root out, got 'x'"),
    (("shd", None, {"synthetic": 1}), "synthetic must be true or false, got 1"),
    (("shd", "x", {"each": 3}), "each is of synthetic recordings: give synthetic=True with it"),
    (("cifar10-dvs", None, {"synthetic": True, "held": 0.2}), "held is of the recorded CIFAR10-DVS: its twin has a training"),
    (("shd", None, {"synthetic": True, "each": 0}), "each must be a whole number from 1, got 0"),
    (("shd", None, {"held": 0.1}), "shd has no option 'held': allowed are pool, polarities, every, synthetic, each, events"),
    (("nmnist", None, {"synthetic": True, "stabilised": True}), "stabilised undoes the motion of the camera that recorded"),
    (("spoken-digits", "x", {"synthetic": True}), "synthetic recordings of spoken-digits need no files: leave"),
    (("mnist", None, {}), "name must be one of 'digits-events', 'nmnist', 'spoken-digits', 'shd', 'ssc', 'dvs-gesture'"),
])
def test_wrong_options_are_refused(options, sentence):
    name, root, others = options
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        datasets.load(name, root, **others)


@pytest.mark.parametrize(("name", "file", "text", "sentence"), [
    ("dvs-gesture", "trials_to_test.txt", "../../secret.aedat", "'../../secret.aedat' is no recording such as user01_led"),
    ("dvs-gesture", "trials_to_test.txt", "user99_led.aedat", "user99_led.aedat, which trials_to_test.txt names"),
    ("dvs-gesture", "user10_lab_labels.csv", "class,startTime_usec,endTime_usec\n1,2", "line 2 must be class,startTime_usec,"),
    ("dvs-gesture", "user10_lab_labels.csv", "12,5,9", "line 1 must have a class from 1 to 11 and an end after its start"),
    ("dvs-gesture", "user10_lab_labels.csv", "1,9,5", "line 1 must have a class from 1 to 11 and an end after its start"),
    ("shd", "shd_train.h5", "no HDF5", "shd_train.h5: it is no HDF5 file, or it is damaged"),
])
def test_damaged_lists_name_the_file_and_the_line(name, file, text, sentence, written, tmp_path):
    shutil.copytree(written[name][0], tmp_path / "set")
    (tmp_path / "set" / file).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(sentence)):
        datasets.load(name, tmp_path / "set")


def test_a_class_without_a_folder_and_empty_folders(written, tmp_path):
    shutil.copytree(written["n-cars"][0], tmp_path / "set")
    for path in (tmp_path / "set" / "n-cars_test").rglob("*.dat"):
        path.unlink()
    with pytest.raises(ValueError, match=r"found no \.dat file in its folders"):
        datasets.load("n-cars", tmp_path / "set")
    (tmp_path / "set" / "n-cars_test" / "cars").rmdir()
    with pytest.raises(ValueError, match="expected the folders background, cars; there is no cars"):
        finding.parts(ENTRIES["n-cars"], tmp_path / "set")


def damaged(f):
    """One fault at a time: (what is done to the file, the sentence)."""
    def lists(name, dtype, n):
        del f[name]
        f.create_dataset(name, (n,), dtype)

    floats, words, n = h5py.vlen_dtype(np.float16), h5py.vlen_dtype(np.uint16), len(f["labels"])
    rows = "spikes/times, spikes/units, labels and extra/speaker must have one row for each recording, have "
    yield lambda: lists("spikes/times", floats, n + 1), f": {rows}{n + 1}, {n}, {n}, {n}"
    yield lambda: lists("spikes/times", words, n), ": /spikes/times must hold rows of numbers of any length, holds object"
    yield lambda: lists("spikes/units", "u2", n), ": /spikes/units must hold rows of whole numbers of any length, holds uint16"
    yield lambda: f["labels"].write_direct(np.full(n, 99, np.uint16)), ": labels must lie from 0 to 19"
    yield lambda: f.pop("labels"), " is not a file of SHD or SSC: it must hold spikes/times, spikes/units"
    yield lambda: f.pop("extra/keys"), " is not a file of SHD or SSC: it must hold"
    yield lambda: lists("extra/speaker", "u2", n - 1), f": {rows}{n}, {n}, {n}, {n - 1}"
    yield lambda: lists("extra/speaker", "f4", n), ": /extra/speaker must hold whole numbers, holds float32"


def test_damaged_files_of_spikes_name_the_field(written, tmp_path):
    path, k = tmp_path / "shd_train.h5", 0
    while True:
        shutil.copy(written["shd"][0] / path.name, path)
        with h5py.File(path, "r+") as f:
            faults = list(damaged(f))
            if k == len(faults):
                break
            fault, sentence = faults[k]
            fault()
        with pytest.raises(ValueError, match=re.escape(f"{path}{sentence}")):
            spike_set(path, "shd")
        k += 1
    for wrong, sentence in (([np.nan], "recording 2 must have a time from 0 s on for each of its 1 units"),
                            ([0.5, 0.75], "row 2 of spikes has 2 times and 1 units"),
                            ([-1.0], "recording 2 must have a time from 0 s on for each of its 1 units")):
        with h5py.File(path, "r+") as f:
            f["spikes/times"][2] = np.array(wrong, np.float16)
            f["spikes/units"][2] = np.array([3], np.uint16)
        with pytest.raises(ValueError, match=re.escape(f"{path}: {sentence}")):
            SpikeFile(path, 40).events(2)


@pytest.mark.slow
def test_spoken_digits_have_a_twin():
    train, test = datasets.load("spoken-digits", synthetic=True, channels=16, speaker="speakera")
    assert len(train) == len(test) == 80 and train.sensor == datasets.Sensor(1, 16, 1)


def test_event_stores_are_loaded_by_name(tmp_path):
    twin = official.of("nmnist")
    for part, dataset in twin.items():
        datasets.pack(dataset, tmp_path / part)
    train, test = datasets.load("store", tmp_path)
    assert told(train) == told(twin["train"]) and told(test) == told(twin["test"])
    train, test = datasets.load("store", tmp_path / "train", held=0.5, polarities=1)
    assert len(train) == len(test) == 10 and train.sensor.polarities == 1
    with pytest.raises(ValueError, match=r"is one event store: say what share .* such as held=0\.2, or open it"):
        datasets.load("store", tmp_path / "train")
    with pytest.raises(ValueError, match="^held is of a single store: "):
        datasets.load("store", tmp_path, held=0.5)
    with pytest.raises(ValueError, match="^store needs root, the folder of an event store"):
        datasets.load("store")
    with pytest.raises(FileNotFoundError, match="is not an event store: there is no file"):
        datasets.load("store", tmp_path.parent)
