"""Spoken digits as the spikes of a cochlea, from the Free Spoken Digit Dataset.

Source: Jackson and others, Free Spoken Digit Dataset, github.com/Jakobovski/free-spoken-digit-dataset, licence CC BY-SA 4.0.
Sound at 8 kHz, one file a recording: {digit}_{speaker}_{take}.wav. Its authors keep takes 0 to 4 of each digit and speaker
for the test.
"""

from __future__ import annotations

import os
import re
import wave
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.cochlea import Cochlea
from snnsim.datasets.dataset import EventDataset, Memory
from snnsim.datasets.events import whole

DIGITS = tuple("0123456789")
NAME = re.compile(r"([0-9])_([^_]+)_([0-9]+)\.wav")
TEST_TAKES = 5
LARGEST = 2**30  # bytes of sound; the set has 20 million
HELP = ("download the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0) and give the "
        "folder of its files {digit}_{speaker}_{take}.wav, or an .npz with audio, offsets, labels, speaker, take and speakers")


@dataclass(frozen=True, eq=False)
class Sounds:
    """Recordings of digits: sound i is audio[offsets[i]:offsets[i + 1]], at `rate` samples a second; speaker[i] is an index
    into `speakers`. Errors: ValueError from `check`."""

    audio: NDArray[Any]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    speaker: NDArray[np.int64]
    take: NDArray[np.int64]
    speakers: tuple[str, ...]
    rate: float = 8000.0

    def __len__(self) -> int:
        return len(self.labels)

    def names(self) -> tuple[str, ...]:
        """{digit}_{speaker}_{take}, as the files of the set are called."""
        return tuple(f"{d}_{self.speakers[s]}_{t}" for d, s, t in zip(self.labels, self.speaker, self.take, strict=True))

    def check(self, where: str) -> Sounds:
        """These sounds; ValueError that starts with `where` when they do not fit together."""
        n = len(self.labels)
        if self.audio.ndim != 1 or self.audio.dtype.kind not in "iuf" or not n:
            raise ValueError(f"{where}: audio must be a row of integers or floats and labels not empty, got shape "
                             f"{self.audio.shape} of {self.audio.dtype} and {n} labels")
        for name, length in (("offsets", n + 1), ("labels", n), ("speaker", n), ("take", n)):
            if getattr(self, name).shape != (length,):
                raise ValueError(f"{where}: {name} must hold {length} numbers for {n} recordings, got shape "
                                 f"{getattr(self, name).shape}")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.audio) or np.any(np.diff(self.offsets) < 1):
            raise ValueError(f"{where}: offsets must rise from 0 to the {len(self.audio)} samples of audio")
        for name, most in (("labels", 9), ("speaker", len(self.speakers) - 1), ("take", 2**31)):
            values = getattr(self, name)
            if values.min() < 0 or values.max() > most:
                raise ValueError(f"{where}: {name} must lie from 0 to {most}, got {values.min()} to {values.max()}")
        names = self.names()
        if len(set(names)) != n:
            twice = sorted({x for x in names if names.count(x) > 1}) if n < 10_000 else []
            raise ValueError(f"{where}: each digit, speaker and take may stand there once, got {', '.join(twice[:3])} twice")
        return self


