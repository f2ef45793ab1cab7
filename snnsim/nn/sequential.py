"""Layers in a row, with the state of those that have one passed in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Stateful(torch.nn.Module):
    """A module with forward(x, state=None) -> (out, state). The state is a tuple; it never lives in the module."""


class Sequential(torch.nn.Sequential, Stateful):
    """Layers one after the other: forward(x, state=None) -> (out, state).

    x: [T, B, ...], or a batch of events. state: None to start afresh, or what an earlier call gave back: a tuple with
    one entry for each stateful layer (neurons, readouts, Sequentials), in their order.

    Errors: those of the layers, naming the layer; ValueError for a state of another net.
    """

    def forward(self, x: Any, state: Sequence[Any] | None = None) -> tuple[Any, tuple[Any, ...]]:
        stateful = sum(isinstance(layer, Stateful) for layer in self)
        if state is None:
            state = (None,) * stateful
        elif not isinstance(state, (tuple, list)) or len(state) != stateful:
            raise ValueError(f"state must be a tuple with one entry for each of the {stateful} stateful layers, got "
                             + (f"{len(state)} entries" if isinstance(state, (tuple, list)) else type(state).__name__))
        given, after = iter(state), []
        for name, layer in self.named_children():
            try:
                if isinstance(layer, Stateful):
                    x, new = layer(x, next(given))
                    after.append(new)
                else:
                    x = layer(x)
            except ValueError as e:
                raise ValueError(f"layer {name} ({type(layer).__name__}): {e}") from e
        return x, tuple(after)
