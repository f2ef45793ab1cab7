"""A simulated event camera that looks at still images, and moves as the one that recorded N-MNIST did.

Sources: the pixel, Lichtsteiner, Posch, Delbruck: A 128x128 120 dB 15 µs latency asynchronous temporal contrast vision
sensor, IEEE J. Solid-State Circuits 43:566 (2008); the three saccades, Orchard, Jayawant, Cohen, Thakor: Converting
static image datasets to spiking neuromorphic datasets using saccades, Frontiers in Neuroscience 9:437 (2015).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.events import EVENT, Events, Sensor, whole
from snnsim.kernel import jit
from snnsim.progress import bar
from snnsim.rule import finite

Floats = NDArray[np.float64]

SENSOR = Sensor(34, 34)


@dataclass(frozen=True)
class Camera:
    """Turns an image, values from 0 (dark) to 1, into events.

    The image is drawn `size` pixels large (its longer side) in the middle of the sensor, dark around it, and moves by
    `amplitude` pixels along the three sides of an isosceles triangle, each in a third of `duration` ms, slowly at the
    corners: position (1 - cos(pi u)) / 2 along a side. A pixel sees L = log(floor + image), sampled bilinearly every
    `step` ms and linear in between. It remembers the L of its last event, and

        L - L_last >= theta_on gives an ON event (p = 1), L_last - L >= theta_off an OFF event (p = 0)

    at the microsecond of the crossing. For `refractory` ms after an event it is blind; then it remembers what it sees.
    theta_on and theta_off vary from pixel to pixel: threshold (1 + mismatch N(0, 1)), at least a tenth of the
    threshold, the same in all recordings. `noise` events per pixel and second, ON or OFF, come at random moments
    besides; they leave the pixel's memory alone. Times are below `duration`.

    Everything random is a function of the seed and the sample's number. Errors: ValueError that names the argument.
    """

    sensor: Sensor = SENSOR
    size: float = 26.0
    amplitude: float = 5.0
    duration: float = 300.0
    threshold: float = 0.4
    mismatch: float = 0.05
    refractory: float = 1.0
    noise: float = 0.5
    floor: float = 0.2
    step: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sensor.polarities != 2:
            raise ValueError(f"sensor must have two polarities, got {self.sensor}")
        for name in ("size", "floor", "step"):
            finite(name, getattr(self, name), above=0.0)
        for name in ("amplitude", "mismatch", "refractory", "noise"):
            finite(name, getattr(self, name), at_least=0.0)
        finite("threshold", self.threshold, at_least=0.01)
        if not 1.0 <= float(finite("duration", self.duration)) <= 1e6:
            raise ValueError(f"duration must lie from 1 to 1e6 ms, got {self.duration!r}")
        whole("seed", self.seed, 0)
        if self.duration / self.step > 1e6:
            raise ValueError(f"step must be at least a millionth of duration = {self.duration:g} ms, got {self.step:g}")

    def path(self) -> tuple[Floats, Floats, Floats]:
        """Times in µs, and how far the image is from the middle at each, in pixels: to the right, and down."""
        count = max(3, round(self.duration / self.step))
        side, u = np.divmod(3.0 * np.arange(count + 1) / count, 1.0)
        corners = self.amplitude * np.array([(-0.5, -0.5), (0.0, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, -0.5)])
        start, end = corners[side.astype(int)], corners[side.astype(int) + 1]
        place = start + (end - start) * (0.5 - 0.5 * np.cos(np.pi * u))[:, None]
        return np.linspace(0.0, self.duration * 1000.0, count + 1), place[:, 0].copy(), place[:, 1].copy()

    @cached_property
    def _scene(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """times, right, down of the path; theta_on and theta_off, [height, width]."""
        spread = np.random.default_rng(self.seed).standard_normal((2, self.sensor.height, self.sensor.width))
        on, off = self.threshold * np.maximum(0.1, 1.0 + self.mismatch * spread)
        return *self.path(), on, off

    def record(self, image: ArrayLike, sample: int = 0) -> Events:
        """The events of one image, [rows, columns]; sample: its number, which with the seed makes the noise."""
        picture = _checked(image)
        height, width = self.sensor.height, self.sensor.width
        scale = max(picture.shape) / self.size
        keys, count = np.empty(2**14, np.int64), 0
        while True:
            count = _see(picture, scale, self.floor, *self._scene, self.refractory * 1000.0, keys)
            if count <= len(keys):
                break
            keys = np.empty(count, np.int64)
        # A key is ((t height + y) width + x) 2 + p: sorted keys are sorted by time, and equal keys are equal events.
        every = np.sort(np.concatenate([keys[:count], self._noise(sample)]))
        events = np.empty(len(every), EVENT)
        rest, events["p"] = np.divmod(every, 2)
        rest, events["x"] = np.divmod(rest, width)
        events["t"], events["y"] = np.divmod(rest, height)
        return events

    def frames(self, image: ArrayLike) -> tuple[Floats, Floats]:
        """What the pixels see of the image on its path, [steps + 1, height, width], and when, in ms: for a `VideoCamera`."""
        picture = _checked(image)
        times, right, down = self.path()
        seen = np.empty((len(times), self.sensor.height, self.sensor.width))
        _show(picture, max(picture.shape) / self.size, right, down, seen)
        return seen, times / 1000.0

    def record_all(self, images: Sequence[ArrayLike] | Floats, progress: bool | None = None) -> list[Events]:
        """The events of each image, sample i being image i, in threads; the result does not depend on how many."""
        with (ThreadPoolExecutor(os.cpu_count()) as pool,
              bar(len(images), "simulating the event camera", progress) as line):
            recordings = []
            for events in pool.map(self.record, images, range(len(images))):
                recordings.append(events)
                line.advance()
        return recordings

    def _noise(self, sample: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(whole("sample", sample, 0),)))
        places = 2 * self.sensor.height * self.sensor.width
        count = rng.poisson(self.noise * self.duration / 1000.0 * places / 2)
        return rng.integers(0, int(self.duration * 1000.0), count) * places + rng.integers(0, places, count)


def _checked(image: ArrayLike) -> Floats:
    picture = np.ascontiguousarray(finite("image", image))
    if picture.ndim != 2 or not picture.size or picture.min() < 0.0 or picture.max() > 1.0:
        raise ValueError(f"image must be [rows, columns] with values from 0 to 1, got shape {picture.shape}"
                         + (f" with values from {picture.min():g} to {picture.max():g}" if picture.size else ""))
    return picture


@jit(nogil=True)
def _look(image: Floats, row: float, column: float) -> float:
    """The image between its pixels, bilinear; 0 outside."""
    r, c = int(np.floor(row)), int(np.floor(column))
    rows, columns = image.shape
    if r < -1 or c < -1 or r >= rows or c >= columns:
        return 0.0
    down, right = row - r, column - c
    a = image[r, c] if r >= 0 and c >= 0 else 0.0
    b = image[r, c + 1] if r >= 0 and c + 1 < columns else 0.0
    d = image[r + 1, c] if r + 1 < rows and c >= 0 else 0.0
    e = image[r + 1, c + 1] if r + 1 < rows and c + 1 < columns else 0.0
    return (1.0 - down) * ((1.0 - right) * a + right * b) + down * ((1.0 - right) * d + right * e)


@jit(nogil=True)
def _show(image: Floats, scale: float, right: Floats, down: Floats, out: Floats) -> None:
    """The image on its path, as the pixels of `out` see it, [steps, height, width]."""
    steps, height, width = out.shape
    rows, columns = image.shape
    for k in range(steps):
        for y in range(height):
            for x in range(width):
                out[k, y, x] = _look(image, (y + 0.5 - 0.5 * height - down[k]) * scale + 0.5 * rows - 0.5,
                                     (x + 0.5 - 0.5 * width - right[k]) * scale + 0.5 * columns - 0.5)


@jit(nogil=True)
def _see(image: Floats, scale: float, floor: float, times: Floats, right: Floats, down: Floats, theta_on: Floats,
         theta_off: Floats, refractory: float, keys: NDArray[np.int64]) -> int:
    """The keys of the signal's events, pixel after pixel; returns how many there are, more than fit perhaps."""
    height, width = theta_on.shape
    rows, columns = image.shape
    count = 0
    for y in range(height):
        for x in range(width):
            on, off = theta_on[y, x], theta_off[y, x]
            light, level, last, free = -1.0, 0.0, 0.0, -1.0
            for k in range(len(times)):
                before, seen = level, light
                light = _look(image, (y + 0.5 - 0.5 * height - down[k]) * scale + 0.5 * rows - 0.5,
                              (x + 0.5 - 0.5 * width - right[k]) * scale + 0.5 * columns - 0.5)
                if light != seen:
                    level = np.log(floor + light)
                if k == 0:
                    last = level
                    continue
                start, end = times[k - 1], times[k]
                slope = (level - before) / (end - start)
                if free >= end:
                    continue
                if free >= start:
                    last = before + slope * (free - start)
                while level - last >= on or last - level >= off:
                    p = 1 if level > last else 0
                    crossing = last + on if p else last - off
                    t = max(start, free) if slope == 0.0 else start + (crossing - before) / slope
                    t = min(max(t, start, free), end)
                    if count < len(keys):
                        keys[count] = ((np.int64(min(t, times[-1] - 1.0)) * height + y) * width + x) * 2 + p
                    count += 1
                    free = t + refractory
                    if refractory > 0.0 and free >= end:
                        break
                    last = before + slope * (free - start) if refractory > 0.0 else crossing
    return count
