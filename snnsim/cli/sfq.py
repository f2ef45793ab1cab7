"""snnsim sfq: superconducting single-flux-quantum circuits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table

app = typer.Typer(help="Superconducting single-flux-quantum circuits: sim simulates a deck of Josephson junctions,"
                       "margins says how far it may be off, xor shows one at work.",
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


@app.command()
def margins(
    deck: Annotated[str, typer.Argument(help="A SPICE deck in JoSIM's syntax, or xor-A, xor-B or xor-C.")],
    runs: Annotated[int, typer.Option("--runs", min=0, help="Of the Monte Carlo and of the noise, each.")] = 0,
    sigma: Annotated[float, typer.Option("--sigma", min=0.0, max=0.5, help="Spread of each junction, inductor and "
                                                                           "resistor.")] = 0.05,
    limit: Annotated[float, typer.Option("--limit", min=0.01, max=0.95, help="How far margins are looked for, from 1.")] = 0.6,
    resolution: Annotated[float, typer.Option("--resolution", min=0.001, help="Of the factors.")] = 0.01,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the margins: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """By how much all bias, junctions, inductors, resistors or couplings may be off at once, by bisection; and with --runs the
    share that works with a process spread and with thermal noise.

    A deck works where each junction that it prints switches as often as without a change; an XOR net, where each soma and the
    output decide all four cases. Example: `snnsim sfq margins xor-C --runs 20 --plot margins.png`
    """
    from snnsim.hardware.sfq import margins as measure
    from snnsim.plot.saving import kind_of

    if plot is not None:
        kind_of(plot)
    circuit, works = _working(deck)
    found = measure.margins(circuit, works, limit=limit, resolution=resolution)
    spread = dict.fromkeys(("junctions", "inductors", "resistors"), sigma)
    shares = [measure.monte_carlo(circuit, works, spread, runs=runs, seed=seed),
              measure.thermal(circuit, works, runs=runs, seed=seed)] if runs else []
    if plot is not None:
        from snnsim.plot import margins as draw
        from snnsim.plot import save

        save(draw(found, deck), plot)
    if as_json:
        dump({"deck": deck, "margins": [m.to_dict() for m in found], "shares": [s.to_dict() for s in shares]})
        return
    table(("all at once", ">elements", ">from", ">to"), measure.table(found), f"{deck}: {len(circuit.junctions)} junctions")
    for share in shares:
        say(str(share))
    if plot is not None:
        say(f"{plot} written")


def _working(deck: str) -> tuple[Any, Any]:
    """A circuit, and what says of its switching times whether it works."""
    from snnsim.hardware.sfq import margins as measure
    from snnsim.hardware.sfq.junctions import flatten, read_deck, simulate

    if deck.startswith("xor-"):
        from snnsim.hardware.sfq.analog.run import circuit_of, decisions

        _, laid = _xor(deck.removeprefix("xor-"))
        return circuit_of(laid), lambda switches: decisions(laid, switches).right
    circuit = flatten(read_deck(Path(deck)))
    printed = [p.names[0] for p in circuit.prints if p.kind == "p" and p.names[0] in circuit.junctions]
    if not printed:
        raise ValueError(f"{deck} prints the phase of no junction: add .print p(B..) of those that say whether it works")
    return circuit, measure.same_counts(simulate(circuit, prints=[]).switches, printed)


def _xor(name: str, offsets: Any = 0.0) -> tuple[Any, Any]:
    """The fits, and the deck of the four cases."""
    from snnsim.hardware.sfq.analog.deck import lay_out
    from snnsim.hardware.sfq.analog.fit import fit_network
    from snnsim.hardware.sfq.library import load
    from snnsim.hardware.sfq.xor import CASES, xor, xor_pulses

    net, library = xor(name), load()
    fitted = fit_network(net, library)
    return fitted, lay_out(net, xor_pulses(name, CASES), fitted.somas, library, offsets=offsets)


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

    fitted, laid = _xor(name)
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
