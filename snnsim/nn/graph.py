"""Layers of neurons that branch: each may hear several of those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from snnsim.nn.neuron import Neuron
from snnsim.nn.sequential import Stateful

INPUT = "input"  # how the layers of a Graph call what the Graph is given


class Graph(Stateful):
    """Layers of neurons by name, each of which hears the sum of what its chains make of others: forward(x, state=None) ->
    (out, state), out being that of the last.

        x_p[t] = sum over its (source, chain) of chain(out_source)[t];   out_p = neurons_p(x_p)

    layers: name -> (neurons, [(source, chain), ...]), in the order in which they are computed. source: a layer that stands
    before, or "input", what the Graph is given, [T, B, ...] or a batch of events. chain: a module, such as a Linear or a
    Sequential of several. A skip is one more pair. `lower` makes a population of each layer, called by its name, and a
    projection of each chain.

    state: a tuple with one entry for each chain and each layer that has one, in their order. Errors: ValueError that names the
    layer and what is wrong.
    """

    def __init__(self, layers: Mapping[str, tuple[Neuron, Sequence[tuple[str, torch.nn.Module]]]]) -> None:
        super().__init__()
        self.sources: dict[str, tuple[str, ...]] = {}
        self.into = torch.nn.ModuleDict()
        self.neurons = torch.nn.ModuleDict()
        known = [INPUT]
        for name, (neurons, chains) in layers.items():
            if not isinstance(name, str) or not name or name == INPUT or "." in name:
                raise ValueError(f"names of layers must be texts without a dot, and none is {INPUT!r}, got {name!r}")
            if not isinstance(neurons, Neuron):
                raise ValueError(f"layer {name} must be of neurons, such as snnsim.nn.Neuron(LIF()); what comes before them "
                                 f"stands in its chains; got {type(neurons).__name__}")
            if not chains:
                raise ValueError(f"layer {name} hears nothing: give it at least one (source, chain)")
            for source, _ in chains:
                if source not in known:
                    raise ValueError(f"layer {name} hears {source!r}, which does not stand before it: {', '.join(known)} do")
            self.sources[name] = tuple(source for source, _ in chains)
            self.into[f"to_{name}"] = torch.nn.ModuleList(chain for _, chain in chains)
            self.neurons[f"of_{name}"] = neurons
            known.append(name)
        if not self.sources:
            raise ValueError("a Graph needs at least one layer")

    def parts(self, name: str) -> tuple[torch.nn.Module, list[tuple[str, torch.nn.Module]]]:
        """A layer as it was given."""
        chains = self.into[f"to_{name}"]
        assert isinstance(chains, torch.nn.ModuleList)
        return self.neurons[f"of_{name}"], list(zip(self.sources[name], chains, strict=True))

    def forward(self, x: Any, state: Sequence[Any] | None = None) -> tuple[Any, tuple[Any, ...]]:
        stateful = sum(isinstance(m, Stateful) for name in self.sources for m in self._modules_of(name))
        if state is None:
            state = (None,) * stateful
        elif not isinstance(state, (tuple, list)) or len(state) != stateful:
            raise ValueError(f"state must be a tuple with one entry for each of the {stateful} stateful parts of the Graph, "
                             "got " + (f"{len(state)} entries" if isinstance(state, (tuple, list)) else type(state).__name__))
        given, after, out = iter(state), list[Any](), {INPUT: x}

        def run(module: torch.nn.Module, x: Any) -> Any:
            if not isinstance(module, Stateful):
                return module(x)
            y, new = module(x, next(given))
            after.append(new)
            return y

        for name in self.sources:
            neurons, chains = self.parts(name)
            try:
                arrived = [run(chain, out[source]) for source, chain in chains]
                for source, y in zip(self.sources[name][1:], arrived[1:], strict=True):
                    if y.shape != arrived[0].shape:
                        raise ValueError(f"what arrives from {source!r} has shape {tuple(y.shape)}, and from "
                                         f"{self.sources[name][0]!r} {tuple(arrived[0].shape)}")
                out[name] = run(neurons, sum(arrived[1:], arrived[0]))
            except ValueError as e:
                raise ValueError(f"layer {name}: {e}") from e
        return out[name], tuple(after)

    def _modules_of(self, name: str) -> list[torch.nn.Module]:
        neurons, chains = self.parts(name)
        return [*(chain for _, chain in chains), neurons]
