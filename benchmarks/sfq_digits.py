"""Digits as single flux quanta: 34x34 events pooled to 8x8, 32 hidden counters, beside the same net in floats.

Weights of three levels (sfq/digits), of seven (sfq/digits-levels) and floats (sfq/digits-float), three seeds each, 360 test
recordings. Accuracy is that of the pulse-level executor; junctions and energy are estimates of the cell level, see
`snnsim.hardware.sfq.statistics`. The Verilog of the first seed runs in iverilog on 20 test recordings.
"""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import AsJson, refuse, report
from benchmarks.methods import Seeds
from snnsim import engine
from snnsim.datasets import load
from snnsim.hardware import sfq
from snnsim.hardware.sfq.bench import bench
from snnsim.hardware.sfq.library import load as library
from snnsim.hardware.sfq.plan import plan
from snnsim.hardware.sfq.statistics import statistics as taken
from snnsim.hardware.sfq.verilog import table
from snnsim.interop.iverilog_tool import run_iverilog
from snnsim.interop.proof import counts_of
from snnsim.network_file import load_network

FLOATS, RECIPES = "sfq/digits-float", ("sfq/digits", "sfq/digits-levels")
IN_VERILOG = 20  # recordings

Out = Annotated[Path, typer.Option(help="Folder of the nets, which stay.")]


def sfq_digits(seeds: Seeds = 3, out: Out = Path("runs/sfq"), as_json: AsJson = False) -> None:
    """Accuracy, junctions and energy of digits in pulses, and the same spikes in iverilog."""
    if shutil.which("iverilog") is None:
        refuse("iverilog is not on the path: apt install iverilog")
    report("sfq_digits", measured(seeds, out), {}, as_json)


def measured(seeds: int, out: Path) -> list[dict[str, Any]]:
    data = load("digits-events", **options(FLOATS))
    floats = [100.0 * right(load_network(trained(FLOATS, seed, out, data)), data[1]) for seed in range(seeds)]
    rows = [{"net": FLOATS, "runs": seeds, **spread(floats)}]
    for recipe in RECIPES:
        nets = [sfq.of_network(load_network(trained(recipe, seed, out, data))) for seed in range(seeds)]
        rows.append(row(recipe, nets, data, floats))
    return rows


def row(recipe: str, nets: list[sfq.SFQNetwork], data: Any, floats: list[float]) -> dict[str, Any]:
    events = [r.events for r in data[1]]
    found = [sfq.run(net, events) for net in nets]
    if any(f.losses for f in found):
        refuse(f"{recipe}: pulses were lost")
    accuracy = [100.0 * float(np.mean(f.prediction == data[1].labels)) for f in found]
    made = [energy(net, f) for net, f in zip(nets, found, strict=True)]
    return {"net": recipe, "runs": len(nets), **spread(accuracy),
            "lost": round(statistics.fmean(f - a for f, a in zip(floats, accuracy, strict=True)), 2),
            "synapses": round(statistics.fmean(m.synapses for m in made)),
            "junctions": round(statistics.fmean(m.junctions for m in made)),
            "bias_A": round(statistics.fmean(m.bias for m in made) / 1e3, 2), "ticks": made[0].ticks,
            "inference_ns": round(statistics.fmean(m.inference for m in made) / 1e3, 1),
            **{f"{k}_pJ": [round(statistics.fmean(m.energy[name].low for m in made) / 1e6, 3),
                           round(statistics.fmean(m.energy[name].high for m in made) / 1e6, 3)]
               for k, name in (("dynamic", "dynamic"), ("rsfq", "RSFQ"), ("ersfq", "ERSFQ"), ("rsfq_cooled", "RSFQ, cooled"),
                               ("ersfq_cooled", "ERSFQ, cooled"))},
            "recordings_in_iverilog": IN_VERILOG, "spikes_equal_there": in_verilog(nets[0], data[1])}


def energy(net: sfq.SFQNetwork, found: sfq.PulseResult) -> Any:
    """What an inference takes, with the pulses that a recording makes in the mean."""
    hidden = [found.spikes[q.name] for q in net.layers[:-1]]
    sent = [found.given.mean(0), *(s.sum(0).mean(0) for s in hidden)]
    return taken(plan(net, library()), ticks=len(found.spikes[net.layers[-1].name]), pulses=sent)


def in_verilog(net: sfq.SFQNetwork, test: Any) -> int:
    """Spikes of all layers, which are the same in iverilog."""
    events = [r.events for r in test[:IN_VERILOG]]
    found, when = sfq.run(net, events), plan(net, library()).schedule
    theirs = run_iverilog([table(net, when), bench(net, when, counts_of(net.network(), events), found.spikes)], ["net_tb"])
    if not theirs.exact:
        refuse("the spikes of the executor and of iverilog differ")
    return sum(int(s.sum()) for s in found.spikes.values())


def trained(recipe: str, seed: int, out: Path, data: Any) -> Path:
    """The network of a run, which is made where it is not there yet."""
    from snnsim.cli.training import train_seed
    from snnsim.train import load_recipe
    folder = out / recipe.removeprefix("sfq/") / f"seed-{seed}"
    if not (folder / "network.h5").is_file():
        train_seed(load_recipe(recipe), seed, folder, data, progress=False)
    return folder / "network.h5"


def options(recipe: str) -> dict[str, Any]:
    from snnsim.train import load_recipe
    return dict(load_recipe(recipe).data.options)


def right(network: Any, test: Any) -> float:
    return float(np.mean(engine.run(network, [r.events for r in test]).prediction == test.labels))


def spread(accuracies: list[float]) -> dict[str, Any]:
    return {"accuracy": round(statistics.fmean(accuracies), 2),
            "deviation": round(statistics.stdev(accuracies), 2) if len(accuracies) > 1 else 0.0,
            "each": [round(a, 2) for a in accuracies]}
