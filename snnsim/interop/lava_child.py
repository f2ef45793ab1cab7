"""Child process: descriptions and .net files in Lava. Run by its path with Lava's own Python, without snnsim.

    python lava_child.py JOBS.json

JOBS.json: {"program": path of hardware/loihi/program.py, "together": networks in one runtime, "jobs": [{"file", "counts",
"out", "latency", "longest"}]}. Lava starts a process for each of its own, which takes as long as to run it for hundreds of
steps, so many networks share a runtime.
"""

import importlib.util
import json
import sys
import types

import numpy as np

MISSING = 3  # exit code where the tool is not installed


def load(path):
    spec = importlib.util.spec_from_file_location("program", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module
    spec.loader.exec_module(module)
    return module


def netx():
    """lava-dl's reader, without what it imports and does not need here: torch, and all that is built on it."""
    def stub(name, **held):
        module = types.ModuleType(name)
        module.__dict__.update(held, __path__=[])
        sys.modules.setdefault(name, module)

    for name in ("lava.lib.dl.slayer", "lava.lib.dl.slayer.neuron", "lava.lib.dl.netx.sequential_modules"):
        stub(name)
    stub("lava.lib.dl.slayer.neuron.rf", neuron_params=None)
    from lava.lib.dl.netx import hdf5
    from lava.lib.dl.netx.blocks import models, process

    class PyRecurrent(models.AbstractPyBlockModel):
        """lava-dl 0.6 has the process and no model for it."""

    return hdf5, {process.Dense: models.PyDenseModel, process.Conv: models.PyConvModel, process.RecurrentDense: PyRecurrent}


def run_netx(program, jobs):
    """As `program.run`, for .net files: (file, counts, latency, longest). Result: of each, by the number of its layer."""
    hdf5, blocks = netx()
    synapses = {program.Dense: program.PyDenseModelBitAcc, program.DelayDense: program.PyDelayDenseModelBitAcc,
                program.Conv: program.PyConvModelFixed}
    steps, rest = max(len(c) + late for _, c, late, _ in jobs), max(longest for *_, longest in jobs) + 2
    models, layers, outs = {}, [], []
    for file, counts, _, _ in jobs:
        net = hdf5.Network(net_config=file, input_message_bits=program.message_bits(counts))
        net.net_config.f.close()
        given = counts.transpose(0, 1, *range(counts.ndim - 1, 1, -1)) if len(net.inp.shape) == 3 else counts
        send = program.source(given, net.inp.shape, steps, rest)
        send.s_out.connect(net.inp)
        models.update({send: program.PySendModelFixed, net: hdf5.PyNetworkModel})
        for layer in net.layers:
            models.update({layer: blocks[type(layer)], layer.neuron: program.Native})
            models.update({s: synapses[type(s)] for s in (layer.synapse, getattr(layer, "synapse_rec", None)) if s is not None})
        layers.append([layer.neuron for layer in net.layers])
        outs.append(net.out)
    found = program.run_built(models, [n for of in layers for n in of], outs, steps, rest, jobs[0][1].shape[1])
    results = []
    for (_, counts, late, _), of in zip(jobs, layers, strict=True):
        shape = len(counts) + late, counts.shape[1]
        results.append({str(i): {kind: a[: shape[0]].reshape(*shape, *n.s_out.shape).transpose(
            0, 1, *range(1 + len(n.s_out.shape), 1, -1)) for kind, a in found[n].items()} for i, n in enumerate(of)})
    return results


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    try:
        program = load(given["program"])
    except ImportError as e:
        print(e, file=sys.stderr)
        sys.exit(MISSING)
    groups = {}
    for job in given["jobs"]:
        with np.load(job["counts"]) as data:
            counts = data["counts"]
        is_netx = job["file"].endswith(".net")
        what = (job["file"], counts, job["latency"], job["longest"]) if is_netx else (program.Description(job["file"]), counts)
        groups.setdefault((is_netx, counts.shape[1]), []).append((what, job["out"]))
    for (is_netx, _), jobs in groups.items():
        for i in range(0, len(jobs), given["together"]):
            some = jobs[i: i + given["together"]]
            whats = [what for what, _ in some]
            for (_, out), result in zip(some, run_netx(program, whats) if is_netx else program.run(whats), strict=True):
                np.savez(out, **{f"{name}/{kind}": a for name, kept in result.items() for kind, a in kept.items()})


if __name__ == "__main__":
    main()