def spoken_digits(root: str | os.PathLike[str] | Sounds, speaker: str | None = None,
                  cochlea: Cochlea | None = None, voices: bool = False) -> tuple[EventDataset, EventDataset]:
    """The training and the test set as events; classes are the digits, `source` is {digit}_{speaker}_{take}.

    root: an .npz of the set, or the folder that holds such a file, its wav files, or them in `recordings`; or sounds,
    such as `synthetic_spoken` makes. speaker: None tests on takes 0 to 4 of all speakers, as the set's authors do; a name
    tests on all that this speaker said and trains on the others. cochlea: Cochlea() unless given. voices: the cochlea adapts
    to each speaker, see `Cochlea.listen`: it hears all recordings of each, of the test as well, but is not told the digits.
    The events of the last two (root, cochlea, voices) that come from files are kept in memory.

    Errors: FileNotFoundError that says what to download; ValueError that names the file, or the speaker and those there are.
    """
    if not isinstance(voices, (bool, np.bool_)):
        raise ValueError(f"voices must be true or false, got {voices!r}")
    given = isinstance(root, Sounds)
    path = Path("sounds") if isinstance(root, Sounds) else _found(Path(root))
    sounds = root.check("sounds") if isinstance(root, Sounds) else read_spoken(root)
    if speaker is not None and speaker not in sounds.speakers:
        raise ValueError(f"speaker must be one of {', '.join(sounds.speakers)}, got {speaker!r}")
    cochlea = Cochlea() if cochlea is None else cochlea
    every = _heard(sounds, cochlea, bool(voices)) if given else _encoded(path, _stamp(path), cochlea, bool(voices))
    test = sounds.take < TEST_TAKES if speaker is None else sounds.speaker == sounds.speakers.index(speaker)
    if test.all() or not test.any():
        raise ValueError(f"{path}: nothing is left to {'train' if test.all() else 'test'} on: of {len(test)} recordings by "
                         f"{', '.join(sounds.speakers)}, {test.sum()} are of the test")
    return every[~test], every[test]


def read_spoken(root: str | os.PathLike[str]) -> Sounds:
    """The sounds in `root`, see `spoken_digits`."""
    path = _found(Path(root))
    return _sounds(path, _stamp(path))


def synthetic_spoken(takes: int = 10, speakers: int = 3, seed: int = 0) -> Sounds:
    """Made-up digits, a stand-in for the set in tests: 10 x speakers x takes sounds at 8 kHz, int16, about 0.3 s each.

    A digit is a glide of two formants, from one of ten places to another, excited by a pulse train; a speaker has a pitch, a
    length of the vocal tract, a loudness and a spectral tilt, and each take varies in length and onset. Errors: ValueError.
    """
    takes, speakers = whole("takes", takes, 1), whole("speakers", speakers, 1, 26)
    rng = np.random.default_rng(whole("seed", seed, 0))
    audio, labels, speaker, take = [], [], [], []
    for d in range(10):
        for s in range(speakers):
            for t in range(takes):
                audio.append(_vowels(rng, d, s))
                labels.append(d)
                speaker.append(s)
                take.append(t)
    offsets = np.concatenate([[0], np.cumsum([len(a) for a in audio])]).astype(np.int64)
    return Sounds(np.concatenate(audio), offsets, np.array(labels), np.array(speaker), np.array(take),
                  tuple("speaker" + chr(97 + s) for s in range(speakers)))


def write_spoken(path: str | os.PathLike[str], sounds: Sounds) -> None:
    """Write sounds at 8 kHz as the .npz that `spoken_digits` reads."""
    if sounds.rate != 8000.0:
        raise ValueError(f"an .npz of spoken digits is at 8000 samples a second, got {sounds.rate:g}")
    np.savez(path, audio=sounds.audio, offsets=sounds.offsets, labels=sounds.labels, speaker=sounds.speaker, take=sounds.take,
             speakers=np.array(sounds.speakers))


def _vowels(rng: np.random.Generator, digit: int, speaker: int) -> NDArray[np.int16]:
    n = int(8000 * rng.uniform(0.25, 0.35))
    first = np.linspace(300 + 60 * (digit % 5), 300 + 60 * ((3 * digit + 1) % 7), n)
    second = np.linspace(900 + 180 * digit, 900 + 180 * ((7 * digit + 4) % 10), n)
    size, pitch = 1.0 + 0.05 * (speaker % 3 - 1), 110.0 + 25.0 * (speaker % 4) + rng.uniform(-5.0, 5.0)
    t, sound = np.arange(n) / 8000.0, np.zeros(n)
    for h in range(1, int(3600 / pitch)):
        near = np.exp(-((h * pitch - size * first) / 90.0) ** 2) + 0.7 * np.exp(-((h * pitch - size * second) / 120.0) ** 2)
        sound += (near + 0.003) * h ** (-0.3 * (speaker % 2)) * np.sin(2 * np.pi * h * pitch * t)
    sound *= np.hanning(n) ** 0.3 * (2000.0 + 1500.0 * speaker) / np.abs(sound).max()
    lead = np.zeros(int(8000 * rng.uniform(0.0, 0.08)))
    return np.concatenate([lead, sound, np.zeros(200)]).round().astype(np.int16)


