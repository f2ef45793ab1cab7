"""SANA-FE's model of Loihi beside our executor: the same spikes; and its energy and time lie in our ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.sanafe import Resets, random_net
from snnsim.hardware import energy, integer
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.mapping import LoihiLimits, place
from snnsim.interop.sanafe_tool import SanafeResult, interpreter, run_sanafe
from snnsim.maps import Conv2d

slow = [pytest.mark.slow]  # SANA-FE takes seconds to set up its chip


def run(*arguments: Any, **options: Any) -> SanafeResult:
    try:
        return run_sanafe(*arguments, **options)
    except ImportError as e:
        pytest.skip(str(e))


@pytest.mark.parametrize(("seed", "resets", "dv"), [
    (0, ("soft", "hard"), 0), *(pytest.param(seed, (reset, reset), dv, marks=slow) for reset in ("soft", "hard")
                                for seed, dv in ((1, 0), (2, 0), (3, 2048), (4, 4096)))])
def test_spikes_are_those_of_sanafe_and_its_energy_lies_in_our_range(seed: int, resets: Resets, dv: int) -> None:
    net, counts = random_net(seed, resets, dv)
    mapping = place(net, LoihiLimits(neurons_per_core=20), share=False)
    theirs, ours = run(net, counts, mapping), integer.run(net, counts, overflow="raise")
    total = 0
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(spikes, ours.spikes[name])
        total += int(spikes.sum())
    assert total > 20
    for b in range(2):
        report = energy.estimate(net, counts[:, b], mapping)
        spent = report["Loihi 1"]
        assert spent.total.low <= theirs.energy["total"][b] <= spent.total.high
        assert spent.terms["synapses"].low <= theirs.energy["synapse"][b] <= spent.terms["synapses"].high * (1 + 1e-9)
        assert report.latency.low <= theirs.time[b] <= report.latency.high


def test_what_sanafe_computes_otherwise_is_refused() -> None:
    net, counts = random_net(0, ("soft", "soft"))

    def changed(**options: Any) -> IntegerNetwork:
        other = IntegerPopulation("a", net.population("a").shape, "soft", **options)
        return IntegerNetwork([other if p.name == "a" else p for p in net.populations], net.projections, readout="membrane")

    for options in ({"dv": 100}, {"du": 5}, {"bias": 3}):
        with pytest.raises(ValueError, match="population 'a': SANA-FE computes as we do for du of 4095, dv of 0, 2048, 4096"):
            run_sanafe(changed(**options), counts)
    with pytest.raises(ValueError, match="counts must be whole numbers from 0 to 1"):
        run_sanafe(net, 2 * counts)
    conv = IntegerNetwork((IntegerPopulation("in", (1, 3, 3), None), IntegerPopulation("c", (1, 2, 2))),
                          (IntegerProjection("in", "c", Conv2d(np.full((1, 1, 2, 2), 2.0))),))
    with pytest.raises(ValueError, match="projection in->c: SANA-FE is given dense maps of delay 1"):
        run_sanafe(conv, np.zeros((3, 1, 3, 3)))


def test_sanafe_that_is_not_there_is_named(tmp_path: Any) -> None:
    net, counts = random_net(0, ("soft", "soft"))
    import sys
    if str(interpreter()) == sys.executable:
        with pytest.raises(ImportError, match="SANA-FE cannot be imported by .*: make peers-sanafe"):
            run_sanafe(net, counts)
    else:
        with pytest.raises(ImportError, match="SANA-FE cannot be imported by .*: make peers-sanafe"):
            run_sanafe(net, counts, python=sys.executable)
