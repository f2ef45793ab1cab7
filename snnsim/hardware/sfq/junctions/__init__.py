"""Josephson circuits at the level of junctions: decks, the solver, waveforms."""

from snnsim.hardware.sfq.junctions.circuit import Circuit, flatten
from snnsim.hardware.sfq.junctions.deck import parse_deck, read_deck
from snnsim.hardware.sfq.junctions.parts import Deck, Element, Model, Print, Subcircuit, Tran, Waveform
from snnsim.hardware.sfq.junctions.solver import simulate
from snnsim.hardware.sfq.junctions.waveforms import Switches, Waveforms, load_waveforms, save_waveforms, write_csv

__all__ = ["Circuit", "Deck", "Element", "Model", "Print", "Subcircuit", "Switches", "Tran", "Waveform", "Waveforms", "flatten",
           "load_waveforms", "parse_deck", "read_deck", "save_waveforms", "simulate", "write_csv"]
