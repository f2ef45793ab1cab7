"""`snnsim run` on populations: from TOML, Python and network files the same spikes, in one piece or saved in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from snnsim import load_description, save_network
from snnsim.cli import app, populations
from snnsim.cli.populations import _size, _span
from snnsim.engine import Simulation, join_recordings, load_recording
from tests.test_description import NET, in_python

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """
import neighbour
from snnsim import Network, Population, SpikeTimes, Synapses, AllToAll
from snnsim.rule import Rule, where

def charge(v: float, x: float) -> float:
    return where(x > 0.0, v + x, v)
def margin(v: float) -> float:
    return v - 2.0
def reset(v: float, s: float) -> float:
    return v - 2.0 * s

size = neighbour.SIZE
own = Rule("own", charge, margin, reset)
network = Network((Population.of("p", size, own(), 1.0), Population("s", (1,), source=SpikeTimes([3, 5]))),
                  synapses=(Synapses("s", "p", AllToAll()),))
duration, record, traces = 20, ["p"], {"p": ("v", [1])}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(NET)
    return tmp_path


def run(*arguments: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["run", *map(str, arguments)], prog_name="snnsim", env={"COLUMNS": "200"})
    assert found.exit_code == code, found.output
    return found.output if code else found.stdout


def told(*arguments: object):
    return json.loads(run(*arguments, "--json"))


def test_it_says_what_it_needs_and_what_came_of_it(here):
    text = run("net.toml", "--duration", 100)
    assert re.match(r"50 neurons, about 650 synapses: 1 MiB of memory(, .+ are free)?; how long it takes is measured once it "
                    r"is built\nbuilt in .+ s: \d+ synapses\n100 ms will take (less than a second|about .+), going by the "
                    r"first 2 ms\n", text)
    assert re.search(r"population +neurons +rate \(Hz\) +CV of intervals +spikes\nE +40 +[\d.]+ +0\.\d\d +\d+\nI +10 ", text)
    assert re.search(r"simulated +100 ms in .+ s", text) and re.search(r"real-time factor +[\d.]+ \(wall clock over", text)
    assert re.search(r"synaptic events +\d.* a second of wall clock", text)


def test_numbers_are_those_of_the_simulation(here):
    found = told("net.toml", "--duration", 100)
    d = load_description("net.toml")
    wanted = Simulation(d.network, record=d.record).run(100.0)
    assert found["digest"] == wanted.digest() and found["synaptic_events"] == wanted.synaptic_events
    assert {k: p["rate_hz"] for k, p in found["populations"].items()} == {k: wanted.rate(k) for k in ("E", "I")}
    assert found["populations"]["E"]["spikes"] == wanted.counts["E"].sum() and found["populations"]["I"]["cv"] is None
    assert (found["start_ms"], found["duration_ms"], found["precision"]) == (0.0, 100.0, "single")


def test_toml_python_and_network_file_give_the_same_spikes(here):
    save_network(in_python(), "net.h5")
    shutil.copy(ROOT / "tests" / "test_description.py", "described.py")
    (here / "net.py").write_text("from described import in_python\nnetwork, duration = in_python(), 20.0\n")
    runs = [told(name, "--duration", 20) for name in ("net.h5", "net.py")] + [told("net.py", "--threads", 3)]
    assert len({r["digest"] for r in runs}) == 1 and runs[2]["threads"] == 3
    assert runs[0]["populations"]["E"] == told("net.toml")["populations"]["E"]


def test_a_python_file_with_a_neighbour_and_a_rule_of_its_own(here):
    (here / "neighbour.py").write_text("SIZE = 3")
    (here / "net.py").write_text(PYTHON)
    path = list(sys.path)
    run("net.py", "--out", "a.h5")
    recording = load_recording("a.h5")
    assert recording.times("p").tolist() == [7.0] * 3 and recording.duration == 20.0
    assert recording.traces["p"].neuron.tolist() == [1] and recording.traces["p"].values[3:7, 0].tolist() == [0, 1, 1, 0]
    assert sys.path == path
    del sys.modules["neighbour"]


@pytest.mark.parametrize("precision", ["single", "double", "packed"])
def test_saved_and_resumed_it_is_one_run(precision, here):
    run("net.toml", "--precision", precision, "--out", "whole.h5")
    assert "goes on at 7 ms" in run("net.toml", "--precision", precision, "--duration", 7, "--save", "half.h5", "--out", "a.h5")
    assert "half.h5 stopped at 7 ms and goes on from there" in run("net.toml", "--resume", "half.h5", "--duration", 13, "--out",
                                                                   "b.h5")
    joined, whole = join_recordings([load_recording("a.h5"), load_recording("b.h5")]), load_recording("whole.h5")
    assert joined.digest() == whole.digest() and joined.duration == whole.duration == 20.0
    np.testing.assert_array_equal(joined.traces["E"].values, whole.traces["E"].values)
    np.testing.assert_array_equal(joined.counts["I"], whole.counts["I"])


