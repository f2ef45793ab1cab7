"""Nets of other frameworks as snnsim modules with equal spikes."""

from snnsim.nn.convert.snntorch import from_snntorch
from snnsim.nn.convert.spikingjelly import from_spikingjelly

__all__ = ["from_snntorch", "from_spikingjelly"]
