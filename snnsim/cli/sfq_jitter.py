"""snnsim sfq jitter: errors of a network of pulses whose times are not exact."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table
from snnsim.cli.samples import Data, Options, Root, of_set

SIGMAS = (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)  # ps
REPEATS = 200  # of the four cases of an XOR net


def jitter(
    network: Annotated[str, typer.Argument(help="A network file (.h5) of counters, the folder of a seed that `snnsim train "
                                                "sfq/..` left, or xor-A, xor-B or xor-C.")],
    sigma: Annotated[list[float] | None, typer.Option("--sigma", min=0.0, metavar="PS", help=(
        "Standard deviation of each pulse's time; give it again for more. By default 0.2 ps and more, as far as the period "
        "allows."))] = None,
    data: Data = None,
    root: Root = None,
    option: Options = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only so many samples; the classes take turns.")] = 100,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="So many draws of every pulse's time.")] = 3,
    spacing: Annotated[float, typer.Option("--spacing", min=0.1, metavar="PS", help="Between the pulses of a source.")] = 8.0,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw errors against jitter: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bit errors and wrong decisions of a network of pulses, in time slots, against the jitter of their times; and the largest
    jitter without an error.

    Wrong is what differs from the same network without jitter. Examples: `snnsim sfq jitter xor-B --plot jitter.png`,
    `snnsim sfq jitter runs/sfq/digits/seed-0`
    """
    from snnsim.hardware import sfq
    from snnsim.hardware.sfq.pulse_kernels import LARGEST
    from snnsim.plot.saving import kind_of
    from snnsim.progress import bar

    if plot is not None:
        kind_of(plot)
    net, events, labels = _samples(network, data, root, option, limit)
    schedule = sfq.slotted(net, spacing=spacing)
    sigmas = sigma or [s for s in SIGMAS if LARGEST * s < schedule.period]
    with bar(len(sigmas) + 1, network) as b:
        rows = []
        for s in sigmas:
            rows += sfq.sweep(net, events, [s], labels=labels, schedule=schedule, seeds=seeds)
            b.advance()
        free = sfq.margin(net, events, schedule=schedule, seeds=seeds)
        b.advance()
    decides = net.layers[-1].size > 1
    if plot is not None:
        from snnsim.plot import jitter as draw
        from snnsim.plot import save

        save(draw(rows, f"{network}: period {schedule.period:g} ps, no error up to {free:.2f} ps", decides=decides), plot)
    if as_json:
        dump({"network": network, "period_ps": schedule.period, "error_free_ps": free,
              "rows": [r.to_dict(decides=decides) for r in rows]})
        return
    _print(f"{network}: {rows[0].decisions // seeds:,} samples x {seeds} draws, {rows[0].pulses:,} pulses, period "
           f"{schedule.period:g} ps", rows, decides)
    say(f"no spike is wrong up to {free:.2f} ps")
    if plot is not None:
        say(f"{plot} written")


def _print(title: str, rows: list[Any], decides: bool) -> None:
    headings = [">jitter, ps", ">pulses lost", ">late", ">wrong spikes", ">bit error", "95 % of it"]
    cells = [[f"{r.sigma:g}", f"{r.lost:,}", f"{r.late:,}", f"{r.wrong_spikes:,}", f"{r.bit_error:.2e}",
              f"{r.bit_low:.1e} .. {r.bit_high:.1e}"] for r in rows]
    if decides:
        headings += [">wrong decisions", "95 % of it"]
        for c, r in zip(cells, rows, strict=True):
            c += [f"{r.wrong:,} ({r.wrong_share:.1%})", f"{r.wrong_low:.1%} .. {r.wrong_high:.1%}"]
    if decides and not math.isnan(rows[0].accuracy):
        headings.append(">accuracy")
        for c, r in zip(cells, rows, strict=True):
            c.append(f"{r.accuracy:.1%}")
    table(headings, cells, title)


def _samples(network: str, data: str | None, root: Path | None, option: list[str] | None, limit: int) -> tuple[Any, Any, Any]:
    """The network, its events, and labels where they are known."""
    import numpy as np

    from snnsim.cli.samples import spread
    from snnsim.hardware import sfq
    from snnsim.hardware.sfq.xor import CASES
    from snnsim.network_file import load_network

    folder = Path(network).is_dir()
    if (folder or network.startswith("xor-")) and (data or root or option):
        raise typer.BadParameter("--data, --root and --option belong to a network file: a folder names its data, an XOR net "
                                 "has its four cases")
    if network.startswith("xor-"):
        name = network.removeprefix("xor-")
        net = sfq.xor(name)
        return net, np.repeat(sfq.xor_pulses(name, CASES)[:, None], REPEATS, 1), None
    if folder:
        net, test = sfq.of_run(network)
        chosen: Any = test[spread(test.labels, limit)]
    else:
        net = sfq.of_network(load_network(network))
        if data is None:
            raise typer.BadParameter("a network file needs samples: give --data, and --option as it was trained with")
        chosen = of_set(data, root, limit, option)
    return net, [r.events for r in chosen], [r.label for r in chosen]
