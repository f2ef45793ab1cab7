"""The logical lines of a deck: comments gone, continued lines joined, included files in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST = 64 * 2**20  # bytes of a deck with all that it includes
LONGEST = 4 * 2**20  # characters of one line with those that continue it
DEEPEST = 8  # includes
INCLUDE = re.compile(r"\s*\.include\s+(\S.*?)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Where:
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


class DeckError(ValueError):
    """A ValueError whose sentence begins with a file and a line."""


@dataclass(frozen=True)
class Line:
    text: str
    where: Where

    def error(self, sentence: str) -> DeckError:
        return DeckError(f"{self.where}: {sentence}")


@dataclass
class _Budget:
    """Bytes that may still be read."""

    left: int

    def spend(self, size: int, where: str) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError(f"{where}: a deck may hold {LARGEST} bytes with all that it includes, this one holds more")


def include(path: Path) -> Iterator[Line]:
    """The lines of the deck at `path`. Its .include lines may name files in its own folder and below it."""
    budget = _Budget(LARGEST)
    yield from _logical(_read(path, path.name, budget), path.name, path.resolve().parent, budget, ())


def logical(text: str, name: str, folder: Path | None) -> Iterator[Line]:
    """The lines of a text. folder: where .include may read; None refuses every .include."""
    budget = _Budget(LARGEST)
    budget.spend(len(text), name)
    yield from _logical(text, name, None if folder is None else folder.resolve(), budget, ())


def _read(path: Path, where: str, budget: _Budget) -> str:
    budget.spend(path.stat().st_size, where)
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as e:
        raise ValueError(f"{where} is not a text in UTF-8: byte {e.start} is {e.object[e.start]:#04x}") from None


def _logical(text: str, name: str, folder: Path | None, budget: _Budget, inside: tuple[Path, ...]) -> Iterator[Line]:
    for line in _joined(text, name):
        found = INCLUDE.match(line.text)
        if found is None:
            yield line
        else:
            path = _beside(found[1].strip("\"'"), line, folder)
            if len(inside) >= DEEPEST or path in inside:
                raise line.error(f".include {found[1]} is included by itself, or deeper than {DEEPEST} files")
            yield from _logical(_read(path, str(line.where), budget), found[1].strip("\"'"), folder, budget, (*inside, path))


def _joined(text: str, name: str) -> Iterator[Line]:
    parts: list[str] = []
    first = length = 0
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        part = raw.strip()
        if not part or part[0] in "*#":
            continue
        wrong = next((c for c in part if not c.isprintable() and c != "\t"), None)
        if wrong is not None:
            raise ValueError(f"{Where(name, number)}: the line holds the character {wrong!r}")
        if part[0] == "+":
            if not parts:
                raise ValueError(f"{Where(name, number)}: + continues a line, but none stands before it")
            length += len(part)
            if length > LONGEST:
                raise ValueError(f"{Where(name, number)}: a line may hold {LONGEST} characters with those that continue it")
            parts.append(part[1:])
            continue
        if parts:
            yield Line(" ".join(parts), Where(name, first))
        parts, first, length = [part], number, len(part)
    if parts:
        yield Line(" ".join(parts), Where(name, first))


def _beside(name: str, line: Line, folder: Path | None) -> Path:
    if folder is None:
        raise line.error(f".include {name}: a deck that is no file includes nothing")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise line.error(f".include {name} leads out of the deck's folder")
    if not path.is_file():
        raise line.error(f".include {name}: there is no such file beside the deck")
    return path
