"""snnsim export: a network for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from snnsim.cli.output import say


class Format(StrEnum):
    nir = "nir"


class Encoding(StrEnum):
    unit_r = "unit_r"
    tau_over_dt = "tau_over_dt"


def export(
    network: Annotated[Path, typer.Argument(help="A network file (.h5).")],
    out: Annotated[Path, typer.Argument(help="The file to write, such as net.nir.")],
    to: Annotated[Format, typer.Option("--to", help="The format.")] = Format.nir,
    encoding: Annotated[Encoding, typer.Option("--encoding", help="How NIR holds a decay.")] = Encoding.unit_r,
    allow_lossy: Annotated[bool, typer.Option("--allow-lossy", help="Write it although something is lost.")] = False,
) -> None:
    """Write a network for other tools, and say what their format cannot hold.

    A feature that the format has no word for (NIR: soft reset) is refused, unless you allow the loss; what is lost is then
    recorded in the file.

    Example: `snnsim export net.h5 net.nir --to nir --allow-lossy`, then `snnsim verify net.nir net.h5 --data digits-events`
    """
    from snnsim.hardware import nir
    from snnsim.network_file import load_network

    net = load_network(network)
    try:
        report = nir.export(net, out, encoding=encoding.value, allow_lossy=allow_lossy)
    except ValueError as e:
        raise ValueError(str(e).replace("allow_lossy=True", "--allow-lossy").replace("encoding='", "--encoding '")) from None
    say(str(report))
