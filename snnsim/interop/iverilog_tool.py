"""Icarus Verilog in a process of its own: a design and its testbench are compiled and run, and what it prints is read."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snnsim.hardware.sfq.bench import RESULT
from snnsim.hardware.verify import LayerMatch

INSTALL_IVERILOG = "it is a package of most Linux distributions: apt install iverilog"
MOST_TEXT = 256 * 2**20  # bytes of Verilog that are handed to it
MOST_SAID = 16 * 2**20  # and that are read of what it prints
LINE = re.compile(rf"^{RESULT} (\w+) (\w+) (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class IverilogResult:
    """layers: by testbench, spikes expected, found and equal of each layer, by its number. twice: by testbench, times at which
    a neuron fired again within a tick. violations: lines of the cells that saw pulses too close or at once, at most 20.
    compile, run: seconds."""

    layers: Mapping[str, tuple[LayerMatch, ...]]
    twice: Mapping[str, int]
    violations: tuple[str, ...]
    compile: float
    run: float

    @property
    def exact(self) -> bool:
        return not self.violations and not any(self.twice.values()) and all(
            x.missing == x.extra == 0 for layers in self.layers.values() for x in layers)


def run_iverilog(texts: Sequence[str], tops: Sequence[str], timeout: float = 300.0) -> IverilogResult:
    """Compile the texts with the testbenches `tops` and run them, all in one process.

    Errors: ImportError when iverilog is missing; ValueError for texts above 256 MB; RuntimeError with its first message when it
    refuses them, or when a testbench said nothing; TimeoutError.
    """
    compiler, simulator = shutil.which("iverilog"), shutil.which("vvp")
    if compiler is None or simulator is None:
        raise ImportError(f"iverilog is not on the path: {INSTALL_IVERILOG}")
    if (size := sum(map(len, texts))) > MOST_TEXT:
        raise ValueError(f"the Verilog is {size / 2**20:.0f} MB, at most {MOST_TEXT // 2**20} MB are run")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, text in enumerate(texts):
            files.append(f"{i}.v")
            Path(folder, files[-1]).write_text(text, encoding="ascii")
        start = time.perf_counter()
        _call([compiler, "-g2005", "-o", "out.vvp", *(x for t in tops for x in ("-s", t)), *files], folder, timeout)
        middle = time.perf_counter()
        said = _call([simulator, "-n", "out.vvp"], folder, timeout)
        end = time.perf_counter()
    found: dict[str, list[LayerMatch]] = {}
    twice: dict[str, int] = {}
    for bench, layer, expected, seen, equal in LINE.findall(said):
        if layer == "twice":
            twice[bench] = int(expected)
        else:
            found.setdefault(bench, []).append(LayerMatch(layer, int(expected), int(seen), int(equal)))
    silent = [t for t in tops if t.removesuffix("_tb") not in twice]
    if silent:
        raise RuntimeError(f"iverilog ran, but {', '.join(silent)} printed no result: {said[-300:]!r}")
    violations = [x for x in said.splitlines() if x.startswith(("COLLISION", "VIOLATION"))]
    return IverilogResult({k: tuple(v) for k, v in found.items()}, twice, tuple(violations[:20]), middle - start, end - middle)


def _call(command: Sequence[str], folder: str, timeout: float) -> str:
    out = Path(folder, "said.txt")
    with out.open("wb") as file:
        try:
            code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder, timeout=timeout, check=False,
                                  stdin=subprocess.DEVNULL).returncode
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{Path(command[0]).name} did not finish within {timeout:g} s") from None
    with out.open("rb") as file:
        said = file.read(MOST_SAID).decode("ascii", "replace")
    if code != 0:
        first = (said.strip().splitlines() or ["no message"])[0]
        raise RuntimeError(f"{Path(command[0]).name} refuses the design: {first[:300]}")
    return said
