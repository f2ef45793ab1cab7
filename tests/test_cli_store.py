"""snnsim data pack, slice, info and check on stores."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from snnsim import datasets
from snnsim.cli.app import app
from tests.test_event_store import mixed


def snnsim(*words, code=0):
    found = CliRunner().invoke(app, [str(w) for w in words])
    assert found.exit_code == code, found.output
    return found.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    for part, each in (("Train", 2), ("Test", 1)):
        for digit in range(10):
            (root / "data" / part / str(digit)).mkdir(parents=True)
            for i in range(each):
                n = 40 + digit
                events = datasets.make_events(np.sort(rng.integers(0, 300_000, n)), *rng.integers(0, 34, (2, n)),
                                              rng.integers(0, 2, n))
                datasets.write_nmnist(root / "data" / part / str(digit) / f"{i}.bin", events)
    return root


def test_a_set_is_packed_looked_at_checked_and_sliced(folder, tmp_path):
    out = tmp_path / "store"
    said = snnsim("data", "pack", folder / "data", out)
    assert f"{out / 'train'}: 20 recordings, 890 events, 1 files" in said and f"{out / 'test'}: 10 recordings" in said
    train, _ = datasets.nmnist(folder / "data")
    stored = datasets.open_store(out / "train")
    assert [r.events.tobytes() for r in stored] == [r.events.tobytes() for r in train]
    assert stored[0].source == "0/0.bin" and stored.labels.tolist() == train.labels.tolist()
    found = json.loads(snnsim("data", "info", out / "train", "--json"))
    assert (found["recordings"], found["events"], found["per_class"], found["source"]) == (20, 890, "2 to 2", "data")
    assert "34 x 34 pixels" in snnsim("data", "info", out / "train")
    assert "1 files, 20 recordings, 890 events sound; no faults" in snnsim("data", "check", out / "train")
    assert "holds an event store already" in snnsim("data", "pack", folder / "data", out, code=1)

    short = tmp_path / "short"
    snnsim("data", "slice", out / "train", short, "--from", 50, "--to", 100, "--recordings", "2:5")
    for r, whole in zip(datasets.open_store(short), train[2:5], strict=True):
        t = whole.events["t"]
        assert r.events.tobytes() == whole.events[(t >= 50_000) & (t < 100_000)].tobytes() and r.label == whole.label
    snnsim("data", "slice", out, tmp_path / "both", "--events", "3:7")
    assert [len(r) for r in datasets.open_store(tmp_path / "both" / "test")] == [4] * 10

    path = out / "train" / "00000.h5"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    said = snnsim("data", "check", out / "train", code=1)
    assert f"error: {path} is damaged: its sha256 is " in said and "1 faults" in said


def test_a_file_is_packed_and_sliced(folder, tmp_path):
    file = folder / "data" / "Test" / "3" / "0.bin"
    snnsim("data", "pack", file, tmp_path / "one")
    events = datasets.read_nmnist(file)
    assert datasets.open_store(tmp_path / "one")[0].events.tobytes() == events.tobytes()
    snnsim("data", "slice", file, tmp_path / "first.bin", "--events", ":9")
    assert datasets.read_nmnist(tmp_path / "first.bin").tobytes() == events[:9].tobytes()


@pytest.mark.parametrize(("words", "code", "sentence"), [
    (["slice", "{data}", "x.bin"], 1, "x.bin: a .bin file holds one recording, not 20: choose one with --recordings"),
    (["slice", "{data}", "x", "--events", "3"], 2, "--events takes A:B with whole numbers, such as 0:1000 or 500:, got"),
    (["slice", "{data}", "x", "--from", "5", "--to", "4"], 1, "stop must not be before start, 5 ms, got 4 ms"),
    (["pack", "nothing.bin", "x"], 1, "there is no file nothing.bin"),
])
def test_errors_are_sentences(words, code, sentence, folder):
    found = " ".join(snnsim("data", *(w.format(data=folder / "data") for w in words), code=code).replace("│", " ").split())
    assert sentence in found


def test_a_store_that_was_not_finished(folder, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.eventstore.packing.Spool, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        datasets.pack(mixed(), tmp_path / "s")
    for command in ("info", "check"):
        assert "is an event store that was not finished" in snnsim("data", command, tmp_path / "s", code=1)
