"""Spoken digits: disjoint splits, the npz and the wav files of the set, options by name, errors as sentences."""

import re
import wave
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from snnsim.cli import app
from snnsim.datasets import Cochlea, Sensor, load, spoken_digits, synthetic_spoken, write_spoken
from snnsim.datasets import spoken as module
from snnsim.train import load_recipe, recipe_names

REAL = Path(__file__).parents[2] / "shared" / "data" / "fsdd"
SMALL = {"channels": 16, "step": 5.0}


def write_wavs(folder, sounds, rate=8000):
    folder.mkdir(parents=True, exist_ok=True)
    for name, a, b in zip(sounds.names(), sounds.offsets[:-1], sounds.offsets[1:], strict=True):
        with wave.open(str(folder / f"{name}.wav"), "wb") as f:
            f.setnchannels(1)
            f.setsampwidth(2)
            f.setframerate(rate)
            f.writeframes(sounds.audio[a:b].astype("<i2").tobytes())


@pytest.fixture(scope="module")
def sounds():
    return synthetic_spoken(takes=7, speakers=3, seed=1)


@pytest.fixture(scope="module")
def root(sounds, tmp_path_factory):
    path = tmp_path_factory.mktemp("spoken") / "small.npz"
    write_spoken(path, sounds)
    return path


def test_takes_0_to_4_are_the_test(root, sounds):
    train, test = load("spoken-digits", root=root, **SMALL)
    assert (len(train), len(test), train.sensor, train.classes) == (60, 150, Sensor(1, 16, 1), tuple("0123456789"))
    assert {r.source.split("_")[2] for r in test} == set("01234") and {r.source.split("_")[2] for r in train} == set("56")
    assert sorted([r.source for r in train] + [r.source for r in test]) == sorted(sounds.names())
    assert all(r.label == int(r.source[0]) for part in (train, test) for r in part)


@pytest.mark.parametrize("speaker", ["speakera", "speakerc"])
def test_a_speaker_left_out_is_never_trained_on(root, sounds, speaker):
    train, test = load("spoken-digits", root=root, speaker=speaker, **SMALL)
    assert {r.source.split("_")[1] for r in test} == {speaker}
    assert {r.source.split("_")[1] for r in train} == set(sounds.speakers) - {speaker}
    assert (len(train), len(test)) == (140, 70)


def test_events_are_those_of_the_cochlea_and_kept_in_memory(root, sounds):
    cochlea = Cochlea(**SMALL, seed=5)
    train, _ = spoken_digits(root, cochlea=cochlea)
    again, _ = load("spoken-digits", root=str(root), seed=5, **SMALL)
    assert np.shares_memory(train[0].events, again[0].events)
    i = sounds.names().index(train[7].source)
    sound = sounds.audio[sounds.offsets[i]:sounds.offsets[i + 1]]
    np.testing.assert_array_equal(train[7].events, cochlea.encode(sound, 8000, i))


def test_wav_files_give_the_same_events(root, sounds, tmp_path):
    write_wavs(tmp_path / "recordings", sounds)
    expected, found = spoken_digits(root, cochlea=Cochlea(**SMALL))[1], spoken_digits(tmp_path, cochlea=Cochlea(**SMALL))[1]
    assert [r.source for r in found] == [r.source for r in expected]  # both in the order of digit, speaker and take
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.events, b.events)
    (tmp_path / "recordings" / "notes.txt").write_text("not a digit")
    assert len(spoken_digits(tmp_path / "recordings", cochlea=Cochlea(**SMALL))[0]) == 60


def test_a_folder_with_one_npz_is_found(root):
    assert len(spoken_digits(root.parent, cochlea=Cochlea(**SMALL))[0]) == 60


