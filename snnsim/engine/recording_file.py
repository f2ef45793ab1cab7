"""A Recording in one HDF5 file, without pickle.

Layout (schema 1): attributes `format`, `schema` and `version` and the dataset `recording` (JSON of names and numbers)
at the root; the arrays under spikes/<i>/step and .../neuron, counts/<i>, traces/<i>/neuron and .../values, where <i> counts
the names of that list of the JSON.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.engine.recording import Recording, SpikeTrains, Traces
from snnsim.files import read_array, reading_hdf5, replacing
from snnsim.version import __version__

Array = NDArray[Any]
FORMAT, SCHEMA = "snnsim recording", 1


def save_recording(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Write the recording to one HDF5 file; an existing file is replaced only when the new one is complete.

    Errors: ValueError where the recording contradicts itself, as one made by hand may: nothing is written then.
    """
    _check(recording)
    r = recording
    plain = {"dt": float(r.dt), "start": int(r.start), "steps": int(r.steps), "sizes": {k: int(n) for k, n in r.sizes.items()},
             "spikes": list(r.spikes), "counts": list(r.counts), "traces": [[k, t.state] for k, t in r.traces.items()],
             "synaptic_events": int(r.synaptic_events), "wall_s": float(r.wall_s)}
    with replacing(path) as temporary, h5py.File(temporary, "w") as f:
        f.attrs.update(format=FORMAT, schema=SCHEMA, version=__version__)
        f.create_dataset("recording", data=json.dumps(plain))
        for i, trains in enumerate(r.spikes.values()):
            f.create_dataset(f"spikes/{i}/step", data=trains.step, dtype=np.int64)
            f.create_dataset(f"spikes/{i}/neuron", data=trains.neuron, dtype=np.int32)
        for i, counts in enumerate(r.counts.values()):
            f.create_dataset(f"counts/{i}", data=counts, dtype=np.int64)
        for i, traces in enumerate(r.traces.values()):
            f.create_dataset(f"traces/{i}/neuron", data=traces.neuron, dtype=np.int64)
            f.create_dataset(f"traces/{i}/values", data=traces.values)


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """The recording that `save_recording` wrote. ValueError that names the file when it is not one, or is damaged."""
    with reading_hdf5(path, "an snnsim recording file") as f:
        if f.attrs.get("format") != FORMAT:
            raise ValueError(f"{path} is not an snnsim recording file: its format is {f.attrs.get('format')!r}")
        if f.attrs.get("schema") != SCHEMA:
            raise ValueError(f"{path} has schema {f.attrs.get('schema')}; this version of snnsim reads {SCHEMA}")
        try:
            recording = _build(json.loads(f["recording"][()]), f, path)
            _check(recording)
        except (KeyError, TypeError, IndexError, AttributeError) as e:
            raise ValueError(f"{path} is damaged: its description of the recording does not fit: {e!r}") from None
        except ValueError as e:
            raise ValueError(str(e) if str(path) in str(e) else f"{path} is damaged: {e}") from None
        return recording


def _build(d: dict[str, Any], f: h5py.File, path: str | os.PathLike[str]) -> Recording:
    spikes = {name: SpikeTrains(read_array(f[f"spikes/{i}"], "step", path), read_array(f[f"spikes/{i}"], "neuron", path))
              for i, name in enumerate(d["spikes"])}
    counts = {name: read_array(f["counts"], str(i), path) for i, name in enumerate(d["counts"])}
    traces = {name: Traces(state, read_array(f[f"traces/{i}"], "neuron", path), read_array(f[f"traces/{i}"], "values", path))
              for i, (name, state) in enumerate(d["traces"])}
    return Recording(d["dt"], d["start"], d["steps"], dict(d["sizes"]), spikes, counts, traces, d["synaptic_events"],
                     d["wall_s"])


def _check(r: Recording) -> None:
    """ValueError that says what in the recording contradicts what a Recording is."""
    for name, value, least in (("start", r.start, 0), ("steps", r.steps, 1), ("synaptic_events", r.synaptic_events, 0),
                               *((f"the size of {k!r}", n, 1) for k, n in r.sizes.items())):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**62:
            raise ValueError(f"{name} must be a whole number from {least} to 2**62 - 1, got {value!r}")
    if not (math.isfinite(r.dt) and r.dt > 0 and math.isfinite(r.wall_s) and r.wall_s >= 0):
        raise ValueError(f"dt must be above 0 ms and wall_s at least 0 s, got {r.dt!r} and {r.wall_s!r}")
    for name in (*r.spikes, *r.counts, *r.traces):
        if name not in r.sizes:
            raise ValueError(f"population {name!r} has no size: {list(r.sizes)}")
    for name, counts in r.counts.items():
        if counts.dtype.kind not in "iu" or counts.shape != (r.steps,) or counts.min() < 0:
            raise ValueError(f"counts of {name!r} must be {r.steps} whole numbers, one a step, none negative")
    for name, trains in r.spikes.items():
        if name not in r.counts:
            raise ValueError(f"population {name!r} has spikes but no counts")
        _check_spikes(name, trains, r)
    for name, traces in r.traces.items():
        if not isinstance(traces.state, str):
            raise ValueError(f"traces of {name!r} must name a state, got {traces.state!r}")
        _check_neurons(f"traces of {name!r}", traces.neuron, r.sizes[name])
        if traces.values.dtype.kind != "f" or traces.values.shape != (r.steps, len(traces.neuron)):
            raise ValueError(f"traces of {name!r} have {traces.values.dtype} values of shape {traces.values.shape}, must be "
                             f"floating-point of shape {(r.steps, len(traces.neuron))}")


def _check_spikes(name: str, trains: SpikeTrains, r: Recording) -> None:
    step, neuron, label = trains.step, trains.neuron, f"spikes of {name!r}"
    _check_neurons(label, neuron, r.sizes[name])
    if step.dtype.kind not in "iu" or step.shape != neuron.shape:
        raise ValueError(f"{label} have {step.shape} steps and {neuron.shape} neurons: each spike needs one of both")
    if len(step) and (step.min() < r.start or step.max() >= r.start + r.steps):
        raise ValueError(f"{label} must lie in the steps {r.start} .. {r.start + r.steps - 1}, "
                         f"got {step.min()} .. {step.max()}")
    later, same = step[1:] > step[:-1], step[1:] == step[:-1]
    if not np.all(later | (same & (neuron[1:] > neuron[:-1]))):
        raise ValueError(f"{label} are not sorted by step and neuron, or a neuron fires twice in a step")
    if not np.array_equal(np.bincount(step - r.start, minlength=r.steps), r.counts[name]):
        raise ValueError(f"{label} and its counts differ")


def _check_neurons(label: str, neuron: Array, size: int) -> None:
    if neuron.ndim != 1 or neuron.dtype.kind not in "iu":
        raise ValueError(f"{label} must number their neurons in one row of whole numbers")
    if len(neuron) and (neuron.min() < 0 or neuron.max() >= size):
        raise ValueError(f"{label} must have neurons in 0 .. {size - 1}, got {neuron.min()} .. {neuron.max()}")
