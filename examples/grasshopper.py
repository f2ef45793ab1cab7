"""Two auditory receptors of a grasshopper, as they were recorded; for each, two neurons that read its spikes differently.

Run it:   python examples/grasshopper.py FOLDER       (FOLDER holds grasshopper_spike_times1.txt and 2.txt, in microseconds)
Look at:  the receptor's interval that ended when a neuron fired. `burst` forgets within 4 ms: it answers two spikes in quick
          succession. The synapse on `pause` tires and recovers in 20 ms: it answers a spike that comes after silence.
Sources:  the recordings come with nitime (BSD licence): Rokem et al., J. Neurophysiol. 95 (2006); tiring synapses: Tsodyks
          and Markram, PNAS 94 (1997).
"""

import argparse
from pathlib import Path

import numpy as np

from snnsim import Network, OneToOne, Population, SpikeTimes, Synapses, TimeBase, TsodyksMarkram, plot
from snnsim.engine import Recording, Simulation
from snnsim.neurons import PscDelta

DT = 0.1  # ms


def read(folder: Path) -> list[np.ndarray]:
    """The spike times of each receptor, ms."""
    files = sorted(folder.glob("grasshopper_spike_times*.txt"))
    if not files:
        raise SystemExit(f"there is no grasshopper_spike_times*.txt in {folder}: give the folder that holds the recordings")
    return [np.loadtxt(file) * 1e-3 for file in files]


def network(receptors: list[np.ndarray]) -> Network:
    source = SpikeTimes(np.concatenate(receptors), np.repeat(range(len(receptors)), [len(times) for times in receptors]))
    fast = PscDelta(tau=4.0, e_l=0.0, v_th=20.0, v_reset=0.0, refractory=2.0)
    size = len(receptors)
    return Network(
        (Population("receptors", (size,), source=source), Population.of("burst", size, fast, DT),
         Population.of("pause", size, fast, DT)),
        synapses=(Synapses("receptors", "burst", OneToOne(), weight=17.0, delay=1.0),
                  Synapses("receptors", "pause", OneToOne(), weight=60.0, delay=1.0,
                           plasticity=TsodyksMarkram(U=0.5, tau_rec=20.0))),
        time=TimeBase(DT))


def before(times: np.ndarray, recording: Recording, population: str, neuron: int) -> np.ndarray:
    """The receptor's interval, ms, that ended with the spike which each spike of the neuron answers."""
    spikes = recording.times(population)[recording.spikes[population].neuron == neuron]
    answered = np.searchsorted(times, spikes - 1.0) - 1
    return np.diff(times)[answered[answered > 0] - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--duration", type=float, default=10_000.0, help="ms")
    parser.add_argument("--raster", help="draw the spikes to this file (.png, .svg, .pdf)")
    options = parser.parse_args()
    receptors = read(options.folder)
    recording = Simulation(network(receptors)).run(options.duration)
    for i, times in enumerate(receptors):
        times = times[times < options.duration]
        print(f"receptor {i + 1}: {len(times)} spikes, intervals of {np.median(np.diff(times)):.1f} ms (median)")
        for name in recording.spikes:
            found = before(times, recording, name, i)
            print(f"  {name}: {len(found)} spikes, after intervals of {np.median(found):.1f} ms")
    if options.raster:
        plot.save(plot.populations(recording), options.raster)


if __name__ == "__main__":
    main()
