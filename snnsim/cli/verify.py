"""snnsim verify: does an artefact spike as the network did?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table
from snnsim.cli.samples import Data, Options, Root, of_set

RANDOM_SAMPLES, RANDOM_STEPS, RANDOM_SHARE = 20, 50, 0.02


def verify(
    artefact: Annotated[Path, typer.Argument(help="What export wrote, such as net.nir.")],
    network: Annotated[Path, typer.Argument(help="The network file (.h5) that it was made from.")],
    data: Data = None,
    root: Root = None,
    option: Options = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only so many samples; the classes take turns.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an artefact beside its network and compare every spike. Exit code 1 when one differs.

    Without --data the input is random events (seeded), so that any network can be checked.

    Examples: `snnsim verify net.nir net.h5`, `snnsim verify net.nir net.h5 --data digits-events --limit 50`
    """
    if (root is not None or option) and data is None:
        raise typer.BadParameter(f"{'--root' if root is not None else '--option'} belongs to --data: give both, or none")
    from snnsim import hardware
    from snnsim.network_file import load_network

    net = load_network(network)
    samples = _random(net) if data is None else of_set(data, root, limit, option)
    report = hardware.verify(artefact, net, samples)
    if as_json:
        dump(report.to_dict())
    else:
        _print(report, "random events" if data is None else data)
    if not report.exact:
        raise typer.Exit(1)


def _random(net: Any) -> Any:
    """Counts [T, B, *input] of events that are as rare as a camera's, the same in every call."""
    import numpy as np

    steps = net.time.steps or RANDOM_STEPS
    return (np.random.default_rng(0).random((steps, RANDOM_SAMPLES, *net.input.shape)) < RANDOM_SHARE).astype(net.dtype)


def _print(report: Any, inputs: str) -> None:
    table(("population", ">spikes of the network", ">of the artefact", ">equal", ">missing", ">extra", ">share"),
          [(x.name, f"{x.expected:,}", f"{x.found:,}", f"{x.equal:,}", f"{x.missing:,}", f"{x.extra:,}", f"{x.share:.4%}")
           for x in report.layers], f"{report.artefact} on {report.samples} samples of {inputs}, run in {report.ran_in}")
    say(f"predictions equal: {report.predictions_equal} of {report.samples}; scores within {report.score_difference:.1e}")
    if report.divergences:
        ties = sum(d.tie for d in report.divergences)
        say(f"{len(report.divergences)} samples diverge, {ties} of them at a tie; the first: {report.divergences[0]}")
    for text in report.lossy:
        say(f"lossy: {text}", "yellow")
    for text in report.kept:
        say(f"only for snnsim: {text}", "dim")
    say("exact: every spike is equal" if report.exact else "NOT equal", "green" if report.exact else "red")
