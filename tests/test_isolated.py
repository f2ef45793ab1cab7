"""Files that are read in another process: what goes wrong there is an error here, which names the file."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from snnsim import isolated
from snnsim.isolated import Child

PROGRAM = "tests.harmful"


@pytest.fixture
def opened(tmp_path):
    children = []

    def open_it(deeds, **options):
        path = tmp_path / "file"
        path.write_text(deeds)
        children.append(Child(PROGRAM, path, "its name", **options))
        return children[-1]

    yield open_it
    for child in children:
        child.close()


@pytest.mark.parametrize(("deed", "sentence"), [
    ("crash", r"^its name: the library that reads it crashed \(SIGSEGV\) in a process of its own: the file is damaged"),
    ("abort", r"^its name: the library that reads it crashed \(SIGABRT\)"),
    ("exit", r"^its name: the library that reads it crashed \(exit code 3\)"),
    ("memory", r"^its name: reading it needs more than the 64 MiB that are allowed: the file is damaged, or made to do harm$"),
    ("flood", r"^its name: the library that reads it crashed"),
    ("write", r"^its name: .*File too large"),
])
def test_harm(opened, tmp_path, deed, sentence):
    child = opened(deed, memory=64 * 2**20)
    with pytest.raises(ValueError, match=sentence):
        child.ask(1000, to=str(tmp_path / "made"))
    assert not (tmp_path / "made").exists() or not (tmp_path / "made").stat().st_size


def test_harm_while_it_opens(opened):
    with pytest.raises(ValueError, match="crashed"):
        opened("at-once crash")
    assert opened("none").ask(1000)[1].tolist() == [0, 1, 2]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path(f"/proc/{pid}").exists() else True


@pytest.mark.parametrize("deed", ["hang", pytest.param("sleep", marks=pytest.mark.slow)])
def test_time_is_limited(opened, monkeypatch, deed):
    child = opened(deed, seconds=0.5)
    monkeypatch.setattr(isolated, "GRACE", 0.5)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"^its name: reading it took more than 0.5 s and was ended"):
        child.ask(0)
    assert time.perf_counter() - start < 20.0
    while alive(child.says["pid"]):  # nothing is left of it
        assert time.perf_counter() - start < 20.0


def test_what_a_library_prints_is_no_answer(opened):
    child = opened("print")
    assert child.ask(1000)[1].tolist() == [0, 1, 2]


def test_errors_name_the_file_and_not_the_copy(opened, tmp_path):
    with pytest.raises(ValueError, match=r"^its name: its name has no spikes$"):
        opened("refuse").ask(0, path=str(tmp_path / "file"))


def test_a_process_is_kept_and_each_file_has_its_own_fork(opened):
    first = opened("none")
    server = first._server
    first.close()
    first.close()
    second = opened("none")
    assert second._server is server
    assert second.says["pid"] not in (first.says["pid"], server.process.pid)
    third = opened("none")  # while the second is open
    assert third._server is not server
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    with pytest.raises(ValueError, match="crashed"):
        second.ask(0)
    second.close()
    assert opened("none").ask(1000)[1].tolist() == [0, 1, 2]


def test_a_package_that_is_missing(monkeypatch):
    from snnsim.isolated import aedat4, hdf5

    monkeypatch.setattr(aedat4, "aedat", None)
    with pytest.raises(ImportError, match=r"AEDAT 4 needs the package aedat: pip install 'snnsim\[data\]'"):
        aedat4.opened("a")
    assert "blosc, which is not installed: pip install 'snnsim[data]' (hdf5plugin)" in hdf5._codec(32001, b"blosc")
    assert "filter 4242 (?odd)" in hdf5._codec(4242, b"\nodd")


def test_numbers_arrive_whole(opened):
    child = opened("flood")
    says, numbers = child.ask(80_000)
    assert not says.get("error")
    np.testing.assert_array_equal(numbers, np.zeros(10_000, np.int64))
