"""Somas of junctions: fitted by the solver, latched and clocked; the three XOR nets in our solver and in ngspice."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from snnsim.hardware.sfq import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.analog.deck import Clock, lay_out
from snnsim.hardware.sfq.analog.fit import Bench, fit, fit_network
from snnsim.hardware.sfq.analog.require import count_junctions, patterns_of
from snnsim.hardware.sfq.analog.run import circuit_of, decisions, run_junctions
from snnsim.hardware.sfq.analog.soma import Soma, neuron
from snnsim.hardware.sfq.junctions import simulate
from snnsim.hardware.sfq.library import load
from snnsim.hardware.sfq.margins import classes, timing
from snnsim.hardware.sfq.xor import CASES, xor, xor_pulses
from snnsim.interop.ngspice_tool import ngspice, run_ngspice

LIBRARY = load()
TWICE = np.array([*CASES, *CASES[::-1]])  # each case after others than at first
WINDOW = 360.0  # ps around the middle of a tick's window of 740 within which an input pulse may come
INHIBITED = Soma(20.0, 3.0, 8.0, 0.9, leak=0.0, wait=2, output=4.0)  # too much: +2 -1 does not fire
TRUE = np.flatnonzero(TWICE.sum(1) == 1)


@pytest.fixture(scope="module")
def fitted():
    return {name: fit_network(xor(name), LIBRARY) for name in "ABC"}


def net(weight, threshold=1, **options):
    return SFQNetwork([SFQLayer("y", weight, threshold, **{"leak": 0, **options})])


@pytest.mark.parametrize("name", "ABC")
def test_xor_of_junctions_is_xor_in_every_order_of_its_inputs(name, fitted):
    x = xor_pulses(name, TWICE)
    order = np.argsort(np.random.default_rng(0).random(x.shape), 1)  # another in each tick, then the other way round
    early_and_late = np.linspace(-WINDOW, WINDOW, x.shape[1])[order]
    for offsets in (0.0, early_and_late, -early_and_late):
        laid = lay_out(xor(name), x, fitted[name].somas, LIBRARY, offsets=offsets)
        found = run_junctions(laid)
        assert found.right, found
        assert np.array_equal(np.flatnonzero(found.outputs[:, 0]), TRUE) and found.outputs.max() == 1
    assert len(circuit_of(laid).junctions) == count_junctions(xor(name))


@pytest.mark.slow
@pytest.mark.skipif(ngspice() is None, reason="ngspice is not installed")
@pytest.mark.parametrize("name", "ABC")
def test_xor_of_junctions_is_xor_in_ngspice(name, fitted):
    x = xor_pulses(name, TWICE)
    laid = lay_out(xor(name), x, fitted[name].somas, LIBRARY,
                   offsets=np.random.default_rng(0).uniform(-WINDOW, WINDOW, x.shape))
    found = run_ngspice(circuit_of(laid), laid.watched)
    told = decisions(laid, {name: found.switches(name) for name in laid.watched})
    assert told.right and np.array_equal(np.flatnonzero(told.outputs[:, 0]), TRUE)


def test_a_pulse_after_its_window_counts_in_the_next_tick(fitted):
    laid = lay_out(xor("B"), [[1, 0], [0, 0], [0, 0]], fitted["B"].somas, LIBRARY)
    at = laid.given[0][0]
    moved = replace(laid, text=laid.text.replace(f"{at:g}p 0 {at + 2.5:g}p", f"{at + 420:g}p 0 {at + 422.5:g}p")
                    .replace(f" {at + 5:g}p 0)", f" {at + 425:g}p 0)"))
    assert moved.text != laid.text and run_junctions(laid).right
    found = run_junctions(moved)
    assert not found.right and found.wrong == 4 and found.outputs[:, 0].tolist() == [0, 1, 0]
    assert found.faults == {"wrong": 4, "late": 0, "early": 0, "double": 0, "outputs": 2}


@pytest.mark.slow
def test_the_measured_window_of_an_input_holds_the_one_that_is_promised(fitted):
    laid = lay_out(xor("B"), xor_pulses("B", CASES), fitted["B"].somas, LIBRARY)
    found = timing(circuit_of(laid), lambda s: decisions(laid, s).right, ("VIN1",), resolution=20)[0]
    half = laid.clock.half
    assert found.bounded == (True, True) and found.pulses == 2 and laid.clock.period > found.earlier + found.later
    assert half <= found.earlier < half + 60 and half <= found.later < half + 60


def test_a_fit_lies_between_its_critical_biases_and_says_the_margin_of_each_pattern():
    f = fit([0, -1, 1], 1, LIBRARY)
    assert f.weights == (1, -1) and f.patterns.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] and f.exact and f.kicked == 0
    assert f.must.tolist() == f.fires.tolist() == [False, False, True, False]
    assert f.critical[2] == f.window[0] < f.soma.bias < f.window[1] == min(f.most[2], *f.critical[[0, 1, 3]])
    assert f.margin == pytest.approx(min(f.margins), abs=1e-3) and f.margin > 0.15 and f.off == 0.2
    assert "with all bias 20% off" in repr(f) and "0 of 4 patterns wrong" in repr(f)


def test_a_fitted_soma_decides_with_all_bias_as_far_off_as_it_says(fitted):
    for name, f in fitted["A"].named:
        for pattern, must in zip(f.patterns, f.must, strict=True):
            bench = Bench(f.weights, pattern, f.soma, LIBRARY)
            for all_bias in (1 - f.off, 1 + f.off):
                found = bench.switches(f.soma.bias, all_bias)
                assert len(bench.spikes(found)) == must and bench.kicks(found) == 0, (name, pattern, all_bias)


@pytest.mark.parametrize("name", "ABC")
def test_xor_of_junctions_works_with_all_bias_a_fifth_low_or_high(name, fitted):
    laid = lay_out(xor(name), xor_pulses(name, CASES), fitted[name].somas, LIBRARY)
    circuit = circuit_of(laid)
    for factor in (0.8, 1.2):
        found = simulate(circuit.scaled(dict.fromkeys(classes(circuit)["bias"], factor)), prints=[])
        assert decisions(laid, found.switches).right, factor


def test_a_soma_pushes_pulses_back_through_a_driver_that_is_a_plain_jtl():
    """What the cell soma_in is for: the slip of a soma that has one pulse switches the driver of the other, idle, input."""
    jtl = replace(LIBRARY["jtl"], name="soma_in")
    plain = replace(LIBRARY, cells={**LIBRARY.cells, "soma_in": jtl})
    soma = fit([1, 1], 1, LIBRARY).soma
    kicks = [Bench((1, 1), np.array([1, 0]), soma, library) for library in (LIBRARY, plain)]
    assert [b.kicks(b.switches(soma.bias, 1.2)) for b in kicks] == [0, 1]


def test_patterns_are_counts_of_equal_synapses():
    weights = (2, 1, 1, 1, -1)
    patterns, ways = patterns_of(weights)
    assert len(patterns) == 2 * 4 * 2 and ways.sum() == 32
    every = [tuple(sorted(w for w, b in zip(weights, p, strict=True) if b))
             for p in itertools.product((0, 1), repeat=5)]
    for p, n in zip(patterns, ways, strict=True):
        assert every.count(tuple(sorted(w for w, b in zip(weights, p, strict=True) if b))) == n


def test_equal_neurons_are_fitted_once_and_a_fit_that_is_wrong_is_told():
    found = fit_network(net([[2, -1, 0], [0, -1, 2]]), LIBRARY, [INHIBITED])
    assert found.fits[0][0] is found.fits[0][1] and found.fits[0][0].tried == 3
    assert found.inexact[1] == "y[1]: 2 of 4 patterns are decided wrongly (-1 fires; +2 -1 does not fire)"
    assert "NOT exact: y[0]" in str(found)
    told = found.to_dict()["neurons"]["y[0]"]
    assert told["exact"] is False and told["wrong"] == 2 and told["disagreement"] == "-1 fires; +2 -1 does not fire"


def test_what_somas_of_junctions_cannot_be_is_said():
    for network, sentence in (
            (net([[1, 1]], leak=1), "layer 'y' remembers its count (leak 1): somas of junctions decay between ticks"),
            (net([[1, 1]], leak=None), "leak None"),
            (net([[1, 0], [0, 0]]), "layer 'y': neuron 1 has no input: leave it out"),
            (net(np.ones((1, 13), int)), "has a neuron of 13 inputs: somas of junctions are fitted for up to 12"),
            (net([[1, 1], [1, -9]]), "layer 'y': neuron 1 has a weight of -9: synapses of junctions have weights in -8 .. 8"),
            (net([[1, 2, 3, 4, 5, 6, 7]]), "neuron 0 has 128 patterns of inputs that differ, somas are fitted for up to 64"),
            (net(np.ones((400, 12), int)), "junctions, decks are laid out for up to 10,000; write cells instead"),
            (SFQNetwork(net([[1]]).layers, burst=2), "inputs send up to 2 pulses a tick, somas of junctions take one")):
        with pytest.raises(ValueError, match="level='cells'|leave it out") as e:
            fit_network(network, LIBRARY)
        assert sentence in str(e.value)


def test_what_cannot_be_laid_out_is_said(fitted):
    somas = fitted["B"].somas
    for wrong in ([[2, 0]], [[0, 1, 0]], [], [[0.5, 1]]):
        with pytest.raises(ValueError, match=r"pulses must be 0 or 1, \[T, 2\]"):
            lay_out(xor("B"), wrong, somas, LIBRARY)
    with pytest.raises(ValueError, match="offsets must lie within 370 ps of the middle of the window, got 371"):
        lay_out(xor("B"), [[0, 1]], somas, LIBRARY, offsets=371)
    with pytest.raises(ValueError, match=r"offsets must be one number or \(1, 2\), got the shape \(3,\)"):
        lay_out(xor("B"), [[0, 1]], somas, LIBRARY, offsets=[1, 2, 3])
    with pytest.raises(ValueError, match="phase 900 must not pass the period 800"):
        Clock(phase=900)
    with pytest.raises(ValueError, match="coupling must lie between 0 and 1, got 1"):
        Soma(coupling=1.0)
    with pytest.raises(ValueError, match="bias must be"):
        Soma(bias=-1)


def test_a_process_of_twice_the_critical_current_has_half_the_inductance():
    process = LIBRARY.process
    plain, other = (neuron("N", (1, -1), Soma(), p) for p in (process, replace(process, icrit=2 * process.icrit)))
    assert "LS0 e0 mS0 8p" in plain and "LS0 e0 mS0 4p" in other
    assert "IT 0 v pwl(0 0 5p 70u)" in plain and "IT 0 v pwl(0 0 5p 140u)" in other
