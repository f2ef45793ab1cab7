"""Training with delays: the optimiser's groups, what `fit` does at epochs and steps, and a task that needs delays. Card 4."""

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.datasets import EventDataset, Recording, Sensor, make_events
from snnsim.neurons import LIF
from snnsim.train import build, fit
from snnsim.train.loop import parameter_groups

LAGS = torch.tensor([-6, -2, 2, 6])


def lagged(samples, generator):
    """Two channels with a spike each, at any time; the class is by how much the second is late."""
    label = torch.randint(0, len(LAGS), (samples,), generator=generator)
    first = torch.randint(6, 24, (samples,), generator=generator)
    x = torch.zeros(40, samples, 2)
    x[first, torch.arange(samples), 0] = 1.0
    x[first + LAGS[label], torch.arange(samples), 1] = 1.0
    return x, label


class Counting(torch.nn.Module):
    """Neurons without memory (decay e^-100) behind the synapses, and a linear layer on how often they fired."""

    def __init__(self, synapses):
        super().__init__()
        self.synapses, self.neurons, self.out = synapses, nn.Neuron(LIF(tau=0.01)), torch.nn.Linear(16, len(LAGS))
        nn.set_dt(self.neurons, 1.0)
        with torch.no_grad():
            synapses.weight.uniform_(0.4, 0.8)

    def forward(self, x):
        y = self.synapses(x)
        return self.out(self.neurons(y[0] if isinstance(y, tuple) else y)[0].sum(0))


def accuracy_after_training(synapses, learned=25, rounded=15, steps=8):
    """Delays learn for some epochs; then they are rounded, and the weights go on."""
    net, generator = Counting(synapses), torch.Generator().manual_seed(0)
    optimizer, late = torch.optim.Adam(parameter_groups(net, 0.0)), isinstance(synapses, nn.DelayLinear)
    for epoch in range(learned + rounded):
        if late and epoch < learned:
            synapses.anneal(epoch, learned)
        elif late:
            synapses.settle()
        for _ in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * group["factor"]
            x, label = lagged(64, generator)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), label).backward()
            optimizer.step()
            if late:
                synapses.after_step()
    net.eval()
    x, label = lagged(1000, generator)
    return float((net(x).argmax(1) == label).float().mean())


def test_card4_coincidences_are_told_apart_with_delays_and_not_without():
    torch.manual_seed(0)
    assert accuracy_after_training(nn.DelayLinear(2, 16, 15, rate=20.0)) > 0.95
    assert accuracy_after_training(nn.Linear(2, 16)) < 0.32  # chance is 0.25


def test_delays_have_a_group_of_their_own():
    net = nn.Sequential(nn.DelayLinear(3, 4, 9, rate=50.0), nn.BatchNorm1d(4), nn.Delay(4, 5), nn.Linear(4, 2))
    groups = parameter_groups(net, 0.1)
    found = [(g["factor"], g["weight_decay"], len(g["params"])) for g in groups]
    assert found == [(1.0, 0.1, 2), (1.0, 0.0, 4), (50.0, 0.0, 1), (100.0, 0.0, 1)]
    assert groups[2]["params"][0] is net[0].delay and groups[3]["params"][0] is net[2].delay
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))
    plain = parameter_groups(nn.Sequential(nn.Linear(3, 4)), 0.1)
    assert [(g["factor"], g["weight_decay"], len(g["params"])) for g in plain] == [(1.0, 0.1, 1), (1.0, 0.0, 1)]


def recordings():
    rng = np.random.default_rng(0)
    made = [Recording(make_events(np.sort(rng.integers(0, 20_000, 30)), rng.integers(0, 2, 30) + 2 * (i % 2), np.zeros(30, int),
                                  np.zeros(30, int)), i % 2, Sensor(1, 4, 1), str(i)) for i in range(12)]
    return EventDataset.of(made, ("left", "right"), "sides")


def test_fit_shrinks_the_width_and_keeps_delays_in_range(monkeypatch):
    torch.manual_seed(0)
    net = build([{"kind": "flatten"}, {"kind": "delay", "features": 4, "length": 5},
                 {"kind": "delay_linear", "inputs": 4, "outputs": 6, "length": 9, "rate": 1000.0}, {"kind": "neuron"},
                 {"kind": "delay_linear", "inputs": 6, "outputs": 2, "length": 9, "learn": False, "bias": False},
                 {"kind": "readout"}])
    seen = []
    anneal = nn.DelayLinear.anneal
    monkeypatch.setattr(nn.DelayLinear, "anneal", lambda s, *at: (seen.append(at), anneal(s, *at)))
    before = net[2].delay.detach().clone()
    fit(net, recordings(), dt=1.0, epochs=4, batch_size=4, learning_rate=1e-2, progress=False)
    assert seen == [(epoch, 4) for epoch in range(4) for _ in range(2)]
    assert net[2].sigma == pytest.approx(0.5, abs=1e-6) and not net.training
    assert not torch.equal(net[2].delay, before) and net[2].delay.min() >= 0.0 and net[2].delay.max() <= 8.0
    assert (net[2].delay - before).abs().max() > 1.0  # a rate a thousand times that of the weights


def test_settled_delays_give_in_training_what_evaluation_gives():
    layer, x = nn.DelayLinear(5, 4, 9), torch.rand(20, 3, 5)
    expected = layer.eval()(x)[0]
    layer.train().settle()
    assert torch.equal(layer(x)[0], expected) and torch.equal(layer.delay, layer.delay.round())


def test_delays_settle_when_the_recipe_says():
    net = build([{"kind": "flatten"}, {"kind": "delay_linear", "inputs": 4, "outputs": 6, "length": 5, "settle_at": 0.5},
                 {"kind": "neuron"}, {"kind": "linear", "inputs": 6, "outputs": 2}, {"kind": "readout"}])
    layer, seen = net[1], []
    layer.register_forward_hook(lambda m, x, y: seen.append(bool((m.delay == m.delay.round()).all())) if m.training else None)
    fit(net, recordings(), dt=1.0, epochs=4, batch_size=12, progress=False)
    assert seen[-4:] == [False, False, True, True] and not layer.learn  # the forecast came before
    with pytest.raises(ValueError, match="settle_at must be at least 0"):
        nn.DelayLinear(2, 2, 3, settle_at=-0.1)
