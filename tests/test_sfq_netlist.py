"""The netlister: cells that are counted are those that are made, every net has one load, and no pulses meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.hardware.sfq import Delays, SFQLayer, SFQNetwork, run, slotted
from snnsim.hardware.sfq.build import build, expand
from snnsim.hardware.sfq.check import check
from snnsim.hardware.sfq.library import load
from snnsim.hardware.sfq.netlist import Instance, Netlist
from snnsim.hardware.sfq.plan import count, plan, tree_cells
from tests.sfq_cell_nets import random_net
from tests.sfq_nets import stepped

LIBRARY = load()


def small() -> Netlist:
    net = SFQNetwork([SFQLayer("a", [[1, -2], [3, 0], [0, 1]], 2), SFQLayer("b", [[1, 1, -1]], 1)])
    return build(net, LIBRARY)


def changed(netlist: Netlist, instance: Instance) -> Netlist:
    return replace(netlist, instances=tuple(instance if x.name == instance.name else x for x in netlist.instances))


def test_counting_and_making_agree_and_nothing_collides() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        p = plan(random_net(rng), LIBRARY)
        made = expand(p)
        assert made.cells == count(p)
        report = check(made)
        assert report.ok, str(report)
        assert report.slack[0] > 0 and report.margin[0] > 0


def test_a_plan_has_the_slots_of_the_schedule() -> None:
    """One clocking: what the executor of pulses goes by is what the cells go by, with the settling and hold of cells."""
    net = SFQNetwork([SFQLayer("a", [[1, -3], [2, 0]], 1), SFQLayer("b", [[1, 0]], 1)], burst=2)
    made = plan(net, LIBRARY).schedule
    for phase, wanted, width in zip(made.phases, slotted(net).phases, (80, 16), strict=True):
        np.testing.assert_array_equal(phase.start, wanted.start)
        assert phase.tick > width
    assert made.hold > LIBRARY.delay("counter") and made.period == made.ticks[0] + made.hold
    assert made.latency == made.period + made.ticks[1] and made.ticks[0] == made.ticks[1]
    x = np.array([[2, 0], [0, 2], [2, 0], [1, 0]])
    found = run(net, x, schedule=made, delays=Delays.of(LIBRARY))
    assert found.losses == 0 and found.latency == made.latency and found.spikes["b"].any()
    np.testing.assert_array_equal(found.spikes["b"][:, 0], stepped(net, x)["b"])
    with pytest.raises(ValueError, match=r"spacing must be whole ps, at least 2, got 2\.5"):
        plan(net, LIBRARY, spacing=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("leaves", "cells"), [(1, (0, 0)), (2, (1, 0)), (3, (3, 1)), (4, (3, 0)), (5, (6, 2)), (9, (15, 3))])
def test_a_tree_with_all_leaves_at_one_depth(leaves: int, cells: tuple[int, int]) -> None:
    # 9 leaves: 5 + 3 + 2 + 1 = 11 splitters
    splitters, unused = tree_cells(leaves)
    if leaves == 9:
        assert (splitters, unused) == (11, 3)
    else:
        assert (splitters, unused) == cells


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.data())
def test_what_is_made_passes_and_what_is_damaged_is_refused_by_cell_and_pin(seed: int, data: st.DataObject) -> None:
    netlist = expand(plan(random_net(np.random.default_rng(seed), 4, (1, 2, 3)), LIBRARY))
    report = check(netlist)
    assert report.ok, str(report)
    assert report.slack[0] > 0 and report.margin[0] > 0
    one = data.draw(st.sampled_from(netlist.instances))
    pin = data.draw(st.sampled_from(sorted(one.pins)))
    loose = check(changed(netlist, replace(one, pins={p: n for p, n in one.pins.items() if p != pin})))
    assert not loose.ok and f"{one.name}: port {pin!r} is not tied" in loose.problems
    inputs = [(x, p) for x in netlist.instances for p in LIBRARY[x.cell].inputs]
    (one, pin), (other, there) = data.draw(st.lists(st.sampled_from(inputs), min_size=2, max_size=2,
                                                    unique_by=lambda x: x[0].name))
    twice = check(changed(netlist, replace(one, pins={**one.pins, pin: other.pins[there]})))
    said = [p for p in twice.problems if f"{one.name}.{pin}" in p and f"{other.name}.{there}" in p]
    assert len(said) == 1 and said[0].startswith(f"net {other.pins[there]}, which ")
    assert said[0].endswith("), must have 1: fan-out takes a splitter") and "has 2 loads (" in said[0]
    assert any(f"net {one.pins[pin]}, which " in p and "has 0 loads, must have 1" in p for p in twice.problems)


def test_two_cells_that_drive_one_net_are_found() -> None:
    netlist = small()
    a, b = [x for x in netlist.instances if x.cell == "merger"][:2]
    found = check(changed(netlist, replace(b, pins={**b.pins, "q": a.pins["q"]}))).problems
    assert any(f"has 2 drivers ({a.name}.q, {b.name}.q), must have 1" in p for p in found)


def test_a_loose_and_an_unknown_port_are_found() -> None:
    netlist = small()
    merger = next(x for x in netlist.instances if x.cell == "merger")
    assert f"{merger.name}: port 'b' is not tied" in check(
        changed(netlist, replace(merger, pins={"a": merger.pins["a"], "q": merger.pins["q"]}))).problems
    assert f"{merger.name}: cell 'merger' has no port 'x'" in check(
        changed(netlist, replace(merger, pins={**merger.pins, "x": merger.pins["b"]}))).problems


def test_pulses_that_come_too_close_are_found() -> None:
    slow = replace(LIBRARY, cells={**LIBRARY.cells, "merger": replace(LIBRARY["merger"],
                                                                      separation={"a,b": 8.5, "b,a": 8.5})})
    net = SFQNetwork([SFQLayer("a", np.ones((1, 5), int), 2)])
    report = check(expand(replace(plan(net, LIBRARY), library=slow)))
    assert not report.ok and "too close: take a larger spacing" in report.problems[0]
    with pytest.raises(ValueError, match=r"spacing is 8 ps, but a merger loses what comes sooner than 8\.5 ps"):
        plan(net, slow)
    assert check(build(net, slow, spacing=10)).ok


def test_a_burst_has_its_pulses_a_spacing_apart() -> None:
    """All that the collision check knows are times: here they are those of the definition, to a part of a ps."""
    from snnsim.hardware.sfq.check import _Timing

    netlist = build(SFQNetwork([SFQLayer("a", [[7, 3, -2], [5, 0, 1]], 9)]), LIBRARY)
    timing = _Timing(netlist)
    timing.run()
    [phase], [base] = netlist.plan.schedule.phases, netlist.plan.arrival
    counters = [x for x in netlist.instances if x.cell == "counter"]
    for x, up in zip(counters, ([7, 3, 0], [5, 0, 1]), strict=True):
        wanted = np.concatenate([np.asarray(phase.start)[i] + 8 * np.arange(n) for i, n in enumerate(up)]) + base
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
