"""Networks out: writers for other tools and for hardware, each with its own reader and check."""

from snnsim.hardware import nir
from snnsim.hardware.verify import Divergence, LayerMatch, MatchReport, compare, verify

__all__ = ["Divergence", "LayerMatch", "MatchReport", "compare", "nir", "verify"]