def test_synthetic_digits_are_seeded_and_can_be_told_apart(sounds):
    again = synthetic_spoken(takes=7, speakers=3, seed=1)
    np.testing.assert_array_equal(sounds.audio, again.audio)
    assert not np.array_equal(sounds.audio[:1000], synthetic_spoken(takes=7, speakers=3, seed=2).audio[:1000])
    pieces = [sounds.audio[a:b] for a, b in zip(sounds.offsets[:-1], sounds.offsets[1:], strict=True)]
    events = Cochlea(**SMALL).encode_all(pieces, 8000, progress=False)
    x = np.zeros((len(events), 5, 16))
    for i, e in enumerate(events):
        t = e["t"] - e["t"][0]
        np.add.at(x[i], (t * 5 // (t[-1] + 1), e["x"]), 1.0)
    x = np.sqrt(x.reshape(len(events), -1))
    x -= x.mean(0)
    held = sounds.take < 3
    weight = np.linalg.solve(x[~held].T @ x[~held] + 10.0 * np.eye(x.shape[1]), x[~held].T @ np.eye(10)[sounds.labels[~held]])
    assert np.mean((x[held] @ weight).argmax(1) == sounds.labels[held]) > 0.95


def sentence_of(function, *arguments, error=ValueError, **options):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return str(caught.value)


HELP = ("download the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0) and give the "
        "folder of its files {digit}_{speaker}_{take}.wav, or an .npz with audio, offsets, labels, speaker, take and speakers")


def test_what_is_missing_is_named(tmp_path, root):
    assert sentence_of(load, "spoken-digits") == ('spoken-digits needs root, datasets.load("spoken-digits", root=...): ' + HELP)
    nowhere = tmp_path / "nothing"
    assert sentence_of(load, "spoken-digits", root=nowhere, error=FileNotFoundError) == f"there is no {nowhere}: {HELP}"
    assert sentence_of(load, "spoken-digits", root=tmp_path, error=FileNotFoundError) == (
        f"{tmp_path} holds no spoken digits, neither wav files nor one .npz (found 0): {HELP}")
    assert sentence_of(spoken_digits, root, "nobody") == ("speaker must be one of speakera, speakerb, speakerc, got 'nobody'")
    assert sentence_of(load, "spoken-digits", root=root, chanels=3).startswith(
        "spoken-digits has no option 'chanels': allowed are speaker, voices, channels, lowest")
    assert sentence_of(load, "digits-events", speaker="x") == (
        "digits-events has no option 'speaker': allowed are pool, polarities, every")
    assert sentence_of(load, "spoken-digits", root=root, channels=0) == "channels must be a whole number from 2 to 65536, got 0"


def test_a_split_with_nothing_on_one_side_is_refused(tmp_path):
    write_spoken(tmp_path / "a.npz", synthetic_spoken(takes=5, speakers=1))
    for speaker in (None, "speakera"):
        assert sentence_of(spoken_digits, tmp_path / "a.npz", speaker) == (
            f"{tmp_path / 'a.npz'}: nothing is left to train on: of 50 recordings by speakera, 50 are of the test")


def held(sounds, **changes):
    return {n: getattr(sounds, n) for n in ("audio", "offsets", "labels", "speaker", "take", "speakers")} | changes


NO = " is not an .npz of spoken digits: "


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda s: {"audio": s.audio[:-1]}, ": offsets must rise from 0 to the {n} samples of audio"),
    (lambda s: {"labels": s.labels + 1}, ": labels must lie from 0 to 9, got 1 to 10"),
    (lambda s: {"take": s.take[:-1]}, ": take must hold 210 numbers for 210 recordings, got shape (209,)"),
    (lambda s: {"take": s.take * 0}, ": each digit, speaker and take may stand there once, got 0_speakera_0, "),
    (lambda s: {"speaker": s.speaker * 0.5}, NO + "speaker must hold whole numbers, holds float64"),
    (lambda s: {"labels": np.array([s, s])}, NO + "Object arrays cannot be loaded when allow_pickle="),
])
def test_a_broken_npz_is_named(tmp_path, sounds, change, sentence):
    path = tmp_path / "b.npz"
    np.savez(path, **held(sounds, **change(sounds)))
    said = sentence_of(spoken_digits, path)
    assert said.startswith(str(path) + sentence.replace("{n}", str(len(sounds.audio) - 1)))


def test_files_that_are_no_npz_are_named(tmp_path, sounds):
    path = tmp_path / "c.npz"
    path.write_bytes(b"PK\x03\x04 no")
    assert sentence_of(spoken_digits, path).startswith(f"{path} is not an .npz of spoken digits: ")
    np.savez(path, audio=sounds.audio)
    assert sentence_of(spoken_digits, path) == (f"{path} is not an .npz of spoken digits: it has no offsets, labels, speaker, "
                                               "take, speakers")
    path = tmp_path / "d.wav"
    path.write_bytes(b"")
    assert sentence_of(spoken_digits, path) == f"{path} is not an .npz: {HELP}"


