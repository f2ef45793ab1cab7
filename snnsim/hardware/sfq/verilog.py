"""Verilog of an SFQ network by layers: weights as tables, so that large nets compile quickly. A pulse is 0-1-0.

Steps: SFQNetwork, its Schedule, text. `structural` writes small nets cell by cell; `testbench` drives either of them.

A source that pulses adds its row of weights to all counters of the layer in one addition (a burst is counted with its first
pulse, as no decision falls within it); at the tick each counter decides as in `model`; what fired is held
and leaves in the next layer's slots. Two sources that pulse at once are counted, and are reported as a collision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork
from snnsim.hardware.sfq.names import identifier
from snnsim.hardware.sfq.schedule import Schedule, bursts, whole_widths

# what verilator's lint warns of, and is meant: processes wait (blocking assignments in order), pulses are both clock and data,
# several processes count in one variable, spikes of hidden layers are wires for testbenches, a file holds several modules
WAIVED = ("BLKSEQ", "SYNCASYNCNET", "MULTIDRIVEN", "UNUSEDSIGNAL", "DECLFILENAME")
HEAD = "`timescale 1ps/1ps\n`default_nettype none\n" + "".join(f"/* verilator lint_off {w} */\n" for w in WAIVED)
WIDE = 32  # bits of a membrane


def table(network: SFQNetwork, schedule: Schedule, name: str = "net") -> str:
    """The design as text: module `name` with the pins clk (one pulse starts a period), clear (forgets all), in, out.

    Errors: ValueError for a name that is no identifier, and for a schedule of parts of a ps, or with slots in another order.
    """
    identifier(name)
    widths = whole_widths(network, schedule)
    parts = [HEAD + comment(network, schedule, "the weights of a layer are one table")]
    parts += [_layer(network, schedule, widths, stage, f"{name}_layer{stage}") for stage in range(len(network.layers))]
    return "\n".join([*parts, _top(network, name), "`default_nettype wire\n"])


def comment(network: SFQNetwork, schedule: Schedule, form: str) -> str:
    """What the design is. Names of layers are anything, so they stand here as ASCII literals."""
    lines = [f"SFQ network: {network.inputs} inputs, bursts of up to {network.burst}, {network.synapses} synapses; {form}",
             f"spacing {schedule.spacing} ps, period {schedule.period} ps, latency {schedule.latency} ps"]
    lines += [f"layer {stage}: {q.name!a}, {q.size} counters of {q.bits} bits, {q.reset} reset, leak {q.leak}, tick at "
              f"{schedule.ticks[stage]} ps" for stage, q in enumerate(network.layers)]
    return "".join(f"// {x}\n" for x in lines)


def _top(network: SFQNetwork, name: str) -> str:
    sizes = [network.inputs, *(q.size for q in network.layers)]
    lines = [f"module {name} (input wire clk, input wire clear, input wire [{sizes[0] - 1}:0] in, output wire "
             f"[{sizes[-1] - 1}:0] out);"]
    last = len(network.layers) - 1
    for stage, size in enumerate(sizes[1:]):
        lines.append(f"  wire [{size - 1}:0] fired{stage};")
        source = "in" if stage == 0 else f"slots{stage - 1}"
        pins = f".clk(clk), .clear(clear), .in({source}), .fired(fired{stage})"
        if stage < last:
            lines.append(f"  wire [{size - 1}:0] slots{stage};")
            pins += f", .slots(slots{stage})"
        lines.append(f"  {name}_layer{stage} layer{stage} ({pins});")
    return "\n".join([*lines, f"  assign out = fired{last};", "endmodule", ""])


def packed(values: NDArray[Any], bits: int) -> str:
    """Whole numbers as one hexadecimal literal, the first in the lowest bits, negative ones as two's complement."""
    whole = sum((int(v) & (2**bits - 1)) << (bits * i) for i, v in enumerate(values.tolist()))
    return f"{bits * len(values)}'h{whole:x}"


