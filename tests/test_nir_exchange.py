"""Random nets to the tools that read NIR, and those that the tools write back here: every spike is equal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from snnsim import engine, interop
from snnsim.hardware import nir
from tests import nir_nets
from tests.test_interop import READS, RESET, SINABS, encoding, needs

TOOLS = [pytest.param(tool, marks=needs(tool)) for tool in interop.TOOLS]


def spikes_of(network, counts):
    return {n: s.dense() for n, s in engine.run(network, counts).spikes.items()}


def differing(expected, found, names=lambda name: name):
    """Spikes that differ, and how many there are."""
    pairs = [(a, found[names(n)].reshape(a.shape)) for n, a in expected.items()]
    return sum(int(np.not_equal(a, b).sum()) for a, b in pairs), sum(int(np.sum(a)) for a, _ in pairs)


def assert_reads(folder, tool, count):
    nets = nir_nets.random_nets(count, READS[tool], RESET[tool])
    for i, (network, _) in enumerate(nets):
        nir.export(network, folder / f"{i}.nir", encoding=encoding(tool, i))
    results = interop.run_nirs([(folder / f"{i}.nir", counts) for i, (_, counts) in enumerate(nets)], tool)
    total = 0
    for i, ((network, counts), result) in enumerate(zip(nets, results, strict=True)):
        assert not isinstance(result, RuntimeError), f"net {i}: {result}"
        expected = spikes_of(network, counts)
        wrong, fired = differing({n: a for n, a in expected.items() if n != "in"}, result)
        assert wrong == 0, f"net {i} in {tool}: {wrong} of {fired} spikes differ"
        total += fired
    assert total > (50 if RESET[tool] == "hard" else 20) * count


@pytest.mark.slow
@pytest.mark.parametrize("tool", [SINABS])
def test_card6_a_few_random_nets_with_soft_reset_spike_the_same_in_sinabs(tmp_path, tool):
    assert_reads(tmp_path, tool, 12)


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_card6_a_hundred_random_nets_spike_the_same_elsewhere(tmp_path, tool):
    assert_reads(tmp_path, tool, 100)


STEP = {"snntorch": 0.1, "spikingjelly": 0.1, "norse": 1000 / 1024, "sinabs": 1.0}  # ms, of what `nir_writers` writes


def assert_read(folder, tool, count):
    """The nets that `nir_writers` built and ran in the tool."""
    subprocess.run([sys.executable, "-W", "ignore", "-m", "tests.nir_writers", tool, folder, str(count)], check=True,
                   capture_output=True, timeout=300)
    total = 0
    for i in range(count):
        network = nir.read(folder / f"{i}.nir", dt=STEP[tool], written_by=tool)
        with np.load(folder / f"{i}.npz") as held:
            counts, expected = held["counts"], {n: held[n] for n in held.files if n != "counts"}
        found = spikes_of(network, counts.reshape(*counts.shape[:2], *network.input.shape))
        names = {n.lstrip("_").removesuffix(".lif"): n for n in found}
        wrong, fired = differing(expected, found, names.get)
        assert wrong == 0, f"net {i} of {tool}: {wrong} of {fired} spikes differ"
        total += fired
    assert total > 20 * count


@pytest.mark.parametrize("tool", TOOLS)
def test_card6_a_few_random_nets_of_other_tools_spike_the_same_here(tmp_path, tool):
    assert_read(tmp_path, tool, 8)


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_card6_a_hundred_random_nets_of_other_tools_spike_the_same_here(tmp_path, tool):
    assert_read(tmp_path, tool, 100)
