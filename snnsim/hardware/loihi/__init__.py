"""Networks in whole numbers for Loihi: lava-dl's exchange file, our own description of the processes, and a script for Lava."""

from snnsim.hardware.loihi import check, netx, process, script

__all__ = ["check", "netx", "process", "script"]
