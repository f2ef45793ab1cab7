"""A simulated event camera that sees a video: thresholds that differ, blind times, leak, shot noise; frame after frame.

Sources: the pixel, its refractory time and its leak, Lichtsteiner, Posch, Delbruck: A 128x128 120 dB 15 µs latency asynchronous
temporal contrast vision sensor, IEEE J. Solid-State Circuits 43:566 (2008); mismatch, leak and shot noise as parameters of a
camera that is fed with frames, Hu, Liu, Delbruck: v2e: From video frames to realistic DVS events, CVPR Workshops (2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.events import EVENT, Events, Sensor, whole
from snnsim.kernel import jit
from snnsim.rule import finite

Floats = NDArray[np.float64]
LONGEST = 2e6  # ms between two frames: places and microseconds are sorted together, in 64 bits
FASTEST = 1e6  # a second


@dataclass(frozen=True)
class VideoCamera:
    """Turns frames, values from 0 (dark) to 1 or unsigned whole numbers, into events; a sensor pixel for each of theirs.

    A pixel sees L = log(floor + value), which runs linearly from frame to frame. It remembers M, the L of its last event, at
    t_M, and what it compares leaks upwards:

        d(t) = L(t) - M + theta_on leak (t - t_M);    d >= theta_on gives an ON event (p = 1), d <= -theta_off an OFF event

    at the microsecond of the crossing; in still light that makes `leak` ON events a second. For `refractory` ms after an event
    a pixel is blind; then M is what it sees, and t_M that moment. theta_on and theta_off differ from pixel to pixel, the fixed
    pattern of a sensor: threshold (1 + mismatch N(0, 1)), at least a tenth of the threshold, the same in all recordings.
    threshold_off: where it is not `threshold`. Shot noise makes events of a random polarity, noise (1 - 3/4 value) a second,
    Poisson, so a quarter as many in full light; such an event is one as any other: the pixel is blind, then remembers anew.

    Ours, and not of the sources: `floor`, where v2e is linear in dark pixels; the leak's phase at the first frame, uniform;
    noise that resets the pixel. Left out: the photoreceptor's finite bandwidth, and leak and noise that differ among pixels.
    Values are taken as light: undo a video's gamma before, where that matters. Between frames nothing is known: where things
    move by more than a pixel from frame to frame, edges jump, and more frames are needed.

    Everything random is a function of the seed and the sample's number. Errors: ValueError that names the argument.
    """

    threshold: float = 0.2
    threshold_off: float | None = None
    mismatch: float = 0.1
    refractory: float = 0.5
    leak: float = 0.1
    noise: float = 0.1
    floor: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name, limit in (("threshold", 0.01), ("threshold_off", 0.01), ("mismatch", 0.0), ("refractory", 0.0), ("leak", 0.0),
                            ("noise", 0.0)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(finite(name, getattr(self, name), at_least=limit)))
        object.__setattr__(self, "floor", float(finite("floor", self.floor, above=0.0)))
        for name in ("leak", "noise"):
            if getattr(self, name) > FASTEST:
                raise ValueError(f"{name} must be at most {FASTEST:g} a second, got {getattr(self, name):g}")
        whole("seed", self.seed, 0)

    @property
    def _off(self) -> float:
        return self.threshold if self.threshold_off is None else self.threshold_off

    def thresholds(self, height: int, width: int) -> tuple[Floats, Floats]:
        """theta_on and theta_off, [height, width]."""
        return _pattern(self, height, width)

    def record(self, frames: Iterable[ArrayLike], times: Iterable[float], sample: int = 0) -> Events:
        """The events of a video. frames: [T, height, width], or an iterable of [height, width]; times: of each, in ms.

        sample: its number, which with the seed makes the noise. Errors: as `stream`, and fewer than two frames.
        """
        parts = list(self.stream(frames, times, sample))
        if not parts:
            raise ValueError("frames must be at least two: events lie between them")
        return np.concatenate(parts)

    def stream(self, frames: Iterable[ArrayLike], times: Iterable[float], sample: int = 0) -> Iterator[Events]:
        """The same, as an array of events for each frame from the second on: a video of any length, two frames in memory.

        Errors: ValueError that names the frame whose shape or values are wrong, or whose time is not from 1 µs to 2e6 ms after
        the one before it.
        """
        if isinstance(frames, Sized) and isinstance(times, Sized) and len(frames) != len(times):
            raise ValueError(f"times must give one for each of the {len(frames)} frames, got {len(times)}")
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(whole("sample", sample, 0),)))
        return self._stream(iter(frames), iter(times), rng)

    def _stream(self, frames: Iterator[ArrayLike], times: Iterator[float], rng: np.random.Generator) -> Iterator[Events]:
        before, start, pixels = np.empty((0, 0)), 0.0, None
        for n, frame in enumerate(frames):
            seen, time = np.log(self.floor + light(frame, f"frame {n}")), next(times, None)
            if time is None:
                raise ValueError(f"times must give one for each frame, there are only {n}")
            end = 1000.0 * float(finite(f"the time of frame {n}", time, at_least=0.0))
            if pixels is None:
                pixels = _Pixels(self, seen.shape, rng)
            elif seen.shape != before.shape:
                raise ValueError(f"frame {n} must be of the shape of frame 0, {before.shape}, got {seen.shape}")
            elif not 1.0 <= end - start <= 1000.0 * LONGEST:
                raise ValueError(f"the time of frame {n} must be from 0.001 to {LONGEST:g} ms after that of frame {n - 1}, "
                                 f"{start / 1000.0:g} ms, got {end / 1000.0:g}")
            else:
                yield pixels.between(before, seen, start, end)
            before, start = seen, end


class _Pixels:
    """What the pixels remember. Times are in µs from the last frame on, so that they keep their digits in a long video."""

    def __init__(self, camera: VideoCamera, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        height, width = shape
        self.width, n = width, Sensor(height, width).size // 2
        self.on, self.off = (theta.ravel() for theta in camera.thresholds(height, width))
        # How much d is, from when on a pixel sees, when its next noise event may come, and its random numbers.
        self.difference = rng.random(n) * self.on if camera.leak else np.zeros(n)
        self.free, self.due = np.zeros(n), np.full(n, np.inf)
        if camera.noise:
            self.due = rng.exponential(1e6 / camera.noise, n)
        self.random = rng.integers(0, 2**64, n, np.uint64)
        self.options = camera.leak / 1e6, camera.noise / 1e6, camera.floor, 1000.0 * camera.refractory
        self.keys = np.empty(2**14, np.int64)

    def between(self, before: Floats, after: Floats, start: float, end: float) -> Events:
        pixel = count = 0
        base = np.floor(start)
        while True:
            pixel, count = _watch(pixel, before.ravel(), after.ravel(), end - start, start - base, self.on, self.off,
                                  *self.options, self.difference, self.free, self.due, self.random, self.keys, count)
            if pixel == len(self.on):
                break
            self.keys = np.concatenate([self.keys[:count], np.empty(2 * len(self.keys), np.int64)])
        # A key is (t pixels + pixel) 2 + p: sorted keys are sorted by time.
        events = np.empty(count, EVENT)
        rest, events["p"] = np.divmod(np.sort(self.keys[:count]), 2)
        t, place = np.divmod(rest, len(self.on))
        events["t"] = t + int(base)
        events["y"], events["x"] = np.divmod(place, self.width)
        return events


@lru_cache(maxsize=8)
def _pattern(camera: VideoCamera, height: int, width: int) -> tuple[Floats, Floats]:
    spread = np.maximum(0.1, 1.0 + camera.mismatch * np.random.default_rng(camera.seed).standard_normal((2, height, width)))
    on, off = camera.threshold * spread[0], camera._off * spread[1]
    on.setflags(write=False)
    off.setflags(write=False)
    return on, off


def light(frame: ArrayLike, name: str) -> Floats:
    """The frame as float64 from 0 to 1, [height, width]; unsigned whole numbers are divided by their type's largest."""
    values = np.asarray(frame)
    most = float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 1.0
    seen = np.ascontiguousarray(finite(name, values), np.float64) / most
    if seen.ndim != 2 or not seen.size or seen.min() < 0.0 or seen.max() > 1.0:
        reach = f" from {seen.min():g} to {seen.max():g}" if seen.size else ""
        raise ValueError(f"{name} must be [height, width] with values from 0 to 1, or unsigned whole numbers, got "
                         f"{values.dtype} of shape {values.shape}{reach}")
    return seen


