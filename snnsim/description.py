"""A network of populations in one TOML file: what there is, how it is joined, how long it runs, and what is kept.

    dt = 0.1                                    # ms a step
    seed = 1                                    # of all that is drawn; 0 if left out
    duration = 1000.0                           # ms; the default

    [neurons.cell.PscExp]                       # a neuron that several populations share
    tau = 20.0
    tau_syn = [5.0, 10.0]

    [populations.E]
    size = 3200                                 # or shape = [channels, height, width]
    neuron = "cell"                             # or neuron.PscExp = { tau = 20.0 }
    initial.v.Uniform = { low = -60.0, high = -50.0 }

    [populations.noise]
    size = 3200
    source.Poisson.rate = 8000.0                # or SpikeTimes, StepCurrent

    [[synapses]]
    source = "noise"
    target = "E"                                # names, or lists of them: each pair gets synapses of its own
    connect = "OneToOne"                        # or connect.FixedIndegree = { indegree = 80, multiple = false }
    weight.Normal = { mean = 87.8, std = 8.78, low = 0.0 }
    delay = 1.5
    receptor = "ex"

    [record]
    spikes = ["E"]                              # all if left out
    traces.E = { state = "v", neurons = [0, 1, 2] }

Classes, arguments, units and defaults are those of the Python API. Something of a class is written as the class's name
with a table of arguments, { Name = { argument = value } }, which TOML lets one write with dots as above; or as "Name"
where it needs none. SpikeTimes also takes `times_file`, a text file beside the TOML file with a spike a line: its time in
ms, and its neuron in a second column (neuron 0 where there is none).
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from snnsim import neurons
from snnsim.connect import AllToAll, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, OneToOne, Pairs
from snnsim.distributions import LogNormal, Normal, Uniform
from snnsim.network import Network, Population, Synapses, TimeBase
from snnsim.plasticity import STDP, TsodyksMarkram
from snnsim.rule import Neuron, finite, one_of
from snnsim.sources import Poisson, SpikeTimes, StepCurrent

Classes = Mapping[str, Any]
NEURONS: Classes = {name: getattr(neurons, name) for name in neurons.__all__}
SOURCES: Classes = {c.__name__: c for c in (Poisson, SpikeTimes, StepCurrent)}
CONNECT: Classes = {c.__name__: c for c in (AllToAll, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, OneToOne, Pairs)}
DISTRIBUTIONS: Classes = {c.__name__: c for c in (LogNormal, Normal, Uniform)}
PLASTICITY: Classes = {c.__name__: c for c in (STDP, TsodyksMarkram)}
LARGEST_FILE = 64 * 2**20  # bytes of a text file of spikes: some five million, read in a few seconds


@dataclass(frozen=True, eq=False)
class Description:
    """A network of populations, and what to do with it: `Simulation(network, record=record, traces=traces).run(duration)`.

    duration: ms, a whole number of steps. record: populations whose spikes are kept, None for all. traces: by population, a
    state and the neurons whose values are kept. Errors: ValueError that names the argument.
    """

    network: Network
    duration: float = 1000.0
    record: Sequence[str] | None = None
    traces: Mapping[str, tuple[str, Sequence[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise ValueError(f"network must be a Network, got {type(self.network).__name__}")
        dt = self.network.time.dt
        finite("duration", self.duration, above=0.0)
        steps = round(self.duration / dt)
        if steps < 1 or abs(steps - self.duration / dt) > 1e-6 * max(1, steps):
            raise ValueError(f"duration must be a whole number of steps of {dt:g} ms, got {self.duration!r}")
        rules = {p.name: p.rule for p in self.network.populations if p.rule is not None}
        if isinstance(self.record, str):
            object.__setattr__(self, "record", (self.record,))
        for name in self.record or ():
            one_of("record", name, rules)
        pairs = self.traces.values() if isinstance(self.traces, Mapping) else [self.traces]
        if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            raise ValueError(f"traces must be a state and a list of neurons for each population, got {self.traces!r}")
        for name, (state, chosen) in self.traces.items():
            one_of("traces", name, rules)
            one_of(f"state of traces of {name!r}", state, rules[name].states)
            last, i = self.network.population(name).size - 1, np.asarray(chosen)
            if i.ndim != 1 or i.dtype.kind not in "ui" or i.size == 0 or i.min() < 0 or i.max() > last:
                raise ValueError(f"neurons of traces of {name!r} must be a list of numbers in 0 .. {last}, got {chosen!r}")


def load_description(path: str | os.PathLike[str]) -> Description:
    """The network and the simulation that a TOML file describes; see the top of this module.

    Errors: FileNotFoundError, or ValueError that names the file and the place in it, for everything that is unknown,
    missing, of a wrong type or impossible.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return _read(tomllib.loads(Path(path).read_text(encoding="utf-8")), Path(path))
    except UnicodeDecodeError as e:
        raise ValueError(f"{path} is not text in UTF-8: {e}") from None
    except tomllib.TOMLDecodeError as e:
        raise ValueError(f"{path} is not valid TOML: {e}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be read") from None


