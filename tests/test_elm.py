"""The ELM neuron: its traces and memories against a plain loop, parameter counts, routing, and a task that needs memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import snnsim
import snnsim.nn as nn
from snnsim import datasets
from snnsim.network import TimeBase
from snnsim.neurons import LIF
from snnsim.train import build, fit
from tests.test_train import SENSOR, sides

VERSIONS = pytest.mark.parametrize("version", [1, 2])
ROUTED = pytest.mark.parametrize("routing", [None, [[0, 1, 2, 2], [2, 3, 4, -1], [5, -1, -1, 6]]], ids=["plain", "branches"])


def plain(net: nn.ELM, x: torch.Tensor, trace: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The equations, step by step."""
    kappa_s, kappa_m = float(np.exp(-net.dt / net.tau_s)), torch.exp(-net.dt / net.tau_m.to(x.dtype))
    gain = net.scale * (1 - kappa_m) if net.version == 1 else 1 - torch.exp(-net.scale * net.dt / net.tau_m.to(x.dtype))
    routing = np.arange(x.shape[2])[:, None] if net.routing is None else net.routing.numpy()
    w, out = torch.relu(net.raw_w).view(routing.shape), []
    for now in x:
        now = torch.cat([now, torch.zeros_like(now[:, :1])], 1)  # what -1 hears
        heard = torch.stack([w[b] * now[:, row] for b, row in enumerate(routing)], 1)  # [B, branches, synapses]
        trace = kappa_s * trace + (heard.flatten(1) if net.version == 1 else heard.sum(2))
        branch = trace.view(heard.shape).sum(2) if net.version == 1 else trace
        hidden = torch.relu(net.into(torch.cat([branch, kappa_m * memory], 1)))
        memory = kappa_m * memory + gain * 1.7159 * torch.tanh(2 / 3 * net.change(hidden))
        out.append(net.readout(memory))
    return torch.stack(out), trace, memory


@VERSIONS
@ROUTED
@pytest.mark.parametrize("dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=str)
def test_card16_scan_equals_loop(version: int, routing, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = nn.ELM(7, 3, 5, routing=routing, version=version, tau_m=(1.0, 60.0), learn_tau=True, dt=2.0).to(dtype)
    net.raw_w.data += 0.3 * torch.randn(net.raw_w.shape, dtype=dtype) - 0.3  # some are silent
    traces = len(net.raw_w) if version == 1 or routing is None else 3
    x = (torch.rand(33, 4, 7) < 0.3).to(dtype).requires_grad_()
    state = [torch.rand(4, traces, dtype=dtype, requires_grad=True), torch.randn(4, 5, dtype=dtype, requires_grad=True)]
    y, end = net(x, state)
    wanted, *wanted_end = plain(net, x, *state)
    close = {"rtol": 1e-11, "atol": 1e-11} if dtype is torch.float64 else {"rtol": 2e-5, "atol": 2e-5}
    torch.testing.assert_close([y, *end], [wanted, *wanted_end], **close)
    leaves = [x, *state, *net.parameters()]
    seeds = [torch.randn_like(t) + 0.5 for t in (y, *end)]
    for a, b in zip(torch.autograd.grad([y, *end], leaves, seeds), torch.autograd.grad([wanted, *wanted_end], leaves, seeds),
                    strict=True):
        assert float((a - b).abs().max()) <= close["rtol"] * float(b.abs().max())


def test_card16_parameter_counts_of_neuronio() -> None:
    routing = nn.branch_windows(1278, 45, 100, interleave=True)
    for memories, count in ((1, 4601), (20, 8002), (100, 54002)):
        net = nn.ELM(1278, 2, memories, routing=routing)
        assert sum(p.numel() for p in net.parameters()) == count
        assert count == 4500 + (45 + memories) * 2 * memories + 2 * memories + 2 * memories**2 + memories + 2 * memories + 2


def test_routing_of_windows() -> None:
    assert nn.branch_windows(6, 3, 3).tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, -1]]
    assert nn.branch_windows(6, 2, 3, interleave=True).tolist() == [[0, 3, 1], [4, 2, 5]]
    of = nn.branch_windows(1278, 45, 100, interleave=True)
    assert of.shape == (45, 100) and of[1, 0] == 639 + 14 and of[0, :4].tolist() == [0, 639, 1, 640]  # 29 is odd
    assert set(of[of >= 0]) == set(range(1278))


