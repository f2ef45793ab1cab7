"""Bits that flip: which and how many, that none changes a run without faults, and what range restriction is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.hardware import integer
from snnsim.hardware.integer import (
    KINDS,
    Faults,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    Ranges,
    profile,
    run_faulty,
    truncated,
)
from snnsim.hardware.integer.execute import plan_of
from snnsim.hardware.integer.faults import _bits
from snnsim.hardware.integer.kernels import _flipped_state, _flipped_weight
from snnsim.maps import Conv2d, Dense
from tests.test_integer import random_integers

Array = np.ndarray[Any, Any]


@given(st.integers(0, 2**31), st.integers(1, 3))
@settings(max_examples=8, deadline=None)
def test_without_faults_it_is_the_run(seed: int, threads: int) -> None:
    net, counts = random_integers(seed)
    wanted = integer.run(net, counts)
    found, flips = run_faulty(net, counts, Faults(0.0, seed=seed % 1000), threads=threads, spikes=True)
    assert flips == dict.fromkeys(KINDS, 0) and found.overflows == wanted.overflows
    for name, spikes in wanted.spikes.items():
        np.testing.assert_array_equal(found.spikes[name], spikes)
        np.testing.assert_array_equal(found.counts[name], wanted.counts[name])
    np.testing.assert_array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("bit", [0, 5, 22, 23])
def test_a_bit_of_a_state_is_one_of_twos_complement(bit: int) -> None:
    for value in (0, 1, -1, 12345, -54321, 2**23 - 1, -(2**23) + 1):
        flipped = _flipped_state.py_func(value, bit)
        assert flipped == value + (1 << bit if (value >> bit) % 2 == 0 else -(1 << bit)) * (-1 if bit == 23 else 1)
        assert -(2**23) <= flipped < 2**23 and _flipped_state.py_func(flipped, bit) == value


@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_a_flipped_weight_is_another_that_the_bits_hold(seed: int) -> None:
    net, _ = random_integers(seed)
    bits = _bits(net)
    rng = np.random.default_rng(seed)
    each = np.concatenate([np.full(np.count_nonzero(q.mantissas), i) for i, q in enumerate(net.projections)])
    assert bits.first[-1] == sum(np.count_nonzero(q.mantissas) * q.bits for q in net.projections)
    np.testing.assert_array_equal(bits.mantissa[bits.stored], plan_of(net).weight)
    for at in rng.integers(0, bits.first[-1], 30):
        stored = bits.mantissa.copy()
        _flipped_weight.py_func(bits, stored, at)
        [i] = np.flatnonzero(stored != bits.mantissa)
        q = net.projections[each[i]]
        assert truncated(stored[i], q.sign, q.bits) == stored[i]
        difference = abs(int(stored[i] - bits.mantissa[i])) // bits.step[i]
        assert difference == 1 << (at - bits.first[i]) and bits.first[i] <= at < bits.first[i + 1]
        _flipped_weight.py_func(bits, stored, at)
        np.testing.assert_array_equal(stored, bits.mantissa)


def one(reset: Any = "none", du: int = 4095) -> IntegerNetwork:
    """A neuron on an input, by a weight of 6."""
    return IntegerNetwork((IntegerPopulation("in", (1,), None), IntegerPopulation("n", (1,), reset, du=du, vth=3)),
                          (IntegerProjection("in", "n", Dense([[6.0]])),), latency=1,
                          readout="membrane" if reset == "none" else "count")


def test_where_all_bits_flip_in_every_step_it_is_known_what_comes() -> None:
    counts = np.ones((4, 1, 1))
    code = [3, ~3, 3, ~3]  # 6 is 3 in steps of 2; flipped before the first spike is sent
    v = np.cumsum([0, *(2 * c * 64 for c in code[1:] + code[:1])])
    found, flips = run_faulty(one(), counts, Faults(1.0, ("weights",)))
    assert found.scores.tolist() == [[int(v.sum())]] and flips["weights"] == 8 * 5
    v, total = 0, 0
    for x in (0, 6, 6, 6, 6):
        v += x * 64
        total += v
        v = ~v  # 24 bits
    found, flips = run_faulty(one(), counts, Faults(1.0, ("v",)))
    assert found.scores.tolist() == [[total]] and flips == {"weights": 0, "u": 0, "v": 24 * 5, "spikes": 0}
    u = v = total = 0
    for x in (0, 6, 6, 6, 6):
        u = int(np.sign(u)) * (abs(u) * 2048 >> 12) + x * 64
        v += u
        total += v
        u = ~u
    assert run_faulty(one(du=2047), counts, Faults(1.0, ("u",)))[0].scores.tolist() == [[total]]
    plain = integer.run(one("hard"), counts).scores
    assert run_faulty(one("hard"), counts, Faults(1.0, ("spikes",)))[0].scores.tolist() == (5 - plain).tolist()


def test_flips_are_as_many_as_the_rate_says_and_the_same_for_any_threads() -> None:
    net, counts = random_integers(3)
    counts = np.repeat(counts, 20, 1)
    steps, samples = len(counts) + net.latency, counts.shape[1]
    firing = sum(p.size for p in net.populations[1:] if p.reset != "none")
    neurons = sum(p.size for p in net.populations[1:])
    bits = {"weights": int(_bits(net).first[-1]), "u": 24 * neurons, "v": 24 * neurons, "spikes": firing}
    found = [run_faulty(net, counts, Faults(0.003, seed=s), threads=n) for s, n in ((0, 1), (0, 4), (1, 2))]
    for kind, number in bits.items():
        mean = 0.003 * number * steps * samples
        assert abs(found[0][1][kind] - mean) < 5 * np.sqrt(mean)
    assert found[0][1] == found[1][1] != found[2][1]
    np.testing.assert_array_equal(found[0][0].scores, found[1][0].scores)
    assert np.any(found[0][0].scores != found[2][0].scores)


@pytest.mark.parametrize("each", ["population", "neuron"])
def test_card23_ranges_are_what_samples_keep_to(each: Any) -> None:
    net, counts = random_integers(5)
    result = integer.run(net, counts, record=[p.name for p in net.populations[1:]])
    ranges = profile(net, counts, each=each)
    start = 0
    for p in net.populations[1:]:
        first = np.broadcast_to(p.start, p.shape).ravel()
        for k, states, before in ((1, result.u, 0 * first), (2, result.v, first)):
            # as it is read: the start is, what the last step leaves is not
            seen = np.concatenate([before[None], states[p.name][:-1].reshape(-1, p.size)])
            axis = 0 if each == "neuron" else None
            np.testing.assert_array_equal(ranges.bounds[start: start + p.size, k, 0], np.minimum(0, seen.min(axis)))
            np.testing.assert_array_equal(ranges.bounds[start: start + p.size, k, 1], np.maximum(0, seen.max(axis)))
        start += p.size
    for policy in ("clip", "zero"):
        same, _ = run_faulty(net, counts, Faults(0.0), Ranges(ranges.bounds, policy))  # type: ignore[arg-type]
        np.testing.assert_array_equal(same.scores, result.scores)


def classifier(seed: int = 0) -> tuple[IntegerNetwork, Array, Array]:
    """Four patterns, a hidden layer with a hard reset and a leaking readout; counts to profile on, and others."""
    rng = np.random.default_rng(seed)
    hidden, out = 2.0 * rng.integers(-40, 50, (24, 16)), np.zeros((4, 24))
    for i in range(24):
        out[i % 4, i] = 40.0
        hidden[i] = np.where(np.arange(16) // 4 == i % 4, 60.0, -6.0)
    net = IntegerNetwork((IntegerPopulation("in", (16,), None), IntegerPopulation("h", (24,), "hard", dv=400, vth=120),
                          IntegerPopulation("out", (4,), "none", dv=400)),
                         (IntegerProjection("in", "h", Dense(hidden)), IntegerProjection("h", "out", Dense(out))), latency=2,
                         readout="membrane")
    labels = rng.integers(0, 4, 300)
    rates = np.where(np.arange(16) // 4 == labels[:, None], 0.35, 0.1)
    counts = (rng.random((30, 300, 16)) < rates).astype(int)
    return net, counts[:, :150], counts[:, 150:]


def test_card23_restriction_has_3_times_fewer_wrong_decisions_under_flips_of_membranes() -> None:
    net, train, test = classifier()
    clean = integer.run(net, test).prediction
    ranges = profile(net, train)
    assert np.mean(run_faulty(net, test, Faults(0.0), ranges)[0].prediction != clean) <= 0.001
    wrong = [sum(int(np.sum(run_faulty(net, test, Faults(1e-4, ("v",), seed), r)[0].prediction != clean)) for seed in range(5))
             for r in (None, ranges)]
    assert wrong[0] >= 30 and 3 * wrong[1] <= wrong[0], wrong  # of 750


def test_bad_faults_are_refused() -> None:
    net, counts = random_integers(0)
    with pytest.raises(ValueError, match=r"rate of faults must be a probability, 0 \.\. 1, got 2"):
        Faults(2.0)
    with pytest.raises(ValueError, match="kinds of faults must be one of 'weights', 'u', 'v', 'spikes', got 'axons'"):
        Faults(0.1, ("axons",))
    with pytest.raises(ValueError, match="seed of faults must be a whole number"):
        Faults(0.1, seed=-1)
    with pytest.raises(ValueError, match="ranges are those of 3 neurons, but the network has"):
        run_faulty(net, counts, Faults(0.0), Ranges(np.zeros((3, 3, 2), np.int64)))
    with pytest.raises(ValueError, match="policy must be one of 'clip', 'zero'"):
        Ranges(np.zeros((3, 3, 2), np.int64), "drop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="each must be one of 'population', 'neuron'"):
        profile(net, counts, each="core")  # type: ignore[arg-type]
    kernel = np.full((1, 2, 3, 3), 2.0)
    small = IntegerNetwork((IntegerPopulation("in", (2, 5, 5), None), IntegerPopulation("c", (1, 3, 3))),
                           (IntegerProjection("in", "c", Conv2d(kernel)),))
    assert _bits(small).first[-1] == 18 * 8  # a weight of a kernel is stored once
