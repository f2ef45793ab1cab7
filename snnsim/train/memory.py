"""How much memory a training run will need, before it takes it: a few samples are tried, and every buffer is counted."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from snnsim.datasets import EventDataset
from snnsim.network import TimeBase
from snnsim.nn import POOL, set_dt
from snnsim.train.evaluation import bin_batch, scores
from snnsim.train.gradients import backpropagate, penalised
from snnsim.train.recipe import TrainRecipe

TRIED = 8  # samples
INSIDE = 0.15  # of what torch's tensors hold: what its operations take inside themselves, and malloc keeps back; measured


@dataclass(frozen=True)
class Forecast:
    """Peak memory of training beyond what the process holds before it, in bytes.

    fixed: whatever the number of samples (gradients, the optimiser's moments, averaged and chosen weights); sample: for
    each sample of a batch; samples: those that this process takes of a batch.
    """

    fixed: float
    sample: float
    samples: int

    @property
    def bytes(self) -> float:
        return self.fixed + self.sample * self.samples

    def __str__(self) -> str:
        return f"{_size(self.bytes)} at its peak, {_size(self.sample)} for each of the {self.samples} samples of a batch"


def expect(net: torch.nn.Module, train: EventDataset, time: TimeBase, recipe: TrainRecipe, processes: int = 1) -> Forecast:
    """What training will need of memory, from a forward and a backward pass over up to 8 samples, on a copy of the net.

    The samples are spread over the data set; what they need is scaled to the batch, as all that a batch needs grows with
    its samples. processes: those that share a batch. The net, its gradients and the random numbers stay as they are.
    """
    samples = min(len(train), -(-recipe.batch_size // processes))
    most = min(samples, TRIED)
    tried = sorted({max(min(2, most), most // 2), most})  # a statistic over samples takes two
    peaks = [_peak(net, train, time, recipe, n) for n in tried]
    sample = (peaks[-1] - peaks[0]) / (tried[-1] - tried[0]) if len(tried) > 1 else peaks[0] / tried[0]
    weights = sum(t.numel() * t.element_size() for t in net.state_dict().values())
    parameters = sum(p.numel() * p.element_size() for p in net.parameters())
    held = 2 * parameters + weights * (2 + 2 * bool(recipe.average))  # moments; the chosen weights, and new ones beside them
    return Forecast(max(0.0, peaks[-1] - sample * tried[-1]) + held, sample, samples)


def check(net: torch.nn.Module, train: EventDataset, time: TimeBase, recipe: TrainRecipe, processes: int = 1,
          beside: int = 1, free: float | None = None) -> Forecast:
    """The forecast. MemoryError that says what would make it fit, when it is more than the memory that is free.

    processes: those that share a batch; beside: those of them on this machine, which all need as much. free: bytes, or
    None to ask the machine.
    """
    found = expect(net, train, time, recipe, processes)
    if processes == 1 and len(train) % recipe.batch_size == 1 and recipe.batch_size > 1:
        try:
            _peak(net, train, time, recipe, 1)
        except ValueError as e:
            raise ValueError(f"with batch_size={recipe.batch_size} the last batch of {len(train)} recordings has only one: {e}"
                             ) from None
    free = available() if free is None else free
    if free is None or found.bytes * beside <= free:
        return found
    share = free / beside
    batch = int((share - found.fixed) / found.sample) * processes if found.sample > 0.0 else 0
    ways = [f"batch_size={batch} in place of {recipe.batch_size}"] if batch > 0 else []
    for name, meaning in (("checkpoint_steps", "the same gradients for one more forward pass"),
                          ("truncate_steps", "gradients that end at the start of each chunk of steps")):
        steps = _fitting_steps(net, train, time, recipe, processes, share, name)
        if steps:
            ways.append(f"{name}={steps} ({meaning})")
    raise MemoryError(f"training would need {found}, {_size(found.bytes * beside)} in all, and {_size(free)} are free. "
                      + (f"It would fit with {', or '.join(ways)}" if ways
                         else "Neither a smaller batch nor chunks of steps would make it fit: take a smaller net"))


def available(root: Path = Path("/")) -> float | None:
    """Bytes that processes can still take here, or None where that cannot be known. Files that the system holds in memory
    give way, so they count as free; root: where /proc and /sys are."""
    group = root / "sys/fs/cgroup"
    free = [1024.0 * n for n in _numbers(root / "proc/meminfo", "MemAvailable:")]
    for limit in _numbers(group / "memory.max"):
        cached = sum(n for key in ("active_file", "inactive_file") for n in _numbers(group / "memory.stat", key))
        free += [limit - max(0.0, used - cached) for used in _numbers(group / "memory.current")]
    return min(free) if free else None


def _numbers(path: Path, key: str = "") -> list[float]:
    """The number in a file of the system, on its line that starts with the word `key`; none where there is none."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    at = 1 if key else 0
    return [float(words[at]) for words in lines if len(words) > at and words[at].isdigit() and key in ("", words[0])]


def _fitting_steps(net: torch.nn.Module, train: EventDataset, time: TimeBase, recipe: TrainRecipe, processes: int,
                   share: float, name: str) -> int:
    """The longest chunk of a half, a quarter, ... of the steps with which it fits; 0 when there is none."""
    steps = (time.steps or 1) // 2
    while steps:
        options: Mapping[str, Any] = {"checkpoint_steps": 0, "truncate_steps": 0, name: steps}
        try:
            if expect(net, train, time, replace(recipe, **options), processes).bytes <= share:
                return steps
        except ValueError:  # a net that cannot be trained in chunks
            return 0
        steps //= 2
    return 0


def _peak(net: torch.nn.Module, train: EventDataset, time: TimeBase, recipe: TrainRecipe, samples: int) -> float:
    """Bytes of one forward and backward pass over so many samples, and of a forward pass for the evaluation after it."""
    chosen = [train[int(i)] for i in np.linspace(0, len(train) - 1, samples)]
    trial = copy.deepcopy(net).train()
    set_dt(trial, time.dt)
    POOL.clear()
    with torch.random.fork_rng(devices=[]), _Ledger() as ledger:
        batch = bin_batch([r.events for r in chosen], train, time)
        ledger.count(sum(int(getattr(batch, a).nbytes) for a in ("indptr", "indices", "values")))
        backpropagate(trial, batch, torch.tensor([r.label for r in chosen]), recipe, penalty=1.0 if penalised(trial) else None)
        trial.eval()
        with torch.no_grad():  # after each epoch, beside what the pool has kept
            scores(trial, batch, recipe.chunk)
    return float(ledger.peak)


class _Ledger(TorchDispatchMode):
    """While open, follows how much memory tensors hold: those of torch's own by their lives, those of the pool by what it
    has mapped, which it keeps for the next step."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0.0
        self._known: dict[int, int] = {}
        self._pool = POOL.mapped

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._see, out)
        self.count(0)
        return out

    def count(self, size: int) -> None:
        self.alive += size
        self.peak = max(self.peak, self.alive * (1.0 + INSIDE) + POOL.mapped - self._pool)

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known or not storage.resizable():  # the pool's cannot be resized
            return
        self._known[storage._cdata] = storage.nbytes()
        self.count(storage.nbytes())
        weakref.finalize(storage, self._gone, storage._cdata).atexit = False

    def _gone(self, key: int) -> None:
        self.alive -= self._known.pop(key)


def _size(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
