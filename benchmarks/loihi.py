"""A convolutional net of the size that N-MNIST takes, in whole numbers: our executor beside Lava's runtime on the CPU."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import AsJson, Peer, Threads, interleave, peer_python, refuse, report, seconds, spread
from snnsim import interop
from snnsim.engine.layout import cores
from snnsim.hardware import integer
from snnsim.hardware.integer import IntegerNetwork
from snnsim.hardware.loihi import process
from snnsim.hardware.loihi.script import PROGRAM
from snnsim.maps import Conv2d, Dense
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import LI, LIF

STEPS, DENSITY, ROUNDS, CORES = 100, 0.02, 3, cores()
Samples = Annotated[int, typer.Option(min=1, help="Samples of 100 steps in a run, for both.")]


def model() -> IntegerNetwork:
    """2x34x34, convolutions of 8 and 16 channels with stride 2, 10 outputs; random weights with which some percent fire."""
    rng = np.random.default_rng(0)

    def weight(*shape: int, mean: float = 0.0) -> Any:
        return rng.normal(mean, 0.6, shape) / np.sqrt(np.prod(shape[1:]) * 0.06)

    neuron = LIF(tau=10.0, reset="hard")
    populations = (Population("in", (2, 34, 34)), Population.of("conv1", (8, 16, 16), neuron, 1.0),
                   Population.of("conv2", (16, 7, 7), neuron, 1.0), Population.of("out", 10, LI(tau=20.0), 1.0))
    projections = (Projection("in", "conv1", (Conv2d(weight(8, 2, 5, 5, mean=0.2), 2, 1),)),
                   Projection("conv1", "conv2", (Conv2d(weight(16, 8, 3, 3), 2),)),
                   Projection("conv2", "out", (Dense(weight(10, 784)),)))
    return integer.quantize(Network(populations, projections, TimeBase(steps=STEPS)))


def lava(threads: Threads = CORES, samples: Samples = 8, as_json: AsJson = False) -> None:
    """The executor of integer networks beside Lava's fixed-point runtime: same net, same samples, same spikes, u and v.

    Lava takes a process for each layer, connection and input, on all cores, and so does the executor by default.
    """
    python = peer_python("lava")
    if python is None:
        refuse("Lava is not installed: `make peers-lava` installs it")
    net = model()
    counts = (np.random.default_rng(1).random((STEPS, samples, *net.populations[0].shape)) < DENSITY).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        file, given = Path(folder) / "net.json", Path(folder) / "counts.npz"
        process.write(net, file)
        np.savez(given, counts=counts)
        assert python is not None
        [match] = interop.verify_lava([(file, counts)], python=python, timeout=600)
        if not match.exact or min(x.expected for x in match.layers[:2]) < 100 * samples:
            refuse(f"snnsim and Lava do not give the same: {match}")
        peer = Peer(python, "peer_lava.py", str(PROGRAM), str(file), str(given))
        spent: dict[str, list[float]] = {"snnsim": [], "lava": []}  # seconds of processor time, which other work changes little

        def ours() -> float:
            before = time.process_time()
            took = seconds(lambda: integer.run(net, counts, threads=threads))
            spent["snnsim"].append(time.process_time() - before)
            return took

        def theirs() -> float:
            told = peer.run()
            spent["lava"].append(told["processor"])
            return float(told["seconds"])

        try:
            times = interleave({"snnsim": ours, "lava": theirs}, ROUNDS, {"snnsim": 10})
        finally:
            peer.close()
    found = integer.run(net, counts)
    rates = {f"rate_{name}": round(rate, 4) for name, rate in found.rates.items()}
    first = spread(times["snnsim"])["median_ms"]
    rows = [{"engine": name, "version": peer.about["version"] if name == "lava" else "",
             "processes": peer.about["processes"] if name == "lava" else threads, "samples": samples,
             "steps": STEPS + net.latency, **spread(t), "processor_ms": round(1e3 * statistics.median(spent[name]), 1),
             "ratio": round(first / spread(t)["median_ms"], 6)}
            for name, t in times.items()]
    rows[0] |= rates
    rows[1]["start_ms"] = round(1e3 * peer.about["start"], 1)  # is not counted
    ratios = {"lava": first / spread(times["lava"])["median_ms"]}
    if min(spent["lava"]) > 0.0:
        ratios["lava, processor time"] = statistics.median(spent["snnsim"]) / statistics.median(spent["lava"])
    report("lava", rows, ratios, as_json)
