"""How torch's threads wait for work: they sleep, if snnsim.nn is imported before torch.

Left to itself, OpenMP lets a thread spin for some milliseconds after each operation of torch, on a core that a kernel of
ours would use next: on two cores a training step with two threads is then slower than with one. OpenMP reads how to wait
when it is loaded, from OMP_WAIT_POLICY, so that nothing can be done once torch is there, or where it was set on purpose.
"""

import os
import sys

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        import torch  # noqa: F401
    finally:
        del os.environ["OMP_WAIT_POLICY"]  # processes that are started from here decide for themselves