@VERSIONS
def test_card16_the_trace_decays_with_tau_s(version: int) -> None:
    net = nn.ELM(3, 1, 2, version=version, tau_s=8.0, dt=2.0).double()
    x = torch.zeros(20, 1, 3, dtype=torch.float64)
    x[0] = 1.0
    for steps in (1, 2, 20):
        _, (trace, _) = net(x[:steps])
        torch.testing.assert_close(trace, torch.full((1, 3), 0.5 * np.exp(-(steps - 1) * 2.0 / 8.0), dtype=torch.float64))


@VERSIONS
def test_card16_memories_are_bounded(version: int) -> None:
    torch.manual_seed(0)
    net = nn.ELM(4, 1, 30, version=version, tau_m=(0.5, 300.0), dt=1.0).double()
    net.change.weight.data *= 100.0
    _, (_, memory) = net(torch.ones(3000, 1, 4, dtype=torch.float64) * 50.0)
    assert float(memory.detach().abs().max()) <= net.scale * 1.7159
    if version == 1:
        assert float(memory.detach().abs().max()) > 0.99 * net.scale * 1.7159


def test_time_constants_are_learned_within_their_bounds() -> None:
    net = nn.ELM(4, 2, 6, tau_m=(2.0, 50.0), learn_tau=True, dt=1.0)
    np.testing.assert_allclose(net.tau_m.detach(), np.geomspace(2.0, 50.0, 6), rtol=1e-4)
    np.testing.assert_allclose(nn.ELM(4, 2, 6, tau_m=(2.0, 50.0)).tau_m, np.geomspace(2.0, 50.0, 6), rtol=1e-6)
    with torch.no_grad():
        net.raw_tau += torch.tensor([-1e3, 1e3, 1.0, -1.0, 0.0, 0.0])
    assert net.tau_m[0] == 2.0 and net.tau_m[1] == 50.0


def test_it_goes_on_takes_events_and_trains(tmp_path) -> None:
    data = sides(10)
    batch = datasets.bin_events([data[i].events for i in range(10)], SENSOR, 2.0)
    for routing in (None, nn.branch_windows(128, 4, 40)):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.ELM(128, 2, 8, routing=routing, tau_m=(2.0, 50.0)))
        with pytest.raises(ValueError, match=r"layer 1 \(ELM\): the time step is not set"):
            net(batch)
        nn.set_dt(net, 2.0)
        x = torch.zeros(batch.shape)
        rows = np.repeat(np.arange(len(batch.indptr) - 1), np.diff(batch.indptr))
        x.view(len(batch.indptr) - 1, -1).index_put_((torch.as_tensor(rows), torch.as_tensor(batch.indices).long()),
                                                     torch.as_tensor(batch.values), accumulate=True)
        torch.testing.assert_close(net(batch)[0], net(x)[0], rtol=1e-5, atol=1e-5)
        whole, end = net(x)
        first, middle = net(x[:4])
        second, after = net(x[4:], middle)
        torch.testing.assert_close(torch.cat([first, second]), whole)
        torch.testing.assert_close(after, end)
        checked, _ = nn.checkpointed(net, x, 3)
        torch.testing.assert_close(checked, whole)
    history = fit(net, data, dt=2.0, epochs=2, progress=False)
    assert history.epochs[1].loss < history.epochs[0].loss


def test_it_is_refused_where_spikes_are_asked_for() -> None:
    net = nn.Sequential(nn.ELM(4, 3, 2, dt=1.0), nn.Readout())
    with pytest.raises(ValueError, match=r"layer 0 \(ELM\) cannot be lowered: it is not a spiking rule"):
        snnsim.lower(net, time=TimeBase(1.0), input_shape=(4,))


def test_a_recipe_builds_one() -> None:
    net = build([{"kind": "flatten"}, {"kind": "elm", "inputs": 128, "outputs": 2, "memories": 5, "branches": 4, "synapses": 40,
                                       "tau_m": [1.0, 100.0], "learn_tau": True}])
    assert isinstance(net[1], nn.ELM) and net[1].routing.shape == (4, 40) and net[1].bounds == (1.0, 100.0)


