"""Other tools, each in a process of its own: run our exports there and compare."""

from snnsim.hardware.loihi.check import Quantised
from snnsim.interop.child import MISSING
from snnsim.interop.lava_tools import INSTALL_LAVA, LavaReport, run_lava, verify_lava
from snnsim.interop.nir_tools import INSTALL, TOOLS, run_nir, run_nirs, verify_nir
from snnsim.interop.proof import prove
from snnsim.interop.proved import Proof, Run

__all__ = ["INSTALL", "INSTALL_LAVA", "MISSING", "TOOLS", "LavaReport", "Proof", "Quantised", "Run", "prove", "run_lava",
           "run_nir", "run_nirs", "verify_lava", "verify_nir"]
