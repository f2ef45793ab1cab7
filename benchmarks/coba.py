"""Vogels and Abbott 2005 with conductances, as networks.coba says: an exponential and a division for each neuron and step."""

from __future__ import annotations

from benchmarks.common import Against, AsJson, Threads
from benchmarks.simulators import Milliseconds, Precision, Scale, compare


def coba(threads: Threads = 1, scale: Scale = 1.0, precision: Precision = "single", ms: Milliseconds = 1000.0,
         against: Against = None, as_json: AsJson = False) -> None:
    """4,000 neurons with synaptic conductances (Vogels and Abbott), beside NEST and Brian2."""
    compare("coba", threads, scale, precision, ms, against, as_json)
