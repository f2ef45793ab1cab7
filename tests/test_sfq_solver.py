"""The solver of Josephson circuits: JoSIM's stored waveforms, closed forms, noise, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnsim import plot
from snnsim.hardware.sfq.junctions import (
    flatten,
    load_waveforms,
    parse_deck,
    read_deck,
    save_waveforms,
    simulate,
    solver,
    write_csv,
)
from snnsim.hardware.sfq.junctions.equations import SIGMA
from snnsim.hardware.sfq.junctions.solver import settling
from snnsim.interop.ngspice_tool import ngspice, run_ngspice, to_ngspice
from tests.junction_oracle import step_through

DECKS = Path(__file__).resolve().parents[1].parent / "shared" / "sfq"
NAMES = ("jtl", "split", "merge", "dro", "neuron", "xor")
stored = pytest.mark.skipif(not DECKS.is_dir(), reason="there is no ../shared/sfq beside the checkout")


@stored
@pytest.mark.parametrize("name", NAMES)
def test_switching_times_and_phases_are_those_of_josim(name):
    """JoSIM 2.7 gave them, with seven digits: 0.05 ps and 1e-4 rad."""
    reference = json.loads((DECKS / "josim-2.7-reference.json").read_text())[name]
    found = simulate(read_deck(DECKS / f"{name}.cir"))
    for printed, times in reference["junctions"].items():
        mine = 1e12 * found.switches[printed[2:-1]]
        assert len(mine) == len(times) and np.abs(mine - times).max(initial=0.0) < 0.05, printed
    rows = {round(1e13 * t): k for k, t in enumerate(found.time)}  # by time stamp: rows of the reference are missing
    for printed, samples in reference["samples"].items():
        at = [rows[round(10 * t)] for t, _ in samples]
        assert np.abs(found[printed][at] - [p for _, p in samples]).max() < 1e-4, printed
JUNCTION = ".model j jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)\n"
SAME_STEPS = settling(0.1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_random_circuits_equal_the_plain_definition(seed):
    """All kinds of elements, floating sources, couplings, junctions that cross their gaps: 1e-8 rad after 300 steps."""
    circuit = flatten(parse_deck(random_deck(seed)))
    found = simulate(circuit, prints=[f"p({n})" for n in circuit.nodes])
    assert np.abs(found.values - step_through(circuit, 0.1e-12, 300, SAME_STEPS)).max() < 1e-8
    assert np.ptp(found.values) > 1.0 and (found.factorings > 1 or seed % 2 == 0)


def random_deck(seed):
    """Five nodes on a ring of inductors, each with a junction, and more at random. In odd ones two lack their shunts."""
    rng = np.random.default_rng(seed)
    lines = [JUNCTION]
    for n in range(1, 6):
        lines += [f"L{n} {n} {n % 5 + 1} {rng.uniform(1, 20):.3f}p", f"B{n} {n} 0 j area={rng.uniform(0.8, 3):.3f}"]
        if seed % 2 == 0 or n > 2:
            lines.append(f"RB{n} 0 {n} {rng.uniform(2, 7):.3f}")
    a, b, c = rng.permutation(5)[:3] + 1
    lines += [f"R1 {a} 6 {rng.uniform(1, 9):.3f}", f"C1 6 0 {rng.uniform(0.05, 0.5):.3f}p", f"L6 6 7 {rng.uniform(5, 9):.3f}p",
              f"R2 7 0 {rng.uniform(1, 9):.3f}", f"K1 L1 L6 {rng.uniform(-0.8, 0.8):.3f}",
              f"K2 L6 L3 {rng.uniform(-0.5, 0.5):.3f}",
              f"V1 8 {b} pwl(0 0 3p 0 5.5p 0.7m 8p 0)", "C2 8 9 0.2p", "R3 8 9 4", "V2 9 10 sin(0 0.2m 50g)", "L7 10 0 8p",
              "V3 11 0 pulse(0 0.4m 2p 1p 1p 6p 15p)", f"R4 11 {c} 3", "B6 9 11 j area=0.7", "R5 9 11 9",
              f"I1 0 {a} pwl(0 0 4p {rng.uniform(200, 500):.0f}u)", f"I2 {b} 10 exp(0 0.1m 2p 3p 9p 4p)", "I3 0 9 40u",
              f"I4 0 1 pwl(0 0 4p {'1.6m' if seed % 2 else '0.1m'})", ".tran 0.1p 30p 0 0.1p"]
    return "\n".join(lines)


def circuit_of(*lines):
    return flatten(parse_deck(JUNCTION + "\n".join(lines)))


def crossings(time, values):
    """Times at which a signal grows through zero."""
    at = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    return time[at] - values[at] * np.diff(time)[at] / (values[at + 1] - values[at])


def test_an_lc_circuit_rings_at_its_frequency():
    found = simulate(circuit_of("L1 1 0 10p", "C1 1 0 0.1p", "I1 0 1 pwl(0 0 0.1p 10u)", ".tran 0.01p 60p",
                                ".print v(1) i(L1) i(C1)"))
    period = np.diff(crossings(found.time, found["v(1)"])).mean()
    assert period == pytest.approx(2 * np.pi * np.sqrt(10e-12 * 0.1e-12), rel=2e-4)
    late = found.time > 0.2e-12
    assert found["i(L1)"][late] + found["i(C1)"][late] == pytest.approx(10e-6, rel=1e-9)


def test_an_rl_circuit_follows_a_ramp():
    """R and L in parallel, I(t) = I0 t/T: i_L = I0/T (t - tau (1 - exp(-t/tau))), and V = L di/dt."""
    found = simulate(circuit_of("L1 1 0 10p", "R1 1 0 2", "I1 0 1 pwl(0 0 20p 100u)", ".tran 0.02p 20p",
                                ".print i(L1) v(1) i(R1)"))
    t, tau = found.time, 5e-12
    assert found["i(L1)"] == pytest.approx(5e6 * (t - tau * (1 - np.exp(-t / tau))), abs=2e-9)
    assert found["v(1)"][50:] == pytest.approx(10e-12 * 5e6 * (1 - np.exp(-t[50:] / tau)), rel=2e-3)
    assert found["i(R1)"] == pytest.approx(found["v(1)"] / 2)


def test_a_transformer_and_the_current_of_a_source():
    """dI/dt = V / L in the primary; the open secondary sees M dI/dt."""
    found = simulate(circuit_of("V1 1 0 pwl(0 0 1p 1m)", "L1 1 0 20p", "L2 2 0 5p", "K1 L1 L2 0.6", "R2 2 0 1meg", "R1 1 3 4",
                                "V2 3 0 0", ".tran 0.02p 10p", ".print i(V1) i(V2) v(2) i(L1) i(R1)"))
    late = found.time > 2e-12
    assert found["v(2)"][late] == pytest.approx(0.6 * np.sqrt(5 / 20) * 1e-3, rel=1e-4)
    assert found["i(V2)"][late] == pytest.approx(1e-3 / 4, rel=1e-6)
    assert found["i(L1)"][-1] == pytest.approx(1e-3 / 20e-12 * (found.time[-1] - 0.5e-12), rel=2e-3)
    assert found["i(V1)"] == pytest.approx(-found["i(L1)"] - found["i(R1)"], abs=1e-12)


@pytest.mark.parametrize("ratio", [1.05, 1.5, 3.0])
def test_an_overdamped_junction_has_the_voltage_of_the_resistive_model(ratio):
    """V = R sqrt(I^2 - Ic^2) (Aslamazov and Larkin 1969), here with betaC = 3e-4."""
    found = simulate(circuit_of(".model small jj(rtype=0, cap=1f, r0=1, icrit=0.1m)", "B1 1 0 small", f"I1 0 1 {ratio * 0.1}m",
                                ".tran 0.02p 600p", ".print v(1)"))
    times = found.switches["B1"]
    assert 2.067833848e-15 / np.diff(times).mean() == pytest.approx(1e-4 * np.sqrt(ratio**2 - 1), rel=3e-3)


def test_a_junction_rings_at_its_plasma_frequency():
    found = simulate(circuit_of("B1 1 0 j", "I1 0 1 pwl(0 0 0.1p 1u)", ".tran 0.01p 30p", ".print v(1)"))
    period = np.diff(crossings(found.time, found["v(1)"])).mean()
    assert 2 * np.pi / period == pytest.approx(np.sqrt(1e-4 / (SIGMA * 0.07e-12)), rel=2e-3)


def test_above_its_gap_a_junction_is_its_normal_resistance():
    """The phase turns by more than 0.4 pi in a step of 0.1 ps, so that the run starts again with half of it."""
    found = simulate(circuit_of("B1 1 0 j", "I1 0 1 0.3m", ".tran 0.1p 60p", ".print v(B1) i(B1)"))
    assert found.step == 0.05e-12 and found.factorings > 1 and len(found.time) == 600
    assert found["v(B1)"][-300:].mean() == pytest.approx(0.3e-3 * 16, rel=2e-3)
    assert found["i(B1)"][-300:] == pytest.approx(0.3e-3, rel=1e-9)


def test_energy_is_kept():
    """What the source gives is heat in the resistors and what capacitor, inductor and junction hold (BDF2: within 0.5 %)."""
    found = simulate(circuit_of("B1 1 0 j", "RB 1 0 6.86", "L1 1 0 30p", "I1 0 1 pwl(0 0 10p 200u 30p 200u 40p 0)",
                                ".tran 0.02p 60p",
                                ".print v(1) p(B1) i(L1) i(I1)"))
    v, p, il, source = found.values.T
    held = 1e-4 * SIGMA * (1 - np.cos(p)) + 0.07e-12 * v**2 / 2 + 30e-12 * il**2 / 2
    given, heat = (np.cumsum(x) * found.step for x in (v * source, v * v * (1 / 6.86 + 1 / 160)))
    assert len(found.switches["B1"]) > 0
    assert np.abs(given - heat - held).max() < 5e-3 * given.max()


KT = 4.2 * 1.380649e-23


@pytest.mark.parametrize(("lines", "printed", "variance"), [
    (("R1 1 0 1", "C1 1 0 1p"), "v(1)", 0.9641387 * KT / 1e-12),
    (("R1 1 0 1", "L1 1 0 1p"), "i(L1)", 0.9641387 * KT / 1e-12),
    (("B1 1 0 j", "RB 1 0 6.86"), "p(B1)", KT / (1e-4 * SIGMA)),
])
def test_thermal_noise_holds_kt_in_every_store(lines, printed, variance):
    """kT/2 a degree of freedom: C v^2, L i^2, and Ic sigma p^2 of a junction's phase.

    0.964: what BDF2 keeps of it at h = tau / 20, the mean over all frequencies of 2 a |3/2 - 2/z + 1/2z^2 + a|^-2, a = h / tau.
    A run of 40 ns has about 20,000 independent values, so that a deviation of the variance is 1 %.
    """
    found = simulate(circuit_of(*lines, ".tran 0.05p 40n 0 0.5p", f".print {printed}"), temperature=4.2, seed=1)
    assert found.values[200:, 0].var() == pytest.approx(variance, rel=0.025)
    assert abs(found.values[200:, 0].mean()) < 0.05 * np.sqrt(variance)


def test_noise_is_a_function_of_its_seed_alone(monkeypatch):
    lines = ("B1 1 0 j", "RB 1 0 6.86", "L1 1 2 5p", "R1 2 0 3", "IN 0 1 noise(0 1p 0 0.5p)", ".tran 0.1p 20p",
             ".print p(B1) i(L1)")
    circuit = circuit_of(*lines)
    first = simulate(circuit, temperature=4.2, seed=7).values
    monkeypatch.setattr(solver, "CHUNK", 37)
    assert np.array_equal(simulate(circuit, temperature=4.2, seed=7).values, first)
    assert not np.allclose(simulate(circuit, temperature=4.2, seed=8).values, first)
    assert circuit_of(*lines, ".temp 4.2").temperature == 4.2
    assert np.array_equal(simulate(circuit_of(*lines, ".temp 4.2"), seed=7).values, first)


def test_prints_start_where_tran_says_and_lie_apart_as_it_says():
    circuit = circuit_of("B1 1 0 j", "RB 1 0 6.86", "I1 0 1 pwl(0 0 5p 80u)", ".tran 0.1p 20p 4p 0.3p", ".print p(B1)")
    found, whole = simulate(circuit), simulate(circuit, print_step=0.1e-12)
    assert found.time[0] == pytest.approx(4e-12) and np.diff(found.time) == pytest.approx(0.3e-12)
    assert np.array_equal(found.values, whole.values[::3])


def test_backward_switches_and_names():
    found = simulate(circuit_of("B1 0 1 j", "RB 1 0 6.86", "I1 0 1 0.15m", ".tran 0.1p 60p", ".print v(1)"))
    assert len(found.switches["b1"]) == 0 and found.switches.backwards > 3 and found.junction_steps == 600
    with pytest.raises(ValueError, match=r"there is no junction 'B2', the circuit has B1"):
        found.switches["B2"]
    with pytest.raises(ValueError, match=r"'v\(2\)' was not printed, only V\(1\)"):
        found["v(2)"]


REFUSED = [
    (("L1 1 0 1p", "R2 2 3 1", "R3 3 2 1"), r"deck, line 3: R2: node 2 floats: no R, L, C, B or V leads from it to ground"),
    (("I1 0 1 1m", "R1 0 2 1"), r"line 2: I1: node 1 floats"),
    (("V1 1 0 1m", "L1 1 2 1p", "V2 2 0 1m", "V3 2 1 0"), r"line 5: V3: with other voltage sources it closes a loop"),
    (("R1 1 2 1",), r"deck: no element is connected to ground, node 0"),
    (("L1 1 0 1p", "L2 2 0 1p", "L3 3 0 1p", "K1 L1 L2 0.9", "K2 L2 L3 0.9", "K3 L1 L3 -0.9"),
     r"line 5: K1: the couplings of L1, L2, L3 together are stronger than inductors can have"),
    (("L1 1 0 1p", "L2 2 0 1p", "K1 L1 L2 0.9", "K2 L2 L1 0.1"),
     r"line 5: K2: L2 and L1 are coupled already, by deck, line 4: K1"),
    (("B1 1 0 j", ".tran 0.5p 10p"), r"line 2: B1: a step of 5e-13 s is too coarse for its plasma frequency of 3.32e\+11 Hz, "
                                     r"it may be at most 4.9\de-13 s"),
    (("B1 1 0 j", ".tran 0.1p 10p", ".print p(B2)"), r"line 4: P\(B2\) names neither an element nor nodes of the circuit"),
    (("B1 1 0 j", ".tran 0.1p 10p", ".print i(1)"), r"line 4: I\(1\) names no element of the circuit that carries a current"),
    (("B1 1 0 j",), r"deck has no .tran: add one, such as .tran 0.1p 500p, or give step and stop"),
    (("B1 1 0 j", ".tran 1f 1"),
     r"deck, line \d: 1 s in steps of 1e-15 s are 1e\+15 steps, more than 1,000,000,000; ps are written 1p"),
    (("L1 1 2 1e-30", "L2 2 0 1e3", "L3 1 0 1e3", ".tran 0.1p 10p"),
     r"line \d: L1: the equations are singular at node [12]: the values of the elements around it lie too far apart"),
]


@pytest.mark.parametrize(("lines", "sentence"), REFUSED)
def test_what_cannot_be_simulated_names_element_and_line(lines, sentence):
    with pytest.raises(ValueError, match=sentence):
        simulate(circuit_of(*lines))


def test_arguments_are_checked():
    circuit = circuit_of("B1 1 0 j", ".tran 0.1p 10p")
    for wrong, sentence in (({"temperature": -1.0}, "temperature must be at least 0 K, got -1.0"),
                            ({"seed": -1}, r"seed must be a whole number from 0 to 2\^62, got -1"),
                            ({"step": 0.0}, r"needs 0 < step <= stop and print_step >= step, got 0, 1e-11"),
                            ({"prints": ["p(B1) v(1)"]}, "names 2 quantities, give each as a text of its own")):
        with pytest.raises(ValueError, match=sentence):
            simulate(circuit, **wrong)
    with pytest.raises(ValueError, match=r"deck: the values of its elements are too large or too small for numbers of 64 bits"):
        simulate(circuit_of("R1 1 0 1", "C1 1 0 1", ".tran 0.1p 10p").scaled({"C1": 1e300}))
    with pytest.raises(ValueError, match=r"deck: there is no element 'B7'"):
        circuit.scaled({"B7": 1.1})
    with pytest.raises(ValueError, match=r"deck: the factor of B1 must be above 0, got 0"):
        circuit.scaled({"B1": 0.0})


def test_scaled_circuits_are_those_of_scaled_decks():
    lines = ["B1 1 0 j area={area}", "RB 1 0 6.86", "I1 0 1 pwl(0 0 5p {bias}u)", "L1 1 0 {l}p", ".tran 0.1p 20p",
             ".print p(B1)"]
    text = "\n".join(lines)
    one = circuit_of(text.format(area=1, bias=100, l=10)).scaled({"b1": 1.5, "I1": 0.5, "L1": 2.0})
    assert simulate(one).values == pytest.approx(simulate(circuit_of(text.format(area=1.5, bias=50, l=20))).values, abs=1e-12)


def test_files_give_back_what_was_written(tmp_path):
    found = simulate(circuit_of("B1 1 0 j", "RB 1 0 6.86", "I1 0 1 0.15m", ".tran 0.1p 30p", ".print p(B1) v(1)"))
    save_waveforms(found, tmp_path / "w.h5")
    again = load_waveforms(tmp_path / "w.h5")
    assert again.to_dict() == found.to_dict() and np.array_equal(again.values, found.values)
    assert np.array_equal(again.time, found.time) and again.kinds == ("p", "v")
    write_csv(found, tmp_path / "w.csv")
    rows = np.loadtxt(tmp_path / "w.csv", delimiter=",", skiprows=1)
    assert np.array_equal(rows, np.column_stack([found.time, found.values]))
    assert (tmp_path / "w.csv").read_text().startswith("time,P(B1),V(1)\n")
    with h5py.File(tmp_path / "w.h5", "r+") as f:
        del f["values"]
        f["values"] = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"w\.h5 is damaged: values \(3, 2\) do not belong"):
        load_waveforms(tmp_path / "w.h5")
    (tmp_path / "w.h5").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"w\.h5 is not an snnsim file of waveforms"):
        load_waveforms(tmp_path / "w.h5")
    figure = plot.waveforms(found)
    assert [a.get_ylabel() for a in figure.axes] == ["phase / 2 pi", "V (mV)"] and figure.axes[-1].get_xlabel() == "time (ps)"


ngspice_runs = pytest.mark.skipif(ngspice() is None, reason="ngspice is not installed")


@stored
@ngspice_runs
@pytest.mark.parametrize("name", NAMES)
def test_ngspice_switches_within_a_fifth_of_a_picosecond(name):
    circuit = flatten(read_deck(DECKS / f"{name}.cir"))
    ours, theirs = simulate(circuit), run_ngspice(circuit)
    assert theirs.phases
    for junction in theirs.phases:
        mine, there = ours.switches[junction], theirs.switches(junction)
        assert len(mine) == len(there) > 0 and np.abs(mine - there).max() < 0.2e-12, junction


@ngspice_runs
def test_what_ngspice_is_given_is_the_same_circuit():
    """Every kind of element that is translated, and the sources one by one."""
    circuit = circuit_of("B1 1 0 j", "RB 1 0 6.86", "L1 1 2 5p", "L2 3 0 4p", "K1 L1 L2 -0.5", "R2 3 4 1", "C1 4 0 0.1p",
                         "R1 2 0 2",
                         "I1 0 1 pwl(0 0 5p 70u)", "I2 0 2 sin(0 30u 40g 3p)", "I3 0 1 pulse(0 60u 20p 1p 1p 9p 40p)",
                         "V1 5 0 0.1m",
                         "R5 5 4 8", "I4 0 4 exp(0 20u 5p 3p 30p 5p)", ".tran 0.05p 120p", ".print p(B1)")
    theirs, ours = run_ngspice(circuit), simulate(circuit)
    assert np.interp(ours.time, theirs.time, theirs.phases["B1"]) == pytest.approx(ours["p(B1)"], abs=0.1)
    assert len(ours.switches["B1"]) == len(theirs.switches("B1")) == 2
    assert theirs.switches("B1") == pytest.approx(ours.switches["B1"], abs=0.2e-12)
    with pytest.raises(ValueError, match=r"deck, line 4: IN: a source of noise is not translated to ngspice"):
        to_ngspice(circuit_of("B1 1 0 j", "RB 1 0 1", "IN 0 1 noise(0 1 0 1p)", ".tran 0.1p 1p"))
    with pytest.raises(ValueError, match=r"deck has no junction 'B9'"):
        run_ngspice(circuit, ["B9"])


def test_without_ngspice_the_error_says_how_to_have_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match=r"ngspice is missing: apt install ngspice"):
        run_ngspice(circuit_of("B1 1 0 j", ".tran 0.1p 1p"))
