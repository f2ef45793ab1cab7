"""Where the neurons of an integer network would lie on a chip, and whether they fit: limits, placing, the report."""

from snnsim.hardware.mapping.limits import Limit, LoihiLimits
from snnsim.hardware.mapping.place import Core, Misfit
from snnsim.hardware.mapping.preflight import NO_PROMISE, Mapping, place
from snnsim.hardware.mapping.use import Part

__all__ = ["NO_PROMISE", "Core", "Limit", "LoihiLimits", "Mapping", "Misfit", "Part", "place"]
