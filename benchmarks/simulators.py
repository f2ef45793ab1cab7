"""What brunel, cuba, coba and microcircuit share: snnsim and each peer in a process of its own, interleaved.

Run as a program, it is snnsim's side: python -m benchmarks.simulators WORKLOAD --scale S --ms T --threads N --precision P
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import typer

import snnsim
from benchmarks import networks, peer_shared
from benchmarks.common import Module, Peer, asked, peer_python, refuse, report
from benchmarks.floor_simulators import WORKLOADS as WITH_FLOOR
from benchmarks.peer_shared import NEURONS, SETTLE, Stopwatch, arguments, peak_mb, serve
from snnsim import Network
from snnsim.engine import Simulation

Scale = Annotated[float, typer.Option(min=1e-3, help="Share of the neurons; of the microcircuit, of its inputs too.")]
Precision = Annotated[Literal["single", "packed", "double"], typer.Option(help="Of snnsim's states and weights.")]
Milliseconds = Annotated[float, typer.Option("--ms", min=1.0, help="How long a run simulates.")]

NETWORKS: dict[str, Callable[[float, int], Network]] = {
    "brunel": lambda scale, seed: networks.brunel(round(NEURONS["brunel"] * scale), seed=seed),
    "cuba": lambda scale, seed: networks.cuba(round(NEURONS["cuba"] * scale), seed=seed),
    "coba": lambda scale, seed: networks.coba(round(NEURONS["coba"] * scale), seed=seed),
    "microcircuit": lambda scale, seed: networks.microcircuit(scale, seed=seed),
}
PEERS = {"nest": ("nest", "peer_nest.py"), "brian2": ("brian", "peer_brian.py")}  # venv and script
LARGEST = 0.2  # scale of the microcircuit that NEST and Brian2 build and run in a minute or two
# Two draws of cuba or coba differ by some 7 % in their rates; this one of ours lies within 3 % of the median of 20 draws
# everywhere. The peers draw other networks from their seed.
SEED, PEERS_SEED = 8, 4
ROUNDS = {"brunel": 3, "cuba": 9, "coba": 5, "microcircuit": 3}
TOLERANCE = 0.1  # of a population's rate


def compare(workload: str, threads: int, scale: float, precision: str, ms: float, against: Sequence[str] | None,
            as_json: bool) -> None:
    """Rows of snnsim and its peers (medians over the rounds), and snnsim's wall time over each peer's."""
    chosen = _chosen(workload, scale, against)
    options = [workload, *map(str, ("--scale", scale, "--ms", ms, "--threads", threads, "--precision", precision))]
    tools: dict[str, Peer] = {}
    try:
        tools["snnsim"] = Module("benchmarks.simulators", *options, "--seed", str(SEED), threads=threads)
        for tool in chosen:
            seeded = [*options, "--seed", str(PEERS_SEED)]
            if tool == "floor":
                tools[tool] = Module("benchmarks.floor_simulators", *seeded, threads=threads)
            else:
                venv, script = PEERS[tool]
                tools[tool] = Peer(str(peer_python(venv)), script, *seeded, threads=threads)
        answers: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
        for _ in range(ROUNDS[workload]):
            for tool, process in tools.items():
                answers[tool].append(process.run())
    finally:
        for process in tools.values():
            process.close()
    sent = events_per_hz(NETWORKS[workload](scale, SEED))
    rows = [{"tool": tool, "version": process.about["version"], "threads": process.about.get("threads", threads),
             **_row(answers[tool], ms, list(sent.values()))} for tool, process in tools.items()]
    for row in rows[1:]:
        _agree(list(sent), rows[0], row)
    report(workload, rows, {row["tool"]: round(rows[0]["wall_s"] / row["wall_s"], 4) for row in rows[1:]}, as_json)


def _chosen(workload: str, scale: float, against: Sequence[str] | None) -> list[str]:
    """The peers to run beside snnsim: those asked for, or else all that are installed and can do it."""
    reasons = {}
    for name, (venv, _) in PEERS.items():
        if peer_python(venv) is None:
            reasons[name] = f"{name} is not installed: `make peers-{venv}` installs it"
        elif workload == "microcircuit" and scale > LARGEST:
            reasons[name] = f"{name} is run on the microcircuit up to --scale {LARGEST}, got {scale}"
    if workload not in WITH_FLOOR:
        reasons["floor"] = f"there is no bare loop for {workload}, only for {', '.join(WITH_FLOOR)}"
    every = (*PEERS, "floor")
    wanted = asked(against, every)
    for name in wanted:
        if name in reasons:
            refuse(reasons[name])
    return [name for name in every if name in (wanted or every) and name not in reasons]


def _row(answers: Sequence[dict[str, Any]], ms: float, per_hz: Sequence[float]) -> dict[str, Any]:
    """per_hz: synaptic events a second for each Hz of a population's rate."""
    walls = [a["wall_s"] for a in answers]
    wall, rates = statistics.median(walls), np.mean([a["rates_hz"] for a in answers], axis=0)
    variations = [a["cv"] for a in answers if a["cv"] is not None]
    return {"wall_s": round(wall, 4), "minimum_s": round(min(walls), 4), "maximum_s": round(max(walls), 4), "runs": len(walls),
            "cpu_s": round(statistics.median(a["cpu_s"] for a in answers), 4), "rtf": round(wall / (1e-3 * ms), 4),
            "build_s": round(answers[0]["build_s"], 3), "rss_mb": round(max(a["rss_mb"] or 0 for a in answers)),
            "synapses": answers[0]["synapses"], "spikes": round(statistics.fmean(a["spikes"] for a in answers)),
            "rates_hz": [round(float(r), 2) for r in rates],
            "cv": round(statistics.fmean(variations), 3) if variations else None,
            "synaptic_events_per_s": float(f"{float(rates @ np.array(per_hz)) * 1e-3 * ms / wall:.3g}")}


