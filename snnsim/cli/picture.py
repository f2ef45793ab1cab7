"""snnsim plot: pictures of events, networks, spikes and training, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnsim.cli.output import say
from snnsim.cli.samples import of_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

app = typer.Typer(help="Draw pictures, as .png, .svg or .pdf: events, network, raster, membranes, training; "
                       "populations, statistics and traces of a simulation.", no_args_is_help=True)
Out = Annotated[Path, typer.Option("-o", "--out", help="The picture to write: .png, .svg or .pdf.")]
EventFile = Annotated[Path, typer.Argument(help="An event file (N-MNIST .bin).")]
NetworkFile = Annotated[Path, typer.Argument(help="A network file (.h5).")]
RecordingFile = Annotated[Path, typer.Argument(help="A recording (.h5) that save_recording wrote.")]


def _save(figure: Figure, out: Path) -> None:
    from snnsim.plot import save

    save(figure, out)
    say(f"{out} written")


@app.command()
def events(
    file: EventFile,
    out: Out,
    frames: Annotated[int, typer.Option("--frames", min=1, max=24, help="How many spans of time.")] = 6,
) -> None:
    """What the camera saw, in a few frames. Example: `snnsim plot events 00003.bin -o events.png`"""
    from snnsim import plot

    _save(plot.events(of_files([file])[0], frames), out)


@app.command()
def network(file: NetworkFile, out: Out) -> None:
    """Populations and projections. Example: `snnsim plot network net.h5 -o network.svg`"""
    from snnsim import plot
    from snnsim.network_file import load_network

    _save(plot.network(load_network(file)), out)


@app.command()
def raster(network: NetworkFile, file: EventFile, out: Out) -> None:
    """Who fired when, on one event file. Example: `snnsim plot raster net.h5 00003.bin -o raster.png`"""
    from snnsim import engine, plot
    from snnsim.network_file import load_network

    net, [recording] = load_network(network), of_files([file])
    _save(plot.raster(engine.run(net, [recording.events]), net, 0, recording), out)


@app.command()
def membranes(
    network: NetworkFile,
    file: EventFile,
    out: Out,
    population: Annotated[str | None, typer.Option("--population", help="By default the last that fires.")] = None,
    neuron: Annotated[list[int] | None, typer.Option("--neuron", help="Which; give it again for more.")] = None,
) -> None:
    """How a few neurons came to fire. Example: `snnsim plot membranes net.h5 00003.bin -o membranes.png`"""
    from snnsim import engine, plot
    from snnsim.network_file import load_network

    net, [recording] = load_network(network), of_files([file])
    firing = [p.name for p in net.populations if p.rule is not None and p.rule.fires]
    name = population or (firing[-1] if firing else net.output)
    _save(plot.membranes(engine.run(net, [recording.events], record=(name,)), net, name, neuron), out)


@app.command()
def training(
    file: Annotated[Path, typer.Argument(help="A training.json that train wrote.")],
    out: Out,
) -> None:
    """Loss, accuracy and firing by epoch. Example: `snnsim plot training runs/digits/seed-0/training.json -o training.png`"""
    from snnsim import plot
    from snnsim.cli.training import read_training

    history, layers = read_training(file)
    _save(plot.training(history, layers), out)


@app.command()
def populations(
    file: RecordingFile,
    out: Out,
    neurons: Annotated[int, typer.Option("--neurons", min=1, help="About how many to draw, chosen at random.")] = 2000,
) -> None:
    """Spikes of all populations over their rates. Example: `snnsim plot populations recording.h5 -o raster.png`"""
    from snnsim import engine, plot

    _save(plot.populations(engine.load_recording(file), neurons), out)


@app.command()
def statistics(file: RecordingFile, out: Out) -> None:
    """Rates, intervals and correlations. Example: `snnsim plot statistics recording.h5 -o statistics.png`"""
    from snnsim import engine, plot

    _save(plot.statistics(engine.load_recording(file)), out)


@app.command()
def traces(
    file: RecordingFile,
    out: Out,
    population: Annotated[str | None, typer.Option("--population", help="By default the first that was traced.")] = None,
    neuron: Annotated[list[int] | None, typer.Option("--neuron", help="Which; give it again for more.")] = None,
    unit: Annotated[str, typer.Option("--unit", help="Of the traced state, for the label: mV.")] = "",
) -> None:
    """Membranes over time, with their spikes. Example: `snnsim plot traces recording.h5 --population E -o traces.png`"""
    from snnsim import engine, plot

    recording = engine.load_recording(file)
    if not recording.traces:
        raise ValueError(f"{file} holds no traces: simulate with traces={{population: (state, neurons)}}")
    _save(plot.traces(recording, population or next(iter(recording.traces)), neuron, unit), out)
