"""Random nets to the tools that read NIR, and those that the tools write back here: every spike is equal."""

from __future__ import annotations

import numpy as np
import pytest

from snnsim import engine, interop
from snnsim.hardware import nir
from tests import nir_nets
from tests.test_interop import needs

TOOLS = [pytest.param(tool, marks=needs(tool)) for tool in interop.TOOLS]
READS = {"snntorch": tuple(f for f in nir_nets.FAMILIES if f != "if"), "spikingjelly": nir_nets.FAMILIES,
         "norse": nir_nets.FAMILIES}


def encoding(tool, i):
    """Both in turn; Norse ignores r, and so reads only one."""
    return "unit_r" if tool == "norse" or i % 2 == 0 else "tau_over_dt"


def spikes_of(network, counts):
    return {n: s.dense() for n, s in engine.run(network, counts).spikes.items()}


def differing(expected, found, names=lambda name: name):
    """Spikes that differ, and how many there are."""
    pairs = [(a, found[names(n)].reshape(a.shape)) for n, a in expected.items()]
    return sum(int(np.not_equal(a, b).sum()) for a, b in pairs), sum(int(np.sum(a)) for a, _ in pairs)


def assert_reads(folder, tool, count):
    nets = nir_nets.random_nets(count, READS[tool])
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
    assert total > 50 * count


@pytest.mark.parametrize("tool", TOOLS)
def test_card6_a_few_random_nets_spike_the_same_elsewhere(tmp_path, tool):
    assert_reads(tmp_path, tool, 10)


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_card6_a_hundred_random_nets_spike_the_same_elsewhere(tmp_path, tool):
    assert_reads(tmp_path, tool, 100)
