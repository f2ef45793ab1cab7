"""Pictures of recordings: labelled, honest about what they leave out, and drawn for the smallest and for large ones."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from snnsim import plot
from snnsim.engine import Recording, SpikeTrains, Traces
from tests import recordings
from tests.test_plot import inked, labels, texts

COLUMNS = {"rate of a neuron (Hz)", "inter-spike interval (ms)", "CV of intervals", "correlation (bins of 2 ms)"}


def one_neuron(fired, dt=1.0):
    membrane = Traces("v", np.array([0]), np.zeros((len(fired), 1), np.float32))
    return recordings.dense({"p": np.reshape(fired, (-1, 1))}, dt, 3, {"p": membrane})


EDGES = {
    "three populations": recordings.random(start=500),
    "no spikes": one_neuron([0] * 100), "one spike": one_neuron([0] * 99 + [1]),
    "one step": one_neuron([1]), "one silent step": one_neuron([0]), "two spikes": one_neuron([1, 0, 0, 1]),
    "all the time": one_neuron([1] * 100), "a long step": one_neuron([0, 1, 1, 0, 1, 1, 0, 1] * 5, 5.0),
    "a clock": recordings.dense({"p": np.tile(np.arange(100)[:, None] % 20 == 0, 5)}, 1.0, 0,
                                {"p": Traces("u", np.array([4, 2]), np.ones((100, 2)))}),
    "many": recordings.dense({f"group {i}": np.random.default_rng(i).random((100, 300 if i == 2 else 1 + i % 2)) < 0.1
                              for i in range(9)}, traces={"group 2": Traces("v", np.arange(9), np.full((100, 9), np.nan))}),
}


@pytest.mark.parametrize("name", EDGES)
def test_the_smallest_recordings_are_drawn(name, tmp_path):
    r = EDGES[name]
    figure = plot.populations(r)
    assert labels(figure) == {"population", "time (ms)", "rate (Hz)"} and inked(figure, tmp_path) > 0.005
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(r.spikes)
    figure = plot.statistics(r)
    bins = {"correlation (bins of 2 ms)": "correlation (bins of 5 ms)"} if r.dt == 5.0 else {}
    assert labels(figure) == {bins.get(c, c) for c in COLUMNS} | set(r.spikes) and inked(figure, tmp_path) > 0.005
    for population in r.traces:
        figure = plot.traces(r, population)
        assert labels(figure) == {"time (ms)"} and inked(figure, tmp_path) > 0.005


def boxes(figure):
    """Where each visible text of the drawn figure stands, a little narrower, so that neighbours may touch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = [] if figure._supylabel is None else [figure._supylabel]
    for a in figure.axes:
        found += [*a.texts, a.title, a._left_title, a._right_title, a.xaxis.label, a.yaxis.label]
        found += [tick.label1 for axis in (a.xaxis, a.yaxis) for tick in axis._update_ticks()]
    return [(t.get_text(), t.get_window_extent(renderer).shrunk(0.95, 0.95)) for t in found if t.get_visible() and t.get_text()]


@pytest.mark.parametrize("name", ["three populations", "one step", "a clock", "many"])
@pytest.mark.parametrize("draw", [plot.populations, plot.statistics, lambda r: plot.traces(r, next(iter(r.traces)), unit="mV")],
                         ids=["populations", "statistics", "traces"])
def test_no_text_covers_another(draw, name):
    figure = draw(EDGES[name])
    found = boxes(figure)
    assert len(found) > 5
    for i, (text, box) in enumerate(found):
        assert not [other for other, b in found[:i] if box.overlaps(b)], text
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text


def test_a_raster_says_what_it_leaves_out():
    r = recordings.random()
    spikes = sum(map(len, r.spikes.values()))
    assert f"41 neurons: {spikes:,} spikes" in texts(plot.populations(r)).split("\n")
    figure = plot.populations(r, neurons=20)
    [title] = re.findall(r"18 neurons of 41, chosen at random in proportion to the populations \(seed 0\): (\d+) spikes of "
                         + f"{spikes:,}", texts(figure))
    dots = [len(line.get_xdata()) for line in figure.axes[0].lines]
    assert sum(dots) == int(title) and dots[2] == 0
    assert [len(line.get_xdata()) for line in plot.populations(r, neurons=20).axes[0].lines] == dots
    assert [len(line.get_xdata()) for line in plot.populations(r, neurons=20, seed=1).axes[0].lines] != dots
    assert "1 neuron: 1 spike" in texts(plot.populations(EDGES["one spike"])).split("\n")


def test_a_raster_puts_each_spike_at_its_time_and_neuron():
    fired = np.zeros((10, 4))
    fired[2, 0] = fired[5, 3] = 1
    figure = plot.populations(recordings.dense({"p": fired, "q": fired}, 0.5, 20))
    first, second = (line.get_xydata() for line in figure.axes[0].lines)
    assert first[:, 0].tolist() == [11.5, 13.0] == second[:, 0].tolist()
    top, bottom = first[:, 1]
    assert 0 < top < bottom < 0.5 < second[:, 1].min() and np.allclose(second[:, 1] - first[:, 1], 0.5)
    assert figure.axes[1].get_xlim() == (10.0, 15.0)


