"""Runs a network in whole numbers on the CPU with Lava, fixed point: builds the processes that a description holds.

    python program.py [--counts COUNTS.npz] [--out RESULT.npz] [DESCRIPTION.json]

counts: the array `counts`, whole, [T, *input] or [T, B, *input]; without, 50 steps of random spikes. Result: spikes, u and v of
each population after each step, [T + latency, B, *population], as `NAME/spikes`, `NAME/u` and `NAME/v`.

Stands alone: numpy, scipy, h5py and lava-nc 0.10 are all that it needs, and snnsim never imports it. Every process is one of
Lava's own. Their arithmetic is Lava's own too, but for what Lava does not have: a soft reset, parameters of single neurons,
and convolutions with a delay or a negative exponent. Those have process models here.
"""

import argparse
import dataclasses
import json
import os
import signal
import tempfile
import traceback

import h5py
import numpy as np

DESCRIPTION = ""  # of the network, beside this file, if this is a script that was written for one
KINDS = ("spikes", "u", "v")


def importable():
    """Let Lava be imported by Python 3.11 and later, which refuse a default of a dataclass that cannot be hashed.

    Lava has one such default, of a dataclass of its own. It is made hashable by its identity before Python looks.
    """
    look = dataclasses._get_field

    def hashable(owner, name, *rest):
        default = getattr(owner, name, None)
        if type(default).__module__.split(".")[0] == "lava" and type(default).__hash__ is None:
            type(default).__hash__ = object.__hash__
        return look(owner, name, *rest)

    if look.__name__ != "hashable":
        dataclasses._get_field = hashable


importable()

from lava.magma.compiler.channels.pypychannel import CspRecvPort  # noqa: E402
from lava.magma.core.decorator import implements, requires, tag  # noqa: E402
from lava.magma.core.model.py.model import AbstractPyProcessModel, PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.py.ports import PyInPort, PyOutPort  # noqa: E402
from lava.magma.core.model.py.type import LavaPyType  # noqa: E402
from lava.magma.core.process.ports.ports import InPort  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402
from lava.proc.conv.models import PyConvModelFixed  # noqa: E402
from lava.proc.conv.process import Conv  # noqa: E402
from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc  # noqa: E402
from lava.proc.dense.process import DelayDense, Dense  # noqa: E402
from lava.proc.io.source import PySendModelFixed, RingBuffer  # noqa: E402
from lava.proc.lif.models import AbstractPyLifModelFixed, PyLifModelBitAcc  # noqa: E402
from lava.proc.lif.process import LIF  # noqa: E402
from lava.utils.weightutils import SignMode  # noqa: E402


def received(self, req):
    """Lava's thread that takes in the messages of a port, which here tells whoever waits of each.

    Lava's own tells of a message only where it saw an empty queue before. When the last step's end and the order to stop come
    close together, the receiver may empty the queue after that look: then it waits for ever for what is there.
    """
    try:
        while req.acquire() and not self._done:
            self._queue.put_nowait(0)
            tell = self.observer
            if tell:
                tell()
    except EOFError:
        pass


CspRecvPort._req_callback = received

SIGNS = {"mixed": SignMode.MIXED, "exc": SignMode.EXCITATORY, "inh": SignMode.INHIBITORY}
NEVER = 2**17  # a threshold that v cannot pass, as v stops at 2**23 - 1


class Recording:
    """Of a neurons' model: writes down spikes, u and v, and rests between samples until no spike is on its way any more.

    Class attributes, set before the models start in processes of their own: where to write, steps of a sample, steps of rest
    after each but the last, samples.
    """

    folder, steps, rest, samples = "", 0, 0, 0

    @classmethod
    def total(cls):
        return cls.samples * (cls.steps + cls.rest) - cls.rest

    def run_spk(self):
        """A step of Lava's model, or of rest."""
        sample, step = divmod(self.time_step - 1, self.steps + self.rest)
        if self.time_step == 1:
            self.kept = [np.zeros((self.steps, self.samples, self.v.size), t) for t in (np.uint8, np.int32, np.int32)]
            self.v[:] = self.proc_params.get("start", 0)  # lava-dl makes neurons without one
        if step >= self.steps:
            self.a_in.recv()
            self.u[:] = 0
            self.v[:] = self.proc_params.get("start", 0)
            self.s_out.send(np.zeros(self.v.shape, bool))
        else:
            super().run_spk()
            for kept, now in zip(self.kept, (self.s_out_buff, self.u, self.v), strict=True):
                kept[step, sample] = now.ravel()
        if self.time_step == self.total():
            np.savez(os.path.join(self.folder, f"{self.model_id}.npz"), **dict(zip(KINDS, self.kept, strict=True)))


