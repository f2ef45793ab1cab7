"""digits-events: scikit-learn's handwritten digits seen by a simulated event camera. Needs no download."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from snnsim.datasets.camera import Camera
from snnsim.datasets.dataset import EventDataset, Memory, split
from snnsim.datasets.events import whole

TEST = 360  # of 1,797


@lru_cache(maxsize=1)
def digits_events(seed: int = 0, progress: bool | None = None) -> tuple[EventDataset, EventDataset]:
    """1,437 recordings for training and 360 for testing, 34 x 34 pixels, 0.3 s, ten classes in equal shares.

    The images are 8 x 8 pixels with 17 grey levels (Alpaydin, Kaynak: Optical recognition of handwritten digits, UCI
    1998), recorded by `Camera(seed=seed)`; the seed also makes the split. What was simulated last is kept in memory.
    Errors: ImportError where scikit-learn is missing; ValueError for a negative seed.
    """
    camera = Camera(seed=whole("seed", seed, 0))
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError('scikit-learn is missing: pip install "snnsim[data]"') from None
    digits = load_digits()
    recordings = camera.record_all(digits.images / 16.0, progress)
    store = Memory.of(recordings, [f"digit {i}" for i in range(len(recordings))])
    every = EventDataset("digits-events", camera.sensor, tuple("0123456789"), digits.target.astype(np.int64), store)
    return split(every, TEST / len(every), seed)
