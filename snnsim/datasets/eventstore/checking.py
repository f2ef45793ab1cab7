"""Read every byte of a store: checksums, structure, order and places of all events."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from snnsim.datasets.eventstore.manifest import Manifest, Shard, file_digest, read_manifest
from snnsim.datasets.eventstore.mapped import Mapped
from snnsim.progress import bar


@dataclass(frozen=True)
class Checked:
    """What was read, and what is wrong: sentences that name the file, and the recording and event where there is one."""

    files: int
    recordings: int
    events: int
    faults: tuple[str, ...]


def check_store(folder: str | os.PathLike[str], progress: bool | None = None) -> Checked:
    """Check each shard's size, sha256 and structure, and each event's order and place; all faults, not only the first.

    progress: None shows a bar on a terminal. Errors: those of `open_store`, when there is no manifest to check against.
    """
    where = Path(folder).absolute()
    held = read_manifest(where)
    faults: list[str] = []
    recordings = events = begin = 0
    with bar(len(held.labels), f"checking {held.name}", progress) as line:
        for shard in held.shards:
            try:
                good, count = _check(where, shard, begin, held, faults)
                recordings, events = recordings + good, events + count
            except (ValueError, OSError) as e:
                faults.append(str(e))
            begin += shard.recordings
            line.advance(shard.recordings)
    return Checked(len(held.shards), recordings, events, tuple(faults))


def _check(where: Path, shard: Shard, begin: int, held: Manifest, faults: list[str]) -> tuple[int, int]:
    """Recordings and events of one shard that are sound."""
    path = where / shard.file
    if path.is_file() and (found := file_digest(path)) != shard.sha256:
        faults.append(f"{path} is damaged: its sha256 is {found}, the manifest says {shard.sha256}")
    mapped = Mapped(path, shard, held.labels[begin:begin + shard.recordings], held.sensor)
    recordings = events = 0
    try:
        for k in range(shard.recordings):
            try:
                events += sum(len(block) for block in mapped.blocks(k, name=f"recording {begin + k}"))
                recordings += 1
            except ValueError as e:
                faults.append(str(e))
    finally:
        mapped.close()
    return recordings, events