class Native(Recording, PyLifModelBitAcc):
    """Lava's own neuron."""


class Own(Recording, AbstractPyLifModelFixed):
    """Lava's neuron with du, dv and vth for each neuron, and a reset that subtracts the threshold, or to zero."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: int = LavaPyType(int, np.int32, precision=17)
    implements_process = LIF
    implements_protocol = LoihiProtocol
    required_resources = (CPU,)
    tags = ("fixed_pt",)

    def scale_threshold(self):
        for name, value in self.proc_params["each"].items():
            setattr(self, name, value)
        self.threshold = self.vth << self.vth_shift
        self.isthrscaled = True

    def spiking_activation(self):
        return self.v > self.threshold

    def reset_voltage(self, spike_vector):
        if self.proc_params["soft"]:
            self.v[:] = np.where(spike_vector, self.v - self.threshold, self.v)
        else:
            self.v[spike_vector] = 0


class LateConv(PyConvModelFixed):
    """Lava's convolution, whose sums are shifted by a negative exponent, and sent `late` steps later than Lava's are."""

    def run_spk(self):
        late = self.proc_params["late"]
        if self.time_step == 1:
            self.queue = [np.zeros_like(self.a_buf) for _ in range(late)]
        super().run_spk()
        self.queue.append(self.a_buf >> self.proc_params["down"])
        self.a_buf = self.queue.pop(0)


class Together(AbstractProcess):
    """Receives all spikes, so that networks that are not connected run as one graph."""

    def __init__(self, sources):
        super().__init__()
        for i, port in enumerate(sources):
            setattr(self, f"port{i}", InPort(shape=port.shape))
            port.connect(getattr(self, f"port{i}"))


def together(sources):
    """The process and its model, which has a port for each source."""
    def run_spk(self):
        for i in range(len(sources)):
            getattr(self, f"port{i}").recv()

    ports = {f"port{i}": LavaPyType(PyInPort.VEC_DENSE, np.int32) for i in range(len(sources))}
    model = type("PyTogether", (PyLoihiProcessModel,), {**ports, "run_spk": run_spk})
    return Together(sources), implements(proc=Together, protocol=LoihiProtocol)(requires(CPU)(tag("fixed_pt")(model)))


class Description:
    """A description and its arrays: a dict, with arrays in place of their names."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.net = json.load(file)
        if self.net["format"] != "snnsim loihi processes" or self.net["schema"] not in (1, 2):
            raise ValueError(f"{path} is no description that this program reads: {self.net['format']} {self.net['schema']}")
        with h5py.File(os.path.join(os.path.dirname(os.path.abspath(path)), self.net["arrays"]["file"]), "r") as file:
            self._fill(self.net["populations"], file)
            self._fill(self.net["projections"], file)
        self.shapes = {p["name"]: tuple(p["shape"]) for p in self.net["populations"]}

    def _fill(self, entries, file):
        for entry in entries:
            for key, value in entry.items():
                if isinstance(value, dict) and "array" in value:
                    entry[key] = file[value["array"]][()]

    @property
    def latency(self):
        return self.net["latency"]

    @property
    def longest(self):
        """The most steps that a spike is on its way."""
        own = [np.max(q["delays"]) if "delays" in q else 0 for q in self.net["projections"]]
        return max([q["delay"] + o for q, o in zip(self.net["projections"], own, strict=True)], default=1)


def source(counts, shape, steps, rest):
    """The process that sends counts [T, B, *input], each sample padded to `steps` and followed by `rest`."""
    batch, flat = counts.shape[1], counts.reshape(*counts.shape[:2], -1)
    data = np.zeros((batch, steps + rest, flat.shape[2]), np.int32)
    data[:, : len(flat)] = flat.transpose(1, 0, 2)
    return RingBuffer(data=data.reshape(-1, flat.shape[2]).T.reshape(*shape, -1))


