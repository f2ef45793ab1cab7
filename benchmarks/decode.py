"""How fast event files are decoded, one thread, from the page cache, beside the libraries that read the same files."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import ROOT, Against, AsJson, Peer, asked, interleave, peer_python, refuse, report
from snnsim import datasets
from snnsim.datasets import EVENT, Sensor

REAL = ROOT.parent / "shared" / "data" / "recordings" / "evt2.raw"
SENSOR = Sensor(480, 640)
READS = {"evt2": ("expelliarmus", "faery"), "evt3": ("expelliarmus", "evt3", "faery"), "es": ("event_stream", "faery"),
         "dat": ("expelliarmus", "faery")}  # which peer reads which format
PEERS = ("expelliarmus", "evt3", "event_stream", "faery")


def decode(
    events: Annotated[int, typer.Option(min=1000, help="Events of each file.")] = 5_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each; medians and minima are reported.")] = 7,
    formats: Annotated[str, typer.Option(help="Formats, with commas between.")] = ",".join(READS),
    against: Against = None,
    as_json: AsJson = False,
) -> None:
    """Million events a second for EVT2, EVT3, .es and DAT: a real recording, again and again, where ../shared/data has one.

    Ratios are of processor time, as others may be using the machine.
    """
    wanted = asked(against, PEERS)
    python = peer_python("events")
    if python is None:
        print("no peers: `make peers-events` installs them")
    recorded = recording(events)
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for form in formats.split(","):
        if form not in READS:
            refuse(f"--formats must be of {', '.join(READS)}, got {form!r}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("a.es" if form == "es" else "a.dat" if form == "dat" else "a.raw")
            datasets.write(path, recorded, SENSOR, format=form)
            peers = [p for p in READS[form] if python and (not wanted or p in wanted)]
            found = measure(form, path, recorded, python, peers, rounds)
        rows += found
        ratios |= {f"{form} {r['library']}": round(r["cpu_Mev_s"] / found[0]["cpu_Mev_s"], 4)
                   for r in found[1:] if "cpu_Mev_s" in r}
    report("decode", rows, ratios, as_json, "processor time")


def recording(count: int) -> Any:
    """The real recording one after another, or else a made-up one: bursts of rows, as edges make them."""
    if REAL.exists():
        base = datasets.read(REAL).events
    else:
        rng = np.random.default_rng(0)
        base = np.zeros(500_000, EVENT)
        base["t"] = np.sort(rng.integers(0, 100_000, len(base)))
        base["x"], base["y"], base["p"] = (rng.integers(0, n, len(base)) for n in (SENSOR.width, SENSOR.height, 2))
    span = int(base["t"][-1] - base["t"][0]) + 1
    events = np.tile(base, -(-count // len(base)))[:count]
    events["t"] += np.arange(count) // len(base) * span - base["t"][0]
    return events


def measure(form: str, path: Path, recorded: Any, python: Path | None, names: list[str], rounds: int) -> list[dict[str, Any]]:
    if not np.array_equal(datasets.read(path).events, recorded):
        refuse(f"{form}: what was written is not read back")
    sums = [int(recorded[n].sum(dtype=np.int64)) for n in ("t", "x", "y", "p")]
    cpu: dict[str, list[float]] = {name: [] for name in ("snnsim", *names)}

    def ours() -> float:
        start, used = time.perf_counter(), time.process_time()
        datasets.read(path)
        cpu["snnsim"].append(time.process_time() - used)
        return time.perf_counter() - start

    contestants, about, peers, failed = {"snnsim": ours}, {}, [], {}
    assert python or not names
    try:
        for name in names:
            try:
                peer = Peer(str(python), "peer_events.py", name, form, str(path))
            except RuntimeError as e:
                failed[name] = str(e).strip().splitlines()[-1]
                continue
            peers.append(peer)
            about[name] = peer.about

            def theirs(peer: Peer = peer, name: str = name) -> float:
                answer = peer.run()
                cpu[name].append(answer["cpu"])
                return float(answer["seconds"])

            contestants[name] = theirs
        times = interleave(contestants, rounds, {})
    finally:
        for peer in peers:
            peer.close()
    rows: list[dict[str, Any]] = []
    for name, taken in times.items():
        told = about.get(name, {"version": "", "events": len(recorded), "sums": sums})
        rows.append({"format": form, "library": name, "version": told["version"], "events": told["events"],
                     "same_events": same(told, len(recorded), sums),
                     "median_Mev_s": round(len(recorded) / float(np.median(taken)) / 1e6, 1),
                     "best_Mev_s": round(len(recorded) / min(taken) / 1e6, 1),
                     "cpu_Mev_s": round(len(recorded) / min(cpu[name]) / 1e6, 1),
                     "MB": round(path.stat().st_size / 1e6, 1)})
    return rows + [{"format": form, "library": name, "version": f"fails: {why}"} for name, why in failed.items()]


def same(told: dict[str, Any], count: int, sums: list[int]) -> str:
    """Whether the peer's events add up to ours; y may grow upwards there."""
    if told["events"] != count:
        return "no"
    turned = [sums[0], sums[1], (SENSOR.height - 1) * count - sums[2], sums[3]]
    if told["sums"] in (sums, turned):
        return "yes" if told["sums"] == sums else "y upwards"
    wrong = [n for n, a, b in zip("txyp", told["sums"], sums, strict=True) if a != b]
    return "other " + ", ".join(wrong)
