"""snnsim run: a network on event files or a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnsim.cli.output import dump, say, table
from snnsim.cli.samples import Data, Limit, Root, choose

if TYPE_CHECKING:
    from snnsim.network import Network
    from snnsim.report import Simulation

SHOWN = 20  # samples that get a line of their own


class Mode(StrEnum):
    event = "event"
    clock = "clock"


def run(
    network: Annotated[Path, typer.Argument(help="A network file (.h5) that train or save_network wrote.")],
    files: Annotated[list[Path] | None, typer.Argument(help="Event files (N-MNIST .bin).")] = None,
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    mode: Annotated[Mode, typer.Option("--mode", help="Update what spikes touch, or everything. Same spikes.")] = Mode.event,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="By default one a core. Same spikes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every sample.")] = False,
) -> None:
    """Simulate a network and print predictions, spikes of each layer and synaptic events. Needs no torch.

    Examples: `snnsim run net.h5 --data digits-events --limit 20`, `snnsim run net.h5 --data nmnist --root ~/N-MNIST`,
    `snnsim run net.h5 00003.bin 00012.bin`
    """
    from snnsim.network_file import load_network
    from snnsim.report import simulate

    samples = choose(files or [], data, root, limit)
    net = load_network(network)
    done = simulate(net, samples, mode=mode.value, threads=threads)
    if as_json:
        dump({"network": str(network), **done.to_dict(), "classes": list(net.classes)})
        return
    _samples(done, net)
    _totals(done, net)


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
             ("neurons updated every step", f"{done.ticked:.1%}"), ("neuron updates done", f"{done.updates:.1%}"),
             ("time a sample", f"{done.milliseconds:.2f} ms ({done.mode}-driven)")]
    table(("", ""), rows)
