"""Runs a Network: trained nets on events (`run`, in pieces `stream`), populations through time (`Simulation`); always the same
spikes."""

from snnsim.engine.layout import Connections, connections
from snnsim.engine.plan import Prepared
from snnsim.engine.plan_populations import source_output
from snnsim.engine.recording import Recording, SpikeTrains, Traces, join_recordings
from snnsim.engine.recording_file import load_recording, save_recording
from snnsim.engine.result import Result, Spikes
from snnsim.engine.running import prepare, run
from snnsim.engine.simulation import Estimate, Simulation, estimate
from snnsim.engine.streaming import stream

__all__ = ["Connections", "Estimate", "Prepared", "Recording", "Result", "Simulation", "SpikeTrains", "Spikes", "Traces",
           "connections", "estimate", "join_recordings", "load_recording", "prepare", "run", "save_recording",
           "source_output", "stream"]