def events_per_hz(network: Network) -> dict[str, float]:
    """For each population with a rule, what leaves it by synapses when each of its neurons fires once."""
    sent = {p.name: 0.0 for p in network.populations if p.rule is not None}
    for s in network.synapses:
        if s.source in sent:
            source, target = network.population(s.source), network.population(s.target)
            sent[s.source] += s.connect.expected(source.size, target.size, s.source == s.target)
    return sent


def _agree(names: Sequence[str], ours: dict[str, Any], peer: dict[str, Any]) -> None:
    for name, mine, its in zip(names, ours["rates_hz"], peer["rates_hz"], strict=True):
        if not mine > 0.0 or abs(mine - its) > TOLERANCE * its:
            refuse(f"{name} fires at {mine:g} Hz in snnsim and at {its:g} Hz in {peer['tool']}, more than {TOLERANCE:.0%} "
                   "apart; where the run was short, give a larger --ms or --scale")


def main() -> None:
    asked = arguments(tuple(NETWORKS))
    network = NETWORKS[asked.workload](asked.scale, asked.seed)
    simulation = Simulation(network, threads=asked.threads, precision=asked.precision)
    names = list(events_per_hz(network))
    sizes = [network.population(name).size for name in names]
    simulation.run(SETTLE)

    def run() -> dict[str, Any]:
        with Stopwatch() as watch:
            recording = simulation.run(asked.ms)
        first = np.cumsum([0, *sizes])
        neuron = np.concatenate([recording.spikes[name].neuron + at for name, at in zip(names, first, strict=False)])
        return {"wall_s": watch.wall, "cpu_s": watch.cpu, "build_s": simulation.build_s, "rss_mb": peak_mb(),
                "synapses": simulation.synapses,
                **peer_shared.statistics(neuron, np.concatenate([recording.times(name) for name in names]), sizes, asked.ms)}

    serve({"version": snnsim.__version__}, run, asked.once)


if __name__ == "__main__":
    main()
