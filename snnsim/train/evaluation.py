"""What a net says about a data set: loss, predictions, and how much each layer fires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnsim.datasets import EventDataset, bin_events
from snnsim.network import TimeBase
from snnsim.nn import Neuron, checkpointed
from snnsim.nn.processes import add_up, place


@dataclass(frozen=True)
class Evaluation:
    """loss: mean cross-entropy. predictions, labels: [samples]. rates: spikes per neuron and step, a hidden layer."""

    loss: float
    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    rates: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.predictions == self.labels))

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """counts[label, prediction]."""
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts


def scores(net: torch.nn.Module, batch: Any, steps: int = 0) -> torch.Tensor:
    """What the readout says of each class, [B, classes]: the mean over the steps of the net's output [T, B, classes].

    steps: so many steps at once, in less memory; 0 for all.
    """
    out, _ = checkpointed(net, batch, steps) if steps else net(batch)
    return torch.as_tensor(out).flatten(2).mean(0)


def batches(dataset: EventDataset, time: TimeBase, size: int, chosen: slice = slice(None)) -> Iterator[
        tuple[Any, NDArray[np.int64]]]:
    """The data set in its order, binned: (event batch, labels). chosen: which of the batches."""
    for start in range(0, len(dataset), size)[chosen]:
        part = [dataset[i] for i in range(start, min(start + size, len(dataset)))]
        yield bin_batch([r.events for r in part], dataset, time), np.array([r.label for r in part], np.int64)


def bin_batch(events: Sequence[NDArray[Any]], dataset: EventDataset, time: TimeBase) -> Any:
    return bin_events(events, dataset.sensor, time.dt, steps=time.steps, clip=time.clip, t0=time.t0)


@contextmanager
def firing_rates(net: torch.nn.Module) -> Iterator[NDArray[np.float64]]:
    """While open, adds up the spikes of every firing layer, and its neuron-steps: [layers, 2]."""
    layers = [m for m in net.modules() if isinstance(m, Neuron) and m.rule.fires]
    seen = np.zeros((len(layers), 2))

    def hook(into: NDArray[np.float64]) -> Any:
        def count(module: Any, inputs: Any, output: Any) -> None:
            out = output[0].detach()
            into[:] += float(out.mean()) * out.numel(), out.numel()

        return count

    handles = [m.register_forward_hook(hook(s)) for m, s in zip(layers, seen, strict=True)]
    try:
        yield seen
    finally:
        for h in handles:
            h.remove()


def evaluate(net: torch.nn.Module, dataset: EventDataset, time: TimeBase, batch_size: int = 64, *,
             steps: int = 0, shared: bool = False) -> Evaluation:
    """Run the net over the data set in evaluation mode, without gradients; the net's mode is restored.

    steps: so many steps at once, in less memory; 0 for all.
    shared: all processes of torch.distributed call this, and each takes every so many-th batch; the result is the same.
    Errors: ValueError for an empty data set.
    """
    if not len(dataset):
        raise ValueError("there is nothing to evaluate: the data set is empty")
    number, count = place() if shared else (0, 1)
    starts = range(0, len(dataset), batch_size)
    losses, predictions = np.zeros(len(starts)), np.zeros(len(dataset), np.int64)
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad(), firing_rates(net) as seen:
            mine, rates = slice(number, None, count), np.zeros((len(seen), len(starts)))
            for i, (batch, label) in zip(range(len(starts))[mine], batches(dataset, time, batch_size, mine), strict=True):
                logits = scores(net, batch, steps)
                rates[:, i] = seen[:, 0] / seen[:, 1]
                seen[:] = 0.0
                losses[i] = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(label), reduction="sum"))
                predictions[starts[i]: starts[i] + batch_size] = logits.argmax(1).numpy()
    finally:
        net.train(was_training)
    if count > 1:
        for values in (losses, predictions, rates):
            add_up(torch.from_numpy(values))
    sizes = [min(batch_size, len(dataset) - start) for start in starts]
    return Evaluation(float(np.add.accumulate(losses)[-1]) / len(dataset), predictions, dataset.labels.copy(),
                      tuple(float(np.average(r, weights=sizes)) for r in rates))
