"""One step of training, forward, backward and Adam: a net of ours beside the same net of each peer's.

Each peer computes its own equation, and ours computes it after it, so that spikes, loss and gradients can be compared:

    spikingjelly   h = decay v + x;  s = [h >= theta];  v = h - s theta                 snnsim.neurons.LIF
    snntorch       h = v + x;  s = [h >= theta];  v = decay h - s theta, s a constant   the rule LATE, detach_reset=True
    spyx           the same, s not a constant; each layer's spikes come one step late   the rule LATE
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import snnsim
import snnsim.nn as nn
from benchmarks import peer_work as work
from benchmarks.common import Against, AsJson, Peer, Threads, asked, interleave, interpreter, refuse, report, seconds, spread
from snnsim.datasets import EventBatch
from snnsim.neurons import LIF
from snnsim.rule import Neuron, Rule

ROUNDS = 9
PEERS = {"ff": ("spikingjelly", "spyx", "snntorch"), "rec": ("spikingjelly", "spikingjelly-linear", "spyx", "snntorch"),
         "conv": ("spikingjelly", "spyx", "snntorch")}
VENVS = {"spikingjelly": "torch", "snntorch": "torch", "spyx": "jax"}
SPIKES, LOSS, GRADIENT = 1e-4, 1e-4, 1e-3  # how far two tools may be apart, relative; see `agree`


def charge(v: float, x: float, decay: float, theta: float) -> float:
    return v + x


def margin(v: float, decay: float, theta: float) -> float:
    return v - theta


def reset(v: float, s: float, decay: float, theta: float) -> float:
    return decay * v - s * theta


LATE = Rule("lif_late", charge, margin, reset, unit=("decay",), source="snnTorch's Leaky, Spyx's LIF",
            equation="h = v + x;  s = [h >= theta];  v = decay h - s theta")


@dataclass(frozen=True)
class Equation:
    """What a peer's neuron computes. latency: steps by which the spikes of each of its layers come late."""

    name: str
    neuron: Neuron
    detach_reset: bool = False
    latency: int = 0


late = LATE(decay=work.DECAY, theta=work.THETA)
PLAIN = Equation("soft reset", LIF(tau=1 / (1 - work.DECAY), theta=work.THETA, decay="euler"))
EQUATIONS = {"spikingjelly": PLAIN, "snntorch": Equation("late soft reset, detached", late, True),
             "spyx": Equation("late soft reset", late, latency=1)}


class Ours:
    """The net in snnsim, on events or on the tensor that they stand for. Sums over windows stand for means: the weights
    behind them are a quarter, and so is their rate of learning."""

    def __init__(self, net: str, task: work.Work, equation: Equation = PLAIN, *, dense: bool = False) -> None:
        self.net, self.equation = net, equation
        self.x: Any = torch.from_numpy(task.x) if dense else events(task.x)
        self.labels = torch.from_numpy(task.labels)
        self.maps, layers = self._layers(task)
        self.module = nn.Sequential(*layers)
        self.neurons = [m for m in layers if isinstance(m, nn.Neuron)]
        self.late = equation.latency * len(self.neurons)
        self.scales = [0.25 if net == "conv" and i else 1.0 for i in range(len(self.maps))]
        groups: list[dict[str, Any]] = [{"params": [m.bias for m in self.maps]}]
        with torch.no_grad():
            for m, scale, weight in zip(self.maps, self.scales, task.weights, strict=True):
                m.weight.copy_(torch.from_numpy(weight) * scale)
                m.bias.zero_()
                groups.append({"params": [m.weight], "lr": work.RATE * scale})
            if task.recurrent is not None:
                self.neurons[0].weight.copy_(torch.from_numpy(task.recurrent))
                groups.append({"params": [self.neurons[0].weight]})
        self.optimizer = torch.optim.Adam(groups, lr=work.RATE, fused=True)

    def _layers(self, task: work.Work) -> tuple[list[Any], list[torch.nn.Module]]:
        """The linear maps, and all layers in order."""
        options: dict[str, Any] = {"surrogate": "atan", "detach_reset": self.equation.detach_reset, "dt": 1.0}
        neuron = partial(nn.Neuron, self.equation.neuron, **options)
        if self.net == "conv":
            maps: list[Any] = [nn.Conv2d(2, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1), nn.Linear(2048, 10)]
            return maps, [maps[0], neuron(), nn.SumPool2d(2), maps[1], neuron(), nn.SumPool2d(2), nn.Flatten(), maps[2],
                          neuron()]
        maps = [nn.Linear(w.shape[1], w.shape[0]) for w in task.weights]
        nodes = [neuron() for _ in maps]
        if self.net == "rec":
            nodes[0] = nn.Recurrent(self.equation.neuron, len(task.weights[0]), **options)
        return maps, [layer for pair in zip(maps, nodes, strict=True) for layer in pair]

    def loss(self) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        out, _ = self.module(self.x)
        counts = out[: len(out) - self.late].sum(0)  # what a layer that is late does not deliver in time is not counted
        loss = torch.nn.functional.cross_entropy(counts, self.labels)
        loss.backward()
        return loss.detach()

    def step(self) -> None:
        self.loss()
        self.optimizer.step()

    def first(self) -> dict[str, Any]:
        """Loss, spikes of each layer and norms of the gradients with the weights as drawn, as peers count them."""
        counts, h = [], self.x
        with torch.no_grad():
            for layer in self.module:
                h = layer(h)
                if layer in self.neurons:
                    h = h[0]
                    counts.append(float(h[: len(h) - self.equation.latency * (len(counts) + 1)].double().sum()))
        loss = float(self.loss())
        # a layer that is late takes its bias in for the steps, too, in which nothing has reached it yet
        biased = self.maps[:1] if self.equation.latency else self.maps
        gradients = [*(s * m.weight.grad for m, s in zip(self.maps, self.scales, strict=True)), *(m.bias.grad for m in biased)]
        if self.net == "rec":
            gradients.append(self.neurons[0].weight.grad)
        return {"loss": loss, "counts": counts, "gradients": [float(g.double().norm()) for g in gradients]}


