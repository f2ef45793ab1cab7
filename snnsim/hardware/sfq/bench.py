"""A self-checking testbench: real input pulses in, spikes of every layer compared with the model's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.hardware.sfq.names import identifier
from snnsim.hardware.sfq.pulses import input_pulses
from snnsim.hardware.sfq.schedule import Schedule, whole_widths
from snnsim.hardware.sfq.verilog import HEAD, packed

RESULT = "RESULT"  # RESULT bench layer expected found equal


def bench(network: SFQNetwork, schedule: Schedule, counts: ArrayLike, expected: Mapping[str, NDArray[np.uint8]],
              name: str = "net", *, lag: int = 0, clears: tuple[int, ...] = ()) -> str:
    """Module `name`_tb. It drives each sample for T periods and as many more as the pipeline is long, then one in which all is
    cleared, and prints for each layer RESULT, the spikes expected, found and equal, at last PASS or FAIL. Names of layers are
    their numbers.

    counts: [T, B, inputs], see `pulses.input_pulses`. expected: spikes by layer, [T, B, neurons]. lag: ps from the start of a
    phase to the slots at the pins. clears: when in the last period all is cleared, shortly before each tick by default.
    """
    pulses, widths = input_pulses(network, np.asarray(counts))[0], whole_widths(network, schedule)[0]
    steps, samples, inputs = pulses.shape
    layers, depth = network.layers, len(network.layers)
    bits = int(network.burst).bit_length()
    by_sample = pulses.transpose(1, 0, 2).reshape(-1, inputs)
    lines = [HEAD, f"module {identifier(name)}_tb;", f"  reg clk, clear; reg [{inputs - 1}:0] in;",
             f"  wire [{layers[-1].size - 1}:0] out;",
             f"  {name} dut (.clk(clk), .clear(clear), .in(in), .out(out));",
             f"  reg [{inputs * bits - 1}:0] given [0:{len(by_sample) - 1}];",
             f"  reg [{inputs * bits - 1}:0] row;", f"  reg [31:0] unit [0:{inputs - 1}], width [0:{inputs - 1}];",
             "  integer sample, p, i, k, spent, errors;"]
    for stage, q in enumerate(layers):
        lines += [f"  reg [{q.size - 1}:0] want{stage} [0:{len(by_sample) - 1}], seen{stage}, last{stage}, was{stage};",
                  f"  integer expected{stage}, found{stage}, equal{stage}, b{stage};",
                  f"  always @(dut.fired{stage}) begin",
                  f"    errors = errors + {{31'd0, (seen{stage} & dut.fired{stage} & ~last{stage}) != 0}};",
                  f"    seen{stage} = seen{stage} | (dut.fired{stage} & ~last{stage}); last{stage} = dut.fired{stage};",
                  "  end"]
    lines += ["  initial begin", "    clk = 0; clear = 0; in = 0; errors = 0;"]
    units = widths // network.burst
    lines += [f"    unit[{i}] = {u}; width[{i}] = {w};" for i, (u, w) in enumerate(zip(units, widths, strict=True))]
    lines += [f"    given[{k}] = {packed(row, bits)};" for k, row in enumerate(by_sample)]
    for stage, q in enumerate(layers):
        wanted = np.asarray(expected[q.name]).transpose(1, 0, 2).reshape(-1, q.size)
        lines += [f"    want{stage}[{k}] = {packed(row, 1)};" for k, row in enumerate(wanted)]
        lines.append("    " + " ".join(f"{x}{stage} = 0;" for x in ("expected", "found", "equal", "seen", "last", "was")))
    slots = int(widths.sum())
    lines += [f"    #{schedule.period};",
              f"    for (sample = 0; sample < {samples}; sample = sample + 1) begin",
              f"      for (p = 0; p < {steps + depth - 1}; p = p + 1) begin",
              f"        if (p < {steps}) row = given[sample*{steps} + p]; else row = 0;",
              "        clk = 1; #1 clk = 0;", f"        #{lag + 1};" if lag else "        #1;",
              f"        for (i = 0; i < {inputs}; i = i + 1) begin", "          spent = 0;",
              f"          for (k = 0; k < row[{bits}*i +: {bits}]; k = k + 1) begin",
              "            in[i] = 1; #1 in[i] = 0; #(unit[i] - 1); spent = spent + unit[i];", "          end",
              "          if (width[i] > spent) #(width[i] - spent);", "        end",
              f"        #{schedule.period - slots - 2 - lag};"]
    for stage, q in enumerate(layers):
        at = f"want{stage}[sample*{steps} + p - {stage}]"
        was, seen, b = f"was{stage}", f"seen{stage}", f"b{stage}"
        lines += [f"        if (p >= {stage} && p < {steps + stage}) begin", f"          {was} = {at};",
                  f"          for ({b} = 0; {b} < {q.size}; {b} = {b} + 1) begin",
                  f"            if ({was}[{b}]) expected{stage} = expected{stage} + 1;",
                  f"            if ({seen}[{b}]) found{stage} = found{stage} + 1;",
                  f"            if ({was}[{b}] && {seen}[{b}]) equal{stage} = equal{stage} + 1;",
                  "          end", "        end", f"        {seen} = 0;"]
    lines += ["      end", "      clk = 1; #1 clk = 0;"]
    now = 1
    for then in sorted(set(clears or (int(t) - 2 for t in schedule.ticks))):
        lines.append(f"      #{then - now} clear = 1; #1 clear = 0;")
        now = then + 1
    lines.append(f"      #{2 * schedule.period - now};")
    lines += [f"      seen{stage} = 0;" for stage in range(depth)]
    lines.append("    end")
    lines += [f'    $display("{RESULT} {name} {k} %0d %0d %0d", expected{k}, found{k}, equal{k});' for k in range(depth)]
    wrong = " || ".join(f"expected{k} != equal{k} || found{k} != equal{k}" for k in range(depth))
    lines += [f'    $display("{RESULT} {name} twice %0d 0 0", errors);',
              f'    if (errors != 0 || {wrong}) $display("FAIL {name}"); else $display("PASS {name}");',
              "  end", "endmodule", "`default_nettype wire", ""]
    return "\n".join(lines)
