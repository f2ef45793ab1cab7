"""The cochlea: the same events for any threads and loudness, none in silence, a tone at its channel, exact crossings."""

import math
import os
import re

import numpy as np
import pytest

from snnsim.datasets import EVENT, Cochlea, Sensor, synthetic_spoken, validate
from snnsim.datasets import cochlea as module

SPOKEN = synthetic_spoken(takes=1, speakers=2, seed=3)
SOUNDS = [SPOKEN.audio[a:b] for a, b in zip(SPOKEN.offsets[:-1], SPOKEN.offsets[1:], strict=True)]


def tone(frequency, rate=8000.0, duration=0.3):
    """With soft ends, as a tone that is switched on has all frequencies."""
    t = np.arange(int(rate * duration)) / rate
    return np.sin(2 * np.pi * frequency * t) * np.minimum(1.0, np.minimum(t, duration - t) / 0.05) ** 2


def test_events_are_sorted_inside_the_recording_and_of_the_sensor():
    cochlea = Cochlea(channels=33)
    assert cochlea.sensor == Sensor(1, 33, 1)
    for i, sound in enumerate(SOUNDS):
        events = cochlea.encode(sound, 8000, i)
        validate(events, cochlea.sensor)
        assert events.dtype == EVENT and len(events) > 300
        assert events["t"][-1] < len(sound) / 8000 * 1e6
        assert np.all(np.diff(events["t"] * 33 + events["x"]) > 0)  # by time, then channel; a cell fires once in a µs


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_events_do_not_depend_on_threads(threads, monkeypatch):
    expected = [Cochlea().encode(s, 8000, i).tobytes() for i, s in enumerate(SOUNDS)]
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    assert [e.tobytes() for e in Cochlea().encode_all(SOUNDS, 8000, progress=False)] == expected


@pytest.mark.parametrize("gain", [2, 3, 7, 0.5])
def test_a_louder_or_fainter_copy_has_the_same_events(gain):
    sound = SOUNDS[4].astype(np.int64)
    expected = Cochlea().encode(sound, 8000)
    louder = sound * gain
    np.testing.assert_array_equal(Cochlea().encode(louder, 8000), expected)
    np.testing.assert_array_equal(Cochlea().encode(louder.astype(np.float64), 8000), expected)


def test_a_tilted_copy_has_almost_the_same_level():
    """A tilt of 12 dB over the mel scale: without step 3 levels would differ by 3 dB on average. What remains is the tilt
    inside a filter, which weighs its own frequencies by at most 12 width / mel(3800) dB, and what the tilt does to the
    power of all channels together, which the mean over the active frames takes off but for its changes."""
    sound = SOUNDS[7].astype(np.float64)
    spectrum = np.fft.rfft(sound)
    place = module.mel(np.fft.rfftfreq(len(sound), 1 / 8000)) / module.mel(3800.0)
    bright = np.fft.irfft(spectrum * 10.0 ** (12.0 * place / 20.0), len(sound))
    plain, tilted = (Cochlea(below=50.0, range=200.0).levels(s, 8000) for s in (sound, bright))
    both = (plain > 0.5) & (tilted > 0.5)
    assert both.mean() > 0.3
    assert np.abs(plain - tilted)[both].mean() * 50.0 < 12.0 * 150.0 / module.mel(3800.0) < 0.9


def test_a_steady_hum_is_noise():
    """A tone that comes and goes is heard, one at 300 Hz that was there all the time is not."""
    t = np.arange(4800) / 8000.0
    sound = np.concatenate([np.zeros(1200), tone(1500.0), np.zeros(1200)]) + 0.1 * np.sin(2 * np.pi * 300.0 * t)
    low = [np.bincount(Cochlea(quiet=q).encode(sound, 8000)["x"], minlength=64)[:16].sum() for q in (0.05, 0.0)]
    assert low[0] == 0 and low[1] > 50
    assert len(Cochlea().encode(sound, 8000)) > 300


