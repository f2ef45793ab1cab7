"""snnsim data list, snnsim data check NAME FOLDER, and data sets by name in other commands."""

import hashlib
import json
import shutil

import pytest

from snnsim import datasets
from snnsim.datasets.catalogue.entries import ENTRIES
from tests import official_layouts as official
from tests.test_cli_store import snnsim


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    official.write("n-cars", root / "n-cars")
    official.write("shd", root / "shd")
    return root


def released(monkeypatch, name, counts, **md5):
    """As if the authors had released the twin."""
    entry, layout = ENTRIES[name], ENTRIES[name].layouts[0]
    monkeypatch.setitem(layout.counts, "train", counts[0])
    monkeypatch.setitem(layout.counts, "test", counts[1])
    for archive in entry.archives:
        if archive.name in md5:
            monkeypatch.setitem(archive.__dict__, "md5", md5[archive.name])


def test_the_list_has_every_set_and_what_to_download():
    said = " ".join(snnsim("data", "list").split())
    for entry in ENTRIES.values():
        assert f"{entry.name} " in said and all(f"{n:,}" in said for n in entry.counts.values())
    assert "Train.zip, Test.zip" in said and "snnsim data list NAME says more" in said
    found = json.loads(snnsim("data", "list", "--json"))
    assert [f["name"] for f in found] == list(ENTRIES)
    assert found[2]["shd_train.h5.zip"] == "md5 f3252aeb598ac776c1b526422d90eecb"


def test_one_set_with_all_that_is_known():
    found = json.loads(snnsim("data", "list", "dvs-gesture", "--json"))
    assert found["recordings"] == "train 1,176, test 288; as tonic has it: train 1,077, test 264"
    assert found["licence"] == "CC BY 4.0" and found["download from"].startswith("https://") and "Amir" in found["cite"]
    unknown = json.loads(snnsim("data", "list", "n-cars", "--json"))
    assert unknown["licence"] == "unknown: see the page" and unknown["size"] == "unknown"
    assert "name must be one of 'digits-events', 'nmnist'" in snnsim("data", "list", "mnist", code=1)
    assert "Jackson" in snnsim("data", "list", "spoken-digits")


def test_a_set_that_is_as_it_was_released(folder, monkeypatch):
    released(monkeypatch, "n-cars", (4, 2))
    said = snnsim("data", "check", "n-cars", folder / "n-cars")
    assert "6 recordings, " in said and said.endswith("no faults\n")
    assert "2 recordings  2 recordings" in said


def test_recordings_that_are_missing_and_files_that_are_damaged(folder, monkeypatch, tmp_path):
    released(monkeypatch, "n-cars", (4, 3))
    shutil.copytree(folder / "n-cars", tmp_path / "set")
    path = tmp_path / "set" / "n-cars_train" / "cars" / "obj_000010_td.dat"
    path.write_bytes(path.read_bytes()[:-3])
    said = snnsim("data", "check", "n-cars", tmp_path / "set", code=1)
    assert "test has 2 recordings, 3 were released" in said and f"{path}: the last record" in said and "2 faults" in said
    said = snnsim("data", "check", "n-cars", tmp_path / "set", "--quick", code=1)
    assert str(path) not in said and "1 faults" in said


def test_checksums_of_archives_come_first(folder, monkeypatch, tmp_path):
    digests = {}
    for part in ("train", "test"):
        archive = tmp_path / f"SHD_{part}.h5.zip"  # capitals do not matter
        official.zipped(folder / "shd" / f"shd_{part}.h5", archive)
        digests[f"shd_{part}.h5.zip"] = hashlib.md5(archive.read_bytes()).hexdigest()
    released(monkeypatch, "shd", (40, 20), **digests)
    found = datasets.check_set("shd", tmp_path)
    assert found.faults == () and (found.recordings, found.rows[0][2]) == (60, "the same")
    (tmp_path / "shd_train.h5").unlink()
    with open(tmp_path / "SHD_train.h5.zip", "ab") as file:
        file.write(b"x")
    said = snnsim("data", "check", "shd", tmp_path, code=1)
    assert f"{tmp_path / 'SHD_train.h5.zip'} has the md5 " in said and "released was" in said and "download it anew" in said
    assert not (tmp_path / "shd_train.h5").exists()  # what is damaged is not unpacked


def test_what_cannot_be_checked(tmp_path):
    nowhere = tmp_path / "x"
    assert f"there is no folder {nowhere}: download shd_train.h5.zip" in snnsim("data", "check", "shd", nowhere, code=1)
    assert "name must be one of 'nmnist', 'shd'" in snnsim("data", "check", "digits-events", tmp_path, code=1)


def test_sets_by_name_in_other_commands(folder, tmp_path):
    said = snnsim("data", "pack", "n-cars", tmp_path / "store", "--root", folder / "n-cars")
    assert "4 recordings" in said and "2 recordings" in said
    stored, _ = datasets.load("store", tmp_path / "store")
    assert [r.events.tolist() for r in stored] == [r.events.tolist() for r in datasets.load("n-cars", folder / "n-cars")[0]]
    options = [w for o in ("synthetic=true", "each=1", "events=9") for w in ("--option", o)]
    made = snnsim("data", "pack", "shd", tmp_path / "twin", *options)
    assert "20 recordings" in made
    wanting = snnsim("data", "pack", "shd", tmp_path / "none", code=1)
    assert "shd is not embedded: give its folder with --root; download shd_train.h5.zip" in wanting
    assert "store is not embedded: give its folder with --root" in snnsim("data", "pack", "store", tmp_path / "none", code=1)
