"""Networks in whole numbers: the model, what makes it of a Network, and what runs it bit for bit."""

from snnsim.hardware.integer.calibrate import calibrate
from snnsim.hardware.integer.execute import IntegerResult, run
from snnsim.hardware.integer.model import IntegerNetwork, IntegerPopulation, IntegerProjection, truncated
from snnsim.hardware.integer.quantize import quantize

__all__ = ["IntegerNetwork", "IntegerPopulation", "IntegerProjection", "IntegerResult", "calibrate", "quantize", "run",
           "truncated"]
