"""lava-dl's exchange file, .net: `write` and `read`."""

from snnsim.hardware.loihi.netx_read import read
from snnsim.hardware.loihi.netx_write import write

__all__ = ["read", "write"]
