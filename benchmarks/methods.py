"""What each method is worth: one net, trained with and without it on real data, over several seeds.

    takes       spoken digits, takes 0 to 4 of each speaker and digit held out
    shuffled    the same recordings with their steps in random order: what is left owes nothing to timing
    speakers    spoken digits, one speaker held out, each in turn
    nmnist      the 800 recordings of N-MNIST

A row is the recipe methods/ROW; for speakers and N-MNIST, the nets of methods/voices and nmnist with the neurons and the
synapses of that recipe. The epoch is chosen on a split of the training set, and a run uses the test set once.
Differences from the baseline are paired by seed and speaker. Each run is a folder that stays, so that a command that was
interrupted goes on where it stopped; its name holds a hash of the recipe, so that another recipe is another run.

Run as a program, it is one run: python -m benchmarks.methods SET ROW SEED SPEAKER OUT DATA
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import ROOT, AsJson, refuse, report
from snnsim.cli.training import train_seed
from snnsim.datasets import EventDataset, load, shuffle_steps
from snnsim.progress import bar
from snnsim.train import Recipe, build, read_recipe

ROWS = ("baseline", "soft-reset", "mpr", "mpbn", "rmp", "fixed-delays", "learned-delays", "astrocyte", "all")
DELAYED = ("fixed-delays", "learned-delays", "all")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "yweweler")
BASES = {"speakers": "methods/voices", "nmnist": "nmnist"}
SETS = ("takes", "shuffled", "speakers", "nmnist")
DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Job:
    """One training run. speaker: who is held out, or nothing."""

    of: str
    row: str
    seed: int
    speaker: str = ""

    def folder(self, out: Path) -> Path:
        recipe = json.dumps(asdict(self.recipe()), sort_keys=True)
        return out / self.of / self.speaker / self.row / f"seed-{self.seed}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"

    def recipe(self) -> Recipe:
        method = read_recipe(f"methods/{self.row}")
        if self.of in BASES:  # its own data, layers and rates; the neurons and the synapses are the method's
            base = read_recipe(BASES[self.of])
            kinds = {layer["kind"] for layer in base["layer"]}
            method = {**base, "defaults": {k: v for k, v in method["defaults"].items() if k in kinds}}
        recipe = Recipe.from_dict(method, f"methods/{self.row}")
        return replace(recipe, train=replace(recipe.train, seed=self.seed))

    def data(self, recipe: Recipe, folder: Path) -> tuple[EventDataset, EventDataset]:
        if self.of == "nmnist":
            return load("nmnist", folder / "nmnist", **recipe.data.options)
        options = {**recipe.data.options, **({"speaker": self.speaker} if self.speaker else {})}
        train, test = load(recipe.data.name, folder / "fsdd", **options)
        if self.of == "shuffled":
            train, test = (shuffle_steps(d, recipe.data.dt, seed=i) for i, d in enumerate((train, test)))
        return train, test

    def result(self, out: Path) -> dict[str, Any] | None:
        """What the run has left, when it is done."""
        file = self.folder(out) / "training.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


Sets = Annotated[list[str] | None, typer.Option("--set", help=f"{', '.join(SETS)}: again for more; by default all.")]
Rows = Annotated[list[str] | None, typer.Option("--row", help="A method: again for more; by default those of the set.")]
Seeds = Annotated[int, typer.Option(min=1, help="So many seeds.")]
Processes = Annotated[int, typer.Option(min=1, help="Runs at a time, of one thread each.")]
Out = Annotated[Path, typer.Option(help="Folder of the runs.")]
Data = Annotated[Path, typer.Option(help="Folder that holds fsdd and nmnist.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the accuracies into this file.")]


def methods(sets: Sets = None, rows: Rows = None, seeds: Seeds = 3, processes: Processes = 2, out: Out = Path("runs/methods"),
            data: Data = DATA, plot: Plot = None, as_json: AsJson = False) -> None:
    """Test accuracy with and without each method on spoken digits and N-MNIST; 60 to 200 s a run and core."""
    for name, given, allowed in (("--set", sets, SETS), ("--row", rows, ROWS)):
        for value in given or ():
            if value not in allowed:
                refuse(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if not data.is_dir():
        refuse(f"there is no folder {data}: give --data, a folder that holds fsdd and nmnist")
    found: list[dict[str, Any]] = []
    for of in sets or SETS:
        jobs = [Job(of, row, seed, speaker) for row in rows or rows_of(of, seeds, out)
                for speaker in (SPEAKERS if of == "speakers" else ("",)) for seed in range(seeds)]
        run_all(jobs, processes, out, data)
        found += summary(jobs, out)
    if plot is not None:
        draw(found, plot)
    report("methods", found, {}, as_json)


def rows_of(of: str, seeds: int, out: Path) -> Sequence[str]:
    """All methods; for speakers and N-MNIST the baseline, the best without delays by its validation splits on takes, and
    all; for speakers learned delays, too, which are methods/voices."""
    if of in ("takes", "shuffled"):
        return ROWS
    mean = {}
    for row in ROWS:
        results = [Job("takes", row, seed).result(out) for seed in range(seeds)]
        if row not in ("baseline", *DELAYED):
            if None in results:
                refuse(f"--set {of} needs the runs of --set takes, which choose the best method without delays")
            mean[row] = statistics.fmean(chosen_epoch(r)["validation_accuracy"] for r in results if r)
    best = max(mean, key=mean.__getitem__)
    return ("baseline", best, "learned-delays", "all") if of == "speakers" else ("baseline", best, "all")


def run_all(jobs: Sequence[Job], processes: int, out: Path, data: Path) -> None:
    """Train what is not there yet, the long ones first."""
    left = [job for job in jobs if job.result(out) is None]
    if not left:
        return
    with bar(len(left), left[0].of) as line, ThreadPoolExecutor(processes) as pool:
        for done in as_completed([pool.submit(run, job, out, data) for job in left]):
            line.say(done.result())
            line.advance()


def run(job: Job, out: Path, data: Path) -> str:
    folder = job.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.methods", job.of, job.row, str(job.seed), job.speaker, str(out), str(data)]
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False,
                              env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode
    result = job.result(out)
    if code or result is None:
        raise RuntimeError(f"{job} failed: see {folder / 'log.txt'}")
    return f"{job.of} {job.speaker} {job.row} seed {job.seed}: {result['test']['accuracy']:.2%}"


def summary(jobs: Sequence[Job], out: Path) -> list[dict[str, Any]]:
    """A row for each method, over its runs."""
    results = {job: r for job in jobs if (r := job.result(out)) is not None}
    return [described({job: r for job, r in results.items() if job.row == row}, results)
            for row in dict.fromkeys(job.row for job in results)]


def described(runs: Mapping[Job, dict[str, Any]], results: Mapping[Job, dict[str, Any]]) -> dict[str, Any]:
    """Means and standard deviations, in %, of the accuracy and of its difference from the baseline's run of the same seed."""
    def right(result: Mapping[str, Any]) -> float:
        return 100.0 * float(result["test"]["accuracy"])

    first = next(iter(runs))
    accuracies = [right(r) for r in runs.values()]
    pairs = [right(r) - right(results[b]) for job, r in runs.items() if (b := replace(job, row="baseline")) in results]
    epochs = [r["history"]["epochs"] for r in runs.values()]
    return {"set": first.of, "method": first.row, "runs": len(runs), **spread("accuracy", accuracies),
            **spread("difference", pairs),
            **spread("validation", [100.0 * found for r in runs.values()
                                    if (found := chosen_epoch(r)["validation_accuracy"]) is not None]),
            "parameters": sum(p.numel() for p in build(first.recipe().layers).parameters()),
            "seconds": round(statistics.fmean(sum(e["seconds"] for e in of) for of in epochs), 1),
            "rates": [round(statistics.fmean(v), 4) for v in zip(*(r["test"]["rates"] for r in runs.values()), strict=True)],
            "accuracies": [round(a, 2) for a in accuracies]}


def spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    return {name: round(statistics.fmean(values), 2) if values else None,
            f"{name}_deviation": round(statistics.stdev(values), 2) if len(values) > 1 else None}


def chosen_epoch(result: Mapping[str, Any]) -> Mapping[str, Any]:
    history: Mapping[str, Any] = result["history"]
    return history["epochs"][history["chosen"]]  # type: ignore[no-any-return]


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A panel for each set: the accuracy of every run, and their mean."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    sets = list(dict.fromkeys(r["set"] for r in rows))
    figure, axes = plt.subplots(1, len(sets), figsize=(1.5 + 3.4 * len(sets), 4.2), layout="constrained", squeeze=False)
    for ax, of in zip(axes[0], sets, strict=True):
        mine = [r for r in rows if r["set"] == of][::-1]
        for y, r in enumerate(mine):
            ax.plot(r["accuracies"], [y] * len(r["accuracies"]), "o", color="tab:blue", alpha=0.45, markersize=5)
            ax.plot([r["accuracy"]] * 2, [y - 0.3, y + 0.3], color="black", linewidth=2)
        ax.set_yticks(range(len(mine)), [r["method"] for r in mine])
        ax.set_xlabel("test accuracy, %")
        ax.set_title(of)
        ax.grid(True, axis="x", alpha=0.3)
    figure.savefig(path, dpi=130)


def main() -> None:
    import torch
    of, row, seed, speaker, out, data = sys.argv[1:]
    torch.set_num_threads(1)
    job = Job(of, row, int(seed), speaker)
    train_seed(job.recipe(), job.seed, job.folder(Path(out)), job.data(job.recipe(), Path(data)), progress=False)


if __name__ == "__main__":
    main()
