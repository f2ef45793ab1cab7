"""Archives of data sets, unpacked so that nothing lands outside one folder, nothing fills the disk, and nothing is half there.

zip, tar (gz, bz2, xz) and single files in gz. Only plain files and folders come out: a member with an absolute name or `..`, a
link, a device or a member that is encrypted is refused by its name, and so is one that grows beyond what its archive accounts
for, 1000 bytes for each that is packed: deflate gives at most 1032, on bytes that are all the same.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

RATIO = 1000
ALWAYS = 2**20  # bytes that a member may have, however small it is packed
MOST = 2**37  # bytes of an unpacked archive
MEMBERS = 2**20
BLOCK = 2**20
ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip", ".gz")
JUNK = ("__MACOSX", ".DS_Store")
OPENERS: dict[str, Any] = {".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.bz2": bz2.open, ".tar.xz": lzma.open, ".tar": open}


def stem(name: str) -> str:
    """The name without the ending of its archive. Errors: ValueError for what is no archive that is read here."""
    ending = next((e for e in ENDINGS if name.lower().endswith(e) and len(name) > len(e)), None)
    if ending is None:
        raise ValueError(f"{name} is no archive that is unpacked here: its name must end in {', '.join(ENDINGS)}")
    return name[:-len(ending)]


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, name: str | None = None) -> Path:
    """Unpack the archive into `folder` (its own by default), as `name` (its own without the ending): what now stands there.

    An archive of one folder, or one file, of that very name gives it as it is. It appears whole or not at all; where something
    of this name stands already, that is an error. Errors: FileNotFoundError; ValueError that names the archive and the member.
    """
    path = Path(archive)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    own = stem(path.name)
    target = (path.parent if folder is None else Path(folder)) / (name or own)
    if target.exists():
        raise ValueError(f"cannot unpack {path}: {target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        place = temporary / target.name
        place.mkdir()
        try:
            _into(path, place)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as e:
            raise ValueError(f"{path} is damaged, or no archive of its kind: {e}") from None
        except OSError as e:
            if e.errno is not None:  # the system's: the disk is full, a name is not possible
                raise
            raise ValueError(f"{path} is damaged, or no archive of its kind: {e}") from None
        held = sorted(os.listdir(place))
        if held == [target.name]:
            place = place / target.name
        try:
            os.rename(place, target)
        except OSError:
            if not target.exists():  # else another process was first
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _into(path: Path, folder: Path) -> None:
    name = path.name.lower()
    if name.endswith(".zip"):
        _zip(path, folder)
    elif (ending := next((e for e in OPENERS if name.endswith(e)), None)) is not None:
        with OPENERS[ending](path, "rb") as file:
            _tar(path, file, folder)
    else:
        allowed = _allowed(path.stat().st_size)
        with gzip.open(path, "rb") as packed:
            _copy(packed, folder / folder.name, allowed, f"{path}: {folder.name}")


def _allowed(packed: int) -> int:
    return min(MOST, max(ALWAYS, RATIO * packed))


def _safe(path: Path, name: str) -> PurePosixPath:
    """The member's name as a path below the folder."""
    where = PurePosixPath(name)
    odd = "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name)
    if odd or where.is_absolute() or ".." in where.parts or not where.parts:
        raise ValueError(f"{path} is refused: its member {name!r} would land outside the folder")
    return where


def _zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
        if len(members) > MEMBERS:
            raise ValueError(f"{path} is refused: it has {len(members)} members, at most {MEMBERS} are unpacked")
        total, allowed = 0, _allowed(path.stat().st_size)
        for m in members:
            _safe(path, m.filename)
            kind = stat.S_IFMT(m.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"{path} is refused: its member {m.filename!r} is {_kind(kind)}, only files and folders are "
                                 "unpacked")
            if m.flag_bits & 1:
                raise ValueError(f"{path} is refused: its member {m.filename!r} is encrypted")
            total += m.file_size
            if m.file_size > _allowed(m.compress_size) or total > allowed:
                raise ValueError(f"{path} is refused: its member {m.filename!r} would have {m.file_size} bytes from "
                                 f"{m.compress_size}, {total} with those before it, from an archive of {path.stat().st_size}")
        _room(path, folder, total)
        for m in members:
            place = _place(path, folder, _safe(path, m.filename), m.is_dir())
            if place is not None:
                with file.open(m) as packed:
                    _copy(packed, place, m.file_size, f"{path}: {m.filename}")


