"""The netlister: cells that are counted are those that are made, every net has one load, and no pulses meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnsim.hardware.sfq import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.build import build, expand
from snnsim.hardware.sfq.check import check
from snnsim.hardware.sfq.library import load
from snnsim.hardware.sfq.netlist import Instance, Netlist
from snnsim.hardware.sfq.phases import phases
from snnsim.hardware.sfq.plan import count, plan, tree_cells
from tests.sfq_cell_nets import random_net

LIBRARY = load()


def small() -> Netlist:
    net = SFQNetwork([SFQLayer("a", [[1, -2], [3, 0], [0, 1]], 2), SFQLayer("b", [[1, 1, -1]], 1)])
    return build(net, LIBRARY)


def changed(netlist: Netlist, instance: Instance) -> Netlist:
    return replace(netlist, instances=tuple(instance if x.name == instance.name else x for x in netlist.instances))


def test_counting_and_making_agree_and_nothing_collides() -> None:
    rng = np.random.default_rng(2)
    for _ in range(25):
        p = plan(random_net(rng), LIBRARY)
        made = expand(p)
        assert made.cells == count(p)
        report = check(made)
        assert report.ok, str(report)
        assert report.slack[0] > 0 and report.margin[0] > 0


def test_slots_are_as_defined() -> None:
    net = SFQNetwork([SFQLayer("a", [[1, -3], [2, 0]], 1), SFQLayer("b", [[1, 0]], 1)], burst=2)
    p = phases(net, settle=10, hold=5)
    assert [w.tolist() for w in p.widths] == [[32, 48], [8, 8]]
    assert [s.tolist() for s in p.starts] == [[0, 32], [0, 8]]
    assert p.ticks == (90, 26) and p.period == 95 and p.latency == 95 + 26
    with pytest.raises(ValueError, match=r"spacing must be whole ps, at least 2, got 2\.5"):
        phases(net, spacing=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("leaves", "cells"), [(1, (0, 0)), (2, (1, 0)), (3, (3, 1)), (4, (3, 0)), (5, (6, 2)), (9, (15, 3))])
def test_a_tree_with_all_leaves_at_one_depth(leaves: int, cells: tuple[int, int]) -> None:
    # 9 leaves: 5 + 3 + 2 + 1 = 11 splitters
    splitters, unused = tree_cells(leaves)
    if leaves == 9:
        assert (splitters, unused) == (11, 3)
    else:
        assert (splitters, unused) == cells


def test_a_second_load_is_found() -> None:
    netlist = small()
    net = next(x for x in netlist.instances if x.cell == "splitter").pins["q0"]
    sink = next(x for x in netlist.instances if x.cell == "sink")
    report = check(changed(netlist, replace(sink, pins={"a": net})))
    assert not report.ok
    assert f"net {net} has 2 loads, must have 1: fan-out takes a splitter" in report.problems
    assert f"net {sink.pins['a']} has 0 loads, must have 1: fan-out takes a splitter" in report.problems


def test_a_loose_and_an_unknown_port_are_found() -> None:
    netlist = small()
    merger = next(x for x in netlist.instances if x.cell == "merger")
    assert f"{merger.name}: port 'b' is not tied" in check(
        changed(netlist, replace(merger, pins={"a": merger.pins["a"], "q": merger.pins["q"]}))).problems
    assert f"{merger.name}: cell 'merger' has no port 'x'" in check(
        changed(netlist, replace(merger, pins={**merger.pins, "x": merger.pins["b"]}))).problems


def test_pulses_that_come_too_close_are_found() -> None:
    slow = {**LIBRARY.cells, "merger": replace(LIBRARY["merger"], separation={"a,b": 8.5, "b,a": 8.5})}
    net = SFQNetwork([SFQLayer("a", np.ones((1, 5), int), 2)])
    report = check(build(net, replace(LIBRARY, cells=slow)))
    assert not report.ok and "too close: take a larger spacing" in report.problems[0]
    assert check(build(net, replace(LIBRARY, cells=slow), spacing=10)).ok


def test_a_burst_has_its_pulses_a_spacing_apart() -> None:
    """All that the collision check knows are times: here they are those of the definition, to a part of a ps."""
    from snnsim.hardware.sfq.check import _Timing

    netlist = build(SFQNetwork([SFQLayer("a", [[7, 3, -2], [5, 0, 1]], 9)]), LIBRARY)
    timing = _Timing(netlist)
    timing.run()
    p, [base] = netlist.plan.phases, netlist.plan.arrival
    counters = [x for x in netlist.instances if x.cell == "counter"]
    for x, up in zip(counters, ([7, 3, 0], [5, 0, 1]), strict=True):
        wanted = np.concatenate([p.starts[0][i] + 8 * np.arange(n) for i, n in enumerate(up)]) + base
        late = timing.times[x.pins["up"]] - wanted
        assert late.size == sum(up)
        assert np.ptp(late) < 1.5 and late.min() >= -1
        assert (np.diff(timing.times[x.pins["up"]]) > 8 - 1.5).all()


def test_too_many_cells_are_refused() -> None:
    net = SFQNetwork([SFQLayer("a", np.ones((100, 100), int), 2)])
    with pytest.raises(ValueError, match=r"the network takes 2\d,\d\d\d cells; cell by cell at most 20,000 are written: use "
                                         r"the form of tables \(form='table'\), which has the same spikes, or fewer synapses"):
        build(net, LIBRARY)


def test_a_library_without_a_part_is_refused() -> None:
    cells = {k: v for k, v in LIBRARY.cells.items() if k != "dro"}
    with pytest.raises(ValueError, match="there is no cell 'dro': the library has counter, "):
        build(SFQNetwork([SFQLayer("a", [[1]])]), replace(LIBRARY, cells=cells))
    with pytest.raises(ValueError, match="cell 'dro' must behave as 'dro', it is 'jtl'"):
        build(SFQNetwork([SFQLayer("a", [[1]])]), replace(LIBRARY, cells={**cells, "dro": LIBRARY["jtl"]}))
