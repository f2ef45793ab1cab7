"""Vogels and Abbott 2005 with currents, as networks.cuba says: so small that what a step costs besides its events shows."""

from __future__ import annotations

from benchmarks.common import Against, AsJson, Threads
from benchmarks.simulators import Milliseconds, Precision, Scale, compare


def cuba(threads: Threads = 1, scale: Scale = 1.0, precision: Precision = "single", ms: Milliseconds = 1000.0,
         against: Against = None, as_json: AsJson = False) -> None:
    """4,000 neurons with synaptic currents (Vogels and Abbott), beside NEST, Brian2 and a bare loop."""
    compare("cuba", threads, scale, precision, ms, against, as_json)
