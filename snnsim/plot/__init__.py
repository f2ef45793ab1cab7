"""Pictures, each a matplotlib Figure: nothing is shown and no global state is touched; `save` writes one to a file."""

from snnsim.plot.activity import activity
from snnsim.plot.confusion import confusion
from snnsim.plot.decisions import decisions
from snnsim.plot.events import events
from snnsim.plot.jitter import jitter
from snnsim.plot.margins import margins
from snnsim.plot.match import match
from snnsim.plot.membranes import membranes
from snnsim.plot.network import network
from snnsim.plot.populations import populations
from snnsim.plot.raster import raster
from snnsim.plot.readout import readout
from snnsim.plot.saving import save, svg
from snnsim.plot.schematic import cells, elements
from snnsim.plot.statistics import statistics
from snnsim.plot.traces import traces
from snnsim.plot.training import training
from snnsim.plot.viewing import animate, overview
from snnsim.plot.waveforms import waveforms

__all__ = ["activity", "animate", "cells", "confusion", "decisions", "elements", "events", "jitter", "margins", "match",
           "membranes", "network", "overview", "populations", "raster", "readout", "save", "statistics", "svg", "traces",
           "training", "waveforms"]
