"""snnsim sfq margins: how far a circuit of junctions may be off."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table

HELIUM = 4.2  # K
SIGMAS = (0.01, 0.02, 0.05)
SPREAD = ("junctions", "inductors", "resistors")


def margins(
    deck: Annotated[str, typer.Argument(help="A SPICE deck in JoSIM's syntax, or xor-A, xor-B or xor-C.")],
    runs: Annotated[int, typer.Option("--runs", min=0, help="Of the Monte Carlo, for each spread.")] = 0,
    sigma: Annotated[list[float] | None, typer.Option("--sigma", min=0.0, max=0.5, help=(
        "Of --runs: spread of each junction, inductor and resistor, as a part of 1; give it again for more. By default 0.01, "
        "0.02 and 0.05."))] = None,
    noise: Annotated[bool, typer.Option("--noise", help="Of --runs: again with thermal noise, and with it alone.")] = False,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0.01, help="Of --noise, K; by default 4.2.")] = None,
    timing: Annotated[float, typer.Option("--timing", min=0.0, metavar="PS", help=(
        "How far the pulses of each input are moved, earlier and later, all of them at once; 0: not at all."))] = 0.0,
    limit: Annotated[float, typer.Option("--limit", min=0.01, max=0.95, help="How far margins are looked for, from 1.")] = 0.6,
    resolution: Annotated[float, typer.Option("--resolution", min=0.001, help="Of the factors.")] = 0.01,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw margins, windows and yield: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """By how much all bias, junctions, inductors, resistors or couplings may be off at once, by bisection; with --timing, how
    early and late the pulses of each input may come; and with --runs the share that works with a process spread.

    A deck works where each junction that it prints switches as often as without a change; an XOR net, where each soma and the
    output decide all four cases. Examples: `snnsim sfq margins xor-C --timing 450 --plot margins.png`,
    `snnsim sfq margins xor-C --runs 100 --noise`
    """
    from snnsim.hardware.sfq import margins as measure
    from snnsim.plot.saving import kind_of
    from snnsim.progress import bar

    for name, given in (("--sigma", sigma), ("--noise", noise)):
        if given and not runs:
            raise typer.BadParameter(f"{name} belongs to --runs, which says how often: give both, or none")
    if temperature is not None and not noise:
        raise typer.BadParameter("--temperature belongs to --noise: give both, or none")
    if plot is not None:
        kind_of(plot)
    circuit, works, groups, sources = working(deck)
    kelvins = (0.0, HELIUM if temperature is None else temperature) if noise else (0.0,)
    points = [(s, k) for k in kelvins for s in dict.fromkeys((*((0.0,) if k else ()), *(sigma or SIGMAS)))] if runs else []
    bisections = 2 * len(groups) * (1 + math.ceil(math.log2(max(2.0, limit / resolution)))) + 1
    bisections += 2 * len(sources or circuit.of("VI")) * (1 + math.ceil(math.log2(timing + 2))) + 1 if timing else 0
    with bar(bisections + runs * len(points), deck) as b:
        def told(switches: Any) -> bool:
            b.advance()
            return works(switches)

        found = measure.margins(circuit, told, groups, limit=limit, resolution=resolution)
        windows = measure.timing(circuit, told, sources, reach=timing) if timing else []
        shares = [measure.monte_carlo(circuit, told, dict.fromkeys(SPREAD, s), kelvin=k, runs=runs, seed=seed)
                  for s, k in points]
    if plot is not None:
        from snnsim.plot import margins as draw
        from snnsim.plot import save

        save(draw(found, deck, shares=shares, windows=windows), plot)
    if as_json:
        dump({"deck": deck, "margins": [m.to_dict() for m in found], "timing": [w.to_dict() for w in windows],
              "shares": [s.to_dict() for s in shares]})
        return
    _print(f"{deck}: {len(circuit.junctions)} junctions", measure.table(found), windows, shares)
    if plot is not None:
        say(f"{plot} written")


def _print(title: str, found: list[tuple[str, str, str, str]], windows: list[Any], shares: list[Any]) -> None:
    table(("all at once", ">elements", ">from", ">to"), found, title)
    if windows:
        table(("pulses of", ">pulses", ">earlier, ps", ">later, ps"),
              [(w.source, str(w.pulses), *(f"{ps:.0f}" + ("" if b else " or more") for ps, b in
                                           zip((w.earlier, w.later), w.bounded, strict=True))) for w in windows],
              "all pulses of one input at once")
    if shares:
        table((">spread", ">noise", ">right", ">runs", ">yield", "95 % of it"),
              [(f"{100 * s.sigma:g} %", f"{s.kelvin:g} K" if s.kelvin else "none", str(s.right), str(s.runs),
                f"{s.right / s.runs:.0%}", f"{s.low:.0%} .. {s.high:.0%}") for s in shares],
              "each element off by a factor of its own")


def working(deck: str) -> tuple[Any, Callable[[Any], bool], dict[str, tuple[str, ...]], list[str] | None]:
    """A circuit, what says of its switching times whether it works, groups of elements, and its inputs where they are known."""
    from snnsim.hardware.sfq import margins as measure
    from snnsim.hardware.sfq.junctions import flatten, read_deck, simulate

    if deck.startswith("xor-"):
        from snnsim.hardware.sfq.analog.run import circuit_of, decisions

        _, laid = laid_xor(deck.removeprefix("xor-"))
        circuit = circuit_of(laid)
        return (circuit, lambda switches: decisions(laid, switches).right,
                {"bias of somas": tuple(n.replace(".", "|") for n in laid.biases), **measure.classes(circuit)},
                [f"VIN{j}" for j in range(laid.network.inputs)])
    circuit = flatten(read_deck(Path(deck)))
    printed = [p.names[0] for p in circuit.prints if p.kind == "p" and p.names[0] in circuit.junctions]
    if not printed:
        raise ValueError(f"{deck} prints the phase of no junction: add .print p(B..) of those that say whether it works")
    switches = simulate(circuit, prints=[], temperature=0.0).switches
    return circuit, measure.same_counts(switches, printed), measure.classes(circuit), None


def laid_xor(name: str, offsets: Any = 0.0) -> tuple[Any, Any]:
    """The fits of an XOR net, and the deck of the four cases."""
    from snnsim.hardware.sfq.analog.deck import lay_out
    from snnsim.hardware.sfq.analog.fit import fit_network
    from snnsim.hardware.sfq.library import load
    from snnsim.hardware.sfq.xor import CASES, xor, xor_pulses

    net, library = xor(name), load()
    fitted = fit_network(net, library)
    return fitted, lay_out(net, xor_pulses(name, CASES), fitted.somas, library, offsets=offsets)
