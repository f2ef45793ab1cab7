"""A process of another tool: its counts, its run, and its last words as an error of ours."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MISSING = 3  # exit code where the tool is not installed


def run_child(tool: str, command: Sequence[str], what: str, install: str, *, folder: str | os.PathLike[str], timeout: float,
              search: str = "") -> None:
    """Run the command in the folder, in a session of its own, so that all of the tool's processes end with it.

    what: it is given, for complaints. install: how to install the tool. timeout: s. search: goes before PYTHONPATH.

    Errors: ImportError where it exits with MISSING, RuntimeError with its last words at another exit; TimeoutError.
    """
    path = os.pathsep.join(filter(None, [search, os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
                          start_new_session=True,
                          env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}) as child:
        try:
            _, said = child.communicate(timeout=timeout)
        except BaseException as e:
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
            if isinstance(e, subprocess.TimeoutExpired):
                raise TimeoutError(f"{tool} did not finish {what} within {timeout:g} s") from None
            raise
    last = (said.strip().splitlines() or ["no message"])[-1]
    if child.returncode == MISSING:
        raise ImportError(f"{tool} cannot be imported by {command[0]} ({last}): {install}")
    if child.returncode != 0:
        raise RuntimeError(f"{tool} cannot run {what}: {last}")


def with_batch(counts: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Counts [T, *shape] or [T, B, *shape] as [T, B, *shape]; others as they are."""
    array = np.asarray(counts)
    return array[:, None] if array.shape[1:] == shape else array


def whole_counts(counts: ArrayLike, shape: tuple[int, ...], name: str, most: int | None = None) -> NDArray[np.int64]:
    """Counts [T, *shape] or [T, B, *shape] as int64 [T, B, *shape]. ValueError that names them where they are none; most: the
    largest that is allowed."""
    array = with_batch(counts, shape)
    whole = array.dtype.kind in "bui" or (array.dtype.kind == "f" and bool(np.all(array == np.rint(array))))
    if not whole or array.shape[2:] != shape or 0 in array.shape or (
            most is not None and (array.min() < 0 or array.max() > most)):
        allowed = "whole numbers" if most is None else f"whole numbers from 0 to {most}"
        raise ValueError(f"{name} must be {allowed} [T, *{shape}] or [T, B, *{shape}], got {array.dtype} of shape "
                         f"{np.shape(counts)}")
    return array.astype(np.int64)