def message_bits(counts):
    """0 where there is one spike at most, else what counts need."""
    return 0 if np.isin(counts, (0, 1)).all() else int(np.abs(counts).max()).bit_length()


def neurons(p):
    """The process of a population, flat in C order, and its model."""
    size = int(np.prod(p["shape"]))

    def full(value):
        return np.broadcast_to(value, p["shape"]).reshape(size).astype(np.int32)

    given = {k: np.unique(p[k]) for k in ("du", "dv", "vth")}
    bias = {"bias_mant": full(p["bias"]), "bias_exp": p["bias_exponent"], "start": full(p.get("start", 0))}
    if p["reset"] == "none":
        given["vth"] = np.array([NEVER])
    if p["reset"] != "soft" and all(len(v) == 1 for v in given.values()):
        return LIF(shape=(size,), **{k: int(v[0]) for k, v in given.items()}, **bias), Native
    each = {k: full(p[k] if p["reset"] != "none" or k != "vth" else NEVER) for k in given}
    return LIF(shape=(size,), du=0, dv=0, vth=0, **bias, each=each, soft=p["reset"] == "soft"), Own


def matrix(q):
    """Weights [outputs, inputs] of a projection that is no convolution."""
    if q["map"] != "Sparse":
        return q["weight"].astype(np.int32)
    dense = np.zeros(q["shape"], np.int32)
    rows = np.repeat(np.arange(q["shape"][1]), np.diff(q["indptr"]))
    np.add.at(dense, (q["targets"], rows), q["weight"])
    return dense


def connect(q, out, into, shapes, bits):
    """Connect two flat ports by the process of a projection; give it and its model."""
    if q["map"] == "Conv2d":
        weight = q["weight"].astype(np.int32)[:, :, ::-1, ::-1].transpose(0, 3, 2, 1) << max(0, q["exponent"])
        channels, height, width = shapes[q["source"]]
        late, down = q["delay"] - 1, max(0, -q["exponent"])
        process = Conv(weight=weight, input_shape=(width, height, channels), stride=tuple(q["stride"][::-1]),
                       padding=tuple(q["padding"][::-1]), num_message_bits=bits)
        process.proc_params["late"], process.proc_params["down"] = late, down
        out.reshape((channels, height, width)).transpose((2, 1, 0)).connect(process.s_in)
        process.a_out.transpose((2, 1, 0)).flatten().connect(into)
        return process, LateConv if late or down else PyConvModelFixed
    weight = matrix(q)
    delays = np.broadcast_to(q.get("delays", 0), weight.shape).astype(int) + q["delay"] - 1
    held = {"weights": weight, "weight_exp": q["exponent"], "num_weight_bits": q["bits"], "sign_mode": SIGNS[q["sign"]],
            "num_message_bits": bits}
    process, model = (DelayDense(delays=delays, **held), PyDelayDenseModelBitAcc) if delays.any() else (
        Dense(**held), PyDenseModelBitAcc)
    out.connect(process.s_in)
    process.a_out.connect(into)
    return process, model


def build(net, counts, steps, rest):
    """Processes of a network with their models, and those of its populations by name."""
    first = net.net["populations"][0]
    send = source(counts, (int(np.prod(first["shape"])),), steps, rest)
    models, made, out, into = {send: PySendModelFixed}, {}, {first["name"]: send.s_out}, {}
    for p in net.net["populations"][1:]:
        process, model = neurons(p)
        models[process] = model
        made[p["name"]] = process
        out[p["name"]], into[p["name"]] = process.s_out, process.a_in
    for q in net.net["projections"]:
        bits = message_bits(counts) if q["source"] == first["name"] else 0
        process, model = connect(q, out[q["source"]], into[q["target"]], net.shapes, bits)
        models[process] = model
    return models, made


def telling(folder, parent, step):
    """The `run` of all process models, which says why a model failed: Lava itself would wait for it for ever."""
    def run(self):
        try:
            step(self)
        except Exception:
            with open(os.path.join(folder, "failed.txt"), "a", encoding="utf-8") as file:
                file.write(f"{type(self).__name__}: {traceback.format_exc()}")
            os.kill(parent, signal.SIGUSR1)
            raise

    return run