def test_loudness_of_a_moment_is_taken_off():
    """All channels rise and fall together by 12 dB, less than span: the drives near the tones do not. Between them, what the
    modulation itself adds to a window's spectrum is seen."""
    t = np.arange(6000) / 8000.0
    chord = sum(np.sin(2 * np.pi * f * t + f) for f in (200.0, 500.0, 900.0, 1400.0, 2000.0, 2700.0))
    swell = 10.0 ** (-6.0 * (1.0 - np.cos(2 * np.pi * 4.0 * t)) / 20.0)  # down to -12 dB, four times a second
    ear = Cochlea(quiet=0.0, range=200.0, below=50.0)
    plain, swollen = (ear.levels(s, 8000)[:, 20:-20] * 50.0 for s in (chord, chord * swell))
    near = plain > 50.0
    assert near.mean() > 0.4 and np.abs(plain - swollen)[near].max() < 0.5


def test_silence_has_no_events():
    for silence in (np.zeros(3000, np.int16), np.zeros(1)):
        events = Cochlea().encode(silence, 8000)
        assert events.dtype == EVENT and len(events) == 0
    sound = np.concatenate([np.zeros(4000), tone(600.0), np.zeros(4000)])
    t = Cochlea().encode(sound, 8000)["t"]
    assert t[0] >= 500_000 - 20_000 and t[-1] <= 800_000 + 20_000


@pytest.mark.parametrize(("frequency", "rate"), [(250.0, 8000), (1000.0, 8000), (1000.0, 22_050), (3000.0, 16_000.0)])
def test_a_tone_excites_the_channel_of_its_frequency(frequency, rate):
    cochlea = Cochlea()
    events = cochlea.encode(tone(frequency, rate), rate)
    nearest = int(np.argmin(np.abs(cochlea.frequencies - frequency)))
    spikes = np.bincount(events["x"], minlength=64)
    assert abs(int(np.argmax(cochlea.levels(tone(frequency, rate), rate).mean(1))) - nearest) <= 1
    assert abs(np.average(np.arange(64), weights=spikes) - nearest) <= 2
    assert spikes[np.abs(np.arange(64) - nearest) > 10].sum() == 0


def test_the_seed_and_the_sample_make_phases():
    sound = SOUNDS[0]
    found = {Cochlea(seed=s).encode(sound, 8000, i).tobytes() for s in (0, 1) for i in (0, 1)}
    assert len(found) == 4
    a, b = Cochlea(), Cochlea(seed=1)
    np.testing.assert_array_equal(a.levels(sound, 8000), b.levels(sound, 8000))


def test_hair_cells_fire_where_their_equation_says():
    """A constant drive has intervals of refractory + tau ln(I / (I - theta)), from the start's phase on."""
    drive, tau, refractory = 1.7, 8.0, 1.5
    level = np.ones((2, 50), np.float32)
    level[1] = 0.5 / 1.7  # below threshold
    keys = np.empty(1000, np.int64)
    n = module._fire(level, drive, np.array([1.1, 1.1]), np.array([0.3, 0.9]), 2.0, 99.5, tau, refractory, keys)
    t, c = np.divmod(keys[:n], 2)
    assert set(c) == {0}
    first = tau * math.log((drive - 0.3) / (drive - 1.1))
    interval = refractory + tau * math.log(drive / (drive - 1.1))
    expected = first + interval * np.arange(100)
    expected = np.floor(expected[expected < 99.5] * 1000.0)
    assert n == len(expected)
    assert np.abs(t - expected).max() <= 1  # float32 keeps no level that is not a power of two exactly
    short = np.empty(3, np.int64)
    assert module._fire(level, drive, np.array([1.1, 1.1]), np.array([0.3, 0.9]), 2.0, 99.5, tau, refractory, short) == n
    np.testing.assert_array_equal(short, keys[:3])