@jit(nogil=True)
def _draw(random: NDArray[np.uint64], i: int) -> float:
    """Uniform in [0, 1): splitmix64 (Steele, Lea and Flood, OOPSLA 2014), a state for each pixel."""
    random[i] += np.uint64(0x9E3779B97F4A7C15)
    z = random[i]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@jit(nogil=True)
def _watch(first: int, before: Floats, after: Floats, length: float, offset: float, theta_on: Floats, theta_off: Floats,
           leak: float, noise: float, floor: float, refractory: float, difference: Floats, free: Floats, due: Floats,
           random: NDArray[np.uint64], keys: Any, count: int) -> tuple[int, int]:
    """The keys of the events between two frames, pixel after pixel from `first` on; d, free and due as at the later frame.

    Returns the number of pixels and of keys; or, where there is no more room, the pixel that is to be done next, of which
    nothing was changed, and the number of keys before it.
    """
    pixels = len(before)
    for i in range(first, pixels):
        on, off, begun, number = theta_on[i], theta_off[i], count, random[i]
        a, d, blind, noisy = 0.0, difference[i], free[i], due[i]
        change = after[i] - before[i]
        slope = change / length + leak * on
        if blind > 0.0:
            a, d = min(blind, length), 0.0
        while a < length:
            while noisy < a:  # what falls into the blind time is no event
                noisy -= np.log(1.0 - _draw(random, i)) / noise
            crossing = np.inf
            if slope > 0.0:
                crossing = a + max(0.0, on - d) / slope
            elif slope < 0.0:
                crossing = a - max(0.0, off + d) / slope
            t = min(crossing, noisy)
            if t > length:
                break
            p = 1 if slope > 0.0 else 0
            if noisy < crossing:
                seen = np.exp(before[i] + change * (t / length)) - floor
                passes, p = _draw(random, i) < 1.0 - 0.75 * seen, int(2.0 * _draw(random, i))
                noisy -= np.log(1.0 - _draw(random, i)) / noise
                if not passes:
                    continue
            if count == len(keys):
                random[i] = number
                return i, begun
            keys[count] = (np.int64(offset + t) * pixels + i) * 2 + p
            count += 1
            blind = t + refractory
            a, d = min(blind, length), 0.0
        difference[i] = d + slope * (length - a)
        free[i], due[i] = blind - length, noisy - length
    return pixels, count
