"""Files of strangers that a native library reads are opened in a process of its own, with limits: a crash of the library, or
memory and time beyond bounds, end that process, and become an error here that names the file.

The process is started anew, never forked from this one, and answers in lines of JSON and whole numbers: nothing that it says is
run. It is kept for the next file, and forks once for each (where there is fork), so that no file sees what another did.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMORY = 512 * 2**20  # bytes that reading one file may take, beyond what the process has
SECONDS, GRACE = 60.0, 5.0  # of processor time that one answer may take; how much longer it may wait for its turn
LINE = 2**23  # bytes of the longest line
RATIO = 64  # bytes of events that a byte of a file may claim, however it is compressed
MISSING = "missing"  # what a reader says where a package is not installed
KEPT = 2  # processes of one program that wait for the next file


class Child:
    """A file that a program, such as "snnsim.isolated.hdf5", holds open in another process; see `serving` for what one is.

    path: the file. name: of it, for errors. says: what the program says of it; numbers: the numbers that belong to that.
    memory: bytes. seconds: for each answer. Errors: ValueError that names the file; ImportError for a package that is missing.
    """

    def __init__(self, program: str, path: str | os.PathLike[str], name: str, *, memory: int = MEMORY, seconds: float = SECONDS,
                 most: int = 64 * 2**20) -> None:
        self._path, self._name, self._memory, self._seconds = os.path.abspath(path), name, memory, seconds
        self._server = _taken(program)
        self._closing = weakref.finalize(self, _given_back, self._server)
        try:
            self.says, self.numbers = self.ask(most, open=self._path, memory=memory, seconds=seconds)
        except BaseException:
            self.close()
            raise

    def ask(self, most: int, **request: Any) -> tuple[dict[str, Any], NDArray[np.int64]]:
        """What the program answers: a dictionary, and at most `most` bytes of numbers."""
        try:
            says, numbers = self._server.exchange(request, self._seconds + GRACE, most)
        except _Ended as e:
            raise ValueError(f"{self._name}: {self._last_words(e)}") from None
        if "error" in says:
            sentence = str(says["error"]).replace(self._path, self._name)
            raise (ImportError if says.get("kind") == MISSING else ValueError)(f"{self._name}: {sentence}")
        return says, numbers

    def _last_words(self, e: _Ended) -> str:
        if e.late or -e.code == getattr(signal, "SIGXCPU", None):
            return f"reading it took more than {self._seconds:g} s and was ended: the file is damaged, or made to do harm"
        how = signal.Signals(-e.code).name if -e.code in set(signal.Signals) else f"exit code {e.code}"
        return f"the library that reads it crashed ({how}) in a process of its own: the file is damaged, or made to do harm"

    def close(self) -> None:
        self._closing()


class _Ended(Exception):
    """What read the file is no more. code: minus the signal that ended it. late: it was ended because it took too long."""

    def __init__(self, code: int, late: bool) -> None:
        super().__init__(code)
        self.code, self.late = code, late


class _Server:
    """A process that waits for files. busy: it has one."""

    def __init__(self, program: str) -> None:
        self.program, self.owner, self.late, self.busy = program, os.getpid(), False, False
        here = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "snnsim.isolated.serving", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"})

    def exchange(self, request: dict[str, Any], seconds: float, most: int) -> tuple[dict[str, Any], NDArray[np.int64]]:
        timer = threading.Timer(seconds, self._too_late)
        timer.start()
        try:
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline(LINE)
            says: Any = json.loads(line) if line.endswith(b"\n") else None
            size = says.get("bytes", 0) if isinstance(says, dict) else -1
            if not isinstance(size, int) or not 0 <= size <= most or size % 8:
                raise OSError("no answer of ours")
            numbers = np.empty(size // 8, np.int64)
            _fill(self.process.stdout, numbers)
        except (OSError, ValueError):
            self.kill()
            raise _Ended(self.process.returncode, self.late) from None
        finally:
            timer.cancel()
        self.busy = not ("waits" in says or "crashed" in says)
        if says.get("waits") is False:  # it cannot fork, and ends with its file
            self.kill()
        if "crashed" in says:
            raise _Ended(int(says["crashed"]), False)
        return says, numbers

    def _too_late(self) -> None:
        self.late = True
        self._signal()

    def _signal(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)  # the process, and the one that it forked
            else:
                self.process.kill()

    def kill(self) -> None:
        """End it. Where it has ended by itself, with its own exit code."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2 if not self.late else 0)
        self._signal()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not sent yet
                pipe.close()


def _fill(pipe: Any, numbers: NDArray[np.int64]) -> None:
    view, done = numbers.data.cast("B"), 0
    while done < len(view):
        got = pipe.readinto(view[done:])
        if not got:
            raise OSError("the process ended inside its answer")
        done += got


_idle: dict[tuple[int, str], list[_Server]] = {}  # by process, as a fork of it shares the pipes, and by program


def _taken(program: str) -> _Server:
    waiting = _idle.get((os.getpid(), program), [])
    while waiting:
        server = waiting.pop()
        if server.process.poll() is None:
            return server
        server.kill()
    return _Server(program)


def _given_back(server: _Server) -> None:
    if server.owner != os.getpid() or server.process.returncode is not None:
        return
    with suppress(_Ended):
        if server.busy:
            server.exchange({"close": True}, 5.0, 0)
    waiting = _idle.setdefault((os.getpid(), server.program), [])
    if server.process.poll() is None and not server.busy and len(waiting) < KEPT:
        waiting.append(server)
    elif server.process.returncode is None:
        server.kill()


@atexit.register
def _end_all() -> None:
    for (owner, _), waiting in _idle.items():
        while owner == os.getpid() and waiting:
            waiting.pop().kill()
