"""Pictures: each has something in it, its axes are labelled, and it says what it cannot draw."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from snnsim import datasets, engine, plot
from snnsim.datasets import Recording, Sensor
from snnsim.hardware.verify import LayerMatch, MatchReport
from snnsim.maps import Conv2d, Dense, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import LI, LIF, AdaptiveLIF
from snnsim.train import Epoch, History

SENSOR = Sensor(34, 34)


def small_network(reset: str = "hard") -> Network:
    """Conv, pool and dense onto three layers: what a picture of a network has to show."""
    rng = np.random.default_rng(0)
    weight = lambda *shape: rng.normal(0.15, 0.4, shape).astype(np.float32)  # noqa: E731
    layers = (Population("input", SENSOR.shape), Population.of("first", (4, 8, 8), LIF(reset=reset), 10.0, np.float32),
              Population.of("second", (20,), LIF(reset=reset), 10.0, np.float32),
              Population.of("out", (10,), LI(), 10.0, np.float32))
    chains = (Projection("input", "first", (Conv2d(weight(4, 2, 5, 5), stride=4),)),
              Projection("first", "second", (SumPool2d(2), Dense(weight(20, 64)))),
              Projection("second", "out", (Dense(weight(10, 20)),), bias=weight(10)))
    return Network(layers, chains, TimeBase(dt=10.0, steps=30), classes=tuple("0123456789"))


def recording(seed: int, label: int | None = None, events: int = 600) -> Recording:
    """A cloud of events that sits elsewhere for each label."""
    rng = np.random.default_rng(seed)
    label = seed % 10 if label is None else label
    t = np.sort(rng.integers(0, 300_000, events))
    x, y = (np.clip(rng.normal(5 + 3 * (label % (3 + i)), 3, events).astype(int), 0, 33) for i in range(2))
    return Recording(datasets.make_events(t, x, y, rng.integers(0, 2, events)), label, SENSOR, f"sample {seed}")


def history(epochs: int = 3, validated: bool = True) -> History:
    value = 0.5 if validated else math.nan
    return History([Epoch(i, 1.0 / (i + 1), 0.5 + 0.1 * i, value, value, (0.1, 0.2), 1e-3, 2.0) for i in range(epochs)],
                   epochs - 1)


def report(missing: int = 0) -> MatchReport:
    layers = (LayerMatch("first", 100, 100 - missing, 100 - missing), LayerMatch("second", 0, 0, 0))
    return MatchReport("net.nir", 3, layers, (), 3, 0.0, ("a loss",), ("a time base",))


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


@pytest.fixture(scope="module")
def result(network: Network) -> engine.Result:
    return engine.run(network, [recording(i).events for i in range(3)], record=("first", "second", "out"))


def labels(figure: Figure) -> set[str]:
    return {text for a in figure.axes for text in (a.get_xlabel(), a.get_ylabel()) if text}


def texts(figure: Figure) -> str:
    drawn = [t.get_text() for a in figure.axes for t in [*a.texts, a.title, a._left_title]]  # type: ignore[attr-defined]
    return "\n".join(drawn)


def inked(figure: Figure, tmp_path: Path) -> float:
    """The share of pixels that are not white."""
    from matplotlib.image import imread

    plot.save(figure, tmp_path / "picture.png", dpi=50)
    return float(np.mean(imread(tmp_path / "picture.png")[..., :3].min(2) < 0.9))


@pytest.mark.parametrize(("name", "wanted"), [
    ("events", {"x (pixel)", "y (pixel)"}), ("raster", {"time (ms)", "neuron", "pixel"}),
    ("membranes", {"time (ms)", "membrane v"}), ("readout", {"time (ms)", "membrane of the class"}),
    ("training", {"cross-entropy (nats)", "correct", "neurons that fire in a step (%)", "epoch (dotted: chosen)"}),
    ("confusion", {"predicted class", "true class"}), ("match", {"share of all spikes that either fired"}),
    ("activity", {"spikes of a sample (line: nine samples in ten)"}), ("network", set()),
])
def test_each_picture_shows_something_with_labelled_axes(name, wanted, network, result, tmp_path):
    draw = {"events": lambda: plot.events(recording(1)),
            "raster": lambda: plot.raster(result, network, 1, recording(1)),
            "membranes": lambda: plot.membranes(result, network, "first", sample=1),
            "readout": lambda: plot.readout(result, network, 1, 4),
            "training": lambda: plot.training(history(), ("first", "second")),
            "confusion": lambda: plot.confusion([[5, 1], [0, 7]], ("cat", "dog")), "match": lambda: plot.match(report(3)),
            "activity": lambda: plot.activity(result.counts, network), "network": lambda: plot.network(network)}[name]
    figure = draw()
    assert labels(figure) == wanted
    assert inked(figure, tmp_path) > 0.01


def test_a_network_picture_names_shapes_maps_and_loops(network):
    assert {"first", "4 x 8 x 8", "256 neurons", "conv 5 x 5", "2 to 4, stride 4", "sum pool 2", "64 to 20", "+ bias",
            "30 steps of 10 ms", "rule lif_hard"} <= set(texts(plot.network(network)).split("\n"))
    source, loop = np.ones((5, 5)), Sparse([0, 1, 2, 2, 2, 2], [0, 1], [1.0, 1.0], (5, 5))
    cells = [Population.of(f"p{i}", (5,), LIF(), 1.0) for i in range(6)]
    chain = [Projection(a.name, b.name, (Dense(source),)) for a, b in pairwise(cells)]
    net = Network((Population("in", (5,)), *cells),
                  (Projection("in", "p0", (Dense(source),)), *chain, Projection("p1", "p1", (loop,), delay=2),
                   Projection("p0", "p3", (Dense(source),)), Projection("p5", "p0", (Dense(source),), delay=1)))
    assert "sparse, 2 synapses, delay 2" in texts(plot.network(net))


def test_a_raster_counts_the_spikes_and_shades_where_dots_would_hide_each_other(network, result):
    spikes = result.spikes["first"]
    n = int((spikes.sample == 0).sum())
    assert f"first: {n:,} spikes" in texts(plot.raster(result, network, 0))
    many = engine.run(network, np.ones((100, 1, 2, 34, 34), np.float32))
    shaded = plot.raster(many, network)
    assert len(many.spikes["first"]) > 3000 and shaded.axes[0].images and not shaded.axes[0].lines


def test_membranes_of_an_adaptive_neuron_have_no_constant_threshold():
    net = Network((Population("in", (3,)), Population.of("a", (2,), AdaptiveLIF(), 1.0)),
                  (Projection("in", "a", (Dense(np.ones((2, 3))),)),))
    result = engine.run(net, np.ones((10, 1, 3)), record=("a",))
    figure = plot.membranes(result, net, "a")
    assert "threshold" not in texts(figure) and labels(figure) == {"a", "time (ms)"}


def test_a_line_of_pixels_is_drawn_over_time(tmp_path):
    row = Sensor(1, 700, 1)
    spoken = Recording(datasets.make_events([0, 5, 9], [3, 699, 4], [0, 0, 0], [0, 0, 0]), 0, row)
    figure = plot.events(spoken)
    assert labels(figure) == {"time (ms)", "pixel"} and inked(figure, tmp_path) > 0.001


def test_training_is_drawn_without_a_validation_split():
    figure = plot.training(history(validated=False))
    assert [len(a.lines) for a in figure.axes] == [2, 2, 3]


@pytest.mark.parametrize(("draw", "sentence"), [
    (lambda n, r: plot.events(recording(0), 0), "frames must be at least 1, got 0"),
    (lambda n, r: plot.raster(r, n, 3), "sample must lie from 0 to 2, got 3"),
    (lambda n, r: plot.membranes(r, n, "input"), "the membranes of 'input' were not recorded: run with record=('input',)"),
    (lambda n, r: plot.membranes(r, n, "second", [20]), "neurons of 'second' are numbered from 0 to 19, got [20]"),
    (lambda n, r: plot.training(History()), "the history holds no epoch: there is nothing to draw"),
    (lambda n, r: plot.confusion([1, 2]), "counts must have the shape (classes, classes), got (2,)"),
    (lambda n, r: plot.activity({}, n), "no population of this network fires: there is no activity to draw"),
])
def test_what_cannot_be_drawn_is_said(draw, sentence, network, result):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        draw(network, result)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_is_saved_whole(kind, tmp_path):
    path = tmp_path / f"x.{kind}"
    plot.save(plot.confusion([[1]]), path)
    assert path.stat().st_size > 1000 and list(tmp_path.iterdir()) == [path]


def test_an_unknown_kind_of_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write a picture to .*x.gif: its name must end in .png, .svg, .pdf"):
        plot.save(plot.confusion([[1]]), tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


def test_an_svg_is_the_same_for_the_same_data():
    first, second = (plot.svg(plot.match(report())) for _ in range(2))
    assert first == second and "<svg" in first


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot.svg(plot.events(recording(2)))
    assert dict(matplotlib.rcParams) == before


def test_importing_plot_needs_no_matplotlib_and_says_what_to_install():
    child = ("import sys; sys.modules['matplotlib'] = None\nfrom snnsim import plot\n"
             "try: plot.confusion([[1]])\nexcept ImportError as e: print(e)")
    output = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == 'matplotlib is missing: pip install "snnsim[plot]"'
