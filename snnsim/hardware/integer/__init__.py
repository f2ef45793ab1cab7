"""Networks in whole numbers: the model, what makes it of a Network, what runs it bit for bit, and what faults do to it."""

from snnsim.hardware.integer.calibrate import calibrate
from snnsim.hardware.integer.execute import IntegerResult, run
from snnsim.hardware.integer.faults import KINDS, Faults, Ranges, profile, run_faulty
from snnsim.hardware.integer.model import IntegerNetwork, IntegerPopulation, IntegerProjection, truncated
from snnsim.hardware.integer.quantize import quantize

__all__ = ["KINDS", "Faults", "IntegerNetwork", "IntegerPopulation", "IntegerProjection", "IntegerResult", "Ranges",
           "calibrate", "profile", "quantize", "run", "run_faulty", "truncated"]
