"""A training recipe: one TOML file that says which data, which network and how it is trained.

    [data]      name, dt (ms), steps, clip, validation (share of the training set), [data.augment], [data.options] ...
    [[layer]]   kind = "conv2d" | "linear" | "sum_pool2d" | "avg_pool2d" | "max_pool2d" | "batch_norm1d" | "batch_norm2d" |
                "neuron" | "recurrent" | "flatten" | "dropout" | "readout"
    [train]     epochs, batch_size, learning_rate, weight_decay, warmup, label_smoothing, average, seed

Every key is optional but data.name and the layers; unknown keys are refused, so that a misspelt one is not ignored.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from snnsim.network import TimeBase
from snnsim.rule import finite


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
        _known(d, ("data", "layer", "train"), source)
        if "data" not in d or "name" not in d["data"]:
            raise ValueError(f"{source}: [data] needs a name")
        if not d.get("layer"):
            raise ValueError(f"{source}: there is no [[layer]]")
        _known(d["data"], [f.name for f in fields(DataRecipe)], f"{source}: [data]")
        _known(d.get("train", {}), [f.name for f in fields(TrainRecipe)], f"{source}: [train]")
        try:
            return cls(DataRecipe(**d["data"]), tuple(d["layer"]), TrainRecipe(**d.get("train", {})))
        except (TypeError, ValueError) as e:
            raise ValueError(f"{source}: {e}") from None


def load_recipe(name: str | os.PathLike[str]) -> Recipe:
    """The recipe in a TOML file, or one that comes with snnsim, by its name, with .toml or without (see `recipe_names`)."""
    own = str(name).replace(os.sep, "/").removesuffix(".toml")
    if own in recipe_names() and not (str(name).endswith(".toml") and Path(name).is_file()):
        text = resources.files("snnsim").joinpath("recipes", *f"{own}.toml".split("/")).read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise FileNotFoundError(f"there is no recipe {str(name)!r}: give a TOML file, or one of "
                                f"{', '.join(recipe_names())}")
    try:
        return Recipe.from_dict(tomllib.loads(text), str(name))
    except tomllib.TOMLDecodeError as e:
        raise ValueError(f"{name} is not valid TOML: {e}") from None


def recipe_names() -> list[str]:
    """The recipes that come with snnsim; those in a folder as methods/baseline."""
    return sorted(_names(resources.files("snnsim") / "recipes", ""))


def _names(folder: Traversable, prefix: str) -> Iterator[str]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _names(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".toml"):
            yield prefix + item.name.removesuffix(".toml")


def _known(given: Mapping[str, Any], allowed: Any, where: str) -> None:
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(map(repr, unknown))}; allowed are {', '.join(allowed)}")