def _kind(mode: int) -> str:
    return "a link" if mode == stat.S_IFLNK else "a device"


def _room(path: Path, folder: Path, total: int) -> None:
    free = shutil.disk_usage(folder).free
    if total > free:
        raise ValueError(f"cannot unpack {path}: it needs {total} bytes, {free} are free")


def _place(path: Path, folder: Path, where: PurePosixPath, is_folder: bool) -> Path | None:
    """Where a file comes to stand, its folder made; None for a folder, and for what a Mac adds."""
    if where.parts[0] == JUNK[0] or where.name == JUNK[1]:
        return None
    place = folder.joinpath(*where.parts)
    try:
        (place if is_folder else place.parent).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{path} is refused: its member {str(where)!r} is in the archive as a file and as a folder") from None
    return None if is_folder else place


def _tar(path: Path, file: IO[bytes], folder: Path) -> None:
    once = Once(path, file)
    with tarfile.open(fileobj=once, mode="r:") as tar:  # type: ignore[call-overload]
        for number, m in enumerate(_members(tar)):
            if number >= MEMBERS:
                raise ValueError(f"{path} is refused: it has more than {MEMBERS} members")
            where = _safe(path, m.name)
            if not (m.isreg() or m.isdir()) or m.issparse():
                what = "a link" if m.issym() or m.islnk() else "sparse" if m.issparse() else "a device"
                raise ValueError(f"{path} is refused: its member {m.name!r} is {what}, only files and folders are unpacked")
            if once.tell() + m.size > once.allowed:
                raise ValueError(f"{path} is refused: its member {m.name!r} would have {m.size} bytes, "
                                 f"{once.tell() + m.size} with those before it, from an archive of {path.stat().st_size}")
            _room(path, folder, m.size)
            place = _place(path, folder, where, m.isdir())
            if place is not None:
                packed = tar.extractfile(m)
                assert packed is not None
                _copy(packed, place, m.size, f"{path}: {m.name}")
            tar.members = []  # a million of them take memory
        if once.last != bytes(tarfile.BLOCKSIZE):  # tarfile stops as well at what is no header, and where the file is cut
            raise tarfile.ReadError(f"before byte {once.tell()} there should be a member or the mark of the end")
    while once.read(BLOCK):  # the checksum stands at the end
        pass


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        yield member


class Once:
    """An unpacked stream that is read once, forwards: how far is bounded, and so is every single read, as a header that claims
    gigabytes would make tarfile fetch them into memory."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self._file, self._at, self.last, self._back = path, file, 0, b"", False
        self.allowed = _allowed(path.stat().st_size)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= BLOCK:
            raise ValueError(f"{self.path} is refused: a header at byte {self._at} has {size} bytes, at most {BLOCK} are read")
        data = b""
        if self._back and size:
            data, self._back = self.last[-1:], False
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
            if self._at + len(data) > self.allowed:
                raise ValueError(f"{self.path} is refused: it unpacks to more than {self.allowed} bytes, from "
                                 f"{self.path.stat().st_size}")
        self._at += len(data)
        self.last = data if size else self.last
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = 0) -> int:
        """Forwards, or one byte back, where tarfile makes sure that the file did not end."""
        if place == self._at - 1 and self.last and not self._back:
            self._back = True
            self._at -= 1
        while self._at < place and self.read(min(BLOCK, place - self._at)):
            pass
        if self._at != place:
            raise tarfile.ReadError(f"it ends at byte {self._at}")
        return self._at


def _copy(packed: IO[bytes] | gzip.GzipFile, place: Path, size: int, name: str) -> None:
    """Write at most `size` bytes."""
    try:
        out = open(place, "xb")  # noqa: SIM115
    except (FileExistsError, IsADirectoryError):
        raise ValueError(f"{name} is refused: it is in the archive twice") from None
    with out:
        while block := packed.read(BLOCK):
            size -= len(block)
            if size < 0:
                raise ValueError(f"{name} is refused: it unpacks to more bytes than it says, or than its archive accounts for")
            out.write(block)
