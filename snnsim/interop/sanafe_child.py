"""Runs SANA-FE's model of Loihi. Started by its path with another interpreter: it needs sanafe and numpy alone."""

from __future__ import annotations

import json
import sys
from typing import Any

MISSING = 3  # exit code where the tool is not installed
INPUTS = 1024  # that SANA-FE's architecture has on a core


def main() -> None:
    """Run the network in argv[1] (.npz), and write spikes, energy and time of each sample to argv[2] (.npz)."""
    try:
        import numpy as np
        import sanafe
    except ImportError as e:
        print(e, file=sys.stderr)
        sys.exit(MISSING)
    given, result = sys.argv[1:]
    with np.load(given, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    about = json.loads(str(arrays.pop("about")))
    out: dict[str, Any] = {p["name"]: [] for p in about["populations"]}
    spent, took = [], []
    architecture = sanafe.load_loihi()  # takes seconds, and so does the chip
    chip = sanafe.SpikingChip(architecture)
    cores = [core for tile in architecture.tiles for core in tile.cores]
    for sample in np.moveaxis(arrays["counts"], 1, 0):
        chip.load(network(sanafe.Network(), cores, about, arrays, sample))
        done = chip.sim(len(sample), spike_trace=True)
        chip.reset()
        spent.append([done["energy"][k] for k in about["energies"]])
        took.append(done["sim_time"])
        for p in about["populations"]:
            fired = np.zeros((len(sample), p["size"]), np.uint8)
            for t, spikes in enumerate(done["spike_trace"]):
                fired[t, [a.neuron_offset for a in spikes if a.group_name == p["name"]]] = 1
            out[p["name"]].append(fired)
    kept = {f"spikes/{name}": np.stack(each, 1) for name, each in out.items()}
    np.savez(result, energy=np.array(spent), time=np.array(took), **kept)  # type: ignore[arg-type]


def network(net: Any, cores: list[Any], about: dict[str, Any], arrays: dict[str, Any], counts: Any) -> Any:
    """Neurons, and the sample counts [T, inputs] as what the inputs fire."""
    name = about["input"]
    groups = {name: net.create_neuron_group(name, counts.shape[1], soma_hw_name="loihi_inputs[0]")}
    for k, neuron in enumerate(groups[name].neurons):
        neuron.set_attributes(soma_hw_name=f"loihi_inputs[{k % INPUTS}]",
                              model_attributes={"spikes": [bool(c) for c in counts[:, k]]})
        neuron.map_to_core(cores[len(cores) - 1 - k // INPUTS])
    for i, p in enumerate(about["populations"]):
        group = groups[p["name"]] = net.create_neuron_group(
            p["name"], p["size"], log_spikes=True, soma_hw_name="loihi_lif", default_synapse_hw_name="loihi_dense_synapse",
            default_dendrite_hw_name="loihi_dendrites",
            model_attributes={"reset_mode": p["reset"], "force_update": True})
        each = zip(group.neurons, p["cores"], *(arrays[f"{name}{i}"].tolist() for name in ("threshold", "leak", "bias")),
                   strict=True)
        for neuron, core, threshold, leak, bias in each:
            neuron.set_attributes(model_attributes={"threshold": threshold, "leak_decay": leak, "bias": bias})
            neuron.map_to_core(cores[core])
    for i, q in enumerate(about["projections"]):
        pairs = list(zip(arrays[f"source{i}"].tolist(), arrays[f"target{i}"].tolist(), strict=True))
        groups[q["source"]].connect_neurons_sparse(groups[q["target"]], {"w": arrays[f"weight{i}"].tolist()}, pairs)
    return net


if __name__ == "__main__":
    main()
