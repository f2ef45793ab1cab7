"""A synfire chain: ten pools of 100 neurons, each pool joined to the next, under noise. Does a volley of spikes travel?

Run it:   python examples/synfire_chain.py --raster chain.png
Look at:  a packet of 60 spikes within about 1 ms becomes sharper and larger from pool to pool, up to all neurons; one of 40
          spikes over 4 ms is lost in the noise after some pools. Only its size and its spread decide.
Source:   Diesmann, Gewaltig and Aertsen, Nature 402 (1999).
"""

import argparse

import numpy as np

from snnsim import AllToAll, Network, Normal, OneToOne, Poisson, Population, SpikeTimes, Synapses, TimeBase, plot
from snnsim.engine import Recording, Simulation
from snnsim.neurons import PscAlpha

WIDTH, DT = 100, 0.1  # neurons of a pool; ms
START, DELAY = 20.0, 5.0  # ms: the packet's middle; from pool to pool
WEIGHT = 45.6  # pA, for a potential of 0.14 mV
PACKETS = {"strong": (60, 1.0), "weak": (40, 4.0)}  # spikes; their standard deviation, ms


def chain(spikes: int, spread: float, pools: int, seed: int = 1) -> Network:
    """A packet of so many spikes before the first of the pools. Each neuron also has 20,000 inputs from elsewhere."""
    neuron = PscAlpha(tau=10.0, c_m=250.0, e_l=-70.0, v_th=-55.0, v_reset=-70.0, refractory=2.0, tau_syn=0.3258)
    times = np.random.default_rng(seed).normal(START, spread, spikes)
    populations = [Population("packet", (WIDTH,), source=SpikeTimes(times, np.arange(spikes)))]
    synapses = []
    for k in range(1, pools + 1):
        name = f"pool {k}"
        populations += [Population.of(name, WIDTH, neuron, DT, initial={"v": Normal(-61.6, 2.5, high=-55.0)}),
                        Population(f"excitation {k}", (WIDTH,), source=Poisson(17_600 * 2.0)),
                        Population(f"inhibition {k}", (WIDTH,), source=Poisson(2_400 * 12.5))]
        synapses += [Synapses(populations[0].name if k == 1 else f"pool {k - 1}", name, AllToAll(), WEIGHT, DELAY),
                     Synapses(f"excitation {k}", name, OneToOne(), WEIGHT, DT),
                     Synapses(f"inhibition {k}", name, OneToOne(), -WEIGHT, DT)]
    return Network(tuple(populations), synapses=tuple(synapses), time=TimeBase(DT), seed=seed)


def volley(recording: Recording, pool: str, window: float = 10.0) -> tuple[int, float]:
    """The spikes in the window of so many ms that holds most of them, and their standard deviation, ms."""
    times = recording.times(pool)
    inside = np.searchsorted(times, times + window) - np.arange(len(times))
    first = int(np.argmax(inside))
    return int(inside[first]), float(np.std(times[first: first + inside[first]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=10)
    parser.add_argument("--raster", help="draw the strong packet's way to this file (.png, .svg, .pdf)")
    options = parser.parse_args()
    recordings = {kind: Simulation(chain(*packet, options.pools)).run(START + 10.0 * options.pools + 50)
                  for kind, packet in PACKETS.items()}
    for kind, recording in recordings.items():
        print(f"the {kind} packet: {PACKETS[kind][0]} spikes, spread {PACKETS[kind][1]:.1f} ms")
        for pool in recording.spikes:
            spikes, spread = volley(recording, pool)
            print(f"  {pool:8} {spikes:4} spikes, spread {spread:.1f} ms  {'#' * (spikes // 2)}")
        print(f"  the packet {'travels' if spikes > WIDTH // 2 else 'dies out'}")
    if options.raster:
        plot.save(plot.populations(recordings["strong"]), options.raster)


if __name__ == "__main__":
    main()
