"""Are the files of a data set those that its authors released? Checksums of archives, counts of parts, and every event."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snnsim.datasets.catalogue.entries import ENTRIES, Entry, Parts
from snnsim.datasets.catalogue.finding import archives, find
from snnsim.datasets.spoken import spoken_digits
from snnsim.progress import bar
from snnsim.rule import one_of

BLOCK = 2**20


@dataclass(frozen=True)
class Checked:
    """What was found. rows: (what, expected, found) for people. faults: a sentence each; none where all is as released.

    recordings, events: how many were read.
    """

    rows: tuple[tuple[str, str, str], ...]
    faults: tuple[str, ...]
    recordings: int = 0
    events: int = 0


def check_set(name: str, root: str | os.PathLike[str], events: bool = True, progress: bool | None = None) -> Checked:
    """Check the files of a data set in a folder against what its catalogue entry knows.

    Archives that lie there have their checksum, each part as many recordings and classes as was released, and, with `events`,
    every recording can be read. What is packed is unpacked, unless its checksum is wrong. Errors: ValueError for an unknown
    name; FileNotFoundError that says what to download.
    """
    one_of("name", name, [n for n, e in ENTRIES.items() if e.page])
    entry, folder = ENTRIES[name], Path(root)
    rows, faults = _archives(entry, folder, progress) if folder.is_dir() else ([], [])
    if faults:
        return Checked(tuple(rows), tuple(faults))
    found, counts = _parts(entry, folder)
    for part, dataset in found.items():
        expected = counts.get(part)
        rows.append((part, "unknown" if expected is None else f"{expected:,} recordings", f"{len(dataset):,} recordings"))
        if expected not in (None, len(dataset)):
            faults.append(f"{part} has {len(dataset):,} recordings, {expected:,} were released")
    classes = len(next(iter(found.values())).classes)
    rows.append(("classes", f"{len(entry.classes)}", f"{classes}"))
    if classes != len(entry.classes):
        faults.append(f"there are {classes} classes, {len(entry.classes)} were released")
    read = (0, 0)
    if events:
        read = _events(found, faults, progress)
    return Checked(tuple(rows), tuple(faults), *read)


def _parts(entry: Entry, folder: Path) -> tuple[Parts, Mapping[str, int]]:
    """The parts, and how many recordings each should have."""
    if not entry.layouts:
        return dict(zip(("train", "test"), spoken_digits(folder), strict=True)), {}
    layout, place = find(entry, folder)
    return layout.open(place, entry.name), layout.counts


def _archives(entry: Entry, folder: Path, progress: bool | None) -> tuple[list[tuple[str, str, str]], list[str]]:
    rows, faults = [], []
    for archive, path in archives(entry, folder):
        if not archive.md5:
            rows.append((path.name, "md5 unknown", "not checked"))
            continue
        digest = md5(path, progress)
        rows.append((path.name, f"md5 {archive.md5}", "the same" if digest == archive.md5 else f"md5 {digest}"))
        if digest != archive.md5:
            faults.append(f"{path} has the md5 {digest}, released was {archive.md5}: download it anew")
    return rows, faults


def _events(found: Parts, faults: list[str], progress: bool | None) -> tuple[int, int]:
    recordings = events = 0
    with bar(sum(map(len, found.values())), "reading", progress) as line:
        for dataset in found.values():
            for i in range(len(dataset)):
                try:
                    events += len(dataset[i])
                    recordings += 1
                except (ValueError, OSError) as e:
                    faults.append(str(e))
                line.advance()
    return recordings, events


def md5(path: Path, progress: bool | None = None) -> str:
    """The checksum that the archives of these sets are published with; it finds damage, not malice."""
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file, bar(path.stat().st_size, f"md5 of {path.name}", progress) as line:
        while block := file.read(BLOCK):
            found.update(block)
            line.advance(len(block))
    return found.hexdigest()
