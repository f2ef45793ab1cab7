"""snnsim run: a network of populations through time, or a trained one on event files or a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnsim.cli import populations
from snnsim.cli.output import dump, say, table
from snnsim.cli.samples import Data, Limit, Options, Root, choose

if TYPE_CHECKING:
    from snnsim.network import Network
    from snnsim.report import Simulation

SHOWN = 20  # samples that get a line of their own


class Mode(StrEnum):
    event = "event"
    clock = "clock"


class Streamed(StrEnum):
    raise_ = "raise"
    drop = "drop"


class Precision(StrEnum):
    single = "single"
    double = "double"
    packed = "packed"


POPULATIONS, TRAINED = "Networks of populations", "Trained networks"
OF = {POPULATIONS: ("duration", "precision", "out", "raster", "save", "resume"),
      TRAINED: ("events", "order", "root", "option", "limit", "mode")}


def run(
    context: typer.Context,
    network: Annotated[Path, typer.Argument(help="A description (.toml, .py) or a network file (.h5).")],
    files: Annotated[list[Path] | None, typer.Argument(help="Event files (N-MNIST .bin), for a trained network.")] = None,
    data: Data = None,
    events: Annotated[Path | None, typer.Option("--events", metavar="FILE", rich_help_panel=TRAINED, help=(
        "One event file of any format and length, read while the network runs: memory does not grow with it."))] = None,
    order: Annotated[Streamed, typer.Option("--order", rich_help_panel=TRAINED, help=(
        "With --events, times that run backwards: raise an error, or drop the late events."))] = Streamed.raise_,
    root: Root = None,
    option: Options = None,
    limit: Limit = None,
    mode: Annotated[Mode, typer.Option("--mode", help="Update what spikes touch, or everything. Same spikes.",
                                       rich_help_panel=TRAINED)] = Mode.event,
    duration: Annotated[float | None, typer.Option("--duration", metavar="MS", rich_help_panel=POPULATIONS, help=(
        "By default what the description says, or 1000."))] = None,
    precision: Annotated[Precision | None, typer.Option("--precision", rich_help_panel=POPULATIONS, help=(
        "32 bits, 64 bits, or weights in 16 bits that take a third of the memory less."), show_default="single")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the recording (.h5).", rich_help_panel=POPULATIONS)] = None,
    raster: Annotated[Path | None, typer.Option("--raster", rich_help_panel=POPULATIONS, help=(
        "Draw the spikes and rates (.png, .svg, .pdf)."))] = None,
    save: Annotated[Path | None, typer.Option("--save", rich_help_panel=POPULATIONS, help=(
        "Keep where the simulation stands at the end (.h5)."))] = None,
    resume: Annotated[Path | None, typer.Option("--resume", rich_help_panel=POPULATIONS, help=(
        "Go on, bit for bit, where a saved simulation of this network stopped."))] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="By default one a core. Same spikes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every sample or population.")] = False,
) -> None:
    """Simulate a network: populations through time, or a trained network on events. Needs no torch.

    **Populations** are described in a TOML file (`python -m pydoc snnsim.description` explains it), or in a Python file that
    assigns a Network to `network` and, if you like, `duration`, `record` and `traces`. Printed are the memory needed and,
    after a short trial, the time; then rates, the irregularity of the spikes, and the speed.

    Examples: `snnsim run net.toml`, `snnsim run net.toml --duration 10000 --out recording.h5 --raster raster.png`,
    `snnsim run net.py --save half.h5`, then `snnsim run net.py --resume half.h5`

    **Trained networks** give predictions, spikes of each layer and synaptic events.

    Examples: `snnsim run net.h5 --data digits-events --limit 20`, `snnsim run net.h5 --data nmnist --root ~/N-MNIST`,
    `snnsim run net.h5 00003.bin 00012.bin`, `snnsim run net.h5 --events hours.raw`
    """
    kind = TRAINED if files or data or events else POPULATIONS if populations.describes_populations(network) else TRAINED
    _refuse_options(context, network, kind)
    if kind == POPULATIONS:
        populations.simulate(network, duration, threads, precision.value if precision else None, out, raster, save, resume,
                             as_json)
        return
    from snnsim.network_file import load_network
    from snnsim.report import simulate, simulate_file

    if events is None and order is not Streamed.raise_:
        raise typer.BadParameter("--order belongs to --events: give both, or leave it out")
    if events is not None:
        if files or data or root or limit or option or threads:
            raise typer.BadParameter("--events takes one recording, in one thread: leave out other files, --data, --root, "
                                     "--limit, --option and --threads")
        net = load_network(network)
        done = simulate_file(net, events, mode=mode.value, order=order.value)
    else:
        samples = choose(files or [], data, root, limit, option)
        net = load_network(network)
        done = simulate(net, samples, mode=mode.value, threads=threads)
    if as_json:
        dump({"network": str(network), **done.to_dict(), "classes": list(net.classes)})
        return
    _samples(done, net)
    _totals(done, net)


def _refuse_options(context: typer.Context, network: Path, kind: str) -> None:
    """Wrong usage where an option is given that means nothing for this kind of network."""
    for other in OF.keys() - {kind}:
        for name in OF[other]:
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(f"--{name} is for {other.lower()}: {network} is run as one of the "
                                         f"{kind.lower()}")


def _samples(done: Simulation, net: Network) -> None:
    names = net.classes or tuple(map(str, range(net.population(net.output).size)))
    firing = list(done.counts)
    known = done.labelled
    folder = _folder(done.sources)
    if folder:
        say(f"files in {folder}")
    rows = []
    for i in range(min(len(done), SHOWN)):
        label = [names[int(done.labels[i])]] if known else []
        source = os.path.relpath(done.sources[i], folder) if folder else done.sources[i] or str(i)
        rows.append((source, *label, names[int(done.predictions[i])], f"{done.events[i]:,}",
                     *[f"{done.counts[n][i]:,}" for n in firing]))
    table(("sample", *(["label"] if known else []), "prediction", ">events", *[f">spikes of {n}" for n in firing]), rows)
    if len(done) > SHOWN:
        say(f"... and {len(done) - SHOWN:,} more (--json lists all)")
    say()


def _folder(sources: Sequence[str]) -> str:
    """The folder that holds all the files, so that the table need not repeat it; empty where they are not files."""
    if not all(os.path.isabs(s) for s in sources):
        return ""
    return os.path.commonpath([os.path.dirname(s) for s in sources])


def _totals(done: Simulation, net: Network) -> None:
    n = len(done)
    rows = [("samples", f"{n:,}")]
    if done.labelled:
        rows.append(("accuracy", f"{done.accuracy:.2%} ({done.correct:,} of {n:,})"))
    for name, counts in done.counts.items():
        rows.append((f"spikes of {name} a sample", f"{counts.mean():,.1f} by {net.population(name).size:,} neurons"))
    rows += [(f"synaptic events of {name} a sample", f"{total / n:,.1f}") for name, total in done.synaptic.items()]
    rows += [("synaptic events a sample", f"{sum(done.synaptic.values()) / n:,.1f}"),
             *((f"neurons of {p.name} that fire at rest", f"{int(p.spontaneous.sum()):,}") for p in net.populations
               if p.spontaneous.any()),
             ("neurons updated every step", f"{done.ticked:.1%}"), ("neuron updates done", f"{done.updates:.1%}"),
             ("time a sample", f"{done.milliseconds:.2f} ms ({done.mode}-driven)"),
             ("events a second", f"{done.events.sum() / done.seconds:,.0f}")]
    table(("", ""), rows)
