"""Potjans and Diesmann 2014, as networks.microcircuit says: 299 million synapses at full scale, memory dominates."""

from __future__ import annotations

from benchmarks.common import Against, AsJson, Threads
from benchmarks.simulators import Milliseconds, Precision, Scale, compare


def microcircuit(threads: Threads = 1, scale: Scale = 1.0, precision: Precision = "single", ms: Milliseconds = 1000.0,
                 against: Against = None, as_json: AsJson = False) -> None:
    """A column of cortex, 77,169 neurons and 299 million synapses (Potjans and Diesmann), beside its peers."""
    compare("microcircuit", threads, scale, precision, ms, against, as_json)
