"""The neuron alone, in training: a layer over all its steps, forward and forward + backward, with the arctangent surrogate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
import typer

import snnsim
import snnsim.nn as nn
from benchmarks import peer_work as work
from benchmarks.common import Against, AsJson, Peer, Threads, asked, interleave, refuse, report, seconds
from benchmarks.training import EQUATIONS, PLAIN, Equation, installed
from snnsim.neurons import AdaptiveLIF

SHAPES = ((100, 32, 128), (16, 128, 1024), (100, 128, 1024), (16, 256, 4096))  # steps, batch, neurons
ROUNDS = 15
SMALL = 1_000_000  # neuron-steps; the peers take turns like ours there
QUICK = 3  # runs a turn of those that take a millisecond or few
KINDS = {"forward": "forward", "both": "forward + backward"}
PEERS = {"lif": ("spikingjelly", "spyx", "snntorch", "memcpy"), "adaptive": ("lif", "memcpy")}
ADAPTIVE = Equation("adaptive threshold", AdaptiveLIF())

RuleName = Annotated[Literal["lif", "adaptive"], typer.Option("--rule", help="lif, beside the peers; or a rule of two states, "
                                                                            "an adaptive threshold, beside our lif.")]


class Ours:
    """The public path: a module, called and differentiated. Its buffers come from the pool."""

    def __init__(self, shape: tuple[int, int, int], equation: Equation = PLAIN) -> None:
        self.x = torch.from_numpy(work.current(*shape)).clone().requires_grad_()  # aligned, as a layer before gives it
        self.copy, self.g, self.latency = torch.empty(shape), torch.ones(shape), equation.latency
        self.neuron = nn.Neuron(equation.neuron, surrogate="atan", detach_reset=equation.detach_reset, dt=1.0)

    def forward(self) -> torch.Tensor:
        with torch.no_grad():
            return self.neuron(self.x)[0]

    def both(self) -> torch.Tensor:
        self.x.grad = None
        out, _ = self.neuron(self.x)
        out.backward(self.g)
        return out.detach()

    def memcpy(self) -> None:
        with torch.no_grad():
            self.copy.copy_(self.x)

    def first(self) -> dict[str, float]:
        """Spikes and the sum of the input's gradients, as a peer whose spikes come late counts them."""
        on_time = len(self.x) - self.latency
        self.g[on_time:] = 0.0
        spikes = float(self.both()[:on_time].double().sum())
        self.g.fill_(1.0)
        assert self.x.grad is not None
        return {"spikes": spikes, "gradient": float(self.x.grad.double().abs().sum())}


def neuron(threads: Threads = 1, against: Against = None, rule: RuleName = "lif", as_json: AsJson = False) -> None:
    """ns per neuron-step of a layer, forward and forward + backward, beside SpikingJelly, Spyx, snnTorch and memcpy."""
    result = run(threads, against, rule)
    report("neuron" if rule == "lif" else f"neuron-{rule}", result["rows"], result["ratios"], as_json)


def run(threads: int = 1, against: Sequence[str] | None = None, rule: str = "lif") -> dict[str, Any]:
    """rows, and the ratios of forward + backward, of forward to memcpy: geometric mean over the shapes, and the worst."""
    wanted = asked(against, PEERS[rule])
    chosen = [p for p in wanted or PEERS[rule] if p in ("memcpy", "lif") or installed(p, wanted)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [row for shape in SHAPES for row in _measure(shape, threads, chosen, rule)]
    finally:
        torch.set_num_threads(before)
    ratios = {}
    for name in chosen:
        of = [r["ratio"] for r in rows if r["engine"] == name and r["kind"] != "forward"]
        ratios[name] = round(math.exp(statistics.fmean(map(math.log, of))), 4)
        ratios[f"{name}_worst"] = max(of)
    return {"rows": rows, "ratios": ratios}


def _measure(shape: tuple[int, int, int], threads: int, chosen: list[str], rule: str) -> list[dict[str, Any]]:
    """Rows of ours, of each peer, and of ours with the equation of each peer that has its own."""
    layers = {"snnsim": Ours(shape, PLAIN if rule == "lif" else ADAPTIVE)}
    same = {"snnsim": "snnsim"}  # whose time each is compared with
    if "lif" in chosen:
        layers["lif"], same["lif"] = Ours(shape), "snnsim"
    contestants: dict[tuple[str, str], Callable[[], float]] = {}
    peers: list[Peer] = []
    versions = dict.fromkeys(("snnsim", "lif"), snnsim.__version__)
    try:
        for name in [p for p in chosen if p in EQUATIONS]:
            same[name] = "snnsim" if EQUATIONS[name] is PLAIN else f"snnsim as {name}"
            if same[name] not in layers:
                layers[same[name]] = Ours(shape, EQUATIONS[name])
                same[same[name]], versions[same[name]] = same[name], snnsim.__version__
            first = layers[same[name]].first()
            for kind in KINDS:
                peer = beside(name, kind, shape, threads)
                peers.append(peer)
                versions[name] = peer.about["version"]
                agree(name, shape, first, peer.about)
                contestants[name, kind] = lambda peer=peer: peer.run()["seconds"]
        ours = {(name, kind): partial(seconds, getattr(layer, kind)) for name, layer in layers.items() for kind in KINDS}
        if "memcpy" in chosen:
            ours["memcpy", "copy"] = partial(seconds, layers["snnsim"].memcpy)
        for f in ours.values():
            f()
        quick = [*ours, *(contestants if math.prod(shape) < SMALL else ())]
        times = interleave({**ours, **contestants}, ROUNDS, dict.fromkeys(quick, QUICK))
    finally:
        for peer in peers:
            peer.close()
    scale = 1e9 / math.prod(shape)
    median, least = ({k: scale * f(t) for k, t in times.items()} for f in (statistics.median, min))
    rows = []
    for (name, kind), t in times.items():
        ours_of = same.get(name, "snnsim"), "both" if kind == "both" else "forward"  # a copy moves what a forward pass moves
        rows.append({"T": shape[0], "B": shape[1], "N": shape[2], "engine": name, "kind": KINDS.get(kind, kind),
                     "threads": threads, "version": versions.get(name, ""), "median_ns": round(median[name, kind], 3),
                     "minimum_ns": round(least[name, kind], 3), "maximum_ns": round(scale * max(t), 3), "runs": len(t),
                     "ratio": round(median[ours_of] / median[name, kind], 4),
                     "ratio_of_minima": round(least[ours_of] / least[name, kind], 4)})
    return rows


def beside(name: str, kind: str, shape: tuple[int, int, int], threads: int) -> Peer:
    """The peer's process for this layer."""
    script = ["peer_spyx.py", "neuron"] if name == "spyx" else ["peer_neuron.py", name]
    return Peer(installed(name, [name]), *script, kind, *map(str, (*shape, threads)), threads=threads)


def agree(name: str, shape: tuple[int, int, int], ours: dict[str, float], its: dict[str, float]) -> None:
    """The same spikes and gradients up to rounding at the threshold, or no number."""
    if (abs(ours["spikes"] - its["spikes"]) > 1e-5 * ours["spikes"]
            or abs(ours["gradient"] - its["gradient"]) > 1e-4 * ours["gradient"]):
        refuse(f"at {shape}, snnsim and {name} disagree: {ours['spikes']} and {its['spikes']} spikes, sum of gradients "
               f"{ours['gradient']} and {its['gradient']}")
