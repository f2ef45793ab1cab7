"""What `snnsim run` does with a network of populations: say what it needs, run it, and show what came of it."""

from __future__ import annotations

import runpy
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from snnsim.cli.output import complain, dump, say, table

if TYPE_CHECKING:
    from snnsim.description import Description
    from snnsim.engine import Estimate, Recording, Simulation
    from snnsim.engine.layout import Precision
    from snnsim.network import Network

WRITTEN = (".toml", ".py")  # descriptions, by the endings of their names
TRIED = 50  # the share of the steps that tells how long a run takes is one in so many
MOST_TRIED = 2_000  # steps


def describes_populations(path: Path) -> bool:
    """Is this a description, or a network file with synapses?"""
    if path.suffix in WRITTEN or not path.is_file():
        return path.suffix in WRITTEN
    from snnsim.network_file import load_network

    return bool(load_network(path).synapses)


def read(path: Path) -> Description:
    """The description in a TOML or Python file, or of a network file as it stands."""
    from snnsim.description import Description, load_description
    from snnsim.network_file import load_network

    if path.suffix == ".toml":
        return load_description(path)
    if path.suffix == ".h5":
        return Description(load_network(path))
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    names = _run_python(path)
    if "network" not in names:
        raise ValueError(f"{path} defines no `network`: assign the Network that is to be run to that name")
    given = {name: names[name] for name in ("network", "duration", "record", "traces") if name in names}
    try:
        return Description(**given)
    except (TypeError, ValueError) as e:
        raise ValueError(f"{path}: {e}") from e


