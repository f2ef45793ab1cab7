"""One command per claim about speed, with the peers beside it in the same run: `python -m benchmarks NAME --json`."""

import snnsim.nn  # noqa: F401  # before torch: see snnsim.nn.waiting