def run_built(models, neurons_of, outs, steps, rest, samples):
    """Run processes, of one network or of many, and give spikes, u and v by process of neurons, [steps, samples, neurons].

    outs: ports from which all processes can be reached. RuntimeError with what the process models said that failed.
    """
    join, model = together(outs)
    step = AbstractPyProcessModel.run

    def fail(*_):
        raise RuntimeError("a process model failed")

    with tempfile.TemporaryDirectory(prefix="lava-") as folder:
        Recording.folder, Recording.steps, Recording.rest, Recording.samples = folder, steps, rest, samples
        AbstractPyProcessModel.run = telling(folder, os.getpid(), step)
        handler = signal.signal(signal.SIGUSR1, fail)
        config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={**models, join: model})
        try:
            join.run(condition=RunSteps(num_steps=Recording.total()), run_cfg=config)
            join.stop()
        except BaseException:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            for process in join.runtime._messaging_infrastructure.actors if join.runtime else ():
                process.kill()
            if os.path.exists(os.path.join(folder, "failed.txt")):
                with open(os.path.join(folder, "failed.txt"), encoding="utf-8") as file:
                    raise RuntimeError(file.read()) from None
            raise
        finally:
            signal.signal(signal.SIGUSR1, handler)
            AbstractPyProcessModel.run = step
        found = {}
        for n in neurons_of:
            with np.load(os.path.join(folder, f"{n.id}.npz")) as kept:
                found[n] = {kind: kept[kind] for kind in KINDS}
    return found


def run(jobs):
    """Run networks side by side in one runtime. jobs: (Description, counts [T, B, *input]), all of the same B.

    Result: of each, by population, spikes, u and v, [T + latency, B, *population].
    """
    steps, rest = max(len(c) + d.latency for d, c in jobs), max(d.longest for d, _ in jobs) + 2
    models, all_made = {}, []
    for net, counts in jobs:
        more, made = build(net, counts, steps, rest)
        models.update(more)
        all_made.append(made)
    every = [n for made in all_made for n in made.values()]
    found = run_built(models, every, [n.s_out for n in every], steps, rest, jobs[0][1].shape[1])
    return [{name: {kind: a[: len(c) + d.latency].reshape(len(c) + d.latency, c.shape[1], *d.shapes[name])
                    for kind, a in found[n].items()} for name, n in made.items()}
            for (d, c), made in zip(jobs, all_made, strict=True)]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="Run a network in whole numbers with Lava on the CPU.")
    parser.add_argument("description", nargs="?", default=os.path.join(here, DESCRIPTION) if DESCRIPTION else None)
    parser.add_argument("--counts", help="an .npz file with the array counts, whole numbers [T, *input] or "
                        "[T, B, *input]; random events without it")
    parser.add_argument("--out", help="an .npz file for spikes, u and v")
    given = parser.parse_args()
    if given.description is None:
        parser.error("which description?")
    for path in (given.description, given.counts):
        if path and not os.path.isfile(path):
            parser.error(f"there is no file {path}")
    net = Description(given.description)
    shape = tuple(net.net["populations"][0]["shape"])
    if given.counts:
        with np.load(given.counts) as file:
            if "counts" not in file:
                parser.error(f"{given.counts} holds no array counts, only {', '.join(file)}")
            counts = file["counts"]
    else:
        counts = (np.random.default_rng(0).random((50, 1, *shape)) < 0.1).astype(np.int64)
    counts = counts[:, None] if counts.shape[1:] == shape else counts
    if counts.shape[2:] != shape:
        parser.error(f"counts has shape {counts.shape}, but the input is {shape}")
    if counts.dtype.kind not in "buif" or np.any(counts != np.rint(counts)):
        parser.error(f"counts must be whole numbers, got {counts.dtype}")
    [found] = run([(net, counts)])
    for name, kept in found.items():
        print(f"{name}: {int(kept['spikes'].sum())} spikes in {kept['spikes'].shape[0]} steps of {counts.shape[1]} samples")
    if given.out:
        np.savez(given.out, **{f"{name}/{kind}": a for name, kept in found.items() for kind, a in kept.items()})


if __name__ == "__main__":
    main()
