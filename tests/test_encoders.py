"""Encoders against their definitions, value by value."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.datasets.encoders import Delta, Direct, Latency, Phase, Rate

SETTINGS = settings(deadline=None, max_examples=40)
VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9)


@SETTINGS
@given(VALUES, st.integers(1, 20), st.integers(1, 12))
def test_latency_and_phase_equal_their_definitions(values, steps, bits):
    latency, phase = Latency(steps)(values), Phase(steps, bits)(values)
    for i, x in enumerate(values):
        wanted = [1 if x > 0 and t == math.floor((1.0 - x) * (steps - 1) + 0.5) else 0 for t in range(steps)]
        assert latency[:, i].tolist() == wanted
        number = min(math.floor(x * 2**bits), 2**bits - 1)
        assert phase[:, i].tolist() == [int(f"{number:0{bits}b}"[t % bits]) for t in range(steps)]
    whole = Phase(bits, bits)(values)
    decoded = (whole * 0.5 ** np.arange(1.0, bits + 1)[:, None]).sum(0)
    assert np.all(np.abs(decoded - values) <= 2.0**-bits)


@SETTINGS
@given(st.lists(st.lists(st.integers(-40, 40), min_size=3, max_size=3), min_size=1, max_size=15), st.integers(1, 12),
       st.booleans())
def test_delta_equals_its_definition_and_gives_the_signal_back(rows, threshold, once):
    signal, sent = np.array(rows) / 8, threshold / 8
    made = Delta(sent, once)(signal)
    for i in range(3):
        reference = signal[0, i]
        for t in range(len(rows)):
            n = int(abs(signal[t, i] - reference) // sent)
            n, sign = min(n, 1) if once else n, 1 if signal[t, i] > reference else -1
            assert made[t, :, i].tolist() == [n if sign < 0 else 0, n if sign > 0 else 0]
            reference += sign * n * sent
    if not once:
        back = signal[0] + sent * (made[:, 1] - made[:, 0]).cumsum(0)
        assert np.all(np.abs(back - signal) < sent)


def test_rate_fires_as_often_as_it_should_and_again_the_same():
    values = np.array([[0.0, 0.1], [0.5, 1.0]])
    made = Rate(20_000, seed=3)(values)
    assert made.shape == (20_000, 2, 2) and set(np.unique(made)) == {0.0, 1.0}
    assert made[:, 0, 0].sum() == 0 and made[:, 1, 1].sum() == 20_000
    np.testing.assert_allclose(made.mean(0), values, atol=0.015)
    np.testing.assert_array_equal(made, Rate(20_000, seed=3)(values))
    assert not np.array_equal(made, Rate(20_000, seed=3)(values, number=1))


def test_direct_repeats():
    made = Direct(4)([-1.5, 2.0])
    assert made.dtype == np.float32 and made.tolist() == [[-1.5, 2.0]] * 4


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Rate(0), "steps must be a whole number from 1, got 0"),
    (lambda: Rate(3)([1.5]), "values must lie from 0 to 1, got 1.5 to 1.5"),
    (lambda: Latency(3)([float("nan")]), "values must be finite, got [nan]"),
    (lambda: Phase(3, 60), "bits must be a whole number from 1 to 52, got 60"),
    (lambda: Delta(0.0), "threshold must be above 0, got 0.0"),
    (lambda: Delta(1.0)(3.0), "signal must be [T, ...] with at least one step, got shape ()"),
])
def test_wrong_arguments_are_named(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()
