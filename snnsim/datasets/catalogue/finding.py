"""Where the files of a data set are, below the folder that was given; archives that lie there are unpacked."""

from __future__ import annotations

import os
from pathlib import Path

from snnsim.datasets.catalogue.archives import unpack
from snnsim.datasets.catalogue.entries import Archive, Entry, Layout, Parts

LISTED = 8  # names in an error


def find(entry: Entry, root: str | os.PathLike[str]) -> tuple[Layout, Path]:
    """The layout, and the folder in which it is; archives of the set are unpacked beside themselves where it needs them.

    Errors: FileNotFoundError that says what to download, how large it is and where to put it; those of `unpack`.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: {entry.wanted()}")
    found = unpacked(entry, folder)
    if found is None:
        raise FileNotFoundError(f"{folder} does not hold {entry.title}: expected {' and '.join(_expected(entry, folder))}, "
                                f"found {_listing(folder)}; {entry.wanted()}")
    return found


def unpacked(entry: Entry, folder: Path) -> tuple[Layout, Path] | None:
    """The layout and its folder, archives unpacked where it takes that; None where the set is not there."""
    found = _laid_out(entry, folder)
    while found is None and _unpacked(entry, folder):
        found = _laid_out(entry, folder)
    return found


def parts(entry: Entry, root: str | os.PathLike[str]) -> Parts:
    """The official parts of the set, or "all" where it has none. Errors: those of `find` and of the layout."""
    layout, folder = find(entry, root)
    return layout.open(folder, entry.name)


def places(entry: Entry, root: Path) -> list[Path]:
    """The folders in which files of the set may lie."""
    named = dict.fromkeys(place for layout in entry.layouts for place in layout.places)
    return [p for place in named or ("",) if (p := root / place).is_dir()]


def archives(entry: Entry, root: Path) -> list[tuple[Archive, Path]]:
    """The set's archives that lie there; capitals do not matter in their names."""
    known = {a.name.lower(): a for a in entry.archives}
    return [(known[f.lower()], place / f) for place in places(entry, root) for f in sorted(os.listdir(place))
            if f.lower() in known and (place / f).is_file()]


def _laid_out(entry: Entry, root: Path) -> tuple[Layout, Path] | None:
    for layout in entry.layouts:
        for place in layout.places:
            if all((root / place / mark).exists() for mark in layout.marks):
                return layout, root / place
    return None


def _unpacked(entry: Entry, root: Path) -> bool:
    """Whether there was an archive to unpack."""
    packed = [(a, path) for a, path in archives(entry, root) if not (path.parent / a.target).exists()]
    for archive, path in packed:
        unpack(path, name=archive.target)
    return bool(packed)


def _expected(entry: Entry, folder: Path) -> tuple[str, ...]:
    """Of the layout that is nearest to being there: its marks that are missing."""
    missing = [tuple(m for m in layout.marks if not (folder / place / m).exists())
               for layout in entry.layouts for place in layout.places]
    return min(missing, key=len)


def _listing(folder: Path) -> str:
    names = sorted(os.listdir(folder))
    return (", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")) or "nothing"