def test_pictures(here):
    run("net.toml", "--raster", "a.png", "--out", "a.h5")
    assert (here / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(("steps", "pieces"), [(1, [1]), (49, [1, 48]), (50, [1, 1, 48]), (120, [1, 2, 117])])
def test_the_first_steps_tell_how_long_it_takes(steps, pieces, here):
    ran = []

    class Counted(Simulation):
        def run(self, duration, progress=None):
            ran.append(round(duration / self.dt))
            return super().run(duration, progress)

    said = []
    recording, wall_s = populations._run(Counted(in_python()), steps * 0.1, said.append)
    assert (ran, recording.steps, len(said)) == (pieces, steps, len(pieces) // 3) and wall_s > 0
    assert recording.digest() == Simulation(in_python()).run(steps * 0.1).digest()


@pytest.mark.parametrize(("seconds", "text"), [(0.123, "0.12 s"), (3.21, "3.2 s"), (89.0, "89.0 s"), (600.0, "10 min"),
                                               (7200.0, "2.0 h")])
def test_spans(seconds, text):
    assert _span(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(5, "1 MiB"), (2**29, "512 MiB"), (5 * 2**29, "2.5 GiB")])
def test_sizes(size, text):
    assert _size(size) == text


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["none.toml"], "there is no file none.toml"), (["none.py"], "there is no file none.py"),
    (["net.toml", "--duration", "0.05"], "duration must be a whole number of steps of 0.1 ms, got 0.05"),
    (["net.toml", "--duration", "-1"], "duration must be above 0, got -1.0"),
    (["net.toml", "--out", "no/a.h5"], "cannot write no/a.h5: there is no folder no"),
    (["net.toml", "--save", "no/a.h5"], "cannot write no/a.h5: there is no folder no"),
    (["net.toml", "--raster", "a.gif"], "cannot write a picture to a.gif: its name must end in .png, .svg, .pdf"),
    (["net.toml", "--resume", "none.h5"], "there is no file none.h5"),
    (["net.toml", "--resume", "net.toml"], "net.toml is not a saved simulation of snnsim"),
    (["other.toml", "--resume", "half.h5"], "half.h5 is a simulation of another network: describe the one that was saved, its "
                                            "seed included"),
    (["net.toml", "--resume", "half.h5", "--precision", "double"],
     "half.h5 goes on with precision 'single': leave out --precision double"),
    (["syntax.py"], "syntax.py, line 2: SyntaxError: "), (["raises.py"], "raises.py, line 3: NameError: name 'wrong' is not"),
    (["none_there.py"], "none_there.py defines no `network`: assign the Network that is to be run to that name"),
    (["wrong.py"], "wrong.py: network must be a Network, got int"),
    (["traces.py"], "traces.py: traces must be a state and a list of neurons for each population, got 3"),
])
def test_errors_are_sentences(arguments, sentence, here):
    run("net.toml", "--duration", 1, "--save", "half.h5")
    (here / "other.toml").write_text(NET.replace("seed = 7", "seed = 8"))
    (here / "syntax.py").write_text("a = 1\nb = = 2\n")
    (here / "raises.py").write_text("def f():\n    pass\nwrong()\n")
    (here / "none_there.py").write_text("net = 3\n")
    (here / "wrong.py").write_text("network = 3\n")
    (here / "traces.py").write_text(f"import sys\nfrom snnsim import load_description\n"
                                    f"network, traces = load_description({str(here / 'net.toml')!r}).network, 3\n")
    before = sorted(here.iterdir())
    output = run(*arguments, code=1)
    assert output.splitlines()[-1].startswith("error: ") and sentence in output and "Traceback" not in output
    assert sorted(here.iterdir()) == before


def test_too_little_memory_is_refused_before_anything_is_built(here, monkeypatch):
    monkeypatch.setattr("snnsim.engine.simulation._available", lambda: 1000)
    output = run("net.toml", code=1)
    assert "1 MiB of memory, 1 MiB are free" in output and "built in" not in output
    assert "error: the network needs about" in output and "fewer synapses" in output


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["net.toml", "--mode", "clock"], "--mode is for trained networks: net.toml is run as one of the networks of populations"),
    (["net.toml", "--limit", "3"], "--limit is for trained networks"),
    (["net.h5", "a.bin", "--out", "x.h5"],
     "--out is for networks of populations: net.h5 is run as one of the trained networks"),
    (["net.h5", "--data", "nmnist", "--duration", "3"], "--duration is for networks of populations"),
    (["net.toml", "--precision", "half"], "'half' is not one of 'single', 'double', 'packed'")], ids=lambda v: v[1][:6])
def test_options_of_the_other_kind_are_wrong_usage(arguments, sentence, here):
    output = re.sub(r"\s*│\s*│?\s*", " ", run(*arguments, code=2))
    assert sentence in output


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_ends_with_one_line_and_130(here):
    child = ("import os, signal, threading\nfrom snnsim.engine import Simulation\n"
             "def wait(*a, **k):\n    os.kill(os.getpid(), signal.SIGINT)\n    threading.Event().wait(20)\n"
             "Simulation.run = wait\nfrom snnsim.cli import main; main()")
    found = subprocess.run([sys.executable, "-c", child, "run", "net.toml", "--save", "a.h5"], capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (found.returncode, found.stderr.strip()) == (128 + signal.SIGINT, "error: interrupted; nothing was kept")
    assert not (here / "a.h5").exists()
