"""Other tools, each in a process of its own: run our exports there and compare."""

from snnsim.interop.nir_child import MISSING
from snnsim.interop.nir_tools import INSTALL, TOOLS, run_nir, run_nirs, verify_nir

__all__ = ["INSTALL", "MISSING", "TOOLS", "run_nir", "run_nirs", "verify_nir"]
