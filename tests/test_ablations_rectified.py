"""What the rectifier and RMP-Loss do in training: the digits of scikit-learn as a constant current, three seeds, one thread."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.neurons import LIF, MPRLIF
from snnsim.neurons.mpr import phi
from snnsim.rule import Neuron
from snnsim.train.schedule import strength

pytestmark = pytest.mark.slow
datasets = pytest.importorskip("sklearn.datasets")
STEPS, EPOCHS, SIZE, SEEDS, TAU = 4, 20, 64, 3, 1.0 / math.log(4.0)  # a leak of 1/4


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(neuron: Neuron, most: float, seed: int) -> tuple[float, torch.Tensor]:
    """Accuracy on digits that were not trained on, and the potentials of both hidden layers there."""
    digits = datasets.load_digits()
    x, label = torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target)
    train, held = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split([1200, len(x) - 1200])
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 64), nn.Neuron(neuron), nn.Linear(64, 64), nn.Neuron(neuron), nn.Linear(64, 10),
                        nn.Readout())
    nn.set_dt(net, 1.0)
    nn.set_penalty(net, nn.RMP(2) if most else None)
    optimizer, done = torch.optim.Adam(net.parameters(), lr=2e-3), 0
    for _ in range(EPOCHS):
        for some in train[torch.randperm(len(train))].split(SIZE):
            with nn.penalties() as found:
                out, _ = net(x[some].expand(STEPS, -1, -1))
            loss = torch.nn.functional.cross_entropy(4.0 * out.mean(0), label[some])
            if most:
                loss = loss + strength("up-down", most, done / (EPOCHS * math.ceil(len(train) / SIZE))) * found.total()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    with torch.no_grad():
        given = x[held].expand(STEPS, -1, -1)
        accuracy = float((net(given)[0].mean(0).argmax(1) == label[held]).float().mean())
    return accuracy, torch.cat([u.flatten() for u in nn.membranes(net, given).values()])


@pytest.fixture(scope="module")
def plain() -> list[tuple[float, torch.Tensor]]:
    return [trained(LIF(tau=TAU, theta=0.5), 0.0, seed) for seed in range(SEEDS)]


def quantisation_error(u: torch.Tensor) -> float:
    return float(torch.minimum(u.square(), (1.0 - u).square()).mean())


def mass_near_a_spike_value(u: torch.Tensor) -> float:
    return float(((u.abs() <= 0.1) | ((u - 1.0).abs() <= 0.1)).float().mean())


def not_worse(accuracies: list[float], than: list[float]) -> bool:
    return bool(np.mean(accuracies) >= np.mean(than) - max(np.std(accuracies, ddof=1), np.std(than, ddof=1)))


def test_card1_training_with_the_rectifier(plain: list[tuple[float, torch.Tensor]]) -> None:
    """The potential that is compared, phi(u) with the rectifier and u without, is nearer to 0 and 1. That of the raw u is
    another matter: phi is not carried, and nothing draws u itself."""
    rectified = [trained(MPRLIF(tau=TAU), 0.0, seed) for seed in range(SEEDS)]
    for (_, with_it), (_, without) in zip(rectified, plain, strict=True):
        assert quantisation_error(phi(with_it)) < 0.6 * quantisation_error(without)
    assert not_worse([a for a, _ in rectified], [a for a, _ in plain])


def test_card3_training_with_the_loss(plain: list[tuple[float, torch.Tensor]]) -> None:
    """The histogram's mass within 0.1 of {0, 1} rises, the quantisation error falls, and neurons do not fall silent."""
    drawn = [trained(LIF(tau=TAU, theta=0.5), 0.1, seed) for seed in range(SEEDS)]
    for (_, with_it), (_, without) in zip(drawn, plain, strict=True):
        assert mass_near_a_spike_value(with_it) > 1.05 * mass_near_a_spike_value(without)
        assert quantisation_error(with_it) < 0.9 * quantisation_error(without)
        assert float((with_it >= 0.5).float().mean()) > 0.1
    assert not_worse([a for a, _ in drawn], [a for a, _ in plain])
