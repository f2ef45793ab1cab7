"""Networks in whole numbers: the executor against plain arithmetic and against the engine, and what quantising refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import engine
from snnsim.hardware import integer
from snnsim.hardware.composed import composed, matrix
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection, truncated
from snnsim.hardware.integer.latency import latencies
from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, SumPool2d, weighing
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import IF, LI, LIF, CubaLIF, LoihiLIF
from tests.test_loihi_neuron import integers

Array = np.ndarray[Any, Any]


def plain(network: IntegerNetwork, counts: Array) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Spikes, u and v of one sample, [T, *population] each, step by step with dense matrices of Python's whole numbers."""
    steps = len(counts) + network.latency
    out = {network.populations[0].name: np.concatenate([counts, np.zeros((network.latency, *counts.shape[1:]), int)])}
    out |= {p.name: np.zeros((steps, *p.shape), np.int64) for p in network.populations[1:]}
    us, vs = ({p.name: np.zeros((steps, *p.shape), np.int64) for p in network.populations[1:]} for _ in range(2))
    matrices = [by_delay(q, network.population(q.source).shape) for q in network.projections]
    for t in range(steps):
        for p in network.populations[1:]:
            x = np.zeros(p.size, np.int64)
            for q, by in zip(network.projections, matrices, strict=True):
                if q.target == p.name:
                    for a in (w @ out[q.source][t - d].ravel() for d, w in by.items() if t >= d):
                        x += a << q.exponent if q.exponent >= 0 else a >> -q.exponent
            u, v = (us[p.name][t - 1], vs[p.name][t - 1]) if t else (np.zeros(p.shape, np.int64), p.start)
            if t and p.reset != "none":
                v = np.where(out[p.name][t - 1], v - (p.vth << 6) if p.reset == "soft" else 0, v)
            s, us[p.name][t], vs[p.name][t] = (o[0] for o in integers(p.neuron, (x.reshape(p.shape) << 6)[None], u, v))
            out[p.name][t] = s if p.reset != "none" else 0
    return out, us, vs


def by_delay(q: IntegerProjection, shape: tuple[int, ...]) -> dict[int, Array]:
    if isinstance(q.map, Delayed):
        w, d = np.asarray(q.map.weight).astype(np.int64), np.asarray(q.map.delay)
        return {int(k) + q.delay: np.where(d == k, w, 0) for k in np.unique(d)}
    return {q.delay: np.rint(matrix(q.map, shape)).astype(np.int64)}


