"""Spiking layers for torch: [T, B, ...], explicit state, fused time loops, sparse events into the first layer."""

from snnsim.nn import waiting  # noqa: F401, I001  # the first to load torch, if nobody has

from snnsim.nn.chunks import checkpointed, truncated
from snnsim.nn.convert import from_snntorch, from_spikingjelly
from snnsim.nn.delays import Delay, DelayLinear
from snnsim.nn.eager import eager
from snnsim.nn.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, SumPool2d
from snnsim.nn.neuron import Neuron, Readout, set_dt
from snnsim.nn.pool import POOL
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.sequential import Sequential, Stateful
from snnsim.nn.surrogate import SURROGATES, Surrogate

__all__ = ["POOL", "SURROGATES", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv2d", "Delay", "DelayLinear", "Dropout",
           "Flatten", "Linear", "MaxPool2d", "Neuron", "Readout", "Recurrent", "Sequential", "Stateful", "SumPool2d",
           "Surrogate", "checkpointed", "eager", "from_snntorch", "from_spikingjelly", "set_dt", "truncated"]
