"""The report: one HTML file with every picture inside it, which needs no network, no script and no other file."""

from __future__ import annotations

import base64
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim import doctor, engine, plot
from snnsim.files import replacing
from snnsim.hardware.energy import Range
from snnsim.hardware.mapping import NO_PROMISE
from snnsim.network import Network
from snnsim.report.simulation import Simulation, simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnsim.datasets import EventDataset, Recording
    from snnsim.hardware import MatchReport
    from snnsim.hardware.loihi.check import LoihiReport
    from snnsim.hardware.nir import ExportReport
    from snnsim.train import History


@dataclass(frozen=True)
class Headline:
    """A number worth a large print: what it is, its value, and the small print under it."""

    name: str
    value: str
    detail: str


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI; what it shows, in a heading, a text for who cannot see it, and an explanation."""

    heading: str
    alt: str
    text: str
    uri: str
    width: int  # px, at which its letters have the size of the page's small print


def write_report(path: str | os.PathLike[str], *, network: Network, samples: EventDataset,
                 simulation: Simulation | None = None, history: History | None = None, match: MatchReport | None = None,
                 export: ExportReport | None = None, loihi: LoihiReport | None = None,
                 title: str = "A spiking network, checked", summary: str = "", commands: Sequence[str] = (),
                 facts: Sequence[tuple[str, str]] = ()) -> None:
    """Write the report of a network on held-out samples; an existing file is replaced when the new one is complete.

    simulation: of these samples, made here unless given. history: of the training. match, export: of one artefact.
    loihi: of another, in whole numbers.
    summary: a paragraph on what was done, before the numbers. commands: what to type to get the same again. facts: pairs
    of name and value for the table of how it was made.

    Errors: ImportError that says what to install when jinja2 or matplotlib are missing; ValueError without samples.
    """
    jinja2 = needs()
    done = simulation or simulate(network, samples)
    page = template(jinja2, "report.html").render(
        title=title, summary=summary, headlines=_headlines(done, network, history, match, loihi),
        sections=_sections(network, samples, done, history, match, loihi), match=match, export=export, loihi=loihi,
        notes=network.notes,
        commands=list(commands), facts=[*facts, *_facts(done)], layers=_layers(network, done),
        artefact=os.path.basename(match.artefact) if match else "", promise=NO_PROMISE,
        loihi_artefact=os.path.basename(loihi.artefact) if loihi else "", microjoules=_microjoules,
        soft=loihi is not None and any(p.reset == "soft" for p in loihi.model.populations),
        synapses=[(name, n / len(done)) for name, n in done.synaptic.items()],
        made=datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"), version=doctor.versions()["snnsim"])
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def needs() -> Any:
    """The jinja2 module. ImportError that says what to install when a report cannot be written."""
    try:
        import jinja2
        import matplotlib  # noqa: F401  # asked for here, so that it is not missed after a long run
    except ImportError as e:
        raise ImportError(f'{e.name} is missing: pip install "snnsim[plot]"', name=e.name) from None
    return jinja2


def template(jinja2: Any, name: str) -> Any:
    """One of our templates, with the style that all share."""
    folder = resources.files("snnsim") / "templates"
    loader = jinja2.DictLoader({n: (folder / n).read_text(encoding="utf-8") for n in (name, "loihi.html", "style.css")})
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True).get_template(name)


def _headlines(done: Simulation, network: Network, history: History | None, match: MatchReport | None,
               loihi: LoihiReport | None) -> list[Headline]:
    n = len(done)
    found = []
    if done.labelled:
        found.append(Headline("held-out accuracy", f"{done.accuracy:.1%}", f"{done.correct:,} of {n:,} samples right"))
    if match is not None:
        detail = f"{sum(x.equal for x in match.layers):,} spikes, {match.predictions_equal:,} of {match.samples:,} predictions"
        found.append(Headline("spikes equal after export", "all" if match.exact else f"{match.share:.4%}", detail))
    if loihi is not None:
        detail = f"{loihi.predictions_equal:,} of {loihi.samples:,} predictions as in floats"
        value = f"{loihi.quantised.share:.1%} of spikes" if loihi.after is None else f"{loihi.after:.1%}"
        name = "equal" if loihi.after is None else "accuracy"
        found.append(Headline(f"{name} in whole numbers of {loihi.bits} bits", value, detail))
        cores = len(loihi.placed.cores)
        found.append(Headline("cores of a Loihi 2", f"{cores}", "by what is public of it" if loihi.placed.fits else
                              f"does not fit: {loihi.placed.misfits[0].limit}"))
        found.append(Headline("energy a sample, an estimate", f"{_microjoules(loihi.cost['Loihi 1'].total)} µJ",
                              "on a Loihi 1, of operations alone"))
    if history is not None and history.epochs:
        best = history.best
        checked = "" if math.isnan(best.validation_accuracy) else f", {best.validation_accuracy:.1%} on the validation split"
        found.append(Headline("chosen epoch", f"{best.epoch + 1} of {len(history.epochs)}", f"loss {best.loss:.3f}{checked}"))
    spikes = sum(int(c.sum()) for c in done.counts.values()) / n
    found.append(Headline("synaptic events a sample", f"{sum(done.synaptic.values()) / n:,.0f}",
                          f"from {done.events.mean():,.0f} events and {spikes:,.0f} spikes"))
    found.append(Headline("neurons updated every step", f"{done.ticked:.0%}", "the others wait for a spike" if done.ticked < 1
                          else "each has a bias, or is read at every step"))
    found.append(Headline("time a sample", f"{done.milliseconds:.1f} ms", f"simulated in batches on {doctor.cores()} cores"))
    return found


def _microjoules(picojoules: Range) -> Range:
    return Range(picojoules.low / 1e6, picojoules.high / 1e6)


def _layers(network: Network, done: Simulation) -> list[dict[str, Any]]:
    rows = []
    for p in network.populations[1:]:
        mean = float(done.counts[p.name].mean()) if p.name in done.counts else None
        steps = network.time.steps
        rate = mean / (p.size * steps) if mean is not None and steps else None
        rows.append({"name": p.name, "shape": " x ".join(map(str, p.shape)), "size": p.size,
                     "rule": p.rule.name if p.rule else "", "equation": p.rule.equation if p.rule else "", "spikes": mean,
                     "rate": rate})
    return rows


def _sections(network: Network, samples: EventDataset, done: Simulation, history: History | None,
              match: MatchReport | None, loihi: LoihiReport | None) -> list[tuple[str, str, list[Picture]]]:
    """(heading, anchor, pictures) in the order of the page."""
    shown = _example(done)
    recording = samples[shown]
    firing = [p.name for p in network.populations if p.rule is not None and p.rule.fires]
    hidden = [name for name in firing if name != network.output]
    kept = tuple(dict.fromkeys([*hidden[-1:], network.output]))
    result = engine.run(network, [recording.events], record=kept)
    sections = [("The input", "input", [_picture(
        "What the camera saw", "input events as frames",
        f"Sample {shown} of the held-out set{_labelled(recording, network)}, {len(recording.events):,} events. A pixel sends "
        "an event whenever it becomes brighter or darker; nothing else is sent.", plot.events(recording))])]
    sections.append(("The network", "network", [_picture(
        "Populations and projections", "the populations of the network as boxes, its projections as arrows",
        "Neurons stand in the boxes; each arrow is a linear map from the spikes at its tail to the inputs at its tip.",
        plot.network(network))]))
    if history is not None and history.epochs:
        sections.append(("Training", "training", [_picture(
            "Loss, accuracy and firing by epoch", "curves of loss, accuracy and firing rates over the epochs",
            "Surrogate gradients through time. The dotted epoch did best on the validation split, a part of the training "
            "set, and its weights were kept; the held-out samples took no part in that.", plot.training(history, hidden))]))
    sections.append(("That sample, step by step", "sample", _one_sample(network, recording, result, done, shown, hidden)))
    overall = []
    if done.labelled:
        classes = network.population(network.output).size
        overall.append(_picture(
            "What was taken for what", "confusion matrix of true and predicted classes",
            "A row for each true class, a column for each prediction; whatever is off the diagonal is a mistake.",
            plot.confusion(done.confusion(classes), network.classes)))
    if firing:
        overall.append(_picture("Spikes of each layer", "bars of the mean number of spikes of each layer",
                                "Spikes are what costs energy on neuromorphic hardware: at equal accuracy, fewer are better.",
                                plot.activity(done.counts, network)))
    sections.append(("All held-out samples", "all", overall))
    if match is not None and match.layers:
        sections.append(("The export", "export", [_picture(
            "Spikes equal, layer by layer", "bars of the share of equal spikes of each layer",
            "The exported file was read back and run beside the network on the same events. Each spike was compared: same "
            "neuron, same step.", plot.match(match))]))
    if loihi is not None:
        sections.append(("For Loihi, in whole numbers", "loihi", [_picture(
            "Spikes that rounding keeps", "bars of the share of spikes in whole numbers that are those in floats",
            "The network in floats beside the file in whole numbers, shifted by the steps that hardware is late. Weights, "
            "decays and thresholds were rounded, so a neuron may fire a step earlier or later, which here counts as two "
            "spikes that differ.", plot.match(loihi.quantised))] if loihi.quantised.layers else []))
    return sections


def _one_sample(network: Network, recording: Recording, result: engine.Result, done: Simulation, shown: int,
                hidden: list[str]) -> list[Picture]:
    names = network.classes or tuple(map(str, range(network.population(network.output).size)))
    label = recording.label if recording.label >= 0 else None
    said = f"Predicted: {names[int(done.predictions[shown])]}" + (f", true: {names[label]}." if label is not None else ".")
    pictures = []
    if done.counts:
        pictures.append(_picture("Who fired when", "raster of the spikes of each layer over time",
                                 "Time runs to the right, each row is a neuron. Where a layer fires a lot, the shade says how "
                                 "many neighbouring neurons fire in that step.", plot.raster(result, network, 0, recording)))
    if hidden:
        traces = plot.membranes(result, network, hidden[-1])
        pictures.append(_picture(f"How neurons of {hidden[-1]} came to fire", "membrane traces with thresholds and spikes",
                                 "The membrane after each step, so after the reset; a line upwards marks a spike. Four "
                                 "neurons, from the busiest to one that fired little.", traces))
    pictures.append(_picture("How the answer formed", "membranes of the readout over time", said,
                             plot.readout(result, network, 0, label)))
    return pictures


def _labelled(recording: Recording, network: Network) -> str:
    if recording.label < 0:
        return ""
    return f" (class {network.classes[recording.label] if network.classes else recording.label})"


def _example(done: Simulation) -> int:
    """The sample that is shown: the first that was classified rightly, else the first."""
    return int(np.argmax(done.predictions == done.labels)) if done.labelled else 0


def _picture(heading: str, alt: str, text: str, figure: Figure) -> Picture:
    data = base64.b64encode(plot.svg(figure).encode()).decode()
    return Picture(heading, alt, text, f"data:image/svg+xml;base64,{data}", round(figure.get_figwidth() * 107))


def _facts(done: Simulation) -> list[tuple[str, str]]:
    versions = ", ".join(f"{k} {v}" for k, v in doctor.versions("core", "train", "plot").items())
    return [("simulation", f"{done.mode}-driven, {len(done):,} samples, {done.updates:.0%} of all neurons x steps updated"),
            ("machine", f"{platform.system()} {platform.machine()}, {doctor.cores()} cores"), ("versions", versions)]
