"""Networks as superconducting pulse logic: single flux quanta that are counted."""

from snnsim.hardware.sfq.analog.export import export_junctions
from snnsim.hardware.sfq.export import export
from snnsim.hardware.sfq.jitter import JitterRow, margin, sweep
from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork, of_network
from snnsim.hardware.sfq.pulses import PulseResult, input_pulses, run
from snnsim.hardware.sfq.schedule import Delays, Phase, Schedule, asynchronous, slotted
from snnsim.hardware.sfq.trained import of_run
from snnsim.hardware.sfq.xor import xor, xor_pulses

__all__ = ["Delays", "JitterRow", "Phase", "PulseResult", "SFQLayer", "SFQNetwork", "Schedule", "asynchronous", "export",
           "export_junctions", "input_pulses", "margin", "of_network", "of_run", "run", "slotted", "sweep", "xor", "xor_pulses"]
