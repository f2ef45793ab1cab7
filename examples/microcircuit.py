"""A column of cortex: four layers, each excitatory and inhibitory; 77,169 neurons and 299 million synapses at full scale.

Run it:   snnsim run examples/microcircuit.py --raster microcircuit.png
Look at:  the rates, beside the last column of POPULATIONS: inhibition fires more than excitation, layer 5 most, layers 2/3
          and 6 hardly. SCALE = 1.0 takes 2 GiB and gives the published rates; below it, fewer but stronger inputs and a
          current that makes up for the mean that is lost give rates somewhat lower.
Sources:  Potjans and Diesmann, Cereb. Cortex 24 (2014); van Albada et al., PLoS Comput. Biol. 11 (2015).
"""

import math

from snnsim import FixedTotal, Network, Normal, OneToOne, Poisson, Population, Synapses, TimeBase
from snnsim.neurons import PscExp

SCALE = 0.1
duration = 500.0  # ms
DT = 0.1

# Neurons; external inputs of each; Hz at full scale.
POPULATIONS = {
    "L23E": (20683, 1600, 0.90), "L23I": (5834, 1500, 2.97), "L4E": (21915, 2100, 4.41), "L4I": (5479, 1900, 5.88),
    "L5E": (4850, 2000, 7.61), "L5I": (1065, 1900, 8.64), "L6E": (14395, 2900, 1.11), "L6I": (2948, 2100, 7.83),
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
WEIGHT, BACKGROUND, TAU_SYN = 87.8, 8.0, 0.5  # pA; Hz of each external input; ms
DELAY = {"E": Normal(1.5, 0.75, low=0.1, high=6.3), "I": Normal(0.8, 0.4, low=0.1, high=6.3)}  # ms


def factor(source: str, target: str) -> float:
    """The mean weight of a synapse, in units of WEIGHT."""
    return -4.0 if source.endswith("I") else 2.0 if (source, target) == ("L4E", "L23E") else 1.0


def indegree(source: str, target: str, probability: float) -> float:
    """The mean inputs of a neuron at full scale: with K synapses in all, p = 1 - (1 - 1 / (N_s N_t))^K."""
    pairs = POPULATIONS[source][0] * POPULATIONS[target][0]
    return math.log(1.0 - probability) / math.log(1.0 - 1.0 / pairs) / POPULATIONS[target][0]


populations, synapses = [], []
weight = WEIGHT / math.sqrt(SCALE)
for (target, (full, external, _)), row in zip(POPULATIONS.items(), PROBABILITY, strict=True):
    size = round(full * SCALE)
    inputs = {source: indegree(source, target, p) for source, p in zip(POPULATIONS, row, strict=True)}
    mean_input = external * BACKGROUND + sum(n * factor(s, target) * POPULATIONS[s][2] for s, n in inputs.items())  # weights/s
    lost = (1.0 - math.sqrt(SCALE)) * WEIGHT * TAU_SYN * 1e-3 * mean_input  # pA
    neuron = PscExp(tau=10.0, c_m=250.0, e_l=-65.0, v_th=-50.0, v_reset=-65.0, refractory=2.0, tau_syn=TAU_SYN, drive=lost)
    populations += [Population.of(target, size, neuron, DT, initial={"v": Normal(-65.0, 5.0)}),
                    Population(f"noise {target}", (size,), source=Poisson(BACKGROUND * external * SCALE))]
    synapses.append(Synapses(f"noise {target}", target, OneToOne(), weight=weight, delay=DT))
    for source, n in inputs.items():
        mean = factor(source, target) * weight
        drawn = Normal(mean, 0.1 * abs(mean), low=0.0) if mean > 0 else Normal(mean, 0.1 * abs(mean), high=0.0)
        total = round(n * SCALE * size)
        if total:
            synapses.append(Synapses(source, target, FixedTotal(total), weight=drawn, delay=DELAY[source[-1]]))

network = Network(tuple(populations), synapses=tuple(synapses), time=TimeBase(DT), seed=1)
