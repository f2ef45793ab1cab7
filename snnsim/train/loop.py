"""The training loop: surrogate gradients over event batches, with checkpoints from which it continues bit for bit.

Everything random is a function of (seed, epoch, position): the order of the samples, what augmentation does to each,
and the dropout masks. So a resumed run needs no generator state, and draws what the uninterrupted run would have.
"""

from __future__ import annotations

import json
import math
import os
import time as clock
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnsim.datasets import Augment, EventDataset
from snnsim.network import Network, TimeBase
from snnsim.nn import Neuron, set_dt
from snnsim.nn.processes import Part, computing, place
from snnsim.progress import Bar, bar
from snnsim.train import checkpoint as files
from snnsim.train import memory, processes
from snnsim.train.evaluation import batches, bin_batch, evaluate, firing_rates, scores
from snnsim.train.gradients import backpropagate, penalised
from snnsim.train.history import Epoch, History
from snnsim.train.recipe import TrainRecipe
from snnsim.train.schedule import strength
from snnsim.train.teacher import Teacher


def fit(net: torch.nn.Module, train: EventDataset, *, dt: float, steps: int | None = None, clip: bool = False,
        validation: EventDataset | None = None, augment: Augment | None = None,
        checkpoint: str | os.PathLike[str] | None = None, checkpoint_seconds: float = 30.0,
        checkpoint_of: Mapping[str, Any] | None = None, teacher: Network | None = None, progress: bool | None = None,
        **options: Any) -> History:
    """Train the net on the recordings; afterwards it holds the chosen weights and is in evaluation mode.

    dt: ms a step; steps: None for as many as the longest recording needs; clip: several events of a pixel in a step
    count once. validation: a split to choose the epoch by, with the lowest loss, which tells more than the accuracy of
    a few recordings; without it the last epoch is kept. augment: applied to the training events, seeded. checkpoint: a
    file that is written at least every checkpoint_seconds and after each epoch; when it exists the run continues from
    it, and the weights come out bit for bit as if it had never stopped. checkpoint_of: what else it belongs to, such as how the
    net was built and from what data, by name, as JSON can hold it: one that belongs to something else is refused. teacher: a
    trained network whose probabilities of the classes are learned in place of the labels, see `Teacher`. options: the fields
    of `TrainRecipe` (epochs, batch_size, learning_rate, ...).

    Where torch.distributed is initialised, all processes must call it with the same arguments: each computes its part of
    every batch, and all come to the same weights, those of one process but for rounding. The first writes the checkpoint.

    Errors: ValueError for an empty set, impossible options, or a loss that is no longer finite (the checkpoint of the
    last good moment is kept); MemoryError, before anything is trained, when `forecast` finds that memory will not do.
    """
    recipe, time = _planned(train, dt, steps, clip, options)
    if recipe.penalty and not penalised(net):
        raise ValueError(f"penalty={recipe.penalty:g} counts nothing, as no layer has a penalty: call "
                         "snnsim.nn.set_penalty(net, snnsim.nn.RMP()), or give a layer of a recipe rmp = 2")
    prepare(net, train, time)
    processes.agree("their options or data: start all with the same", recipe, time, train.labels.tobytes())
    processes.share_weights(net)
    needed = memory.check(net, train, time, recipe, place()[1], processes.beside())
    run = Run(net, recipe, time, checkpoint, checkpoint_of, None if teacher is None else Teacher(teacher, train))
    processes.agree("the checkpoint that they read: put it where all can read it", run.epoch, run.batch, run.step)
    with bar(recipe.epochs * run.batches(train), "training", progress if processes.first() else False) as line:
        line.advance(run.position(train))
        line.say(f"memory: {needed}")
        while run.epoch < recipe.epochs:
            run.train_epoch(train, augment, line, checkpoint_seconds)
            run.finish_epoch(train, validation)
            last = run.history.epochs[-1]
            line.say(f"epoch {run.epoch}/{recipe.epochs}  loss {last.loss:.3f}  accuracy {last.accuracy:.1%}"
                     + ("" if validation is None else f"  validation {last.validation_accuracy:.1%}"))
    net.load_state_dict(run.kept)
    net.eval()
    return run.history


def forecast(net: torch.nn.Module, train: EventDataset, *, dt: float, steps: int | None = None, clip: bool = False,
             **options: Any) -> memory.Forecast:
    """What `fit` with these arguments will need of memory, beyond what the process holds now.

    A few samples are tried on a copy of the net; nothing else changes. Errors: those of `fit`.
    """
    recipe, time = _planned(train, dt, steps, clip, options)
    return memory.expect(net, train, time, recipe, place()[1])


def prepare(net: torch.nn.Module, dataset: EventDataset, time: TimeBase) -> None:
    """Tell the net the step, and what lowering needs to know of the data: time base, input shape, classes."""
    set_dt(net, time.dt)
    net.time, net.input_shape, net.classes = time, dataset.sensor.shape, tuple(dataset.classes)  # type: ignore[assignment]


