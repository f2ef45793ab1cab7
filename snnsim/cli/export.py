"""snnsim export: a network for other tools and for hardware."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import say, table
from snnsim.cli.samples import Options, Root, load, parsed, spread


class Format(StrEnum):
    nir = "nir"
    netx = "netx"
    loihi = "loihi"
    lava = "lava"
    sfq = "sfq"


class Level(StrEnum):
    cells = "cells"
    junctions = "junctions"


class Form(StrEnum):
    table = "table"
    cells = "cells"


ENDINGS = {".net": Format.netx, ".json": Format.loihi, ".py": Format.lava}


class Encoding(StrEnum):
    unit_r = "unit_r"
    tau_over_dt = "tau_over_dt"
    sinabs = "sinabs"


class Firing(StrEnum):
    above = "above"
    at = "at"


class Pools(StrEnum):
    sum = "sum"
    average = "average"


class Convs(StrEnum):
    two = "2d"
    one = "1d"


FIRINGS = {Firing.above: ">", Firing.at: ">="}


def export(
    network: Annotated[Path, typer.Argument(help="A network file (.h5).")],
    out: Annotated[Path, typer.Argument(help="The file to write: net.nir, net.net, net.json or net.py.")],
    to: Annotated[Format | None, typer.Option("--to", help=(
        "nir; netx: lava-dl's .net file; loihi: a description of processes (JSON and HDF5); lava: a script that runs them in "
        "Lava; sfq: Verilog of superconducting pulse logic (net.json, net.v, net_tb.v, cells.v). By default what the name "
        "ends in: .net, .json (loihi), .py, else nir."))] = None,
    encoding: Annotated[Encoding | None, typer.Option("--encoding", rich_help_panel="NIR", help=(
        "How a decay is held. unit_r, the default: in the weights, for snnTorch, SpikingJelly and Norse; tau_over_dt: beside "
        "weights as they are, for snnTorch and SpikingJelly; sinabs: soft resets, for Sinabs alone."))] = None,
    firing: Annotated[Firing | None, typer.Option("--firing", rich_help_panel="NIR", help=(
        "How the reader compares v with its threshold. above, the default but for sinabs: v > threshold, which is written one "
        "float32 step lower, so that readers of both kinds agree with us; at: v >= threshold, written as it is."))] = None,
    pools: Annotated[Pools | None, typer.Option("--pools", rich_help_panel="NIR", help=(
        "sum, the default: SumPool2d, which all four tools read; average: AvgPool2d, its area in the weights of its chain, for "
        "snnTorch and SpikingJelly."))] = None,
    convs: Annotated[Convs | None, typer.Option("--convs", rich_help_panel="NIR", help=(
        "2d, the default: Conv2d; 1d: convolutions and populations of height 1 as Conv1d and (channels, length), for snnTorch "
        "and SpikingJelly."))] = None,
    allow_lossy: Annotated[bool, typer.Option("--allow-lossy", rich_help_panel="NIR", help=(
        "Write what NIR has no word for otherwise, and record it in the file: a soft reset as a hard one, a modulation not at "
        "all. With --to sfq --level junctions: somas that do not decide as the network does."))] = False,
    bits: Annotated[int | None, typer.Option("--bits", min=2, max=8, rich_help_panel="Whole numbers", help=(
        "Bits of a weight, by default 8."))] = None,
    data: Annotated[str | None, typer.Option("--data", help=(
        "Training samples of this set: digits-events, nmnist or spoken-digits. Whole numbers: scales and thresholds are fitted "
        "to them. SFQ: what the testbench sends."))] = None,
    root: Root = None,
    option: Options = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help=(
        "So many training samples of --data; the classes take turns."))] = 48,
    level: Annotated[Level | None, typer.Option("--level", rich_help_panel="SFQ", help=(
        "Of cells, the default, or of junctions."))] = None,
    form: Annotated[Form | None, typer.Option("--form", rich_help_panel="SFQ", help=(
        "A table a layer, or cell by cell; by default the latter where it is small enough."))] = None,
    burst: Annotated[int | None, typer.Option("--burst", min=1, max=255, rich_help_panel="SFQ", help=(
        "Most pulses of an input in a step, by default 1."))] = None,
    cells: Annotated[Path | None, typer.Option("--cells", rich_help_panel="SFQ", help="A folder of your own cells.")] = None,
    process: Annotated[Path | None, typer.Option("--process", rich_help_panel="SFQ", help=(
        "A process of your own (TOML)."))] = None,
) -> None:
    """Write a network for other tools and for hardware, and say what their format cannot hold.

    A feature that the format has no word for (NIR: soft reset) is refused, unless you allow the loss; what is lost is then
    recorded in the file. Hardware computes in whole numbers: what that changes is printed, and `snnsim verify` says what it
    costs.

    Examples: `snnsim export net.h5 net.nir --allow-lossy`, `snnsim export net.h5 net.json --data digits-events`, then
    `snnsim verify net.json --against net.h5 --data digits-events`
    """
    from snnsim.network_file import load_network

    to = to or ENDINGS.get(out.suffix, Format.nir)
    if out.resolve() == network.resolve():
        raise typer.BadParameter(f"{out.name} is the network itself: give the export another name")
    _checked(to, out, {"--encoding": encoding, "--firing": firing, "--pools": pools, "--convs": convs,
                       "--allow-lossy": (allow_lossy and level is not Level.junctions) or None},
             {"--bits": bits}, {"--level": level, "--form": form, "--burst": burst, "--cells": cells, "--process": process},
             {"--data": data, "--root": root, "--option": option or None})
    net = load_network(network)
    if to is Format.nir:
        _nir(net, out, {"encoding": (encoding or Encoding.unit_r).value, "firing": FIRINGS[firing] if firing else None,
                        "pools": (pools or Pools.sum).value, "convs": (convs or Convs.two).value, "allow_lossy": allow_lossy})
    elif to is Format.sfq:
        counts = None if data is None else _pulses(net, data, root, option, limit)
        if level is Level.junctions:
            _junctions(net, out, {"--form": form, "--burst": burst}, cells, process, counts, allow_lossy)
        else:
            _sfq(net, out, form, burst or 1, cells, process, counts)
    else:
        _whole(net, out, to, bits or 8, data, root, option, limit)
    samples = () if data is None else (f" --data {data}", *([] if root is None else [f" --root {root}"]),
                                       *(f" --option {o}" for o in option or ()))
    say(f"next: snnsim verify {out} --against {network}" + "".join(samples), "dim")


def _checked(to: Format, out: Path, of_nir: dict[str, Any], of_whole: dict[str, Any], of_sfq: dict[str, Any],
             samples: dict[str, Any]) -> None:
    """Wrong usage where a name or an option belongs to another format."""
    wanted = {**{made: ending for ending, made in ENDINGS.items()}, Format.sfq: ".json"}.get(to)
    if wanted is not None and out.suffix != wanted:
        raise typer.BadParameter(f"--to {to.value} writes a file whose name ends in {wanted}, got {out.name}")
    if wanted is None and out.suffix in ENDINGS:
        raise typer.BadParameter(f"a NIR file must not end in {out.suffix}, by which `snnsim verify` knows another format, got "
                                 f"{out.name}")
    kind = {Format.nir: "NIR", Format.sfq: "SFQ"}.get(to, "whole numbers")
    written = f"{out.name} is {'in ' if kind == 'whole numbers' else ''}{kind}"
    for home, given in (("NIR", of_nir), ("whole numbers", of_whole), ("SFQ", of_sfq)):
        for name, value in given.items():
            if value is not None and home != kind:
                raise typer.BadParameter(f"{name} belongs to {home}, and {written}: leave it out")
    for name, value in samples.items():
        if value is not None and to is Format.nir:
            raise typer.BadParameter(f"{name} belongs to whole numbers, and {written}: leave it out")
    if samples["--data"] is None and (samples["--root"] or samples["--option"]):
        raise typer.BadParameter(f"{'--root' if samples['--root'] else '--option'} belongs to --data: give both, or none")


def _pulses(net: Any, data: str, root: Path | None, option: list[str] | None, limit: int) -> Any:
    """Training samples as counts: what the testbench sends."""
    from snnsim.interop.proof import counts_of

    return counts_of(net, _samples(net, data, root, option, limit))


def _samples(net: Any, data: str, root: Path | None, option: list[str] | None, limit: int) -> list[Any]:
    """Events of training samples."""
    from snnsim.report.simulation import require_sensor

    train, _ = load(data, root, "--root", parsed(option))
    require_sensor(net, train)
    return [train[i].events for i in spread(train.labels, limit)]


def _sfq(net: Any, out: Path, form: Form | None, burst: int, cells: Path | None, process: Path | None,
         counts: Any) -> None:
    from snnsim.hardware import sfq
    from snnsim.hardware.sfq.library import load as library

    found = sfq.export(sfq.of_network(net, burst=burst), out, form=None if form is None else form.value,
                       counts=counts, library=library(cells, process))
    say(f"{out}, {out.with_suffix('.v').name}, {out.stem}_tb.v, cells.v")
    say(str(found))


def _junctions(net: Any, out: Path, of_cells: dict[str, Any], cells: Path | None, process: Path | None, counts: Any,
               allow_lossy: bool) -> None:
    from snnsim.hardware import sfq
    from snnsim.hardware.sfq.library import load as library

    for name, value in of_cells.items():
        if value is not None:
            raise typer.BadParameter(f"{name} belongs to --level cells: leave it out")
    pulses = None if counts is None else (counts[:, 0].reshape(len(counts), -1) > 0)
    try:
        fitted = sfq.export_junctions(net, out, pulses=pulses, library=library(cells, process), allow_lossy=allow_lossy)
    except ValueError as e:
        raise ValueError(str(e).replace("allow_lossy=True", "--allow-lossy").replace("level='cells'", "--level cells")
                         ) from None
    say(f"{out}, {out.with_suffix('.cir').name}, {out.stem}.ngspice.cir")
    say(str(fitted))


def _nir(net: Any, out: Path, options: dict[str, Any]) -> None:
    from snnsim.hardware import nir

    try:
        report = nir.export(net, out, **options)
    except ValueError as e:
        raise ValueError(_on_command_line(str(e))) from None
    say(str(report))


def _on_command_line(sentence: str) -> str:
    """A sentence about `nir.export` with its arguments as they are called here."""
    said = sentence.replace("allow_lossy=True", "--allow-lossy")
    for firing, sign in FIRINGS.items():
        said = said.replace(f"'{sign}'", f"'{firing.value}'")
    said = re.sub(r"\b(encoding|pools|convs)='(\w+)'", r"--\1 \2", said)
    return re.sub(r"^(firing|pools|convs) must be '(\w+)' (.*), got '(\w+)'$", r"--\1 must be \2 \3, got \4", said)


def _whole(net: Any, out: Path, to: Format, bits: int, data: str | None, root: Path | None, option: list[str] | None,
           limit: int) -> None:
    from snnsim.hardware import integer
    from snnsim.hardware.loihi import netx, process, script

    target = "netx" if to is Format.netx else "loihi2"
    if data is None:
        model = integer.quantize(net, target, bits=bits)
    else:
        model = integer.calibrate(net, _samples(net, data, root, option, limit), target, bits=bits)
    try:
        {Format.netx: netx.write, Format.loihi: process.write, Format.lava: script.write}[to](model, out)
    except ValueError as e:
        raise ValueError(str(e).replace("write the process description and its script",
                                        "write the process description or its script (--to loihi, --to lava)")) from None
    rows = [(q.name, str(q.bits), q.sign, str(q.exponent), str(q.delay), f"{model.report[q.name]['error']:.2%}",
             f"{model.report[q.name]['clipped']:.2%}", f"{model.report[q.name]['zero']:.2%}") for q in model.projections]
    table(("projection", ">bits", "signs", ">exponent", ">delay", ">error of weights", ">clipped", ">became 0"), rows,
          f"{out}: {len(model.populations) - 1} populations in whole numbers, {model.latency} steps behind the input")
    beside: list[str] = {Format.netx: [], Format.loihi: [".arrays.h5"], Format.lava: [".json", ".arrays.h5"]}[to]
    if beside:
        say(f"{out.name} needs {' and '.join(out.with_suffix(ending).name for ending in beside)}, written beside it", "dim")
    for text in model.notes:
        say(f"note: {text}", "dim")
