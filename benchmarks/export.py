"""Accuracy in whole numbers: trained nets quantised as they are, and trained on in whole numbers, beside the floats.

    spoken   spoken digits with learned delays (methods/speakers), takes 0 to 4 of each speaker and digit held out
    nmnist   N-MNIST, a net of three convolutions (nmnist)

What is counted is the executor's predictions on the test set, and, in `wide`, on it and on nine distorted copies, where a
recipe has distortions: a recording of a small test set alone is a point. `same` is how many of the float's decisions are kept
there. Calibration sees 48
training samples; training on in whole numbers learns what the float net says of distorted training recordings, and chooses its
epoch on that net's validation split, where it has one. Each net is a folder that stays, so that a command that
was interrupted goes on where it stopped.

Run as a program, it is one net: python -m benchmarks.export SET SEED OUT DATA
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import ROOT, AsJson, refuse, report
from benchmarks.methods import DATA, Data, Processes, Seeds
from snnsim import engine
from snnsim.cli.training import train_seed, write_json
from snnsim.datasets import Augment, EventDataset, load, split
from snnsim.hardware import integer
from snnsim.network import Network
from snnsim.network_file import load_network
from snnsim.train import Recipe, load_recipe

SETS = {"spoken": ("methods/speakers", "fsdd"), "nmnist": ("nmnist", "nmnist")}
FORMS: dict[str, tuple[Any, int]] = {"8 bits": ("integer", 8), "6 bits": ("integer", 6), "4 bits": ("integer", 4),
                                     "fixed point, 4 bits": ("fixed", 4), "powers of two": ("power", 4),
                                     "ternary": ("ternary", 8)}
EPOCHS, RATE, SAMPLES, COPIES = 8, 5e-4, 48, 9

Sets = Annotated[list[str] | None, typer.Option("--set", help=f"{', '.join(SETS)}: again for more; by default all.")]
Out = Annotated[Path, typer.Option(help="Folder of the nets.")]


def export(sets: Sets = None, seeds: Seeds = 3, processes: Processes = 2, out: Out = Path("runs/export"), data: Data = DATA,
           as_json: AsJson = False) -> None:
    """Test accuracy in floats, and at 8, 6 and 4 bits, in powers of two and ternary, before and after training on."""
    for name in sets or ():
        if name not in SETS:
            refuse(f"--set must be one of {', '.join(SETS)}, got {name!r}")
    if not data.is_dir():
        refuse(f"there is no folder {data}: give --data, a folder that holds fsdd and nmnist")
    jobs = [(of, seed) for of in sets or SETS for seed in range(seeds)]
    with ThreadPoolExecutor(processes) as pool:
        results = list(pool.map(lambda job: one(*job, out, data), jobs))
    rows = [row(of, form, [r[form] for (o, _), r in zip(jobs, results, strict=True) if o == of],
                [r["float"]["plain"] for (o, _), r in zip(jobs, results, strict=True) if o == of])
            for of in sets or SETS for form in ("float", *FORMS)]
    report("export", rows, {}, as_json)


def row(of: str, form: str, found: Sequence[dict[str, Any]], floats: Sequence[float]) -> dict[str, Any]:
    """Means over the seeds, in %; `lost` is what is lacking to the floats after training on, in points. `same` and
    `wide`: before and after training on, in %."""
    plain, trained = ([100.0 * f[k] for f in found if k in f] for k in ("plain", "trained"))
    best = trained or plain
    return {"set": of, "weights": form, "runs": len(found), "plain": round(statistics.fmean(plain), 2),
            "trained": round(statistics.fmean(trained), 2) if trained else None,
            "lost": round(statistics.fmean(100.0 * f - b for f, b in zip(floats, best, strict=True)), 2),
            "each": [round(b, 2) for b in best],
            **{name: [round(100.0 * statistics.fmean(f[name][k] for f in found), 2) for k in (0, 1)] if trained else None
               for name in ("same", "wide")},
            "wide lost": round(100.0 * statistics.fmean(f["wide"][2] - f["wide"][1] for f in found), 2) if trained else None,
            "seconds": round(statistics.fmean(f["seconds"] for f in found), 1) if trained else None}


def one(of: str, seed: int, out: Path, data: Path) -> dict[str, Any]:
    recipe = json.dumps([asdict(load_recipe(SETS[of][0])), FORMS, EPOCHS, RATE, SAMPLES, COPIES], sort_keys=True)
    folder = out / of / f"seed-{seed}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "export.json").is_file():
        with (folder / "log.txt").open("w", encoding="utf-8") as log:
            code = subprocess.run([sys.executable, "-m", "benchmarks.export", of, str(seed), str(folder), str(data)], cwd=ROOT,
                                  stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        if code:
            raise RuntimeError(f"{of}, seed {seed} failed: see {folder / 'log.txt'}")
    return dict(json.loads((folder / "export.json").read_text(encoding="utf-8")))


def measure(recipe: Recipe, seed: int, folder: Path, data: tuple[EventDataset, EventDataset]) -> dict[str, Any]:
    recipe = replace(recipe, train=replace(recipe.train, seed=seed))
    if (folder / "network.h5").is_file():
        network = load_network(folder / "network.h5")
    else:
        network = train_seed(recipe, seed, folder, data, progress=False).network
    train, validation = split(data[0], recipe.data.validation, seed)
    rng = np.random.default_rng(seed)
    samples = [train[int(i)].events for i in rng.permutation(len(train))[:SAMPLES]]
    found: dict[str, Any] = {"float": {"plain": float(right(network, data[1]))}}
    for form, (weights, bits) in FORMS.items():
        found[form] = trained(recipe, network, samples, (train, validation, data[1]), weights, bits)
    return found


def trained(recipe: Recipe, network: Network, samples: Any, data: tuple[EventDataset, ...], weights: Any, bits: int) -> dict[
        str, Any]:
    """The accuracy of the executor before and after training on, the decisions it shares with floats, and the seconds."""
    from snnsim.lowering import lower
    from snnsim.train import fit, prepare, whole_net
    train, validation, test = data
    kept = 8 if weights in ("power", "ternary") else bits
    net = whole_net(network, bits=bits, weights=weights, samples=samples)
    time = replace(network.time, steps=(network.time.steps or 0) + net.latency)
    prepare(net, train, time)
    augment = Augment(**recipe.data.augment) if recipe.data.augment else None  # type: ignore[arg-type]
    events = distorted(test, augment)
    floats = engine.run(network, events).prediction

    labels = np.tile(test.labels, len(events) // len(test))

    def found() -> tuple[float, float, float]:
        decided = integer.run(integer.quantize(lower(net), bits=kept), events, spikes=False).prediction
        right = decided == labels
        return float(np.mean(right[:len(test)])), float(np.mean(decided == floats)), float(np.mean(right))

    before = found()
    options = asdict(replace(recipe.train, epochs=EPOCHS, learning_rate=RATE, label_smoothing=0.0))
    history = fit(net, train, dt=recipe.data.dt, steps=time.steps, clip=time.clip, augment=augment,
                  validation=validation if len(validation) else None, teacher=network, progress=False, **options)
    after = found()
    return {"plain": before[0], "trained": after[0], "same": (before[1], after[1]),
            "wide": (before[2], after[2], float(np.mean(floats == labels))),
            "seconds": sum(e.seconds for e in history.epochs)}


def distorted(test: EventDataset, augment: Augment | None) -> list[Any]:
    """The events of the test set, and of its distorted copies, one copy after the other."""
    events = [r.events for r in test]
    copies = range(COPIES) if augment else ()
    return events + [augment(e, test.sensor, COPIES * i + k) for k in copies for i, e in enumerate(events)]  # type: ignore[misc]


def right(network: Network, test: EventDataset) -> float:
    return float(np.mean(engine.run(network, [r.events for r in test]).prediction == test.labels))


def main() -> None:
    import torch

    import snnsim.nn  # noqa: F401  # before torch
    of, seed, folder, data = sys.argv[1:]
    torch.set_num_threads(1)
    recipe = load_recipe(SETS[of][0])
    sets = load(recipe.data.name, Path(data) / SETS[of][1], **recipe.data.options)
    write_json(Path(folder) / "export.json", measure(recipe, int(seed), Path(folder), sets))


if __name__ == "__main__":
    main()
