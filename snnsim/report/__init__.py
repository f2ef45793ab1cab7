"""What a network did on a data set, in numbers and as one HTML file that holds everything it shows."""

from snnsim.report.simulation import Simulation, simulate, simulate_file
from snnsim.report.writing import write_report

__all__ = ["Simulation", "simulate", "simulate_file", "write_report"]
