"""Bits that flip in an integer network: wrong decisions (another class than without faults) with and without range restriction.

Nets: the recipe digits on the simulated camera's digits, and the same with synaptic currents ("currents"), both trained for six
epochs and kept in --out; and those of --network, with --data (and --root) for their samples. Ranges are profiled on training
samples, one for each population or one for each neuron with a margin for samples that were not seen; values beyond them are
clipped or become 0. Flips are drawn alike with and without them. Each row is the mean over seeds of flips.
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

EPOCHS, TAU_SYN = 6, 10.0  # TAU_SYN: ms
RATES = {"weights": (3e-4, 1e-3), "u": (1e-3, 1e-2), "v": (1e-3, 1e-2), "spikes": (5e-2, 2e-1)}
OWN = {"digits": {**RATES, "weights": (1e-3, 3e-3)}, "currents": {"u": RATES["u"]}}  # u: where a current lasts
VARIANTS: dict[str, tuple[Any, Any]] = {f"{each}, {policy}": (each, policy) for each in ("population", "neuron")
                                        for policy in ("clip", "zero")}
PROFILED, MARGIN = 300, 0.25  # training samples; share of a range
ASKED = 3.0  # times fewer wrong decisions
SEEN = 0.03  # fewer wrong decisions than this without restriction show little

Networks = Annotated[list[str] | None, typer.Option("--network", help="NAME=FILE, a trained network (.h5): again for more.")]
Data = Annotated[str, typer.Option(help="The data set of --network.")]
Root = Annotated[Path | None, typer.Option(help="Where that data set is.")]
Nets = Annotated[list[str] | None, typer.Option("--net", help=f"{', '.join(OWN)}: again for more; by default all.")]
Out = Annotated[Path, typer.Option(help="Folder of the nets that are trained.")]
Samples = Annotated[int, typer.Option(min=1, help="Test samples; the classes take turns.")]
Seeds = Annotated[int, typer.Option(min=1, help="So many seeds of flips.")]
Bits = Annotated[int, typer.Option(min=2, max=8, help="Of a weight.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help=f"{', '.join(RATES)}: again for more; by default all.")]
Plot = Annotated[Path | None, typer.Option(help="Write the picture here, for example docs/faults.png.")]


def faults(networks: Networks = None, data: Data = "spoken-digits", root: Root = None, nets: Nets = None,
           out: Out = Path("runs/faults"), samples: Samples = 50, seeds: Seeds = 3, bits: Bits = 8, kinds: Kinds = None,
           plot: Plot = None, as_json: AsJson = False) -> None:
    """Wrong decisions against the flip rate of weights, currents, membranes and spikes, with and without range restriction."""
    for option, given, allowed in (("--kind", kinds, RATES), ("--net", nets, OWN)):
        for name in given or ():
            if name not in allowed:
                refuse(f"{option} must be one of {', '.join(allowed)}, got {name!r}")
    rows = []
    own = load("digits-events", None, "--root")
    for name in OWN if nets is None else nets:
        rates = {kind: OWN[name][kind] for kind in kinds or RATES if kind in OWN[name]}
        if rates:
            rows += one(name, trained(name, out, *own), own, rates, samples, seeds, bits)
    sets = load(data, root, "--root") if networks else own
    for text in networks or ():
        name, equals, file = text.partition("=")
        if not equals or not Path(file).is_file():
            refuse(f"--network takes NAME=FILE, a trained network, got {text!r}")
        rows += one(name, Path(file), sets, {kind: RATES[kind] for kind in kinds or RATES}, samples, seeds, bits)
    ratios = {f"{r['net']}, {r['kind']} at {r['rate']:g}, {name}": round(r["wrong"][name] / r["wrong"]["none"], 4)
              for r in rows if r["wrong"]["none"] >= SEEN for name in VARIANTS}
    report("faults", rows, {**ratios, "asked": 1 / ASKED}, as_json, "wrong decisions")
    if plot:
        picture(rows, plot)


def one(net: str, file: Path, sets: Any, rates: Mapping[str, Sequence[float]], samples: int, seeds: int,
        bits: int) -> list[dict[str, Any]]:
    """The rows of a net; u is left out where no current lasts."""
    train, test = sets
    model = integer.quantize(load_network(file), bits=bits)
    some = spread(test.labels, samples)
    given, labels = [test[i].events for i in some], np.array([test.labels[i] for i in some])
    clean = integer.run(model, given, spikes=False)
    if np.any(integer.run_faulty(model, given, Faults(0.0))[0].scores != clean.scores):
        refuse("a run without faults is not the run")
    seen = [train[i].events for i in spread(train.labels, PROFILED)]
    profiled = {each: integer.profile(model, seen, each=each, margin=MARGIN)  # type: ignore[arg-type]
                for each in ("population", "neuron")}
    ranges = {name: Ranges(profiled[each].bounds, profiled[each].weights, policy) for name, (each, policy) in VARIANTS.items()}
    memory = any(np.any(p.du != 4095) for p in model.populations[1:])
    rows = [measured(net, model, given, labels, clean.prediction, ranges, "v", 0.0, 1)]
    return rows + [measured(net, model, given, labels, clean.prediction, ranges, kind, rate, seeds)
                   for kind in rates if kind != "u" or memory for rate in rates[kind]]


def measured(net: str, model: IntegerNetwork, given: Sequence[Any], labels: Any, clean: Any, ranges: Mapping[str, Ranges],
             kind: str, rate: float, seeds: int) -> dict[str, Any]:
    wrong, right, number = {}, {}, []
    for name, bounds in {"none": None, **ranges}.items():
        found = [integer.run_faulty(model, given, Faults(rate, (kind,), seed), bounds, threads=1) for seed in range(seeds)]
        wrong[name] = round(statistics.fmean(float(np.mean(r.prediction != clean)) for r, _ in found), 4)
        right[name] = round(statistics.fmean(float(np.mean(r.prediction == labels)) for r, _ in found), 4)
        number += [flips[kind] / len(given) for _, flips in found]
    return {"net": net, "kind": kind, "rate": rate, "flips": round(statistics.fmean(number), 1),
            "decisions": seeds * len(given), "wrong": wrong, "accuracy": right}


def trained(name: str, out: Path, train: Any, test: Any) -> Path:
    """The net of the recipe, trained where it is not there yet."""
    file = out / f"{name}-{EPOCHS}" / "network.h5"
    if not file.is_file():
        from snnsim.cli.training import train_seed
        from snnsim.train import Recipe, read_recipe
        recipe = read_recipe("digits")
        for layer in recipe["layer"]:
            if name == "currents" and layer["kind"] == "neuron":
                layer.update(model="cuba", tau_syn=TAU_SYN)
        train_seed(Recipe.from_dict(recipe, name), 0, file.parent, (train, test), epochs=EPOCHS)
    return file


def picture(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Wrong decisions against the rate: a panel for each net and kind."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys((r["net"], r["kind"]) for r in rows if r["rate"] > 0))
    across = min(5, len(panels))
    down = -(-len(panels) // across)
    figure, axes = plt.subplots(down, across, squeeze=False, layout="constrained", figsize=(2.1 * across, 2.0 * down + 0.5))
    for ax in axes.ravel()[len(panels):]:
        ax.set_axis_off()
    for ax, (net, kind) in zip(axes.ravel(), panels, strict=False):
        own = [r for r in rows if (r["net"], r["kind"]) == (net, kind) and r["rate"] > 0]
        for name, colour in zip(("none", *VARIANTS), ("black", "#d9822b", "#f0c9a0", "#9dbfe3", "#2a62a5"), strict=True):
            ax.plot([0.0] + [r["rate"] for r in own], [0.0] + [100 * r["wrong"][name] for r in own], "o-", ms=3, lw=1.2,
                    color=colour, label="no restriction" if name == "none" else name)
        ax.set_title(f"{net}: {kind}", fontsize=9)
        ax.set(ylim=(0, 5 + 105 * max(max(r["wrong"].values()) for r in own)), xticks=[r["rate"] for r in own])
        ax.set_xticklabels([f"{r['rate']:g}" for r in own], fontsize=7)
        ax.tick_params(axis="y", labelsize=7)
    figure.supylabel("wrong decisions, %", fontsize=9)
    figure.supxlabel("probability that a bit flips in a step", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8)
    figure.savefig(file, dpi=110)
