"""Every example runs as its own first lines say, and shows what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from snnsim import load_description
from snnsim.cli import app

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
GRASSHOPPER = ROOT.parent / "shared" / "data" / "grasshopper"


def run(name: str, *arguments: object) -> dict[str, dict[str, float]]:
    """The populations that `snnsim run` tells of."""
    found = CliRunner().invoke(app, ["run", str(EXAMPLES / name), *map(str, arguments), "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)["populations"]


def python(name: str, *arguments: object, code: int = 0) -> str:
    found = subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert found.returncode == code, found.stderr
    return found.stderr if code else found.stdout


def test_every_example_is_tested():
    here = Path(__file__).read_text(encoding="utf-8")
    assert [e.name for e in EXAMPLES.iterdir() if e.is_file() and f'"{e.name}"' not in here] == []


@pytest.mark.parametrize("path", sorted(p for p in EXAMPLES.iterdir() if p.is_file()), ids=lambda p: p.name)
def test_its_first_lines_say_how_to_run_it_and_what_to_look_at(path):
    head = path.read_text(encoding="utf-8")[:1000]
    assert re.search(rf"Run it: +(snnsim run|python) examples/{path.name}", head) and "Look at:" in head


@pytest.mark.parametrize(("name", "low", "high"), [("cuba.toml", 4.0, 8.0), ("coba.toml", 15.0, 26.0)])
def test_vogels_abbott(name, low, high):
    for told in run(name, "--duration", 500).values():
        assert low < told["rate_hz"] < high and told["cv"] > 0.4


def test_brunel(tmp_path):
    for told in run("brunel.toml", "--duration", 200).values():
        assert 35.0 < told["rate_hz"] < 40.0 and 0.3 < told["cv"] < 0.6
    text = (EXAMPLES / "brunel.toml").read_text()
    (tmp_path / "regular.toml").write_text(text.replace("weight = -0.5", "weight = -0.3"))
    for told in run(str(tmp_path / "regular.toml"), "--duration", 200).values():
        assert told["rate_hz"] > 300 and told["cv"] < 0.05


def test_conductances_that_are_closed_at_the_start_leave_the_network_silent(tmp_path):
    text = (EXAMPLES / "coba.toml").read_text()
    (tmp_path / "closed.toml").write_text(re.sub(r"initial\.g.*\n", "", text))
    assert all(told["spikes"] < 20 for told in run(str(tmp_path / "closed.toml"), "--duration", 200).values())


def test_microcircuit():
    told = run("microcircuit.py", "--duration", 500)
    rates = {name: p["rate_hz"] for name, p in told.items()}
    assert rates == pytest.approx({"L23E": 0.9, "L23I": 2.97, "L4E": 4.41, "L4I": 5.88, "L5E": 7.61, "L5I": 8.64, "L6E": 1.11,
                                   "L6I": 7.83}, rel=0.2, abs=1.0)
    assert sum(p["neurons"] for p in told.values()) == 7717


def test_a_strong_packet_travels_down_the_chain_and_a_weak_one_dies_out(tmp_path):
    strong, weak = python("synfire_chain.py", "--pools", 6, "--raster", tmp_path / "chain.png").split("the weak packet")
    assert "the packet travels" in strong and "the packet dies out" in weak
    spikes = [[int(n) for n in re.findall(r"pool \d+ +(\d+) spikes", part)] for part in (strong, weak)]
    assert len(spikes[0]) == 6 and min(spikes[0][2:]) > 90 and max(spikes[1][3:]) < 25
    assert (tmp_path / "chain.png").stat().st_size > 5000


def test_grasshopper():
    if not GRASSHOPPER.exists():
        pytest.skip("there is no ../shared/data/grasshopper beside the checkout")
    text = python("grasshopper.py", GRASSHOPPER)
    found = re.findall(r"receptor \d: (\d+) .* of ([\d.]+) ms .*\n  burst: (\d+) .* of ([\d.]+) ms\n"
                       r"  pause: (\d+) .* of ([\d.]+) ms", text)
    assert [int(f[0]) for f in found] == [929, 868]
    for _, usual, bursts, short, pauses, long in found:
        assert int(bursts) > 100 < int(pauses) and float(short) < 0.7 * float(usual) and float(long) > 1.5 * float(usual)


def test_grasshopper_without_its_recordings(tmp_path):
    assert python("grasshopper.py", tmp_path, code=1).strip() == (
        f"there is no grasshopper_spike_times*.txt in {tmp_path}: give the folder that holds the recordings")


def test_cochlea(tmp_path):
    text = python("cochlea.py", "-o", tmp_path / "cochlea.png")
    assert re.match(r"240 recordings by speakera, speakerb, speakerc, speakerd: [\d,]+ events each", text)
    assert (tmp_path / "cochlea.png").stat().st_size > 20_000
    assert python("cochlea.py", tmp_path / "nothing", code=1).startswith(f"there is no {tmp_path / 'nothing'}: download")


@pytest.mark.parametrize("name", ["cuba", "coba"])
def test_the_described_networks_are_those_that_are_benchmarked(name):
    from benchmarks import networks
    from snnsim.engine import Simulation

    wanted = Simulation(getattr(networks, name)(seed=1)).run(50.0)
    assert Simulation(load_description(EXAMPLES / f"{name}.toml").network).run(50.0).digest() == wanted.digest()
