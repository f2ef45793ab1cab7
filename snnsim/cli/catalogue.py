"""snnsim data list, and snnsim data check of a data set by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnsim.cli.output import complain, dump, say, table

if TYPE_CHECKING:
    from snnsim.datasets import Sensor
    from snnsim.datasets.catalogue.entries import Entry

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One data set, with all that is known of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_(name: Name = None, as_json: AsJson = False) -> None:
    """List the data sets that load by name: what is in them, their licence, and what must be downloaded.

    Examples: `snnsim data list`, `snnsim data list dvs-gesture`
    """
    from snnsim.datasets import CATALOGUE
    from snnsim.rule import one_of

    if name is not None:
        one_of("name", name, CATALOGUE)
        if as_json:
            dump(_described(CATALOGUE[name]))
        else:
            table(("", ""), list(_described(CATALOGUE[name]).items()))
        return
    if as_json:
        dump([_described(e) for e in CATALOGUE.values()])
        return
    table(("name", "what", ">classes", "recordings", "sensor", "licence", "to download"),
          [(e.name, e.title, str(len(e.classes)), _counts(e), _size(e.sensor), e.licence or ("unknown" if e.page else ""),
            _wanted(e)) for e in CATALOGUE.values()])
    say("\nsnnsim data list NAME says more. All but digits-events, which needs no files, have a twin: synthetic=true.")


def _counts(e: Entry) -> str:
    return " + ".join(f"{n:,}" for n in e.counts.values()) or "unknown"


def _size(s: Sensor) -> str:
    return f"{s.width} channels" if s.height == 1 else f"{s.width} x {s.height} pixels"


def pixels(s: Sensor) -> str:
    """What a sensor sees, in words."""
    return f"{_size(s)}, {s.polarities} {'polarity' if s.polarities == 1 else 'polarities'}"


def _wanted(e: Entry) -> str:
    names = [a.name for a in e.archives if not a.of and not a.inner]
    if not e.page:
        return "nothing"
    return ", ".join(names[:2]) + (f", ... ({len(names)})" if len(names) > 2 else "") if names else "a folder of wav files"


def _described(e: Entry) -> dict[str, str]:
    parts = ", ".join(f"{part} {n:,}" for part, n in e.counts.items()) or "unknown"
    others = [f"as {layout.of} has it: " + ", ".join(f"{part} {n:,}" for part, n in layout.counts.items())
              for layout in e.layouts if layout.of]
    found = {"name": e.name, "what": e.title, "sensor": pixels(e.sensor),
             "recordings": "; ".join([parts, *others]), "classes": ", ".join(e.classes),
             "a recording": f"about {e.events:,} events in {e.duration:g} ms"}
    if e.page:
        found |= {"download from": e.page, "size": e.size or "unknown", "licence": e.licence or "unknown: see the page"}
        for a in e.archives:
            whose = f" ({a.of})" if a.of else " (in the one above)" if a.inner else ""
            found[a.name] = (f"md5 {a.md5}" if a.md5 else "md5 unknown") + whose
        found["to load it"] = f'put {e.needs}; datasets.load("{e.name}", "that/folder")'
    return {**found, "cite": e.citation, **({"note": e.note} if e.note else {})}


def check_set(name: str, folder: Path, quick: bool) -> None:
    """Check a data set in a folder; exit with 1 where it is not as it was released."""
    from snnsim import datasets

    found = datasets.check_set(name, folder, events=not quick)
    table(("", "released", "found"), found.rows)
    for fault in found.faults:
        complain(fault)
    read = "" if quick else f"{found.recordings:,} recordings, {found.events:,} events read; "
    say(f"{read}{len(found.faults) or 'no'} faults", "red" if found.faults else "green")
    if found.faults:
        raise typer.Exit(1)
