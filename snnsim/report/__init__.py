"""What a network did on a data set, in numbers and as one HTML file that holds everything it shows."""

from snnsim.report.simulation import Simulation, simulate
from snnsim.report.writing import write_report

__all__ = ["Simulation", "simulate", "write_report"]
