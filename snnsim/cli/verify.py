"""snnsim verify: does an artefact do what its network does?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table
from snnsim.cli.samples import Data, Options, Root, of_set

RANDOM_SAMPLES, RANDOM_STEPS, RANDOM_SHARE = 20, 50, 0.02
LEAST_EVENTS, MOST_SHARE = 4, 0.5  # events a step; a small input has no more than one at each of its places in two


def verify(
    artefact: Annotated[Path, typer.Argument(help="What export wrote: net.nir, net.net, net.json or net.py.")],
    against: Annotated[Path, typer.Option("--against", help="The network file (.h5) that it was made from.")],
    data: Data = None,
    root: Root = None,
    option: Options = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only so many samples; the classes take turns.")] = 100,
    tools: Annotated[bool, typer.Option("--tools/--no-tools", help="Run it in all other tools that are installed.")] = True,
    lava: Annotated[Path | None, typer.Option("--lava", help="The Python in which Lava is installed: that of `make "
                                                             "peers-lava`, or else this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page.")] = None,
) -> None:
    """Run an artefact beside its network, here and in the tools that read it, and compare every spike. Exit code 1 when one
    differs, or when Lava fails on it.

    Without --data the input is random events (seeded), so that any network can be checked. What is in whole numbers differs
    from its network by what quantising costs: that is said, and is no error; it must spike in Lava as it does here.

    Examples: `snnsim verify net.nir --against net.h5`, `snnsim verify net.json --against net.h5 --data digits-events`
    """
    if (root is not None or option) and data is None:
        raise typer.BadParameter(f"{'--root' if root is not None else '--option'} belongs to --data: give both, or none")
    from snnsim.interop import prove
    from snnsim.interop.lava_tools import interpreter
    from snnsim.network_file import load_network
    from snnsim.report.simulation import require_sensor

    net = load_network(against)
    samples = _random(net) if data is None else of_set(data, root, limit, option)
    if data is not None:
        require_sensor(net, samples)
    labels = None if data is None else [s.label for s in samples]
    proof = prove(artefact, net, samples, labels, tools=tools, lava=lava or interpreter())
    if html is not None:
        from snnsim.report.proof import write_proof
        write_proof(html, proof, "random events" if data is None else data)
    if as_json:
        dump(proof.to_dict())
    else:
        _print(proof, "random events" if data is None else data)
    if not proof.exact:
        raise typer.Exit(1)


def _random(net: Any) -> Any:
    """Counts [T, B, *input] of events that are as rare as a camera's, but for small inputs; the same in every call."""
    import numpy as np

    steps = net.time.steps or RANDOM_STEPS
    share = max(RANDOM_SHARE, min(MOST_SHARE, LEAST_EVENTS / net.input.size))
    return (np.random.default_rng(0).random((steps, RANDOM_SAMPLES, *net.input.shape)) < share).astype(net.dtype)


def _print(proof: Any, inputs: str) -> None:
    title = f"{proof.artefact} on {proof.samples} samples of {inputs}"
    if proof.quantised is not None:
        _layers(proof.quantised.layers, f"{title}: the network in floats, and in whole numbers here")
    for run in proof.runs:
        if run.report is None:
            hint = "; then name its Python with --lava" if run.tool == "lava" and run.why.startswith("not installed") else ""
            say(f"{run.tool}: {'FAILED' if run.failed else 'not run'}; {run.why}{hint}", "red" if run.failed else "yellow")
            continue
        _layers(run.report.layers, f"{title}, run in {run.tool}",
                "in our executor" if proof.quantised is not None else "spikes of the network")
        _differences(run.report)
    say(f"predictions equal: {proof.predictions_equal} of {proof.samples}"
        + ("" if proof.before is None else f"; accuracy {proof.before:.1%} before, {proof.after:.1%} after"))
    for text in proof.notes:
        say(text, "yellow" if text.startswith("lossy") else "dim")
    ran = [r.tool for r in proof.runs if r.report is not None]
    failed = [r.tool for r in proof.runs if r.failed]
    if failed:
        say(f"NOT verified: {', '.join(failed)} could not run it", "red")
    elif not ran:
        say("nothing ran it but our executor", "yellow")
    else:
        wrong = [r.report for r in proof.runs if r.report is not None and not r.report.exact]
        said = (f"exact: every spike is equal in {'; '.join(ran)}" if not wrong else
                "equal, but with faults" if all(getattr(r, "faults", ()) and r.share == 1 for r in wrong) else "NOT equal")
        say(said, "green" if proof.exact else "red")


def _differences(report: Any) -> None:
    if hasattr(report, "states"):
        say(f"{report.states_equal:,} of {report.states:,} values of u and v equal")
        if report.divergence is not None:
            say(f"the first difference: {report.divergence}")
        return
    for text in report.faults:
        say(text, "red")
    if report.divergences:
        ties = sum(d.tie for d in report.divergences)
        say(f"{len(report.divergences)} samples diverge, {ties} of them at a tie; the first: {report.divergences[0]}")


def _layers(layers: Any, title: str, expected: str = "spikes of the network") -> None:
    table(("population", f">{expected}", ">of the artefact", ">equal", ">missing", ">extra", ">share"),
          [(x.name, f"{x.expected:,}", f"{x.found:,}", f"{x.equal:,}", f"{x.missing:,}", f"{x.extra:,}", f"{x.share:.4%}")
           for x in layers], title)
