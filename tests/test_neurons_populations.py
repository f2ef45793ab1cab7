"""Neurons in mV, ms, pA and nS against closed forms, and against fine solutions of their equations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from snnsim.neurons import AdEx, CondExp, Izhikevich, PscAlpha, PscDelta, PscExp
from snnsim.neurons.membrane import alpha_gain, exponential_gain
from snnsim.nn.printed import check_names
from snnsim.nn.surrogate import SURROGATES
from snnsim.rule import Neuron, call, derive, rule_from_json, rule_to_json
from tests.test_rule import run_step

HELD: list[Neuron] = [PscDelta(), PscExp(), PscExp(tau_syn=(0.5, 2.0)), PscAlpha(), PscAlpha(tau_syn=(0.5, 2.0)), CondExp(),
                      CondExp(integrator="euler"), AdEx()]  # all that have a refractory period
NEURONS: list[Neuron] = [*HELD, Izhikevich()]
each = pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: n.rule.name)
SIGNATURES = {
    "psc_delta": "ref v | x | decay rest v_th v_reset ref_steps",
    "psc_exp": "ref i v | x | decay keep gain rest v_th v_reset ref_steps",
    "psc_exp_two": "ref i_ex i_in v | ex inh | decay keep_ex keep_in gain_ex gain_in rest v_th v_reset ref_steps",
    "psc_alpha": "ref y i v | x | decay keep feed lift gain rest v_th v_reset ref_steps",
    "psc_alpha_two": "ref y_ex i_ex y_in i_in v | ex inh | decay keep_ex keep_in feed_ex feed_in lift_ex lift_in gain_ex "
                     "gain_in rest v_th v_reset ref_steps",
    "cond_exp": "ref ge gi v | ex inh | keep_ex keep_in rate g_l base e_ex e_in v_th v_reset ref_steps",
    "cond_exp_euler": "ref ge gi v | ex inh | keep_ex keep_in rate g_l base e_ex e_in v_th v_reset ref_steps",
    "izhikevich": "u v | x | half pace b c d drive",
    "adex": "ref ge gi w v | ex inh | keep_ex keep_in rate rate_w g_l base e_l e_ex e_in v_t sharp slope a b v_peak v_reset "
            "ref_steps"}


@dataclass
class Trace:
    """fired: the steps with a spike. states: after each step, by name [T]."""

    fired: list[int]
    states: dict[str, np.ndarray]


def simulate(neuron: Neuron, steps: int, dt: float = 0.1, inputs: Mapping[int, tuple[float, ...]] | None = None,
             start: Mapping[str, float] | None = None, kind: type[np.floating[Any]] = np.float64) -> Trace:
    """Charge, fire, reset, from rest but for `start`; `inputs` by step."""
    rule = neuron.rule
    before = {**dict.fromkeys(rule.states, 0.0), **neuron.initial, **(start or {})}
    state = tuple(kind(before[name]) for name in rule.states)
    values = [kind(p) for p in neuron.step_parameters(dt).values()]
    silence, fired, history = (0.0,) * len(rule.inputs), [], np.empty((len(rule.states), steps), kind)
    for t in range(steps):
        h = call(rule.charge, *state, *map(kind, (inputs or {}).get(t, silence)), *values)
        s = kind(rule.margin(*h, *values) >= 0)  # type: ignore[misc]
        state = call(rule.reset, *h, s, *values)  # type: ignore[arg-type]
        if s:
            fired.append(t)
        history[:, t] = state
    return Trace(fired, dict(zip(rule.states, history, strict=True)))


@each
def test_names_and_their_order(neuron: Neuron) -> None:
    rule = neuron.rule
    assert " | ".join(map(" ".join, (rule.states, rule.inputs, rule.parameters))) == SIGNATURES[rule.name]
    assert tuple(neuron.step_parameters(0.1)) == rule.parameters
    assert set(neuron.initial) <= set(rule.states) and rule.states[-1] == "v"
    assert rule(**neuron.step_parameters(0.1)).initial == {}
    assert rule.conductances == (("ex", "inh") if isinstance(neuron, (CondExp, AdEx)) else ())


@pytest.mark.parametrize("neuron", HELD[:-1], ids=lambda n: n.rule.name)
def test_rest_is_a_fixed_point(neuron: Neuron) -> None:
    assert np.abs(simulate(neuron, 10_000).states["v"] - neuron.e_l).max() < 1e-11  # type: ignore[attr-defined]


# Postsynaptic potentials

def exponential_psp(t: Decimal, tau: Decimal, tau_syn: Decimal) -> Decimal:
    d = 1 / tau - 1 / tau_syn
    return t * (-t / tau).exp() if d == 0 else ((-t / tau_syn).exp() - (-t / tau).exp()) / d


def alpha_psp(t: Decimal, tau: Decimal, tau_syn: Decimal) -> Decimal:
    d, rise = 1 / tau - 1 / tau_syn, Decimal(1).exp() / tau_syn
    if d == 0:
        return rise * t * t / 2 * (-t / tau).exp()
    return rise * ((-t / tau_syn).exp() * (t * d - 1) + (-t / tau).exp()) / (d * d)


def closed_form(psp: Callable[[Decimal, Decimal, Decimal], Decimal], tau: float, tau_syn: float, steps: int,
                dt: float) -> np.ndarray:
    """The psp of 1 pA into 1 pF; in 60 digits, as the differences cancel where the time constants are close."""
    with localcontext() as context:
        context.prec = 60
        return np.array([float(psp(k * Decimal(dt), Decimal(tau), Decimal(tau_syn))) for k in range(steps)])


TAUS = [(10.0, 0.5), (10.0, 10.0), (10.0 * (1 + 1e-9), 10.0), (10.0, 10.0 * (1 + 1e-9)), (10.0, 10.01), (3.0, 40.0),
        (40.0, 0.02)]
SHAPES = [(PscExp, exponential_psp), (PscAlpha, alpha_psp)]


def test_psp_of_a_jump() -> None:
    v = simulate(PscDelta(e_l=0.0, v_th=1e9), 1000, inputs={0: (0.7,)}).states["v"]
    assert np.abs(v - 0.7 * np.exp(-0.1 * np.arange(1000) / 20.0)).max() < 1e-12 * 0.7


@pytest.mark.parametrize(("tau", "tau_syn"), TAUS)
@pytest.mark.parametrize(("of", "psp"), SHAPES)
def test_psp_of_one_current(of: Any, psp: Any, tau: float, tau_syn: float) -> None:
    neuron = of(tau=tau, tau_syn=tau_syn, e_l=0.0, v_th=1e9)
    v = simulate(neuron, 1000, inputs={0: (87.8,)}).states["v"]
    expected = 87.8 / 250.0 * closed_form(psp, tau, tau_syn, 1000, 0.1)
    assert np.abs(v - expected).max() < 1e-12 * expected.max()


@pytest.mark.parametrize(("of", "psp"), SHAPES)
def test_psps_of_two_currents_add_up_on_the_rest(of: Any, psp: Any) -> None:
    inputs = {0: (300.0, 0.0), 50: (0.0, -40.0)}
    expected = 300.0 / 250.0 * closed_form(psp, 10.0, 0.5, 1000, 0.1)
    expected[50:] -= 40.0 / 250.0 * closed_form(psp, 10.0, 10.0, 950, 0.1)
    for e_l, error in ((0.0, 1e-12 * expected.max()), (-65.0, 1e-11)):
        v = simulate(of(tau_syn=(0.5, 10.0), e_l=e_l, v_th=1e9), 1000, inputs=inputs).states["v"]
        assert np.abs(v - e_l - expected).max() < error


@pytest.mark.parametrize("of", [PscExp, PscAlpha])
def test_a_pair_of_equal_time_constants_is_one_current(of: Any) -> None:
    pair = simulate(of(tau_syn=(0.5, 0.5)), 300, inputs={t: (20.0 * t, -7.0 * t) for t in range(300)})
    one = simulate(of(tau_syn=0.5), 300, inputs={t: (20.0 * t - 7.0 * t,) for t in range(300)})
    assert one.fired == pair.fired and one.fired
    np.testing.assert_allclose(one.states["v"], pair.states["v"], rtol=1e-12)


def test_an_alpha_current_peaks_at_its_weight() -> None:
    i = simulate(PscAlpha(tau_syn=2.0), 200, inputs={0: (50.0,)}).states["i"]
    assert i.argmax() == 20 and i[20] == pytest.approx(50.0, rel=1e-13)


@pytest.mark.parametrize("gain", [exponential_gain, alpha_gain])
@pytest.mark.parametrize("dt", [0.1, 1000.0])
def test_gains_of_any_time_constants(gain: Any, dt: float) -> None:
    ratio = np.array([1e-9, 1e-3, 0.5, 1 - 1e-6, 1 - 1e-12, 1.0, 1 + 1e-12, 1 + 1e-6, 2.0, 1e3, 1e9])
    g = gain(10.0, 10.0 * ratio, 1.0, dt)
    assert np.isfinite(g).all() and (g >= 0.0).all() and (np.diff(g) >= -1e-13 * g.max()).all()


@pytest.mark.parametrize("z", [-30.0, -1.001, -0.999, -0.5, -1e-6, 0.5, 0.999, 1.001, 30.0])
def test_gains_where_their_form_changes(z: float) -> None:
    """z = dt (1 / tau - 1 / tau_syn); the alpha gain is a power series within |z| < 1."""
    tau, tau_syn = 1.0 / (100.0 + max(z, 0.0) / 0.1), 1.0 / (100.0 + max(-z, 0.0) / 0.1)
    expected = closed_form(exponential_psp, tau, tau_syn, 2, 0.1)[1]
    assert float(exponential_gain(tau, tau_syn, 1.0, 0.1)) == pytest.approx(expected, rel=1e-13)
    expected = closed_form(alpha_psp, tau, tau_syn, 2, 0.1)[1] * tau_syn / math.e
    assert float(alpha_gain(tau, tau_syn, 1.0, 0.1)) == pytest.approx(expected, rel=1e-13)


# Spike times under a constant current

def spike_steps(neuron: Any, current: float, steps: int, dt: float) -> list[int]:
    """T = tau ln((R I + e_l - v_from) / (R I + e_l - v_th)), and each spike on the first point of the grid after it."""
    end = current * neuron.tau / neuron.c_m + neuron.e_l
    first, later = (neuron.tau * math.log((end - v) / (end - neuron.v_th)) / dt for v in (neuron.e_l, neuron.v_reset))
    assert min(abs(t - round(t)) for t in (first, later)) > 1e-6, "on the grid: rounding would decide"
    interval = math.ceil(later) + round(neuron.refractory / dt)
    return list(range(math.ceil(first) - 1, steps, interval))


@pytest.mark.parametrize("of", [PscDelta, PscExp, PscAlpha, CondExp])
@pytest.mark.parametrize(("current", "v_reset", "refractory"), [(400.0, -65.0, 2.0), (380.3, -70.0, 0.0), (1234.5, -58.0, 0.7),
                                                               (9000.0, -65.0, 5.0)])
def test_spike_times_under_a_constant_current(of: Any, current: float, v_reset: float, refractory: float) -> None:
    neuron = of(tau=10.0, c_m=250.0, e_l=-65.0, v_reset=v_reset, refractory=refractory, drive=current)
    fired = simulate(neuron, 10_000).fired
    expected = spike_steps(neuron, current, 10_000, 0.1)
    assert fired == expected and len(fired) > 15


def test_no_spike_below_rheobase_and_one_at_equality() -> None:
    assert simulate(PscExp(drive=374.9), 10_000).fired == []
    assert simulate(PscDelta(e_l=0.0, v_th=2.0, v_reset=0.0), 3, inputs={1: (2.0,)}).fired == [1]


# Conductances

def test_exponential_euler_is_exact_for_fixed_conductances() -> None:
    neuron = CondExp(tau_ex=1e300, tau_in=1e300, v_th=1e9, drive=30.0)
    v = simulate(neuron, 1000, start={"ge": 6.0, "gi": 21.0}).states["v"]
    end = (10.0 * -60.0 + 21.0 * -80.0 + 30.0) / 37.0
    t = 0.1 * np.arange(1, 1001)
    assert np.abs(v - (end + (-60.0 - end) * np.exp(-t * 37.0 / 200.0))).max() < 1e-12 * 60.0


def end_of(equations: Callable[[float, np.ndarray], list[float]], start: list[float], until: float) -> np.ndarray:
    solved = solve_ivp(equations, (0.0, until), start, method="DOP853", rtol=1e-12, atol=1e-12)
    return np.asarray(solved.y[:, -1])


def assert_first_order(errors: list[float]) -> None:
    assert errors[-1] > 1e-9, "too close to measure an order"
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2.0, abs=0.25), errors


@pytest.mark.parametrize("integrator", ["exponential_euler", "euler"])
def test_conductances_converge_at_first_order(integrator: Any) -> None:
    neuron = CondExp(v_th=1e9, drive=15.0, integrator=integrator)

    def equations(t: float, y: np.ndarray) -> list[float]:
        ge, gi, v = y
        return [-ge / 5.0, -gi / 10.0, (10.0 * (-60.0 - v) + ge * -v + gi * (-80.0 - v) + 15.0) / 200.0]

    ge, gi, v = end_of(equations, [40.0, 60.0, -60.0], 8.0)
    errors = []
    for dt in (0.1, 0.05, 0.025, 0.0125):
        last = {k: s[-1] for k, s in simulate(neuron, round(8.0 / dt), dt, start={"ge": 40.0, "gi": 60.0}).states.items()}
        assert last["ge"] == pytest.approx(ge, rel=1e-10) and last["gi"] == pytest.approx(gi, rel=1e-10)
        errors.append(abs(last["v"] - v))
    assert_first_order(errors)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=60), st.floats(0.01, 100.0))
@settings(max_examples=25, deadline=None)
def test_exponential_euler_stays_between_its_potentials(inputs: list[tuple[float, float]], dt: float) -> None:
    v = simulate(CondExp(), 80, dt, dict(enumerate(inputs))).states["v"]
    assert v.min() >= -80.0 - 1e-9 and v.max() < -50.0


# Izhikevich

PATTERNS = {"regular spiking": Izhikevich(), "fast spiking": Izhikevich(a=0.1, d=2.0),
            "chattering": Izhikevich(c=-50.0, d=2.0)}


def papers_program(neuron: Izhikevich, current: float, steps: int, dt: float) -> list[int]:
    v, u, fired = neuron.c, neuron.b * neuron.c, []
    for t in range(steps):
        v = v + dt / 2 * (0.04 * (v * v) + 5 * v + 140 - u + current)
        v = v + dt / 2 * (0.04 * (v * v) + 5 * v + 140 - u + current)
        u = u + dt * neuron.a * (neuron.b * v - u)
        if v >= 30:
            fired.append(t)
            v, u = neuron.c, u + neuron.d
    return fired


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("name", PATTERNS)
def test_firing_patterns_of_the_papers_program(name: str, dt: float) -> None:
    steps = round(1000 / dt)
    fired = simulate(PATTERNS[name], steps, dt, dict.fromkeys(range(steps), (10.0,))).fired
    assert fired == papers_program(PATTERNS[name], 10.0, steps, dt)
    intervals = np.diff(fired) * dt
    if name == "chattering":
        assert intervals.min() < 5.0 and intervals.max() > 4 * intervals.min()
    else:
        assert (15 < len(fired) < 40) == (name == "regular spiking")
        assert np.ptp(intervals[5:]) <= 1.0 or dt > 0.1, "a pacemaker, but for the noise of long steps"


def test_a_drive_is_a_constant_input() -> None:
    driven = simulate(Izhikevich(drive=10.0), 500, 1.0)
    assert driven.fired == simulate(Izhikevich(), 500, 1.0, dict.fromkeys(range(500), (10.0,))).fired


def test_izhikevich_converges_before_its_first_spike() -> None:
    expected = end_of(lambda t, y: [0.02 * (0.2 * y[1] - y[0]), 0.04 * y[1] ** 2 + 5 * y[1] + 140 - y[0] + 10.0],
                      [-13.0, -65.0], 2.0)
    errors = []
    for dt in (0.02, 0.01, 0.005, 0.0025):
        run = simulate(Izhikevich(drive=10.0), round(2.0 / dt), dt)
        assert not run.fired
        errors.append(abs(run.states["v"][-1] - expected[1]))
    assert_first_order(errors)


# Adaptive exponential

def test_adex_converges_at_first_order_below_threshold() -> None:
    neuron = AdEx(drive=500.0, refractory=2.0)

    def equations(t: float, y: np.ndarray) -> list[float]:
        ge, gi, w, v = y
        upstroke = 30.0 * 2.0 * math.exp((v + 50.4) / 2.0)
        dv = 30.0 * (-70.6 - v) + upstroke - w - ge * v + gi * (-80.0 - v) + 500.0
        return [-ge / 5.0, -gi / 10.0, (4.0 * (v + 70.6) - w) / 144.0, dv / 281.0]

    ge, _, w, v = end_of(equations, [12.0, 9.0, 0.0, -70.6], 16.0)
    assert v > -56.0, "the exponential must matter"
    errors, of_w = [], []
    for dt in (0.1, 0.05, 0.025, 0.0125):
        run = simulate(neuron, round(16.0 / dt), dt, start={"ge": 12.0, "gi": 9.0})
        assert not run.fired and run.states["ge"][-1] == pytest.approx(ge, rel=1e-10)
        errors.append(abs(run.states["v"][-1] - v))
        of_w.append(abs(run.states["w"][-1] - w))
    assert_first_order(errors)
    assert_first_order(of_w)


def test_adex_adapts_and_its_spikes_add_b() -> None:
    run = simulate(AdEx(drive=900.0), 5000)
    intervals = np.diff(run.fired)
    assert len(run.fired) > 5 and intervals[-1] > 1.5 * intervals[0]
    t = run.fired[2]
    before, after = (run.states["w"][t + k] for k in (-1, 0))
    pull = 0.1 / 144.0 * (4.0 * (run.states["v"][t - 1] + 70.6) - before)
    assert after == pytest.approx(before + pull + 80.5, rel=1e-12) and run.states["v"][t] == -70.6


@pytest.mark.parametrize("delta_t", [2.0, 0.01, 30.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_adex_never_overflows(kind: Any, delta_t: float) -> None:
    run = simulate(AdEx(delta_t=delta_t), 200, 0.1, start={"v": -70.6 + 1e3}, kind=kind)
    assert run.fired[0] == 0 and all(s.dtype == kind and np.isfinite(s).all() for s in run.states.values())


# Refractoriness

@pytest.mark.parametrize(("refractory", "n"), [(0.0, 0), (0.1, 1), (2.0, 20), (0.26, 3)])
@pytest.mark.parametrize("neuron", HELD, ids=lambda n: n.rule.name)
def test_held_for_exactly_the_refractory_steps(neuron: Neuron, refractory: float, n: int) -> None:
    again = type(neuron)(**{**vars(neuron), "refractory": refractory, "drive": 3000.0})
    run = simulate(again, 400)
    assert len(run.fired) > 3
    for t, following in itertools.pairwise(run.fired):
        assert following > t + n and run.states["ref"][t] == n
        assert (run.states["v"][t: t + n + 1] == again.v_reset).all()  # type: ignore[attr-defined]
        assert run.states["v"][t + n + 1] > again.v_reset or following == t + n + 1  # type: ignore[attr-defined]


def test_synapses_go_on_while_the_membrane_is_held() -> None:
    run = simulate(PscExp(), 12, inputs={0: (9e4,), 5: (100.0,)})
    assert run.fired == [1]
    i = 9e4 * math.exp(-0.2) ** np.arange(12.0)
    i[5:] += 100.0 * math.exp(-0.2) ** np.arange(7.0)
    np.testing.assert_allclose(run.states["i"], i, rtol=1e-12)


def test_a_jump_into_a_held_membrane_is_lost() -> None:
    run = simulate(PscDelta(refractory=0.3), 6, inputs={0: (15.0,), 1: (99.0,), 3: (99.0,), 4: (15.0,)})
    assert run.fired == [0, 4] and run.states["ref"].tolist() == [3, 2, 1, 0, 3, 2]


# What is refused

@pytest.mark.parametrize("of", [PscDelta, PscExp, PscAlpha, CondExp])
@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("tau", 0.0, "tau must be above 0, got 0.0"), ("tau", math.nan, "tau must be finite, got nan"),
    ("tau", "x", "tau must be a number or an array of numbers, got 'x'"), ("c_m", -1.0, "c_m must be above 0, got -1.0"),
    ("e_l", math.inf, "e_l must be finite, got inf"), ("v_th", math.nan, "v_th must be finite, got nan"),
    ("v_reset", -50.0, "v_reset must be below v_th = -50.0, got -50.0"),
    ("v_reset", math.nan, "v_reset must be finite, got nan"),
    ("refractory", -0.1, "refractory must be at least 0, got -0.1"), ("drive", math.nan, "drive must be finite, got nan")])
def test_impossible_membranes_are_refused(of: Any, name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        of(**{name: value})


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda: PscExp(tau_syn=0.0), "tau_syn must be above 0, got 0.0"),
    (lambda: PscExp(tau_syn=(0.5, -1.0)), "tau_syn must be above 0, got -1.0"),
    (lambda: PscAlpha(tau_syn=(1.0, math.nan)), "tau_syn must be finite, got nan"),
    (lambda: PscAlpha(tau_syn=(1.0, 2.0, 3.0)),  # type: ignore[arg-type]
     r"tau_syn must be one number or a pair \(tau_ex, tau_in\), got \(1.0, 2.0, 3.0\)"),
    (lambda: CondExp(tau_ex=0.0), "tau_ex must be above 0, got 0.0"),
    (lambda: CondExp(tau_in=-1.0), "tau_in must be above 0, got -1.0"),
    (lambda: CondExp(e_ex=math.nan), "e_ex must be finite, got nan"),
    (lambda: CondExp(e_in=-math.inf), "e_in must be finite, got -inf"),
    (lambda: CondExp(integrator="rk4"),  # type: ignore[arg-type]
     "integrator must be one of 'exponential_euler', 'euler', got 'rk4'"),
    (lambda: CondExp(tau=0.5, integrator="euler").step_parameters(1.0),
     "tau must be at least dt = 1 ms for the Euler decay 1 - dt/tau, got 0.5"),
    (lambda: Izhikevich(a=math.nan), "a must be finite, got nan"),
    (lambda: Izhikevich(b=math.inf), "b must be finite, got inf"),
    (lambda: Izhikevich(c=30.0), "c must be below the peak = 30.0, got 30.0"),
    (lambda: Izhikevich(d="x"), "d must be a number or an array of numbers, got 'x'"),  # type: ignore[arg-type]
    (lambda: Izhikevich().step_parameters(0.0), "dt must be above 0, got 0.0"),
    (lambda: AdEx(c_m=0.0), "c_m must be above 0, got 0.0"), (lambda: AdEx(g_l=-3.0), "g_l must be above 0, got -3.0"),
    (lambda: AdEx(delta_t=0.0), "delta_t must be above 0, got 0.0"),
    (lambda: AdEx(tau_w=0.0), "tau_w must be above 0, got 0.0"),
    (lambda: AdEx(tau_ex=0.0), "tau_ex must be above 0, got 0.0"),
    (lambda: AdEx(tau_in=0.0), "tau_in must be above 0, got 0.0"),
    (lambda: AdEx(v_t=20.0), "v_t must be below v_peak = 20.0, got 20.0"),
    (lambda: AdEx(v_reset=21.0), "v_reset must be below v_peak = 20.0, got 21.0"),
    (lambda: AdEx(refractory=-1.0), "refractory must be at least 0, got -1.0"),
    (lambda: AdEx(a=math.nan), "a must be finite, got nan"), (lambda: AdEx(b=math.nan), "b must be finite, got nan"),
    (lambda: AdEx(drive=math.nan), "drive must be finite, got nan"),
    (lambda: AdEx(e_in=math.nan), "e_in must be finite, got nan"),
    (lambda: PscDelta().step_parameters(math.inf), "dt must be finite, got inf"),
    (lambda: PscExp().step_parameters(-0.1), "dt must be above 0, got -0.1")])
def test_impossible_arguments_are_refused(build: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        build()


def test_parameters_of_each_neuron() -> None:
    values = np.array([0.5, 10.0, 12.0])
    together = PscAlpha(tau_syn=values, drive=100.0 * values).step_parameters(0.1)  # type: ignore[arg-type]
    for k, value in enumerate(values):
        alone = PscAlpha(tau_syn=float(value), drive=100.0 * float(value)).step_parameters(0.1)
        assert all(np.broadcast_to(together[p], 3)[k] == alone[p] for p in alone)


# Any parameters, any input

TIME, POTENTIAL = st.floats(0.1, 200.0), st.floats(-100.0, 0.0)
MEMBRANE: dict[str, Any] = {"tau": TIME, "c_m": st.floats(1.0, 1000.0), "e_l": POTENTIAL, "v_th": st.floats(-40.0, 50.0),
                            "v_reset": st.floats(-100.0, -40.5), "refractory": st.floats(0.0, 5.0),
                            "drive": st.floats(-1e3, 1e3)}
EITHER = st.one_of(TIME, st.tuples(TIME, TIME))
CONDUCTANCE: dict[str, Any] = {"tau_ex": st.floats(0.1, 10.0), "tau_in": st.floats(0.1, 10.0), "e_ex": st.floats(-20.0, 20.0),
                               "e_in": POTENTIAL}
ANY: dict[str, tuple[st.SearchStrategy[Neuron], st.SearchStrategy[float], float]] = {
    "psc_delta": (st.builds(PscDelta, **MEMBRANE), st.floats(-1e4, 1e4), 1.0),
    "psc_exp": (st.builds(PscExp, tau_syn=EITHER, **MEMBRANE), st.floats(-1e6, 1e6), 1.0),
    "psc_alpha": (st.builds(PscAlpha, tau_syn=EITHER, **MEMBRANE), st.floats(-1e6, 1e6), 1.0),
    "cond_exp": (st.builds(CondExp, **MEMBRANE, **CONDUCTANCE), st.floats(0.0, 1e5), 1.0),
    # forward Euler is stable where dt times the total conductance stays below the capacitance
    "cond_exp_euler": (st.builds(CondExp, **{**MEMBRANE, "tau": st.floats(10.0, 50.0), "c_m": st.floats(100.0, 500.0)},
                                 **CONDUCTANCE, integrator=st.just("euler")), st.floats(0.0, 5.0), 0.1),
    "izhikevich": (st.builds(Izhikevich, a=st.floats(0.01, 0.1), b=st.floats(0.1, 0.3), c=st.floats(-70.0, -45.0),
                             d=st.floats(0.0, 10.0)), st.floats(-20.0, 20.0), 1.0),
    "adex": (st.builds(AdEx, c_m=st.floats(100.0, 500.0), g_l=st.floats(1.0, 30.0), e_l=POTENTIAL, v_t=POTENTIAL,
                       delta_t=st.floats(0.01, 10.0), tau_w=st.floats(10.0, 500.0), a=st.floats(-10.0, 10.0),
                       b=st.floats(0.0, 500.0), v_reset=POTENTIAL, refractory=st.floats(0.0, 5.0), drive=st.floats(-1e3, 1e3),
                       **CONDUCTANCE), st.floats(0.0, 5.0), 0.1)}


@pytest.mark.parametrize("name", ANY)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_states_stay_finite(name: str, data: st.DataObject) -> None:
    neurons, value, longest = ANY[name]
    neuron, dt = data.draw(neurons), data.draw(st.floats(0.01, longest))
    few = data.draw(st.lists(value, min_size=2, max_size=20))
    inputs = {t: (few[t % len(few)], few[-1 - t % len(few)])[: len(neuron.rule.inputs)] for t in range(150)}
    run = simulate(neuron, 150, dt, inputs)
    assert all(np.isfinite(s).all() for s in run.states.values())
    assert (run.states["ref"] >= 0.0).all() if "ref" in run.states else True


# The rule as kernels and files see it

@each
def test_derived_stored_and_printed(neuron: Neuron) -> None:
    """Both printed steps equal the functions: forward on floats, backward autograd with the spike held constant."""
    rule, rng = neuron.rule, np.random.default_rng(0)
    check_names(rule)
    stored = rule_from_json(rule_to_json(rule))
    slope = SURROGATES["atan"].slope
    assert derive(stored, slope) == derive(rule, slope) and stored.conductances == rule.conductances
    assert all(name in derive(rule, slope).backward.text() for name in (f"g_{p}" for p in rule.parameters))
    derived = derive(rule, lambda m, width: 0.0 * m)
    names = [*rule.states, *rule.inputs, *rule.parameters]
    parameters = [float(p) for p in neuron.step_parameters(0.1).values()]
    seen = set()
    for v in (-64.0, -55.0, 40.0):
        for ref in (0.0, 3.0):
            before = {"ref": ref, "v": v}
            values = [before.get(s, 5.0 + rng.random()) for s in rule.states] + [3.0] * len(rule.inputs) + parameters
            leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in values]
            own = leaves[-len(parameters):]
            h = call(rule.charge, *leaves)
            s = (rule.margin(*h, *own) >= 0).double()  # type: ignore[misc]
            after = call(rule.reset, *h, s, *own)  # type: ignore[arg-type]
            results = run_step(derived.forward, names, values)
            assert results["s"] == s.item()
            assert [results[n] for n in rule.states] == pytest.approx([a.item() for a in after], rel=1e-15)
            weights = [1.0 + k for k in range(len(after))]
            wanted = torch.autograd.grad(sum(w * a for w, a in zip(weights, after, strict=True)), leaves, allow_unused=True)
            seeds = {"width": 1.0, "g_s": 0.0, **{f"g_{n}": w for n, w in zip(rule.states, weights, strict=True)}}
            got = run_step(derived.backward, [*names, *seeds], [*values, *seeds.values()])
            for name, g in zip(names, wanted, strict=True):
                assert got[f"g_{name}"] == pytest.approx(0.0 if g is None else g.item(), rel=1e-12, abs=1e-12), name
            seen.add(s.item())
    assert seen == {0.0, 1.0}
