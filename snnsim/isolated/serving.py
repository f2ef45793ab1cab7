"""What runs in the other process: python -m snnsim.isolated.serving PROGRAM. See `snnsim.isolated`.

A program is a module with `opened(path) -> object`, which has `says` (of the file, a dictionary), `numbers` (int64, or None)
and `answer(request) -> (dictionary, int64 or None)`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import suppress
from typing import Any

LONGEST = 500  # characters of a sentence


def main() -> None:
    program = importlib.import_module(sys.argv[1])
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    while (request := _line()) is not None:
        if not hasattr(os, "fork"):
            _serve(program, request, answers)
            _send(answers, {"waits": False})
            return
        child = os.fork()
        if not child:
            _serve(program, request, answers)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # minus the signal that ended it
        _send(answers, {"crashed": code} if code else {"waits": True})


def _serve(program: Any, request: dict[str, Any], answers: int) -> None:
    """Answer for one file until it is closed."""
    seconds, memory = float(request["seconds"]), int(request["memory"])
    _limit(memory)
    held = None
    while not request.get("close"):
        _allow(seconds)
        try:
            if held is None:
                held = program.opened(request["open"])
                says, numbers = held.says, held.numbers
            else:
                says, numbers = held.answer(request)
        except ImportError as e:
            says, numbers = {"error": str(e)[:LONGEST], "kind": "missing"}, None
        except MemoryError:
            says, numbers = {"error": f"reading it needs more than the {memory >> 20} MiB that are allowed: the file is "
                                      "damaged, or made to do harm"}, None
        except BaseException as e:  # a panic of Rust is no Exception
            says, numbers = {"error": (str(e) or type(e).__name__)[:LONGEST]}, None
        _send(answers, says, numbers)
        following = _line()
        if following is None:
            os._exit(0)
        request = following


def _limit(memory: int) -> None:
    """No more memory than now and `memory` bytes; no file is written, no core left."""
    try:
        import resource
    except ImportError:  # not on this system: the time is limited from outside
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(OSError):  # no such file on this system
        with open("/proc/self/statm") as file:
            most = int(file.read().split()[0]) * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _allow(seconds: float) -> None:
    """So many seconds of processor time from now on."""
    try:
        import resource
    except ImportError:
        return
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used if hard == resource.RLIM_INFINITY else min(used, hard), hard))


def _line() -> dict[str, Any] | None:
    """The next request, read byte by byte: what follows it is for whoever reads next."""
    line = bytearray()
    while (byte := os.read(0, 1)) != b"\n":
        if not byte:
            return None
        line += byte
    found: dict[str, Any] = json.loads(line)
    return found


def _send(answers: int, says: dict[str, Any], numbers: Any = None) -> None:
    data = b"" if numbers is None else numbers.tobytes()
    message = json.dumps({**says, "bytes": len(data)}).encode() + b"\n" + data
    view = memoryview(message)
    while view:
        view = view[os.write(answers, view):]


if __name__ == "__main__":
    main()
