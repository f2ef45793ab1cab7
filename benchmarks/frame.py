"""Events to arrays and filters of noise on real recordings, beside tonic on the same ones in the same run; one thread."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import ROOT, AsJson, refuse, report
from snnsim.datasets import nmnist
from snnsim.datasets.transforms import Denoise, Frames, Refractory, TimeSurface, VoxelGrid

NMNIST = ROOT.parent / "shared" / "data" / "nmnist"
DENOISE, REFRACTORY = 10_000, 1_000  # µs, as tonic has them
SLOW = 8  # tonic's slow filters see one recording in so many

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any] | None, int]


def frame(
    where: Annotated[Path, typer.Option("--data", help="N-MNIST, unpacked: the folder of Train and Test.")] = NMNIST,
    recordings: Annotated[int, typer.Option(min=8, help="Recordings of the test set, all classes.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; medians are reported.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Samples and events a second of frames (30 bins), voxel grid, time surface, denoise and refractory filter, in memory.

    Ratios are the medians of those of each turn, in which both have the same machine.
    """
    if not where.is_dir():
        refuse(f"there is no folder {where}: give N-MNIST with --data")
    _, test = nmnist(where)
    chosen = [test[int(i)] for i in np.linspace(0, len(test) - 1, recordings).astype(int)]
    peer = importlib.util.find_spec("tonic") is not None
    work = _work(chosen[0].sensor, peer)
    _check(chosen[: 2 * SLOW], work)
    rows: list[dict[str, Any]] = []
    ratios = {}
    for name, (ours, theirs, every) in work.items():
        ours_s, theirs_s = [], []
        part = chosen[::every]
        count = sum(len(r) for r in part)
        copies = [_theirs(r) for r in part]
        ours(chosen[0])
        for _ in range(rounds):
            ours_s.append(_cpu(ours, chosen) * count / sum(len(r) for r in chosen))
            if theirs is not None:
                theirs_s.append(_cpu(theirs, copies))
        for who, seconds in (("snnsim", ours_s), ("tonic", theirs_s)):
            if seconds:
                s = statistics.median(seconds)
                rows.append({"work": name, "who": who, "recordings": len(chosen) if who == "snnsim" else len(part),
                             "samples_a_second": round(len(part) / s, 1), "million_events_a_second": round(count / s / 1e6, 3),
                             "fastest": round(len(part) / min(seconds), 1), "slowest": round(len(part) / max(seconds), 1)})
        if theirs_s:
            ratios[f"{name}, tonic"] = statistics.median(a / b for a, b in zip(ours_s, theirs_s, strict=True))
    report("frame", rows, ratios, as_json)


def _work(sensor: Any, peer: bool) -> dict[str, Pair]:
    """What we do, what tonic does, and on how many of the recordings tonic does it."""
    frames, voxels, surface = Frames(bins=30), VoxelGrid(30), TimeSurface(10.0, window=10.0)
    denoise, refractory = Denoise((DENOISE - 1) / 1000, neighbours=4), Refractory((REFRACTORY + 1) / 1000, extending=True)
    buffer = np.empty((30, *sensor.shape), np.int16)
    grid = np.empty((30, *sensor.shape), np.float32)
    theirs: dict[str, Any] = dict.fromkeys(("frames", "voxels", "surface", "denoise", "refractory"))
    if peer:
        from tonic import transforms as tonic

        size = (sensor.width, sensor.height, sensor.polarities)
        theirs = {"frames": tonic.ToFrame(sensor_size=size, n_time_bins=30), "voxels": tonic.ToVoxelGrid(size, 30),
                  "surface": tonic.ToTimesurface(size, dt=10_000.0, tau=10_000.0),
                  "denoise": tonic.Denoise(filter_time=DENOISE), "refractory": tonic.RefractoryPeriod(delta=REFRACTORY)}
    return {"frames": (lambda r: frames(r.events, sensor, buffer), theirs["frames"], 1),
            "voxels": (lambda r: voxels(r.events, sensor, grid), theirs["voxels"], 1),
            "surface": (surface, theirs["surface"], 1),
            "denoise": (denoise, theirs["denoise"], SLOW), "refractory": (refractory, theirs["refractory"], SLOW)}


def _cpu(work: Callable[[Any], Any], recordings: list[Any]) -> float:
    """CPU seconds of this thread: what others do on the machine does not count, and neither side has more threads."""
    start = time.thread_time()
    for r in recordings:
        work(r)
    return time.thread_time() - start


def _theirs(recording: Any) -> Any:
    """The events as tonic reads this data set: int64 x, y, t, p."""
    events = np.empty(len(recording), [(n, np.int64) for n in ("x", "y", "t", "p")])
    for n in events.dtype.names or ():
        events[n] = recording.events[n]
    return events


def _check(recordings: list[Any], work: dict[str, Pair]) -> None:
    """No number unless both do the same, where tonic does what it says."""
    for r in recordings:
        frames, theirs, _ = work["frames"]
        ours = frames(r)
        if int(ours.sum()) != len(r):
            refuse(f"frames of {r.source} lost events")
        if theirs is None:
            continue
        peer = theirs(_theirs(r))
        # Its bins end up to a few µs elsewhere and it drops the last event, so only few counts differ.
        if ours.shape != peer.shape or np.abs(ours - peer).sum() > 0.02 * len(r):
            refuse(f"frames of {r.source} are not those of tonic")
        for name, first in (("denoise", DENOISE), ("refractory", 1)):
            mine, other, _ = work[name]
            assert other is not None
            a, b = mine(r).events, other(_theirs(r))
            # Its memory begins as if every pixel had fired at time 0: what comes before `first` differs by that alone.
            a, b = a[a["t"] >= first], b[b["t"] >= first]
            if len(a) != len(b) or any(not np.array_equal(a[n], b[n]) for n in ("t", "x", "y", "p")):
                refuse(f"{name} of {r.source} gives {len(a)} events, tonic's {len(b)}")
