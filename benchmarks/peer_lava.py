"""Run by Lava's interpreter: peer_lava.py PROGRAM.py DESCRIPTION.json COUNTS.npz. Imports nothing of snnsim but that program.

The neurons' models are Lava's own, without any recording, and the runtime has started before the clock does.
"""

import importlib.util
import json
import os
import sys
import time
from importlib.metadata import version

import numpy as np


def processor(actors):
    """Seconds of processor time of Lava's processes so far; 0 where the system does not tell."""
    ticks = 0
    for actor in actors:
        try:
            with open(f"/proc/{actor.pid}/stat") as file:
                ticks += sum(int(n) for n in file.read().rpartition(")")[2].split()[11:13])
        except OSError:
            return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    path, description, given = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    with np.load(given) as data:
        counts = data["counts"]
    net = program.Description(description)
    steps = len(counts) + net.latency
    models, made = program.build(net, counts, steps, 0)
    models = {p: program.PyLifModelBitAcc if m is program.Native else m for p, m in models.items()}
    last = list(made.values())[-1]
    config = program.Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
    start = time.perf_counter()
    last.run(condition=program.RunSteps(num_steps=1), run_cfg=config)
    took = time.perf_counter() - start
    print(json.dumps({"version": version("lava-nc"), "processes": len(models), "start": took}), flush=True)
    actors = last.runtime._messaging_infrastructure.actors
    for _ in sys.stdin:
        before, start = processor(actors), time.perf_counter()
        last.run(condition=program.RunSteps(num_steps=steps * counts.shape[1]), run_cfg=config)
        took = time.perf_counter() - start
        print(json.dumps({"seconds": took, "processor": processor(actors) - before}), flush=True)
    last.stop()


if __name__ == "__main__":
    main()
