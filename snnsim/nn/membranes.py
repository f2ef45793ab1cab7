"""The potentials on which neurons decide, for histograms and tests: computed step by step, all of them kept."""

from __future__ import annotations

from typing import Any

import torch

from snnsim.nn.neuron import Neuron


def membranes(net: torch.nn.Module, x: Any, state: Any = None) -> dict[str, torch.Tensor]:
    """What every layer of neurons that fire decides on as net(x, state) runs: its potentials before the decision.

    By the layer's name ("" where the net is the layer): [T, B, ...], the state `v`, or the rule's first where none is called
    so; without gradients. The rule's own functions compute them beside the net's loops, on any device, so this is slow.
    A layer that is called several times gives its last call.
    """
    found: dict[str, torch.Tensor] = {}

    def hook(name: str) -> Any:
        def look(layer: Neuron, given: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
            inputs, state = layer.started(*_both(*given, **options))
            states, steps = layer.rule.states, []
            layer.eager(inputs, state, layer.parameters_for(inputs[0]), see=lambda held, s: steps.append(held))
            at = states.index("v") if "v" in states else 0
            found[name] = torch.stack([held[at] for held in steps])

        return look

    handles = [m.register_forward_hook(hook(name), with_kwargs=True) for name, m in net.named_modules()
               if isinstance(m, Neuron) and m.rule.fires]
    try:
        with torch.no_grad():
            net(x, state)
    finally:
        for h in handles:
            h.remove()
    return found


def _both(x: Any, state: Any = None) -> tuple[Any, Any]:
    return x, state
