"""snnsim export: a network for other tools and for hardware."""

from __future__ import annotations

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


class Encoding(StrEnum):
    unit_r = "unit_r"
    tau_over_dt = "tau_over_dt"
    sinabs = "sinabs"


def export(
    network: Annotated[Path, typer.Argument(help="A network file (.h5).")],
    out: Annotated[Path, typer.Argument(help="The file to write: net.nir, net.net, net.json or net.py.")],
    to: Annotated[Format, typer.Option("--to", help=(
        "nir; netx: lava-dl's .net file; loihi: a description of processes (JSON and HDF5); lava: a script that runs them in "
        "Lava."))] = Format.nir,
    encoding: Annotated[Encoding, typer.Option("--encoding", help="How NIR holds a decay.")] = Encoding.unit_r,
    allow_lossy: Annotated[bool, typer.Option("--allow-lossy", help="Write NIR although something is lost.")] = False,
    bits: Annotated[int, typer.Option("--bits", min=2, max=8, help="Bits of a weight in whole numbers (not NIR).")] = 8,
    data: Annotated[str | None, typer.Option("--data", help="Fit scales and thresholds to training samples of this set "
                                                            "(not NIR).")] = None,
    root: Root = None,
    option: Options = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="So many training samples; the classes take turns.")] = 48,
) -> None:
    """Write a network for other tools and for hardware, and say what their format cannot hold.

    A feature that the format has no word for (NIR: soft reset) is refused, unless you allow the loss; what is lost is then
    recorded in the file. Hardware computes in whole numbers: what that changes is printed, and `snnsim verify` says what it
    costs.

    Examples: `snnsim export net.h5 net.nir --allow-lossy`, `snnsim export net.h5 net.json --to loihi --data digits-events`,
    then `snnsim verify net.json --against net.h5 --data digits-events`
    """
    from snnsim.network_file import load_network

    net = load_network(network)
    if to is Format.nir:
        _nir(net, out, encoding, allow_lossy)
        return
    if out.suffix != (wanted := {"netx": ".net", "loihi": ".json", "lava": ".py"}[to.value]):
        raise typer.BadParameter(f"--to {to.value} writes a file whose name ends in {wanted}, got {out.name}")
    _whole(net, out, to, bits, data, root, option, limit)


def _nir(net: Any, out: Path, encoding: Encoding, allow_lossy: bool) -> None:
    from snnsim.hardware import nir

    try:
        report = nir.export(net, out, encoding=encoding.value, allow_lossy=allow_lossy)
    except ValueError as e:
        raise ValueError(str(e).replace("allow_lossy=True", "--allow-lossy").replace("encoding='", "--encoding '")) from None
    say(str(report))


def _whole(net: Any, out: Path, to: Format, bits: int, data: str | None, root: Path | None, option: list[str] | None,
           limit: int) -> None:
    from snnsim.hardware import integer
    from snnsim.hardware.loihi import netx, process, script

    target = "netx" if to is Format.netx else "loihi2"
    if data is None:
        model = integer.quantize(net, target, bits=bits)
    else:
        train, _ = load(data, root, "--root", parsed(option))
        samples = [train[i].events for i in spread(train.labels, limit)]
        model = integer.calibrate(net, samples, target, bits=bits)
    {Format.netx: netx.write, Format.loihi: process.write, Format.lava: script.write}[to](model, out)
    rows = [(q.name, str(q.bits), q.sign, str(q.exponent), str(q.delay), f"{model.report[q.name]['error']:.2%}",
             f"{model.report[q.name]['clipped']:.2%}", f"{model.report[q.name]['zero']:.2%}") for q in model.projections]
    table(("projection", ">bits", "signs", ">exponent", ">delay", ">error of weights", ">clipped", ">became 0"), rows,
          f"{out}: {len(model.populations) - 1} populations in whole numbers, {model.latency} steps behind the input")
    for text in model.notes:
        say(f"note: {text}", "dim")
