"""Archives: what is in them comes out, and whatever could do harm is refused by the member's name, with nothing left behind."""

import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from types import SimpleNamespace

import pytest

from snnsim.datasets import unpack
from snnsim.datasets.catalogue import archives

FILES = {"A/one": b"1" * 700, "A/deep/er/two": os.urandom(512), "A/empty": b"", "A/three": os.urandom(1024)}


def zipped(path, members, kind=zipfile.ZIP_DEFLATED):
    """members: names or ZipInfo with their bytes."""
    with zipfile.ZipFile(path, "w", kind) as file:
        for member, data in members:
            file.writestr(member, data)


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for member, data in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def special(name, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def linked(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    return info


def refused(path, sentence):
    before = sorted(os.listdir(path.parent))
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        unpack(path)
    assert sorted(os.listdir(path.parent)) == before


@pytest.mark.parametrize("name", ["A.zip", "A.tar", "A.tar.gz", "A.tgz", "A.tar.bz2", "A.tar.xz"])
def test_what_is_packed_comes_out(name, tmp_path):
    path = tmp_path / name
    if name.endswith(".zip"):
        zipped(path, FILES.items())
    else:
        ending = name.rpartition(".")[2]
        tarred(path, FILES.items(), {"tar": "w:", "tgz": "w:gz"}.get(ending, f"w:{ending}"))
    out = unpack(path)
    assert out == tmp_path / "A"  # not A/A
    assert {f"A/{p.relative_to(out).as_posix()}": p.read_bytes() for p in out.rglob("*") if p.is_file()} == FILES
    refused(path, f"cannot unpack {path}: {out} is there already")


def test_names_of_what_comes_out(tmp_path):
    zipped(tmp_path / "b.h5.zip", [("b.h5", b"inner")])
    assert unpack(tmp_path / "b.h5.zip") == tmp_path / "b.h5" and (tmp_path / "b.h5").read_bytes() == b"inner"
    (tmp_path / "c.h5.gz").write_bytes(gzip.compress(b"single"))
    assert unpack(tmp_path / "c.h5.gz").read_bytes() == b"single"
    zipped(tmp_path / "d.zip", [("x", b"1"), ("__MACOSX/x", b"2"), (".DS_Store", b"3"), ("folder/", b"")])
    out = unpack(tmp_path / "d.zip", tmp_path / "below", "other")
    assert out == tmp_path / "below" / "other" and sorted(p.name for p in out.rglob("*")) == ["folder", "x"]


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "C:/out", "a\\..\\out", ".."])
def test_names_that_lead_outside(name, tmp_path):
    for path, pack in ((tmp_path / "a.zip", zipped), (tmp_path / "a.tar.gz", tarred)):
        pack(path, [("fine", b"1"), (name, b"2")])
        refused(path, f"{path} is refused: its member {name!r} would land outside the folder")
    assert not (tmp_path.parent / "out").exists()


@pytest.mark.parametrize(("kind", "what"), [
    (tarfile.SYMTYPE, "a link"), (tarfile.LNKTYPE, "a link"), (tarfile.CHRTYPE, "a device"), (tarfile.BLKTYPE, "a device"),
    (tarfile.FIFOTYPE, "a device")])
def test_links_and_devices_of_tar(kind, what, tmp_path):
    path = tmp_path / "a.tar.gz"
    tarred(path, [("fine", b"1"), (special("bad", kind), b"")])
    refused(path, f"{path} is refused: its member 'bad' is {what}, only files and folders are unpacked")


