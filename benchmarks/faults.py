"""Bits that flip in an integer network: wrong decisions (another class than without faults) with and without range restriction.

By default the net is the recipe digits, trained for six epochs on the simulated camera's digits and kept in --out. --network
takes another that is trained, with --data (and --root) for its samples. Ranges are profiled on training samples, one for each
population to which values are clipped, or one for each neuron beyond which they become 0; flips are drawn alike with and
without them. Each row is the mean over seeds of flips.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import AsJson, refuse, report
from snnsim.cli.samples import load, spread
from snnsim.hardware import integer
from snnsim.hardware.integer import Faults, IntegerNetwork, Ranges
from snnsim.network_file import load_network

EPOCHS = 6
RATES = {"u": (1e-4, 1e-3, 1e-2), "v": (1e-4, 1e-3, 1e-2), "weights": (1e-5, 1e-4, 1e-3), "spikes": (1e-3, 1e-2, 5e-2)}
PROFILED = 200  # training samples
ASKED = 3.0  # times fewer wrong decisions

Networks = Annotated[Path | None, typer.Option("--network", help="A trained network (.h5) instead of the recipe.")]
Data = Annotated[str, typer.Option(help="The data set of --network.")]
Root = Annotated[Path | None, typer.Option(help="Where that data set is.")]
Out = Annotated[Path, typer.Option(help="Folder of the net that is trained.")]
Samples = Annotated[int, typer.Option(min=1, help="Test samples; the classes take turns.")]
Seeds = Annotated[int, typer.Option(min=1, help="So many seeds of flips.")]
Bits = Annotated[int, typer.Option(min=2, max=8, help="Of a weight.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help=f"{', '.join(RATES)}: again for more; by default all.")]


def faults(network: Networks = None, data: Data = "digits-events", root: Root = None, out: Out = Path("runs/faults"),
           samples: Samples = 100, seeds: Seeds = 3, bits: Bits = 8, kinds: Kinds = None, as_json: AsJson = False) -> None:
    """Wrong decisions against the flip rate of weights, membranes, currents and spikes, with and without range restriction."""
    for kind in kinds or ():
        if kind not in RATES:
            refuse(f"--kind must be one of {', '.join(RATES)}, got {kind!r}")
    train, test = load(data, root, "--root")
    model = integer.quantize(load_network(network or trained(out, train, test)), bits=bits)
    some = spread(test.labels, samples)
    given, labels = [test[i].events for i in some], np.array([test.labels[i] for i in some])
    clean = integer.run(model, given, spikes=False)
    if np.any(integer.run_faulty(model, given, Faults(0.0))[0].scores != clean.scores):
        refuse("a run without faults is not the run")
    seen = [train[i].events for i in spread(train.labels, PROFILED)]
    ranges = {"_clipped": integer.profile(model, seen), "_zeroed": integer.profile(model, seen, each="neuron", policy="zero")}
    memory = any(np.any(p.du != 4095) for p in model.populations[1:])
    rows = [measured(model, given, labels, clean.prediction, ranges, "v", 0.0, 1)]
    rows += [measured(model, given, labels, clean.prediction, ranges, kind, rate, seeds)
             for kind in kinds or RATES if kind != "u" or memory for rate in RATES[kind]]
    ratios = {f"{r['kind']} at {r['rate']:g}, {name.strip('_')}": r[f"wrong{name}"] / r["wrong"] for r in rows if r["wrong"] > 0
              for name in ranges}
    report("faults", rows, {**ratios, "asked": 1 / ASKED}, as_json, "wrong decisions")


def measured(model: IntegerNetwork, given: Sequence[Any], labels: Any, clean: Any, ranges: Mapping[str, Ranges], kind: str,
             rate: float, seeds: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, bounds in {"": None, **ranges}.items():
            result, flips = integer.run_faulty(model, given, Faults(rate, (kind,), seed), bounds)
            found.setdefault(f"wrong{name}", []).append(share(result.prediction != clean))
            found.setdefault(f"accuracy{name}", []).append(share(result.prediction == labels))
            found.setdefault("flips", []).append(flips[kind] / len(given))
    return {"kind": kind, "rate": rate, **{name: round(statistics.fmean(values), 4) for name, values in found.items()},
            "each": {name: values for name, values in found.items() if name.startswith("wrong")}}


def share(which: Any) -> float:
    return round(float(np.mean(which)), 4)


def trained(out: Path, train: Any, test: Any) -> Path:
    """The net of the recipe, trained where it is not there yet."""
    file = out / f"digits-{EPOCHS}" / "network.h5"
    if not file.is_file():
        from snnsim.cli.training import train_seed
        from snnsim.train import Recipe, read_recipe
        train_seed(Recipe.from_dict(read_recipe("digits"), "digits"), 0, file.parent, (train, test), epochs=EPOCHS)
    return file
