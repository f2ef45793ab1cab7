"""A cochlea that adapts to who speaks: its colour is what the docstring says, and is taken off; nothing else changes."""

import math
import os
import re

import numpy as np
import pytest

from snnsim.cli.samples import of_set
from snnsim.datasets import Cochlea, Voice, load, spoken_digits, synthetic_spoken, write_spoken
from snnsim.train import load_recipe

SPOKEN = synthetic_spoken(takes=1, speakers=2, seed=5)
SOUNDS = [SPOKEN.audio[a:b] for a, b in zip(SPOKEN.offsets[:-1], SPOKEN.offsets[1:], strict=True)]
MINE, OTHERS = (([SOUNDS[i] for i in np.flatnonzero(SPOKEN.speaker == s)]) for s in (0, 1))
WIDE = {"below": 60.0, "range": 300.0, "quiet": 0.0}  # so that no level is cut off: I = 1 + D / 60


def parts(cochlea, sound):
    """D, and the numbers of the active frames."""
    level, _, active = cochlea._relative(cochlea._power(np.asarray(sound, np.float64), cochlea._bank(8000), 8000.0))
    return level, active


def test_a_voice_is_the_mean_level_of_active_frames():
    cochlea = Cochlea(channels=20, step=4.0)
    voice = cochlea.listen(MINE, 8000, progress=False)
    found = [parts(cochlea, s) for s in MINE]
    expected = np.concatenate([level[:, active] for level, active in found], axis=1).astype(np.float64).mean(1)
    np.testing.assert_allclose(voice.colour, expected, atol=1e-5)
    assert np.abs(voice.colour).max() > 3.0
    assert not voice.colour.flags.writeable and voice.colour.dtype == np.float32


def test_the_colour_is_taken_off():
    cochlea = Cochlea(**WIDE)
    voice = cochlea.listen(MINE, 8000, progress=False)
    plain, adapted = (np.concatenate([(cochlea.levels(s, 8000, v)[:, parts(cochlea, s)[1]] - 1.0) * 60.0 for s in MINE], axis=1)
                      for v in (None, voice))
    assert plain.min() > -60.0 and adapted.min() > -60.0  # nothing was cut off
    np.testing.assert_allclose(adapted, plain - voice.colour[:, None], atol=1e-4)
    np.testing.assert_allclose(adapted.mean(1), 0.0, atol=1e-3)


def test_a_microphone_that_is_heard_throughout_is_taken_off():
    """All recordings through one filter, whose gain swings by 6 dB either way over the mel scale."""
    def coloured(sound):
        spectrum = np.fft.rfft(sound)
        mel = 2595.0 * np.log10(1.0 + np.fft.rfftfreq(len(sound), 1 / 8000) / 700.0)
        return np.fft.irfft(spectrum * 10.0 ** (6.0 * np.sin(2 * np.pi * mel / 900.0) / 20.0), len(sound))

    cochlea, far = Cochlea(**WIDE), [coloured(s.astype(np.float64)) for s in MINE]
    voices = [cochlea.listen(sounds, 8000, progress=False) for sounds in (MINE, far)]
    wrong, left = [], []
    for plain, other in zip(MINE, far, strict=True):
        wrong.append(np.abs(cochlea.levels(plain, 8000) - cochlea.levels(other, 8000)).mean() * 60.0)
        a, b = (cochlea.levels(s, 8000, v) for s, v in zip((plain, other), voices, strict=True))
        left.append(np.abs(a - b).mean() * 60.0)
    assert np.mean(wrong) > 2.0 and np.mean(left) < 0.5 * np.mean(wrong)


def test_louder_recordings_are_of_the_same_voice():
    cochlea = Cochlea(channels=32)
    a, b = (cochlea.listen([s.astype(np.int64) * g for s in MINE], 8000, progress=False) for g in (1, 6))
    assert a.colour.tobytes() == b.colour.tobytes()
    louder = cochlea.encode(6 * MINE[0].astype(np.int64), 8000, voice=b)
    np.testing.assert_array_equal(louder, cochlea.encode(MINE[0], 8000, voice=a))


def test_threads_do_not_matter(monkeypatch):
    cochlea, found = Cochlea(channels=32), set()
    for threads in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda n=threads: n)
        voice = cochlea.listen(MINE, 8000, progress=False)
        events = cochlea.encode_all(SOUNDS[:4], 8000, progress=False, voices=[voice, None, voice, None])
        found.add((voice.colour.tobytes(), *(e.tobytes() for e in events)))
    assert len(found) == 1
    for i, v in enumerate((voice, None, voice, None)):
        np.testing.assert_array_equal(events[i], cochlea.encode(SOUNDS[i], 8000, i, v))


