"""A folded norm in a NIR file (card 2): plain thresholds with the same spikes, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import engine, hardware, lower
from snnsim.network import TimeBase
from snnsim.neurons import IF, LIF
from snnsim.neurons.folded import FOLDED
from tests.test_mpbn import made

TIME = TimeBase(1.0)


def network_of(neuron: Any, **options: Any) -> tuple[Any, np.ndarray]:
    torch.manual_seed(0)
    per, features = options.get("per", "channel"), (4, 6, 6) if options.get("per") == "element" else 4
    first, second = made(neuron, features, torch.float32, per=per), made(neuron, 9, torch.float32, 1)
    second.bias.data[0] = 5.0  # gamma of 0: fires always
    net = nn.Sequential(nn.Conv2d(2, 4, 3), first, nn.Flatten(), nn.Linear(144, 9), second, nn.Linear(9, 3),
                        nn.Neuron(IF(reset="hard")))
    nn.set_dt(net, 1.0)
    rng = np.random.default_rng(0)
    return lower(net, time=TIME, input_shape=(2, 8, 8)), (rng.random((12, 3, 2, 8, 8)) < 0.2).astype(np.float32)


@pytest.mark.parametrize("neuron", [LIF(tau=4.0, theta=0.3, reset="hard"), pytest.param(IF(reset="hard", theta=0.3),
                                                                                        marks=pytest.mark.slow)],
                         ids=lambda n: n.rule.name)
def test_card2_nir_holds_the_folded_net(neuron: Any, tmp_path: Path) -> None:
    network, counts = network_of(neuron)
    signs = {float(s) for p in network.populations[1:3] for s in np.unique(p.parameters["sign"])}
    assert signs == {-1.0, 0.0, 1.0} and 1.0 in np.unique(network.populations[2].parameters["constant"])
    report = hardware.nir.export(network, tmp_path / "net.nir")
    assert not report.lossy and sum("its folded norm is written as thresholds" in k for k in report.kept) == 2
    again = hardware.nir.read(tmp_path / "net.nir")
    assert not any(set(FOLDED) & set(p.parameters) for p in again.populations)
    got, want = engine.run(again, counts), engine.run(network, counts)
    for p in network.populations[1:]:
        assert np.array_equal(got.spikes[p.name].dense(), want.spikes[p.name].dense()) and len(want.spikes[p.name])
    assert [p.spontaneous.tolist() for p in again.populations] == [p.spontaneous.tolist() for p in network.populations]


def test_card2_nir_refuses_a_soft_reset_with_a_folded_norm(tmp_path: Path) -> None:
    network, _ = network_of(LIF(tau=4.0))
    with pytest.raises(ValueError, match="population 'lif_soft_folded_1' has rule 'lif_soft_folded', which NIR has no node "
                                         "for: its threshold is that of a folded norm, and its reset subtracts another number"):
        hardware.nir.export(network, tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()
    report = hardware.nir.export(network, tmp_path / "net.nir", allow_lossy=True)
    assert len(report.lossy) == 2 and all("is written as a reset to zero" in text for text in report.lossy)
    again = hardware.nir.read(tmp_path / "net.nir")
    assert {p.rule.name for p in again.populations[1:] if p.rule.fires} == {"if_hard", "lif_hard"}


def test_card2_nir_refuses_signs_that_differ_within_a_channel(tmp_path: Path) -> None:
    network, _ = network_of(LIF(tau=4.0, reset="hard"), per="element")
    with pytest.raises(ValueError, match="some of its targets fire below their threshold, so that its weights must change"):
        hardware.nir.export(network, tmp_path / "net.nir")
