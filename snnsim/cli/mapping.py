"""snnsim map: where a network would lie on a chip, whether it fits, and what it would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table
from snnsim.cli.samples import Data, Options, Root, of_set


def map_(
    network: Annotated[Path, typer.Argument(help="A network file (.h5).")],
    bits: Annotated[int, typer.Option("--bits", min=2, max=8, help="Of a weight.")] = 8,
    limits: Annotated[Path | None, typer.Option("--limits", help="Limits of the chip (.toml), those that differ.")] = None,
    data: Data = None,
    root: Root = None,
    option: Options = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only so many samples; the classes take turns.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Quantise a network, place it on the cores of a Loihi, and say what does not fit and what could help.

    With --data it runs on samples, and an estimate of energy and time is printed, as ranges with what they rest on. Exit code 1
    when a limit is passed. A limits file holds lines such as `neurons_per_core = 1024` or `chips = "none"`.

    Examples: `snnsim map net.h5`, `snnsim map net.h5 --bits 4 --data digits-events`
    """
    if (root is not None or option) and data is None:
        raise typer.BadParameter(f"{'--root' if root is not None else '--option'} belongs to --data: give both, or none")
    from snnsim.hardware import energy, integer, mapping
    from snnsim.network_file import load_network

    chip = mapping.LoihiLimits.read(limits) if limits else mapping.LoihiLimits()
    model = integer.quantize(load_network(network), bits=bits)
    found = mapping.place(model, chip)
    cost = energy.estimate(model, [r.events for r in of_set(data, root, limit, option)], found) if data else None
    if as_json:
        dump({**found.to_dict(), "energy": cost.to_dict() if cost else None})
    else:
        _print(found, f"{network} at {bits} bits")
        if cost:
            say(str(cost))
    if not found.fits:
        raise typer.Exit(1)


def _print(found: Any, title: str) -> None:
    rows = found.rows()
    numbers = ("neurons", "cores", "neurons_per_core", "synapse_bytes_per_core", "input_axons", "output_axons")
    table(("population", ">neurons", ">cores", ">neurons a core", ">synapse bytes", ">input axons", ">output axons",
           "filled by"), [(name, *(f"{r[k]:,}" for k in numbers), ", ".join(r["filled_by"])) for name, r in rows.items()],
          f"{title}: {str(found).splitlines()[0]}; of a core the most")
    table(("limit", ">value", "source", "how sure"),
          [(name, "-" if x["value"] == "none" else f"{x['value']:,}", x["source"], x["trust"])
           for name, x in found.limits.to_dict().items()])
    for misfit in found.misfits:
        say(f"does not fit: {misfit}", "red")
    say(str(found).splitlines()[-1], "dim")
