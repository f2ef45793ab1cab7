"""Statistics of spike trains: intervals, their variation, rates, and correlation, of one population of a recording.

All take an `snnsim.engine.Recording` and the name of a population. Times are ms, rates are Hz.
Errors: ValueError that names a population that is not recorded, or an argument that the recording cannot meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnsim.engine.recording import Recording, SpikeTrains

Array = NDArray[Any]
BLOCK = 8192  # bins whose counts stand in memory at a time


def isi(recording: Recording, population: str) -> tuple[Array, Array]:
    """All inter-spike intervals and the neurons they belong to, neuron after neuron, each in the order of time.

        interval_i = t_{i+1} - t_i,  in ms

    float64 and int32, one entry an interval: a neuron with n spikes has n - 1. Source: Perkel, Gerstein and Moore,
    Biophys. J. 7 (1967).
    """
    between, neuron = _between(_trains(recording, population))
    return between * recording.dt, neuron


def cv(recording: Recording, population: str, at_least: int = 5) -> Array:
    """The coefficient of variation of the inter-spike intervals of each neuron with at least so many spikes.

        CV = sqrt(mean((interval - mean(interval))^2)) / mean(interval)

    float64, one entry for each such neuron, in the order of neurons; a number without unit: 0 for a clock, about 1 for a
    Poisson process. at_least: 3 or more, for one interval has no variation. Source: Softky and Koch, J. Neurosci. 13 (1993).
    """
    if at_least < 3:
        raise ValueError(f"at_least must be 3 spikes or more, got {at_least!r}: a single interval has no variation")
    between, neuron = _between(_trains(recording, population))
    size = recording.sizes[population]
    intervals = np.bincount(neuron, minlength=size)
    mean = np.bincount(neuron, between, size) / np.maximum(intervals, 1)
    squares = np.bincount(neuron, (between - mean[neuron]) ** 2, size)
    enough = intervals >= at_least - 1
    return np.sqrt(squares[enough] / intervals[enough]) / mean[enough]


def rates(recording: Recording, population: str) -> Array:
    """The mean rate of each neuron over the recording: spikes / duration, Hz, float64 [size]."""
    spikes = np.bincount(_trains(recording, population).neuron, minlength=recording.sizes[population])
    return spikes / (1e-3 * recording.duration)


def population_rate(recording: Recording, population: str, window_ms: float) -> tuple[Array, Array]:
    """The rate of a neuron of the population over time: a window of equal weights that slides by single steps.

        rate(t) = spikes with t - window / 2 < time <= t + window / 2, over size * window

    Gives the middles of all windows that lie within the recording, ms, and the rates, Hz: float64, both
    [steps - window + 1]. Every window-th entry has windows side by side, which count each spike once. It is computed from
    `counts`: the spikes need not be recorded. window_ms: a whole number of steps.
    """
    if population not in recording.counts:
        raise ValueError(f"the recording has no population {population!r}, only {list(recording.counts)}")
    width = _whole_steps("window_ms", window_ms, recording)
    total = np.concatenate(([0], np.cumsum(recording.counts[population])))
    spikes = total[width:] - total[:-width]
    times = (recording.start + np.arange(len(spikes)) + width / 2) * recording.dt
    return times, spikes / (recording.sizes[population] * 1e-3 * width * recording.dt)


def correlation(recording: Recording, population: str, bin_ms: float = 2.0, neurons: int = 100, seed: int = 0) -> Array:
    """Pearson's coefficient of the binned spike counts of all pairs of some neurons that fired.

        r = (B sum_b x_b y_b - sum x sum y) / sqrt((B sum x^2 - (sum x)^2) (B sum y^2 - (sum y)^2)),  B bins

    float64 [pairs], a number without unit from -1 to 1; pairs (i, j), i < j, row after row. Where more than `neurons`
    neurons fired, as many are chosen at random; the seed fixes which. Left out are spikes after the last whole bin, and
    neurons with the same count in all bins, which have no coefficient. bin_ms: a whole number of steps.
    Source: the bins of 2 ms are those of van Albada et al., Front. Neurosci. 12 (2018).
    """
    trains = _trains(recording, population)
    width = _whole_steps("bin_ms", bin_ms, recording)
    if neurons < 2:
        raise ValueError(f"neurons must be 2 or more, got {neurons!r}: a correlation needs a pair")
    bins = recording.steps // width
    at = (trains.step - recording.start) // width
    whole = at < bins
    chosen = np.unique(trains.neuron[whole])
    if len(chosen) > neurons:
        chosen = np.random.default_rng(seed).choice(chosen, neurons, replace=False)
        chosen.sort()
    rows = np.full(recording.sizes[population], -1)
    rows[chosen] = np.arange(len(chosen))
    mine = whole & (rows[trains.neuron] >= 0)
    row, at = rows[trains.neuron[mine]], at[mine]
    sums, products = np.bincount(row, minlength=len(chosen)), np.zeros((len(chosen), len(chosen)))
    block = min(BLOCK, bins)
    for first in range(0, bins, block):
        here = slice(*np.searchsorted(at, (first, first + block)))
        counts = np.bincount(row[here] * block + at[here] - first, minlength=len(chosen) * block)
        x = counts.reshape(len(chosen), block).astype(np.float64)
        products += x @ x.T
    # Whole numbers far below 2**53: these differences are exact, and equal trains give exactly 1.
    covariance = bins * products - np.outer(sums, sums)
    varies = np.diag(covariance) > 0
    covariance = covariance[np.ix_(varies, varies)]
    variance = np.diag(covariance)
    return np.asarray((covariance / np.sqrt(np.outer(variance, variance)))[np.triu_indices(len(variance), 1)])


def _trains(recording: Recording, population: str) -> SpikeTrains:
    if population not in recording.spikes:
        recorded = f"only those of {list(recording.spikes)}" if recording.spikes else "nor of any other population"
        raise ValueError(f"the spikes of {population!r} were not recorded, {recorded}")
    return recording.spikes[population]


def _between(trains: SpikeTrains) -> tuple[Array, Array]:
    """The intervals in steps, and their neurons."""
    order = np.argsort(trains.neuron, kind="stable")  # the spikes of one neuron stay in the order of time
    step, neuron = trains.step[order], trains.neuron[order]
    same = neuron[1:] == neuron[:-1]
    return np.diff(step)[same], neuron[1:][same]


def _whole_steps(name: str, ms: float, recording: Recording) -> int:
    steps = ms / recording.dt
    if not 0.5 < steps < recording.steps + 0.5 or abs(steps - round(steps)) > 1e-6 * steps:
        raise ValueError(f"{name} must be a whole number of steps of {recording.dt:g} ms, at most the recording's "
                         f"{recording.duration:g} ms, got {ms!r}")
    return round(steps)
