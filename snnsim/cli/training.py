"""Train one seed of a recipe, evaluate it once, and leave everything that belongs to it in one folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from snnsim import doctor
from snnsim.datasets import Augment, EventDataset, split
from snnsim.files import replacing
from snnsim.lowering import lower
from snnsim.network import Network, TimeBase
from snnsim.network_file import save_network
from snnsim.nn import BNTT1d, BNTT2d, TEBN1d, TEBN2d
from snnsim.train import Evaluation, History, Recipe, build, evaluate, fit, hidden_layers, prepare, processes


@dataclass(frozen=True)
class Trained:
    """What came out of one seed. seconds: of all epochs. layers: names of the hidden layers, as in `evaluation.rates`."""

    seed: int
    history: History
    evaluation: Evaluation
    network: Network
    layers: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return sum(e.seconds for e in self.history.epochs)


def train_seed(recipe: Recipe, seed: int, out: Path, data: tuple[EventDataset, EventDataset], *, epochs: int | None = None,
               restart: bool = False, progress: bool | None = None) -> Trained:
    """Train, choose the epoch on a split of the training set, evaluate once on the test set, lower, and write
    checkpoint.safetensors, network.h5 and training.json into the folder `out`. With several processes of
    torch.distributed, all must call it; the first one writes.

    An existing checkpoint is continued, unless restart. Errors: those of `fit`, `lower` and the recipe's layers.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.safetensors"
    if restart and processes.first():
        checkpoint.unlink(missing_ok=True)
    processes.wait()  # or another would still read what the first removes
    train, validation = split(data[0], recipe.data.validation, seed)
    torch.manual_seed(seed)
    net = build(recipe.layers)
    prepare(net, train, TimeBase(recipe.data.dt))
    lower(net)  # what cannot be lowered is refused now, not after the training
    for name, module in net.named_modules():
        if isinstance(module, (BNTT1d, BNTT2d, TEBN1d, TEBN2d)) and module.steps > 1:  # they are still alike at all steps
            raise ValueError(f"layer {name} ({type(module).__name__}) cannot be lowered once it is trained, as it differs from "
                             "step to step: take batch_norm or td_bn, or train it with snnsim.train.fit")
    options = asdict(replace(recipe.train, seed=seed, epochs=recipe.train.epochs if epochs is None else epochs))
    augment = Augment(**recipe.data.augment) if recipe.data.augment else None  # type: ignore[arg-type]  # checked by it
    history = fit(net, train, dt=recipe.data.dt, steps=recipe.data.steps, clip=recipe.data.clip, augment=augment,
                  validation=validation if len(validation) else None, checkpoint=checkpoint,
                  checkpoint_of=_plain({"data": asdict(recipe.data), "net": [dict(x) for x in recipe.layers]}),
                  progress=progress, **options)
    evaluation = evaluate(net, data[1], net.time, steps=recipe.train.chunk, shared=True)  # type: ignore[arg-type]  # fit has set it
    network = lower(net)
    names = tuple(p.name for p in network.populations[1:] if p.rule is not None and p.rule.fires)
    trained = Trained(seed, history, evaluation, network, names[: len(hidden_layers(net))])
    if processes.first():
        save_network(network, out / "network.h5")
        write_json(out / "training.json", _described(trained, recipe, options))
    return trained


def _described(t: Trained, recipe: Recipe, options: Mapping[str, Any]) -> dict[str, Any]:
    e = t.evaluation
    return {"seed": t.seed, "recipe": {"data": asdict(recipe.data), "layer": [dict(x) for x in recipe.layers],
                                       "train": dict(options)},
            "layers": list(t.layers), "history": t.history.to_dict(), "seconds": t.seconds,
            "test": {"samples": len(e.labels), "accuracy": e.accuracy, "loss": e.loss, "rates": list(e.rates),
                     "labels": e.labels.tolist(), "predictions": e.predictions.tolist()},
            "versions": doctor.versions("core", "train")}


def write_json(path: Path, value: Any) -> None:
    """Write JSON; an existing file is replaced when the new one is complete. What is not a number is written as null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def read_training(path: Path) -> tuple[History, tuple[str, ...]]:
    """The history and the names of the hidden layers in a training.json. ValueError that names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: `snnsim train` writes training.json into the folder of each seed")
    try:
        d = json.loads(path.read_text(encoding="utf-8"))
        epochs = [{k: math.nan if v is None else v for k, v in e.items()} for e in d["history"]["epochs"]]
        return History.from_dict({**d["history"], "epochs": epochs}), tuple(d["layers"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"{path} is not a training.json of snnsim, or it is damaged: {e!r}") from None