def events(x: np.ndarray) -> EventBatch:
    """The batch as a loader gives it."""
    return EventBatch.from_dense(x if x.ndim == 5 else x.reshape(*x.shape[:2], 1, 1, -1))


def train_ff(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """A training step of 700-256-256-20, 100 steps, batch 256, 2 % input."""
    command("ff", threads, against, as_json)


def train_rec(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """A training step of 700-256-20, the 256 recurrent, 100 steps, batch 256, 2 % input."""
    command("rec", threads, against, as_json)


def train_conv(threads: Threads = 1, against: Against = None, as_json: AsJson = False) -> None:
    """A training step of two convolutions with pooling and a linear layer on 2x34x34, 16 steps, batch 32, 5 % input."""
    command("conv", threads, against, as_json)


def command(net: str, threads: int, against: Sequence[str] | None, as_json: bool) -> None:
    rows = measure(net, chosen(PEERS[net], against), threads)
    report(f"train-{net}", rows, {r["engine"]: r["ratio"] for r in rows if not r["engine"].startswith("snnsim as")
                                  and r["engine"] != "snnsim"}, as_json)


def installed(peer: str, wanted: Sequence[str] = ()) -> Path | str:
    """The interpreter that has the peer; "" where none does, which is refused when it was wanted."""
    package = peer.partition("-")[0]
    found = interpreter(package, VENVS[package]) or ""
    if not found and peer in wanted:
        refuse(f"{peer} is not installed: `make peers-{VENVS[package]}` installs it")
    return found


def chosen(peers: Sequence[str], against: Sequence[str] | None) -> list[str]:
    """The peers to run beside: those asked for, or else all that are installed."""
    wanted = asked(against, peers)
    return [name for name in wanted or peers if installed(name, wanted)]


def beside(peer: str, mode: str, net: str, steps: int, batch: int, threads: int) -> Peer:
    """The peer's process for this net."""
    script = ["peer_spyx.py"] if peer == "spyx" else ["peer_torch.py", peer]
    return Peer(installed(peer, [peer]), *script, mode, net, *map(str, (steps, batch, threads)), threads=threads)


def measure(net: str, peers: Sequence[str], threads: int, *, steps: int = 0, batch: int = 0,
            rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """A row for snnsim on events, on the dense tensor, and for each peer one of its own and one of ours with its equation."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    task = work.draw(net, steps, batch)
    ours = {"snnsim": Ours(net, task), "snnsim dense": Ours(net, task, dense=True)}
    same, others = {"snnsim dense": "snnsim", "snnsim": "snnsim"}, {}
    rows: dict[str, dict[str, Any]] = {}
    try:
        first = {"snnsim": ours["snnsim"].first()}
        agree(net, "snnsim dense", first["snnsim"], ours["snnsim dense"].first())
        for peer in peers:
            equation = EQUATIONS[peer.partition("-")[0]]
            same[peer] = "snnsim" if equation is PLAIN else f"snnsim as {peer}"
            if same[peer] not in ours:
                ours[same[peer]] = Ours(net, task, equation)
                first[same[peer]] = ours[same[peer]].first()
                same[same[peer]] = same[peer]
            others[peer] = beside(peer, "time", net, *task.x.shape[:2], threads)
            first[peer] = others[peer].about
            rows[peer] = agree(net, peer, first[same[peer]], first[peer])
        contestants: dict[str, Callable[[], float]] = {k: partial(seconds, o.step) for k, o in ours.items()}
        contestants |= {k: lambda p=p: p.run()["seconds"] for k, p in others.items()}
        for run in contestants.values():
            run()
        times = interleave(contestants, rounds, {})
    finally:
        torch.set_num_threads(before)
        for p in others.values():
            p.close()
    median, least = ({k: f(t) for k, t in times.items()} for f in (statistics.median, min))
    return [{"net": net, "engine": k, "version": first[k]["version"] if k in others else snnsim.__version__,
             "equation": (ours[same[k]].equation.name), "input": "dense" if k in others or k == "snnsim dense" else "events",
             "threads": threads, **spread(t), "ratio": round(median[same[k]] / median[k], 4),
             "ratio_of_minima": round(least[same[k]] / least[k], 4), **rows.get(k, {})}
            for k, t in times.items()]


def agree(net: str, peer: str, ours: dict[str, Any], its: dict[str, Any]) -> dict[str, float]:
    """How far apart they are, the largest relative difference of each kind; or no number.

    Sums are rounded in another order, so a membrane that misses the threshold by a bit fires in one and not in the other:
    about one spike in a million of those at a first layer, and then what follows from it. A gradient's norm follows as many
    spikes. What a wrong reset, latency or surrogate does is at least ten times larger than what is allowed.
    """
    found = {}
    for what, limit, slack in (("counts", SPIKES, 2.0), ("loss", LOSS, 0.0), ("gradients", GRADIENT, 0.0)):
        mine, theirs = np.atleast_1d(ours[what]), np.atleast_1d(its[what])
        if mine.shape != theirs.shape or not (np.abs(mine - theirs) <= limit * np.abs(mine) + slack).all():
            refuse(f"train-{net}: snnsim and {peer} disagree on {what}: {mine.tolist()} and {theirs.tolist()}")
        found[f"{what}_apart"] = float(f"{np.max(np.abs(mine - theirs) / np.maximum(np.abs(mine), 1e-30)):.1e}")
    return found
