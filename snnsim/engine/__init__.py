"""Runs a Network on events: event-driven or clock-driven, any number of threads, the same spikes."""

from snnsim.engine.plan import Prepared
from snnsim.engine.result import Result, Spikes
from snnsim.engine.running import prepare, run

__all__ = ["Prepared", "Result", "Spikes", "prepare", "run"]
