"""Random access to recordings and framing, from the event store and from tonic's cache; how long training waits for data."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.common import ROOT, AsJson, asked, interleave, refuse, report, spread
from snnsim import datasets
from snnsim.datasets import EventDataset, EventStore
from snnsim.datasets.transforms import Frames, Represented

NMNIST = ROOT.parent / "shared" / "data" / "nmnist"
STEPS, DT = 30, 10.0  # 30 bins, or 30 of 10 ms
BATCH = 32
OURS = ("store, frames into one array", "store, frames into new arrays", "store, sparse steps", "store, dense steps")


def store(
    where: Annotated[Path, typer.Option("--data", help="N-MNIST's folder of Train and Test.")] = NMNIST,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; medians are reported.")] = 5,
    samples: Annotated[int, typer.Option(min=32, help="Recordings a turn, in random order.")] = 320,
    against: Annotated[list[str] | None, typer.Option(help="Peers: tonic.")] = None,
    epoch: Annotated[bool, typer.Option(help="Time epochs of training with a DataLoader, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Samples a second from a store, framed in 30 bins, beside tonic's caches of events and of frames; one thread each.

    Ours are whole batches in one array, tonic's are single samples that nobody has put together yet.
    By the CPU time of the process, which is what a free core takes: files are in the disk's cache, and nothing waits.
    """
    files, _ = datasets.nmnist(where)
    chosen = files[np.random.default_rng(0).permutation(len(files))[:samples]]
    with tempfile.TemporaryDirectory() as folder:
        packed = datasets.pack(chosen, Path(folder) / "store", progress=False)
        made, out = Frames(bins=STEPS)(packed), np.empty((STEPS, BATCH, *packed.sensor.shape), np.int16)
        contestants: dict[str, Any] = {OURS[0]: lambda: _frames(made, out), OURS[1]: lambda: _frames(made, None),
                                       OURS[2]: lambda: _sparse(packed), OURS[3]: lambda: _dense(packed),
                                       "store, events alone": lambda: _events(packed)}
        if not against or asked(against, ["tonic"]):
            contestants |= _tonic(chosen, where, folder)
        _check(packed, chosen, made)
        for run in contestants.values():
            run()  # compiles, and fills the caches of the disk
        times = interleave({name: (lambda run=run: _used(run)) for name, run in contestants.items()}, rounds, {})
        rows = [{"what": name, "samples_a_second": round(len(chosen) / float(np.median(t))), **spread(t)}
                for name, t in times.items()]
        ratios = {f"{ours}, to {peer}": float(np.median(np.divide(times[ours], times[peer])))
                  for peer in times if peer.startswith("tonic") for ours in OURS}
        if epoch:
            from benchmarks.store_epoch import epochs

            rows += epochs(files, Path(folder), rounds, ratios)
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


def _frames(made: Represented, out: NDArray[np.int16] | None) -> None:
    for numbers in _batches(len(made)):
        made.batch(numbers, out if len(numbers) == BATCH else None)


def _sparse(dataset: EventDataset) -> None:
    for numbers in _batches(len(dataset)):
        datasets.bin_events([dataset.store.events(int(i)) for i in numbers], dataset.sensor, DT, STEPS)


def _dense(dataset: EventDataset) -> None:
    for numbers in _batches(len(dataset)):
        datasets.bin_events([dataset.store.events(int(i)) for i in numbers], dataset.sensor, DT, STEPS).dense()


def _check(packed: EventDataset, chosen: EventDataset, made: Represented) -> None:
    numbers = np.arange(0, len(chosen), 10)
    frames, _ = made.batch(numbers)
    for place, i in enumerate(numbers.tolist()):
        if packed[i].events.tobytes() != chosen[i].events.tobytes():
            refuse(f"recording {i} does not come out of the store as it went in")
        if not np.array_equal(frames[:, place], made.representation(chosen[i])):
            refuse(f"frames of recording {i} are not those of its events")


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
    framing = transforms.ToFrame(sensor_size=(34, 34, 2), n_time_bins=STEPS)
    frames = DiskCachedDataset(Read(framing), str(Path(folder) / "frames"))
    events = DiskCachedDataset(Read(), str(Path(folder) / "events"), transform=framing)

    def of(cache: Any) -> Any:
        def run() -> None:
            for i in np.random.default_rng(1).permutation(len(cache)):
                cache[int(i)]
        return run

    return {"tonic, cache of events, framed": of(events), "tonic, cache of frames": of(frames)}
