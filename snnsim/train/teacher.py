"""Distillation: what a trained Network says of each class is what another net learns, in place of the labels."""

from __future__ import annotations

import hashlib
import io

import h5py
import torch

from snnsim import engine
from snnsim.datasets import EventBatch, EventDataset
from snnsim.network import Network
from snnsim.network_file import write_network


class Teacher:
    """target = softmax(s), s the network's scores: the mean of its output over the steps.

    A net that is trained on these with cross-entropy minimises the Kullback-Leibler divergence to the network's own
    probabilities (Hinton, Vinyals and Dean 2015, at temperature 1): how sure the network is, and of what else, tells more
    than a label does. The event-driven engine runs the network, on the events that the net sees.

    Errors: ValueError for a network whose input or number of outputs is not the data set's.
    """

    def __init__(self, network: Network, train: EventDataset) -> None:
        if network.input.shape != train.sensor.shape:
            raise ValueError(f"teacher has an input of shape {network.input.shape}, the data set {train.sensor.shape}")
        self.prepared = engine.prepare(network)
        outputs = self.prepared.shapes[self.prepared.output]
        if outputs != (len(train.classes),):
            raise ValueError(f"teacher has an output of shape {outputs}, the data set {len(train.classes)} classes")
        content = io.BytesIO()
        with h5py.File(content, "w") as f:
            write_network(network, f)
        self.digest = hashlib.sha256(content.getvalue()).hexdigest()

    def __call__(self, batch: EventBatch) -> torch.Tensor:
        """The target of each sample, float32 [B, classes]."""
        found = engine.run(self.prepared, batch).scores
        mean = found / batch.shape[0] if self.prepared.readout == "count" else found
        return torch.softmax(torch.as_tensor(mean, dtype=torch.float32), 1)