def test_the_bank_is_what_the_docstring_says():
    """Levels from the definition, in float64, one frame and channel at a time."""
    cochlea, sound, rate = Cochlea(channels=9, step=5.0, quiet=0.1), SOUNDS[2][:1501].astype(np.float64), 8000
    x = np.concatenate([np.zeros(128), sound / np.abs(sound).max(), np.zeros(300)])
    frequency = np.arange(257) * rate / 512
    power = np.zeros((9, math.ceil(1501 / 40)))
    for k in range(power.shape[1]):
        spectrum = np.fft.rfft(x[round((k + 0.5) * 40):][:256] * np.sin(np.pi * np.arange(1, 257) / 257) ** 2, 512)
        for c, f in enumerate(cochlea.frequencies):
            w = np.maximum(0.0, 1.0 - np.abs(module.mel(frequency) - module.mel(f)) / cochlea.width)
            power[c, k] = (w / w.sum()) @ np.abs(spectrum) ** 2
    noise = np.sort(power, axis=1)[:, int(0.1 * power.shape[1])]
    power = np.maximum(power - noise[:, None], 0.0)
    level = np.maximum(10 * np.log10(power / power.max() + 1e-30), -cochlea.range)
    above = level + cochlea.range
    loudness = 10 * np.log10(power.sum(0) / power.sum(0).max() + 1e-30)
    active = np.flatnonzero(loudness >= -cochlea.span)
    level -= np.maximum(loudness, -cochlea.span)
    mean = level[:, active].mean(1)
    left = level - np.polyval(np.polyfit(np.arange(9), mean, 1), np.arange(9))[:, None]
    expected = np.maximum(0.0, np.minimum(1.0 + left / cochlea.below, above / cochlea.below))
    expected[:, :active[0]] = expected[:, active[-1] + 1:] = 0.0
    np.testing.assert_allclose(cochlea.levels(sound, rate), expected, atol=2e-4)


def test_long_sound_is_the_same_in_pieces(monkeypatch):
    expected = Cochlea().encode(SOUNDS[0], 8000).tobytes()
    monkeypatch.setattr(module, "FRAMES", 7)
    assert Cochlea().encode(SOUNDS[0], 8000).tobytes() == expected


@pytest.mark.parametrize(("change", "sentence"), [
    ({"channels": 1}, "channels must be a whole number from 2 to 65536, got 1"),
    ({"channels": 64.5}, "channels must be a whole number from 2 to 65536, got 64.5"),
    ({"lowest": 0.0}, "lowest must be above 0, got 0.0"),
    ({"highest": 50.0}, "highest must be above lowest = 100 Hz, got 50.0"),
    ({"tau": math.nan}, "tau must be finite, got nan"),
    ({"quiet": -0.1}, "quiet must be at least 0, got -0.1"),
    ({"quiet": 1.0}, "quiet must be below 1, got 1.0"),
    ({"refractory": -1.0}, "refractory must be at least 0, got -1.0"),
    ({"step": 50.0}, "step and window must fulfil 0.01 <= step <= window <= 1000 ms, got 50.0 and 32.0"),
    ({"seed": -1}, "seed must be a whole number from 0, got -1"),
])
def test_wrong_settings_are_named(change, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Cochlea(**change)


ROW = "audio must be one channel of sound, a row of integers or floats with at least one sample, got "


@pytest.mark.parametrize(("sound", "rate", "sentence"), [
    (np.zeros(0), 8000, ROW + "shape (0,) of float64"),
    (np.zeros((2, 100)), 8000, ROW + "shape (2, 100) of float64"),
    (np.zeros(100, complex), 8000, ROW + "shape (100,) of complex128"),
    (np.zeros(100, bool), 8000, ROW + "shape (100,) of bool"),
    (["a"], 8000, ROW + "shape (1,) of <U1"),
    (np.array([0.0, 1.0, math.nan]), 8000, "audio must be finite: sample 2 is not"),
    (np.array([math.inf, 1.0]), 8000, "audio must be finite: sample 0 is not"),
    (np.ones(100), 4000, "rate must be at least 2 highest = 6400 samples a second, got 4000"),
    (np.ones(100), math.nan, "rate must be finite, got nan"),
])
def test_wrong_sound_is_named(sound, rate, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Cochlea().encode(sound, rate)


def test_what_is_wrong_among_many_is_numbered_and_narrow_filters_are_refused():
    with pytest.raises(ValueError, match=r"^sounds\[1\] must be finite: sample 1 is not$"):
        Cochlea().encode_all([SOUNDS[0], [0.0, math.nan]], 8000, progress=False)
    with pytest.raises(ValueError, match=r"^width = 1 mel is too narrow for a window of 32 ms: channel [0-9]+, at [0-9]+ Hz"):
        Cochlea(width=1.0).encode(SOUNDS[0], 8000)