def _layer(network: SFQNetwork, schedule: Schedule, widths: Sequence[NDArray[Any]], stage: int, name: str) -> str:
    q, last = network.layers[stage], stage == len(network.layers) - 1
    m, n, top = q.size, q.weight.shape[1], 2 ** (q.bits - 1) - 1
    leak = "" if q.leak is None else f" - (v[j] >>> {q.leak})"
    after = "h - theta[j]" if q.reset == "soft" else "0"
    slots = "" if last else f",\n  output reg [{m - 1}:0] slots"
    f = field(q, bursts(network)[stage])
    rows = "\n".join(f"    row[{i}] = {fields(q.weight[:, i], f)};" for i in range(n))
    rest = fields(np.full(m, 2 ** (f - 1)), f)
    return f"""module {name} (input wire clk, input wire clear, input wire [{n - 1}:0] in,
  output reg [{m - 1}:0] fired{slots});
  reg [{f * m - 1}:0] row [0:{n - 1}], sum, rest; // of the counters, {f} bits each
  reg [{16 * m - 1}:0] limits;
  reg signed [{WIDE - 1}:0] theta [0:{m - 1}], v [0:{m - 1}];
  reg signed [{WIDE - 1}:0] h;
  reg [{m - 1}:0] held;
  reg tick;
  integer i, j, k;
  wire pulse = |in;
  initial begin
{rows}
    rest = {rest};
    limits = {packed(q.threshold, 16)};
    for (k = 0; k < {m}; k = k + 1) begin theta[k] = {{16'd0, limits[16*k +: 16]}}; v[k] = 0; end
    sum = rest; held = 0; fired = 0; tick = 0;
  end
  always @(posedge clk) begin
    #{schedule.ticks[stage]} tick = 1;
    #1 tick = 0;
  end
  always @(in)
    if ((in & (in - {n}'d1)) != {n}'d0) $display("COLLISION %m at %0t ps", $time);
  always @(posedge pulse or posedge tick or posedge clear)
    if (clear) begin
      for (j = 0; j < {m}; j = j + 1) v[j] = 0;
      sum = rest;
    end else if (tick) begin
      for (j = 0; j < {m}; j = j + 1) begin
        h = v[j]{leak} + $signed({{{WIDE - f}'d0, sum[{f}*j +: {f}]}}) - {2 ** (f - 1)};
        if (h > {top}) h = {top};
        if (h < -{top + 1}) h = -{top + 1};
        held[j] = h >= theta[j];
        v[j] = h < theta[j] ? h : {after};
      end
      sum = rest;
    end else
      for (i = 0; i < {n}; i = i + 1)
        if (in[i]) sum = sum + row[i];
  always @(negedge tick) begin
    fired = held;
    #1 fired = 0;
  end
{"" if last else _slots(widths[stage + 1], m)}endmodule
"""


def field(layer: SFQLayer, burst: int) -> int:
    """Bits that hold all sums of a tick, with their sign."""
    return int(np.abs(layer.weight).sum(1).max() * burst).bit_length() + 1


def fields(values: NDArray[np.int64], bits: int) -> str:
    """sum over j of values[j] 2**(bits j), modulo 2**(bits N): one addition of such numbers adds all fields. With 2**(bits - 1)
    in each field no sum is negative, so no field borrows from the next."""
    whole = sum(int(v) << (bits * i) for i, v in enumerate(values.tolist())) % (1 << (bits * len(values)))
    return f"{bits * len(values)}'h{whole:x}"


def _slots(widths: NDArray[Any], m: int) -> str:
    """What was held leaves pulse by pulse."""
    bits = 32
    return f"""  reg [{bits * m - 1}:0] widths;
  reg [{bits - 1}:0] width [0:{m - 1}];
  reg [{m - 1}:0] sent;
  integer s;
  initial begin
    slots = 0; sent = 0;
    widths = {packed(widths, bits)};
    for (s = 0; s < {m}; s = s + 1) width[s] = widths[{bits}*s +: {bits}];
  end
  always @(posedge clk) begin
    sent = held;
    for (s = 0; s < {m}; s = s + 1) begin
      slots[s] = sent[s];
      #1 slots[s] = 0;
      #(width[s] - 1);
    end
  end
"""
