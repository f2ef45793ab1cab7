"""Decks of junctions as files, read again, verified, drawn; and the commands."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from snnsim import plot
from snnsim.hardware.sfq import SFQLayer, SFQNetwork, export_junctions
from snnsim.hardware.sfq.analog import export as exporting
from snnsim.hardware.sfq.analog.export import is_junctions, read_junctions
from snnsim.hardware.sfq.analog.fit import fit_network
from snnsim.hardware.sfq.analog.run import run_junctions
from snnsim.hardware.sfq.analog.soma import Soma
from snnsim.hardware.sfq.junctions import parse_deck, read_deck, simulate
from snnsim.hardware.sfq.xor import xor
from snnsim.interop import prove
from snnsim.interop.ngspice_tool import ngspice
from snnsim.network import TimeBase
from snnsim.network_file import save_network
from tests.test_cli import snnsim


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("sfq") / "net.json"
    return path, export_junctions(xor("C"), path, pulses=[[0, 1, 1, 0], [1, 0, 1, 0]])


def test_the_files_hold_the_network_its_fits_and_the_same_circuit_twice(written):
    path, fitted = written
    told = json.loads(path.read_text())
    assert told["exact"] is True and told["junctions"] == 105 and told["fits"]["y[0]"]["margin"] > 0.15
    found = read_junctions(path)
    assert is_junctions(path) and found.exact and found.somas == fitted.somas
    assert [q.weight.tolist() for q in found.network.layers] == [q.weight.tolist() for q in xor("C").layers]
    assert found.laid().text == path.with_suffix(".cir").read_text()
    theirs = path.with_name("net.ngspice.cir").read_text()
    deck = read_deck(path.with_suffix(".cir"))
    assert sum(line.startswith("cj") for line in theirs.splitlines()) == 105 and len(deck.prints) > 5
    assert run_junctions(found.laid()).outputs[:, 0].tolist() == [1, 0]


def test_verify_runs_the_deck_and_the_samples(written):
    path, _ = written
    net, counts = xor("C").network(), np.zeros((3, 2, 4))
    counts[:, :, 1] = counts[:, 0, 2] = 1
    proof = prove(path, net, counts.astype(net.dtype), tools=False)
    assert [r.tool for r in proof.runs] == ["snnsim, junctions", "snnsim, the deck"] and proof.exact
    assert proof.runs[0].report.layers[-1].expected == 3
    whole, deck = path.read_text(), path.with_suffix(".cir")
    text = deck.read_text()
    try:
        deck.write_text(re.sub(r"(IT 0 v pwl\(0 0 5p )1", r"\1", text))  # of y, whose bias is above 100 uA
        assert not prove(path, net, counts.astype(net.dtype), tools=False).exact
    finally:
        deck.write_text(text)
    assert path.read_text() == whole
    with pytest.raises(ValueError, match="it is an export of another network"):
        prove(path, xor("A").network(), np.zeros((1, 1, 2), np.float32))


@pytest.mark.slow
@pytest.mark.skipif(ngspice() is None, reason="ngspice is not installed")
def test_verify_runs_the_deck_in_ngspice(written):
    net = xor("C").network()
    proof = prove(written[0], net, np.zeros((1, 1, 4), net.dtype))
    assert proof.runs[-1].tool == "ngspice, the deck" and proof.runs[-1].report.exact and proof.exact


def test_somas_that_are_not_exact_are_refused_unless_allowed(tmp_path, monkeypatch):
    inhibited = Soma(20.0, 3.0, 8.0, 0.9, leak=0.0, wait=2, output=4.0)
    monkeypatch.setattr(exporting, "fit_network", lambda net, library: fit_network(net, library, [inhibited]))
    net = SFQNetwork([SFQLayer("y", [[2, -1]], 1, leak=0)])
    sentence = r"y\[0\]: 2 of 4 patterns are decided wrongly \(-1 fires; \+2 -1 does not fire\): somas of junctions are not"
    with pytest.raises(ValueError, match=sentence):
        export_junctions(net, tmp_path / "n.json")
    assert not list(tmp_path.iterdir())
    export_junctions(net, tmp_path / "n.json", allow_lossy=True)
    told = json.loads((tmp_path / "n.json").read_text())
    assert told["exact"] is False and told["inexact"][0].startswith("y[0]: 2 of 4")
    assert not read_junctions(tmp_path / "n.json").exact


def test_damaged_descriptions_are_sentences(written, tmp_path):
    told = json.loads(written[0].read_text())
    for change, sentence in (({"schema": 9}, "schema 9"), ({"format": "x"}, "is no description"),
                             ({"clock": {"period": -1}}, "period"),
                             ({"somas": 1, "layers": 3}, "n.json: "), ({"pulses": [[2, 0, 0, 0]]}, "pulses must be 0 or 1"),
                             ({"layers": [{**told["layers"][0], "somas": []}]}, "somas must be one for each neuron")):
        (tmp_path / "n.json").write_text(json.dumps({**told, **change}))
        with pytest.raises(ValueError, match=sentence):
            read_junctions(tmp_path / "n.json")
    (tmp_path / "n.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_junctions(tmp_path / "n.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_junctions(tmp_path / "none.json")


def test_circuits_are_drawn_from_their_decks(written, tmp_path):
    found = read_junctions(written[0])
    laid = found.laid()
    deck = parse_deck(laid.text)
    figure = plot.cells(deck)
    texts = {t.get_text() for t in figure.axes[0].texts}
    assert {"jtl\nin0", "neuron0\nn0_0", "dro\nlatch1_0", "clock1"} <= texts
    assert len(texts) == sum(e.kind in "XV" for e in deck.elements)
    x = {t.get_text(): t.get_position()[0] for t in figure.axes[0].texts}
    assert x["jtl\nin0"] < x["dro\nlatch0_0"] < x["neuron0\nn0_0"] < x["dro\nlatch1_0"] < x["jtl\nout0"]
    place = {t.get_position() for t in figure.axes[0].texts}
    for wire in figure.axes[0].lines:  # no wire goes through a box that it does not end at
        (x0, *inner, x1), (y0, *between, y1) = wire.get_xdata(), wire.get_ydata()
        assert {(x0, y0), (x1, y1)} <= place and not place & set(zip(inner, between, strict=True))
        assert list(np.diff(wire.get_xdata())) == [1] * (len(inner) + 1)
    soma = next(s for s in deck.subcircuits.values() if s.path == "NEURON0")
    drawn = "\n".join(t.get_text() for t in plot.elements(soma).axes[0].texts)
    assert all(e.name.lower() in drawn for e in soma.elements if e.kind != "K")
    plot.save(plot.decisions(laid, simulate(deck), "C"), tmp_path / "d.png")
    with pytest.raises(ValueError, match="has 0 cells at its top"):
        plot.cells(parse_deck("* none\nR1 1 0 1\n.end"))


def test_the_commands_export_verify_and_show_xor(tmp_path):
    save_network(replace(xor("C"), time=TimeBase(steps=4)).network(), tmp_path / "net.h5")
    text = snnsim("export", tmp_path / "net.h5", tmp_path / "x.json", "--to", "sfq", "--level", "junctions")
    assert "x.cir, x.ngspice.cir" in text and "0 of 4" in text and (tmp_path / "x.ngspice.cir").exists()
    assert "exact" in snnsim("verify", tmp_path / "x.json", "--against", tmp_path / "net.h5", "--no-tools")
    snnsim("export", tmp_path / "net.h5", tmp_path / "y.json", "--to", "sfq", "--level", "junctions", "--form", "table", code=2)
    text = snnsim("sfq", "xor", "C", "--deck", tmp_path / "c.cir")
    assert "all right" in text and "+1 +1" in text and (tmp_path / "c.cir").exists()
    snnsim("sfq", "draw", tmp_path / "c.cir", tmp_path / "cells.png")
    snnsim("sfq", "draw", tmp_path / "c.cir", tmp_path / "soma.svg", "--of", "neuron0")
    assert (tmp_path / "cells.png").stat().st_size > 10_000 and "area" in (tmp_path / "soma.svg").read_text()
    assert "has no subcircuit 'N9', it has JTL, SOMA_IN, SOMA_OUT, SPLITTER, DRO, NEURON0" in snnsim(
        "sfq", "draw", tmp_path / "c.cir", tmp_path / "soma.svg", "--of", "N9", code=1)