def test_broken_wav_files_are_named(tmp_path, sounds):
    small = synthetic_spoken(takes=6, speakers=2)
    write_wavs(tmp_path, small)
    path = tmp_path / "3_speakera_2.wav"
    good = path.read_bytes()
    with wave.open(str(path), "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(8000)
        f.writeframes(bytes(400))
    assert sentence_of(spoken_digits, tmp_path) == (f"{path} is not a wav file of the set: it has 2 channels of 16 bits, "
                                                   "one of 16 is read")
    path.write_bytes(good[:20])
    assert sentence_of(spoken_digits, tmp_path).startswith(f"{path} is not a wav file of the set: ")
    with wave.open(str(path), "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(16_000)
        f.writeframes(bytes(400))
    assert sentence_of(spoken_digits, tmp_path) == f"{tmp_path}: all files must have one sampling rate, got 8000, 16000"


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "e.npz"
    write_spoken(path, synthetic_spoken(takes=6, speakers=2))
    assert len(spoken_digits(path, cochlea=Cochlea(**SMALL))[1]) == 100
    write_spoken(path, synthetic_spoken(takes=7, speakers=2))
    assert len(spoken_digits(path, cochlea=Cochlea(**SMALL))[0]) == 40


def test_only_sounds_of_the_sets_rate_are_written(tmp_path):
    s = synthetic_spoken(takes=1, speakers=1)
    other = module.Sounds(s.audio, s.offsets, s.labels, s.speaker, s.take, s.speakers, 16_000.0)
    with pytest.raises(ValueError, match=re.escape("an .npz of spoken digits is at 8000 samples a second, got 16000")):
        write_spoken(tmp_path / "f.npz", other)


RECIPE = """
[data]
name = "spoken-digits"
dt = 20.0
[data.options]
channels = 16
step = 5.0
[[layer]]
kind = "flatten"
[[layer]]
kind = "linear"
inputs = 16
outputs = 12
[[layer]]
kind = "neuron"
reset = "hard"
[[layer]]
kind = "linear"
inputs = 12
outputs = 10
[[layer]]
kind = "readout"
[train]
epochs = 1
"""


def snnsim(*arguments, code=0):
    found = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="snnsim", env={"COLUMNS": "200"})
    assert found.exit_code == code, found.output
    return found.output


def test_the_command_line_takes_options_from_the_recipe_and_over_it(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(RECIPE)
    text = snnsim("train", "mine.toml", "--data", root, "--option", "speaker=speakerb")
    assert "140 recordings to train on" in text and "70 to test" in text
    where = "runs/mine/speaker-speakerb/seed-0/network.h5"
    assert "--option channels=16 --option step=5.0 --option speaker=speakerb" in text and where in text
    options = ("--data", "spoken-digits", "--root", root, "--option", "channels=16", "--option", "speaker=speakerb")
    assert "samples" in snnsim("run", where, *options, "--limit", 4)
    for arguments, code, sentence in [
            (("train", "mine.toml"), 1, "spoken-digits is not embedded: give where it is with --data; download the Free"),
            (("train", "mine.toml", "--data", root, "--option", "speaker=nobody"), 1, "speaker must be one of speakera"),
            (("train", "mine.toml", "--data", root, "--option", "speaker"), 2, "--option takes NAME=VALUE, got 'speaker'"),
            (("train", "mine.toml", "--data", root, "--option", "hop=3"), 1, "spoken-digits has no option 'hop'"),
            (("run", where, "a.bin", "--option", "channels=3"), 2, "--option belongs to --data")]:
        assert sentence in snnsim(*arguments, code=code)


def test_the_baseline_is_found_in_its_folder():
    assert "methods/baseline" in recipe_names()
    recipe = load_recipe("methods/baseline")
    assert recipe == load_recipe("methods/baseline.toml")
    assert recipe.data.name == "spoken-digits" and recipe.layers[1]["inputs"] == recipe.data.options["channels"]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real spoken digits in {REAL}")
def test_real_digits():
    train, test = load("spoken-digits", root=REAL)
    assert (len(train), len(test)) == (2250, 250)
    train, test = load("spoken-digits", root=REAL, speaker="george")
    assert (len(train), len(test)) == (2000, 500)
    counts = np.array([len(r) for r in test])
    assert counts.min() > 200 and counts.max() < 20_000


def test_the_benchmark_measures_what_it_encodes():
    from benchmarks.cochlea import measure

    row = measure(synthetic_spoken(takes=1, speakers=1), 16, 1)
    assert row["recordings"] == 10 and row["events_a_recording"] > 100 and row["wall_s"] >= 0.0
