"""A rule is checked, traced and printed; its adjoint equals finite differences through the surrogate's primitive."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnsim.neurons import IF, LI, LIF, MPRLIF, AdaptiveLIF, CubaLIF
from snnsim.rule import Rule, call, derive, exp, rule_from_json, rule_to_json, where

NEURONS = [IF(), IF(reset="hard"), LIF(), LIF(reset="hard"), LIF(reset="none"), CubaLIF(), CubaLIF(reset="hard"),
           AdaptiveLIF(), MPRLIF(), MPRLIF(reset="hard"), LI()]
IDS = [n.rule.name for n in NEURONS]
GLOBAL = 2.0


def charge(v: float, x: float, decay: float, theta: float) -> float:
    return decay * v + x


def margin(v: float, decay: float, theta: float) -> float:
    return v - theta


def reset(v: float, s: float, decay: float, theta: float) -> float:
    return v - s * theta


def upstroke(v: float, x: float, decay: float, theta: float) -> float:
    return decay * v + x + 0.05 * exp(where(v < theta, v - theta, 0.0))


def triangle(m, width):
    return where(m * m < width, 1.0 / (1.0 + m * m), 0.25)


def run_step(step, names, values):
    """Execute printed lines on floats."""
    scope = {"F": float, "exp": math.exp, "np": np, **dict(zip(names, values, strict=True))}
    exec("\n".join(step.lines), scope)  # the test runs what the kernels run
    return {k: eval(v, scope) for k, v in step.results.items()}


@pytest.mark.parametrize("neuron", NEURONS, ids=IDS)
def test_printed_forward_equals_the_functions(neuron):
    rule, rng = neuron.rule, np.random.default_rng(0)
    names = [*rule.states, *rule.inputs, *rule.parameters]
    step = derive(rule, triangle).forward
    for _ in range(50):
        values = [float(v) for v in rng.normal(0.6, 0.5, len(names))]
        given_ = dict(zip(names, values, strict=True))
        parameters = [given_[p] for p in rule.parameters]
        h = call(rule.charge, *values)
        expected = {"out": h[-1]}
        if rule.fires:
            s = 1.0 if rule.margin(*h, *parameters) >= 0 else 0.0
            h = call(rule.reset, *h, s, *parameters)
            expected = {"s": s}
        expected.update(zip(rule.states, h, strict=True))
        assert run_step(step, names, values) == expected


@pytest.mark.parametrize("neuron", NEURONS, ids=IDS)
def test_derived_adjoint_equals_finite_differences_away_from_the_spike(neuron):
    """With the surrogate set to zero the step is smooth between spikes, and its adjoint is the plain derivative."""
    rule, rng, eps = neuron.rule, np.random.default_rng(1), 1e-6
    names = [*rule.states, *rule.inputs, *rule.parameters]
    derived = derive(rule, lambda m, width: 0.0 * m)
    outputs = [r for r in derived.forward.results if r != "s"]
    for _ in range(20):
        values = rng.normal(0.4, 0.3, len(names))
        weights = dict(zip(outputs, rng.normal(size=len(outputs)), strict=True))
        seeds = {f"g_{r}": weights.get(r, 0.0) for r in derived.forward.results}
        got = run_step(derived.backward, [*names, "width", *seeds], [*values, 1.0, *seeds.values()])
        for i, name in enumerate(names):
            moved = [run_step(derived.forward, names, [float(v) for v in values + d * np.eye(len(names))[i]])
                     for d in (eps, -eps)]
            if rule.fires and moved[0]["s"] != moved[1]["s"]:
                continue
            slope = sum(weights[r] * (moved[0][r] - moved[1][r]) for r in outputs) / (2 * eps)
            assert got[f"g_{name}"] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_detached_reset_stops_the_gradient_through_the_spike():
    attached = derive(LIF().rule, lambda m, width: 1.0 + 0.0 * m).backward
    detached = derive(LIF().rule, lambda m, width: 1.0 + 0.0 * m, detach_reset=True).backward
    names, values = ["v", "x", "decay", "theta", "width", "g_v", "g_s"], [0.5, 0.2, 0.9, 1.0, 1.0, 3.0, 5.0]
    assert run_step(attached, names, values)["g_x"] == 3.0 * (1 - 1.0 * 1.0) + 5.0
    assert run_step(detached, names, values)["g_x"] == 3.0 + 5.0


@pytest.mark.parametrize("neuron", NEURONS, ids=IDS)
def test_a_stored_rule_prints_the_same_kernels(neuron):
    again = rule_from_json(rule_to_json(neuron.rule))
    assert derive(again, triangle) == derive(neuron.rule, triangle)
    assert (again.states, again.inputs, again.parameters) == (
        neuron.rule.states, neuron.rule.inputs, neuron.rule.parameters)
    assert rule_to_json(again) == rule_to_json(neuron.rule)


@given(st.sampled_from(NEURONS), st.lists(st.floats(-3, 3), min_size=9, max_size=9), st.integers(1, 40))
def test_leap_and_bound_speak_true_of_silent_steps(neuron, values, k):
    rule = neuron.rule
    parameters = [float(v) for v in neuron.step_parameters(1.0).values()]
    state = tuple(values[: len(rule.states)])
    leapt = call(rule.leap, *state, k, *parameters) if rule.leap else None
    limit = rule.bound(*state, *parameters) if rule.bound else math.inf
    for _ in range(k):
        state = call(rule.charge, *state, 0.0, *parameters)
        if rule.bound:
            assert rule.margin(*state, *parameters) <= limit
    if leapt is not None:
        assert leapt == pytest.approx(state, rel=1e-12, abs=1e-300)


def branching(v, x, theta):
    return v + x if v > theta else v


def with_and(v, x, theta):
    return where(v > 0.0 and x > 0.0, v, x)


def with_global(v, x, theta):
    return v + GLOBAL * x


def with_builtin(v, x, theta):
    return abs(v) + x


def with_default(v, x, theta=1.0):
    return v + x


def two_results(v, x, theta):
    return v, x


def with_text(v, x, theta):
    return v + "x"


def closure():
    k = 2.0

    def closed(v, x, theta):
        return k * v + x

    return closed


@pytest.mark.parametrize(("function", "sentence"), [
    (branching, "cannot branch on a value"), (with_and, "cannot branch on a value"),
    (with_global, "uses the name 'GLOBAL'"), (with_builtin, "uses the name 'abs'"),
    (with_default, "'theta' may not have a default"), (two_results, "returns 2 values, must return 1"),
    (with_text, "computes with floats, not with str"), (closure(), "closes over k"),
    (np.sin, "must be a plain Python function"), (lambda x, v: v, "the states, then the inputs")])
def test_an_impure_rule_is_refused(function, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        Rule("bad", function)


def test_signatures_must_agree():
    with pytest.raises(ValueError, match=r"margin of rule 'bad' takes \('v', 'theta'\), must take \('v', 'decay', 'theta'\)"):
        Rule("bad", charge, lambda v, theta: v - theta, reset)
    with pytest.raises(ValueError, match="needs margin and reset"):
        Rule("bad", charge, margin)


def test_a_users_own_neuron_from_its_functions():
    neuron = Rule("upstroke", upstroke, margin, reset)(decay=0.9, theta=1.0)
    assert neuron.rule.states == ("v",) and neuron.rule.parameters == ("decay", "theta")
    assert "exp(" in derive(neuron.rule, triangle).forward.text()
    with pytest.raises(ValueError, match=r"missing \['theta'\], unknown \['tau'\]"):
        neuron.rule(decay=0.9, tau=1.0)
    with pytest.raises(ValueError, match="decay must be finite"):
        neuron.rule(decay=math.nan, theta=1.0)


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda: LIF(tau=-1.0), "tau must be above 0, got -1.0"), (lambda: LIF(tau=math.nan), "tau must be finite"),
    (lambda: LIF(theta=0.0), "theta must be above 0"), (lambda: LIF(reset="zero"), "reset must be one of 'soft', 'hard'"),
    (lambda: IF(theta=math.inf), "theta must be finite"), (lambda: CubaLIF(tau_syn=0.0), "tau_syn must be above 0"),
    (lambda: AdaptiveLIF(beta=-0.1), "beta must be at least 0"), (lambda: LI(tau="x"), "tau must be a number"),
    (lambda: LIF(tau=0.5, decay="euler").step_parameters(1.0), "tau must be at least dt"),
    (lambda: LIF().step_parameters(math.inf), "dt must be finite")])
def test_impossible_parameters_are_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


def test_decays():
    assert LIF(tau=20.0).step_parameters(10.0)["decay"] == pytest.approx(math.exp(-0.5))
    assert LIF(tau=20.0, decay="euler").step_parameters(10.0)["decay"] == 0.5
    assert LIF(tau=math.inf).step_parameters(10.0)["decay"] == 1.0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1}', "null"])
def test_a_broken_stored_rule_is_refused(text):
    with pytest.raises(ValueError, match="not a stored rule"):
        rule_from_json(text)


@given(st.data())
def test_a_mutated_stored_rule_loads_or_is_refused(data):
    text = rule_to_json(data.draw(st.sampled_from(NEURONS)).rule)
    at = data.draw(st.integers(0, len(text) - 1))
    mutated = text[:at] + data.draw(st.sampled_from(list('0123456789"[]{},:abx- '))) + text[at + 1:]
    with contextlib.suppress(ValueError):  # anything else would be a crash
        rule_from_json(mutated)
