"""An SFQ network as files: NAME.v, NAME_tb.v, cells.v, and NAME.json, which holds the weights and says what it would take."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.bench import bench
from snnsim.hardware.sfq.build import LARGEST, expand
from snnsim.hardware.sfq.check import check
from snnsim.hardware.sfq.description import begins_with, naming, read_described, write_files
from snnsim.hardware.sfq.library import Library, load
from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork, of_network
from snnsim.hardware.sfq.names import identifier
from snnsim.hardware.sfq.plan import Plan, count, plan
from snnsim.hardware.sfq.pulses import input_pulses, run
from snnsim.hardware.sfq.schedule import SPACING, Delays, Phase, Schedule, begins, whole, widths
from snnsim.hardware.sfq.statistics import Statistics, statistics
from snnsim.hardware.sfq.structural import cells as cells_of
from snnsim.hardware.sfq.structural import clears, structural
from snnsim.hardware.sfq.verilog import table
from snnsim.network import Network, TimeBase
from snnsim.version import __version__

FORMAT, SCHEMA = "snnsim sfq cells", 1
LARGEST_FILE = 256 * 2**20
Form = Literal["table", "cells"]


def export(network: SFQNetwork | Network, path: str | os.PathLike[str], *, level: str = "cells", form: Form | None = None,
           counts: ArrayLike | None = None, library: Library | None = None, spacing: int = SPACING) -> Statistics:
    """Write `path`, such as net.json, and beside it net.v, net_tb.v and cells.v.

    form: "table", a module a layer; "cells", cell by cell; by default the latter for up to 20,000 cells. counts: what the
    testbench sends, [T, B, inputs], and what the energy is of; by default random pulses (seeded), and energy as a range.
    Errors: ValueError for a path that does not end in .json or whose name is no Verilog name, for a level that is not written
    here, and those of `of_network`, `plan` and `check`.
    """
    target = Path(path)
    if level != "cells":
        raise ValueError(f"level must be 'cells', got {level!r}: sfq.export_junctions writes junctions")
    if target.suffix != ".json":
        raise ValueError(f"path must end in .json, got {target.name!r}")
    name = identifier(target.stem)
    if name == "cells":
        raise ValueError("path must not be cells.json, as cells.v is the file of the cells: take another name")
    net = network if isinstance(network, SFQNetwork) else of_network(network)
    library = library or load()
    planned = plan(net, library, spacing=spacing)
    if form is None:
        form = "cells" if sum(count(planned).values()) <= LARGEST else "table"
    x = random_counts(net) if counts is None else input_pulses(net, np.asarray(counts))[0]
    ran = run(net, x, schedule=planned.schedule, delays=Delays.of(library))
    texts, times = verilog(planned, x, ran.spikes, name, form)
    sent = [ran.given.mean(0), *(ran.spikes[q.name].sum(0).mean(0) for q in net.layers[:-1])]
    found = (statistics(planned, ticks=net.time.steps or len(x)) if counts is None else
             statistics(planned, ticks=len(x), pulses=sent))
    texts[target.name] = json.dumps(_described(planned, form, times, found), indent=1, allow_nan=False) + "\n"
    write_files(target.parent, texts)
    return found


def verilog(planned: Plan, counts: NDArray[Any], expected: Mapping[str, NDArray[Any]], name: str,
            form: Form) -> tuple[dict[str, str], tuple[int, ...]]:
    """The texts of a design in `form` and of its testbench, by file name; and when the testbench clears all."""
    net, when = planned.network, planned.schedule
    if form == "table":
        design, times = table(net, when, name), tuple(int(t) - 2 for t in when.ticks)
    elif form == "cells":
        netlist = expand(planned)
        report = check(netlist)
        if not report.ok:
            raise ValueError(f"the netlist cannot be made: {report}")
        design, times = structural(netlist, name), clears(netlist)
    else:
        raise ValueError(f"form must be 'table' or 'cells', got {form!r}")
    cells = cells_of(planned.library)
    return {"cells.v": cells, f"{name}.v": design,
            f"{name}_tb.v": bench(net, when, counts, expected, name, clears=times)}, times


def random_counts(network: SFQNetwork) -> Any:
    """Pulses [T, 2, inputs], the same in every call."""
    return np.random.default_rng(0).integers(0, network.burst + 1, (min(network.time.steps or 20, 20), 2, network.inputs))


def _described(planned: Plan, form: Form, times: tuple[int, ...], found: Statistics) -> dict[str, Any]:
    net, when, process = planned.network, planned.schedule, planned.library.process
    layers = [{"name": q.name, "weight": q.weight.tolist(), "threshold": q.threshold.tolist(), "leak": q.leak, "reset": q.reset,
               "bits": q.bits} for q in net.layers]
    t = net.time
    return {"format": FORMAT, "schema": SCHEMA, "version": __version__, "form": form, "burst": net.burst,
            "classes": list(net.classes), "notes": list(net.notes),
            "time": {"dt": t.dt, "t0": t.t0, "steps": t.steps, "clip": t.clip}, "layers": layers,
            "schedule": {"spacing": when.spacing, "hold": when.hold, "period": when.period, "latency": when.latency,
                         "ticks": list(when.ticks), "clears": list(times)},
            "process": {"name": process.name, "icrit": process.icrit, "bias_voltage": process.bias_voltage},
            "statistics": found.to_dict()}


@dataclass(frozen=True)
class Described:
    """What a description holds: the network, the form of its Verilog, when what happens, and when `clear` is pulsed."""

    network: SFQNetwork
    form: Form
    schedule: Schedule
    clears: tuple[int, ...]


def is_description(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as `export` writes it."""
    return begins_with(path, FORMAT)


def read(path: str | os.PathLike[str]) -> Described:
    """A description. ValueError that names the file and the key."""
    told = read_described(path, FORMAT, SCHEMA, "cells", LARGEST_FILE)
    with naming(path):
        layers = [SFQLayer(_of(q, "name", str), q["weight"], q["threshold"], q["leak"], q["reset"], q["bits"])
                  for q in _of(told, "layers", list)]
        net = SFQNetwork(layers, TimeBase(**_of(told, "time", dict)), told["burst"], _of(told, "classes", list),
                         _of(told, "notes", list))
        form = told["form"]
        if form not in ("table", "cells"):
            raise ValueError(f"form must be 'table' or 'cells', got {form!r}")
        return Described(net, form, *_schedule(net, _of(told, "schedule", dict)))


def _of(told: Any, key: str, kind: type) -> Any:
    if not isinstance(told, dict):
        raise ValueError(f"an object with {key!r} is expected, got {type(told).__name__}")
    if not isinstance(told[key], kind):
        raise ValueError(f"{key} must be a {kind.__name__}, got {told[key]!r}")
    return told[key]


def _schedule(net: SFQNetwork, told: dict[str, Any]) -> tuple[Schedule, tuple[int, ...]]:
    spacing = whole("spacing", told["spacing"], 2)
    for key in ("ticks", "clears"):
        if not isinstance(told[key], list):
            raise ValueError(f"{key} must be a list, got {told[key]!r}")
    phases = tuple(Phase(layer.name, begins(width), whole("a tick", tick, int(width.sum())))
                   for layer, width, tick in zip(net.layers, widths(net, spacing), told["ticks"], strict=True))
    return Schedule(phases, spacing, whole("hold", told["hold"], 0)), tuple(whole("a clear", t, 2) for t in told["clears"])
