"""snnsim sfq: superconducting single-flux-quantum circuits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table
from snnsim.cli.sfq_jitter import jitter
from snnsim.cli.sfq_margins import HELIUM, laid_xor, margins

app = typer.Typer(help="Superconducting single-flux-quantum circuits: sim simulates a deck of Josephson junctions, "
                       "draw shows its cells, margins says how far it may be off, xor shows one at work; jitter says "
                       "which errors a network of pulses makes whose times are not exact.",
                  no_args_is_help=True)
LISTED = 40  # junctions in the table
TIMES = 8  # of one junction in the table
app.command()(margins)
app.command()(jitter)


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


@app.command()
def xor(
    name: Annotated[str, typer.Argument(help="A, B or C.")] = "B",
    ngspice: Annotated[bool, typer.Option("--ngspice", help="Simulate it in ngspice, too.")] = False,
    deck: Annotated[Path | None, typer.Option("--deck", help="Write its deck.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw pulses, currents and slips: .png, .svg or .pdf.")] = None,
) -> None:
    """Exclusive or of Josephson junctions: somas fitted by the solver, the truth table, and by how much each soma decides.

    The four cases are four ticks. Exit code 1 when a soma or the output decides wrongly. Example: `snnsim sfq xor B --ngspice`
    """
    from snnsim.hardware.sfq.analog.fit import pattern_text
    from snnsim.hardware.sfq.analog.run import circuit_of, decisions
    from snnsim.hardware.sfq.junctions import simulate

    fitted, laid = laid_xor(name)
    circuit = circuit_of(laid)
    waves = simulate(circuit)
    told = {"snnsim": decisions(laid, waves.switches)}
    if ngspice:
        from snnsim.interop.ngspice_tool import run_ngspice

        there = run_ngspice(circuit, laid.watched)
        told["ngspice"] = decisions(laid, {n: there.switches(n) for n in laid.watched})
    rows = [(neuron, pattern_text(f.weights, p), "yes" if must else "no", f"{c:.1f}", f"{f.soma.bias:.1f}", f"{m:+.0%}")
            for neuron, f in fitted.named for p, must, c, m in zip(f.patterns, f.must, f.critical, f.margins, strict=True)]
    table(("neuron", "pulses", "fires", ">fires above, uA", ">bias, uA", ">margin"), rows,
          f"XOR net {name}: {len(circuit.junctions)} junctions")
    table(("tick", "x1 x2", *(f">{tool}" for tool in told)),
          [(str(t), x, *(str(d.outputs[t, 0]) for d in told.values())) for t, x in enumerate(("0 0", "0 1", "1 0", "1 1"))])
    for tool, d in told.items():
        say(f"{tool}: {d}", "green" if d.right else "red")
    if deck is not None:
        deck.write_text(laid.text, encoding="utf-8")
    if plot is not None:
        from snnsim.plot import decisions as draw
        from snnsim.plot import save

        save(draw(laid, waves, f"XOR net {name}: 00, 01, 10, 11"), plot)
    for path in filter(None, (deck, plot)):
        say(f"{path} written")
    if not all(d.right for d in told.values()):
        raise typer.Exit(1)


@app.command()
def draw(
    deck: Annotated[Path, typer.Argument(help="A SPICE deck in JoSIM's syntax.")],
    out: Annotated[Path, typer.Argument(help="The picture to write: .png, .svg or .pdf.")],
    of: Annotated[str | None, typer.Option("--of", help="Draw the elements of this subcircuit; else the cells at the top of "
                                                       "the deck.")] = None,
    title: Annotated[str, typer.Option("--title", help="Of the picture.")] = "",
) -> None:
    """Draw a deck: its cells in the order of their pulses, or with --of the elements of one subcircuit.

    Examples: `snnsim sfq draw xor.cir cells.png`, `snnsim sfq draw xor.cir soma.png --of NEURON0`
    """
    from snnsim.hardware.sfq.junctions import read_deck
    from snnsim.plot import cells, elements, save
    from snnsim.plot.saving import kind_of

    kind_of(out)
    read = read_deck(deck)
    if of is not None and of.upper() not in read.subcircuits:
        raise ValueError(f"{deck} has no subcircuit {of!r}, it has {', '.join(read.subcircuits) or 'none'}")
    save(cells(read, title) if of is None else elements(read.subcircuits[of.upper()], title), out)
    say(f"{out} written")


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
    if not compared["equal"]:
        say("times that drift apart come closer in a smaller step of .tran: both have an error of it", "dim")
    rows = [(name, _listed(r["snnsim_ps"]), _listed(r["ngspice_ps"]),
             "another number" if r["apart_ps"] is None else f"{r['apart_ps']:.3f}")
            for name, r in compared["junctions"].items()]
    table(("junction", "snnsim, ps", "ngspice, ps", ">at most apart, ps"), rows)


def _listed(times: Any) -> str:
    return " ".join(f"{t:.2f}" for t in times[:TIMES]) + (" ..." if len(times) > TIMES else "")
