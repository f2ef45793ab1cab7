"""Where the time of a simulation goes: neurons, their Poisson input, waiting for other threads, delivery of spikes."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from benchmarks import networks
from benchmarks.common import AsJson, Threads, refuse, report, seconds
from benchmarks.simulators import Milliseconds, Precision, Scale
from snnsim.engine import Simulation
from snnsim.engine.advance import BLOCK, LANE, Kept, add_runs, deliver, drive, emit, leaving, meet, update

SETTLE = 100.0  # ms
ROUNDS = 5
RUN = 50  # steps
CACHED = 64  # runs of synapses
TOLERANCE = 1.25  # of a step with clocks in it, over one without
PHASES = ("Poisson input", "neurons", "waiting", "delivery")


@intrinsic
def cycles(_: Any) -> Any:
    """The processor's time stamp: reading it takes some ten nanoseconds, and nothing of the system."""

    def codegen(_: Any, builder: Any, __: Any, ___: Any) -> Any:
        name = "llvm.readcyclecounter"
        function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(ir.IntType(64), []), name)
        return builder.call(function, [])

    return types.int64(), codegen


@njit
def noise(plan, work, me, t):
    """What `update` does for its drives, once more and into a buffer that nothing reads."""
    for part in range(plan.thread_part[me], plan.thread_part[me + 1]):
        for g in range(plan.part_segment[part], plan.part_segment[part + 1]):
            s = plan.segments[g]
            for b in range(0, s.n, BLOCK):
                x = work.buffer[me, 0, : min(BLOCK, s.n - b)]
                for d in range(s.drive, s.drive + s.drives):
                    drive(plan, work, me, plan.drives[d], x, b, t)


@njit(nogil=True)
def timed(plan, work, plastic, kept, me, threads, begin, steps, at, events):
    """The loop of advance.py with a clock between its parts. at [thread, step, 5]; events [thread, step]."""
    rounds = 0
    for now in range(steps):
        t = begin + now
        slot = t % work.fired.shape[0]
        at[me, now, 0] = cycles()
        noise(plan, work, me, t)
        at[me, now, 1] = cycles()
        work.found[slot, me * LANE] = update(plan, work, plastic, kept, me, t, now, work.fired[slot, me])
        work.sent[slot, me * LANE] = emit(plan, work, me, t, work.emitted[slot, me])
        events[me, now] = leaving(work.fired[slot, me, : work.found[slot, me * LANE]], plan.segment)
        at[me, now, 2] = cycles()
        if (t + 1) % plan.together == 0:
            rounds += 1
            meet(work, me, threads, rounds, t, plan.yield_)
        at[me, now, 3] = cycles()
        deliver(plan, work, me, t)
        at[me, now, 4] = cycles()


@njit(nogil=True)
def again(plan, work, row, n, times):
    for _ in range(times):
        add_runs(plan, work, 0, row, n)


def scatter_limit(simulation: Simulation) -> float:
    """ns of an event where 64 of thread 0's runs of synapses are added again and again: all memory is in the cache then."""
    plan, work = simulation._plan, simulation._work
    first, last = plan.segment[:, :-1].astype(np.int64), plan.segment[:, 1:].astype(np.int64)
    key = int(np.argmax((last - first).sum(0)[: len(plan.delay) * plan.key_column: plan.key_column])) * plan.key_column
    senders = np.flatnonzero(last[:, key] > first[:, key])[:CACHED]
    work.begin[0, :CACHED], work.end[0, :CACHED] = plan.segment[senders, key], plan.segment[senders, key + 1]
    work.sender[0, :CACHED] = senders
    row = np.zeros(int(plan.width[0]), work.ring.dtype)
    again(plan, work, row, CACHED, 1)
    events = 2000 * int((last[senders, key] - first[senders, key]).sum())
    return min(1e9 * seconds(lambda: again(plan, work, row, CACHED, 2000)) / events for _ in range(ROUNDS))


def measure(simulation: Simulation, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """ns of each phase [thread, step, phase] of the next steps, and the synaptic events of each thread and step."""
    threads = simulation.threads
    kept = Kept(np.empty((threads, 1), np.int32), np.empty((threads, 1), np.int32), np.zeros(threads * LANE, np.int64),
                np.zeros((threads, steps, len(simulation.names)), np.int32), np.empty((steps, 0), np.float32),
                np.zeros(threads * LANE, np.int64))
    at, events = np.zeros((threads, steps, 5), np.int64), np.zeros((threads, steps), np.int64)
    simulation._work.sync[:] = 0
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda me: timed(simulation._plan, simulation._work, simulation._plastic, kept, me, threads,
                                       simulation.step, steps, at, events), range(threads)))
    wall = time.perf_counter() - began
    simulation.step += steps
    unit = 1e9 * wall / (at.max() - at[:, 0, 0].min())
    phase = np.diff(at, axis=2) * unit
    phase[:, :, 1] -= phase[:, :, 0]  # `update` draws its Poisson input too
    return phase, events


def phases(threads: Threads = 1, scale: Scale = 1.0, precision: Precision = "single", ms: Milliseconds = 200.0,
           as_json: AsJson = False) -> None:
    """The microcircuit, step by step: what its parts take, of one core, for a neuron and for a synaptic event."""
    simulation = Simulation(networks.microcircuit(scale), threads=threads, precision=precision, record=[])
    simulation.run(SETTLE)
    steps, neurons = round(ms / networks.DT), sum(p.size for p in simulation.network.populations if p.rule)
    measure(simulation, 10)  # compiles
    whole, of_phases, of_events = [], [], []
    for _ in range(ROUNDS):
        whole.append(1e9 * simulation.run(ms).wall_s / steps)
        phase, events = measure(simulation, steps)
        of_phases.append(phase)
        of_events.append(events)
    phase, events = runs(np.concatenate(of_phases, 1)), runs(np.concatenate(of_events, 1)[:, :, None])
    a_step = dict(zip(PHASES, np.median(phase.mean(0), 0).tolist(), strict=True))
    an_event = float(np.median(phase[:, :, 3].sum(0) / events.sum((0, 2))))
    step, sum_ = statistics.median(whole), sum(a_step.values())
    if sum_ > TOLERANCE * step:
        refuse(f"the parts of a step take {sum_:.0f} ns, but a step takes {step:.0f} ns: the machine is busy")
    about = {"threads": threads, "precision": precision}
    rows = [{"phase": name, **about, "us_a_step": round(1e-3 * ns, 2), "share": round(ns / sum_, 3),
             "ns_a_neuron": round(ns * threads / neurons, 3)} for name, ns in a_step.items()]
    rows[-1]["ns_an_event"] = round(an_event, 3)
    rows.append({"phase": "delivery, nothing but the cache", **about, "ns_an_event": round(scatter_limit(simulation), 3)})
    rows.append({"phase": "a step of Simulation.run", **about, "us_a_step": round(1e-3 * step, 2), "neurons": neurons,
                 "events_a_step": round(float(events.sum(0).mean())), "rtf": round(1e-6 * step / networks.DT, 3)})
    report("phases", rows, {}, as_json)


def runs(of_steps: np.ndarray) -> np.ndarray:
    """Means over runs of steps, [thread, step, k] to [thread, run, k]: their median leaves interruptions out."""
    threads, steps, k = of_steps.shape
    whole = steps // RUN * RUN
    return of_steps[:, :whole].reshape(threads, -1, RUN, k).mean(2)
