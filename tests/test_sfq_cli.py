"""snnsim sfq: tables, files, exit codes and sentences."""

from __future__ import annotations

import json

import numpy as np
import pytest

from snnsim.hardware.sfq import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.junctions import load_waveforms
from snnsim.interop.ngspice_tool import ngspice
from snnsim.network import TimeBase
from snnsim.network_file import save_network
from tests.test_cli import snnsim

DECK = """* a junction that is pushed
.model j jj(rtype=1, vg=2.8m, cap=0.07p, r0=160, rn=16, icrit=0.1m)
B1 1 0 j
B2 2 0 j
L1 1 2 40p
R2 2 0 6.86
R1 1 0 6.86
I1 0 1 pwl(0 0 5p 120u)
.tran 0.1p 60p
.print p(B1) v(1)
"""


@pytest.fixture
def deck(tmp_path):
    (tmp_path / "d.cir").write_text(DECK)
    return tmp_path / "d.cir"


def test_sim_lists_switches_and_writes_files(deck, tmp_path):
    text = snnsim("sfq", "sim", deck, "--out", tmp_path / "w.h5", "--plot", tmp_path / "w.png")
    assert "2 junctions, 2 unknowns, 600 steps of 0.1 ps" in text and "B1" in text and "w.h5 written" in text
    assert (tmp_path / "w.png").stat().st_size > 5000
    found = load_waveforms(tmp_path / "w.h5")
    assert f"{1e12 * found.switches['B1'][0]:.2f}" in text and found.names == ("P(B1)", "V(1)")
    snnsim("sfq", "sim", deck, "--out", tmp_path / "w.csv")
    assert len((tmp_path / "w.csv").read_text().splitlines()) == 601


def test_sim_with_noise_is_repeated_by_its_seed(deck):
    runs = [json.loads(snnsim("sfq", "sim", deck, "--noise", "--seed", s, "--json")) for s in (3, 3, 4)]
    switches = [r["switches"] for r in runs]
    assert switches[0] == switches[1] != switches[2] and runs[0]["temperature"] == 4.2
    assert json.loads(snnsim("sfq", "sim", deck, "--noise", "--temperature", 1, "--json"))["temperature"] == 1


def test_wrong_calls_and_decks_are_sentences(deck, tmp_path):
    for wrong in (["--temperature", 3], ["--out", "w.txt"], ["--noise", "--ngspice"]):
        snnsim("sfq", "sim", deck, *wrong, code=2)
    assert "its name must end in" in snnsim("sfq", "sim", deck, "--plot", "w.gif", code=1)
    assert "there is no deck" in snnsim("sfq", "sim", tmp_path / "none.cir", code=1)
    deck.write_text(DECK.replace("R2 2 0", "Q2 2 0"))
    assert "d.cir, line 6: Q2: unknown element Q" in snnsim("sfq", "sim", deck, code=1)


@pytest.mark.skipif(ngspice() is None, reason="ngspice is not installed")
def test_sim_compares_with_ngspice(deck):
    text = snnsim("sfq", "sim", deck, "--ngspice")
    assert "ngspice agrees, to 0.2 ps" in text
    deck.write_text(DECK.replace("R1 1 0 6.86\n", "").replace("120u", "250u"))  # above the gap, which ngspice is not given
    assert "ngspice differs" in snnsim("sfq", "sim", deck, "--ngspice", code=1)


def test_without_ngspice_the_sentence_says_how_to_have_it(deck, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "ngspice is missing: apt install ngspice" in snnsim("sfq", "sim", deck, "--ngspice", code=1)


def test_jitter_of_an_xor_net(tmp_path):
    told = json.loads(snnsim("sfq", "jitter", "xor-B", "--sigma", 0, "--sigma", 2, "--plot", tmp_path / "j.png", "--json"))
    none, some = told["rows"]
    assert none["wrong_spikes"] == none["lost"] == 0 and some["wrong_spikes"] > 50 and "wrong" not in some
    assert 0.2 < told["error_free_ps"] < 1 and (tmp_path / "j.png").stat().st_size > 5000
    snnsim("sfq", "jitter", "xor-A", "--data", "digits-events", code=2)
    assert "name must be one of" in snnsim("sfq", "jitter", "xor-D", code=1)


@pytest.mark.slow
def test_jitter_of_a_network_file(tmp_path):
    weight = np.random.default_rng(0).integers(-1, 2, (3, 64))
    net = SFQNetwork([SFQLayer("out", weight, 2, leak=2)], time=TimeBase(10.0, 30), shape=(1, 8, 8))
    save_network(net.network(), tmp_path / "net.h5")
    data = ["--data", "digits-events", "--option", "pool=8", "--option", "polarities=1", "--limit", 3]
    text = snnsim("sfq", "jitter", tmp_path / "net.h5", *data, "--sigma", 0)
    assert "0 (0.0%)" in text and "accuracy" in text and "no spike is wrong up to" in text
    snnsim("sfq", "jitter", tmp_path / "net.h5", code=2)


def test_options_of_runs_belong_to_runs(deck):
    for wrong in (["--noise"], ["--sigma", 0.1], ["--runs", 2, "--temperature", 4]):
        snnsim("sfq", "margins", deck, *wrong, code=2)
