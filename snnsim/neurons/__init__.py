"""What a neuron is: rules on floats, each in its own file with its equation and its source."""

from snnsim.neurons.adaptive import AdaptiveLIF
from snnsim.neurons.adex import AdEx
from snnsim.neurons.astrocyte import AMLIF
from snnsim.neurons.cond_exp import CondExp
from snnsim.neurons.counter import Counter
from snnsim.neurons.cuba import CubaLIF
from snnsim.neurons.integrate import IF
from snnsim.neurons.izhikevich import Izhikevich
from snnsim.neurons.lif import LIF
from snnsim.neurons.loihi import LoihiLIF
from snnsim.neurons.mpr import MPRLIF
from snnsim.neurons.psc_alpha import PscAlpha
from snnsim.neurons.psc_delta import PscDelta
from snnsim.neurons.psc_exp import PscExp
from snnsim.neurons.readout import LI
from snnsim.neurons.territory import Astrocyte

__all__ = ["AMLIF", "IF", "LI", "LIF", "MPRLIF", "AdEx", "AdaptiveLIF", "Astrocyte", "CondExp", "Counter", "CubaLIF",
           "Izhikevich", "LoihiLIF", "PscAlpha", "PscDelta", "PscExp"]
