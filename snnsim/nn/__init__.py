"""Spiking layers for torch: [T, B, ...], explicit state, fused time loops, sparse events into the first layer."""

from snnsim.nn import waiting  # noqa: F401, I001  # the first to load torch, if nobody has

from snnsim.neurons.territory import territories
from snnsim.nn.astrocytes import Astrocytes
from snnsim.nn.chunks import checkpointed, truncated
from snnsim.nn.convert import from_snntorch, from_spikingjelly
from snnsim.nn.delays import Delay, DelayLinear
from snnsim.nn.eager import eager
from snnsim.nn.elm import ELM, branch_windows
from snnsim.nn.biper import BiPer, biper
from snnsim.nn.graph import Graph
from snnsim.nn.hoyer import HoyerSpike, collected, hoyer_loss
from snnsim.nn.layers import AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, SumPool2d
from snnsim.nn.membranes import membranes
from snnsim.nn.neuron import Neuron, Readout, set_dt, set_penalty
from snnsim.nn.penalty import Penalty, penalties
from snnsim.nn.mpbn import MPBN
from snnsim.nn.norms import TEBN1d, TEBN2d, BNTT1d, BNTT2d, TdBN1d, TdBN2d
from snnsim.nn.pool import POOL
from snnsim.nn.pulsed import Counts, PulsedLinear, PulsedNeuron, pulse_cost
from snnsim.nn.qcfs import QCFS, to_spiking
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.rmp import RMP
from snnsim.nn.sequential import Sequential, Stateful
from snnsim.nn.whole import Hop, Whole, WholeNeuron, WholeRecurrent
from snnsim.nn.surrogate import SURROGATES, Surrogate, estimating_error, gradient_stability, reste, reste_exponent

__all__ = ["ELM", "MPBN", "POOL", "QCFS", "RMP", "SURROGATES", "Astrocytes", "AvgPool2d", "BNTT1d", "BNTT2d", "BatchNorm1d",
           "BatchNorm2d", "BiPer", "Conv2d", "Counts", "Delay", "DelayLinear", "Dropout", "Flatten", "Graph", "Hop",
           "HoyerSpike", "Linear", "MaxPool2d", "Neuron", "Penalty", "PulsedLinear", "PulsedNeuron", "Readout", "Recurrent",
           "Sequential", "Stateful", "SumPool2d", "Surrogate", "TEBN1d", "TEBN2d", "TdBN1d", "TdBN2d", "Whole", "WholeNeuron",
           "WholeRecurrent", "biper", "branch_windows", "checkpointed", "collected", "eager", "estimating_error",
           "from_snntorch", "from_spikingjelly", "gradient_stability", "hoyer_loss", "membranes", "penalties", "pulse_cost",
           "reste", "reste_exponent", "set_dt", "set_penalty", "territories", "to_spiking", "truncated"]