def parameter_groups(net: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups of parameters for an optimiser: weights, which decay, and others. A module's `rate_factors` {parameter: factor}
    make groups of their own, whose learning rate is multiplied by the factor, and which do not decay."""
    factors = {id(getattr(m, name)): f for m in _having(net, "rate_factors") for name, f in m.rate_factors.items()}
    own = [p for p in net.parameters() if id(p) not in factors]
    groups = [{"params": [p for p in own if p.ndim > 1], "weight_decay": weight_decay, "factor": 1.0},
              {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, "factor": 1.0}]
    return groups + [{"params": [p for p in net.parameters() if factors.get(id(p)) == f], "weight_decay": 0.0, "factor": f}
                     for f in sorted(set(factors.values()))]


def _having(net: torch.nn.Module, name: str) -> list[Any]:
    return [m for m in net.modules() if hasattr(m, name)]


def _planned(train: EventDataset, dt: float, steps: int | None, clip: bool, options: dict[str, Any]) -> tuple[
        TrainRecipe, TimeBase]:
    try:
        recipe = TrainRecipe(**options)
    except TypeError as e:
        raise ValueError(f"unknown option of fit: {e}") from None
    if not len(train):
        raise ValueError("the training set is empty")
    time = TimeBase(dt, _steps(train, dt) if steps is None else steps, clip)
    return recipe, time


def _steps(dataset: EventDataset, dt: float) -> int:
    """Steps that the longest recording needs; each process reads its share of them."""
    number, count = place()
    return max(processes.gathered(max((int(batch.shape[0]) for batch, _ in batches(
        dataset[number::count], TimeBase(dt), 256)), default=0)))


class Run:
    """The state of a training run: what a checkpoint holds."""

    def __init__(self, net: torch.nn.Module, recipe: TrainRecipe, time: TimeBase,
                 checkpoint: str | os.PathLike[str] | None, of: Mapping[str, Any] | None = None,
                 teacher: Teacher | None = None) -> None:
        self.net, self.recipe, self.time, self.path = net, recipe, time, checkpoint
        self.teacher = teacher
        self.of = json.loads(json.dumps({**(of or {}), **({"teacher": teacher.digest} if teacher else {})}))
        self.optimizer = torch.optim.AdamW(parameter_groups(net, recipe.weight_decay), lr=recipe.learning_rate)
        self.average = {k: v.clone() for k, v in net.state_dict().items()} if recipe.average else {}
        self.kept = {k: v.clone() for k, v in net.state_dict().items()}
        self.history = History()
        self.epoch = self.batch = self.step = self.seen = self.correct = 0
        self.loss = self.penalty = self.seconds = 0.0
        self.penalised = penalised(net)
        self.saved = clock.monotonic()
        if checkpoint is not None:
            path = Path(checkpoint)
            for left in path.parent.glob(f".{path.name}.*.tmp") if processes.first() else ():
                left.unlink()  # a kill while saving leaves its temporary file
            if path.exists():
                self.load()

    def batches(self, train: EventDataset) -> int:
        return math.ceil(len(train) / self.recipe.batch_size)

    def position(self, train: EventDataset) -> int:
        return self.epoch * self.batches(train) + self.batch

    def rate(self, total: int) -> float:
        """The learning rate of this step: linear warm-up, then a cosine to zero."""
        warm = self.recipe.warmup * total
        if self.step < warm:
            return self.recipe.learning_rate * (self.step + 1) / (warm + 1)
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (self.step - warm) / max(1.0, total - warm)))

    def train_epoch(self, train: EventDataset, augment: Augment | None, line: Bar, every: float) -> None:
        seed, size = self.recipe.seed, self.recipe.batch_size
        order = np.random.default_rng((seed, self.epoch)).permutation(len(train))
        self.net.train()
        for module in _having(self.net, "anneal"):
            module.anneal(self.epoch, self.recipe.epochs)
        began = clock.monotonic()
        while self.batch * size < len(order):
            chosen = order[self.batch * size: (self.batch + 1) * size]
            torch.manual_seed(int(np.random.SeedSequence((seed, self.epoch, self.batch)).generate_state(1, np.uint64)[0]))
            part = processes.part(len(chosen), place())
            chosen = chosen[part.samples]
            recordings = [train[int(i)] for i in chosen]
            events = [r.events if augment is None else augment(r.events, train.sensor, _seed(seed, self.epoch, int(i)))
                      for i, r in zip(chosen, recordings, strict=True)]
            with computing(part):
                self.update(bin_batch(events, train, self.time), torch.tensor([r.label for r in recordings]),
                            self.recipe.epochs * self.batches(train), part)
            self.batch += 1
            line.advance()
            if clock.monotonic() - self.saved > every:
                self.seconds += clock.monotonic() - began
                began = clock.monotonic()
                self.save()
        self.seconds += clock.monotonic() - began

    def update(self, batch: Any, label: torch.Tensor, total: int, part: Part) -> None:
        """One step of the optimiser, with the gradient of the mean loss over the parts of all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(total) * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        k = strength(self.recipe.penalty_schedule, self.recipe.penalty, self.step / total) if self.penalised else None
        target = label if self.teacher is None else self.teacher(batch)
        loss, logits, penalty = backpropagate(self.net, batch, target, self.recipe, part.weight, k)
        right = int((logits.argmax(1) == label).sum()) if part.weight else 0
        mean, cost, correct = processes.totals(loss * part.weight, penalty * part.weight, right)
        if not math.isfinite(mean + cost):
            raise ValueError(f"the loss is {mean} in epoch {self.epoch + 1}, batch {self.batch + 1}: lower "
                             "learning_rate, or set clip_gradient")
        processes.add_gradients(self.net)
        if self.recipe.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip_gradient)
        self.optimizer.step()
        for module in _having(self.net, "after_step"):
            module.after_step()
        self.step += 1
        self.seen += part.whole
        self.loss += mean * part.whole
        self.penalty += cost * part.whole
        self.correct += int(correct)
        if self.average:
            keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
            for name, value in self.net.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)

    def finish_epoch(self, train: EventDataset, validation: EventDataset | None) -> None:
        began = clock.monotonic()
        with self.averaged():
            if validation is not None and len(validation):
                e = evaluate(self.net, validation, self.time, self.recipe.batch_size,
                             steps=self.recipe.chunk, shared=True)
                loss, accuracy, rates = e.loss, e.accuracy, e.rates
            else:
                loss, accuracy, rates = math.nan, math.nan, self._rates(train)
            weights = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.seconds += clock.monotonic() - began
        self.history.epochs.append(Epoch(self.epoch, self.loss / self.seen, self.correct / self.seen, loss, accuracy,
                                         rates, self.optimizer.param_groups[0]["lr"], self.seconds, self.penalty / self.seen))
        if math.isnan(loss) or self.history.chosen < 0 or loss <= self.history.best.validation_loss:
            self.history.chosen, self.kept = len(self.history.epochs) - 1, weights
        self.epoch, self.batch, self.seen, self.correct = self.epoch + 1, 0, 0, 0
        self.loss = self.penalty = self.seconds = 0.0
        if self.path is not None:
            self.save()

    def _rates(self, train: EventDataset) -> tuple[float, ...]:
        """How much each layer fires on the first batch of the training set."""
        events = [train[i].events for i in range(min(len(train), self.recipe.batch_size))]
        self.net.eval()
        with torch.no_grad(), firing_rates(self.net) as rates:
            scores(self.net, bin_batch(events, train, self.time), self.recipe.chunk)
        self.net.train()
        return tuple(rates[:, 0] / rates[:, 1])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The net with its averaged weights, while open; as it is, when none are kept."""
        if not self.average:
            yield
            return
        last = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        try:
            yield
        finally:
            self.net.load_state_dict(last)

    def named_parameters(self) -> dict[str, torch.Tensor]:
        return dict(self.net.named_parameters())

    def save(self) -> None:
        if self.path is None or not processes.first():
            return
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"kept.{k}": v for k, v in self.kept.items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for name, p in self.named_parameters().items():
            tensors |= {f"optimizer.{name}:{k}": v for k, v in self.optimizer.state[p].items()}
        files.write(self.path, tensors, {
            "epoch": self.epoch, "batch": self.batch, "step": self.step, "seen": self.seen, "correct": self.correct,
            "loss": self.loss, "penalty": self.penalty, "seconds": self.seconds,
            "recipe": asdict(self.recipe), "time": asdict(self.time), "of": self.of,
            "history": self.history.to_dict()})
        self.saved = clock.monotonic()

    def load(self) -> None:
        assert self.path is not None
        tensors, d = files.read(self.path)
        if d["recipe"] != asdict(self.recipe) or d["time"] != asdict(self.time):
            raise ValueError(f"{self.path} belongs to a run with other settings ({d['recipe']}, {d['time']}): "
                             "delete it, or continue with the same settings")
        other = [k for k in self.of if d.get("of") and d["of"].get(k) != self.of[k]]
        if other:
            raise ValueError(f"{self.path} belongs to a run with another {' and another '.join(other)}: delete it, or choose "
                             "another folder, or continue with the same")
        try:
            self.net.load_state_dict(_part(tensors, "net."))
        except RuntimeError as e:
            raise ValueError(f"{self.path} belongs to another net: {e}") from None
        self.kept, self.average = _part(tensors, "kept."), _part(tensors, "average.")
        for name, p in self.named_parameters().items():
            state = _part(tensors, f"optimizer.{name}:")
            if state:
                self.optimizer.state[p] = state
        self.epoch, self.batch, self.step = d["epoch"], d["batch"], d["step"]
        self.seen, self.correct, self.loss, self.seconds = d["seen"], d["correct"], d["loss"], d["seconds"]
        self.penalty = d["penalty"]
        self.history = History.from_dict(d["history"])


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with the prefix, without it."""
    return {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0])


def hidden_layers(net: torch.nn.Module) -> list[str]:
    """The names of the layers whose rates a History lists, in order."""
    return [name for name, m in net.named_modules() if isinstance(m, Neuron) and m.rule.fires]
