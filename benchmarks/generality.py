"""What generality costs: one network with constants, with values of each synapse, other precisions, records, an own rule."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.common import AsJson, Threads, interleave, refuse, report, spread
from benchmarks.simulators import Milliseconds, Scale
from snnsim import Network, Normal, Population, Synapses, Uniform
from snnsim.engine import Simulation
from snnsim.rule import Rule, where

ROUNDS = 9
SETTLE = 200.0  # ms
TOLERANCE = 0.05  # of a rate
PLAIN = "constant weights and delays"


def charge(ref: float, v: float, x: float, decay: float, theta: float, hold: float) -> tuple[float, float]:
    return where(ref > 0.0, ref - 1.0, 0.0), where(ref > 0.0, 0.0, decay * v + x)
def margin(ref: float, v: float, decay: float, theta: float, hold: float) -> float:
    return v - theta
def reset(ref: float, v: float, s: float, decay: float, theta: float, hold: float) -> tuple[float, float]:
    return ref + s * hold, v * (1.0 - s)


OWN = Rule("own", charge, margin, reset)


def changed(network: Network, **drawn: Any) -> Network:
    """The recurrent synapses with other weights or delays; drawn: from the constant to what comes in its place."""

    def change(s: Synapses) -> Synapses:
        if network.population(s.source).source is not None:
            return s
        return replace(s, **{name: draw(getattr(s, name)) for name, draw in drawn.items()})

    return replace(network, synapses=tuple(map(change, network.synapses)))


def own(network: Network) -> Network:
    """The same network with the six-line rule in place of PscDelta."""

    def change(p: Population) -> Population:
        if p.rule is None:
            return p
        values = {"decay": p.parameters["decay"], "theta": p.parameters["v_th"], "hold": p.parameters["ref_steps"]}
        return replace(p, rule=OWN, parameters=values)

    return replace(network, populations=tuple(map(change, network.populations)))


def normal(weight: float) -> Normal:
    return Normal(weight, 0.1 * abs(weight))


def around(delay: float) -> Uniform:
    return Uniform(delay - 0.5, delay + 0.5)


def variants(scale: float, threads: int) -> dict[str, Simulation]:
    plain = networks.brunel(round(12_500 * scale))
    build = partial(Simulation, threads=threads, record=[])
    weights = changed(plain, weight=normal)
    return {
        PLAIN: build(plain),
        "spikes recorded": Simulation(plain, threads=threads),
        "100 membranes recorded": build(plain, traces={"E": ("v", range(100))}),
        "a rule of one's own": build(own(plain)),
        "double precision": build(plain, precision="double"),
        "a weight of each synapse": build(weights),
        "a weight of each, packed": build(weights, precision="packed"),
        "a weight of each, double precision": build(weights, precision="double"),
        "a delay of each synapse": build(changed(plain, delay=around)),
        "a weight and a delay of each": build(changed(weights, delay=around)),
    }


EQUAL = ("spikes recorded", "100 membranes recorded", "a rule of one's own")  # spikes, to those of PLAIN


def generality(threads: Threads = 1, scale: Scale = 1.0, ms: Milliseconds = 200.0, as_json: AsJson = False) -> None:
    """Brunel's network with what every neuron or synapse can have of its own, beside the same with constants."""
    simulations = variants(scale, threads)
    for simulation in simulations.values():
        simulation.run(SETTLE)
    counts: dict[str, list[np.ndarray]] = {name: [] for name in simulations}
    events = dict.fromkeys(simulations, 0)

    def run(name: str) -> float:
        # of the threads, not the wall's: others may use the machine
        began = time.process_time()
        recording = simulations[name].run(ms, progress=False)
        taken = (time.process_time() - began) / threads
        counts[name].append(np.concatenate([recording.counts[p] for p in ("E", "I")]))
        events[name] += recording.synaptic_events
        return taken

    times = interleave({name: partial(run, name) for name in simulations}, ROUNDS, {})
    fired = {name: sum(int(c.sum()) for c in found) for name, found in counts.items()}
    for name in EQUAL:
        if not np.array_equal(counts[name], counts[PLAIN]):
            refuse(f"with {name}, the spikes are others than without")
    for name, n in fired.items():
        if abs(n - fired[PLAIN]) > TOLERANCE * fired[PLAIN]:
            refuse(f"with {name}, the neurons fire {n / fired[PLAIN]:.3f} times as often: more than {TOLERANCE:.0%} apart")
    median = {name: spread(t)["median_ms"] for name, t in times.items()}
    neurons = sum(p.size for p in simulations[PLAIN].network.populations if p.rule)
    rows = [{"network": name, "threads": threads, **spread(t), "ratio": round(median[name] / median[PLAIN], 3),
             "ns_an_event": round(1e6 * median[name] * threads * ROUNDS / events[name], 3),
             "bytes_a_synapse": simulations[name]._layout.synapse_bytes(),
             "rate_hz": round(fired[name] / neurons / (1e-3 * ms * ROUNDS), 2)} for name, t in times.items()]
    report("generality", rows, {f"{r['network']}, over {PLAIN}": r["ratio"] for r in rows[1:]}, as_json)
