"""Statistics of spike trains: closed forms, tiny cases by hand, and a plain reference for random trains."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from snnsim import statistics
from tests import recordings

TRAINS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24))  # [steps, neurons]
SETTINGS = settings(deadline=None)  # other programs share the machine
DT = st.sampled_from([0.1, 0.25, 1.0])


def plain_intervals(fired, dt):
    return [np.diff(np.flatnonzero(column)) * dt for column in fired.T]


def test_a_tiny_case_by_hand():
    """Neuron 0 fires in steps 0, 2, 3, 7; neuron 1 never; neuron 2 once."""
    fired = np.zeros((8, 3))
    fired[[0, 2, 3, 7], 0] = fired[4, 2] = 1
    r = recordings.dense({"p": fired}, dt=0.5, start=100)
    interval, neuron = statistics.isi(r, "p")
    assert (interval.tolist(), neuron.tolist()) == ([1.0, 0.5, 2.0], [0, 0, 0])
    np.testing.assert_allclose(statistics.cv(r, "p", 4), [np.sqrt(14 / 9) / (7 / 3)])  # in steps 2, 1, 4
    assert len(statistics.cv(r, "p")) == 0
    np.testing.assert_allclose(statistics.rates(r, "p"), [1000.0, 0.0, 250.0])
    times, rate = statistics.population_rate(r, "p", 2.0)  # 4 steps: 3 spikes of 3 neurons in 2 ms at first
    np.testing.assert_allclose(times, [51.0, 51.5, 52.0, 52.5, 53.0])
    np.testing.assert_allclose(rate, np.array([3, 3, 3, 2, 2]) / 3 / 2e-3)
    # bins of 2 steps: 1 2 0 1 against 0 0 1 0
    np.testing.assert_allclose(statistics.correlation(r, "p", 1.0), [-4 / np.sqrt(8 * 3)])


@pytest.mark.parametrize("period", [1, 7])
def test_a_clock_has_no_variation(period):
    fired = np.zeros((100, 2))
    fired[::period, 0] = fired[1::period, 1] = 1
    assert statistics.cv(recordings.dense({"p": fired}, 0.1), "p").tolist() == [0.0, 0.0]


def test_a_poisson_process_has_a_cv_near_one():
    """Intervals of independent steps are geometric: CV = sqrt(1 - p). The estimate from n intervals has a standard error
    of about 1 / sqrt(n) and a bias of the order of 1 / n."""
    p, steps, neurons = 0.02, 25_000, 100
    r = recordings.dense({"p": np.random.default_rng(1).random((steps, neurons)) < p}, 0.1)
    n = p * steps
    found = statistics.cv(r, "p")
    assert len(found) == neurons
    assert abs(found.mean() - np.sqrt(1 - p)) < 4 / np.sqrt(n * neurons) + 2 / n
    assert np.all(abs(found - 1.0) < 5 / np.sqrt(n))
    pairs = statistics.correlation(r, "p", 0.5)  # independent: 0, each with a standard error of 1 / sqrt(bins)
    assert len(pairs) == neurons * (neurons - 1) / 2 and np.all(abs(pairs) < 5 / np.sqrt(steps / 5))


@SETTINGS
@given(TRAINS, DT)
def test_rates_times_duration_are_the_counts(fired, dt):
    r = recordings.dense({"p": fired}, dt)
    np.testing.assert_allclose(statistics.rates(r, "p") * r.duration / 1e3, fired.sum(0), rtol=1e-12)
    assert np.isclose(statistics.rates(r, "p").mean(), r.rate("p"))


@SETTINGS
@given(TRAINS, DT, st.integers(0, 1000))
def test_intervals_and_their_variation_equal_the_plain_reference(fired, dt, start):
    r = recordings.dense({"p": fired}, dt, start)
    each = plain_intervals(fired, dt)
    interval, neuron = statistics.isi(r, "p")
    np.testing.assert_allclose(interval, np.concatenate(each), rtol=1e-12)
    assert neuron.tolist() == [k for k, intervals in enumerate(each) for _ in intervals]
    wanted = [x.std() / x.mean() for x in each if len(x) >= 2]
    np.testing.assert_allclose(statistics.cv(r, "p", at_least=3), wanted, atol=1e-12)


@SETTINGS
@given(TRAINS, DT, st.data())
def test_the_population_rate_counts_the_spikes_of_each_window(fired, dt, data):
    width = data.draw(st.integers(1, len(fired)))
    r = recordings.dense({"p": fired}, dt, start=50)
    times, rate = statistics.population_rate(r, "p", width * dt)
    counts = rate * fired.shape[1] * width * dt * 1e-3
    np.testing.assert_allclose(counts, [fired[t: t + width].sum() for t in range(len(fired) - width + 1)], atol=1e-9)
    np.testing.assert_allclose(times, (50 + np.arange(len(rate)) + width / 2) * dt)
    assert np.isclose(counts[::width].sum(), fired[: len(fired) // width * width].sum())


@SETTINGS
@given(TRAINS, st.integers(1, 4))
def test_correlation_equals_the_plain_reference(fired, width):
    bins = len(fired) // width
    if bins == 0:
        return
    counts = fired[: bins * width].reshape(bins, width, -1).sum(1)
    varied = [x for x in counts.T if x.std() > 0]
    wanted = [np.corrcoef(x, y)[0, 1] for x, y in combinations(varied, 2)]
    found = statistics.correlation(recordings.dense({"p": fired}, start=9), "p", float(width))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@SETTINGS
@given(TRAINS, st.integers(1, 5), st.randoms(use_true_random=False))
def test_numbering_the_neurons_otherwise_changes_no_distribution(fired, width, chance):
    order = list(range(fired.shape[1]))
    chance.shuffle(order)
    one, other = (recordings.dense({"p": f}) for f in (fired, fired[:, order]))
    width = min(width, len(fired))
    for of in (lambda r: statistics.cv(r, "p", 3), lambda r: statistics.rates(r, "p"), lambda r: statistics.isi(r, "p")[0],
               lambda r: statistics.correlation(r, "p", float(width))):
        np.testing.assert_array_equal(np.sort(of(one)), np.sort(of(other)))


def test_equal_trains_correlate_fully_and_opposite_ones_inversely():
    train = np.random.default_rng(2).random(997) < 0.3
    r = recordings.dense({"p": np.stack([train, train, ~train], 1)})
    assert statistics.correlation(r, "p", 1.0).tolist() == [1.0, -1.0, -1.0]


def test_correlation_is_the_same_however_many_bins_stand_in_memory(monkeypatch):
    r = recordings.random(start=40)
    whole = statistics.correlation(r, "L2/3E")
    monkeypatch.setattr(statistics, "BLOCK", 7)
    np.testing.assert_array_equal(statistics.correlation(r, "L2/3E"), whole)


def test_correlation_takes_a_seeded_choice_of_the_neurons_that_fired():
    fired = np.random.default_rng(3).random((500, 40)) < 0.1
    fired[:, 5:] &= np.arange(35) % 2 == 0  # 5 + 18 neurons fire
    r = recordings.dense({"p": fired})
    everything = statistics.correlation(r, "p")
    some = statistics.correlation(r, "p", neurons=6)
    assert (len(everything), len(some)) == (23 * 22 / 2, 6 * 5 / 2)
    assert set(some) <= set(everything)
    np.testing.assert_array_equal(some, statistics.correlation(r, "p", neurons=6))
    assert set(some) != set(statistics.correlation(r, "p", neurons=6, seed=1))


def test_a_silent_population_has_rates_and_nothing_else():
    r = recordings.random()
    assert statistics.rates(r, "silent").tolist() == [0.0] * 4
    assert statistics.population_rate(r, "silent", 0.5)[1].tolist() == [0.0] * 1000
    for none in (statistics.isi(r, "silent")[0], statistics.cv(r, "silent"), statistics.correlation(r, "silent")):
        assert len(none) == 0


def test_one_step_is_enough_for_a_rate():
    r = recordings.dense({"p": [[1, 0]]}, 0.1)
    np.testing.assert_allclose(statistics.rates(r, "p"), [1e4, 0.0])
    assert [x.tolist() for x in statistics.population_rate(r, "p", 0.1)] == [[0.05], [5000.0]]
    assert len(statistics.correlation(r, "p", 0.1)) == 0


STEPS = "must be a whole number of steps of 0.5 ms, at most the recording's 500 ms, got"


@pytest.mark.parametrize(("ask", "sentence"), [
    (lambda r: statistics.isi(r, "x"), "the spikes of 'x' were not recorded, only those of ['L2/3E', 'L2/3I', 'silent']"),
    (lambda r: statistics.cv(r, "x"), "the spikes of 'x' were not recorded, only those of ['L2/3E', 'L2/3I', 'silent']"),
    (lambda r: statistics.rates(replace(r, spikes={}), "x"),
     "the spikes of 'x' were not recorded, nor of any other population"),
    (lambda r: statistics.correlation(r, "x"),
     "the spikes of 'x' were not recorded, only those of ['L2/3E', 'L2/3I', 'silent']"),
    (lambda r: statistics.population_rate(r, "x", 1.0),
     "the recording has no population 'x', only ['L2/3E', 'L2/3I', 'silent']"),
    (lambda r: statistics.cv(r, "silent", 2), "at_least must be 3 spikes or more, got 2: a single interval has no variation"),
    (lambda r: statistics.correlation(r, "silent", neurons=1), "neurons must be 2 or more, got 1: a correlation needs a pair"),
    (lambda r: statistics.correlation(r, "silent", 0.75), f"bin_ms {STEPS} 0.75"),
    (lambda r: statistics.correlation(r, "silent", -1.0), f"bin_ms {STEPS} -1.0"),
    (lambda r: statistics.population_rate(r, "silent", 0.25), f"window_ms {STEPS} 0.25"),
    (lambda r: statistics.population_rate(r, "silent", 500.5), f"window_ms {STEPS} 500.5"),
    (lambda r: statistics.population_rate(r, "silent", float("nan")), f"window_ms {STEPS} nan"),
    (lambda r: statistics.population_rate(r, "silent", float("inf")), f"window_ms {STEPS} inf"),
])
def test_what_cannot_be_computed_is_said(ask, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        ask(recordings.random())
