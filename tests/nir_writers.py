"""Child process: random hard-reset nets built in another tool, run there, and exported to NIR by that tool.

`python -m tests.nir_writers TOOL FOLDER COUNT` writes i.nir, and i.npz with the counts [T, B, *input] and the spikes of each
neuron layer by the name of its module. The numbers are those of `nir_nets`, so that the arithmetic is exact.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nir
import numpy as np
import torch
from torch import nn

from tests.nir_nets import STEPS, off_grid, sixteenths

# RSynaptic of snnTorch 1.0.0 cannot run with reset_delay=False, without which its reset comes a step late
KINDS = {"snntorch": ("leaky", "synaptic", "rleaky"), "norse": ("box", "cell", "iaf"),
         "spikingjelly": ("lif", "if", "cuba", "kept"), "sinabs": ("iaf", "lif")}


def filled(module, rng, scale=1.0):
    """Weights and biases on the grid."""
    for parameter in module.parameters():
        parameter.data = torch.from_numpy(np.array(sixteenths(rng, tuple(parameter.shape)))) * scale
    return module


def snntorch_neuron(rng, kind, decay, shape):
    import snntorch as snn

    # one number for all neurons has no shape, which its own exporter then complains of
    decay, made = torch.full(shape, decay), {
        "threshold": torch.full(shape, float(off_grid(int(rng.integers(2, 6))))), "reset_mechanism": "zero",
        "reset_delay": False, "init_hidden": True}
    if kind == "leaky":
        return snn.Leaky(beta=decay, **made)
    if kind == "synaptic":
        return snn.Synaptic(alpha=torch.full(shape, 0.5), beta=decay, **made)
    # all to all, or one weight a neuron
    recurrent = {"all_to_all": True, "linear_features": shape[0]} if rng.random() < 0.5 else {
        "all_to_all": False, "V": torch.ones(shape)}
    module = snn.RLeaky(beta=decay, **made, **recurrent)
    filled(module.recurrent, rng)
    return module


def norse_neuron(rng, kind, decay, shape):
    import norse.torch as norse

    theta, inverse = torch.full(shape, float(off_grid(int(rng.integers(2, 6))))), torch.full(shape, (1.0 - decay) * 1024)
    zeros = torch.zeros(shape)
    if kind == "box":
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=inverse, v_th=theta, v_leak=zeros), dt=1 / 1024)
    if kind == "cell":
        return norse.LIFCell(norse.LIFParameters(tau_mem_inv=inverse, tau_syn_inv=torch.full(shape, 512.0), v_th=theta,
                                                 v_leak=zeros, v_reset=zeros), dt=1 / 1024)
    from norse.torch.module.iaf import IAFCell, IAFParameters

    return IAFCell(IAFParameters(v_th=theta, v_reset=zeros), dt=1 / 1024)


def spikingjelly_neuron(rng, kind, decay, _shape):
    from spikingjelly.activation_based import neuron

    given = {"v_threshold": float(off_grid(int(rng.integers(2, 6)))), "v_reset": 0.0}
    if kind == "if":
        return neuron.IFNode(**given)
    if kind == "cuba":
        return neuron.CUBALIFNode(c_decay=0.5, v_decay=decay, **given)
    return neuron.LIFNode(tau=1.0 / (1.0 - decay), decay_input=kind == "lif", **given)


def sinabs_neuron(rng, kind, _decay, shape):
    import sinabs.activation as sa
    import sinabs.layers as sl

    given = {"spike_threshold": torch.full(shape, float(off_grid(int(rng.integers(2, 6))))), "spike_fn": sa.SingleSpike,
             "reset_fn": sa.MembraneReset(), "num_timesteps": 1}
    return sl.IAFSqueeze(**given) if kind == "iaf" else sl.LIFSqueeze(
        tau_mem=torch.full(shape, float(rng.integers(2, 20))), norm_input=False, **given)


NEURON = {"snntorch": snntorch_neuron, "norse": norse_neuron, "spikingjelly": spikingjelly_neuron, "sinabs": sinabs_neuron}


def layers(tool, i):
    """The layers of net i, its input's shape, and its decay."""
    rng = np.random.default_rng((i, sorted(KINDS).index(tool)))
    decay = 0.5 if rng.random() < 0.6 else 0.75
    kind = KINDS[tool][i % len(KINDS[tool])]
    scale = 1.0 / (1.0 - decay) if kind in ("box", "cell") or (kind, tool) == ("lif", "spikingjelly") else 1.0
    convolutional = i % 2 == 1 and tool != "norse" and not kind.startswith("r")
    shape, found = (int(rng.integers(4, 16)),), []
    if convolutional:
        shape = (int(rng.integers(1, 4)), *map(int, rng.integers(6, 10, 2)))
        groups = shape[0] if tool != "spikingjelly" and rng.random() < 0.5 else 1
        # of kernels that are not square, and of dilations, the nir package infers wrong shapes, and then refuses to write
        conv = nn.Conv2d(shape[0], 2 * groups if groups > 1 else 3, int(rng.integers(1, 4)),
                         tuple(map(int, rng.integers(1, 3, 2))), tuple(map(int, rng.integers(0, 2, 2))), 1, groups)
        found = [filled(conv, rng, scale), NEURON[tool](rng, kind, decay, tuple(conv(torch.zeros(1, *shape)).shape[1:]))]
        if tool == "sinabs":
            import sinabs.layers as sl

            found.append(sl.SumPool2d((1, 2)))
        else:
            found.append(nn.AvgPool2d((1, 2), (2, 1)))
        found.append(nn.Flatten())
        with torch.no_grad():
            middle = found[2](found[0](torch.zeros(1, *shape)))
        size = int(middle.numel())
    else:
        size = shape[0]
    for _ in range(int(rng.integers(1, 3))):
        width = int(rng.integers(3, 12))
        linear = filled(nn.Linear(size, width, bias=bool(rng.random() < 0.7)), rng, scale)
        found += [linear, NEURON[tool](rng, kind, decay, (width,))]
        size = width
    counts = (rng.random((STEPS[decay], 2, *shape)) < rng.choice([0.2, 0.4])).astype(np.float32)
    return found, counts


