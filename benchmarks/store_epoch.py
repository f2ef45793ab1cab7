"""How long training waits for a DataLoader of two workers that read an event store: epochs of the N-MNIST recipe's net."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import interleave, seconds, spread
from snnsim import datasets
from snnsim.datasets import EventDataset, EventStore
from snnsim.datasets.eventstore.cache import Applied

STEPS = 30


def epochs(train: EventDataset, folder: Path, rounds: int, ratios: dict[str, float]) -> list[dict[str, Any]]:
    """Epochs through the loader, and on the same batches at hand; again with recordings that are distorted as in the recipe."""
    from snnsim import nn  # before torch, whose threads it makes sleep between operations
    from snnsim.train import build, load_recipe

    recipe = load_recipe("nmnist")
    net = build(recipe.layers)
    nn.set_dt(net, recipe.data.dt)
    packed = datasets.pack(train, folder / "epoch", progress=False)
    distort: Any = datasets.Augment(**recipe.data.augment)  # type: ignore[arg-type]
    distorted = replace(packed, numbers=None, store=Applied(packed, distort, 0))
    rows: list[dict[str, Any]] = []
    for kind, dataset in (("", packed), ("distorted, ", distorted)):
        taken = _measured(net, dataset, recipe, rounds)
        rows += [{"what": kind + name, "samples_a_second": round(len(dataset) / float(np.median(t))), **spread(t)}
                 for name, t in taken.items()]
        alone, compute, epoch, waits, _ = taken.values()
        ratios |= {f"{kind}DataLoader alone, to an epoch's steps": float(np.median(np.divide(alone, compute))),
                   f"{kind}waiting for a batch, to the epoch": float(np.median(np.divide(waits, epoch))),
                   f"{kind}epoch through the DataLoader, to its steps": float(np.median(np.divide(epoch, compute)))}
    assert isinstance(packed.store, EventStore)
    packed.store.close()
    return rows


def _measured(net: Any, dataset: EventDataset, recipe: Any, rounds: int) -> dict[str, list[float]]:
    """Seconds of epochs. What is waited for counts from the epoch's beginning, its first batch too."""
    import torch
    from torch.utils.data import DataLoader

    from snnsim.network import TimeBase
    from snnsim.train import Collate

    optimiser = torch.optim.AdamW(net.parameters(), recipe.train.learning_rate)

    def step(batch: Any, labels: Any) -> None:
        optimiser.zero_grad()
        out, _ = net(batch)
        torch.nn.functional.cross_entropy(out.mean(0), labels).backward()
        optimiser.step()

    recordings: Any = dataset
    collate: Any = Collate(TimeBase(recipe.data.dt, steps=STEPS))
    loader: Any = DataLoader(recordings, batch_size=recipe.train.batch_size, shuffle=True, num_workers=2, collate_fn=collate,
                             persistent_workers=True)
    at_hand, waits = list(loader), []
    step(*at_hand[0])
    runs = {"DataLoader of 2 workers alone": lambda: seconds(lambda: list(loader)),
            "an epoch's steps, batches at hand": lambda: seconds(lambda: _train(at_hand, step)),
            "an epoch through the DataLoader": lambda: seconds(lambda: waits.append(_train(loader, step)))}
    times = interleave(runs, rounds, {})
    steps = np.subtract(times["an epoch through the DataLoader"], waits).tolist()
    return times | {"of that: waiting for a batch": waits, "of that: training steps": steps}


def _train(batches: Iterable[Any], step: Any) -> float:
    """An epoch; how many of its seconds were spent waiting for a batch."""
    waited, turns = 0.0, iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(turns, None)
        waited += time.perf_counter() - start
        if batch is None:
            return waited
        step(*batch)
