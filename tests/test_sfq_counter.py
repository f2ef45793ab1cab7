"""The counter that statistics count: a netlist of library cells whose circuits are simulated, run in iverilog."""

from __future__ import annotations

import re
import shutil
from typing import Any

import numpy as np
import pytest

from snnsim.hardware.sfq.library import load
from snnsim.hardware.sfq.structural import cells
from snnsim.interop.iverilog_tool import IverilogResult, run_iverilog
from tests.sfq_counter import Made, bench

LIBRARY = load()
SET, RESET, AGAIN = 0.9, 4.5, 11.1  # ps that s, r and the last c must come before c of our ndro, in ngspice; see its file
needs_iverilog = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed (apt install iverilog)")


def counted(bits: int, theta: int, rng: Any, ticks: int = 40) -> tuple[list[list[int]], list[int]]:
    """Pulses up and down of each tick, in any order, and whether a counter with a soft reset fires. None clips."""
    v, given, fired, most = 0, [], [], 2 ** (bits - 1)
    for _ in range(ticks):
        pulses: list[int] = []
        for p in rng.choice([-1, 1], rng.integers(0, 3 * theta + 3), p=[0.4, 0.6]).tolist():
            pulses.append(p if theta - most <= v + sum(pulses) + p < most else -p)
        v += sum(pulses)
        given.append(pulses)
        fired.append(int(v >= theta))
        v -= theta * fired[-1]
    return given, fired


def run(made: Made, pulses: list[list[int]], fired: list[int], spacing: int = 8) -> IverilogResult:
    """With an ndro that tells what its circuit could not do."""
    watched = f"""reg state; real last_s, last_r, last_c;
  initial begin last_s = -1.0e9; last_r = -1.0e9; last_c = -1.0e9; end
  always @(posedge s) last_s = $realtime;
  always @(posedge r) last_r = $realtime;
  always @(posedge c) begin
    if ($realtime - last_s < {SET} || $realtime - last_r < {RESET} || $realtime - last_c < {AGAIN})
      $display("VIOLATION %m: at %0t", $time);
    last_c = $realtime;
  end
"""
    text = cells(LIBRARY)
    at = text.index("module sfq_ndro")
    text = text[:at] + text[at:].replace("reg state;\n", watched, 1)
    return run_iverilog([text, made.text(), bench(made, pulses, spacing, fired)], ["counted_tb"])


@needs_iverilog
@pytest.mark.parametrize(("bits", "theta"), [(4, 1), (6, 11), pytest.param(8, 37, marks=pytest.mark.slow)])
def test_a_counter_of_library_cells_decides_as_whole_numbers_do(bits: int, theta: int) -> None:
    made = Made(LIBRARY, bits, theta)
    given, fired = counted(bits, theta, np.random.default_rng(bits))
    assert 5 < sum(fired) < 38
    found = run(made, given, fired)
    assert found.exact, (found.violations, found.layers)
    fired[7] ^= 1
    assert not run(made, given, fired).exact


@needs_iverilog
def test_pulses_that_are_too_close_are_told() -> None:
    given, fired = counted(5, 6, np.random.default_rng(1), 5)
    assert run(Made(LIBRARY, 5, 6), given, fired, spacing=6).violations


@pytest.mark.parametrize(("bits", "theta"), [(2, 1), (6, 11), (9, 255), (9, 85)])
def test_composites_hold_what_a_counter_takes(bits: int, theta: int) -> None:
    """Each cell of the composites has a circuit of its own; no counter takes more of any than they count."""
    composites = {"counter": 1, "counter_bit": bits}
    for name, n in Made(LIBRARY, bits, theta).cells.items():
        if name != "jtl1_slow":  # a pad in place of a merger
            assert n <= sum(k * LIBRARY[c].of.get(name, 0) for c, k in composites.items()), name
    for name in (*composites, "counter_leak"):
        assert all(LIBRARY[c].circuit == "ours" for c in LIBRARY[name].of)


def test_a_bit_takes_what_the_netlist_says() -> None:
    """The difference of one more bit that both constants add to, and what clear takes on top: a splitter and a merger."""
    made = [Made(LIBRARY, bits, theta).cells for bits, theta in ((6, 1), (7, 1))]
    more = made[1] - made[0]
    of = dict(LIBRARY["counter_bit"].of)
    assert {k: n for k, n in more.items() if k not in ("splitter", "merger")} == {
        k: n for k, n in of.items() if k not in ("splitter", "merger")}
    assert (more["splitter"], more["merger"]) == (of["splitter"] - 2, of["merger"] - 2)  # +theta, clear: not here
    assert re.search(rf"\b{Made(LIBRARY, 6, 1).ripple():.0f} ps a bit", LIBRARY["counter"].about)