def test_silence_tells_nothing_of_a_voice():
    cochlea = Cochlea(channels=32)
    for sounds in ([], [np.zeros(500), np.zeros(1)]):
        voice = cochlea.listen(sounds, 8000, progress=False)
        assert not voice.colour.any()
        np.testing.assert_array_equal(cochlea.encode(MINE[1], 8000, voice=voice), cochlea.encode(MINE[1], 8000))
    a, b = (cochlea.listen(s, 8000, progress=False) for s in (MINE, [np.zeros(4000), *MINE, np.zeros(9)]))
    assert a.colour.tobytes() == b.colour.tobytes()
    assert len(cochlea.encode(np.zeros(400), 8000, voice=a)) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("voices") / "small.npz"
    write_spoken(path, synthetic_spoken(takes=6, speakers=2, seed=1))
    return path


SMALL = {"channels": 16, "step": 5.0}


def test_each_speaker_of_the_set_is_listened_to(root):
    cochlea, sounds = Cochlea(**SMALL), synthetic_spoken(takes=6, speakers=2, seed=1)
    pieces = [sounds.audio[a:b] for a, b in zip(sounds.offsets[:-1], sounds.offsets[1:], strict=True)]
    voices = [cochlea.listen([p for p, s in zip(pieces, sounds.speaker, strict=True) if s == k], 8000, progress=False)
              for k in (0, 1)]
    assert np.abs(voices[0].colour - voices[1].colour).max() > 1.0
    train, test = load("spoken-digits", root, speaker="speakerb", voices=True, **SMALL)
    for part, k in ((train, 0), (test, 1)):
        i = sounds.names().index(part[7].source)
        np.testing.assert_array_equal(part[7].events, cochlea.encode(pieces[i], 8000, i, voices[k]))
    plain = load("spoken-digits", root, speaker="speakerb", **SMALL)[1]
    i = sounds.names().index(plain[7].source)
    np.testing.assert_array_equal(plain[7].events, cochlea.encode(pieces[i], 8000, i))
    assert not np.array_equal(plain[7].events, test[7].events)


def test_a_recipe_and_an_option_ask_for_voices(root):
    assert load_recipe("methods/voices").data.options["voices"] is True
    assert "voices" not in load_recipe("methods/speakers").data.options
    adapted, plain = (of_set("spoken-digits", root, 3, ["channels=16", "step=5.0", f"voices={v}"]) for v in ("true", "false"))
    test = load("spoken-digits", root, **SMALL)[1]
    assert [r.source for r in plain] == [r.source for r in adapted]
    by_name = {r.source: r for r in test}
    for a, b in zip(adapted, plain, strict=True):
        np.testing.assert_array_equal(b.events, by_name[b.source].events)
        assert not np.array_equal(a.events, b.events)


def test_a_single_speaker_has_a_voice_too(tmp_path):
    write_spoken(tmp_path / "one.npz", synthetic_spoken(takes=6, speakers=1))
    train, test = spoken_digits(tmp_path / "one.npz", cochlea=Cochlea(**SMALL), voices=True)
    assert (len(train), len(test)) == (10, 50) and min(len(r) for r in test) > 20


def test_what_is_wrong_with_a_voice_is_said(root):
    cochlea = Cochlea()
    of = "voice must have the level of 64 channels, has 16: listen with the cochlea that encodes"
    voice = Voice(np.zeros(16))
    for call, sentence in [
            (lambda: cochlea.encode(SOUNDS[0], 8000, voice=voice), of),
            (lambda: cochlea.levels(SOUNDS[0], 8000, voice), of),
            (lambda: cochlea.encode_all(SOUNDS[:2], 8000, False, [None, voice]), of),
            (lambda: cochlea.encode_all(SOUNDS[:2], 8000, False, [None]),
             "voices must be as many as there are sounds, 2, got 1"),
            (lambda: cochlea.listen([SOUNDS[0], [math.nan]], 8000, False), "sounds[1] must be finite: sample 0 is not"),
            (lambda: Voice(np.zeros((2, 3))), "colour must be a row of finite numbers, a level for each channel, got "
                                                     "shape (2, 3)"),
            (lambda: Voice(np.array([1.0, math.inf])), "colour must be a row of finite numbers, a level for each "
                                                              "channel, got shape (2,) with inf"),
            (lambda: load("spoken-digits", root, voices="yes"), "voices must be true or false, got 'yes'")]:
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            call()
