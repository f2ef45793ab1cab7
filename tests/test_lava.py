"""What is exported for Loihi, run in Lava: the same spikes, u and v there, in every step."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnsim import interop
from snnsim.hardware import integer
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.loihi import netx, process, script
from snnsim.interop.lava_tools import match
from snnsim.maps import Conv2d, Dense
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LI, LIF
from tests.loihi_nets import drawn

PYTHON = Path(__file__).resolve().parents[1] / ".venv-peers" / "lava" / "bin" / "python"
needs_lava = pytest.mark.skipif(not PYTHON.exists(), reason="Lava is not installed: make peers-lava")


def exact(tmp_path: Path, nets: list[tuple[IntegerNetwork, Any]], plain: bool) -> list[interop.LavaReport]:
    jobs = []
    for i, (net, counts) in enumerate(nets):
        path = tmp_path / f"{i}.{'net' if plain else 'json'}"
        (netx if plain else process).write(net, path)
        jobs.append((path, counts))
    reports = interop.verify_lava(jobs, python=PYTHON, timeout=400)
    for (net, _), report in zip(nets, reports, strict=True):
        assert report.exact, f"{report}\n{net!r}"
        assert not any(o["sums"] for o in report.overflows.values())
    return reports


def spikes(reports: list[interop.LavaReport]) -> list[int]:
    return [sum(x.expected for x in r.layers) for r in reports]


def ends() -> tuple[IntegerNetwork, Any]:
    """Decays of 0 and 1, the largest threshold and biases, one bit, the longest delay, states that wrap and stop."""
    du, dv = np.array([0, 4095, 4095, 0, 1, 4094]), np.array([0, 4096, 0, 4096, 4095, 1])
    vth = np.array([2**17 - 1, 0, 1, 5, 9, 300])
    bias = np.array([4095, -4096, 4095, 0, -1, 1])
    middle = IntegerPopulation("h", (6,), "soft", du, dv, vth, bias, 7)
    one = IntegerPopulation("out", (2,), "hard", 0, 4096, 2**17 - 1, np.array([-4096, 4095]), 7)
    return IntegerNetwork(
        (IntegerPopulation("in", (3,), None), middle, one),
        (IntegerProjection("in", "h", Dense(np.where(np.eye(6, 3), 0.0, -256.0)), 4, 1, "mixed", 64),
         IntegerProjection("h", "h", Dense(np.full((6, 6), 128.0)), -15, 1, "exc"),
         IntegerProjection("h", "out", Dense(np.full((2, 6), -255.0)), 8, 8, "inh")),
        latency=2), np.random.default_rng(0).poisson(1.0, (90, 2, 3))


@needs_lava
def test_networks_run_the_same_in_lava(tmp_path: Path) -> None:
    reports = exact(tmp_path, [*(drawn(seed) for seed in (0, 1, 2, 5)), ends()], plain=False)
    assert min(spikes(reports)) > 50
    assert all(sum(o[state] for o in reports[-1].overflows.values()) > 10 for state in ("u", "v"))


@needs_lava
def test_lava_dl_reads_our_files(tmp_path: Path) -> None:
    network, counts = trained("hard")
    model = integer.quantize(network, "netx")
    assert {q.exponent for q in model.projections} == {0}
    assert min(spikes(exact(tmp_path, [*(drawn(seed, plain=True) for seed in (3, 7, 5)), (model, counts)], plain=True))) > 50


@needs_lava
@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_200_networks_run_the_same_in_lava(tmp_path: Path, part: int) -> None:
    """40 in each part: dense, recurrent and convolutional ones in turn."""
    found = spikes(exact(tmp_path, [drawn(1000 + seed) for seed in range(40 * part, 40 * (part + 1))], plain=False))
    assert np.mean(np.array(found) > 20) > 0.9


@needs_lava
@pytest.mark.slow
def test_lava_dl_reads_40_of_our_files(tmp_path: Path) -> None:
    found = spikes(exact(tmp_path, [drawn(2000 + seed, plain=True) for seed in range(40)], plain=True))
    assert np.mean(np.array(found) > 20) > 0.9


def trained(reset: Any) -> tuple[Network, Any]:
    """Of the size of a trained one, in floats."""
    rng = np.random.default_rng(1)
    normal = rng.normal
    conv = Conv2d(normal(0.15, 0.4, (4, 2, 3, 3)), (2, 2), (1, 1))
    populations = (Population("in", (2, 9, 8)),
                   Population.of("conv", (4, 5, 4), LIF(tau=8.0, theta=0.7, reset=reset), 1.0, "f"),
                   Population.of("hidden", 12, LIF(tau=10.0, reset=reset), 1.0, "f"),
                   Population.of("out", 3, LI(tau=20.0), 1.0, "f"))
    projections = (Projection("in", "conv", (conv,), normal(0, 0.05, (4, 1, 1))),
                   Projection("conv", "hidden", (Dense(normal(0.03, 0.1, (12, 80))),)),
                   Projection("hidden", "out", (Dense(normal(0.0, 0.4, (3, 12))),)))
    return Network(populations, projections), rng.poisson(0.1, (40, 3, 2, 9, 8))


CLOSE = """
import time
import net
from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspRecvQueue

recv, put = CspRecvPort.recv, CspRecvQueue.put_nowait

def late(self):
    time.sleep(0.005 * ("service_to_process" in self.name))
    return recv(self)

