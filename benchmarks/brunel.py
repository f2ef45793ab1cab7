"""Brunel 2000, as networks.brunel says: asynchronous irregular, 32 Hz, delivery of synaptic events dominates."""

from __future__ import annotations

from benchmarks.common import Against, AsJson, Threads
from benchmarks.simulators import Milliseconds, Precision, Scale, compare


def brunel(threads: Threads = 1, scale: Scale = 1.0, precision: Precision = "single", ms: Milliseconds = 1000.0,
           against: Against = None, as_json: AsJson = False) -> None:
    """Brunel's random network of 12,500 neurons and 15.6 million synapses, beside NEST, Brian2 and a bare loop."""
    compare("brunel", threads, scale, precision, ms, against, as_json)
