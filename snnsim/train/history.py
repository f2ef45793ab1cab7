"""What a training run measured, epoch by epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One pass over the training set.

    loss, accuracy: mean over the samples as they were trained on. validation_*: on the validation split, in
    evaluation mode (nan without one). rates: spikes per neuron and step of each hidden layer on the validation split
    (or the training batches without one). seconds: wall clock. penalty: mean total of the layers' penalties, as it stands
    before it is multiplied; 0 where no layer has one.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    rates: tuple[float, ...]
    learning_rate: float
    seconds: float
    penalty: float = 0.0


@dataclass
class History:
    """The epochs of a run, and which of them was chosen (the best on validation; the last without a split)."""

    epochs: list[Epoch] = field(default_factory=list)
    chosen: int = -1

    @property
    def best(self) -> Epoch:
        return self.epochs[self.chosen]

    def to_dict(self) -> dict[str, Any]:
        return {"epochs": [asdict(e) for e in self.epochs], "chosen": self.chosen}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> History:
        return cls([Epoch(**{**e, "rates": tuple(e["rates"])}) for e in d["epochs"]], d["chosen"])
