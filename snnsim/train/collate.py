"""Batches for torch's own DataLoader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from snnsim.datasets import EventBatch, Recording, bin_events
from snnsim.network import TimeBase


@dataclass(frozen=True)
class Collate:
    """Recordings to (event batch, labels [B]), in a DataLoader's worker processes too, forked or spawned:

        DataLoader(train, batch_size=32, shuffle=True, num_workers=2, collate_fn=Collate(TimeBase(10.0, steps=30)))

    time: how events are binned; after `fit` or `prepare` it is net.time. With steps=None each batch has as many steps
    as its longest recording needs. Errors: ValueError for recordings of different sensors; those of `bin_events`.
    """

    time: TimeBase

    def __call__(self, recordings: Sequence[Recording]) -> tuple[EventBatch, torch.Tensor]:
        sensors = {r.sensor for r in recordings}
        if len(sensors) != 1:
            raise ValueError(f"a batch must be of one sensor, got {', '.join(map(str, sensors)) or 'no recording'}")
        time = self.time
        batch = bin_events([r.events for r in recordings], sensors.pop(), time.dt, steps=time.steps, clip=time.clip,
                           t0=time.t0)
        return batch, torch.tensor([r.label for r in recordings])
