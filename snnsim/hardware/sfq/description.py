"""The JSON that an SFQ network is described by, whatever its level: written last of an export's files, read with bounds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snnsim.files import replacing


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Texts by file name, each whole or not at all, in this order: the description last, as it names the others."""
    for file, text in texts.items():
        with replacing(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def begins_with(path: str | os.PathLike[str], form: str) -> bool:
    """Whether a file begins as a description of this format does."""
    try:
        with open(path, "rb") as file:
            return f'"format": "{form}"'.encode() in file.read(200)
    except OSError:
        return False


def read_described(path: str | os.PathLike[str], form: str, schema: int, what: str, most: int) -> dict[str, Any]:
    """The object of a file. what: is described in it; most: bytes. Errors: FileNotFoundError; ValueError, with the file."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if file.stat().st_size > most:
        raise ValueError(f"{path} has {file.stat().st_size} bytes, at most {most} are read")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path} is not JSON: {e}") from None
    if not isinstance(told, dict) or told.get("format") != form:
        raise ValueError(f"{path} is no description of SFQ {what}: its format must be {form!r}")
    if told.get("schema") != schema:
        raise ValueError(f"{path} has the schema {told.get('schema')!r}, this version reads {schema}")
    return told


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """What is wrong with values of a description is said with the file, and with the key where one is missing."""
    try:
        yield
    except KeyError as e:
        raise ValueError(f"{path}: {e.args[0]} is missing") from None
    except (TypeError, ValueError, OverflowError, AttributeError) as e:
        raise ValueError(f"{path}: {e}") from None