def _run_python(path: Path) -> dict[str, Any]:
    """The names that the user's own Python file defines; what fails in it is a sentence with the line."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(str(path), run_name="<snnsim run>")
    except Exception as e:
        lines = [frame.lineno for frame in traceback.extract_tb(e.__traceback__) if frame.filename == str(path)]
        line = e.lineno if isinstance(e, SyntaxError) else lines[-1] if lines else None
        raise ValueError(f"{path}{f', line {line}' if line else ''}: {type(e).__name__}: {e}") from e
    finally:
        sys.path.remove(folder)


def simulate(path: Path, duration: float | None, threads: int | None, precision: Precision | None, out: Path | None,
             raster: Path | None, save: Path | None, resume: Path | None, as_json: bool) -> None:
    """Run what the file describes; the options are those of `snnsim run`."""
    _check_outputs(out, raster, save)
    description = read(path)
    if duration is not None:
        description = replace(description, duration=duration)
    tell: Callable[[str], None] = (lambda text: None) if as_json else say
    simulation, built_s = _build(description, threads, precision, resume, tell)
    try:
        recording, wall_s = _run(simulation, description.duration, tell)
    except KeyboardInterrupt:
        complain("interrupted; nothing was kept")
        raise typer.Exit(130) from None
    if as_json:
        dump(_told(path, simulation, recording, built_s, wall_s))
    else:
        say()
        _show(recording, wall_s)
    _write(simulation, recording, out, raster, save, tell)


def _check_outputs(out: Path | None, raster: Path | None, save: Path | None) -> None:
    """Refuse what could not be written before the work is done, not after."""
    for path in (out, raster, save):
        if path is not None and not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    if raster is not None:
        from snnsim.plot.saving import kind_of
        from snnsim.plot.style import matplotlib

        kind_of(raster)
        matplotlib()


def _build(d: Description, threads: int | None, precision: Precision | None, resume: Path | None,
           tell: Callable[[str], None]) -> tuple[Simulation, float]:
    """The simulation at its start, or where a saved one stopped, and the seconds that building it took."""
    from snnsim.engine import Simulation, estimate

    began = time.perf_counter()
    if resume is None:
        tell(_needs(estimate(d.network, threads, precision or "single")))
        simulation = Simulation(d.network, threads=threads, precision=precision or "single", record=d.record, traces=d.traces)
    else:
        simulation = Simulation.load(resume, threads=threads, record=d.record, traces=d.traces)
        if precision not in (None, simulation.precision):
            raise ValueError(f"{resume} goes on with precision {simulation.precision!r}: leave out --precision {precision}")
        if _stored(simulation.network) != _stored(d.network):
            raise ValueError(f"{resume} is a simulation of another network: describe the one that was saved, its seed included")
        tell(f"{resume} stopped at {simulation.time:,g} ms and goes on from there")
    built_s = time.perf_counter() - began
    tell(f"built in {_span(built_s)}: {simulation.synapses:,} synapses")
    return simulation, built_s


def _needs(e: Estimate) -> str:
    free = "" if e.available is None else f", {_size(e.available)} are free"
    return (f"{e.neurons:,} neurons, about {e.synapses:,.0f} synapses: {_size(e.bytes)} of memory{free}; how long it takes is "
            "measured once it is built")


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{max(1, round(size / 2**20))} MiB"


def _stored(network: Network) -> bytes:
    """The network as a file would hold it, which is equal for equal networks."""
    import io

    import h5py

    from snnsim.network_file import write_network

    memory = io.BytesIO()
    with h5py.File(memory, "w") as f:
        write_network(network, f)
    return memory.getvalue()


def _run(simulation: Simulation, duration: float, tell: Callable[[str], None]) -> tuple[Recording, float]:
    """What was recorded, and the seconds that it took once the kernels were loaded, with which the first step begins."""
    from snnsim.engine import join_recordings

    dt, steps = simulation.dt, round(duration / simulation.dt)
    pieces = [simulation.run(dt, progress=False)]
    tried = min(steps // TRIED, MOST_TRIED)
    if tried:
        pieces.append(simulation.run(tried * dt, progress=False))
        expected = pieces[1].wall_s * steps / tried
        about = f"about {_span(expected)}" if expected >= 1.0 else "less than a second"
        tell(f"{duration:,g} ms will take {about}, going by the first {tried * dt:,g} ms")
    if steps - 1 - tried:
        pieces.append(simulation.run((steps - 1 - tried) * dt))
    timed = join_recordings(pieces[1:] or pieces)
    return join_recordings(pieces), timed.wall_s * steps / timed.steps


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds:.2f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _show(recording: Recording, wall_s: float) -> None:
    table(("population", ">neurons", ">rate (Hz)", ">CV of intervals", ">spikes"),
          [(name, f"{size:,}", f"{recording.rate(name):.2f}", "-" if cv is None else f"{cv:.2f}",
            f"{recording.counts[name].sum():,}")
           for name, size in recording.sizes.items() for cv in [_cv(recording, name)]])
    say()
    table(("", ""), [
        ("simulated", f"{recording.duration:,g} ms in {_span(wall_s)}"),
        ("real-time factor", f"{1e3 * wall_s / recording.duration:.3g} (wall clock over simulated time)"),
        ("synaptic events", f"{recording.synaptic_events:,}, {recording.synaptic_events / wall_s:.3g} a second of wall clock")])


def _cv(recording: Recording, name: str) -> float | None:
    """The mean over the neurons that fired often enough; None where there is none, or their spikes were not recorded."""
    from snnsim import statistics

    found = statistics.cv(recording, name) if name in recording.spikes else ()
    return float(sum(found) / len(found)) if len(found) else None


def _told(path: Path, simulation: Simulation, recording: Recording, built_s: float, wall_s: float) -> dict[str, Any]:
    return {"network": str(path), "synapses": simulation.synapses, "threads": simulation.threads,
            "precision": simulation.precision, "start_ms": recording.start * recording.dt, "duration_ms": recording.duration,
            "populations": {name: {"neurons": size, "rate_hz": recording.rate(name), "cv": _cv(recording, name),
                                   "spikes": int(recording.counts[name].sum())} for name, size in recording.sizes.items()},
            "synaptic_events": recording.synaptic_events, "build_s": built_s, "wall_s": wall_s,
            "real_time_factor": 1e3 * wall_s / recording.duration, "digest": recording.digest()}


def _write(simulation: Simulation, recording: Recording, out: Path | None, raster: Path | None, save: Path | None,
           tell: Callable[[str], None]) -> None:
    from snnsim import engine

    if out is not None:
        engine.save_recording(recording, out)
        tell(f"{out} written: see snnsim plot populations, statistics and traces")
    if save is not None:
        simulation.save(save)
        tell(f"{save} written: --resume {save} goes on at {simulation.time:,g} ms")
    if raster is not None:
        from snnsim import plot

        plot.save(plot.populations(recording), raster)
        tell(f"{raster} written")
