"""Cost follows events, not steps and not neurons: nets without biases, whose neurons sleep until a spike comes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from benchmarks.common import AsJson, Threads, interleave, refuse, report, seconds, spread
from benchmarks.inference import DECAY
from snnsim import engine
from snnsim.maps import Dense, Sparse
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LIF

ACTIVITY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
ROUNDS = 15

Plot = Annotated[Path | None, typer.Option(help="Write the picture here, for example docs/scaling.png.")]


class Batch:
    """Events as CSR rows, one sample."""

    def __init__(self, steps: int, inputs: int, per_step: np.ndarray, rng: np.random.Generator) -> None:
        self.shape = (steps, 1, inputs)
        self.indptr = np.concatenate([[0], np.cumsum(per_step)])
        self.indices = rng.integers(0, inputs, self.indptr[-1]).astype(np.int32)
        self.values = np.ones(len(self.indices), np.float32)


def lif(name: str, n: int) -> Population:
    return Population(name, (n,), LIF().rule, {"decay": DECAY, "theta": np.float32(1.0)})


def dense_network(inputs: int = 700, hidden: int = 256) -> Network:
    rng = np.random.default_rng(0)
    a, b = ((rng.normal(0.05, 0.3, s) / np.sqrt(s[1] * 0.02)).astype(np.float32) for s in ((hidden, inputs), (20, hidden)))
    return Network((Population("input", (inputs,)), lif("hidden", hidden), lif("output", 20)),
                   (Projection("input", "hidden", (Dense(a),)), Projection("hidden", "output", (Dense(b),))), readout="count")


def sparse_network(n: int, synapses: int = 16) -> Network:
    """n inputs, each with 16 synapses into n neurons: a spike reaches as many in a large net as in a small one."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.0, 0.9, n * synapses).astype(np.float32)
    sparse = Sparse(np.arange(n + 1) * synapses, rng.integers(0, n, n * synapses), weight, (n, n))
    return Network((Population("input", (n,)), lif("output", n)), (Projection("input", "output", (sparse,)),), readout="count")


def cases() -> list[tuple[str, float, Network, Batch]]:
    rng = np.random.default_rng(1)
    found: list[tuple[str, float, Network, Batch]] = []
    net, steps = dense_network(), 1000
    for share in ACTIVITY:
        found.append(("activity", share, net, Batch(steps, 700, rng.binomial(700, share, steps), rng)))
    medium = sparse_network(4096)
    for steps in (1000, 3000, 10000, 30000, 100000):  # the same 10,000 events, ever further apart
        per_step = np.bincount(rng.integers(0, steps, 10_000), minlength=steps)
        found.append(("steps", steps, medium, Batch(steps, 4096, per_step, rng)))
    for n in (4096, 16384, 65536, 262144):
        found.append(("neurons", n, sparse_network(n), Batch(1000, n, np.full(1000, 4), rng)))
    return found


def scaling(threads: Threads = 1, as_json: AsJson = False, plot: Plot = None) -> None:
    """Time of one sample against the share of active inputs, the number of steps, and the number of neurons."""
    rows: list[dict[str, Any]] = []
    for axis, value, network, batch in cases():
        event, clock = (engine.run(network, batch, mode=m, threads=threads, exact=True) for m in ("event", "clock"))
        if any(not np.array_equal(event.spikes[n].dense(), clock.spikes[n].dense()) for n in event.spikes):
            refuse(f"event-driven and clock-driven spikes differ at {axis} {value}")
        timed = partial(_seconds, network, batch, threads)
        times = interleave({m: partial(timed, m) for m in ("event", "clock")}, ROUNDS, {})
        for mode, result in (("event", event), ("clock", clock)):
            rows.append({"axis": axis, "value": value, "mode": mode, **spread(times[mode]), "events": len(batch.indices),
                         "synaptic_events": sum(result.synaptic_events.values()), "updates": round(result.updates, 5),
                         "ticked": result.ticked})
    if plot is not None:
        draw(rows, plot)
    report("scaling", rows, {}, as_json)


def _seconds(network: Network, batch: Batch, threads: int, mode: Literal["event", "clock"]) -> float:
    return seconds(lambda: engine.run(network, batch, mode=mode, threads=threads))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    labels = {"activity": "share of inputs active in a step (700-256-20, 1,000 steps)",
              "steps": "steps (the same 10,000 events, 4,096 neurons)",
              "neurons": "neurons (4 events a step, 1,000 steps)"}
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for ax, (axis, label) in zip(axes, labels.items(), strict=True):
        for mode, colour in (("clock", "tab:gray"), ("event", "tab:blue")):
            chosen = [r for r in rows if r["axis"] == axis and r["mode"] == mode]
            x, y = zip(*[(r["value"], r["median_ms"]) for r in chosen], strict=True)
            ax.loglog(x, y, "o-", color=colour, label=f"{mode}-driven")
        ax.set_xlabel(label)
        ax.set_ylabel("ms a sample, one thread")
        ax.set_ylim(bottom=min(r["median_ms"] for r in rows if r["axis"] == axis) / 3)
        ax.grid(True, which="major", alpha=0.3)
        ax.legend(frameon=False)
    axes[0].set_title("cost follows events")
    axes[1].set_title("not steps")
    axes[2].set_title("and not neurons")
    figure.savefig(path, dpi=130)
