"""Run by a peer's interpreter: peer_nest.py WORKLOAD --scale S --ms T --threads N --seed K. Imports nothing of snnsim."""

import os
import time

import numpy as np
import peer_shared as shared

os.environ["PYNEST_QUIET"] = "1"  # stdout is for our answers
os.environ.pop("OMP_NUM_THREADS", None)  # NEST says there that it ignores it
import nest

VOGELS_ABBOTT = {"C_m": 200.0, "V_th": -50.0, "V_reset": -60.0, "t_ref": 5.0, "tau_syn_ex": 5.0, "tau_syn_in": 10.0}


def brunel(scale, rng):
    neurons = shared.sizes("brunel", scale)
    pop = nest.Create("iaf_psc_delta", sum(neurons), {"C_m": 250.0, "tau_m": 20.0, "E_L": 0.0, "V_th": 20.0, "V_reset": 0.0,
                                                      "t_ref": 2.0})
    pop.V_m = rng.uniform(0.0, 20.0, len(pop))
    same_weights(exc=(0.1, 1.5), inh=(-0.5, 1.5))
    noise = nest.Create("poisson_generator", params={"rate": 1000.0 * 20.0})  # C_E times 2 theta / (J C_E tau)
    nest.Connect(noise, pop, syn_spec={"synapse_model": "exc"})
    for part, model, indegree in zip(parts(pop, neurons), ("exc", "inh"), shared.INDEGREE["brunel"], strict=True):
        nest.Connect(part, pop, {"rule": "fixed_indegree", "indegree": indegree}, {"synapse_model": model})
    return neurons, pop, [noise]


def cuba(scale, rng):
    neurons = shared.sizes("cuba", scale)
    pop = nest.Create("iaf_psc_exp", sum(neurons), {**VOGELS_ABBOTT, "tau_m": 20.0, "E_L": -49.0})
    pop.V_m = rng.uniform(-60.0, -50.0, len(pop))
    same_weights(exc=(16.2, 0.1), inh=(-90.0, 0.1))
    pairwise(pop, neurons)
    return neurons, pop, []


def coba(scale, rng):
    neurons = shared.sizes("coba", scale)
    pop = nest.Create("iaf_cond_exp", sum(neurons), {**VOGELS_ABBOTT, "g_L": 10.0, "E_L": -60.0, "E_ex": 0.0, "E_in": -80.0})
    pop.V_m = rng.normal(-65.0, 5.0, len(pop))
    pop.g_ex = shared.truncated(rng, 25.0, 10.0, 0.0, np.inf, len(pop))
    pop.g_in = shared.truncated(rng, 100.0, 80.0, 0.0, np.inf, len(pop))
    same_weights(exc=(6.0, 0.1), inh=(-67.0, 0.1))
    pairwise(pop, neurons)
    return neurons, pop, []


def microcircuit(scale, rng):
    c = shared.column(scale)
    pop = nest.Create("iaf_psc_exp", int(c.neurons.sum()), {
        "C_m": 250.0, "tau_m": 10.0, "E_L": -65.0, "V_th": -50.0, "V_reset": -65.0, "t_ref": 2.0,
        "tau_syn_ex": shared.TAU_SYN, "tau_syn_in": shared.TAU_SYN})
    pop.V_m = rng.normal(*np.repeat(shared.COLUMN_MEMBRANE, c.neurons, axis=1))
    pop.I_e = np.repeat(c.drive, c.neurons)
    populations, noise = parts(pop, c.neurons), []
    for part, rate in zip(populations, shared.BACKGROUND * c.external, strict=True):
        noise.append(nest.Create("poisson_generator", params={"rate": float(rate)}))
        nest.Connect(noise[-1], part, syn_spec={"weight": c.psc, "delay": shared.DT})
    normal, redraw = nest.random.normal, nest.math.redraw
    for t, target in enumerate(populations):
        for s, source in enumerate(populations):
            w, (delay, spread), low, high = c.weights[t, s], shared.DELAYS[s % 2], *((0.0, np.inf), (-np.inf, 0.0))[s % 2]
            weights = redraw(normal(mean=w, std=0.1 * abs(w)), min=low, max=high)
            # NEST rounds to steps as well: half a step below the shortest still gives the shortest
            delays = redraw(normal(mean=delay, std=spread), min=shared.SHORTEST - shared.DT / 2, max=np.inf)
            if c.totals[t, s]:
                nest.Connect(source, target, {"rule": "fixed_total_number", "N": int(c.totals[t, s])},
                             {"weight": weights, "delay": delays})
    return c.neurons, pop, noise


def same_weights(**models):
    for name, (weight, delay) in models.items():
        nest.CopyModel("static_synapse_hom_w", name, {"weight": weight, "delay": delay})


def parts(pop, neurons):
    ends = [int(e) for e in np.cumsum(neurons)]
    return [pop[low:high] for low, high in zip([0, *ends[:-1]], ends, strict=True)]


def pairwise(pop, neurons):
    rule = {"rule": "pairwise_bernoulli", "p": 80.0 / len(pop), "allow_autapses": True}
    for part, model in zip(parts(pop, neurons), ("exc", "inh"), strict=True):
        nest.Connect(part, pop, rule, {"synapse_model": model})


def main():
    asked = shared.arguments(("brunel", "cuba", "coba", "microcircuit"))
    began = time.perf_counter()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.set(resolution=shared.DT, local_num_threads=asked.threads, rng_seed=asked.seed, print_time=False)
    build = {"brunel": brunel, "cuba": cuba, "coba": coba, "microcircuit": microcircuit}[asked.workload]
    neurons, pop, noise = build(asked.scale, np.random.default_rng(asked.seed))
    # a generator of the noise has a connection to every neuron of a population
    synapses = nest.num_connections - (len(pop) if noise else 0)
    recorder = nest.Create("spike_recorder")
    nest.Connect(pop, recorder)
    nest.Prepare()
    build_s = time.perf_counter() - began
    nest.Run(shared.SETTLE)
    first = int(np.min(pop.global_id))

    def run():
        nest.Cleanup()
        recorder.n_events = 0
        nest.Prepare()
        with shared.Stopwatch() as watch:
            nest.Run(asked.ms)
        events = recorder.events
        return {"wall_s": watch.wall, "cpu_s": watch.cpu, "build_s": build_s, "rss_mb": shared.peak_mb(), "synapses": synapses,
                **shared.statistics(np.asarray(events["senders"]) - first, events["times"], neurons, asked.ms)}

    shared.serve({"version": nest.__version__}, run, asked.once)


if __name__ == "__main__":
    main()
