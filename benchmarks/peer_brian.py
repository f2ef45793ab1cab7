"""Run by a peer's interpreter: peer_brian.py WORKLOAD --scale S --ms T --threads N --seed K. Imports nothing of snnsim.

C++ standalone: each run starts the compiled program anew, which builds the network, simulates SETTLE ms and then T ms. The
program times the latter itself: Brian2's own clock counts the CPU time of one thread and the wall time of several.
"""

import itertools
import os
import tempfile
import time
from pathlib import Path

import brian2 as b2
import numpy as np
import peer_shared as shared
from brian2 import Hz, ms, mV, nS, pA

STEP = shared.DT * ms  # Brian2 counts the step of a spike as refractory, so each period is one step longer than in the models
# A program has the seed of its compilation: without another, each run would see the same external spikes.
RESEED = """
for (size_t k = 0; k < _random_generators.size(); k++) _random_generators[k].seed(std::stoul(std::getenv("RUN_SEED")) + k);
"""
START = """
timespec wall_a, wall_b, cpu_a, cpu_b;
clock_gettime(CLOCK_MONOTONIC, &wall_a);
clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_a);
"""
STOP = """
clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_b);
clock_gettime(CLOCK_MONOTONIC, &wall_b);
std::ifstream status("/proc/self/status");
std::ofstream measured(results_dir + "measured.txt");
measured.precision(9);
measured << std::fixed << (wall_b.tv_sec - wall_a.tv_sec) + 1e-9 * (wall_b.tv_nsec - wall_a.tv_nsec) << " "
         << (cpu_b.tv_sec - cpu_a.tv_sec) + 1e-9 * (cpu_b.tv_nsec - cpu_a.tv_nsec);
for (std::string word; status >> word;)
    if (word == "VmHWM:" && status >> word) measured << " " << word;
"""


def brunel(scale, rng):
    neurons = shared.sizes("brunel", scale)
    group = b2.NeuronGroup(sum(neurons), "dv/dt = -v / (20*ms) : volt (unless refractory)", threshold="v >= 20*mV",
                           reset="v = 0*mV", refractory=2 * ms + STEP, method="exact")
    group.v = rng.uniform(0.0, 20.0, len(group)) * mV
    made = [b2.PoissonInput(group, "v", 1000, 20 * Hz, weight=0.1 * mV)]
    for low, high, indegree, jump in zip((0, neurons[0]), (neurons[0], len(group)), shared.INDEGREE["brunel"],
                                         ("v += 0.1*mV", "v -= 0.5*mV"), strict=True):
        source = rng.integers(low, high, len(group) * indegree, dtype=np.int32)
        target = np.repeat(np.arange(len(group), dtype=np.int32), indegree)
        order = np.argsort(source, kind="stable")
        made.append(b2.Synapses(group, group, on_pre=jump))
        made[-1].connect(i=source[order], j=target[order])
        made[-1].delay = 1.5 * ms
    return neurons, group, made


def cuba(scale, rng):
    neurons = shared.sizes("cuba", scale)
    group = b2.NeuronGroup(sum(neurons), """dv/dt = (-49*mV - v) / (20*ms) + (ie + ii) / (200*pF) : volt (unless refractory)
                                            die/dt = -ie / (5*ms) : amp
                                            dii/dt = -ii / (10*ms) : amp""",
                           threshold="v >= -50*mV", reset="v = -60*mV", refractory=5 * ms + STEP, method="exact")
    group.v = rng.uniform(-60.0, -50.0, len(group)) * mV
    return neurons, group, pairwise(group, neurons, "ie += 16.2*pA", "ii -= 90*pA")


def coba(scale, rng):
    neurons = shared.sizes("coba", scale)
    group = b2.NeuronGroup(sum(neurons), """dv/dt = (10*nS*(-60*mV - v) + ge*(0*mV - v) + gi*(-80*mV - v)) / (200*pF)
                                                    : volt (unless refractory)
                                            dge/dt = -ge / (5*ms) : siemens
                                            dgi/dt = -gi / (10*ms) : siemens""",
                           threshold="v >= -50*mV", reset="v = -60*mV", refractory=5 * ms + STEP, method="exponential_euler")
    group.v = rng.normal(-65.0, 5.0, len(group)) * mV
    group.ge = shared.truncated(rng, 25.0, 10.0, 0.0, np.inf, len(group)) * nS
    group.gi = shared.truncated(rng, 100.0, 80.0, 0.0, np.inf, len(group)) * nS
    return neurons, group, pairwise(group, neurons, "ge += 6*nS", "gi += 67*nS")