def random_integers(seed: int, exponents: tuple[int, int] = (-3, 3)) -> tuple[IntegerNetwork, Array]:
    """A net with a convolution, delays, a loop and several signs and bits; and counts [T, B, *input]."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> tuple[Array, dict[str, Any]]:
        bits, sign = int(rng.integers(2, 9)), integer.model.SIGNS[rng.integers(3)]
        w = truncated(rng.integers(-256, 256, shape), sign, bits)
        return w.astype(float), {"bits": bits, "sign": sign, "exponent": int(rng.integers(*exponents, endpoint=True))}

    def population(name: str, shape: tuple[int, ...], reset: Any) -> IntegerPopulation:
        own = (shape[0], 1, 1) if len(shape) == 3 else shape
        return IntegerPopulation(name, shape, reset, rng.integers(0, 4096, own), rng.integers(0, 4097), rng.integers(1, 3000),
                                 rng.integers(-300, 300, own), int(rng.integers(0, 5)),
                                 start=rng.integers(-2**18, 2**18, own) * rng.integers(2))

    first, loop, out = weight(3, 2, 2, 3), weight(7, 7), weight(4, 7)
    middle = weight(7, 18)
    projections = (IntegerProjection("in", "conv", Conv2d(first[0], (2, 1), (1, 0)), delay=2, **first[1]),
                   IntegerProjection("conv", "hidden", Delayed(middle[0], rng.integers(0, 9, (7, 18))), **middle[1]),
                   IntegerProjection("hidden", "hidden", Dense(loop[0]), delay=int(rng.integers(1, 4)), **loop[1]),
                   IntegerProjection("hidden", "out", Dense(out[0]), **out[1]))
    net = IntegerNetwork((IntegerPopulation("in", (2, 3, 5), None), population("conv", (3, 2, 3), "hard"),
                          population("hidden", (7,), "soft"), population("out", (4,), rng.choice(["hard", "none"]))),
                         projections, latency=4, readout="membrane")
    return net, rng.poisson(0.2, (25, 3, 2, 3, 5))


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_executor_equals_plain_arithmetic(seed: int) -> None:
    net, counts = random_integers(seed)
    names = [p.name for p in net.populations[1:]]
    result = integer.run(net, counts, record=names)
    for b in range(counts.shape[1]):
        out, us, vs = plain(net, counts[:, b])
        for p in net.populations[1:]:
            after = vs[p.name]
            if p.reset != "none":
                np.testing.assert_array_equal(result.spikes[p.name][:, b], out[p.name])
                after = np.where(out[p.name], after - (p.vth << 6) if p.reset == "soft" else 0, after)
            np.testing.assert_array_equal(result.u[p.name][:, b], us[p.name])
            np.testing.assert_array_equal(result.v[p.name][:, b], after)
    assert integer.run(net, counts, threads=1).scores.tolist() == result.scores.tolist() == result.v["out"].sum(0).tolist()
    assert not integer.run(net, counts, spikes=False).spikes


@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_the_engine_runs_the_same_whole_numbers(seed: int) -> None:
    net, counts = random_integers(seed, (0, 2))
    padded = np.concatenate([counts, np.zeros((net.latency, *counts.shape[1:]), int)]).astype(np.float32)
    ours, theirs = integer.run(net, counts), engine.run(net.network(), padded)
    for name, spikes in ours.spikes.items():
        np.testing.assert_array_equal(spikes, theirs.spikes[name].dense())
    np.testing.assert_array_equal(ours.prediction, theirs.prediction)


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("seed", range(6))
def test_quantised_weights_are_the_nearest(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0.0, rng.uniform(0.1, 3.0), (9, 30)) * (1 if seed % 3 else -1 if seed else 0.5)
    weight = weight if seed % 2 else np.abs(weight)
    population = Population.of("h", 9, LIF(tau=5.0, reset="hard"), 1.0)
    net = Network((Population("in", (30,)), population), (Projection("in", "h", (Dense(weight),), rng.normal(0, 0.1, 9)),))
    model = integer.quantize(net, bits=bits)
    q, p, said = model.projections[0], model.populations[1], model.report["in->h"]
    kept = q.mantissas * 64 * 2.0**q.exponent * p.scale
    step = 2 ** (9 - bits if q.sign == "mixed" else 8 - bits) * 64 * 2.0**q.exponent * p.scale
    unit = 64 * 2.0**q.exponent * p.scale
    inside = (weight <= (q.sign != "inh") * 256 * unit - step / 2) & (weight >= (q.sign != "exc") * -256 * unit - step / 2)
    assert np.abs(kept - weight)[inside].max() <= step * 0.5001 and (~inside).mean() == pytest.approx(said["clipped"], abs=0.02)
    assert said["error"] == pytest.approx(np.sqrt(np.square(kept - weight).sum() / np.square(weight).sum()))
    assert said["error"] < (0.012 if bits == 8 else 0.4)
    assert abs((64 * int(p.vth) + 1) * p.scale - 1.0) <= 32.01 * p.scale
    assert np.abs((p.bias << p.bias_exponent) * p.scale - np.asarray(net.projections[0].bias)).max() <= (
        model.report["h"]["bias_error"] * 1.0001) < 0.01
    assert int(p.dv) == round(4096 * (1 - np.exp(-0.2)))


def like_a_trained_net(seed: int = 0) -> tuple[Network, Array]:
    rng = np.random.default_rng(seed)

    def normal(mean: float, deviation: float, *shape: int) -> Array:
        return rng.normal(mean, deviation, shape).astype(np.float32)

    populations = (Population("in", (2, 9, 8)),
                   Population.of("conv", (4, 5, 4), LIF(tau=8.0, theta=0.7, reset="hard"), 1.0, "f"),
                   Population.of("hidden", 12, CubaLIF(tau=10.0, tau_syn=3.0), 1.0, "f"),
                   Population.of("out", 3, LI(tau=20.0), 1.0, "f"))
    projections = (Projection("in", "conv", (Conv2d(normal(0.15, 0.4, 4, 2, 3, 3), (2, 2), (1, 1)),), normal(0, 0.05, 4, 1, 1)),
                   Projection("conv", "hidden", (Delayed(normal(0.0, 0.06, 12, 80), rng.integers(0, 6, (12, 80))),)),
                   Projection("hidden", "hidden", (Dense(normal(0.0, 0.2, 12, 12)),), delay=1),
                   Projection("hidden", "out", (Dense(normal(0.0, 0.4, 3, 12)),)))
    return Network(populations, projections, TimeBase(steps=40), classes=("a", "b", "c")), rng.poisson(0.1, (40, 30, 2, 9, 8))


def test_eight_bits_do_what_floats_do() -> None:
    network, counts = like_a_trained_net()
    model = integer.quantize(network)
    wanted, found = engine.run(network, counts.astype(np.float32)), integer.run(model, counts)
    assert not any(any(f.values()) for f in found.overflows.values())
    assert model.latency == 3 and [p.reset for p in model.populations] == [None, "hard", "soft", "none"]
    for name, late, most in (("conv", 1, 0.05), ("hidden", 2, 0.25)):  # the loop carries on what once differed
        ours, theirs = found.spikes[name][late: late + 40], wanted.spikes[name].dense()
        assert theirs.mean() > 0.02 and np.mean(ours != theirs) < most * theirs.mean()
    assert np.mean(found.prediction == wanted.prediction) >= 0.9
    assert model.classes == network.classes and "lasts" not in repr(model)


def test_calibration_brings_counts_nearer_and_avoids_overflow() -> None:
    network, counts = like_a_trained_net()
    loud = counts * 60  # inputs that the default scale has no room for
    plain_model = integer.quantize(network, bits=4)
    with pytest.raises(OverflowError, match=r"population 'conv', neuron \d+, step \d+, sample 0: .* bits"):
        integer.run(plain_model, loud, overflow="raise")
    assert not any(any(f.values()) for f in integer.run(integer.calibrate(network, loud), loud).overflows.values())
    model = integer.calibrate(network, counts, bits=4)
    wanted = {n: s.dense().sum(0, np.int64) for n, s in engine.run(network, counts.astype(np.float32)).spikes.items()}
    missed = [sum(np.abs(integer.run(m, counts).spikes[n].sum(0, np.int64) - wanted[n]).sum() for n in ("conv", "hidden"))
              for m in (plain_model, model)]
    assert missed[1] <= missed[0]


def test_calibration_composes_each_chain_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, counts = like_a_trained_net()
    made, compose = list[Any](), integer.quantize.__globals__["composed"]
    monkeypatch.setitem(integer.quantize.__globals__, "composed", lambda *a: made.append(a) or compose(*a))
    model = integer.calibrate(network, counts, bits=4)
    assert len(made) == len(network.projections) and integer.run(model, counts).steps == 43


def test_networks_of_whole_numbers_are_taken_as_they_are() -> None:
    for seed in range(5):
        net, _ = random_integers(seed, (0, 3))
        net = IntegerNetwork(net.populations, [IntegerProjection(q.source, q.target, q.map, q.exponent, 8, "mixed", q.delay)
                                               for q in net.projections if even(q)], latency=net.latency, readout="membrane")
        if len(net.projections) < 4:
            continue
        again = integer.quantize(net.network())
        for a in net.projections:
            b = next(q for q in again.projections if q.name == a.name)
            np.testing.assert_array_equal(a.mantissas * 2.0**a.exponent, b.mantissas * 2.0**b.exponent)
        for p, o in zip(net.populations[1:], again.populations[1:], strict=True):
            assert (p.du == o.du).all() and (p.dv == o.dv).all() and (p.vth == o.vth).all() and (p.start == o.start).all()
            np.testing.assert_array_equal(np.broadcast_to(p.bias << p.bias_exponent, p.shape),
                                          np.broadcast_to(o.bias << o.bias_exponent, p.shape))


def even(q: IntegerProjection) -> bool:
    return bool(np.all(q.mantissas % 2 == 0))


def test_thresholds_of_single_neurons_go_into_the_weights() -> None:
    theta = np.array([0.5, 1.0, 2.0])
    net = Network((Population("in", (4,)), Population.of("h", 3, IF(theta=1.0), 1.0)),
                  (Projection("in", "h", (Dense(np.ones((3, 4))),)),))
    p = net.populations[1]
    net = Network((net.populations[0], Population("h", (3,), p.rule, {"theta": theta})), net.projections)
    model = integer.quantize(net)
    w = model.projections[0].mantissas
    assert model.populations[1].vth.shape == () and np.allclose(w[0] / w[1], 2.0, rtol=0.01) and w[0, 0] > w[2, 0]
    counts = np.random.default_rng(0).poisson(0.3, (50, 1, 4))
    found = integer.run(model, counts).spikes["h"].sum(0)[0]
    wanted = engine.run(net, counts.astype(float)).spikes["h"].dense().sum(0)[0]
    assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("seed", range(4))
def test_a_chain_is_one_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 9, 10)
    conv = Conv2d(rng.integers(-3, 4, (3, 2, 2, 3)).astype(float), (1, 2), (1, 0))
    inner = Conv2d(rng.integers(-3, 4, (4, 3, 2, 1)).astype(float), (2, 1))
    sparse = Sparse([0, 1, 1, 3, 3, 4, 4], [0, 1, 4, 2], [1.0, 2.0, -1.0, 3.0], (5, 6))
    chains: list[tuple[list[Map], type, tuple[int, ...]]] = [
        ([conv, SumPool2d((2, 1), (1, 2))], Conv2d, shape), ([SumPool2d(2), conv], Dense, shape),
        ([SumPool2d((3, 2))], Conv2d, shape),
        ([conv, inner], Conv2d, shape), ([SumPool2d(2, 1), SumPool2d(3)], Conv2d, shape),
        ([SumPool2d(2), Dense(rng.integers(-3, 4, (5, 40)).astype(float))], Dense, shape), ([sparse], Sparse, (6,)),
        ([sparse, Dense(np.ones((2, 5)))], Dense, (6,))]
    for maps, kind, start in chains:
        one = composed(maps, start)
        s = rng.integers(0, 3, start).astype(float)
        y = s
        for m in maps:
            y = m.apply(y)
        assert isinstance(one, kind)
        np.testing.assert_array_equal(one.apply(s).ravel(), y.ravel())
        np.testing.assert_array_equal(matrix(one, start) @ s.ravel(), y.ravel())


def test_hardware_takes_a_step_for_each_projection() -> None:
    def net(*delays: int) -> Network:
        names = ["in", "a", "b", "c"]
        ends = [("in", "a"), ("a", "b"), ("b", "c"), ("in", "c"), ("c", "a")]
        return Network((Population("in", (2,)), *(Population.of(n, 2, IF(), 1.0) for n in names[1:])),
                       [Projection(*e, (Dense(np.eye(2)),), delay=d) for e, d in zip(ends, delays, strict=False)])

    assert latencies(net(0, 0, 0)) == {"in": 0, "a": 1, "b": 2, "c": 3}
    assert latencies(net(3, 0, 1, 0)) == {"in": 0, "a": 0, "b": 1, "c": 1}
    assert latencies(net(0, 0, 0, 5, 3))["c"] == 3
    assert {q.name: q.delay for q in integer.quantize(net(0, 0, 0, 5, 4)).projections} == {
        "in->a": 1, "c->a": 2, "a->b": 1, "b->c": 1, "in->c": 8}
    with pytest.raises(ValueError, match="the projections into a, b, c lie in a loop with less delay than projections"):
        latencies(net(0, 0, 0, 5, 2))


def single(neuron: Any, weight: Any = ((1.0, -0.5),), **options: Any) -> Network:
    return Network((Population("in", (2,)), Population.of("h", len(weight), neuron, 1.0)),
                   (Projection("in", "h", (Dense(weight),), **options),))


@pytest.mark.parametrize(("network", "options", "said"), [
    (single(IF()), {"bits": 9}, r"bits must be a whole number in 2 \.\. 8, got 9"),
    (single(IF()), {"target": "spinnaker"}, "target must be one of 'loihi2', 'netx', got 'spinnaker'"),
    (single(IF(), ((0.0, 0.0),)), {}, "projection in->h has no weight that is not 0"),
    (single(IF(theta=1e5)), {}, "population 'h': its threshold of 100000 is too large beside its weights"),
    (single(IF(), bias=np.array([3e4])), {}, "population 'h': its bias of 30000 is too large beside its weights"),
    (single(IF(theta=1e-7)), {}, "population 'h': its threshold of 1e-07 is too small beside its weights"),
    (single(LoihiLIF(vth=3), ((64.0, 33.0),)), {}, "projection in->h: weights into Loihi's neurons must be 64"),
    (single(IF(), delay=90), {}, r"delay of projection in->h must be 1 \.\. 64 steps in all, got 90")])
def test_what_hardware_cannot_hold_is_refused(network: Network, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        integer.quantize(network, **options)


def test_bad_models_and_samples_are_refused() -> None:
    net, counts = random_integers(0)
    with pytest.raises(ValueError, match="events of an integer network must be whole counts, got 0.5"):
        integer.run(net, counts * 0.5)
    with pytest.raises(ValueError, match="record must be one of 'conv', 'hidden', 'out', got 'in'"):
        integer.run(net, counts, record=["in"])
    with pytest.raises(ValueError, match=r"weight of projection a->b must be what 8 bits of sign 'mixed' hold; at \(0, 1\)"):
        IntegerProjection("a", "b", Dense([[2.0, 3.0]]))
    with pytest.raises(ValueError, match="vth of population 'h' must be whole numbers"):
        IntegerPopulation("h", (2,), "hard", vth=2**17)
    with pytest.raises(ValueError, match="the first population of an integer network must be its input"):
        IntegerNetwork((IntegerPopulation("h", (2,)),), ())
    with pytest.raises(ValueError, match="holds no weights"):
        weighing(SumPool2d(2), np.ones((1, 1)))
    with pytest.raises(ValueError, match="has exponent -1, whose shift rounds the sum of a step"):
        random_integers(1, (-1, -1))[0].network()