def _read(d: dict[str, Any], path: Path) -> Description:
    top = str(path)
    needed = ("dt", "populations", "synapses")
    _known(d, (*needed, "seed", "duration", "neurons", "record"), needed, top)
    duration = _number(d.get("duration", Description.duration), f"{top}: duration")
    dt = _number(d["dt"], f"{top}: dt")
    with _at(top):
        time = TimeBase(dt)
    shared = {name: _one(value, NEURONS, "neuron", f"{top}: neurons {name}")
              for name, value in _table(d.get("neurons", {}), f"{top}: neurons").items()}
    populations = [_population(name, value, dt, shared, path)
                   for name, value in _table(d["populations"], f"{top}: populations").items()]
    ruled = [p.name for p in populations if p.rule is not None]
    if not ruled:
        raise ValueError(f"{top}: populations: none has a neuron, so there is nothing to simulate")
    if not isinstance(d["synapses"], list) or not d["synapses"]:
        raise ValueError(f"{top}: synapses: must be a list of tables, each under [[synapses]], got {d['synapses']!r}")
    synapses = [s for i, entry in enumerate(d["synapses"], 1)
                for s in _synapses(entry, populations, time, f"{top}: synapses {i}")]
    record, traces = _record(d.get("record", {}), ruled, f"{top}: record")
    with _at(top):
        network = Network(tuple(populations), synapses=tuple(synapses), time=time, seed=d.get("seed", 0))
        return Description(network, duration, record, traces)


def _population(name: str, d: Any, dt: float, shared: Mapping[str, Neuron], path: Path) -> Population:
    where = f"{path}: populations {name}"
    _known(d, ("size", "shape", "neuron", "source", "initial"), (), where)
    for one, other in (("size", "shape"), ("neuron", "source")):
        if (one in d) == (other in d):
            raise ValueError(f"{where}: give {one} or {other}" + (", not both" if one in d else ""))
    shape = [d["size"]] if "size" in d else d["shape"]
    if not isinstance(shape, list) or not all(type(n) is int for n in shape):
        wanted = "size: must be a whole number" if "size" in d else "shape: must be a list of whole numbers"
        raise ValueError(f"{where}: {wanted}, got {d.get('size', d.get('shape'))!r}")
    if "source" in d:
        if "initial" in d:
            raise ValueError(f"{where}: a source has no initial states: leave out initial")
        source = _source(d["source"], f"{where}: source", path.parent)
        with _at(where):
            return Population(name, tuple(shape), source=source)
    neuron = _one(d["neuron"], NEURONS, "neuron", f"{where}: neuron", shared)
    initial = {state: _value(value, f"{where}: initial {state}")
               for state, value in _table(d.get("initial", {}), f"{where}: initial").items()}
    with _at(where):
        return Population.of(name, shape, neuron, dt, initial=initial)


def _synapses(d: Any, populations: Sequence[Population], time: TimeBase, where: str) -> Iterator[Synapses]:
    _known(d, [f.name for f in fields(Synapses)], ("source", "target", "connect"), where)
    sources, targets = (_names(d[end], [p.name for p in populations], f"{where}: {end}") for end in ("source", "target"))
    given = {"connect": _one(d["connect"], CONNECT, "connection rule", f"{where}: connect"),
             **{name: _value(d[name], f"{where}: {name}") for name in ("weight", "delay") if name in d}}
    if "receptor" in d:
        given["receptor"] = d["receptor"]
    if "plasticity" in d:
        given["plasticity"] = _one(d["plasticity"], PLASTICITY, "plasticity", f"{where}: plasticity")
    for source, target in product(sources, targets):
        with _at(where):
            synapses = Synapses(source, target, **given)
            Network(tuple(populations), synapses=(synapses,), time=time)  # alone, so that what does not fit has its place
        yield synapses


def _record(d: Any, ruled: Sequence[str], where: str) -> tuple[list[str] | None, dict[str, tuple[str, list[int]]]]:
    _known(d, ("spikes", "traces"), (), where)
    traces = {}
    for name, wanted in _table(d.get("traces", {}), f"{where}: traces").items():
        _names(name, ruled, f"{where}: traces")
        _known(wanted, ("state", "neurons"), ("state", "neurons"), f"{where}: traces {name}")
        if not isinstance(wanted["neurons"], list):
            raise ValueError(f"{where}: traces {name}: neurons: must be a list of numbers, got {wanted['neurons']!r}")
        traces[name] = wanted["state"], wanted["neurons"]
    return _names(d["spikes"], ruled, f"{where}: spikes") if "spikes" in d else None, traces


