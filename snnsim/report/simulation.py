"""Run a network over a whole data set, piece by piece, and add up what it did."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim import engine
from snnsim.network import Network
from snnsim.progress import bar

if TYPE_CHECKING:
    from snnsim.datasets import Recording

PIECE = 64  # samples simulated together, so that memory does not grow with the data set


@dataclass(frozen=True, eq=False)
class Simulation:
    """What a network did on N samples.

    predictions, labels: int64 [N]; a label of -1 is not known. sources: where the samples come from. events: of each.
    counts: spikes of each sample by population that fires, int64 [N]. synaptic: additions to a target by projection,
    over all samples. ticked, updates: as in `engine.Result`. seconds: wall clock of binning and simulation, without
    reading files and compiling kernels. mode: event or clock.
    """

    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    sources: tuple[str, ...]
    events: NDArray[np.int64]
    counts: dict[str, NDArray[np.int64]]
    synaptic: dict[str, int]
    ticked: float
    updates: float
    seconds: float
    mode: str

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def labelled(self) -> bool:
        return bool(np.all(self.labels >= 0))

    @property
    def correct(self) -> int:
        return int(np.sum(self.predictions == self.labels))

    @property
    def accuracy(self) -> float:
        """Share of right predictions; nan where a label is not known."""
        return self.correct / len(self) if self.labelled else float("nan")

    @property
    def milliseconds(self) -> float:
        """Wall clock of one sample."""
        return 1000.0 * self.seconds / len(self)

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """counts[label, prediction]."""
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        known = {"labels": self.labels.tolist(), "accuracy": self.accuracy} if self.labelled else {}
        n = len(self)
        return {"samples": n, "mode": self.mode, "predictions": self.predictions.tolist(), **known,
                "sources": list(self.sources), "events": self.events.tolist(),
                "spikes": {k: v.tolist() for k, v in self.counts.items()},
                "spikes_per_sample": {k: float(v.mean()) for k, v in self.counts.items()},
                "synaptic_events_per_sample": {k: v / n for k, v in self.synaptic.items()}, "ticked": self.ticked,
                "updates": self.updates, "ms_per_sample": self.milliseconds}


def _seen(network: Network) -> tuple[int, ...]:
    """(polarities, height, width) of the network's input."""
    shape = network.input.shape
    return shape if len(shape) == 3 else (1, 1, *shape)


def require_sensor(network: Network, samples: Sequence[Recording]) -> None:
    """ValueError unless recordings are of a sensor that is the network's input."""
    if samples[0].sensor.shape != _seen(network):
        raise ValueError(f"the recordings have the shape {samples[0].sensor.shape} (polarities, height, width), but the "
                         f"network's input has {network.input.shape}: load them with the options that it was trained with, "
                         "such as pool=8")


def simulate(network: Network, samples: Sequence[Recording], *, mode: Literal["event", "clock"] = "event",
             threads: int | None = None, progress: bool | None = None) -> Simulation:
    """Run the network on all samples (a data set, or a list of recordings). Errors: ValueError for none, or for
    recordings of a sensor that is not the network's input."""
    if not len(samples):
        raise ValueError("there is no sample to simulate")
    require_sensor(network, samples)
    prepared = engine.prepare(network)
    engine.run(prepared, [samples[0].events], mode=mode, threads=1)  # compiles what is not compiled yet
    # Without a fixed number of steps a sample must not run as long as the longest one beside it.
    piece = PIECE if network.time.steps else 1
    firing = [p.name for p in network.populations if p.rule is not None and p.rule.fires]
    results, labels, sources, events, seconds = [], [], [], [], 0.0
    with bar(len(samples), "simulating", progress) as line:
        for start in range(0, len(samples), piece):
            part = [samples[i] for i in range(start, min(start + piece, len(samples)))]
            began = time.perf_counter()
            result = engine.run(prepared, [r.events for r in part], mode=mode, threads=threads)
            seconds += time.perf_counter() - began
            results.append((len(part), result.prediction, {k: v for k, v in result.counts.items() if k in firing},
                            result.synaptic_events, result.updates))
            ticked = result.ticked
            labels += [r.label for r in part]
            sources += [r.source for r in part]
            events += [len(r.events) for r in part]
            line.advance(len(part))
    sizes = [r[0] for r in results]
    return Simulation(
        np.concatenate([np.atleast_1d(r[1]) for r in results]), np.array(labels, np.int64), tuple(sources),
        np.array(events, np.int64), {name: np.concatenate([r[2][name] for r in results]) for name in firing},
        {name: sum(r[3][name] for r in results) for name in results[0][3]}, ticked,
        float(np.average([r[4] for r in results], weights=sizes)), seconds, mode)


def simulate_file(network: Network, path: str | PathLike[str], *, mode: Literal["event", "clock"] = "event",
                  order: str = "raise", chunk: int = 2**20, progress: bool | None = None) -> Simulation:
    """Run the network on one recording, `chunk` events at a time, so that memory does not grow with the file.

    The same as `simulate` on the whole file, but for `seconds`, which hold the reading, too. order: as in `datasets.stream`.
    Errors: ValueError where the file's sensor is not the network's input; those of `datasets.stream` and `engine.stream`.
    """
    from snnsim import datasets

    polarities, height, width = _seen(network)
    prepared = engine.prepare(network)
    engine.run(prepared, np.zeros((1, *network.input.shape)), mode=mode)  # compiles what is not compiled yet
    said = datasets.info(path).sensor
    if said is not None and (said.height, said.width) != (height, width):
        raise ValueError(f"{path} is of a sensor of {said.width} x {said.height} pixels, but the network's input has the shape "
                         f"{network.input.shape}")
    events, steps, updates = 0, 0, 0.0
    counts = {p.name: 0 for p in network.populations if p.rule is not None and p.rule.fires}
    synaptic: dict[str, int] = {}
    began = time.perf_counter()
    with (datasets.stream(path, chunk, order=order, sensor=datasets.Sensor(height, width, polarities)) as pieces,
          bar(None, f"simulating {path}: chunks of {chunk:,} events", progress) as line):

        def read() -> Iterator[Any]:
            nonlocal events
            for piece in pieces:
                events += len(piece)
                line.advance()
                yield piece

        for result in engine.stream(prepared, read(), mode=mode):
            length = next(iter(result.spikes.values())).shape[0]
            steps, updates = steps + length, updates + length * result.updates
            counts = {name: n + len(result.spikes[name]) for name, n in counts.items()}
            synaptic = {name: synaptic.get(name, 0) + n for name, n in result.synaptic_events.items()}
    return Simulation(np.atleast_1d(result.prediction), np.array([-1]), (str(path),), np.array([events]),
                      {name: np.array([n]) for name, n in counts.items()}, synaptic, result.ticked, updates / steps,
                      time.perf_counter() - began, mode)
