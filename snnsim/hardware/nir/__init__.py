"""Networks to and from NIR, the Neuromorphic Intermediate Representation, with h5py alone."""

from snnsim.hardware.nir.read import Description, describe, read
from snnsim.hardware.nir.write import ExportReport, export

__all__ = ["Description", "ExportReport", "describe", "export", "read"]
