"""The networks on which simulators are compared, as a user writes them: each is a function that returns a Network.

    from benchmarks.networks import brunel
    from snnsim.engine import Simulation
    recording = Simulation(brunel()).run(1000.0)

Millisecond, millivolt, picoampere, nanosiemens; steps of 0.1 ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snnsim.connect import Bernoulli, FixedIndegree, FixedTotal, OneToOne
from snnsim.distributions import Normal, Uniform, Value
from snnsim.network import Network, Population, Synapses, TimeBase
from snnsim.neurons import CondExp, PscDelta, PscExp
from snnsim.sources import Poisson

DT = 0.1
INDEGREE = 80  # of cuba and coba
EXCITATORY = 0.8  # of the neurons of brunel, cuba and coba


def brunel(n: int = 12_500, g: float = 5.0, eta: float = 2.0, j: float = 0.1, seed: int = 1) -> Network:
    """A sparse random network of excitatory and inhibitory neurons, in the asynchronous irregular state by default.

    Each neuron has 1,000 excitatory inputs of j mV and 250 inhibitory ones of -g j, both after 1.5 ms, and as many external
    ones as excitatory: Poisson spikes at eta times the rate that takes the mean membrane to the threshold.
    Source: Brunel, J. Comput. Neurosci. 8 (2000), model A.
    """
    tau, theta, delay = 20.0, 20.0, 1.5
    indegree = {"E": 1000, "I": 250}
    weight = {"E": j, "I": -g * j}
    neuron = PscDelta(tau=tau, e_l=0.0, v_th=theta, v_reset=0.0, refractory=2.0)
    sizes = {"E": round(EXCITATORY * n), "I": n - round(EXCITATORY * n)}
    external = Poisson(1000.0 * eta * theta / (j * tau))  # Hz, of all external inputs of a neuron together

    populations = [Population.of(p, sizes[p], neuron, DT, initial={"v": Uniform(0.0, theta)}) for p in sizes]
    populations += [Population(f"noise {p}", (sizes[p],), source=external) for p in sizes]
    synapses = [Synapses(f"noise {p}", p, OneToOne(), weight=j, delay=DT) for p in sizes]
    synapses += [Synapses(source, target, FixedIndegree(indegree[source]), weight=weight[source], delay=delay)
                 for source in sizes for target in sizes]
    return Network(tuple(populations), synapses=tuple(synapses), time=TimeBase(DT), seed=seed)


def cuba(n: int = 4000, seed: int = 1) -> Network:
    """A self-sustained random network whose synapses give currents.

    A spike adds 1.62 mV (excitatory, 5 ms) or -9 mV (inhibitory, 10 ms) to what drives the membrane, here times the leak of
    10 nS as pA; the rest lies 1 mV above the threshold. Every neuron has 80 inputs on average, after 0.1 ms.
    Source: Vogels and Abbott, J. Neurosci. 25 (2005); as a benchmark: Brette et al., J. Comput. Neurosci. 23 (2007).
    """
    neuron = PscExp(tau=20.0, c_m=200.0, e_l=-49.0, v_th=-50.0, v_reset=-60.0, refractory=5.0, tau_syn=(5.0, 10.0))
    return _vogels_abbott(n, neuron, {"v": Uniform(-60.0, -50.0)}, {"ex": 16.2, "inh": -90.0}, seed)


def coba(n: int = 4000, seed: int = 1) -> Network:
    """A self-sustained random network whose synapses open conductances: 6 nS (excitatory) or 67 nS (inhibitory) a spike.

    Every neuron has 80 inputs on average, after 0.1 ms. It starts with conductances open: with none it stays silent, and
    with more than these its first volley often silences it.
    Source: Vogels and Abbott, J. Neurosci. 25 (2005); as a benchmark: Brette et al., J. Comput. Neurosci. 23 (2007).
    """
    neuron = CondExp(tau=20.0, c_m=200.0, e_l=-60.0, v_th=-50.0, v_reset=-60.0, refractory=5.0, tau_ex=5.0, tau_in=10.0,
                     e_ex=0.0, e_in=-80.0)
    initial = {"v": Normal(-65.0, 5.0), "ge": Normal(25.0, 10.0, low=0.0), "gi": Normal(100.0, 80.0, low=0.0)}
    return _vogels_abbott(n, neuron, initial, {"ex": 6.0, "inh": 67.0}, seed)


def _vogels_abbott(n: int, neuron: PscExp | CondExp, initial: Mapping[str, Value], weight: Mapping[str, float],
                   seed: int) -> Network:
    sizes = {"E": round(EXCITATORY * n), "I": n - round(EXCITATORY * n)}
    populations = [Population.of(p, sizes[p], neuron, DT, initial=initial) for p in sizes]
    synapses = [Synapses(source, target, Bernoulli(INDEGREE / n), weight=weight[receptor], delay=DT, receptor=receptor)
                for source, receptor in (("E", "ex"), ("I", "inh")) for target in sizes]
    return Network(tuple(populations), synapses=tuple(synapses), time=TimeBase(DT), seed=seed)


# One row a population: neurons, external inputs, rate at full scale (Hz), mean and standard deviation of the first membrane.
COLUMN = {
    "L23E": (20683, 1600, 0.903, -68.28, 5.36),
    "L23I": (5834, 1500, 2.965, -63.16, 4.57),
    "L4E": (21915, 2100, 4.414, -63.33, 4.74),
    "L4I": (5479, 1900, 5.876, -63.45, 4.94),
    "L5E": (4850, 2000, 7.606, -63.11, 4.94),
    "L5I": (1065, 1900, 8.638, -61.66, 4.55),
    "L6E": (14395, 2900, 1.105, -66.72, 5.46),
    "L6I": (2948, 2100, 7.829, -61.43, 4.48),
}
# The probability that two neurons are joined at least once: a row for each target, a column for each source.
PROBABILITY = [
    [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0000, 0.0076, 0.0000],
    [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0000, 0.0042, 0.0000],
    [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0000],
    [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0000, 0.1057, 0.0000],
    [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0000],
    [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0000],
    [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
    [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
]
PSC, G = 87.8, -4.0  # pA, of an excitatory synapse; what an inhibitory one is in units of it
TAU_SYN = 0.5
BACKGROUND = 8.0  # Hz, of each external input
DELAY = {"E": Normal(1.5, 0.75, low=0.1, high=6.3), "I": Normal(0.8, 0.4, low=0.1, high=6.3)}


def microcircuit(scale: float = 1.0, kscale: float | None = None, seed: int = 1) -> Network:
    """A column of early sensory cortex under 1 mm²: four layers, 77,169 neurons and 298,880,968 synapses at full scale.

    scale: of the neuron numbers. kscale: of the inputs of a neuron, by default scale; weights grow by 1 / sqrt(kscale) and a
    current makes up for the mean input that is lost, so that the rates stay.
    Source: Potjans and Diesmann, Cereb. Cortex 24 (2014), 8 Hz Poisson input, first membranes near the working point as in
    NEST's example of it; scaling: van Albada et al., PLoS Comput. Biol. 11 (2015).
    """
    kscale = scale if kscale is None else kscale
    sizes = {p: round(row[0] * scale) for p, row in COLUMN.items()}
    currents = dict(zip(COLUMN, compensation(kscale), strict=True))
    psc = PSC / math.sqrt(kscale)

    populations, synapses = [], []
    for p, (_, inputs, _, mean, std) in COLUMN.items():
        neuron = PscExp(tau=10.0, c_m=250.0, e_l=-65.0, v_th=-50.0, v_reset=-65.0, refractory=2.0, tau_syn=TAU_SYN,
                        drive=currents[p])
        populations.append(Population.of(p, sizes[p], neuron, DT, initial={"v": Normal(mean, std)}))
        populations.append(Population(f"noise {p}", (sizes[p],), source=Poisson(BACKGROUND * inputs * kscale)))
        synapses.append(Synapses(f"noise {p}", p, OneToOne(), weight=psc, delay=DT))
    for target, indegrees, factors in zip(COLUMN, full_indegrees(), relative_weights().tolist(), strict=True):
        for source, indegree, factor in zip(COLUMN, indegrees, factors, strict=True):
            total = round(indegree * kscale * sizes[target])
            mean, spread = factor * psc, 0.1 * abs(factor) * psc
            weight = Normal(mean, spread, low=0.0) if factor > 0 else Normal(mean, spread, high=0.0)
            if total:
                synapses.append(Synapses(source, target, FixedTotal(total), weight=weight, delay=DELAY[source[-1]]))
    return Network(tuple(populations), synapses=tuple(synapses), time=TimeBase(DT), seed=seed)


def full_indegrees() -> NDArray[np.float64]:
    """Mean inputs of a neuron at full scale [target, source]: with K synapses in all, p = 1 - (1 - 1 / (N_t N_s))^K."""
    n = np.array([row[0] for row in COLUMN.values()], float)
    # log(1 - x), where log1p is exact: it rounds to the published number of synapses, log1p to two more
    totals = np.rint(np.log(1.0 - np.array(PROBABILITY)) / np.log(1.0 - 1.0 / np.outer(n, n)))
    return totals / n[:, None]


def relative_weights() -> NDArray[np.float64]:
    """Mean weights in units of PSC [target, source]: those from L4E to L23E are twice as strong."""
    factors = np.where([p.endswith("E") for p in COLUMN], 1.0, G) * np.ones((len(COLUMN), 1))
    factors[0, 2] = 2.0
    return factors


def compensation(kscale: float) -> list[float]:
    """pA for each population: the mean current that is lost where inputs are fewer and weights 1 / sqrt(kscale) larger."""
    inputs, rates = (np.array([row[k] for row in COLUMN.values()], float) for k in (1, 2))
    events = (relative_weights() * full_indegrees()) @ rates + inputs * BACKGROUND  # a second, in units of PSC
    return [float(x) for x in (1.0 - math.sqrt(kscale)) * PSC * 1e-3 * TAU_SYN * events]