def slow(self, item):
    time.sleep(0.05 * (self.qsize() > 0))
    put(self, item)

CspRecvPort.recv, CspRecvQueue.put_nowait = late, slow
net.main()
"""


@needs_lava
def test_two_messages_close_together_do_not_stop_lava_for_ever(tmp_path: Path) -> None:
    """The end of the last step and the order to stop; how close they come is up to the machine: here they do."""
    network, counts = trained("hard")
    script.write(integer.quantize(network), tmp_path / "net.py")
    np.savez(tmp_path / "counts.npz", counts=counts[:3])
    (tmp_path / "close.py").write_text(CLOSE)
    child = subprocess.run([PYTHON, "close.py", "--counts", "counts.npz"], cwd=tmp_path, timeout=60, check=True,
                           capture_output=True, text=True)
    assert "out: 0 spikes in 6 steps of 3 samples" in child.stdout


@needs_lava
def test_a_script_runs_alone_and_several_samples_one_after_another(tmp_path: Path) -> None:
    network, counts = trained("soft")
    model = integer.quantize(network)
    script.write(model, tmp_path / "net.py")
    np.savez(tmp_path / "counts.npz", counts=counts)
    given = ["net.py", "--counts", "counts.npz", "--out", "result.npz"]
    done = subprocess.run([PYTHON, *given], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
                          env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    ours = integer.run(model, counts, record=["conv", "hidden", "out"])
    assert f"conv: {int(ours.spikes['conv'].sum())} spikes in 43 steps of 3 samples" in done.stdout
    with np.load(tmp_path / "result.npz") as found:
        for name in ("conv", "hidden", "out"):
            np.testing.assert_array_equal(found[f"{name}/u"], ours.u[name])
            np.testing.assert_array_equal(found[f"{name}/v"], ours.v[name])
        np.testing.assert_array_equal(found["hidden/spikes"], ours.spikes["hidden"])
    assert ours.spikes["hidden"].any()
    np.savez(tmp_path / "half.npz", counts=0.5 * counts)
    for name, said in (("half.npz", "counts must be whole numbers, got float64"), ("none.npz", "there is no file none.npz")):
        done = subprocess.run([PYTHON, "net.py", "--counts", name], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                              check=False, env={"PATH": os.environ["PATH"]})
        assert done.returncode == 2 and f"net.py: error: {said}" in done.stderr


def test_a_difference_is_found_and_named() -> None:
    net, counts = drawn(0)
    ran = integer.run(net, counts, record=["hidden", "out"])
    found = {n: {"spikes": ran.spikes[n], "u": ran.u[n], "v": ran.v[n]} for n in ("hidden", "out")}
    assert match("net.json", net, counts, found).exact
    found["out"]["v"][7, 0, 3] += 1
    found["hidden"]["u"][9, 0, 1] += 1
    report = match("net.json", net, counts, found)
    assert not report.exact and report.states_equal == report.states - 2
    assert report.divergence is not None and str(report.divergence).startswith("sample 0, out, step 7, neuron 3: v is ")
    assert "first difference: sample 0, out, step 7" in str(report) and report.to_dict()["exact"] is False


@needs_lava
def test_what_lava_says_is_passed_on(tmp_path: Path) -> None:
    """A process model that fails would be waited for, for ever, by Lava itself."""
    net, _ = drawn(0)
    process.write(net, tmp_path / "net.json")
    broken = tmp_path / "program.py"
    broken.write_text(script.PROGRAM.read_text().replace("        sample, step =", "        raise ValueError('on purpose')\n"
                                                         "        sample, step ="))
    done = subprocess.run([PYTHON, broken, tmp_path / "net.json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "ValueError: on purpose" in done.stderr


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    net, counts = drawn(0)
    process.write(net, tmp_path / "net.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        interop.run_lava([(tmp_path / "other.json", counts)])
    with pytest.raises(ValueError, match=r"counts for .*net.json must be whole numbers \[T, \*\(\d+,\)\]"):
        interop.run_lava([(tmp_path / "net.json", counts * 0.5)])


def test_a_missing_tool_is_said_with_the_way_to_install_it(tmp_path: Path) -> None:
    net, counts = drawn(0)
    process.write(net, tmp_path / "net.json")
    wrapper = tmp_path / "python"
    wrapper.write_text(f"#!/bin/sh\necho 'No module named lava' >&2; exit {interop.MISSING}\n")
    wrapper.chmod(0o755)
    with pytest.raises(ImportError, match=r"Lava cannot be imported by .*python \(No module named lava\): make peers-lava, or"):
        interop.run_lava([(tmp_path / "net.json", counts)], python=wrapper)
    wrapper.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(TimeoutError, match=r"Lava did not finish this within 0.2 s"):
        interop.run_lava([(tmp_path / "net.json", counts)], python=wrapper, timeout=0.2)


def test_convolutions_beyond_lavas_bytes_are_refused(tmp_path: Path) -> None:
    net = IntegerNetwork((IntegerPopulation("in", (1, 1, 300), None), IntegerPopulation("h", (1, 1, 101))),
                         (IntegerProjection("in", "h", Conv2d(np.full((1, 1, 1, 200), 2.0))),), latency=1)
    with pytest.raises(ValueError, match=r"projection in->h: kernel must be at most 127 for Lava's .*, got \(1, 200\)"):
        script.write(net, tmp_path / "net.py")
    with pytest.raises(ValueError, match=r"path must end in .py"):
        script.write(net, tmp_path / "net.json")