def pairwise(group, neurons, *jumps):
    made = []
    for low, high, jump in zip((0, neurons[0]), (neurons[0], len(group)), jumps, strict=True):
        made.append(b2.Synapses(group[low:high], group, on_pre=jump))
        made[-1].connect(p=80.0 / len(group))
        made[-1].delay = 0.1 * ms
    return made


def microcircuit(scale, rng):
    c = shared.column(scale)
    first = np.cumsum([0, *c.neurons])
    group = b2.NeuronGroup(first[-1], """dv/dt = (-65*mV - v) / (10*ms) + (psc + drive) / (250*pF) : volt (unless refractory)
                                         dpsc/dt = -psc / (0.5*ms) : amp
                                         drive : amp (constant)""",
                           threshold="v >= -50*mV", reset="v = -65*mV", refractory=2 * ms + STEP, method="exact")
    group.v = rng.normal(*np.repeat(shared.COLUMN_MEMBRANE, c.neurons, axis=1)) * mV
    group.drive = np.repeat(c.drive, c.neurons) * pA
    made = [b2.PoissonInput(group[first[p] : first[p + 1]], "psc", round(c.external[p]), shared.BACKGROUND * Hz, c.psc * pA)
            for p in range(8)]
    drawn = []
    for t, s in np.ndindex(8, 8):
        n, w, (delay, spread) = c.totals[t, s], c.weights[t, s], shared.DELAYS[s % 2]
        drawn.append((rng.integers(first[s], first[s + 1], n, dtype=np.int32),
                      rng.integers(first[t], first[t + 1], n, dtype=np.int32),
                      np.sign(w) * shared.truncated(rng, abs(w), 0.1 * abs(w), 0.0, np.inf, n),
                      shared.truncated(rng, delay, spread, shared.SHORTEST, shared.LONGEST, n)))
    source, target, weight, delay = map(np.concatenate, zip(*drawn, strict=True))
    order = np.argsort(source, kind="stable")
    synapses = b2.Synapses(group, group, "w : amp", on_pre="psc_post += w")
    synapses.connect(i=source[order], j=target[order])
    synapses.w, synapses.delay = weight[order] * pA, delay[order] * ms
    return c.neurons, group, [*made, synapses]


def main():
    asked = shared.arguments(("brunel", "cuba", "coba", "microcircuit"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        b2.prefs.logging.console_log_level = "ERROR"
        b2.prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O3", "-ffast-math", "-fno-finite-math-only", "-march=native",
                                                       "-std=c++17"]
        if asked.threads > 1:
            b2.prefs.devices.cpp_standalone.openmp_threads = asked.threads
        b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        b2.seed(asked.seed)
        b2.defaultclock.dt = STEP
        build = {"brunel": brunel, "cuba": cuba, "coba": coba, "microcircuit": microcircuit}[asked.workload]
        neurons, group, made = build(asked.scale, np.random.default_rng(asked.seed))
        monitor = b2.SpikeMonitor(group)
        network = b2.Network(group, monitor, *made)
        b2.device.insert_code("main", RESEED)
        network.run(shared.SETTLE * ms)
        b2.device.insert_code("before_network_run", START)
        b2.device.insert_code("after_network_run", STOP)
        network.run(asked.ms * ms)
        b2.device.build(directory=folder, compile=True, run=False)
        compiled_s = time.perf_counter() - began

        seeds = itertools.count(1000 * asked.seed, 100)

        def run():
            os.environ["RUN_SEED"] = str(next(seeds))
            b2.device.run(with_output=False)
            wall, cpu, *memory = map(float, (Path(b2.device.results_dir) / "measured.txt").read_text().split())
            neuron, time_ms = np.asarray(monitor.i), np.asarray(monitor.t / ms)
            late = time_ms > shared.SETTLE - shared.DT / 2
            # a second of the settling costs what one of the run does
            built_s = compiled_s + b2.device.timers["run_binary"] - wall * (1 + shared.SETTLE / asked.ms)
            return {"wall_s": wall, "cpu_s": cpu, "build_s": built_s, "rss_mb": memory[0] / 1024 if memory else None,
                    "synapses": sum(len(m) for m in made if isinstance(m, b2.Synapses)),
                    **shared.statistics(neuron[late], time_ms[late], neurons, asked.ms)}

        shared.serve({"version": b2.__version__}, run, asked.once)


if __name__ == "__main__":
    main()
