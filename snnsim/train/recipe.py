"""A training recipe: one TOML file that says which data, which network and how it is trained.

    extends     another recipe, of which this one says only what is different (see `recipe_file`)
    [data]      name, dt (ms), steps, clip, validation (share of the training set), [data.augment], [data.options] ...
    [defaults.KIND]   what every layer of a kind has that does not say it itself; a kind there puts another in its place
    [[layer]]   kind, one of `snnsim.train.build.LAYERS`, and what it takes
    [train]     epochs, batch_size, learning_rate, weight_decay, warmup, label_smoothing, average, penalty, penalty_schedule,
                seed

Every key is optional but data.name and the layers; unknown keys are refused, so that a misspelt one is not ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from snnsim.network import TimeBase
from snnsim.rule import finite, one_of
from snnsim.train.schedule import SCHEDULES


@dataclass(frozen=True)
class DataRecipe:
    """name: a name that `snnsim.datasets.load` knows. dt: ms a step. steps: None for as many as the longest recording
    needs. validation: share of the training set held back to choose the model. augment: see `datasets.Augment`. options: what
    `load` takes for this set besides."""

    name: str
    dt: float = 10.0
    steps: int | None = None
    clip: bool = False
    validation: float = 0.1
    augment: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        TimeBase(self.dt, self.steps, self.clip)
        finite("data.validation", self.validation, at_least=0.0)
        if self.validation >= 1.0:
            raise ValueError(f"data.validation must be below 1, got {self.validation}")
        if not isinstance(self.options, Mapping):
            raise ValueError(f"data.options must be a table, got {self.options!r}")


@dataclass(frozen=True)
class TrainRecipe:
    """How the weights are fitted: AdamW with a linear warm-up and a cosine schedule to zero.

    warmup: share of all steps; average: decay of an exponential moving average of the weights that is evaluated and
    kept in place of the last weights (0: none); clip_gradient: largest norm of the gradient (0: no limit).
    checkpoint_steps: what a batch needs of memory grows with this many steps alone, for one more forward pass (0: with all);
    truncate_steps: the same, with gradients that end at the start of each chunk of so many steps (0: they do not).
    penalty: how much the penalty of the layers that have one counts beside the loss at most (None: 0.1), and
    penalty_schedule: how that goes with the training, see `snnsim.train.schedule`.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    label_smoothing: float = 0.0
    average: float = 0.0
    clip_gradient: float = 0.0
    checkpoint_steps: int = 0
    truncate_steps: int = 0
    penalty: float | None = None
    penalty_schedule: str = "up-down"
    seed: int = 0

    @property
    def chunk(self) -> int:
        """Steps that are held in memory at once; 0 for all."""
        return self.checkpoint_steps or self.truncate_steps

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise ValueError(f"train.{name} must be a positive whole number, got {value!r}")
        for name in ("checkpoint_steps", "truncate_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"train.{name} must be a whole number, at least 0, got {value!r}")
        if self.checkpoint_steps and self.truncate_steps:
            raise ValueError("give train.checkpoint_steps or train.truncate_steps, not both")
        if self.penalty is not None:
            finite("train.penalty", self.penalty, at_least=0.0)
        one_of("train.penalty_schedule", self.penalty_schedule, SCHEDULES)
        finite("train.learning_rate", self.learning_rate, above=0.0)
        for name in ("weight_decay", "warmup", "label_smoothing", "average", "clip_gradient"):
            finite(f"train.{name}", getattr(self, name), at_least=0.0)
        for name in ("warmup", "label_smoothing", "average"):
            if getattr(self, name) >= 1.0:
                raise ValueError(f"train.{name} must be below 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Recipe:
    """Data, layers and training, as read from one file."""

    data: DataRecipe
    layers: tuple[Mapping[str, Any], ...]
    train: TrainRecipe = TrainRecipe()

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], source: str = "recipe") -> Recipe:
        _known(d, ("data", "defaults", "layer", "train"), source)
        if "data" not in d or "name" not in d["data"]:
            raise ValueError(f"{source}: [data] needs a name")
        if not d.get("layer"):
            raise ValueError(f"{source}: there is no [[layer]]")
        _known(d["data"], [f.name for f in fields(DataRecipe)], f"{source}: [data]")
        _known(d.get("train", {}), [f.name for f in fields(TrainRecipe)], f"{source}: [train]")
        layers = filled(d["layer"], d.get("defaults", {}), source)
        try:
            return cls(DataRecipe(**d["data"]), layers, TrainRecipe(**d.get("train", {})))
        except (TypeError, ValueError) as e:
            raise ValueError(f"{source}: {e}") from None


def filled(layers: Iterable[Mapping[str, Any]], defaults: Mapping[str, Mapping[str, Any]], source: str) -> tuple[
        dict[str, Any], ...]:
    """The layers, each with the defaults of its kind where it is silent. ValueError for defaults of a kind that no layer is."""
    kinds = sorted({str(layer.get("kind")) for layer in layers})
    for kind, values in defaults.items():
        if not isinstance(values, Mapping):
            raise ValueError(f"{source}: [defaults.{kind}] must be a table, got {values!r}")
        if kind not in kinds:
            raise ValueError(f"{source}: [defaults.{kind}] is for no layer: their kinds are {', '.join(kinds)}")
    full = []
    for layer in layers:
        default = defaults.get(str(layer.get("kind")), {})
        full.append({**default, **layer, **{k: v for k, v in default.items() if k == "kind"}})
    return tuple(full)


def _known(given: Mapping[str, Any], allowed: Any, where: str) -> None:
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(map(repr, unknown))}; allowed are {', '.join(allowed)}")
