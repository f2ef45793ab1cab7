"""Compile kernels: those that stand in files, and those that are printed while the program runs.

Numba caches a function by the time stamp of its own file alone, so a helper edited elsewhere would leave a stale
kernel behind. Two habits prevent that: a kernel in a file calls only kernels of the same file (a test reads the
sources), and a printed kernel is one text with everything in it, in a file that is named by the text's hash.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba.core.compiler import Compiler

PREAMBLE = '''"""Printed by snnsim; named by its hash, never edited."""
import numpy as np
from math import exp
from numba import njit, prange

from snnsim.kernel import NoAlias

F = np.{dtype}
'''


class NoAlias(Compiler):
    """For a loop over rows that never overlap: it needs no checks before it is vectorised. `pipeline_class=NoAlias`."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]


def jit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """numba.njit with NumPy's error model, cached on disk where a place for the cache can be written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(cache=True, error_model="numpy", **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # Numba found no directory that it may write: compile without a cache
            return numba.njit(error_model="numpy", **options)(function)  # type: ignore[no-any-return]

    return decorate


def cache_directory() -> Path:
    """Where printed kernels are kept: the user's cache folder, or a fresh folder where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache")
    folder = base / "snnsim" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        return _private_directory()


@lru_cache(maxsize=1)
def _private_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="snnsim-kernels-"))


@cache
def load_printed(source: str, dtype: str = "float32") -> ModuleType:
    """The module that a printed text makes. The text may use np, exp, njit, prange and the float type F."""
    return load_text(PREAMBLE.format(dtype=dtype) + source)


def load_text(text: str) -> ModuleType:
    """The module of this whole text, from a file that is named by its hash: Numba and Triton read a kernel's file."""
    name = "snnsim_kernel_" + hashlib.sha256(text.encode()).hexdigest()[:24]
    folder = cache_directory()
    path = folder / f"{name}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(temporary, path)  # another process may write the same text at the same time
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Numba's cache imports a kernel's module by its name
    spec.loader.exec_module(module)
    return module