def stepped(tool, found, counts):
    """The spikes of each neuron layer, sample by sample, by the layer's number."""
    spikes = {str(k): [] for k, m in enumerate(found) if not isinstance(m, (nn.Linear, nn.Conv2d, nn.Flatten, nn.AvgPool2d))
              and "Pool" not in type(m).__name__}
    for b in range(counts.shape[1]):
        states = dict.fromkeys(spikes)
        for m in found:
            if tool == "snntorch" and hasattr(m, "reset_mem"):
                m.reset_mem()
            if tool == "spikingjelly" and hasattr(m, "reset"):
                m.reset()
            if tool == "sinabs" and hasattr(m, "reset_states"):
                m.reset_states()
        kept = {k: [] for k in spikes}
        for t in range(len(counts)):
            x = torch.from_numpy(counts[t, b][None])
            for k, m in enumerate(found):
                if tool == "norse" and str(k) in spikes:
                    x, states[str(k)] = m(x, states[str(k)])
                else:
                    x = m(x)
                    x = x[0] if isinstance(x, tuple) else x
                if str(k) in spikes:
                    kept[str(k)].append(x.detach().numpy()[0].copy())
        for k in spikes:
            spikes[k].append(np.stack(kept[k]))
    return {k: np.stack(v, 1) for k, v in spikes.items()}


def export(tool, found, counts):
    sample = torch.from_numpy(counts[0, :1])
    if tool == "snntorch":
        from snntorch.export_nir import export_to_nir

        return export_to_nir(nn.Sequential(*found), sample, ignore_dims=[0])
    if tool == "norse":
        import norse.torch as norse

        return norse.to_nir(norse.SequentialState(*found), sample[0], dt=1.0)
    if tool == "sinabs":
        from sinabs.nir import to_nir

        return to_nir(nn.Sequential(*found), sample)
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    return export_to_nir(nn.Sequential(*found), sample)


def main():
    tool, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(0)
    for i in range(count):
        with torch.no_grad():
            found, counts = layers(tool, i)
            graph = export(tool, found, counts)
            graph.infer_types()  # a Conv2d without input_shape cannot be written
            nir.write(folder / f"{i}.nir", graph)
            spikes = {k: v.astype(np.uint8) for k, v in stepped(tool, found, counts).items()}
            np.savez_compressed(folder / f"{i}.npz", counts=counts.astype(np.uint8), **spikes)


if __name__ == "__main__":
    main()
