"""snnsim doctor: what is installed, what is missing, and what a neuron was derived into."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from snnsim.cli.output import dump, say, table


def doctor(
    rule: Annotated[str | None, typer.Option("--rule", help="Print a neuron, such as lif, lif_hard, cuba, li.")] = None,
    surrogate: Annotated[str, typer.Option("--surrogate", help="With --rule: atan, sigmoid, triangle, ...")] = "atan",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is installed, what is missing and the command that adds it; or print a neuron's derived steps.

    Examples: `snnsim doctor`, `snnsim doctor --rule lif`, `snnsim doctor --rule adaptive --surrogate triangle`
    """
    from snnsim import doctor as house

    if rule is not None:
        say(house.explain(rule, surrogate))
        return
    found = house.examine()
    if as_json:
        dump(found.to_dict())
    else:
        _print(found, house.SERVES)
    if any(p.extra == "core" and p.version is None for p in found.packages):
        raise typer.Exit(1)


def _print(found: Any, serves: dict[str, str]) -> None:
    say(f"snnsim {found.snnsim}, Python {found.python}, {found.system}")
    say()
    rows, last = [], ""
    for p in found.packages:
        first = p.extra if p.extra != last else ""
        rows.append((first, p.name, p.version or "missing", p.command or (serves[p.extra] if first else "")))
        last = p.extra
    table(("extra", "package", "version", "what it is for, or the command that adds it"), rows)
    say()
    kept = f"{found.cache} ({'can be written' if found.cache_kept else 'not kept'})"
    table(("", ""), [("cores", str(found.cores)), ("Numba threads", str(found.threads or "Numba is missing")),
                     ("compiled kernels", kept), ("CUDA", found.cuda)])
    say()
    missing = dict.fromkeys(p.command for p in found.packages if p.version is None)
    for problem in found.problems:
        say(f"problem: {problem}", "red")
    if missing:
        say("To add what is missing:", "bold")
        for command in missing:
            say(f"  {command}")
    elif not found.problems:
        say("Everything is there.", "green")
