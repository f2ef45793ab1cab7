"""Networks as superconducting pulse logic: single flux quanta that are counted."""

from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork, of_network

__all__ = ["SFQLayer", "SFQNetwork", "of_network"]
