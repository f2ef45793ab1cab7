"""snnsim train: a recipe, one or several seeds."""

from __future__ import annotations

import statistics
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnsim.cli.output import say, table
from snnsim.cli.samples import Options, load, parsed

if TYPE_CHECKING:
    from snnsim.cli.training import Trained


def train(
    recipe: Annotated[str, typer.Argument(help="digits, nmnist, methods/baseline, or a TOML file of your own.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder or file of a data set that is not embedded.")] = None,
    option: Options = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", min=0, help="A seed; give it again for more.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="So many seeds, from the recipe's upwards.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the results; by default runs/RECIPE.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="In place of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option("--resume/--restart", help="Go on from a checkpoint, or begin again.")] = True,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads of each process; by default the cores "
                                                "over the processes.")] = None,
) -> None:
    """Train a net by a recipe; the epoch is chosen on a split of the training set, the test set is used once.

    Each seed gets a folder OUT/seed-N with checkpoint.safetensors, network.h5 and training.json. A run that was
    interrupted continues where it stopped, bit for bit, when the same command is given again. Several processes, on one
    machine or many, share every batch when torchrun starts them, and come to the same weights but for rounding.

    Examples: `snnsim train digits`, `snnsim train nmnist --data ~/N-MNIST --seeds 3`, `snnsim train mine.toml --seed 7`,
    `snnsim train methods/baseline --data ~/recordings --option speaker=george`,
    `torchrun --nproc-per-node 2 -m snnsim train digits`
    """
    if seed and seeds:
        raise typer.BadParameter("give --seed (which) or --seeds (how many), not both")
    from snnsim.train.processes import joined

    with joined(threads) as speaks, nullcontext() if speaks else redirect_stdout(StringIO()):
        _train(recipe, data, option, seed, seeds, out, epochs, resume)


def _train(recipe: str, data: Path | None, option: list[str] | None, seed: list[int] | None, seeds: int | None,
           out: Path | None, epochs: int | None, resume: bool) -> None:
    from snnsim.train import load_recipe, processes, recipe_names

    plan = load_recipe(recipe)
    given = parsed(option)
    plan = replace(plan, data=replace(plan.data, options={**plan.data.options, **given}))
    chosen = list(dict.fromkeys(seed)) if seed else [plan.train.seed + i for i in range(seeds or 1)]
    name = Path(recipe).with_suffix("") if recipe.removesuffix(".toml") in recipe_names() else Path(Path(recipe).stem)
    folder = out or Path("runs", name, *[f"{k}-{v}" for k, v in given.items()])
    sets = load(plan.data.name, data, "--data", plan.data.options)
    from snnsim.cli.training import train_seed, write_json

    chooses = f"of which {plan.data.validation:.0%} choose the epoch" if plan.data.validation else "the last epoch is kept"
    say(f"{recipe}: {len(sets[0]):,} recordings to train on, {chooses}; "
        f"{len(sets[1]):,} to test; {epochs or plan.train.epochs} epochs, {plan.data.dt:g} ms a step")
    done: list[Trained] = []
    for s in chosen:
        where = folder / f"seed-{s}"
        if resume and (where / "checkpoint.safetensors").exists():
            say(f"seed {s}: continuing from {where / 'checkpoint.safetensors'} (--restart begins again)")
        done.append(train_seed(plan, s, where, sets, epochs=epochs, restart=not resume))
        say(f"seed {s}: {done[-1].evaluation.accuracy:.2%} of the test set right, in {done[-1].seconds:.0f} s: {where}")
    say()
    table(("seed", ">test accuracy", ">chosen epoch", ">validation", ">seconds", "spikes a neuron and step"),
          [_row(t) for t in done])
    accuracies = [t.evaluation.accuracy for t in done]
    spread = statistics.stdev(accuracies) if len(done) > 1 else 0.0
    if len(done) > 1:
        say(f"mean {statistics.mean(accuracies):.2%} ± {spread:.2%} (standard deviation of {len(done)} seeds), "
            f"from {min(accuracies):.2%} to {max(accuracies):.2%}", "bold")
    if processes.first():
        write_json(folder / "summary.json", {"recipe": recipe, "seeds": chosen, "accuracies": accuracies,
                                             "mean": statistics.mean(accuracies), "standard_deviation": spread,
                                             "seconds": [t.seconds for t in done]})
    silent = sorted({name for t in done for name, rate in zip(t.layers, t.evaluation.rates, strict=True) if rate == 0.0})
    if silent:
        say(f"warning: {', '.join(silent)} never fired on the test set: lower theta, or train with a wider surrogate",
            "yellow")
    say(f"next: snnsim run {folder / f'seed-{chosen[0]}' / 'network.h5'} --data {plan.data.name}"
        + (f" --root {data}" if data else "")
        + "".join(f" --option {name}={str(value).lower() if isinstance(value, bool) else value}"
                  for name, value in plan.data.options.items()))


def _row(t: Trained) -> tuple[Any, ...]:
    best = t.history.best
    validation = "" if best.validation_accuracy != best.validation_accuracy else f"{best.validation_accuracy:.2%}"
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in zip(t.layers, t.evaluation.rates, strict=True))
    return (str(t.seed), f"{t.evaluation.accuracy:.2%}", f"{best.epoch + 1} of {len(t.history.epochs)}", validation,
            f"{t.seconds:.0f}", rates)
