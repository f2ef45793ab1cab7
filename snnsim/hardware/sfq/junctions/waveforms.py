"""What a simulation of junctions gives: printed quantities over time and switching times; as HDF5 and as CSV.

HDF5 layout (schema 1): attributes `format`, `schema`, `version` and the dataset `waveforms` (JSON of names and numbers) at the
root; arrays `time`, `values` [rows, quantities], `switches/junction`, `switches/time` and `switches/direction`.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.version import __version__

Array = NDArray[Any]
FORMAT, SCHEMA = "snnsim waveforms", 1


@dataclass(frozen=True, eq=False)
class Switches:
    """Crossings of an odd multiple of pi by a junction's phase, found by a straight line between two steps; ordered by
    junction, then by time. junctions: all names; junction: the place among them; time: s; direction: 1 for growing phases, -1
    else."""

    junctions: tuple[str, ...]
    junction: Array
    time: Array
    direction: Array

    def __getitem__(self, name: str) -> Array:
        """Times at which the named junction (B1|X1 or B1.X1) switched forwards, s. ValueError for an unknown name."""
        key = name.upper().replace(".", "|")
        if key not in self.junctions:
            raise ValueError(f"there is no junction {name!r}, the circuit has {', '.join(self.junctions[:12])}"
                             + (", ..." if len(self.junctions) > 12 else ""))
        return np.asarray(self.time[(self.junction == self.junctions.index(key)) & (self.direction > 0)])

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Each junction with its times, in the order of the circuit."""
        forwards = self.direction > 0
        junction, time = self.junction[forwards], self.time[forwards]
        edges = np.searchsorted(junction, np.arange(len(self.junctions) + 1))
        return ((name, time[edges[k]: edges[k + 1]]) for k, name in enumerate(self.junctions))

    @property
    def backwards(self) -> int:
        return int(np.sum(self.direction < 0))


@dataclass(frozen=True, eq=False)
class Waveforms:
    """time: s, [rows]. names: P(B1|X1) ...; kinds: p, v or i of each; values: rad, V or A, [rows, names]. step: s, the one
    that was taken in the end. unknowns: of the linear equations; factorings: of their matrix. temperature: K. wall_s, cpu_s:
    of the run."""

    circuit: str
    time: Array
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    values: Array
    switches: Switches
    step: float
    steps: int
    unknowns: int = 0
    factorings: int = 1
    temperature: float = 0.0
    seed: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    warnings: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> Array:
        """The values of one printed quantity, P(B1|X1) or p(b1.x1). ValueError for one that was not printed."""
        key = name.upper().replace(".", "|").replace(" ", "")
        if key not in self.names:
            raise ValueError(f"{name!r} was not printed, only {', '.join(self.names) or 'nothing'}")
        return np.asarray(self.values[:, self.names.index(key)])

    @property
    def junction_steps(self) -> int:
        return self.steps * len(self.switches.junctions)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, without the waveforms themselves."""
        return {"circuit": self.circuit, "junctions": len(self.switches.junctions), "unknowns": self.unknowns,
                "step": self.step, "steps": self.steps, "factorings": self.factorings, "temperature": self.temperature,
                "seed": self.seed, "printed": list(self.names),
                "switches": {name: times.tolist() for name, times in self.switches},
                "switches_backwards": self.switches.backwards, "wall_s": self.wall_s, "cpu_s": self.cpu_s,
                "warnings": list(self.warnings)}


def save_waveforms(waveforms: Waveforms, path: str | os.PathLike[str]) -> None:
    """Write one HDF5 file; an existing file is replaced only when the new one is complete."""
    w = waveforms
    plain = {"circuit": w.circuit, "names": w.names, "kinds": w.kinds, "junctions": w.switches.junctions, "step": w.step,
             "steps": w.steps, "unknowns": w.unknowns, "factorings": w.factorings, "temperature": w.temperature, "seed": w.seed,
             "wall_s": w.wall_s, "cpu_s": w.cpu_s, "warnings": w.warnings}
    with replacing(path) as temporary, h5py.File(temporary, "w") as f:
        f.attrs.update(format=FORMAT, schema=SCHEMA, version=__version__)
        f.create_dataset("waveforms", data=json.dumps(plain))
        f.create_dataset("time", data=w.time)
        f.create_dataset("values", data=w.values)
        f.create_dataset("switches/junction", data=w.switches.junction)
        f.create_dataset("switches/time", data=w.switches.time)
        f.create_dataset("switches/direction", data=w.switches.direction)


def load_waveforms(path: str | os.PathLike[str]) -> Waveforms:
    """What `save_waveforms` wrote. ValueError that names the file when it is not one, or is damaged."""
    with reading_hdf5(path, "an snnsim file of waveforms") as f:
        if f.attrs.get("format") != FORMAT or f.attrs.get("schema") != SCHEMA:
            raise ValueError(f"{path} is not an snnsim file of waveforms of schema {SCHEMA}: its format is "
                             f"{f.attrs.get('format')!r}, its schema {f.attrs.get('schema')!r}")
        d = json.loads(f["waveforms"][()])
        texts = {k: tuple(str(x) for x in d[k]) for k in ("names", "kinds", "junctions", "warnings")}
        numbers = {k: float(d[k]) for k in ("step", "temperature", "wall_s", "cpu_s")}
        counts = {k: int(d[k]) for k in ("steps", "unknowns", "factorings", "seed")}
        group = f["switches"]
        switches = Switches(texts["junctions"], *(read_array(group, k, path) for k in ("junction", "time", "direction")))
        time, values = read_array(f, "time", path), read_array(f, "values", path)
        found = Waveforms(str(d["circuit"]), time, texts["names"], texts["kinds"], values, switches, numbers["step"],
                          counts["steps"], counts["unknowns"], counts["factorings"], numbers["temperature"], counts["seed"],
                          numbers["wall_s"], numbers["cpu_s"], texts["warnings"])
        _check(found, path)
        return found


def _check(w: Waveforms, path: str | os.PathLike[str]) -> None:
    s = w.switches
    if w.time.ndim != 1 or w.values.shape != (len(w.time), len(w.names)) or len(w.kinds) != len(w.names):
        raise ValueError(f"{path} is damaged: values {w.values.shape} do not belong to {w.time.shape} times of {len(w.names)} "
                         "names")
    if not s.junction.shape == s.time.shape == s.direction.shape or s.junction.ndim != 1:
        raise ValueError(f"{path} is damaged: its switches do not belong together")
    if len(s.junction) and not 0 <= s.junction.min() <= s.junction.max() < len(s.junctions):
        raise ValueError(f"{path} is damaged: a switch belongs to none of its {len(s.junctions)} junctions")
    if not all(map(math.isfinite, (w.step, w.temperature))) or not np.isfinite(w.values).all():
        raise ValueError(f"{path} is damaged: a number is not finite")


def write_csv(waveforms: Waveforms, path: str | os.PathLike[str]) -> None:
    """A line of names, time first, and a line of numbers for each row, as JoSIM writes them but in full precision."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(("time", *waveforms.names))
        for t, row in zip(waveforms.time.tolist(), waveforms.values.tolist(), strict=True):
            writer.writerow((repr(t), *map(repr, row)))
