"""Random access to recordings and framing, from the event store and from tonic's cache; a DataLoader beside training."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import ROOT, AsJson, asked, interleave, refuse, report, seconds, spread
from snnsim import datasets
from snnsim.datasets import EventDataset, EventStore

NMNIST = ROOT.parent / "shared" / "data" / "nmnist"
STEPS, DT = 30, 10.0  # 30 bins of 10 ms
BATCH = 32


def store(
    where: Annotated[Path, typer.Option("--data", help="N-MNIST's folder of Train and Test.")] = NMNIST,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; medians are reported.")] = 3,
    samples: Annotated[int, typer.Option(min=32, help="Recordings a turn, in random order.")] = 320,
    against: Annotated[list[str] | None, typer.Option(help="Peers: tonic.")] = None,
    epoch: Annotated[bool, typer.Option(help="Time an epoch of training with a DataLoader, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Samples a second from a store, framed in 30 bins, beside tonic's caches of events and of frames; one thread each.

    By the CPU time of the process, which is what a free core takes: files are in the disk's cache, and nothing waits.
    """
    files, _ = datasets.nmnist(where)
    chosen = files[np.random.default_rng(0).permutation(len(files))[:samples]]
    with tempfile.TemporaryDirectory() as folder:
        packed = datasets.pack(chosen, Path(folder) / "store", progress=False)
        contestants: dict[str, Any] = {"store, sparse frames": lambda: _sparse(packed),
                                       "store, dense frames": lambda: _dense(packed),
                                       "store, events alone": lambda: _events(packed)}
        if not against or asked(against, ["tonic"]):
            contestants |= _tonic(chosen, where, folder)
        _check(packed, chosen)
        for run in contestants.values():
            run()  # compiles, and fills the caches of the disk
        times = interleave({name: (lambda run=run: _used(run)) for name, run in contestants.items()}, rounds, {})
        rows = [{"what": name, "samples_a_second": round(len(chosen) / float(np.median(t))), **spread(t)}
                for name, t in times.items()]
        median = {name: float(np.median(t)) for name, t in times.items()}
        ratios = {f"{ours}, to {peer}": median[ours] / median[peer] for peer in median if peer.startswith("tonic")
                  for ours in ("store, sparse frames", "store, dense frames")}
        if epoch:
            rows += _epoch(packed, rounds, ratios)
        assert isinstance(packed.store, EventStore)
        packed.store.close()
    rows.append({"what": "load average over a minute", "samples_a_second": round(os.getloadavg()[0], 1)})
    report("store", rows, ratios, as_json)


def _used(run: Any) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _batches(count: int) -> list[Any]:
    order = np.random.default_rng(1).permutation(count)
    return [order[i:i + BATCH] for i in range(0, count, BATCH)]


def _events(dataset: EventDataset) -> None:
    for i in np.random.default_rng(1).permutation(len(dataset)):
        dataset.store.events(int(i))


def _sparse(dataset: EventDataset) -> None:
    for numbers in _batches(len(dataset)):
        datasets.bin_events([dataset.store.events(int(i)) for i in numbers], dataset.sensor, DT, STEPS)


def _dense(dataset: EventDataset) -> None:
    for numbers in _batches(len(dataset)):
        datasets.bin_events([dataset.store.events(int(i)) for i in numbers], dataset.sensor, DT, STEPS).dense()


def _check(packed: EventDataset, chosen: EventDataset) -> None:
    for i in range(0, len(chosen), 10):
        if packed[i].events.tobytes() != chosen[i].events.tobytes():
            refuse(f"recording {i} does not come out of the store as it went in")


def _tonic(chosen: EventDataset, where: Path, folder: str) -> dict[str, Any]:
    try:
        from tonic import DiskCachedDataset, transforms
    except ImportError:
        return {}

    class Read:
        """What tonic's own N-MNIST gives, from the files as they stand: it has no download to look for."""

        def __init__(self, transform: Any = None) -> None:
            self.transform = transform

        def __len__(self) -> int:
            return len(chosen)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            from tonic.io import read_mnist_file

            assert chosen.numbers is not None
            events = read_mnist_file(chosen.store.source(int(chosen.numbers[index])), dtype=EVENTS)
            return (self.transform(events) if self.transform else events), int(chosen.labels[index])

    EVENTS = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    framing = transforms.ToFrame(sensor_size=(34, 34, 2), time_window=1000 * DT, include_incomplete=True)
    frames = DiskCachedDataset(Read(framing), str(Path(folder) / "frames"))
    events = DiskCachedDataset(Read(), str(Path(folder) / "events"), transform=framing)

    def of(cache: Any) -> Any:
        def run() -> None:
            for i in np.random.default_rng(1).permutation(len(cache)):
                cache[int(i)]
        return run

    return {"tonic, cache of events, framed": of(events), "tonic, cache of frames": of(frames)}


def _epoch(packed: EventDataset, rounds: int, ratios: dict[str, float]) -> list[dict[str, Any]]:
    """An epoch's compute on batches at hand, the same through a DataLoader with two workers, and the DataLoader alone."""
    import torch
    from torch.utils.data import DataLoader

    from snnsim import nn
    from snnsim.network import TimeBase
    from snnsim.neurons import LIF
    from snnsim.train import Collate

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 32, 5, stride=2, padding=2), nn.Neuron(LIF(tau=20.0)),
                        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.Neuron(LIF(tau=20.0)), nn.Flatten(),
                        nn.Linear(64 * 81, 10), nn.Readout())
    nn.set_dt(net, DT)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    recordings: Any = packed
    loader: Any = DataLoader(recordings, batch_size=BATCH, num_workers=2, collate_fn=Collate(TimeBase(DT, steps=STEPS)),
                             persistent_workers=True)
    at_hand = list(loader)

    def step(batch: Any, labels: Any) -> None:
        optimiser.zero_grad()
        out, _ = net(batch)
        torch.nn.functional.cross_entropy(out.mean(0), labels).backward()
        optimiser.step()

    def train(batches: Any) -> None:
        for batch, labels in batches:
            step(batch, labels)

    step(*at_hand[0])
    runs = {"DataLoader, 2 workers, alone": lambda: seconds(lambda: list(loader)),
            "epoch's compute, batches at hand": lambda: seconds(lambda: train(at_hand)),
            "epoch through the DataLoader": lambda: seconds(lambda: train(loader))}
    times = interleave(runs, rounds, {})
    alone, compute, both = (float(np.median(t)) for t in times.values())
    ratios["DataLoader of 2 workers alone, to an epoch's compute"] = alone / compute
    ratios["an epoch through the DataLoader, to its compute on batches at hand"] = both / compute
    return [{"what": name, "samples_a_second": round(len(packed) / float(np.median(t))), **spread(t)}
            for name, t in times.items()]
