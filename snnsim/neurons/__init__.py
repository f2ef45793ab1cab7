"""What a neuron is: rules on floats, each in its own file with its equation and its source."""

from snnsim.neurons.adaptive import AdaptiveLIF
from snnsim.neurons.cuba import CubaLIF
from snnsim.neurons.integrate import IF
from snnsim.neurons.lif import LIF
from snnsim.neurons.readout import LI

__all__ = ["IF", "LI", "LIF", "AdaptiveLIF", "CubaLIF"]