def _found(root: Path) -> Path:
    """The .npz file, or the folder of wav files, that root means."""
    if not root.exists():
        raise FileNotFoundError(f"there is no {root}: {HELP}")
    if root.is_file():
        if root.suffix != ".npz":
            raise ValueError(f"{root} is not an .npz: {HELP}")
        return root
    for folder in (root, root / "recordings"):
        if folder.is_dir() and any(NAME.fullmatch(f) for f in os.listdir(folder)):
            return folder
    files = sorted(root.glob("*.npz"))
    if len(files) != 1:
        raise FileNotFoundError(f"{root} holds no spoken digits, neither wav files nor one .npz (found {len(files)}): {HELP}")
    return files[0]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=2)
def _sounds(path: Path, stamp: tuple[int, int]) -> Sounds:
    return _read_folder(path) if path.is_dir() else _read_npz(path)


@lru_cache(maxsize=2)
def _encoded(path: Path, stamp: tuple[int, int], cochlea: Cochlea, voices: bool) -> EventDataset:
    return _heard(_sounds(path, stamp), cochlea, voices)


def _heard(sounds: Sounds, cochlea: Cochlea, voices: bool) -> EventDataset:
    pieces = [sounds.audio[a:b] for a, b in zip(sounds.offsets[:-1], sounds.offsets[1:], strict=True)]
    known = [cochlea.listen([pieces[i] for i in np.flatnonzero(sounds.speaker == s)], sounds.rate)
             for s in range(len(sounds.speakers))] if voices else None
    who = None if known is None else [known[s] for s in sounds.speaker]
    store = Memory.of(cochlea.encode_all(pieces, sounds.rate, voices=who), sounds.names())
    return EventDataset("spoken-digits", cochlea.sensor, DIGITS, sounds.labels, store)


def _read_npz(path: Path) -> Sounds:
    names = ("audio", "offsets", "labels", "speaker", "take", "speakers")
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:  # np.load leaves a broken one open
            missing = [n for n in names if n not in file.files]
            if missing:
                raise ValueError(f"it has no {', '.join(missing)}")
            held = {n: file[n] for n in names}
        for n in names[1:5]:
            if held[n].dtype.kind not in "iu":
                raise ValueError(f"{n} must hold whole numbers, holds {held[n].dtype}")
        speakers = tuple(str(s) for s in np.atleast_1d(held["speakers"]))
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} is not an .npz of spoken digits: {e}") from None
    offsets, labels, speaker, take = (held[n].astype(np.int64) for n in names[1:5])
    return Sounds(held["audio"], offsets, labels, speaker, take, speakers).check(str(path))


def _read_folder(folder: Path) -> Sounds:
    found = [m for m in map(NAME.fullmatch, os.listdir(folder)) if m]
    if sum((folder / m.string).stat().st_size for m in found) > LARGEST:
        raise ValueError(f"{folder}: its wav files have more than {LARGEST} bytes")
    speakers = tuple(sorted({m[2] for m in found}))
    found.sort(key=lambda m: (m[1], m[2], int(m[3])))
    heard = [_read_wav(folder / m.string) for m in found]
    rates = {rate for _, rate in heard}
    if len(rates) != 1:
        raise ValueError(f"{folder}: all files must have one sampling rate, got {', '.join(map(str, sorted(rates)))}")
    offsets = np.concatenate([[0], np.cumsum([len(a) for a, _ in heard])]).astype(np.int64)
    return Sounds(np.concatenate([a for a, _ in heard]), offsets, np.array([int(m[1]) for m in found]),
                  np.array([speakers.index(m[2]) for m in found]), np.array([int(m[3]) for m in found]), speakers,
                  float(rates.pop())).check(str(folder))


def _read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise wave.Error(f"it has {file.getnchannels()} channels of {8 * file.getsampwidth()} bits, one of 16 is read")
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            if not len(sound):
                raise wave.Error("it holds no sound")
            return sound, file.getframerate()
    except (wave.Error, EOFError, ValueError) as e:
        raise ValueError(f"{path} is not a wav file of the set: {e}") from None
