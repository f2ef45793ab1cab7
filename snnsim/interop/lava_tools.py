"""Run exports for Loihi in Lava's fixed-point runtime on the CPU, and compare every spike, u and v with our executor."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware import integer
from snnsim.hardware.integer import IntegerNetwork
from snnsim.hardware.loihi import netx, process
from snnsim.hardware.loihi.script import PROGRAM
from snnsim.hardware.verify import LayerMatch, compare
from snnsim.interop.child import run_child, whole_counts
from snnsim.maps import Delayed

Array = NDArray[Any]
States = dict[str, dict[str, Array]]  # by population: spikes, u and v, [T + latency, B, *population]
Job = tuple[str | os.PathLike[str], ArrayLike]
INSTALL_LAVA = ("make peers-lava, or: pip install 'numpy<2.4' scipy h5py networkx asteval && pip install --no-deps "
                "--ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0")
CHILD = Path(__file__).with_name("lava_child.py")
TOGETHER = 10  # networks in one of Lava's runtimes


@dataclass(frozen=True)
class StateDivergence:
    """The first difference: the earliest step, and there the population that comes first. what: "spikes", "u" or "v"."""

    population: str
    sample: int
    step: int
    neuron: int
    what: str
    expected: int
    found: int

    def __str__(self) -> str:
        return (f"sample {self.sample}, {self.population}, step {self.step}, neuron {self.neuron}: {self.what} is "
                f"{self.found}, not {self.expected}")


@dataclass(frozen=True)
class LavaReport:
    """What `verify_lava` found. layers: spikes by population. states, states_equal: how many u and v were compared, and how
    many are the same. overflows: of the executor's run, by population; where a sum leaves its bits, Lava goes other ways."""

    artefact: str
    samples: int
    layers: tuple[LayerMatch, ...]
    states: int
    states_equal: int
    divergence: StateDivergence | None
    overflows: dict[str, dict[str, int]]

    @property
    def exact(self) -> bool:
        return self.divergence is None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, for JSON."""
        return {**asdict(self), "exact": self.exact}

    def __str__(self) -> str:
        spikes = sum(x.expected for x in self.layers)
        head = (f"{self.artefact}, run in Lava: {'exact' if self.exact else 'not the same'}; {spikes} spikes, "
                f"{self.states_equal} of {self.states} states equal, {self.samples} samples")
        lines = [head, *(f"  {x.name}: {x.expected} expected, {x.missing} missing, {x.extra} extra" for x in self.layers)]
        lines += [f"  first difference: {self.divergence}"] if self.divergence else []
        lines += [f"  {n}: sums passed their bits {o['sums']} times" for n, o in self.overflows.items() if o["sums"]]
        return "\n".join(lines)


def interpreter() -> Path | str:
    """That of the venv that `make peers-lava` makes, or this one."""
    folder = Path(__file__).resolve().parents[2] / ".venv-peers" / "lava"
    found = [p for p in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if p.exists()]
    return found[0] if found else sys.executable


def run_lava(jobs: Sequence[Job], *, python: str | os.PathLike[str] = sys.executable, timeout: float = 300.0) -> list[States]:
    """Run descriptions (`loihi.process`) and .net files in Lava, many side by side, in one process; and scripts
    (`loihi.script`), each of which is itself what runs its description.

    jobs: (path, counts), whole counts [T, *input] or [T, B, *input]. python: where Lava is installed. timeout: s, for all.
    Result: of each job, by population, "spikes", "u" and "v" after each step.

    Errors: what the readers raise; ValueError for counts that fit no input; ImportError that says how to install Lava;
    RuntimeError with Lava's own words; TimeoutError.
    """
    models = [_model(path) for path, _ in jobs]
    with tempfile.TemporaryDirectory(prefix="snnsim-") as folder:
        listed: list[dict[str, Any]] = []
        for i, ((path, counts), model) in enumerate(zip(jobs, models, strict=True)):
            given, out = (os.path.join(folder, f"{i}-{n}.npz") for n in ("in", "out"))
            np.savez(given, counts=_counts(counts, model, path))
            listed.append({"file": os.path.abspath(_held_in(path)), "counts": given, "out": out, "latency": model.latency,
                           "longest": max([q.delay + (q.map.longest if isinstance(q.map, Delayed) else 0)
                                           for q in model.projections], default=1)})
        file, name = Path(folder) / "jobs.json", os.fspath(python)
        programs = [os.path.abspath(path if Path(path).suffix == ".py" else PROGRAM) for path, _ in jobs]
        for program in dict.fromkeys(programs):
            its = [job for job, of in zip(listed, programs, strict=True) if of == program]
            file.write_text(json.dumps({"program": program, "together": TOGETHER, "jobs": its}), encoding="utf-8")
            run_child("Lava", [os.path.abspath(name) if os.path.dirname(name) else name, str(CHILD), str(file)],
                      "this" if program == str(PROGRAM) else os.path.basename(program), INSTALL_LAVA, folder=folder,
                      timeout=timeout)
        return [_states(job["out"], job["file"], model) for job, model in zip(listed, models, strict=True)]


def _held_in(path: str | os.PathLike[str]) -> Path:
    """The file that holds the network: of a script, the description beside it."""
    return Path(path).with_suffix(".json") if Path(path).suffix == ".py" else Path(path)


def _model(path: str | os.PathLike[str]) -> IntegerNetwork:
    return netx.read(path) if Path(path).suffix == ".net" else process.read(_held_in(path))


def _counts(counts: ArrayLike, model: IntegerNetwork, path: Any) -> NDArray[np.int64]:
    return whole_counts(counts, model.populations[0].shape, f"counts for {path}")


def _states(out: str, file: str, model: IntegerNetwork) -> States:
    with np.load(out, allow_pickle=False) as kept:
        names = [str(i) for i in range(len(model.populations) - 1)] if file.endswith(".net") else (
            [p.name for p in model.populations[1:]])
        return {p.name: {kind: kept[f"{name}/{kind}"] for kind in ("spikes", "u", "v")}
                for p, name in zip(model.populations[1:], names, strict=True)}


def verify_lava(jobs: Sequence[Job], *, python: str | os.PathLike[str] = sys.executable,
                timeout: float = 300.0) -> list[LavaReport]:
    """Read each file again, run it in our executor and in Lava, and compare spikes, u and v of all populations and steps.

    jobs and errors: as `run_lava`.
    """
    reports = []
    for (path, given), found in zip(jobs, run_lava(jobs, python=python, timeout=timeout), strict=True):
        model = _model(path)
        counts = _counts(given, model, path)
        reports.append(match(os.fspath(path), model, counts, found))
    return reports


def match(artefact: str, model: IntegerNetwork, counts: NDArray[np.int64], found: States) -> LavaReport:
    """Our executor's run of the model against what Lava gave, or another that steps as Loihi does."""
    names = [p.name for p in model.populations[1:]]
    ours = integer.run(model, counts, record=names)
    spikes = {n: ours.spikes.get(n, np.zeros_like(found[n]["spikes"])) for n in names}
    layers = compare(spikes, {n: found[n]["spikes"] for n in names})
    first: StateDivergence | None = None
    states = equal = 0
    for name in names:
        for what, expected in (("spikes", spikes[name]), ("u", ours.u[name]), ("v", ours.v[name])):
            differs = np.not_equal(expected, found[name][what]).reshape(*expected.shape[:2], -1)
            if what != "spikes":
                states += differs.size
                equal += differs.size - int(differs.sum())
            if differs.any():
                step, sample, neuron = (int(i) for i in np.argwhere(differs)[0])
                if first is None or step < first.step:
                    values = (int(a.reshape(*a.shape[:2], -1)[step, sample, neuron]) for a in (expected, found[name][what]))
                    first = StateDivergence(name, sample, step, neuron, what, *values)
    return LavaReport(artefact, counts.shape[1], layers, states, equal, first, ours.overflows)
