"""Neurons that an astrocyte modulates: plain LIF at eta = 0, fused loops, sleep in the engine, territories, card 5's lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import snnsim
import snnsim.nn as nn
from snnsim import engine
from snnsim.maps import Dense, Sparse
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import AMLIF, LIF, astrocyte
from snnsim.nn.astrocytes import eager_grouped
from snnsim.nn.fused import Loop
from snnsim.nn.recurrent import Recurrence
from snnsim.rule import Fixed, Neuron, call
from snnsim.train import build
from tests import oracle
from tests.test_gradients import TOLERANCE, compare

MODES = ("current", "threshold", "leak")
ALL = [AMLIF(mode=mode, reset=reset, territory=territory)
       for mode in MODES for reset in ("soft", "hard") for territory in (False, True)]
SOFT = [n for n in ALL if n.reset == "soft" and not n.territory]
OTHERS = [n for n in ALL if n not in SOFT and (not n.territory or n.reset == "soft" or n.mode == "threshold")]
by_rule = {"ids": lambda v: v.rule.name if isinstance(v, AMLIF) else str(v)}


def lif_and_amlif(neuron: AMLIF, dtype: torch.dtype, detach: bool = False, shape: tuple[int, ...] = ()) -> int:
    """Compare LIF with the neuron at eta = 0, bit for bit; the number of spikes."""
    g = torch.Generator().manual_seed(0)
    x = (0.3 + 0.5 * torch.randn(257, 2, 33, generator=g, dtype=torch.float64)).to(dtype)
    results = []
    for of in (LIF(reset=neuron.reset), replace(neuron, eta=0.0)):
        values = [torch.full(shape, float(p), dtype=dtype, requires_grad=True) for p in of.step_parameters(1.0).values()]
        given = x.clone().requires_grad_()
        inputs = [given, torch.rand_like(x, requires_grad=True)][: len(of.rule.inputs)]
        out, end = Loop(of.rule, nn.SURROGATES["atan"].slope, 1.0, detach)(inputs, None, values)
        seen = (out * torch.arange(33)).sum() + end[-1].sum()
        results.append([out.detach(), end[-1].detach(), *torch.autograd.grad(seen, [given, *values])[:1]])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    return int(results[0][0].sum())


@pytest.mark.parametrize("neuron", SOFT, **by_rule)
def test_card5_eta_zero_is_lif_bit_for_bit(neuron: AMLIF) -> None:
    assert lif_and_amlif(neuron, torch.float64) > 1000


def test_card5_eta_zero_is_lif_in_float32() -> None:
    assert lif_and_amlif(SOFT[2], torch.float32) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("neuron", OTHERS, **by_rule)
def test_card5_eta_zero_is_lif_for_the_other_rules(neuron: AMLIF) -> None:
    assert lif_and_amlif(neuron, torch.float64, True, (33,)) > 1000


@pytest.mark.parametrize("neuron", SOFT, **by_rule)
def test_gradients_equal_autograd(neuron: AMLIF) -> None:
    for steps, n in ((1, 1), (2, 31), (257, 33), (2, 1023), (257, 1)):
        compare(neuron, steps, (1, n))


@pytest.mark.slow
@pytest.mark.parametrize("neuron", OTHERS, **by_rule)
def test_gradients_of_the_other_rules(neuron: AMLIF) -> None:
    for steps, n in ((1, 1), (2, 31), (257, 33)):
        compare(neuron, steps, (2, n), parameter_shape=(n,), detach=True)


@pytest.mark.slow
def test_gradients_in_float32() -> None:
    for steps, n in ((1, 1), (2, 31), (33, 33)):  # over hundreds the release turns rounding of a slow sum into a difference
        compare(SOFT[2], steps, (1, n), torch.float32)


def test_a_far_release_is_finite() -> None:
    neuron = AMLIF(k=1e6, a0=0.5, mode="current")
    layer = nn.Neuron(neuron, dt=1.0, learn=neuron.rule.parameters).double()
    x = torch.rand(40, 2, 5, dtype=torch.float64, requires_grad=True)
    out, _ = layer(x)
    out.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_card5_steady_calcium_is_the_rate() -> None:
    """Constant drive: a comes to the firing rate, within 1 / tau_a."""
    layer = nn.Neuron(AMLIF(tau_a=200.0, eta=0.3, mode="leak"), dt=1.0).double()
    x = torch.linspace(0.06, 0.9, 20, dtype=torch.float64).expand(4000, 1, 20)
    out, (a, _) = layer(x)
    rate = out[2000:].mean(0)
    assert rate.min() > 0.0 and rate.max() < 1.0 and len(torch.unique(rate)) > 15
    assert float((a - rate).abs().max()) < 1.0 / 200.0


def test_card5_step_response_has_the_time_constant() -> None:
    """A neuron that is made to fire at every step: 1 - a falls by e in tau_a, to 1 %; and a by e after it falls silent."""
    neuron = AMLIF(tau_a=300.0, eta=0.0, reset="hard")
    layer = nn.Neuron(neuron, dt=1.0).double()
    state, a = None, []
    for x in [2.0] * 600 + [0.0] * 600:
        _, state = layer(torch.full((1, 1, 1), x, dtype=torch.float64), state)
        a.append(float(state[0]))
    times = np.arange(600)
    for values in (1.0 - np.array(a[:600]), np.array(a[600:])):
        assert -1.0 / np.polyfit(times, np.log(values), 1)[0] == pytest.approx(300.0, rel=0.01)


def silent(neuron: AMLIF, states: tuple[float, ...], steps: int) -> tuple[float, ...]:
    values = [float(p) for p in neuron.step_parameters(1.0).values()]
    for _ in range(steps):
        states = call(neuron.rule.charge, *states, *[0.0] * len(neuron.rule.inputs), *values)
        states = call(neuron.rule.reset, *states, 0.0, *values)
    return states


@pytest.mark.parametrize("neuron", [n for n in ALL if n.mode != "leak"], **by_rule)
def test_card5_a_leap_equals_silent_steps(neuron: AMLIF) -> None:
    values = [float(p) for p in neuron.step_parameters(1.0).values()]
    for k in (1, 2, 17, 400):
        leapt = call(neuron.rule.leap, 0.7, 0.9, float(k), *values)
        np.testing.assert_allclose(leapt, silent(neuron, (0.7, 0.9), k), rtol=1e-12, atol=0.0)


def test_mode_leak_has_no_leap_as_its_decay_changes() -> None:
    assert all((n.rule.leap is None) == (n.mode == "leak") for n in ALL)


@pytest.mark.parametrize("neuron", ALL, **by_rule)
def test_no_silent_step_exceeds_the_bound(neuron: AMLIF) -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    values = [rng.uniform(0.5, 1.0, n), rng.uniform(0.5, 1.0, n), rng.uniform(0.1, 2.0, n), rng.uniform(0.1, 60.0, n),
              rng.uniform(-0.2, 1.2, n), rng.uniform(-1.5, 1.5, n)]
    states = (rng.uniform(0.0, 1.0, n), rng.uniform(-2.0, 2.0, n))
    bound = call(neuron.rule.bound, *states, *values)[0]
    close = 0
    for _ in range(60):
        states = call(neuron.rule.charge, *states, *[0.0] * len(neuron.rule.inputs), *values)
        margin = call(neuron.rule.margin, *states, *values)[0]
        assert np.all(margin <= bound)
        close += int(np.sum(margin > bound - 1e-3))
        states = call(neuron.rule.reset, *states, np.zeros(n), *values)
    assert close > n / 100  # the bound is no better than it need be


def bursts(neuron: AMLIF, eta: tuple[float, float], dtype: type = np.float64) -> tuple[Network, np.ndarray]:
    """24 neurons with parameters of their own, some slower than their calcium, and rare bursts of input."""
    rng = np.random.default_rng(3)
    draw = lambda low, high: rng.uniform(low, high, 24)  # noqa: E731
    of = replace(neuron, tau=draw(5.0, 400.0), tau_a=draw(5.0, 100.0), theta=draw(0.5, 1.0), k=draw(2.0, 30.0),
                 a0=draw(0.0, 0.4), eta=draw(*eta))
    weight = rng.normal(0.1, 0.1, (24, 12)).astype(dtype)
    fixed = Population.of("a", (24,), of, 1.0, dtype)
    projections = [Projection("in", "a", (Sparse(np.arange(13) * 24, np.tile(np.arange(24), 12), weight.T.ravel(), (24, 12)),))]
    if of.territory:
        means = nn.Astrocytes(of, nn.territories(24, 8)).maps(dtype)
        projections.append(Projection("a", "a", means, delay=1, receptor="drive"))
    x = (rng.random((600, 12)) < 0.5) * (np.arange(600) % 150 < 20)[:, None]
    return Network((Population("in", (12,)), fixed), projections, TimeBase(1.0), readout="count"), x.astype(dtype)


def check_sleep(neuron: AMLIF, eta: tuple[float, float], dtype: type = np.float64) -> tuple[engine.Result, np.ndarray]:
    network, x = bursts(neuron, eta, dtype)
    clock = engine.run(network, x, mode="clock")
    expected = clock.spikes["a"].dense()
    for exact in (False, True):
        event = engine.run(network, x, exact=exact)
        np.testing.assert_array_equal(event.spikes["a"].dense(), expected)
    return event, expected[:, 0]


@pytest.mark.parametrize("neuron", [*SOFT[1:], *[pytest.param(n, marks=pytest.mark.slow) for n in (
    SOFT[0], *[n for n in OTHERS if (n.reset == "hard") != n.territory and n.mode != "current"])]], **by_rule)
def test_card5_event_driven_equals_clock_driven(neuron: AMLIF) -> None:
    for eta in ((0.3, 0.95), (-0.95, -0.3)):
        event, spikes = check_sleep(neuron, eta)
        assert event.updates < 0.9 and 100 < spikes.sum() < 0.5 * spikes.size
    if neuron == SOFT[1]:  # eta < 0: thresholds fall in silence, and what a soft reset left in v then fires
        assert spikes[np.arange(600) % 150 > 21].sum() > 5
        np.testing.assert_array_equal(spikes, oracle.run(*bursts(neuron, (-0.95, -0.3))).spikes["a"])


@pytest.mark.slow
@pytest.mark.parametrize("neuron", SOFT[1:], **by_rule)
def test_card5_event_driven_equals_clock_driven_in_float32(neuron: AMLIF) -> None:
    for eta in ((0.3, 0.95), (-0.95, -0.3)):
        network, x = bursts(neuron, eta, np.float32)
        clock, event = engine.run(network, x, mode="clock"), engine.run(network, x, exact=True)
        np.testing.assert_array_equal(event.spikes["a"].dense(), clock.spikes["a"].dense())


GROUPS = np.array([0, 0, 1, 2, 2, 2, -1, 1, 0, 3, 3])


def grouped(neuron: AMLIF, groups: np.ndarray, dtype: torch.dtype, steps: int = 40) -> None:
    """The fused loop of territories against the eager one: spikes, states, every gradient."""
    layer = nn.Astrocytes(neuron, groups, dt=1.0)
    group, share = layer.means(dtype)
    g, n = torch.Generator().manual_seed(1), groups.size
    normal = lambda *size: torch.randn(size, generator=g, dtype=torch.float64)  # noqa: E731
    inputs = [0.3 + 0.5 * normal(steps, 3, n), 0.1 + 0.1 * normal(steps, 3, n)]
    parameters = [float(p) * (1.0 + 0.02 * normal(n)) for p in neuron.step_parameters(1.0).values()]
    first, states = (normal(3, n) > 0).double(), [0.1 + 0.1 * normal(3, n) for _ in range(2)]
    given = [t.to(dtype).requires_grad_() for t in (*inputs, first, *states, *parameters)]
    loop = Loop(neuron.rule, nn.SURROGATES["atan"].slope)
    ways = [lambda *a: Recurrence(loop, "drive", means=(group.numpy(), share.numpy()))(
                a[:2], a[2], a[3:5], torch.empty(0, dtype=dtype), a[5:]),
            lambda *a: eager_grouped(loop, a[:2], a[2], a[3:5], a[5:], "drive", group, share)]
    results = [way(*given) for way in ways]
    (out, end), (wanted, wanted_end) = results
    assert torch.equal(out, wanted) and (steps < 40 or 10 < out.sum() < out.numel() - 10)
    torch.testing.assert_close(end, wanted_end, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    seeds = [torch.randn(t.shape, generator=g, dtype=torch.float64).to(dtype) + 0.5 for t in (out, *end)]
    got, expected = (torch.autograd.grad([o, *e], given, seeds) for o, e in results)
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert float((a - b).abs().max()) <= TOLERANCE[dtype] * float(b.abs().max()), i


@pytest.mark.parametrize("neuron", [n for n in ALL if n.territory and n.reset == "soft" and n.mode == "leak"], **by_rule)
def test_territories_equal_the_eager_loop(neuron: AMLIF) -> None:
    for groups, steps in ((GROUPS, 40), (np.zeros(1, int), 1), (np.arange(33) // 10, 2), (np.arange(130) // 7, 9)):
        grouped(neuron, groups, torch.float64, steps)


@pytest.mark.slow
@pytest.mark.parametrize(("neuron", "dtype"), [(AMLIF(mode="threshold", territory=True), torch.float64),
                                               (AMLIF(mode="current", reset="hard", territory=True), torch.float64),
                                               (AMLIF(territory=True), torch.float32)], **by_rule)
def test_territories_equal_the_eager_loop_for_other_rules(neuron: AMLIF, dtype: torch.dtype) -> None:
    for groups in (GROUPS, np.arange(33) // 10):
        grouped(neuron, groups, dtype)


def test_a_territory_of_one_is_the_own_calcium() -> None:
    x = torch.rand(60, 2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own, _ = nn.Neuron(AMLIF(), dt=1.0)(x)
    alone, _ = nn.Astrocytes(AMLIF(territory=True), np.arange(9), dt=1.0)(x)
    together, _ = nn.Astrocytes(AMLIF(territory=True), np.zeros(9, int), dt=1.0)(x)
    assert torch.equal(own, alone) and not torch.equal(own, together)


def net(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    neurons = nn.Astrocytes(AMLIF(territory=True, tau=50.0, eta=0.9), nn.territories((3, 6, 6), (2, 4)), shape=(3, 1, 1),
                            learn=("decay", "rho", "theta", "steep", "a0", "eta"))
    return nn.Sequential(nn.Conv2d(2, 3, 3), neurons, nn.Flatten(), nn.Linear(108, 5), nn.Readout()).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=str)
def test_territories_lower_and_run_in_the_engine_with_equal_spikes(dtype: torch.dtype, tmp_path) -> None:
    layers = net(dtype)
    nn.set_dt(layers, 1.0)
    x = (torch.rand(50, 1, 2, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.15).to(dtype) * 2.0
    with torch.no_grad():
        hidden, _ = layers[1](layers[0](x))
    network = snnsim.lower(layers, time=TimeBase(1.0), input_shape=(2, 8, 8))
    snnsim.save_network(network, tmp_path / "net.h5")
    for held in (network, snnsim.load_network(tmp_path / "net.h5")):
        for mode in ("event", "clock"):
            found = engine.run(held, x.numpy(), mode=mode)
            np.testing.assert_array_equal(found.spikes[network.populations[1].name].dense()[:, 0], hidden[:, 0].numpy())
    assert hidden.sum() > 300
    if dtype is torch.float64:
        np.testing.assert_array_equal(oracle.run(network, x[:, 0].numpy()).spikes[network.populations[1].name], hidden[:, 0])


def test_states_go_on_and_gradients_reach_what_is_learned() -> None:
    layer = net()[1]
    layer.set_dt(1.0)
    x = torch.rand(20, 2, 3, 6, 6, dtype=torch.float64)
    whole, end = layer(x)
    first, middle = layer(x[:7])
    second, after = layer(x[7:], middle)
    assert torch.equal(torch.cat([first, second]), whole) and all(torch.equal(a, b) for a, b in zip(end, after, strict=True))
    whole.sum().backward()
    assert layer.raw_eta.grad.abs().min() > 0 and layer.raw_rho.grad.abs().min() > 0


def test_territories_of_neighbours_and_of_patches() -> None:
    assert nn.territories(7, 3).tolist() == [0, 0, 0, 1, 1, 1, 2]
    patches = nn.territories((2, 3, 4), 2)
    assert patches.shape == (2, 3, 4) and np.array_equal(patches[0], patches[1])
    assert patches[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: AMLIF(tau=0.0), "tau must be above 0, got 0.0"),
    (lambda: AMLIF(tau_a=[5.0, -1.0]), "tau_a must be above 0"),
    (lambda: AMLIF(eta=1.5), "eta must be from -1 to 1, got 1.5"),
    (lambda: AMLIF(eta=1.0, mode="threshold"), "eta must be at least -1 and below 1 in mode 'threshold', got 1.0"),
    (lambda: AMLIF(mode="gain"), "mode must be one of 'current', 'threshold', 'leak', got 'gain'"),
    (lambda: AMLIF(reset="none"), "reset must be one of 'soft', 'hard', got 'none'"),
    (lambda: AMLIF(territory=1), "territory must be True or False, got 1"),
    (lambda: nn.Astrocytes(AMLIF(), [0]), r"receptor must be one of the inputs of rule 'amlif_leak_soft', \('x',\), got "),
    (lambda: nn.Astrocytes(AMLIF(territory=True), [0.5]), "groups must be whole numbers, at least -1, in an array"),
    (lambda: nn.Astrocytes(AMLIF(territory=True), [0, 0], dt=1.0)(torch.zeros(1, 1, 3)), r"x must be \[T, B, 2\], as groups"),
    (lambda: nn.territories(4, 0), "size must be a positive whole number for shape"),
    (lambda: nn.territories((4, 4), 2), r"shape must be \(N,\) or \(channels, height, width\)"),
])
def test_impossible_astrocytes_are_refused(make, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_the_largest_leak_is_below_one() -> None:
    rule = AMLIF(mode="leak").rule
    assert astrocyte.RULES["leak", "soft", "own"] is rule
    for dtype in (np.float32, np.float64):
        one = dtype(1.0)
        _, v = call(rule.charge, one, one, dtype(0.0), dtype(0.99), dtype(0.9), one, dtype(40.0), dtype(0.0), dtype(5.0))
        assert v < 1.0
    network = Network((Population("in", (1,)), Population.of("a", (1,), Fixed(rule, {
        "decay": 0.5, "rho": 0.9, "theta": 1.0, "steep": 1.0, "a0": 0.0, "eta": -9.0}), 1.0)),
        (Projection("in", "a", (Dense(np.ones((1, 1))),)),))
    assert engine.run(network, np.array([[0.5]] + [[0.0]] * 5), record=["a"]).membranes["a"][1:].max() == 0.0


def test_recipes_build_territories() -> None:
    net = build([{"kind": "linear", "inputs": 4, "outputs": 9},
                 {"kind": "astrocytes", "neurons": 9, "size": 3, "mode": "threshold", "eta": 0.5, "learn": ["eta"]},
                 {"kind": "linear", "inputs": 9, "outputs": 2}, {"kind": "readout"}])
    assert net[1].groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and net[1].rule.name == "amlif_threshold_soft_territory"
    patches = build([{"kind": "astrocytes", "neurons": [2, 4, 4], "size": [2, 4]}])
    assert patches[0].groups.shape == (2, 4, 4) and int(patches[0].groups.max()) == 1


def matching(samples: int, lag: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Delayed match to sample: a cue of 5 steps, nothing for `lag` steps, a probe of 5 steps, 3 steps; are they the same?
    Each of the two symbols has 4 channels, on which it spikes in nine steps of ten."""
    rng = np.random.default_rng(seed)
    symbols, x = rng.integers(0, 2, (2, samples)), np.zeros((13 + lag, samples, 8), np.float32)
    for symbol, start in zip(symbols, (0, 5 + lag), strict=True):
        spikes = rng.random((5, samples, 8)) < 0.9
        x[start: start + 5] = spikes * (np.arange(8) // 4 == symbol[:, None])
    return torch.from_numpy(x), torch.from_numpy((symbols[0] == symbols[1]).astype(np.int64))


def recalled(neuron: Neuron, lag: int, seed: int) -> tuple[float, int]:
    """The share of 512 new samples that a net of 64 such neurons judges right after 200 batches, and its parameters."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, 64, bias=False), nn.Neuron(neuron), nn.Linear(64, 2), nn.Readout(tau=10.0))
    nn.set_dt(net, 2.0)
    net[0].weight.data *= 4.0
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    for i in range(200):
        x, label = matching(64, lag, 1000 * seed + i)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x)[0][-5:].mean(0), label).backward()
        optimizer.step()
        schedule.step()
    x, label = matching(512, lag, 10**6 + seed)
    with torch.no_grad():
        right = net(x)[0][-5:].mean(0).argmax(1) == label
    return float(right.float().mean()), sum(p.numel() for p in net.parameters())


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_card5_mode_leak_extends_the_recall_lag(seed: int) -> None:
    """LIF recalls over 20 ms and not over 50; with the same parameters the astrocyte's neurons do over 150."""
    lif, amlif = LIF(tau=10.0), AMLIF(tau=10.0, tau_a=1000.0, k=800.0, a0=0.005, eta=1.0, mode="leak")
    (near, size), (far, _), (extended, same) = (recalled(n, lag, seed) for n, lag in ((lif, 10), (lif, 25), (amlif, 75)))
    assert near > 0.95 and far < 0.62 and extended > 0.7 and size == same
