"""Training in chunks of steps: the same gradients, or the same with the paths between chunks left out."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.datasets import EventBatch
from snnsim.neurons import LIF, AdaptiveLIF
from snnsim.nn.convert.each_step import DropoutEachStep
from snnsim.nn.events import between, dense


def net(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(24, 20), nn.Neuron(AdaptiveLIF(), learn=("decay",)), nn.Dropout(dropout),
              nn.Recurrent(LIF(tau=5.0), 20), nn.Linear(20, 5), nn.Readout())
    made = nn.Sequential(*layers).double()
    nn.set_dt(made, 1.0)
    return made


def batch(steps: int = 23, samples: int = 3) -> EventBatch:
    return EventBatch.from_dense(np.random.default_rng(0).poisson(0.6, (steps, samples, 2, 4, 3)).astype(np.float32))


def loss(out: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(out.mean(0), torch.arange(out.shape[1]) % 5)


def gradients(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in module.parameters() if p.grad is not None]


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    assert len(a) == len(b) > 5
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0.0, atol=1e-12 * float(y.abs().max()))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("given", ["events", "tensor"])
@pytest.mark.parametrize("steps", [1, 5, 23, 100])
def test_checkpointed_gradients_are_those_of_the_whole(steps: int, given: str, dropout: float) -> None:
    plain, cut, x = net(dropout), net(dropout), batch() if given == "events" else dense(batch(), torch.float64)
    torch.manual_seed(1)
    out, state = plain(x)
    loss(out).backward()
    torch.manual_seed(1)
    again, after = nn.checkpointed(cut, x, steps)
    loss(again).backward()
    torch.testing.assert_close(again, out, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after, state, rtol=1e-12, atol=1e-12)
    close(gradients(cut), gradients(plain))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("steps", [1, 5, 23])
def test_truncated_gradients_are_those_with_detached_states(steps: int, dropout: float) -> None:
    plain, cut, x = net(dropout), net(dropout), batch()
    torch.manual_seed(1)
    generator, outputs, state = torch.get_rng_state(), [], None
    for t in range(0, 23, steps):
        torch.set_rng_state(generator)
        out, state = plain(between(x, t, min(t + steps, 23)), state)
        state = detached(state)
        outputs.append(out)
    expected = loss(torch.cat(outputs))
    (0.5 * expected).backward()
    torch.manual_seed(1)
    value = nn.truncated(cut, x, steps, loss, weight=0.5)
    assert float(value) == pytest.approx(float(expected.detach()), rel=1e-12) and not value.requires_grad
    close(gradients(cut), gradients(plain))


def detached(state):
    return state.detach() if isinstance(state, torch.Tensor) else tuple(detached(s) for s in state)


def test_truncated_leaves_something_out() -> None:
    whole, cut = net(), net()
    loss(whole(batch())[0]).backward()
    nn.truncated(cut, batch(), 5, loss)
    assert any(float((a - b).abs().max()) > 1e-6 for a, b in zip(gradients(whole), gradients(cut), strict=True))


def test_between_is_a_part_of_the_dense_tensor() -> None:
    x = batch()
    assert torch.equal(dense(between(x, 4, 11)), dense(x)[4:11])


@pytest.mark.parametrize("call", [lambda n, x, k: nn.checkpointed(n, x, k), lambda n, x, k: nn.truncated(n, x, k, loss)])
def test_what_cannot_be_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"^steps of a chunk must be a positive whole number, got 0$"):
        call(net(), batch(), 0)
    normed = nn.Sequential(nn.Flatten(), nn.Linear(24, 5), nn.BatchNorm1d(5), nn.Readout(dt=1.0))
    sentence = ("layer 2 (BatchNorm1d) takes its statistics over all steps, so a net that holds it cannot be trained in chunks "
                "of steps: put it into evaluation mode, or leave it out")
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call(normed, batch(), 5)
    normed.eval()
    call(normed, batch(), 5)
    for dropped, kind in ((DropoutEachStep(0.5), "DropoutEachStep"), (torch.nn.Dropout(0.5), "Dropout")):
        sentence = (f"layer 1 ({kind}) draws for each step, and every chunk would draw what the first did, so a net that holds "
                    "it cannot be trained in chunks of steps: use snnsim.nn.Dropout, put it into evaluation mode, or leave it "
                    "out")
        noisy = nn.Sequential(nn.Flatten(), dropped, nn.Linear(24, 5), nn.Readout(dt=1.0))
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            call(noisy, dense(batch()), 5)
        noisy.eval()
        call(noisy, dense(batch()), 5)
    with pytest.raises(ValueError, match=r"^x must be a tensor \[T, B, ...\] or a batch of events, got tuple$"):
        call(normed, (torch.zeros(2, 1, 24),), 5)
    with pytest.raises(ValueError, match=r"^x must have at least one step, got \(0, 1, 24\)$"):
        call(normed, torch.zeros(0, 1, 24), 5)