def test_the_rates_below_a_raster_count_every_neuron():
    r = recordings.random()
    figure = plot.populations(r, neurons=3, window_ms=10.0)
    assert "rates in windows of 10 ms" in texts(figure)
    for line, name in zip(figure.axes[1].lines, r.spikes, strict=True):
        assert np.isclose(line.get_ydata().sum() * r.sizes[name] * 10e-3, len(r.spikes[name]))


def test_a_million_spikes_stay_small(tmp_path):
    rng, steps, size = np.random.default_rng(0), 40_000, 50_000
    key = np.unique(rng.integers(0, steps * size, 1_000_000))
    trains = SpikeTrains(key // size, (key % size).astype(np.int32))
    r = Recording(0.1, 0, steps, {"p": size}, {"p": trains}, {"p": np.bincount(trains.step, minlength=steps)}, {}, 0, 0.0)
    busy = Recording(0.1, 0, steps, {"p": 50}, {"p": SpikeTrains(trains.step, trains.neuron % 50)}, r.counts, {}, 0, 0.0)
    for recording, most in ((r, 2000 * 20 * 1.5), (busy, 160_000)):
        figure = plot.populations(recording)
        assert len(figure.axes[0].lines[0].get_xdata()) < most
        plot.save(figure, tmp_path / "x.svg")
        assert (tmp_path / "x.svg").stat().st_size < 1_500_000


def test_statistics_name_the_mean_and_what_it_is_of():
    r = recordings.dense({"p": np.tile(np.arange(200)[:, None] % 20 == 0, 3), "q": np.zeros((200, 2))})
    shown = [a.get_title("right") + texts_of(a) for a in plot.statistics(r).axes]
    assert shown == ["mean 50 (n = 3)", "mean 20 (n = 27)", "mean 0 (n = 3)", "mean 1 (n = 3)",
                     "mean 0 (n = 2)", "no interval", "no neuron with 5 spikes", "no pair of neurons"]


def texts_of(axes):
    return "".join(t.get_text() for t in axes.texts)


def test_the_bars_of_a_distribution_hold_every_value():
    """Also those beyond the axis: every bar's share times its width gives one in all."""
    r = recordings.random(5)
    for a in plot.statistics(r).axes:
        for bars in a.patches:
            density, edges, _ = bars.get_data()
            width = np.diff(np.log(edges) if a.get_xscale() == "log" else edges)
            n = int(re.search(r"n = ([\d,]+)", a.get_title("right"))[1].replace(",", ""))
            assert np.isclose((density * width).sum(), n)


def test_traces_show_the_neurons_asked_for_with_their_spikes():
    fired = np.zeros((50, 9))
    fired[[4, 30], 5] = 1
    values = np.arange(8) + np.linspace(0, 1, 50)[:, None]
    r = recordings.dense({"p": fired}, 0.5, 10, {"p": Traces("v", np.array([8, 5, 1, 2, 3, 4, 6, 7]), values)})
    figure = plot.traces(r, "p", [5], unit="mV")
    [a] = figure.axes
    assert a.get_title("left") == "p, neuron 5: 2 spikes" and a.get_title("right") == "1 of 8 traced neurons"
    np.testing.assert_array_equal(a.lines[0].get_ydata(), values[:, 1])
    assert [s[0].tolist() for s in a.collections[0].get_segments()] == [[7.5, values[4, 1]], [20.5, values[30, 1]]]
    assert figure.get_supylabel() == "membrane v (mV)"
    assert [a.get_title("left")[:11] for a in plot.traces(r, "p").axes] == [f"p, neuron {n}" for n in (8, 5, 1, 2, 3, 4)]
    unrecorded = plot.traces(replace(r, spikes={}), "p", [5])
    assert unrecorded.axes[0].get_title("left") == "p, neuron 5" and not unrecorded.axes[0].collections


@pytest.mark.parametrize(("draw", "sentence"), [
    (lambda r: plot.populations(replace(r, spikes={})), "the recording holds the spikes of no population: there is nothing to "
                                                        "draw"),
    (lambda r: plot.statistics(replace(r, spikes={})), "the recording holds the spikes of no population: there is nothing to "
                                                       "draw"),
    (lambda r: plot.populations(r, 0), "neurons must be at least 1, got 0"),
    (lambda r: plot.populations(r, window_ms=0.7),
     "window_ms must be a whole number of steps of 0.5 ms, at most the recording's 500 ms, got 0.7"),
    (lambda r: plot.traces(r, "silent"), "no state of 'silent' was traced, only of ['L2/3E']"),
    (lambda r: plot.traces(r, "L2/3E", [2, 3]), "neurons must be some of those of 'L2/3E' that were traced (3, 1), got [2, 3]"),
    (lambda r: plot.traces(r, "L2/3E", []), "neurons must be some of those of 'L2/3E' that were traced (3, 1), got []"),
])
def test_what_cannot_be_drawn_is_said(draw, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        draw(recordings.random())