@pytest.mark.parametrize(("mode", "what"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device"), (stat.S_IFIFO, "a device")])
def test_links_and_devices_of_zip(mode, what, tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, [("fine", b"1"), (linked("bad", mode), b"/etc/passwd")])
    refused(path, f"{path} is refused: its member 'bad' is {what}, only files and folders are unpacked")


def test_bombs(tmp_path):
    zeros = bytes(4 * 2**20)
    path = tmp_path / "a.zip"
    zipped(path, [("fine", b"1"), ("bomb", zeros)])  # 1,027 : 1
    refused(path, f"{path} is refused: its member 'bomb' would have {len(zeros)} bytes from 40")
    path = tmp_path / "a.tar.gz"
    tarred(path, [("fine", b"1"), ("bomb", zeros)])
    refused(path, f"{path} is refused: its member 'bomb' would have {len(zeros)} bytes, ")
    path = tmp_path / "a.h5.gz"
    path.write_bytes(gzip.compress(zeros))
    refused(path, f"{path}: a.h5 is refused: it unpacks to more bytes than it says")


def test_a_member_that_is_larger_than_it_says(tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, [("liar", b"12345678" * 100)])
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the sizes of the file's header and of the directory's
        place = data.index(mark) + at
        data[place:place + 4] = (8).to_bytes(4, "little")
    for mark, at in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        place = data.index(mark) + at
        data[place:place + 4] = zlib.crc32(b"12345678").to_bytes(4, "little")
    path.write_bytes(data)
    assert (unpack(path) / "liar").read_bytes() == b"12345678"  # no more than was counted on


def test_a_header_that_claims_gigabytes_is_not_fetched(tmp_path):
    path, info = tmp_path / "a.tar", tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**31
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    refused(path, f"{path} is refused: a header at byte 512 has {2**31} bytes, at most {2**20} are read")


def test_too_many_members_too_little_room_and_twice_the_same(tmp_path, monkeypatch):
    for path, pack in ((tmp_path / "a.zip", zipped), (tmp_path / "a.tar.gz", tarred)):
        with pytest.warns(UserWarning, match="Duplicate") if pack is zipped else monkeypatch.context():
            pack(path, [("x", b"1"), ("x", b"2")])
        refused(path, f"{path}: x is refused: it is in the archive twice")
        pack(path, [("x", b"1"), ("x/y", b"2")])
        refused(path, f"{path} is refused: its member 'x/y' is in the archive as a file and as a folder")
        pack(path, FILES.items())
        with monkeypatch.context() as m:
            m.setattr(archives, "MEMBERS", 3)
            refused(path, f"{path} is refused: it has ")
            m.setattr(archives, "MEMBERS", 4)
            m.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500))
            refused(path, f"cannot unpack {path}: it needs ")
    path = tmp_path / "secret.zip"
    zipped(path, [("x", b"1")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, f"{path} is refused: its member 'x' is encrypted")


def test_damage_names_the_archive_and_leaves_nothing(tmp_path):
    for path, pack in ((tmp_path / "a.zip", zipped), (tmp_path / "a.tar.gz", tarred)):
        pack(path, FILES.items())
        whole = path.read_bytes()
        for damaged in (whole[:len(whole) // 2], b"nothing", b"", whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]):
            path.write_bytes(damaged)
            refused(path, f"{path} is damaged, or no archive of its kind: ")
    path = tmp_path / "a.rar"
    path.write_bytes(b"Rar!")
    refused(path, "a.rar is no archive that is unpacked here: its name must end in .tar.gz, .tgz")
    with pytest.raises(FileNotFoundError, match="^there is no file"):
        unpack(tmp_path / "b.zip")


def test_a_tar_that_is_cut_between_two_members_is_no_whole_one(tmp_path):
    whole, cut = tmp_path / "whole.tar", tmp_path / "cut.tar"
    tarred(whole, [("a", b"1"), ("b", b""), ("c", bytes(1000))], "w:")
    data = whole.read_bytes()
    marked = 512 * 6  # three headers, one block and two
    for end in (*range(64, marked + 1, 64), marked + 511):
        cut.write_bytes(data[:end])
        refused(cut, f"{cut} is damaged, or no archive of its kind")
    cut.write_bytes(data[:512 * 2] + b"x" * 512 + data[512 * 3:])
    refused(cut, f"{cut} is damaged, or no archive of its kind: before byte 1536 there should be a member or the mark of")
    cut.write_bytes(data[:marked + 512])
    assert sorted(p.name for p in unpack(cut).iterdir()) == ["a", "b", "c"]
