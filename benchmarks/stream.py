"""A recording larger than memory through a network of 1,000 neurons: events a second, and the most memory the process held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import ROOT, AsJson, refuse, report
from snnsim import datasets, engine
from snnsim.datasets import EVENT, Sensor
from snnsim.maps import Dense, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.network_file import save_network
from snnsim.neurons import LI, LIF

SENSOR = Sensor(128, 128)
BOUND_MB = 512
PIECE = 2**20
SMALL = 500_000  # events on which streaming is compared with the run of the whole, before anything is measured


def stream(
    events: Annotated[int, typer.Option(min=1000, help="Events of the file.")] = 10_000_000,
    chunk: Annotated[int, typer.Option(min=1, help="Events that are read at a time.")] = 2**18,
    as_json: AsJson = False,
) -> None:
    """Million events a second from an EVT2 file through 128x128x2 - pool 4 - 990 - 10, and peak memory in MB (at most 512)."""
    with tempfile.TemporaryDirectory() as folder:
        net, path = Path(folder) / "net.h5", Path(folder) / "events.raw"
        save_network(network(), net)
        write(path, SMALL)
        # A first process compiles what is compared here: no measurement.
        if (found := measured(net, path, chunk)["spikes"]) != (wanted := whole(path)):
            refuse(f"in pieces there are {found} spikes, of the whole {wanted}")
        start = time.perf_counter()
        write(path, events)
        wrote = time.perf_counter() - start
        row = {"events": events, "chunk": chunk, "MB_of_file": round(path.stat().st_size / 1e6), "write_s": round(wrote, 2),
               **measured(net, path, chunk)}
    report("stream", [row], {}, as_json)
    if row["peak_mb"] > BOUND_MB:
        refuse(f"the run held {row['peak_mb']} MB, at most {BOUND_MB} are allowed")


def write(path: Path, events: int) -> None:
    """An EVT2 file, piece after piece: each is written on its own and put behind those before it without its header, as it
    begins with the high bits of its time."""
    part = path.with_suffix(".part")
    datasets.write(part, np.empty(0, EVENT), SENSOR, format="evt2")
    header = part.stat().st_size
    with open(path, "wb") as out:
        out.write(part.read_bytes())
        for first in range(0, events, PIECE):
            piece = made()[:events - first].copy()
            piece["t"] += first
            datasets.write(part, piece, SENSOR, format="evt2")
            out.write(part.read_bytes()[header:])
    part.unlink()


@cache
def made() -> Any:
    """A piece of one event a µs: a bright spot, 3 pixels wide, that circles, on noise; a half of each."""
    rng = np.random.default_rng(0)
    events = np.empty(PIECE, EVENT)
    events["t"] = np.arange(PIECE)
    angle, spot = events["t"] * (2 * np.pi / 50_000), rng.random(PIECE) < 0.5
    for name, place in (("x", 64 + 40 * np.cos(angle)), ("y", 64 + 40 * np.sin(angle))):
        events[name] = np.where(spot, place + rng.normal(0, 3, PIECE), rng.integers(0, 128, PIECE)).astype(int) % 128
    events["p"] = rng.integers(0, 2, PIECE)
    return events


def network() -> Network:
    """1,000 neurons in float32, steps of 1 ms."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0.0, 0.02, (990, 2048)).astype(np.float32)
    out = rng.normal(0.0, 0.1, (10, 990)).astype(np.float32)
    return Network((Population("in", SENSOR.shape), Population.of("hidden", (990,), LIF(tau=20.0), 1.0, np.float32),
                    Population.of("out", (10,), LI(), 1.0, np.float32)),
                   (Projection("in", "hidden", (SumPool2d(4), Dense(weight))), Projection("hidden", "out", (Dense(out),))),
                   TimeBase(1.0))


def whole(path: Path) -> int:
    return len(engine.run(network(), datasets.read(path).events).spikes["hidden"])


def measured(net: Path, path: Path, chunk: int) -> dict[str, Any]:
    """One run in a process of its own, which imports nothing of the benchmarks."""
    command = [sys.executable, str(ROOT / "benchmarks" / "stream_run.py"), str(net), str(path), str(chunk)]
    done = subprocess.run(command, text=True, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise RuntimeError(f"the run on {path} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