def _source(value: Any, where: str, folder: Path) -> Any:
    arguments = value.get("SpikeTimes") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(arguments, dict) or "times_file" not in arguments:
        return _one(value, SOURCES, "source", where)
    name = arguments["times_file"]
    if len(arguments) > 1 or not isinstance(name, str):
        raise ValueError(f"{where}: times_file must be the name of a file, and stands alone, got {arguments!r}")
    with _at(where):
        return SpikeTimes(*_spikes_of(folder / name))


def _spikes_of(path: Path) -> tuple[array[float], array[int]]:
    """The times (ms) and neurons in a text file: columns part at blanks or commas, and # begins a comment."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than the {LARGEST_FILE:,} that are read: give the "
                         "spikes as SpikeTimes in Python")
    times, chosen, columns = array("d"), array("q"), 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for i, line in enumerate(lines, 1):
            parts = line.partition("#")[0].replace(",", " ").split()
            if not parts:
                continue
            columns = columns or len(parts)
            try:
                time, neuron = float(parts[0]), float(parts[1]) if columns == 2 else 0.0
            except (ValueError, IndexError):
                time = neuron = math.nan
            if len(parts) != columns or columns > 2 or not 0.0 <= time < math.inf or not 0 <= neuron < 2**31 or neuron % 1:
                wanted = "a time in ms and a neuron" if columns == 2 else "a time in ms"
                raise ValueError(f"{path}, line {i}: expected {wanted}, got {line.strip()!r}")
            times.append(time)
            chosen.append(int(neuron))
    if not times:
        raise ValueError(f"{path} holds no spikes: a line for each, with its time in ms, and its neuron after a comma")
    return times, chosen


def _one(value: Any, classes: Classes, what: str, where: str, shared: Mapping[str, Any] | None = None) -> Any:
    """What `{ Name = { argument = value } }` or "Name" stands for; `shared` are things that have a name already."""
    known = [*(shared or ()), *classes]
    if isinstance(value, str):
        if shared and value in shared:
            return shared[value]
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"{where}: must be one {what}, as {{ Name = {{ argument = value }} }}, got {value!r}")
    [(name, arguments)] = value.items()
    if name not in classes:
        raise ValueError(f"{where}: unknown {what} {name!r}; known are {', '.join(known)}{_near(name, known)}")
    needed = [f.name for f in fields(classes[name]) if f.default is MISSING and f.default_factory is MISSING]
    _known(arguments, [f.name for f in fields(classes[name])], needed, f"{where}: {name}")
    hints = get_type_hints(classes[name])
    given = {key: _argument(hints[key], argument, f"{where}: {name}: {key}") for key, argument in arguments.items()}
    with _at(where):
        return classes[name](**given)


def _argument(hint: Any, value: Any, where: str) -> Any:
    """The value as an argument with this annotation takes it; the class itself checks what it allows."""
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{where}: must be true or false, got {value!r}")
        return value
    if get_origin(hint) is Literal:
        if not isinstance(value, str):
            raise ValueError(f"{where}: must be one of {', '.join(map(repr, get_args(hint)))}, got {value!r}")
        return value
    if hint in (float, int):
        return _number(value, where)
    numbers = _value(value, where)
    is_pair = isinstance(value, list) and any(get_origin(kind) is tuple for kind in get_args(hint))
    return tuple(value) if is_pair else numbers


def _value(value: Any, where: str) -> Any:
    """A number, an array of numbers, or a distribution."""
    if isinstance(value, dict):
        return _one(value, DISTRIBUTIONS, "distribution", where)
    if not isinstance(value, list):
        return _number(value, where)
    try:
        return np.array([_value(v, where) for v in value])
    except ValueError as e:
        raise ValueError(str(e) if str(e).startswith(where) else f"{where}: the lists within must be equally long") from None


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (isinstance(value, int) and abs(value) >= 2**63):
        raise ValueError(f"{where}: must be a number, got {value!r}")
    return value


def _names(value: Any, known: Sequence[str], where: str) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where}: must be the name of a population, or a list of names, got {value!r}")
    for i, name in enumerate(names):
        if name not in known:
            raise ValueError(f"{where}: unknown population {name!r}; known are {', '.join(known)}{_near(name, known)}")
        if name in names[:i]:
            raise ValueError(f"{where}: {name!r} stands there twice")
    return names


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must be a table, got {value!r}")
    return value


def _known(value: Any, allowed: Sequence[str], needed: Iterable[str], where: str) -> None:
    """ValueError unless the value is a table that has all keys needed, and none that is not allowed."""
    for key in _table(value, where):
        if key not in allowed:
            raise ValueError(f"{where}: unknown key {key!r}; allowed are {', '.join(allowed) or 'none'}{_near(key, allowed)}")
    for key in needed:
        if key not in value:
            raise ValueError(f"{where}: {key} is missing")


def _near(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name.lower(), {k.lower(): k for k in known}, 1)
    return f"; did you mean {next(k for k in known if k.lower() == found[0])!r}?" if found else ""


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Errors of the Python API begin with their place in the file."""
    try:
        yield
    except ValueError as e:
        raise ValueError(f"{where}: {e}") from None
