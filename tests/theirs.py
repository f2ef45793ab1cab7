"""Run another framework's net and its converted one side by side: spikes of each layer, gradients of each parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import snnsim.nn as nn
from snnsim.nn.eager import eager_recurrent
from snnsim.nn.fused import Loop
from snnsim.nn.recurrent import Recurrence

RENAMED = {"w": "raw_rate", "beta": "raw_decay", "alpha": "raw_keep", "threshold": "raw_theta"}
Spikes = dict[str, torch.Tensor]


class Eager(Loop):
    """The loop by its definition, which compiles nothing."""

    def __call__(self, inputs: Any, states: Any, parameters: Any) -> Any:
        return nn.eager(self.rule, self.slope, inputs, states, parameters, width=self.width, detach_reset=self.detach_reset)


class EagerRecurrence(Recurrence):
    def __call__(self, inputs: Any, first: Any, states: Any, weight: Any, parameters: Any) -> Any:
        weight = weight if self.mask is None else weight * self.mask
        out, end = eager_recurrent(self.loop.rule, self.loop.slope, inputs, first, states, weight, parameters,
                                   receptor=self.receptor, width=self.loop.width, detach_reset=self.loop.detach_reset)
        return out, end


@pytest.fixture(params=["eager", pytest.param("fused", marks=pytest.mark.slow)])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule by its definition; and, slowly, in the loops that are printed from it."""
    if request.param == "eager":
        monkeypatch.setattr("snnsim.nn.neuron.Loop", Eager)
        monkeypatch.setattr("snnsim.nn.recurrent.Recurrence", EagerRecurrence)


def run(net: torch.nn.Module, x: torch.Tensor, neurons: tuple[type, ...], each: bool) -> tuple[torch.Tensor, Spikes]:
    """Their net on x [T, B, ...], one step after the other or all at once: its output and the spikes of its neurons."""
    kept: dict[str, list[torch.Tensor]] = {}
    hooks = [m.register_forward_hook(lambda m, given, out, name=name: kept.setdefault(_layer(name), []).append(
        out[0] if isinstance(out, tuple) else out)) for name, m in net.named_modules() if isinstance(m, neurons)]
    out = torch.stack([_first(net(step)) for step in x]) if each else net(x)
    for h in hooks:
        h.remove()
    return out, {name: (torch.stack(s) if each or len(s) > 1 else s[0]).detach() for name, s in kept.items()}


def check(net: torch.nn.Module, ours: nn.Sequential, x: torch.Tensor, neurons: tuple[type, ...], each: bool, *,
          gradients: bool = True, tolerance: float = 1e-5, renamed: Callable[[Spikes], None] = lambda found: None) -> Spikes:
    """Every layer's spikes are equal, every layer fires and is silent, and every gradient is equal to the tolerance.
    renamed: gives our gradients, by name, the names and shapes of theirs."""
    expected, theirs = run(net, x, neurons, each)
    seen: Spikes = {}
    hooks = [m.register_forward_hook(lambda m, given, out, name=name: seen.__setitem__(_layer(name), out[0].detach()))
             for name, m in ours.named_modules() if isinstance(m, nn.Neuron)]
    out, _ = ours(x)
    for h in hooks:
        h.remove()
    assert seen.keys() == theirs.keys()
    for name, s in theirs.items():
        assert 0 < int(s.sum()) < s.numel(), f"layer {name} says nothing"
        assert int((s != seen[name]).sum()) == 0, f"{int((s != seen[name]).sum())} of {s.numel()} differ in layer {name}"
    if not gradients:
        return theirs
    weight = 0.5 + torch.rand(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for y in (expected, out):
        (y * weight).sum().backward()
    found = {name: p.grad for name, p in ours.named_parameters() if p.requires_grad}
    renamed(found)
    for name, p in net.named_parameters():
        if not p.requires_grad:
            continue
        *place, last = name.split(".")
        theirs_, got = p.grad, found.pop(".".join([*place, RENAMED.get(last, last)]))
        assert theirs_ is not None and got is not None and got.dtype == theirs_.dtype
        assert float(theirs_.abs().max()) > 0
        assert float((got.reshape(theirs_.shape) - theirs_).abs().max()) <= tolerance * float(theirs_.abs().max()), name
    assert not found
    return theirs


def dyadic_(net: torch.nn.Module, seed: int = 0, low: int = -6, high: int = 12) -> None:
    """Give every weight of a linear layer a multiple of 1/8, so that sums are exact in any order."""
    g = torch.Generator().manual_seed(seed)
    for m in net.modules():
        if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)):
            for p in m.parameters():
                p.data.copy_(torch.randint(low, high, p.shape, generator=g) / 8.0)


def _layer(name: str) -> str:
    """The neurons in a recurrent container by the container's name."""
    return name.removesuffix(".sub_module")


def _first(out: Any) -> torch.Tensor:
    return out[0] if isinstance(out, tuple) else out
