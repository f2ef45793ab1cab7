"""Spiking layers for torch: [T, B, ...], explicit state, fused time loops, sparse events into the first layer."""

from snnsim.nn import waiting  # noqa: F401, I001  # the first to load torch, if nobody has

from snnsim.neurons.territory import territories
from snnsim.nn.astrocytes import Astrocytes
from snnsim.nn.chunks import checkpointed, truncated
from snnsim.nn.convert import from_snntorch, from_spikingjelly
from snnsim.nn.eager import eager
from snnsim.nn.elm import ELM, branch_windows
from snnsim.nn.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, SumPool2d
from snnsim.nn.membranes import membranes
from snnsim.nn.neuron import Neuron, Readout, set_dt, set_penalty
from snnsim.nn.penalty import Penalty, penalties
from snnsim.nn.pool import POOL
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.rmp import RMP
from snnsim.nn.sequential import Sequential, Stateful
from snnsim.nn.surrogate import SURROGATES, Surrogate

__all__ = ["ELM", "POOL", "RMP", "SURROGATES", "Astrocytes", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv2d",
           "Dropout", "Flatten", "Linear", "MaxPool2d", "Neuron", "Penalty", "Readout", "Recurrent", "Sequential",
           "Stateful", "SumPool2d", "Surrogate", "branch_windows", "checkpointed", "eager", "from_snntorch",
           "from_spikingjelly", "membranes", "penalties", "set_dt", "set_penalty", "territories", "truncated"]
