"""snnsim demo: the whole job on embedded data, said in plain words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnsim.cli.output import say, table

if TYPE_CHECKING:
    from snnsim.cli.training import Trained
    from snnsim.datasets import EventDataset
    from snnsim.hardware import MatchReport
    from snnsim.hardware.loihi.check import LoihiReport
    from snnsim.hardware.nir import ExportReport
    from snnsim.report import Simulation

RECIPE = "digits"
FITTED = 20  # training samples that scales and thresholds of the whole numbers are fitted to


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for network, export and report.")] = Path("demo"),
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="In place of the recipe's.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the weights, the sample order and the split.")] = 0,
) -> None:
    """Train, simulate event by event, export, verify, and write a report you can open: in about two minutes.

    The data is scikit-learn's handwritten digits seen by a simulated event camera; nothing is downloaded.

    Example: `snnsim demo --out demo`, then open `demo/report.html`.
    """
    began = time.monotonic()
    from snnsim.report.writing import needs

    needs()  # better now than after the training
    out.mkdir(parents=True, exist_ok=True)
    train, test = _events()
    trained = _train(out, (train, test), seed, epochs)
    done = _simulate(trained, test)
    exported, match = _export(trained, test, out / "network.nir")
    loihi = _loihi(trained, (train, test), out / "network.json")
    report = out / "report.html"
    say("9. Report, with everything to look at.")
    _report(report, trained, (train, test), done, (exported, match, loihi), _commands(out, seed, epochs))
    same = int((done.predictions == trained.evaluation.predictions).sum())
    say()
    table(("in short", ">"), [
        ("held-out accuracy", f"{done.accuracy:.1%}"),
        ("predictions equal to the trained net's", f"{same:,} of {len(test):,}"),
        ("spikes equal after the export to NIR", "all" if match.exact else f"{match.share:.4%}"),
        ("held-out accuracy in whole numbers, for Loihi", f"{loihi.after:.1%}"),
        ("predictions as in floats, spikes as in floats", f"{loihi.predictions_equal:,} of {loihi.samples:,}, "
                                                          f"{loihi.quantised.share:.1%}"),
        ("spikes equal after the export to Loihi", "all" if loihi.exact else "NOT all"),
        ("cores of a Loihi 2, by what is public of it", f"{len(loihi.placed.cores)}" + ("" if loihi.placed.fits else
                                                                                       ", which does not fit")),
        ("energy a sample on a Loihi 1, an estimate", f"{_microjoules(loihi)} uJ"),
        *[(f"spikes of {name} a sample", f"{n.mean():,.0f}") for name, n in done.counts.items()],
        ("synaptic events a sample", f"{sum(done.synaptic.values()) / len(done):,.0f}"),
        ("time a sample", f"{done.milliseconds:.1f} ms"),
        ("the whole job", f"{time.monotonic() - began:.0f} s")])
    say()
    say(f"Open {report.resolve()} in a browser.", "bold")
    if not (match.exact and loihi.exact):
        raise typer.Exit(1)


def _events() -> tuple[EventDataset, EventDataset]:
    from snnsim import datasets
    from snnsim.train import load_recipe

    say("1. Events. A simulated event camera looks at scikit-learn's handwritten digits, in three small movements.")
    train, test = datasets.load(load_recipe(RECIPE).data.name)
    seconds = max(int(test[i].events["t"][-1]) for i in range(10)) / 1e6
    say(f"   {len(train):,} recordings of {seconds:.1f} s to train on, {len(test):,} held out; "
        f"{sum(len(test[i].events) for i in range(10)) // 10:,} events in each", "dim")
    return train, test


def _train(out: Path, data: tuple[EventDataset, EventDataset], seed: int, epochs: int | None) -> Trained:
    from snnsim.cli.training import train_seed
    from snnsim.train import load_recipe

    recipe = load_recipe(RECIPE)
    say(f"2. Training, by surrogate gradients through {recipe.data.dt:g} ms steps, {epochs or recipe.train.epochs} epochs.")
    trained = train_seed(recipe, seed, out, data, epochs=epochs, restart=True)
    best = trained.history.best
    say(f"   {trained.seconds:.0f} s; epoch {best.epoch + 1} did best on a part of the training set "
        f"({best.validation_accuracy:.1%}); it has {trained.evaluation.accuracy:.1%} of the held-out digits right", "dim")
    say(f"3. Lowering. The trained net becomes plain data, which needs no torch: {out / 'network.h5'}")
    for note in trained.network.notes:
        say(f"   {note}", "dim")
    return trained


def _simulate(trained: Trained, test: EventDataset) -> Simulation:
    from snnsim.report import simulate

    say("4. Simulation, event by event, of the held-out digits.")
    done = simulate(trained.network, test)
    say(f"   {done.milliseconds:.1f} ms and {sum(done.synaptic.values()) / len(done):,.0f} synaptic events a sample; "
        f"{done.accuracy:.1%} right", "dim")
    return done


def _export(trained: Trained, test: EventDataset, artefact: Path) -> tuple[ExportReport, MatchReport]:
    from snnsim import hardware

    say("5. Export to NIR, which has no soft reset: we allow the loss, and the file records it.")
    exported = hardware.nir.export(trained.network, artefact, allow_lossy=True)
    for text in exported.lossy:
        say(f"   {text}", "dim")
    say("6. Verification. The file is read back and run beside the network, and every spike is compared.")
    match = hardware.verify(artefact, trained.network, test)
    verdict = "not one differs" if match.exact else f"{match.share:.4%} of all that either fired"
    say(f"   {sum(x.equal for x in match.layers):,} spikes equal, {verdict}", "green" if match.exact else "red")
    return exported, match


def _loihi(trained: Trained, data: tuple[EventDataset, EventDataset], artefact: Path) -> LoihiReport:
    from snnsim.cli.samples import spread
    from snnsim.hardware import integer
    from snnsim.hardware.loihi import check, process

    train, test = data
    say(f"7. Export for Loihi, which computes in whole numbers: weights of 8 bits, scales fitted to {FITTED} training samples.")
    model = integer.calibrate(trained.network, [train[i].events for i in spread(train.labels, FITTED)])
    process.write(model, artefact)
    errors = [model.report[q.name]["error"] for q in model.projections]
    say(f"   {artefact} and its arrays beside it; weights are off by {min(errors):.1%} to {max(errors):.1%}", "dim")
    say("8. Verification. The file is read back and run beside what was exported, and beside the network in floats.")
    found = check.check(artefact, model, trained.network, test, [int(x) for x in test.labels])
    said = f"{sum(x.equal for x in found.reread):,} spikes equal, {'not one differs' if found.exact else 'others differ'}"
    say(f"   {said}", "green" if found.exact else "red")
    say(f"   of the spikes in floats {found.quantised.share:.1%} are equal, the others rounding has moved; {found.after:.1%} "
        f"of the digits are right, {found.before:.1%} in floats", "dim")
    return found


def _microjoules(loihi: LoihiReport) -> str:
    low, high = loihi.cost["Loihi 1"].total
    return f"{low / 1e6:,.0f} .. {high / 1e6:,.0f}"


def _commands(out: Path, seed: int, epochs: int | None) -> list[str]:
    options = (f" --epochs {epochs}" if epochs else "") + (f" --seed {seed}" if seed else "")
    folder = Path("runs") / RECIPE / f"seed-{seed}"
    return [f"snnsim demo --out {out}{options}", "", "# or step by step", f"snnsim train {RECIPE}{options}",
            f"snnsim run {folder / 'network.h5'} --data digits-events",
            f"snnsim export {folder / 'network.h5'} network.nir --to nir --allow-lossy",
            f"snnsim verify network.nir --against {folder / 'network.h5'} --data digits-events --limit 360",
            f"snnsim export {folder / 'network.h5'} network.json --to loihi --data digits-events --limit {FITTED}",
            f"snnsim verify network.json --against {folder / 'network.h5'} --data digits-events --limit 360 --no-tools",
            f"snnsim map {folder / 'network.h5'} --data digits-events", "", "# the same file in Lava (make peers-lava)",
            f"snnsim verify network.json --against {folder / 'network.h5'} --data digits-events --limit 4 \\",
            "    --lava .venv-peers/lava/bin/python"]


def _report(path: Path, trained: Trained, data: tuple[EventDataset, EventDataset], done: Simulation,
            exports: tuple[ExportReport, MatchReport, LoihiReport], commands: list[str]) -> None:
    from snnsim.report import write_report

    train, test = data
    exported, match, loihi = exports
    neurons = sum(p.size for p in trained.network.populations[1:])
    summary = (f"A simulated event camera looked at {len(train) + len(test):,} handwritten digits. A spiking net of "
               f"{neurons:,} neurons learned on {len(train):,} of the recordings by surrogate gradients, then ran event by "
               f"event on the {len(test):,} others, which it had never seen, and was exported to NIR and, in whole numbers, "
               "for Loihi. Both files were read back, run, and compared with the net, spike by spike.")
    facts = [("training", f"recipe {RECIPE}, seed {trained.seed}, {len(trained.history.epochs)} epochs, "
                          f"{trained.seconds:.0f} s")]
    write_report(path, network=trained.network, samples=test, simulation=done, history=trained.history, match=match,
                 export=exported, loihi=loihi, title="Handwritten digits, as spikes", summary=summary, commands=commands,
                 facts=facts)
