"""What every benchmark shares: interleaved timing, peers in processes of their own, and the report."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

WARM = 0.03
ROOT = Path(__file__).resolve().parents[1]

Threads = Annotated[int, typer.Option(min=1, help="Threads for snnsim and for each peer.")]
Against = Annotated[list[str] | None, typer.Option(help="Peers to run beside, by name, with commas between or the option "
                                                        "again; by default every one that is installed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleave(contestants: Mapping[str, Callable[[], float]], rounds: int,
               repeats: Mapping[str, int]) -> dict[str, list[float]]:
    """Seconds of each contestant. All take turns, so that what else the machine does falls on all of them; one that is
    quick runs `repeats` times a turn, after runs of WARM seconds that do not count, as the others emptied the caches."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            while name in repeats and time.perf_counter() - start < WARM:
                run()
            times[name] += [run() for _ in range(repeats.get(name, 1))]
    return times


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum, in ms."""
    return {"median_ms": round(1e3 * statistics.median(times), 4), "minimum_ms": round(1e3 * min(times), 4),
            "maximum_ms": round(1e3 * max(times), 4), "runs": len(times)}


def machine() -> dict[str, Any]:
    import numba
    import numpy
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version(),
            "numpy": numpy.__version__, "numba": numba.__version__}


def peer_python(venv: str) -> Path | None:
    """The interpreter of a venv of the peers (`make peers`), or None where it does not stand."""
    folder = ROOT / ".venv-peers" / venv
    found = [p for p in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if p.exists()]
    return found[0] if found else None


def interpreter(package: str, venv: str) -> Path | str | None:
    """The interpreter of the peers' venv, or ours where it has the package."""
    return peer_python(venv) or (sys.executable if importlib.util.find_spec(package) else None)


class Peer:
    """A peer in a process of its own. It prints a JSON line when ready, and one for each line that it is sent.

    The script is run by its path and imports nothing of ours. Errors: RuntimeError with what the process said.
    """

    def __init__(self, python: Path | str, script: str, *arguments: str, threads: int = 1) -> None:
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        self.name = f"{script} {' '.join(arguments)}"
        self.process = subprocess.Popen([str(python), str(ROOT / "benchmarks" / script), *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **limits})
        self.about = self._answer()

    def run(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        return dict(json.loads(line))

    def close(self) -> None:
        self.process.communicate()


class Module(Peer):
    """A module of this package by the peers' protocol, in a fresh process so that its memory is its own."""

    def __init__(self, module: str, *options: str, threads: int) -> None:
        self.name = f"{module} {' '.join(options)}"
        self.process = subprocess.Popen([sys.executable, "-m", module, *options], text=True, cwd=ROOT, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        self.about = self._answer()


def asked(against: Sequence[str] | None, peers: Sequence[str]) -> list[str]:
    """The names that --against gives, none when it is not given. Refuses others than those of the peers."""
    names = [name.strip() for value in against or () for name in value.split(",")]
    for name in names:
        if name not in peers:
            refuse(f"--against must be one of {', '.join(peers)}, got {name!r}")
    return list(dict.fromkeys(names))


def refuse(sentence: str) -> None:
    """No number without equality."""
    print(f"refused: {sentence}", file=sys.stderr)
    raise typer.Exit(1)


def report(name: str, rows: Sequence[Mapping[str, Any]], ratios: Mapping[str, float], as_json: bool,
           of: str = "time") -> None:
    """Print the rows and ratios (our time, or what `of` says, / the peer's), for people and, as the last line, for programs."""
    table = Table(*dict.fromkeys(key for row in rows for key in row), title=name)
    columns = [str(c.header) for c in table.columns]
    for row in rows:
        table.add_row(*[str(row.get(c, "")) for c in columns])
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for peer, ratio in ratios.items():
        print(f"{peer}: {ratio:.3f} of its {of}" if ratio < 1 else f"{peer}: {ratio:.3f} times its {of}")
    if as_json:
        print(json.dumps({"name": name, "machine": machine(), "rows": list(rows), "ratios": dict(ratios)}))
