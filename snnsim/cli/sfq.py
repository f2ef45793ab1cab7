"""snnsim sfq: superconducting single-flux-quantum circuits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table

app = typer.Typer(help="Superconducting single-flux-quantum circuits: sim simulates a deck of Josephson junctions.",
                  no_args_is_help=True)
LISTED = 40  # junctions in the table
TIMES = 8  # of one junction in the table
HELIUM = 4.2  # K


@app.command()
def sim(
    deck: Annotated[Path, typer.Argument(help="A SPICE deck in JoSIM's syntax.")],
    noise: Annotated[bool, typer.Option("--noise", help="With the thermal noise of its resistors and junctions.")] = False,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0.0, help="Of --noise, K; by default the deck's "
                                                                                    ".temp, or 4.2.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the noise.")] = 0,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the waveforms: .h5 or .csv.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw what is printed: .png, .svg or .pdf.")] = None,
    ngspice: Annotated[bool, typer.Option("--ngspice", help="Simulate it in ngspice, too, and compare.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a deck of Josephson junctions, and list when each junction switches by a turn of 2 pi.

    The deck says how long and what to record (.tran, .print). Exit code 1 with --ngspice when a junction switches another
    number of times there, or more than 0.2 ps away.

    Examples: `snnsim sfq sim xor.cir`, `snnsim sfq sim xor.cir --noise --seed 3 --out waves.h5 --plot waves.png`
    """
    if temperature is not None and not noise:
        raise typer.BadParameter("--temperature belongs to --noise: give both, or none")
    if noise and ngspice:
        raise typer.BadParameter("--ngspice compares runs without --noise: give one of them")
    if out is not None and out.suffix not in (".h5", ".csv"):
        raise typer.BadParameter(f"--out must end in .h5 or .csv, got {out}")
    from snnsim.hardware.sfq.junctions import flatten, read_deck, save_waveforms, simulate, write_csv
    from snnsim.plot.saving import kind_of

    if plot is not None:
        kind_of(plot)
    circuit = flatten(read_deck(deck))
    kelvin = (temperature if temperature is not None else circuit.temperature or HELIUM) if noise else 0.0
    found = _simulated(simulate, circuit, kelvin, seed)
    if out is not None:
        (write_csv if out.suffix == ".csv" else save_waveforms)(found, out)
    if plot is not None:
        from snnsim.plot import save, waveforms

        save(waveforms(found), plot)
    compared = _compared(circuit, found) if ngspice else None
    if as_json:
        dump({**found.to_dict(), "ngspice": compared})
    else:
        _print(found, deck)
        _print_compared(compared)
        for path in filter(None, (out, plot)):
            say(f"{path} written")
    if compared is not None and not compared["equal"]:
        raise typer.Exit(1)


def _simulated(simulate: Any, circuit: Any, kelvin: float, seed: int) -> Any:
    from snnsim.progress import bar

    with bar(100, f"simulating {circuit.name}") as b:
        shown = 0

        def progress(done: int, steps: int) -> None:
            nonlocal shown
            b.advance(100 * done // steps - shown)
            shown = 100 * done // steps

        return simulate(circuit, temperature=kelvin, seed=seed, progress=progress)


def _compared(circuit: Any, found: Any, tolerance_ps: float = 0.2) -> dict[str, Any]:
    """Switching times of the printed junctions in ngspice, ps, and how far they lie from ours."""
    import numpy as np

    from snnsim.interop.ngspice_tool import run_ngspice

    try:
        theirs = run_ngspice(circuit, step=found.step)
    except RuntimeError as e:
        raise ValueError(str(e)) from None
    rows: dict[str, Any] = {}
    for name in theirs.phases:
        ours, there = 1e12 * found.switches[name], 1e12 * theirs.switches(name)
        apart = float(np.abs(ours - there).max(initial=0.0)) if len(ours) == len(there) else None
        rows[name] = {"snnsim_ps": ours.tolist(), "ngspice_ps": there.tolist(), "apart_ps": apart}
    equal = all(r["apart_ps"] is not None and r["apart_ps"] <= tolerance_ps for r in rows.values())
    return {"junctions": rows, "tolerance_ps": tolerance_ps, "equal": equal, "cpu_s": theirs.cpu_s}


def _print(found: Any, deck: Path) -> None:
    switched = [(name, times) for name, times in found.switches if len(times)]
    count = len(found.switches.junctions)
    heading = f"{deck}: {count} junctions, {found.unknowns} unknowns, {found.steps} steps of {1e12 * found.step:g} ps"
    if found.temperature:
        heading += f", {found.temperature:g} K, seed {found.seed}"
    say(heading, "bold")
    table(("junction", ">switched", "at, ps"),
          [(name, str(len(times)), _listed(1e12 * times)) for name, times in switched[:LISTED]])
    if len(switched) > LISTED:
        say(f"and {len(switched) - LISTED} more junctions: --json lists all", "dim")
    if count > len(switched):
        say(f"{count - len(switched)} of {count} junctions did not switch", "dim")
    if found.switches.backwards:
        say(f"{found.switches.backwards} switches were backwards, by -2 pi", "dim")
    for warning in found.warnings[:LISTED]:
        say(warning, "dim")


def _print_compared(compared: dict[str, Any] | None) -> None:
    if compared is None:
        return
    say(f"ngspice {'agrees' if compared['equal'] else 'differs'}, to {compared['tolerance_ps']:g} ps", "bold")
    rows = [(name, _listed(r["snnsim_ps"]), _listed(r["ngspice_ps"]),
             "another number" if r["apart_ps"] is None else f"{r['apart_ps']:.3f}")
            for name, r in compared["junctions"].items()]
    table(("junction", "snnsim, ps", "ngspice, ps", ">at most apart, ps"), rows)


def _listed(times: Any) -> str:
    return " ".join(f"{t:.2f}" for t in times[:TIMES]) + (" ..." if len(times) > TIMES else "")
