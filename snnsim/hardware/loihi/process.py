"""A network in whole numbers as a description: JSON with the structure and every constant, HDF5 with the arrays.

The schema is ours, and it is versioned; docs/loihi.md has it. Two files: PATH and, beside it, its arrays, PATH with the ending
.arrays.h5. The JSON holds the checksum of the arrays, so that halves of two exports are not taken for one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.hardware.integer.model import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse
from snnsim.network import TimeBase
from snnsim.version import __version__

FORMAT, SCHEMA = "snnsim loihi processes", 2  # 1 had no populations.start, and started everywhere at 0
LAVA = "Lava 0.10, PyLifModelBitAcc"
CONSTANTS: dict[str, dict[str, Any]] = {
    "decay_unity": {"value": 4096, "meaning": "du and dv are shares of it", "source": LAVA},
    "current_decay_offset": {"value": 1, "meaning": "is added to du", "source": LAVA},
    "alignment_bits": {"value": 6, "meaning": "sums and vth are shifted up by them", "source": LAVA},
    "state_bits": {"value": 24, "meaning": "of u, which wraps, and of v, which stops at +-(2**23 - 1)", "source": LAVA},
    "weight_bits": {"value": 8, "meaning": "of a mantissa; a mixed sign takes one of them", "source": "Lava 0.10, weightutils"},
    "hop_steps": {"value": 1, "meaning": "from a spike to its arrival, at least",
                  "source": "Lava 0.10, PyDenseModelBitAcc sends what it received a step before"},
    "longest_delay": {"value": 63, "meaning": "beyond the hop", "source": "Lava 0.10, PyDelayDenseModelBitAcc (6 bits)"},
}
MEANING: dict[str, str] = {
    "populations.shape": "(N,) or (channels, height, width), neurons in C order; the first population is the input",
    "populations.reset": "of v at a spike: hard: 0; soft: less 64 vth; none: never fires; null: the input",
    "populations.du": "u = sgn(u) (|u| (4096 - du - 1) >> 12) + 64 a",
    "populations.dv": "v = sgn(v) (|v| (4096 - dv) >> 12) + u + (bias << bias_exponent)",
    "populations.vth": "a spike where v > 64 vth",
    "populations.start": "v before the first step of a sample",
    "populations.scale": "what 1 of v is in the unit of the network that this was made from",
    "projections.weight": "mantissas: Dense, Delayed [outputs, inputs]; Conv2d [outputs, inputs, height, width], not flipped; "
                          "Sparse: by source, see indptr and targets",
    "projections.exponent": "a = sum << exponent, or sum >> -exponent, of what was sent in one step and arrives in one",
    "projections.bits": "of the mantissas, their sign among them",
    "projections.sign": "mixed: -256 .. 255 in steps of 2**(9 - bits); exc: 0 .. 255 in steps of 2**(8 - bits); inh: less "
                        "these",
    "projections.delay": "steps from spike to arrival, at least 1; delays: what each synapse adds, [outputs, inputs]",
    "latency": "steps by which a run is longer than its input",
    "readout": "membrane: argmax of the sum of the output's v over the steps; count: of its spikes",
    "time.dt": "ms a step",
}
MAPS: dict[str, tuple[type[Map], dict[str, str]]] = {  # of a map: its arrays by their names here
    "Dense": (Dense, {"weight": "weight"}), "Delayed": (Delayed, {"weight": "weight", "delay": "delays"}),
    "Conv2d": (Conv2d, {"weight": "weight"}),
    "Sparse": (Sparse, {"indptr": "indptr", "targets": "targets", "weight": "weight"})}
OPTIONS = {"Conv2d": ("stride", "padding"), "Sparse": ("shape",)}


def write(model: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write the description to `path`, such as net.json, and its arrays beside it, net.arrays.h5. The same model gives the
    same bytes.

    Each file is replaced when the new one is complete. Errors: ValueError for a path that ends in .h5 itself, and for a report
    with numbers that are not finite; OSError.
    """
    target = Path(path)
    if target.suffix == ".h5":
        raise ValueError(f"path must not end in .h5, which its arrays do, got {os.fspath(path)!r}")
    arrays = target.with_suffix(".arrays.h5")  # not net.h5, which is likely the network itself
    with replacing(arrays) as temporary:
        with h5py.File(temporary, "w", track_order=False) as file:
            described = _described(model, file)
        described["arrays"] = {"file": arrays.name, "sha256": _checksum(temporary)}
    try:
        text = json.dumps(described, indent=1, allow_nan=False, default=_number)
    except ValueError as e:
        raise ValueError(f"the report of the network must hold finite numbers: {e}") from None
    with replacing(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise ValueError(f"{value!r} cannot be written")


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _described(model: IntegerNetwork, file: h5py.File) -> dict[str, Any]:
    populations = []
    for i, p in enumerate(model.populations):
        held = {name: _held(getattr(p, name), file, f"populations/{i}/{name}") for name in ("du", "dv", "vth", "bias", "start")}
        populations.append({"name": p.name, "shape": list(p.shape), "reset": p.reset, **held,
                            "bias_exponent": int(p.bias_exponent), "scale": float(p.scale)})
    projections = []
    for i, q in enumerate(model.projections):
        kind = type(q.map).__name__
        options = {name: list(getattr(q.map, name)) for name in OPTIONS.get(kind, ())}
        held = {here: _held(np.asarray(getattr(q.map, there)), file, f"projections/{i}/{here}")
                for there, here in MAPS[kind][1].items()}
        projections.append({"source": q.source, "target": q.target, "map": kind, **options, **held,
                            "precision": str(q.mantissas.dtype), "exponent": int(q.exponent), "bits": int(q.bits),
                             "sign": q.sign,
                            "delay": int(q.delay)})
    return {"format": FORMAT, "schema": SCHEMA, "version": __version__, "constants": CONSTANTS, "meaning": MEANING,
            "time": asdict(model.time), "latency": int(model.latency), "output": model.output, "readout": model.readout,
            "classes": list(model.classes), "notes": list(model.notes), "report": _plain(model.report),
            "populations": populations, "projections": projections}


def _plain(report: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _plain(v) if isinstance(v, Mapping) else v for k, v in report.items()}


def _held(value: NDArray[Any], file: h5py.File, name: str) -> Any:
    """A number as it is, an array by its name in the file; its dtype is the smallest of three that holds it."""
    if value.ndim == 0:
        return int(value)
    whole = np.rint(value).astype(np.int64)
    kind = next((t for t in (np.int16, np.int32) if np.array_equal(whole.astype(t), whole)), np.int64)
    file.create_dataset(name, data=whole.astype(kind), track_times=False)
    return {"array": name}


def read(path: str | os.PathLike[str]) -> IntegerNetwork:
    """The network of a description, exactly as it was written.

    Errors: FileNotFoundError; ValueError that names the file and the field.
    """
    target = Path(path)
    if not target.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with _naming(path):
        try:
            described = json.loads(target.read_text(encoding="utf-8"))
        except ValueError as e:
            raise ValueError(f"it is no JSON, or cut short: {e}") from None
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise ValueError("it is not a description of Loihi's processes")
        if described.get("schema") not in (1, SCHEMA):
            raise ValueError(f"schema must be 1 or {SCHEMA}, got {described.get('schema')!r}: read it with the snnsim that "
                             f"wrote it, {described.get('version')!r}, or a later one")
        name = described["arrays"]["file"]
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"arrays.file must be a name without a folder, got {name!r}")
        arrays = target.with_name(name)
        if not arrays.is_file():
            raise ValueError(f"its arrays, {name}, are missing")
        if _checksum(arrays) != described["arrays"]["sha256"]:
            raise ValueError(f"{name} does not hold the arrays that this was written with: its checksum differs")
        named = [str(held["array"]) for part in ("populations", "projections") for entry in described[part]
                 for held in entry.values() if isinstance(held, dict)]
        with reading_hdf5(arrays, "a file of arrays") as file:
            found = {name: read_array(file, name, arrays) for name in named}
        return _network(described, found)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as e:
        raise ValueError(f"{path} is damaged: it does not fit the schema: {e!r}") from None
    except ValueError as e:
        raise ValueError(str(e) if str(path) in str(e) else f"{path}: {e}") from None


