"""The solver of Josephson circuits: JoSIM's stored waveforms, closed forms, noise, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snnsim.hardware.sfq.junctions import read_deck, simulate

DECKS = Path(__file__).resolve().parents[1].parent / "shared" / "sfq"
NAMES = ("jtl", "split", "merge", "dro", "neuron", "xor")
stored = pytest.mark.skipif(not DECKS.is_dir(), reason="there is no ../shared/sfq beside the checkout")


@stored
@pytest.mark.parametrize("name", NAMES)
def test_switching_times_and_phases_are_those_of_josim(name):
    """JoSIM 2.7 gave them, with seven digits: 0.05 ps and 1e-4 rad."""
    reference = json.loads((DECKS / "josim-2.7-reference.json").read_text())[name]
    found = simulate(read_deck(DECKS / f"{name}.cir"))
    for printed, times in reference["junctions"].items():
        mine = 1e12 * found.switches[printed[2:-1]]
        assert len(mine) == len(times) and np.abs(mine - times).max(initial=0.0) < 0.05, printed
    rows = {round(1e13 * t): k for k, t in enumerate(found.time)}  # by time stamp: rows of the reference are missing
    for printed, samples in reference["samples"].items():
        at = [rows[round(10 * t)] for t, _ in samples]
        assert np.abs(found[printed][at] - [p for _, p in samples]).max() < 1e-4, printed
