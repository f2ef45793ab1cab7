"""A cochlea: sound to events, by a mel filter bank, a level that forgets loudness and microphone, and hair cells that fire.

Sources: the mel scale, Stevens, Volkmann, Newman: A scale for the measurement of the psychological magnitude pitch, J.
Acoust. Soc. Am. 8:185 (1937), in the formula of O'Shaughnessy: Speech communication (1987); the mean level of a channel as
what a microphone adds, Atal: Effectiveness of linear prediction characteristics of the speech wave for automatic speaker
identification and verification, J. Acoust. Soc. Am. 55:1304 (1974); noise as what a channel seldom falls below, Martin:
Spectral subtraction based on minimum statistics, EUSIPCO (1994), who took the minimum of the smoothed power. Digits as
spikes of a model of the inner ear: Cramer, Stradmann, Schemmel, Zenke: The Heidelberg spiking data sets, IEEE Trans. Neural
Netw. Learn. Syst. 33:2744 (2022); theirs is a hydrodynamic basilar membrane and bushy cells. Everything else here is our own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.events import EVENT, Events, Sensor, whole
from snnsim.kernel import jit
from snnsim.progress import bar
from snnsim.rule import finite

Floats = NDArray[np.float32]

FRAMES = 4096  # that are transformed at once


class Bank(NamedTuple):
    """Filters as rows of different lengths: row c is weights[rows[c]:rows[c + 1]], from frequency starts[c] on."""

    size: int  # of the Fourier transform
    window: Floats
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    weights: Floats


@dataclass(frozen=True, eq=False)
class Voice:
    """What `Cochlea.listen` finds out about who speaks, from recordings whose words it is not told.

    colour: dB by which each channel is above loudness and tilt on average, [channels], float32. Errors: ValueError that
    names the field.
    """

    colour: Floats

    def __post_init__(self) -> None:
        colour = np.array(self.colour, np.float32)
        if colour.ndim != 1 or not np.isfinite(colour).all():
            raise ValueError(f"colour must be a row of finite numbers, a level for each channel, got shape {colour.shape}"
                             + ("" if colour.ndim != 1 else f" with {colour[int(np.argmin(np.isfinite(colour)))]}"))
        colour.setflags(write=False)
        object.__setattr__(self, "colour", colour)


@dataclass(frozen=True)
class Cochlea:
    """Turns sound into events: x is the channel, from low to high frequencies; y and p are 0.

    1. The sound, divided by its largest absolute value, is seen through a Hann window of `window` ms every `step` ms; frame
       k is centred at (k + 1/2) step and stands for the times from k step on.
    2. Channel c is a triangle on the mel scale, mel(f) = 2595 log10(1 + f / 700), `width` mel from its peak to its end, with
       weights that add up to 1; the peaks are evenly spaced from `lowest` to `highest` Hz. E[c, k] is its power less the
       noise, which is the power that it exceeds in all but the share `quiet` of its frames, and at least 0;
       L = max(10 log10(E / max E), -range) is its level, dB.
    3. P[k], dB, is the power of all channels together in a frame, the loudest frame's being 0. Frames with P >= -span are
       active. m[c] is the mean of L - P over them, and a + b (c - mean c) the straight line through m by least squares. So

           D[c, k] = L[c, k] - max(P[k], -span) - a - b (c - mean c)

       has neither the loudness of the voice, moment by moment, nor the tilt of its spectrum.
    4. A hair cell is a leaky integrator that is driven where D is above -`below` dB, between the first and the last active
       frame, and never by what is `range` dB below the loudest:

           I = drive max(0, min(1 + D / below, (L + range) / below))
           tau dv/dt = I - v;  fires at v >= theta[c], then v = 0 and stays there for `refractory` ms

       at the microsecond of the crossing, which is solved for. theta[c] = 1 + mismatch N(0, 1), at least 0.1, the same in
       all recordings; v starts uniform in [0, 1), or below theta[c], other values in each recording.

    To a voice that is known the ear adapts: its colour, the mean of D over the active frames of all that was heard of it, is
    taken off D. The mean over many words is the voice, the room and the microphone; that over one would be its vowel.

    Times in ms and frequencies in Hz. Everything random is a function of the seed and the sample's number. Sound that is
    zero throughout has no events; sound that is faint throughout is encoded as the same sound louder, so noise alone is, too.
    Errors: ValueError that names the argument.
    """

    channels: int = 64
    lowest: float = 100.0
    highest: float = 3200.0
    width: float = 100.0
    window: float = 32.0
    step: float = 2.0
    span: float = 20.0
    quiet: float = 0.05
    range: float = 50.0
    below: float = 10.0
    drive: float = 2.0
    tau: float = 10.0
    refractory: float = 1.0
    mismatch: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", whole("channels", self.channels, 2, 2**16))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))
        for f in fields(self):
            if f.name not in ("channels", "seed", "quiet", "refractory", "mismatch"):
                finite(f.name, getattr(self, f.name), above=0.0)
        for name in ("quiet", "refractory", "mismatch"):
            finite(name, getattr(self, name), at_least=0.0)
        if self.quiet >= 1.0:
            raise ValueError(f"quiet must be below 1, got {self.quiet!r}")
        if self.highest <= self.lowest:
            raise ValueError(f"highest must be above lowest = {self.lowest:g} Hz, got {self.highest!r}")
        if not 0.01 <= self.step <= self.window <= 1000.0:
            raise ValueError(f"step and window must fulfil 0.01 <= step <= window <= 1000 ms, got {self.step!r} and "
                             f"{self.window!r}")

    @property
    def sensor(self) -> Sensor:
        return Sensor(1, self.channels, 1)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Hz at which each channel is most sensitive, [channels]."""
        return np.asarray(700.0 * (10.0 ** (np.linspace(mel(self.lowest), mel(self.highest), self.channels) / 2595.0) - 1.0))

    def levels(self, audio: ArrayLike, rate: float, voice: Voice | None = None) -> Floats:
        """I / drive, what drives the hair cells: [channels, frames], frame k from k step on; see above.

        audio: one channel of sound, integers or floats of any scale. rate: samples a second. voice: who speaks, where that is
        known. Errors: those of `encode`.
        """
        return self._levels(_checked(audio), self._bank(rate), float(rate), self._known(voice))

    def encode(self, audio: ArrayLike, rate: float, sample: int = 0, voice: Voice | None = None) -> Events:
        """The events of a sound, EVENT, sorted by time and channel; sample: its number, which with the seed makes the
        phases of the hair cells. voice: who speaks, where that is known.

        Errors: ValueError for sound that is not a row of finite numbers, or empty, for a rate below 2 highest, and for a voice
        of other channels.
        """
        return self._encode(_checked(audio), self._bank(rate), float(rate), sample, self._known(voice))

    def encode_all(self, sounds: Sequence[ArrayLike], rate: float, progress: bool | None = None,
                   voices: Sequence[Voice | None] | None = None) -> list[Events]:
        """The events of each sound, sample i being sound i, in threads; the result does not depend on how many. voices: who
        speaks in each sound."""
        who: Sequence[Voice | None] = [None] * len(sounds) if voices is None else voices
        if len(who) != len(sounds):
            raise ValueError(f"voices must be as many as there are sounds, {len(sounds)}, got {len(who)}")
        for voice in who:
            self._known(voice)
        bank = self._bank(rate)
        return _each(lambda i: self._encode(_checked(sounds[i], f"sounds[{i}]"), bank, float(rate), i, who[i]), len(sounds),
                     "encoding", progress)

    def listen(self, sounds: Sequence[ArrayLike], rate: float, progress: bool | None = None) -> Voice:
        """The voice that speaks in these sounds, in threads; the result does not depend on how many.

        Sounds that are silent throughout tell nothing; where all are, or none is given, the voice has no colour. Errors: those
        of `encode`.
        """
        bank = self._bank(rate)

        def one(i: int) -> tuple[NDArray[np.float64], int]:
            power = self._power(_checked(sounds[i], f"sounds[{i}]"), bank, float(rate))
            if not power.any():
                return np.zeros(self.channels), 0
            level, _, active = self._relative(power)
            return level[:, active].sum(1, dtype=np.float64), len(active)

        heard = [h for h in _each(one, len(sounds), "listening", progress) if h[1]]
        if not heard:
            return Voice(np.zeros(self.channels, np.float32))
        return Voice((np.sum([h[0] for h in heard], axis=0) / sum(h[1] for h in heard)).astype(np.float32))

    def _known(self, voice: Voice | None) -> Voice | None:
        if voice is not None and len(voice.colour) != self.channels:
            raise ValueError(f"voice must have the level of {self.channels} channels, has {len(voice.colour)}: listen with the "
                             "cochlea that encodes")
        return voice

    def _bank(self, rate: float) -> Bank:
        if float(finite("rate", rate)) < 2.0 * self.highest:
            raise ValueError(f"rate must be at least 2 highest = {2.0 * self.highest:g} samples a second, got {rate!r}")
        length = round(self.window * rate / 1000.0)
        size = 2 * 2 ** math.ceil(math.log2(length))
        distance = np.abs(mel(np.arange(size // 2 + 1) * rate / size)[None] - mel(self.frequencies)[:, None])
        weights = np.maximum(0.0, 1.0 - distance / self.width)
        sums = weights.sum(1)
        if not np.all(sums):
            c = int(np.argmin(sums))
            raise ValueError(f"width = {self.width:g} mel is too narrow for a window of {self.window:g} ms: channel {c}, at "
                             f"{self.frequencies[c]:.0f} Hz, lies between two frequencies of its spectrum")
        held = weights > 0.0
        rows = np.concatenate([[0], np.cumsum(held.sum(1))]).astype(np.int64)
        return Bank(size, np.hanning(length + 2)[1:-1].astype(np.float32), np.argmax(held, axis=1), rows,
                    (weights / sums[:, None])[held].astype(np.float32))

    def _levels(self, audio: NDArray[np.float64], bank: Bank, rate: float, voice: Voice | None) -> Floats:
        power = self._power(audio, bank, rate)
        if not power.any():
            return power
        level, cap, active = self._relative(power)
        if voice is not None:
            level -= voice.colour[:, None]
        driven = np.maximum(np.float32(0.0), np.minimum(1.0 + level / np.float32(self.below), cap))
        driven[:, :active[0]] = driven[:, active[-1] + 1:] = 0.0
        return np.asarray(driven, np.float32)

    def _power(self, audio: NDArray[np.float64], bank: Bank, rate: float) -> Floats:
        """Steps 1 and 2 up to E, [channels, frames]."""
        count = math.ceil(len(audio) / rate * 1000.0 / self.step)
        loudest = np.abs(audio).max()
        if loudest == 0.0:
            return np.zeros((self.channels, count), np.float32)
        half = len(bank.window) // 2
        padded = np.pad((audio / loudest).astype(np.float32), (half, len(bank.window)))
        starts = np.minimum(np.rint((np.arange(count) + 0.5) * self.step * rate / 1000.0).astype(np.int64), len(audio))
        power = np.empty((self.channels, count), np.float32)
        seen = np.lib.stride_tricks.sliding_window_view(padded, len(bank.window))
        for k in range(0, count, FRAMES):
            spectrum = np.fft.rfft(seen[starts[k:k + FRAMES]] * bank.window, bank.size)
            _filter(np.ascontiguousarray((spectrum.real ** 2 + spectrum.imag ** 2).T), bank.starts, bank.rows, bank.weights,
                    power[:, k:k + FRAMES])
        if self.quiet:
            k = int(self.quiet * count)
            power = np.maximum(power - np.partition(power, k, axis=1)[:, k:k + 1], np.float32(0.0))
        return power

    def _relative(self, power: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """D and (L + range) / below of steps 3 and 4, and the numbers of the active frames; power: not zero throughout."""
        total, most = power.sum(0), power.max()
        loudness = total / total.max()
        least = 10.0 ** (-self.span / 10.0)
        active = np.flatnonzero(loudness >= least)
        level = 10.0 * np.log10(np.maximum(power / most, np.float32(10.0 ** (-self.range / 10.0))))
        cap = (level + np.float32(self.range)) / np.float32(self.below)
        level -= 10.0 * np.log10(np.maximum(loudness, np.float32(least)))
        place = np.arange(self.channels) - 0.5 * (self.channels - 1)
        mean = level[:, active].mean(1, dtype=np.float64)
        line = mean.mean() + place * ((place @ mean) / (place @ place))
        level -= line.astype(np.float32)[:, None]
        return level, cap, active

    def _encode(self, audio: NDArray[np.float64], bank: Bank, rate: float, sample: int, voice: Voice | None) -> Events:
        level = self._levels(audio, bank, rate, voice)
        theta = np.maximum(0.1, 1.0 + self.mismatch * np.random.default_rng(self.seed).standard_normal(self.channels))
        key = np.random.SeedSequence(self.seed, spawn_key=(whole("sample", sample, 0),))
        phase = np.random.default_rng(key).random(self.channels) * np.minimum(1.0, theta)
        end = min(level.shape[1] * self.step, len(audio) / rate * 1000.0)
        keys, count = np.empty(int(0.25 * end * self.channels) + 1024, np.int64), 0  # 250 Hz a cell: seldom too few
        while True:
            count = _fire(level, self.drive, theta, phase, self.step, end, self.tau, self.refractory, keys)
            if count <= len(keys):
                break
            keys = np.empty(count, np.int64)
        keys = np.sort(keys[:count])
        events = np.zeros(count, EVENT)
        events["t"], events["x"] = np.divmod(keys, self.channels)
        return events


def _each(one: Callable[[int], Any], count: int, what: str, progress: bool | None) -> list[Any]:
    """one(0) to one(count - 1), in threads, with a bar."""
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar(count, what, progress) as line:
        found = []
        for value in pool.map(one, range(count)):
            found.append(value)
            line.advance()
    return found


def mel(hertz: Any) -> Any:
    """The mel scale of pitch; see the sources above."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


def _checked(audio: ArrayLike, name: str = "audio") -> NDArray[np.float64]:
    sound = np.asarray(audio)
    if sound.ndim != 1 or not sound.size or sound.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be one channel of sound, a row of integers or floats with at least one sample, got "
                         f"shape {sound.shape} of {sound.dtype}")
    sound = sound.astype(np.float64)
    if not np.isfinite(sound).all():
        raise ValueError(f"{name} must be finite: sample {int(np.argmin(np.isfinite(sound)))} is not")
    return sound


@jit(nogil=True)
def _filter(power: Floats, starts: NDArray[np.int64], rows: NDArray[np.int64], weights: Floats, out: Floats) -> None:
    """out[c, k] = sum of weights times power[frequency, k]: frames are the inner loop, so that no sum is reordered."""
    for c in range(len(starts)):
        for k in range(out.shape[1]):
            out[c, k] = np.float32(0.0)
        for i in range(rows[c], rows[c + 1]):
            w, row = weights[i], power[starts[c] + i - rows[c]]
            for k in range(out.shape[1]):
                out[c, k] += w * row[k]


@jit(nogil=True)
def _fire(level: Floats, drive: float, theta: NDArray[np.float64], phase: NDArray[np.float64], step: float, end: float,
          tau: float, refractory: float, keys: NDArray[np.int64]) -> int:
    """The keys (t channels + c) of all events, cell after cell; returns how many there are, more than fit perhaps."""
    channels, frames = level.shape
    whole_step = np.exp(-step / tau)
    latest = np.int64(np.ceil(end * 1000.0)) - 1
    count = 0
    for c in range(channels):
        v, free = phase[c], 0.0
        for k in range(frames):
            start, stop = k * step, (k + 1) * step
            if free >= stop:
                continue
            current = drive * level[c, k]
            now = max(start, free)
            while True:
                fade = whole_step if now == start else np.exp(-(stop - now) / tau)
                after = current + (v - current) * fade
                if after < theta[c] or current <= theta[c]:
                    v = after
                    break
                now = min(now + tau * np.log((current - v) / (current - theta[c])), stop)
                if now >= end:
                    break
                if count < len(keys):
                    keys[count] = min(np.int64(now * 1000.0), latest) * channels + c
                count += 1
                v, free = 0.0, now + refractory
                if free >= stop:
                    break
                now = free
    return count
