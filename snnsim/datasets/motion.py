"""Events of a picture that moved before the camera, in a known way, put where they would be had it stood still.

An event camera sees what changes, so still pictures are recorded by moving them or the camera: N-MNIST with three saccades of
about 100 ms each, the same in every recording (Orchard, Jayawant, Cohen, Thakor, Frontiers in Neuroscience 9:437, 2015). A
sum of events over time is blurred by that; where the motion is known it can be undone. The estimate is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.dataset import EventDataset, Store
from snnsim.datasets.events import EVENT, Events, Sensor, read_only, validate, whole
from snnsim.kernel import jit
from snnsim.rule import finite

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the picture is, in pixels from where it stands still: to the right and down, at `times` in µs.

    Linear in between, held before the first time and after the last. Errors: ValueError that names the argument.
    """

    times: Floats
    right: Floats
    down: Floats

    def __post_init__(self) -> None:
        for name in ("times", "right", "down"):
            array = np.array(finite(name, getattr(self, name)))
            if array.ndim != 1 or not len(array) or len(array) != np.size(self.times):
                raise ValueError(f"{name} must be [n], as many as times and at least one, got shape {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if np.any(np.diff(self.times) <= 0.0):
            raise ValueError("times must ascend, and none may come twice")

    def undone(self, events: Events, sensor: Sensor) -> Events:
        """The events with the motion taken away, a new array: each goes to the nearest pixel, and is lost off the sensor.

        Errors: those of `validate`.
        """
        validate(events, sensor)
        right, down = (np.interp(events["t"], self.times, place) for place in (self.right, self.down))
        out = np.empty(len(events), EVENT)
        return out[:_back(read_only(events), right, down, sensor.height, sensor.width, out)]


@jit(nogil=True)
def _back(events: Events, right: Floats, down: Floats, height: int, width: int, out: Events) -> int:
    count = 0
    for i in range(len(events)):
        e = events[i]
        x, y = int(np.floor(e["x"] - right[i] + 0.5)), int(np.floor(e["y"] - down[i] + 0.5))
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        o = out[count]
        o["t"], o["x"], o["y"], o["p"] = e["t"], x, y, e["p"]
        count += 1
    return count


@dataclass(frozen=True, eq=False, repr=False)
class Still:
    """The recordings of a store, each with the motion undone."""

    of: Store
    motion: Motion
    sensor: Sensor

    def __len__(self) -> int:
        return len(self.of)

    def events(self, number: int) -> Events:
        events = self.motion.undone(self.of.events(number), self.sensor)
        events.setflags(write=False)
        return events

    def source(self, number: int) -> str:
        return self.of.source(number)


def stabilise(dataset: EventDataset, motion: Motion) -> EventDataset:
    """The recordings with the motion undone, each when it is asked for; see `Motion.undone`."""
    return replace(dataset, store=Still(dataset.store, motion, dataset.sensor))


def estimate_motion(dataset: EventDataset, step: float = 10.0, most: int = 8, rounds: int = 6) -> Motion:
    """The motion that all recordings have in common, one place for each `step` ms up to the last event of the longest.

    Each step's picture, the count of its events a pixel, is compared with the sum of all other steps' pictures of its
    recording, put where they are thought to be, and goes to the place where the product of the two, summed over pixels and
    recordings, is largest; all steps at once, `rounds` times over, from rest. Pictures are blurred by 0.7 pixels, places are
    multiples of 1/8 pixel, and at most `most` pixels from the middle. The mean over all events is 0. Labels are not used. A
    step without events stays in the middle.

    Errors: ValueError that names the argument, and for an empty data set.
    """
    finite("step", step, above=0.0)
    whole("most", most, 1)
    whole("rounds", rounds, 1)
    if not len(dataset):
        raise ValueError(f"{dataset.name} is empty: there is nothing to estimate the motion from")
    width = round(1000.0 * step)
    last = max(int(r.events["t"][-1]) if len(r) else 0 for r in dataset)
    bins = last // width + 1
    size = tuple(n + 2 * most for n in (dataset.sensor.height, dataset.sensor.width))  # what leaves one side enters no other
    down, right = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    blur = np.exp(-2.0 * (np.pi * 0.7) ** 2 * (down**2 + right**2))
    place, weights = np.zeros((bins, 2)), np.zeros(bins)
    for k in range(rounds):
        turn = np.exp(2j * np.pi * (right * place[:, 0, None, None] + down * place[:, 1, None, None]))
        product = np.zeros(turn.shape, np.complex128)
        for counts in _pictures(dataset, width, bins):
            if k == 0:
                weights += counts.sum((1, 2))
            moving = np.fft.rfft2(counts, size) * blur
            still = moving * turn
            product += np.conj(still.sum(0) - still) * moving
        place = np.array([_peak(p, size, most) if w else (0.0, 0.0) for p, w in zip(product, weights, strict=True)])
        place -= np.average(place, axis=0, weights=weights) if weights.any() else 0.0
    return Motion(width * np.arange(0.5, bins), place[:, 0], place[:, 1])


def _pictures(dataset: EventDataset, width: int, bins: int) -> Iterator[Floats]:
    """Events a pixel of each recording, [bins, height, width]."""
    shape = (bins, dataset.sensor.height, dataset.sensor.width)
    for r in dataset:
        e = r.events
        flat = np.ravel_multi_index((e["t"] // width, e["y"], e["x"]), shape)
        yield np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)


def _peak(product: NDArray[np.complex128], size: tuple[int, ...], most: int) -> tuple[float, float]:
    """Where the correlation with this spectrum is largest, in eighths of a pixel: right, down."""
    rows, columns = product.shape
    fine = np.zeros((8 * size[0], 4 * size[1] + 1), np.complex128)
    half = rows // 2
    fine[:half, :columns], fine[-half:, :columns] = product[:half], product[-half:]
    cross = np.fft.irfft2(fine, (8 * size[0], 8 * size[1]))
    near = np.roll(cross, (8 * most, 8 * most), (0, 1))[:16 * most + 1, :16 * most + 1]
    row, column = np.unravel_index(near.argmax(), near.shape)
    return float(column) / 8.0 - most, float(row) / 8.0 - most