@pytest.mark.parametrize(("options", "sentence"), [
    ({"memories": 0}, "memories must be a positive whole number, got 0"),
    ({"version": 3}, "version must be one of 1, 2, got 3"),
    ({"tau_s": 0.0}, "tau_s must be above 0, got 0.0"), ({"tau_m": 5.0}, r"tau_m must be a pair \(low, high\) in ms, got 5.0"),
    ({"tau_m": (5.0, 1.0)}, "tau_m must be a pair .* with low below high"),
    ({"routing": [0, 1]}, r"routing must be whole numbers from -1 to 3 in an array \[branches, synapses\]"),
    ({"routing": [[0, 4]]}, "routing must be whole numbers from -1 to 3"),
])
def test_impossible_neurons_are_refused(options, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.ELM(**{"inputs": 4, "outputs": 2, "memories": 3, **options})


def test_impossible_inputs_are_refused() -> None:
    net = nn.ELM(4, 2, 3, dt=1.0)
    with pytest.raises(ValueError, match=r"ELM takes a tensor \[T, B, ...\] with 4 inputs, got \(5, 1, 3\)"):
        net(torch.zeros(5, 1, 3))
    with pytest.raises(ValueError, match=r"state must be a tuple of 2 tensors \('trace', 'memory'\) of shapes \(1, 4\)"):
        net(torch.zeros(5, 1, 4), (torch.zeros(1, 4),))
    with pytest.raises(ValueError, match="inputs must be even to be interleaved, got 5"):
        nn.branch_windows(5, 1, 5, interleave=True)


def test_card16_adding_joins_two_recordings() -> None:
    data = sides(12)
    sums = datasets.adding(data[2:], 50, length=15.0, seed=1)
    assert len(sums) == 50 and sums.classes == ("0", "1", "2") and set(sums.labels) == {0, 1, 2}
    for i in (0, 7):
        r = sums[i]
        assert r.label == sum(int(n) % 2 for n in r.source.split(" + "))
        first, second = (data[int(n)].events for n in r.source.split(" + "))
        first, second = first[first["t"] < 15_000], second[second["t"] < 15_000].copy()
        second["t"] += 15_000
        np.testing.assert_array_equal(r.events, np.concatenate([first, second]))
    again, other = datasets.adding(data[2:], 50, length=15.0, seed=1), datasets.adding(data[2:], 50, length=15.0, seed=2)
    assert np.array_equal(sums.labels, again.labels) and not np.array_equal(sums.labels, other.labels)
    twenty = datasets.EventDataset("shd", data.sensor, tuple(map(str, range(20))), np.arange(12) + 8, data.store)
    assert datasets.adding(twenty, 5).classes == tuple(map(str, range(19)))
    assert datasets.adding(twenty, 300).labels.max() <= 18
    for options, sentence in (({"size": 0}, "size must be a whole number from 1"),
                              ({"size": 1, "length": 0.0}, "length must be at least 0.001"),
                              ({"size": 1, "base": 0}, "base must be a whole number from 1")):
        with pytest.raises(ValueError, match=sentence):
            datasets.adding(data, **options)
    with pytest.raises(ValueError, match="is empty: there is nothing to add"):
        datasets.adding(data[:0], 1)


def counts(samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two digits 0 .. 3, each that many spikes within 50 ms on each of 4 channels, 500 ms apart; the label is their sum.
    Steps of 10 ms: [60, samples, 4]."""
    rng = np.random.default_rng(seed)
    digits, x = rng.integers(0, 4, (samples, 2)), np.zeros((60, samples, 4), np.float32)
    for place, start in enumerate((0, 50)):
        for i in range(samples):
            for channel in range(4):
                x[start + rng.choice(5, digits[i, place], replace=False), i, channel] = 1.0
    return torch.from_numpy(x), torch.from_numpy(digits.sum(1))


def taught(net: torch.nn.Module, rate: float) -> float:
    """The share of 512 new samples that it adds right, from its last 5 steps, after 300 batches."""
    nn.set_dt(net, 10.0)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for i in range(300):
        x, label = counts(64, i)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x)[0][-5:].mean(0), label).backward()
        optimizer.step()
        schedule.step()
    x, label = counts(512, 10_000)
    with torch.no_grad():
        return float((net(x)[0][-5:].mean(0).argmax(1) == label).float().mean())


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_card16_elm_adds_over_half_a_second_and_lif_cannot() -> None:
    torch.manual_seed(0)
    assert taught(nn.ELM(4, 7, 20, tau_m=(1.0, 500.0)), 5e-3) > 0.95
    torch.manual_seed(0)
    short = nn.Sequential(nn.Linear(4, 64), nn.Neuron(LIF(tau=10.0)), nn.Linear(64, 7), nn.Readout(tau=20.0))
    assert taught(short, 5e-3) < 0.6  # it knows the second digit: of the sums then possible one in four is right