def _network(d: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> IntegerNetwork:
    def value(entry: Mapping[str, Any], where: str, key: str) -> Any:
        """What `_held` wrote."""
        held = entry[key]
        if isinstance(held, dict):
            return arrays[held["array"]]
        if isinstance(held, bool) or not isinstance(held, int):
            raise ValueError(f"{where}.{key} must be a whole number or name an array, got {held!r}")
        return held

    populations = []
    missing = {"start": 0} if d["schema"] == 1 else {}
    for i, held in enumerate(d["populations"]):
        p, where = {**missing, **held}, f"populations[{i}]"
        given = {k: value(p, where, k) for k in ("du", "dv", "vth", "bias", "start")}
        populations.append(IntegerPopulation(_text(p, where, "name"), tuple(_wholes(p, where, "shape")), p["reset"], **given,
                                             bias_exponent=p["bias_exponent"], scale=_real(p, where, "scale")))
    projections = []
    for i, q in enumerate(d["projections"]):
        where = f"projections[{i}]"
        if q["map"] not in MAPS or q["precision"] not in ("float32", "float64"):
            raise ValueError(f"{where}: map must be one of {', '.join(MAPS)} and precision float32 or float64, got "
                             f"{q['map']!r} "
                             f"and {q['precision']!r}")
        make, names = MAPS[q["map"]]
        held = {there: value(q, where, here) for there, here in names.items()}
        held["weight"] = np.asarray(held["weight"], q["precision"])
        options = {name: tuple(_wholes(q, where, name)) for name in OPTIONS.get(q["map"], ())}
        projections.append(IntegerProjection(_text(q, where, "source"), _text(q, where, "target"), make(**held, **options),
                                             q["exponent"], q["bits"], q["sign"], q["delay"]))
    return IntegerNetwork(tuple(populations), tuple(projections), TimeBase(**d["time"]), d["output"], d["readout"],
                          _whole(d, "the network", "latency"), _texts(d, "classes"), _texts(d, "notes"), _reported(d["report"]))


def _reported(report: Any) -> dict[str, Any]:
    if not isinstance(report, dict) or not all(isinstance(v, dict) for v in report.values()):
        raise ValueError("report must hold an object for each population and projection")
    return report


def _text(entry: Mapping[str, Any], where: str, key: str) -> str:
    if not isinstance(entry[key], str):
        raise ValueError(f"{where}.{key} must be text, got {entry[key]!r}")
    return str(entry[key])


def _texts(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    if not isinstance(entry[key], list) or not all(isinstance(t, str) for t in entry[key]):
        raise ValueError(f"{key} must be a list of texts, got {entry[key]!r}")
    return tuple(entry[key])


def _whole(entry: Mapping[str, Any], where: str, key: str) -> int:
    if isinstance(entry[key], bool) or not isinstance(entry[key], int) or entry[key] < 0:
        raise ValueError(f"{where}.{key} must be a whole number of at least 0, got {entry[key]!r}")
    return int(entry[key])


def _wholes(entry: Mapping[str, Any], where: str, key: str) -> list[int]:
    held = entry[key]
    if not isinstance(held, list) or any(isinstance(n, bool) or not isinstance(n, int) for n in held) or (
            held and math.prod(map(abs, held)) > 2**40):
        raise ValueError(f"{where}.{key} must be a list of whole numbers, got {held!r}")
    return held


def _real(entry: Mapping[str, Any], where: str, key: str) -> float:
    if isinstance(entry[key], bool) or not isinstance(entry[key], (int, float)):
        raise ValueError(f"{where}.{key} must be a number, got {entry[key]!r}")
    return float(entry[key])
